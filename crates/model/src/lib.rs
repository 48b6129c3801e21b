//! The words every crate shares: labels, series identity, matchers, samples, time.
//!
//! Nothing here does IO, reads a clock or is async. Read in this order: [`label`] and [`series`] say what a
//! series is and how it becomes a (stream, lane); [`matcher`] and [`regexp`] how it is picked; [`sample`] and
//! [`histogram`] what it holds; [`mod@column`] how the labels of many series are carried; [`time`], [`duration`] and
//! [`number`] the text forms;
//! [`files`] the file operations that are handed in.
#![forbid(unsafe_code)]

pub mod column;
pub mod duration;
pub mod files;
pub mod histogram;
pub mod label;
pub mod matcher;
pub mod metadata;
pub mod number;
pub mod regexp;
pub mod sample;
pub mod series;
pub mod time;

pub use column::LabelColumn;
pub use files::{FileLock, Files, ReadFile, WriteFile};
pub use histogram::FloatHistogram;
pub use label::{BUCKET_LABEL, Label, LabelError, Labels, METRIC_NAME};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use metadata::{MetricMetadata, MetricType};
pub use sample::{STALE_NAN_BITS, Sample, SampleBatch, is_stale_nan, stale_nan};
pub use series::{EntityId, LaneIdx, LaneKind, SeriesName, SeriesRef, StreamId};
pub use time::{Clock, TimeRange, TimestampMs};
