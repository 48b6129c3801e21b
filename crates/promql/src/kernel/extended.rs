//! Ranges and selectors with `anchored` or `smoothed`, which use samples outside of themselves.
//!
//! An anchored range begins with the last sample at or before its start. A smoothed one takes its values at both ends
//! from a straight line between the samples around them. Neither extrapolates. Those of histograms are in
//! [`super::native`].
//!
//! Source: Prometheus 3.14 `promql/functions.go`, `extendedRate`.

use std::ops::Range;

use model::{TimeRange, TimestampMs};

use super::rate::RateKind;

/// A value between two samples, given as time and value, or at one of them. A counter that fell is taken to have risen
/// from 0.
#[must_use]
pub fn interpolate(
    before: (TimestampMs, f64),
    after: (TimestampMs, f64),
    at_ms: TimestampMs,
    is_counter: bool,
) -> f64 {
    let start = if is_counter && after.1 < before.1 {
        0.0
    } else {
        before.1
    };
    start + (after.1 - start) * (at_ms - before.0) as f64 / (after.0 - before.0) as f64
}

/// The rows an extended range uses, out of those up to its end if it is anchored, and up to the first one at or after its
/// end if it is smoothed: from the last row at or before the start on. `None` if there is nothing to measure.
#[must_use]
pub fn used_rows(timestamps_ms: &[TimestampMs], range: TimeRange, is_smoothed: bool) -> Option<Range<usize>> {
    let mut last = timestamps_ms.len().checked_sub(1)?;
    let before_last = &timestamps_ms[..last];
    let n_up_to_start = before_last.partition_point(|&at_ms| at_ms <= range.start_ms);
    let first = n_up_to_start.saturating_sub(1);
    if is_smoothed {
        last = before_last.partition_point(|&at_ms| at_ms < range.end_ms);
    }
    let is_before = timestamps_ms[last] <= range.start_ms;
    let is_after = is_smoothed && timestamps_ms[first] > range.end_ms;
    (!is_before && !is_after).then_some(first..last + 1)
}

/// `rate`, `increase` or `delta` of an extended range. The samples are those of [`used_rows`], and maybe more around them.
///
/// # Panics
/// If the slices are not of equal length.
#[must_use]
pub fn extended_rate(
    kind: RateKind,
    is_smoothed: bool,
    timestamps_ms: &[TimestampMs],
    values: &[f64],
    range: TimeRange,
) -> Option<f64> {
    let rows = used_rows(timestamps_ms, range, is_smoothed)?;
    let (timestamps_ms, values) = (&timestamps_ms[rows.clone()], &values[rows]);
    let last = values.len() - 1;
    let is_counter = kind.is_counter();
    let between = |row: usize, at_ms: TimestampMs| {
        let at = |row: usize| (timestamps_ms[row], values[row]);
        interpolate(at(row), at(row + 1), at_ms, is_counter)
    };
    let left = if is_smoothed && last > 0 && timestamps_ms[0] < range.start_ms {
        between(0, range.start_ms)
    } else {
        values[0]
    };
    let right = if is_smoothed && last > 0 && timestamps_ms[last] > range.end_ms {
        between(last - 1, range.end_ms)
    } else {
        values[last]
    };
    let mut result = right - left;
    if is_counter {
        // What happened between the samples at the ends is part of what was interpolated.
        let first = usize::from(timestamps_ms[0] <= range.start_ms);
        let end = last + usize::from(timestamps_ms[last] < range.end_ms);
        let mut previous = left;
        for &value in values[first..end.max(first)].iter().chain([&right]) {
            if value < previous {
                result += previous;
            }
            previous = value;
        }
    }
    Some(result / kind.divisor(range))
}

/// The samples of an extended range that is a whole query: those inside of it, and its values at both ends.
///
/// # Panics
/// If the slices are not of equal length.
#[must_use]
pub fn extended_samples(
    is_smoothed: bool,
    timestamps_ms: &[TimestampMs],
    values: &[f64],
    range: TimeRange,
) -> Vec<(TimestampMs, f64)> {
    let Some(mut last) = timestamps_ms.len().checked_sub(1) else {
        return Vec::new();
    };
    let before_last = &timestamps_ms[..last];
    let first = before_last
        .partition_point(|&at_ms| at_ms <= range.start_ms)
        .saturating_sub(1);
    if is_smoothed {
        last = before_last.partition_point(|&at_ms| at_ms < range.end_ms);
    }
    if timestamps_ms[last] <= range.start_ms {
        return Vec::new();
    }
    let at = |row: usize| (timestamps_ms[row], values[row]);
    let left = if is_smoothed && timestamps_ms[first] < range.start_ms {
        interpolate(at(first), at(first + 1), range.start_ms, false)
    } else {
        values[first]
    };
    let right = if is_smoothed && last > 0 && timestamps_ms[last] > range.end_ms {
        interpolate(at(last - 1), at(last), range.end_ms, false)
    } else {
        values[last]
    };
    let inside = (first..=last).map(at);
    let inside = inside.filter(|(at_ms, _)| *at_ms > range.start_ms && *at_ms < range.end_ms);
    let mut samples = vec![(range.start_ms, left)];
    samples.extend(inside);
    samples.push((range.end_ms, right));
    samples
}

