//! What the head holds, as numbers.

use model::TimestampMs;

/// Size and extent of a head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadStats {
    /// Streams with at least one sample.
    pub n_streams: usize,
    /// Series (lanes) with at least one sample.
    pub n_series: usize,
    /// Samples held; exact duplicates count once.
    pub n_samples: u64,
    /// Timestamp of the oldest sample, `None` when there is no sample.
    pub oldest_ms: Option<TimestampMs>,
    /// Timestamp of the newest sample, `None` when there is no sample.
    pub newest_ms: Option<TimestampMs>,
    /// Where the memory is.
    pub bytes: HeadBytes,
}

/// Heap bytes of a head by kind, as requested from the allocator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadBytes {
    /// The table of streams.
    pub table: usize,
    /// Open rows, eight bytes per value.
    pub raw: usize,
    /// Sealed pages and the lists of them.
    pub pages: usize,
    /// Late samples that no page holds yet.
    pub late: usize,
    /// Native histograms without their sums, and start timestamps.
    pub extras: usize,
}

impl HeadBytes {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> usize {
        self.table + self.raw + self.pages + self.late + self.extras
    }
}
