//! Start timestamps: since when a counter has been counting.
//!
//! A sample may say when its counter was at 0 last; 0 means that it does not say. A start after the sample before it is a
//! counter reset, even if the value did not fall.
//!
//! Source: Prometheus 3.14 `promql/functions.go`.

use model::{TimeRange, TimestampMs};

use super::rate::{Extrapolation, RateKind};

/// True when a sample tells of a counter reset since the one before it.
///
/// A start that equals the timestamp of the sample before is one only if that sample knows its own start: that is how
/// deltas look, while a cumulative counter without known start points at its first sample. A start at or after its own
/// sample means nothing.
#[must_use]
pub fn is_start_reset(
    previous_start_ms: TimestampMs,
    previous_ms: TimestampMs,
    start_ms: TimestampMs,
    timestamp_ms: TimestampMs,
) -> bool {
    if start_ms == 0 || start_ms >= timestamp_ms || start_ms < previous_ms {
        return false;
    }
    start_ms > previous_ms || (previous_start_ms != 0 && previous_start_ms < previous_ms)
}

/// True when a counter is said to have begun before the sample before it, but not when that one began. A warning is
/// due.
#[must_use]
pub fn starts_overlap(
    previous_start_ms: TimestampMs,
    previous_ms: TimestampMs,
    start_ms: TimestampMs,
) -> bool {
    start_ms != 0 && start_ms < previous_ms && start_ms != previous_start_ms
}

/// `rate`, `increase` or `delta` of samples with start timestamps, and whether a warning of overlapping starts is due.
///
/// A counter that began inside of the range is at 0 there, so that one sample is enough.
///
/// # Panics
/// If the slices are not of equal length.
#[must_use]
pub fn started_rate(
    kind: RateKind,
    timestamps_ms: &[TimestampMs],
    values: &[f64],
    starts_ms: &[TimestampMs],
    range: TimeRange,
) -> (Option<f64>, bool) {
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else {
        return (None, false);
    };
    let (mut increase, mut overlaps) = (last - first, false);
    if kind.is_counter() {
        for row in 1..values.len() {
            let (before, now) = (row - 1, row);
            let (previous_start_ms, start_ms) = (starts_ms[before], starts_ms[now]);
            let (previous_ms, at_ms) = (timestamps_ms[before], timestamps_ms[now]);
            overlaps |= starts_overlap(previous_start_ms, previous_ms, start_ms);
            if values[now] < values[before] || is_start_reset(previous_start_ms, previous_ms, start_ms, at_ms)
            {
                increase += values[before];
            }
        }
    }
    let extrapolation = if kind.is_counter() && starts_inside(timestamps_ms, starts_ms, range) {
        increase += first;
        Extrapolation::from_start(kind, starts_ms[0], timestamps_ms, range)
    } else {
        Extrapolation::new(kind, timestamps_ms, range)
    };
    let rate = extrapolation.map(|extrapolation| increase * extrapolation.factor(first, increase));
    (rate, overlaps)
}

/// True when the first sample says that its counter began inside of the range.
#[must_use]
pub fn starts_inside(timestamps_ms: &[TimestampMs], starts_ms: &[TimestampMs], range: TimeRange) -> bool {
    match (timestamps_ms.first(), starts_ms.first()) {
        (Some(&at_ms), Some(&start_ms)) => start_ms != 0 && start_ms > range.start_ms && start_ms < at_ms,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_began_inside_is_at_zero_there() {
        let range = TimeRange {
            start_ms: 0,
            end_ms: 300_000,
        };
        let increase = |at: &[i64], values: &[f64], starts: &[i64]| {
            started_rate(RateKind::Increase, at, values, starts, range)
        };
        // From the start at 60 s to the sample at 120 s and, as there is no other, no further.
        assert_eq!(increase(&[120_000], &[60.0], &[60_000]), (Some(60.0), false));
        assert_eq!(increase(&[120_000], &[60.0], &[0]), (None, false));
        // Deltas: each sample starts where the one before ended.
        let deltas = increase(
            &[120_000, 180_000, 240_000],
            &[60.0; 3],
            &[60_000, 120_000, 180_000],
        );
        assert_eq!(deltas, (Some(60.0 * 3.0 * (180.0 + 60.0) / 180.0), false));
        let overlapping = increase(&[120_000, 180_000], &[60.0, 70.0], &[0, 110_000]);
        assert!(overlapping.1);
        assert_eq!(increase(&[], &[], &[]), (None, false));
    }

    #[test]
    fn a_start_after_the_sample_before_is_a_reset() {
        // Previous start and sample, then start and sample.
        let check = |times: [TimestampMs; 4], expected: bool| {
            let [previous_start, previous, start, timestamp] = times;
            assert_eq!(
                is_start_reset(previous_start, previous, start, timestamp),
                expected,
                "{times:?}"
            );
        };
        check([0, 100, 150, 200], true);
        check([50, 100, 150, 200], true);
        check([50, 100, 50, 200], false);
        check([0, 100, 0, 200], false);
        check([0, 100, 200, 200], false);
        check([0, 100, 250, 200], false);
        // At the sample before: a delta, unless that one does not know its start either.
        check([50, 100, 100, 200], true);
        check([0, 100, 100, 200], false);
        check([100, 100, 100, 200], false);
        check([120, 100, 100, 200], false);
    }

    #[test]
    fn starts_overlap_unless_they_are_the_same_or_in_between() {
        assert!(starts_overlap(50, 100, 80) && starts_overlap(0, 100, 80));
        assert!(!starts_overlap(80, 100, 80) && !starts_overlap(50, 100, 100) && !starts_overlap(50, 100, 0));
    }
}
