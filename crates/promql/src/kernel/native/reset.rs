//! Whether the counters of a histogram began anew.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{CounterResetHint, any_drop};

use super::arithmetic::reduced;
use super::bounds::{CommonBuckets, intersection};
use super::layout::n_inside_zero;
use super::zero;

/// True when there was a counter reset between `previous` and `current`. A hint of `current` decides; otherwise a count
/// that fell, in all or in one bucket, or what only happens with a reset: a populated bucket that is missing, a higher
/// resolution, a smaller zero bucket, or one that ends inside of a populated bucket of before. The sum says nothing.
///
/// Gauges are compared like counters.
#[must_use]
pub fn is_reset(current: &FloatHistogram, previous: &FloatHistogram) -> bool {
    match current.counter_reset_hint {
        CounterResetHint::Reset => return true,
        CounterResetHint::NotReset => return false,
        CounterResetHint::Unknown | CounterResetHint::Gauge => {}
    }
    if current.count < previous.count {
        return true;
    }
    if current.is_custom() {
        if !previous.is_custom() {
            return true;
        }
        if !current.has_bounds_of(previous) {
            return any_common_drop(current, previous);
        }
    }
    if current.schema > previous.schema || current.zero_threshold < previous.zero_threshold {
        return true;
    }
    let zero = zero::widened(previous, None, current.zero_threshold);
    if zero.threshold != current.zero_threshold || current.zero_count < zero.count {
        return true;
    }
    [
        (&current.positive, &previous.positive),
        (&current.negative, &previous.negative),
    ]
    .into_iter()
    .any(|(now, before)| {
        let before = reduced(before, previous.schema, current.schema);
        // Buckets inside of the zero bucket have been counted with it.
        let n_ignored = |buckets| n_inside_zero(current.schema, current.zero_threshold, buckets);
        any_drop(
            now.iter().skip(n_ignored(now)),
            before.iter().skip(n_ignored(&before)),
        )
    })
}

/// Whether each histogram of a series begins anew; the first one cannot be told and is false. Computed once per series,
/// it serves all windows.
#[must_use]
pub fn resets(histograms: &[Arc<FloatHistogram>]) -> Vec<bool> {
    let mut resets = vec![false; histograms.len()];
    for (reset, pair) in resets.iter_mut().skip(1).zip(histograms.windows(2)) {
        *reset = is_reset(&pair[1], &pair[0]);
    }
    resets
}

/// The histograms of a series without their buckets, but with explicit hints from the second one on: what is left to do
/// for `histogram_count`, `histogram_sum` and `histogram_avg` of whatever comes in between, unless that is a subquery, a
/// trim, or another function of histograms, which need the buckets.
///
/// Not only faster: Prometheus sees contradicting hints this way, and no differing bounds. `histograms` begin at the first
/// sample within the window or the lookback.
#[must_use]
pub fn statistics_only(histograms: &[Arc<FloatHistogram>]) -> Vec<Arc<FloatHistogram>> {
    let mut previous: Option<&FloatHistogram> = None;
    let statistics = histograms.iter().map(|histogram| {
        let hint = match (histogram.counter_reset_hint, previous) {
            (CounterResetHint::Unknown, Some(previous)) if is_reset(histogram, previous) => {
                CounterResetHint::Reset
            }
            (CounterResetHint::Unknown, Some(_)) => CounterResetHint::NotReset,
            (hint, _) => hint,
        };
        previous = Some(histogram);
        Arc::new(FloatHistogram {
            counter_reset_hint: hint,
            schema: histogram.schema,
            count: histogram.count,
            sum: histogram.sum,
            ..FloatHistogram::default()
        })
    });
    statistics.collect()
}