/// How many floats and histograms an anchored range leaves out: of either kind those before the anchor, which is the last
/// sample of all at or before the start. `None` if no sample lies after the start, and there is no result.
#[must_use]
pub fn anchored(
    floats_ms: &[TimestampMs],
    histograms_ms: &[TimestampMs],
    start_ms: TimestampMs,
) -> Option<(usize, usize)> {
    let n_up_to_start =
        |timestamps_ms: &[TimestampMs]| timestamps_ms.partition_point(|&at_ms| at_ms <= start_ms);
    let (n_floats, n_histograms) = (n_up_to_start(floats_ms), n_up_to_start(histograms_ms));
    if n_floats == floats_ms.len() && n_histograms == histograms_ms.len() {
        return None;
    }
    let last = |timestamps_ms: &[TimestampMs], n: usize| n.checked_sub(1).map(|row| timestamps_ms[row]);
    Some(
        match (last(floats_ms, n_floats), last(histograms_ms, n_histograms)) {
            (None, None) => (0, 0),
            (Some(float_ms), histogram_ms) if histogram_ms.is_none_or(|at_ms| float_ms >= at_ms) => {
                (n_floats - 1, n_histograms)
            }
            _ => (n_floats, n_histograms - 1),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples 15 seconds apart, as in `extended_vectors.test`.
    #[track_caller]
    fn check(
        kind: RateKind,
        is_smoothed: bool,
        values: &[f64],
        end_s: i64,
        range_s: i64,
        expected: Option<f64>,
    ) {
        let timestamps: Vec<i64> = (0..).step_by(15_000).take(values.len()).collect();
        let range = TimeRange::ending_at(end_s * 1000, range_s * 1000);
        // An anchored range sees nothing after its end.
        let n = if is_smoothed {
            values.len()
        } else {
            timestamps.partition_point(|&at_ms| at_ms <= range.end_ms)
        };
        let found = extended_rate(kind, is_smoothed, &timestamps[..n], &values[..n], range);
        let is_same = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
            (found, expected) => found == expected,
        };
        assert!(is_same, "{values:?}: {found:?} instead of {expected:?}");
    }

    #[test]
    fn anchored_ranges_begin_with_the_sample_before_them() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        check(RateKind::Increase, false, &values, 5, 60, Some(0.0));
        check(RateKind::Increase, false, &values, 50, 60, Some(3.0));
        check(RateKind::Increase, false, &values, 65, 30, Some(2.0));
        check(RateKind::Rate, false, &values, 60, 30, Some(2.0 / 30.0));
        check(RateKind::Increase, false, &[5.0, 10.0, 3.0], 30, 30, Some(8.0));
        check(RateKind::Delta, false, &[5.0, 10.0, 3.0], 30, 30, Some(-2.0));
        check(RateKind::Increase, false, &[], 30, 30, None);
        check(RateKind::Increase, false, &[1.0], 30, 30, None);
    }

    #[test]
    fn smoothed_ranges_end_between_samples() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        check(RateKind::Increase, true, &values, 35, 10, Some(10.0 / 15.0));
        check(RateKind::Delta, true, &values, 5, 60, Some(5.0 / 15.0));
        check(RateKind::Increase, true, &values, -1, 60, None);
        // A counter that begins anew within the last gap, and one within the first.
        check(
            RateKind::Increase,
            true,
            &[6.0, 9.0, 3.0],
            25,
            20,
            Some(9.0 - 7.0 + 2.0),
        );
        check(
            RateKind::Increase,
            true,
            &[9.0, 3.0, 6.0],
            30,
            25,
            Some(6.0 - 1.0),
        );
    }

    #[test]
    fn an_extended_range_alone_has_values_at_both_ends() {
        let range = TimeRange::ending_at(35, 30);
        let samples = |is_smoothed: bool, timestamps: &[i64]| {
            let values: Vec<f64> = timestamps.iter().map(|&at_ms| at_ms as f64).collect();
            extended_samples(is_smoothed, timestamps, &values, range)
        };
        assert_eq!(
            samples(false, &[0, 10, 20, 30]),
            [(5, 0.0), (10, 10.0), (20, 20.0), (30, 30.0), (35, 30.0)]
        );
        assert_eq!(
            samples(true, &[0, 10, 40, 50]),
            [(5, 5.0), (10, 10.0), (35, 35.0)]
        );
        assert_eq!(samples(false, &[10, 35]), [(5, 10.0), (10, 10.0), (35, 35.0)]);
        assert_eq!(samples(true, &[0, 5]), []);
        assert_eq!(samples(false, &[]), []);
    }

    #[test]
    fn the_anchor_is_the_last_sample_of_either_kind() {
        assert_eq!(anchored(&[0, 10, 30], &[], 20), Some((1, 0)));
        assert_eq!(anchored(&[0, 10], &[15, 30], 20), Some((2, 0)));
        assert_eq!(anchored(&[0, 18], &[15, 30], 20), Some((1, 1)));
        assert_eq!(anchored(&[25], &[30], 20), Some((0, 0)));
        assert_eq!(anchored(&[0], &[15], 20), None);
        assert_eq!(anchored(&[], &[], 20), None);
    }
}
