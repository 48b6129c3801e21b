//! SQL over the same samples that PromQL reads.
//!
//! DataFusion parses, optimizes and runs; what is ours is the schema, what may be asked, and the scan. Read in this
//! order: `options` and `result` are the outside; `statement` decides what is a question and what would change
//! something; `functions` says what it may compute with, `watch` looks after plans that run; `catalog` and `table` say which tables there are, `columns` what they hold; `pushdown` turns conditions
//! into matchers and a range of time; `scan` and `scan_stream` read samples, `series_scan` lists series; `output`
//! writes results down.
//!
//! Invariants: nothing is read but the store, and nothing is changed. A label that a series lacks is the empty text,
//! as in PromQL, so `=` and `!=` pick the same series in both languages. Labels are compared once per series, not
//! once per sample. Only series and samples are read that matchers and the range of time leave over.
//!
//! Limits: those of [`SqlOptions`] and of the engine. A scan holds the samples of one stream per task, and a batch.
mod catalog;
mod columns;
mod error;
mod functions;
mod options;
mod pushdown;
mod result;
mod run;
mod scan;
mod scan_stream;
mod series_filter;
mod series_scan;
mod session;
mod statement;
mod table;
mod usage;
mod watch;

pub use options::{SqlOptions, SqlRequest};
pub use result::SqlResult;
pub(crate) use run::Sql;
pub use usage::SqlStats;
