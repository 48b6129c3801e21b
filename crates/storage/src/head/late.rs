//! Samples that came after the rows around them were sealed.

use model::{TimeRange, TimestampMs};

/// How many late samples a stream keeps before it rewrites the pages they belong to.
pub(super) const LATE_MAX: usize = 256;

/// A sample with its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateSample {
    pub(super) timestamp_ms: TimestampMs,
    pub(super) lane: u16,
    pub(super) bits: u64,
}

/// Late samples of one stream, sorted by timestamp, then lane; each pair at most once, and none of them in a page.
#[derive(Debug, Default)]
pub(super) struct LateBuffer {
    samples: Vec<LateSample>,
}

impl LateBuffer {
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.samples.capacity() * size_of::<LateSample>()
    }

    pub(super) fn oldest_ms(&self) -> Option<TimestampMs> {
        self.samples.first().map(|sample| sample.timestamp_ms)
    }

    /// The bits of a sample.
    pub(super) fn get(&self, timestamp_ms: TimestampMs, lane: u16) -> Option<u64> {
        let position = self.position(timestamp_ms, lane).ok()?;
        Some(self.samples[position].bits)
    }

    /// Adds a sample that is not there.
    pub(super) fn insert(&mut self, sample: LateSample) {
        let position = self.position(sample.timestamp_ms, sample.lane);
        self.samples
            .insert(position.unwrap_or_else(|position| position), sample);
    }

    /// The samples in `range`.
    pub(super) fn in_range(&self, range: TimeRange) -> &[LateSample] {
        let first = self
            .samples
            .partition_point(|sample| sample.timestamp_ms <= range.start_ms);
        let end = self
            .samples
            .partition_point(|sample| sample.timestamp_ms <= range.end_ms);
        &self.samples[first..end.max(first)]
    }

    /// All samples, leaving none and no memory.
    pub(super) fn take(&mut self) -> Vec<LateSample> {
        std::mem::take(&mut self.samples)
    }

    /// Leaves out everything older than `cut_ms`.
    pub(super) fn drop_before(&mut self, cut_ms: TimestampMs) {
        let n_older = self
            .samples
            .partition_point(|sample| sample.timestamp_ms < cut_ms);
        self.samples.drain(..n_older);
        self.samples.shrink_to_fit();
    }

    fn position(&self, timestamp_ms: TimestampMs, lane: u16) -> Result<usize, usize> {
        self.samples
            .binary_search_by_key(&(timestamp_ms, lane), |sample| (sample.timestamp_ms, sample.lane))
    }
}
