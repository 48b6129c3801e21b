//! The write-ahead log, the head and the reads over them.
#![forbid(unsafe_code)]

pub mod error;
pub mod head;
pub mod source;

pub use error::Error;
pub use head::{Head, HeadConfig, HeadStats, LaneChoice, Refusal, RefusalReason};
pub use source::{LaneBuffer, NewestBuffer, SelectedStream, Selection, Source, StreamBuffer};