/// Compares custom buckets that have been brought to the bounds that both have.
fn any_common_drop(current: &FloatHistogram, previous: &FloatHistogram) -> bool {
    let bounds = intersection(&current.custom_bounds, &previous.custom_bounds);
    let on_common = |histogram: &FloatHistogram| {
        let mut common = CommonBuckets::new(&bounds);
        common.add(histogram, 1.0, &[]);
        common
    };
    let (now, before) = (on_common(current), on_common(previous));
    now.counts()
        .iter()
        .zip(before.counts())
        .any(|(now, before)| now < before)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, histogram};
    use super::*;

    #[track_caller]
    fn check_pair(previous: &str, current: &str, expected: bool) {
        let found = is_reset(&histogram(current), &histogram(previous));
        assert_eq!(found, expected, "{previous} then {current}");
    }

    #[test]
    fn a_hint_decides_before_any_count() {
        check_pair(
            "count:1 buckets:[1]",
            "count:2 buckets:[2] counter_reset_hint:reset",
            true,
        );
        check_pair(
            "count:9 buckets:[9]",
            "count:2 buckets:[2] counter_reset_hint:not_reset",
            false,
        );
        check_pair(
            "count:9 buckets:[9]",
            "count:2 buckets:[2] counter_reset_hint:gauge",
            true,
        );
        check_pair(
            "count:1 buckets:[1] counter_reset_hint:reset",
            "count:1 buckets:[1]",
            false,
        );
    }

    #[test]
    fn any_count_that_falls_is_a_reset_but_no_sum() {
        check_pair(
            "sum:5 count:4 buckets:[1 2 1]",
            "sum:-7 count:5 buckets:[1 3 1]",
            false,
        );
        check_pair(
            "sum:5 count:4 buckets:[1 2 1]",
            "sum:6 count:5 buckets:[1 1 3]",
            true,
        );
        check_pair(
            "sum:5 count:4 buckets:[1 2 1]",
            "sum:6 count:3 buckets:[1 2 1]",
            true,
        );
        check_pair("count:4 n_buckets:[1 2 1]", "count:5 n_buckets:[1 2 0 1 1]", true);
        check_pair(
            "count:4 z_bucket:3 z_bucket_w:0.1",
            "count:5 z_bucket:2 z_bucket_w:0.1",
            true,
        );
        check_pair("count:4 buckets:[1 0 3]", "count:9 offset:2 buckets:[3]", true);
        check_pair("count:3 buckets:[0 0 3]", "count:9 offset:2 buckets:[3]", false);
    }

    #[test]
    fn a_coarser_form_is_compared_in_that_form() {
        check_pair(
            "schema:1 count:6 offset:1 buckets:[1 2 3]",
            "schema:0 count:7 offset:1 buckets:[3 4]",
            false,
        );
        check_pair(
            "schema:1 count:6 offset:1 buckets:[1 2 3]",
            "schema:0 count:7 offset:1 buckets:[2 4]",
            true,
        );
        check_pair(
            "schema:0 count:1 buckets:[1]",
            "schema:1 count:9 buckets:[9]",
            true,
        );
    }

    #[test]
    fn a_wider_zero_bucket_must_have_taken_in_whole_buckets() {
        let before = "count:6 z_bucket:1 z_bucket_w:0.25 buckets:[2 3]";
        check_pair(
            before,
            "count:7 z_bucket:3 z_bucket_w:1 offset:1 buckets:[4]",
            false,
        );
        check_pair(
            before,
            "count:7 z_bucket:2 z_bucket_w:1 offset:1 buckets:[5]",
            true,
        );
        check_pair(
            before,
            "count:7 z_bucket:4 z_bucket_w:0.75 offset:1 buckets:[3]",
            true,
        );
        check_pair(before, "count:7 z_bucket:1 z_bucket_w:0.1 buckets:[2 4]", true);
    }

    #[test]
    fn custom_buckets_are_compared_on_common_bounds() {
        // From native_histograms.test: only bucket (3,4] lost something, and 3 is no common bound.
        let before = "schema:-53 sum:55 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]";
        check_pair(
            before,
            "schema:-53 sum:56 count:15 custom_values:[2 3 4 6] buckets:[1 0 1 5 8]",
            true,
        );
        check_pair(
            before,
            "schema:-53 sum:56 count:16 custom_values:[2 3 4 6] buckets:[1 1 1 5 8]",
            false,
        );
        check_pair(
            before,
            "schema:-53 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]",
            false,
        );
        check_pair(before, "count:15 buckets:[15]", true);
        check_pair("count:15 buckets:[15]", before, true);
    }

    fn series(texts: &[&str]) -> Vec<Arc<FloatHistogram>> {
        texts.iter().map(|text| Arc::new(histogram(text))).collect()
    }

    #[test]
    fn resets_of_a_series_are_those_of_its_pairs() {
        let series = series(&["count:1", "count:2", "count:1", "count:1", "count:0"]);
        assert_eq!(resets(&series), [false, false, true, false, true]);
        assert_eq!(resets(&[]), [false; 0]);
    }

    #[test]
    fn statistics_have_explicit_hints_instead_of_buckets() {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let series = series(&[
            "count:2 buckets:[1 1]",
            "count:3 sum:7 buckets:[0 3]",
            "count:3 buckets:[0 3]",
            "count:4 buckets:[0 4] counter_reset_hint:gauge",
        ]);
        let statistics = statistics_only(&series);
        let hints: Vec<_> = statistics.iter().map(|one| one.counter_reset_hint).collect();
        assert_eq!(hints, [Unknown, Reset, NotReset, Gauge]);
        check(&statistics[1], "count:3 sum:7");
    }
}
