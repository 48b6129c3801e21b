//! Time: timestamps, ranges and the clock that is handed in.

use std::fmt;

/// Milliseconds since the Unix epoch, negative before it.
pub type TimestampMs = i64;

/// Where "now" comes from. Handed to everything that needs it, so that tests decide what time it is.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> TimestampMs;
}

/// An interval that is open on the left and closed on the right: `start_ms < t <= end_ms`, as every range and
/// every lookback in PromQL 3.x is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// Excluded.
    pub start_ms: TimestampMs,
    /// Included.
    pub end_ms: TimestampMs,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self {
        start_ms: TimestampMs::MIN,
        end_ms: TimestampMs::MAX,
    };

    /// The range of the `length_ms` up to and including `end_ms`.
    #[must_use]
    pub fn ending_at(end_ms: TimestampMs, length_ms: i64) -> Self {
        Self {
            start_ms: end_ms.saturating_sub(length_ms),
            end_ms,
        }
    }

    /// True when `timestamp_ms` lies in it.
    #[must_use]
    pub fn contains(&self, timestamp_ms: TimestampMs) -> bool {
        self.start_ms < timestamp_ms && timestamp_ms <= self.end_ms
    }

    /// True when a closed span of samples from `first_ms` to `last_ms` has a part in it.
    #[must_use]
    pub fn overlaps(&self, first_ms: TimestampMs, last_ms: TimestampMs) -> bool {
        self.start_ms < last_ms && first_ms <= self.end_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_left_open_and_right_closed() {
        let range = TimeRange::ending_at(300, 200);
        assert!(!range.contains(100));
        assert!(range.contains(101));
        assert!(range.contains(300));
        assert!(!range.contains(301));
        assert!(range.overlaps(0, 101) && !range.overlaps(0, 100));
        assert!(range.overlaps(300, 400) && !range.overlaps(301, 400));
    }
}
