//! One selection over several places: blocks and the head.
//!
//! The series of a [`Part`] are joined with those of the others by their labels: an entity by 128 bits that stand for
//! its label set ([`catalog::HashSecret::label_set`]), a stream by its base metric name, a lane by its kind. What is
//! read of a stream is what its parts hold, put together by time; of several samples of one series at one time the
//! first part's counts.
//!
//! Read in this order: `part` is what can be merged; `union` joins the streams of parts; `columns` their labels;
//! `join` puts rows together; `selection` is the result, and `warned` what is to be said of it.
//!
//! Order: by base metric name, then by the labels of the entity, then by [`model::LaneKind::compare`], so
//! that it does not depend on which parts there are. Where a single part has all there is, its own selection is the
//! result, in its own order.
//!
//! Cost of a selection: about a microsecond per stream and part. Reading adds a copy of the rows of each part but the
//! first.
mod columns;
mod join;
mod part;
mod selection;
#[cfg(test)]
mod tests;
mod union;
mod warned;

pub(crate) use join::{add, append};
pub use part::{LaneLists, Part, PartStream, SelectionKeys, StreamKeys};
pub use selection::{merge, merge_texts};
pub(crate) use union::NO_LANE;
pub use warned::Warned;
