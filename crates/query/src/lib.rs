//! PromQL and SQL over a [`storage::Source`]: plans, operators, limits.
//!
//! A query is parsed, planned against the series it selects, and run as DataFusion
//! [`ExecutionPlan`](datafusion_physical_plan::ExecutionPlan)s that are built by hand. Only this crate knows
//! DataFusion. Read in this order: [`options`] and [`result`] are the outside; `labels` and `rows` the two shapes of
//! data inside (labels as code columns while planning, numbers as batches while running); `plan` turns the tree into
//! operators; `exec` holds the operators, one per file; `forms` reads histograms in either form; [`engine`] runs them; [`sql`] is the second language, which
//! DataFusion plans itself.
#![forbid(unsafe_code)]

mod annotations;
mod assemble;
mod batch;
mod context;
pub mod engine;
pub mod error;
mod exec;
pub mod explain;
mod forms;
mod labels;
mod memory;
mod metadata;
pub mod options;
mod plan;
mod points;
pub mod result;
mod rows;
mod run;
pub mod sql;
mod threads;

pub use engine::Engine;
pub use error::QueryError;
pub use explain::Explained;
pub use labels::LabelSets;
pub use options::{EngineOptions, QueryRequest, QueryTimes};
pub use result::{NewestSamples, QueryResult, QueryStats, SeriesSet, Value};
