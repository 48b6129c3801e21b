//! Labels of many series as code columns. Everything that concerns labels happens here, while a query is planned;
//! running operators know series by position only.
//!
//! Read [`mod@column`] (one label of many series), then [`table`] (a node's known series, columns made when asked for),
//! [`grouping`] (dense group ids) and [`sets`] (what leaves the crate).

pub(crate) mod column;
pub(crate) mod grouping;
pub(crate) mod sets;
pub(crate) mod table;

pub(crate) use column::Column;
pub(crate) use grouping::Groups;
pub use sets::LabelSets;
pub(crate) use table::SeriesTable;
