//! What a recovery found.

use std::path::PathBuf;

/// What was read when a store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segment files read.
    pub segments: usize,
    /// Bytes in them.
    pub bytes: u64,
    /// Records read, definitions and metadata included.
    pub records: u64,
    /// Samples read, those included that were refused when they were written and are refused again.
    pub samples: u64,
    /// Samples of series whose definitions are lost. They are kept under the metric name
    /// [`crate::LOST_METRIC`].
    pub lost_series_samples: u64,
    /// What is damaged, in the order of the log. A cut-off record at the very end is not damage: the write of it
    /// was never acknowledged.
    pub damaged: Vec<Damage>,
    /// Bytes of a cut-off record removed from the end of the last segment.
    pub torn_bytes: u64,
    /// How long it took, in milliseconds of the store's clock.
    pub duration_ms: i64,
}

/// A place in the log that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which file.
    pub path: PathBuf,
    /// Where in it the damage begins.
    pub offset: u64,
    /// How many bytes were skipped.
    pub bytes: u64,
    /// What is wrong.
    pub reason: String,
}

/// How far a recovery is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecoveryProgress {
    /// Bytes of the log read so far.
    pub bytes: u64,
    /// Bytes of the log.
    pub total_bytes: u64,
    /// Samples read so far.
    pub samples: u64,
}
