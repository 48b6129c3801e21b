//! The write-ahead log, the head and the reads over them.
#![forbid(unsafe_code)]

pub mod error;
pub mod source;

pub use error::Error;
pub use source::{LaneBuffer, NewestBuffer, SelectedStream, Selection, Source, StreamBuffer};
