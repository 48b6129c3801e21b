//! What a recovery found.

use std::path::PathBuf;

use super::LOST_METRIC;
use crate::blocks::BlocksReport;

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
    /// What is damaged, in the order of the log.
    pub damaged: Vec<Damage>,
    /// A record at the very end that was cut off, and is removed: most likely a write that a crash interrupted
    /// before it was acknowledged.
    pub torn: Option<Damage>,
    /// What was found of blocks.
    pub blocks: BlocksReport,
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

impl RecoveryReport {
    /// Writes it to the program's log.
    pub(crate) fn log(&self) {
        for damage in &self.damaged {
            let Damage {
                path,
                offset,
                bytes,
                reason,
            } = damage;
            tracing::error!(path = %path.display(), offset, bytes, reason, "the log is damaged");
        }
        if let Some(torn) = &self.torn {
            let Damage {
                path, offset, bytes, ..
            } = torn;
            tracing::warn!(path = %path.display(), offset, bytes, "an unfinished write was cut off the end of the log");
        }
        if self.lost_series_samples > 0 {
            let samples = self.lost_series_samples;
            tracing::error!(
                samples,
                "the labels of some series are lost; their samples are kept as {LOST_METRIC}"
            );
        }
        tracing::info!(
            segments = self.segments,
            bytes = self.bytes,
            records = self.records,
            samples = self.samples,
            duration_ms = self.duration_ms,
            "the log was read"
        );
    }
}
