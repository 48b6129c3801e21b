//! The operators, one per file.
//!
//! Every operator implements [`operator::Operator`]: it says what it is and runs one partition; `OperatorExec` makes a DataFusion
//! `ExecutionPlan` of it. All batches have the shape that [`crate::rows`] describes. Operators know series by position
//! only. Two kinds:
//!
//! - *Row by row*: [`scan`], [`map`], [`subquery`], [`constant`], [`repeat`]. One row in, at most one out; as many
//!   partitions as their input; memory of one batch.
//! - *Whole*: all others look series up by position or fold them into groups. One partition; they hold their inputs or
//!   their groups, which is reserved from the memory pool before it is filled ([`collect`]).

pub(crate) mod operator;

pub(crate) mod collect;

pub(crate) mod lane;

pub(crate) mod mixed_lane;

pub(crate) mod notes;

pub(crate) mod slices;

pub(crate) mod leaf;

pub(crate) mod watch;

pub(crate) mod tally;

pub(crate) mod scan;

pub(crate) mod mixed_groups;

pub(crate) mod accumulate;

pub(crate) mod scan_aggregate;

pub(crate) mod aggregate;

pub(crate) mod map;

pub(crate) mod merge_duplicates;

pub(crate) mod repeat;

pub(crate) mod constant;

pub(crate) mod subquery;

pub(crate) mod route;
pub(crate) mod samples;

pub(crate) mod histogram;

pub(crate) mod best_k;

pub(crate) mod quantile;

pub(crate) mod sort;

pub(crate) mod absent;

pub(crate) mod set_operation;

pub(crate) mod vector_binary;
