//! Sums, differences and multiples of native histograms.

use std::borrow::Cow;

use model::FloatHistogram;
use model::histogram::{Buckets, CounterResetHint, Schema};

use super::bounds::{CommonBuckets, intersection};
use super::layout::{merge, n_inside_zero};
use super::notes::{Note, Notes};
use super::zero;
use crate::annotation::HistogramOperation;

/// Exponential and custom buckets cannot be brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("native histograms with exponential and with custom buckets cannot be combined")]
pub struct MixedSchemas;

/// What had to be done to combine two histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Combined {
    /// One said that there was a counter reset, the other that there was none; nothing is known of the result.
    pub hints_collide: bool,
    /// Custom bounds differ; the result has those that both have.
    pub bounds_differ: bool,
}

impl Combined {
    /// Notes only what concerns the bounds, where colliding hints are expected.
    pub(super) fn note_bounds(self, operation: HistogramOperation, notes: &mut Notes) {
        notes.add_if(self.bounds_differ, Note::bounds_in(operation));
    }
}

/// Adds `right` to `left`. The result has the lower resolution of both, the zero bucket that both can have, and for
/// custom buckets the bounds that both have. It is not compacted.
///
/// # Errors
/// If one has exponential and the other custom buckets; `left` is then unchanged.
pub fn add(left: &mut FloatHistogram, right: &FloatHistogram) -> Result<Combined, MixedSchemas> {
    combine(left, right, 1.0)
}

/// Takes `right` away from `left`, as [`add`] adds it, counter reset hint included. The result of PromQL's operator has
/// the hint of a gauge, which the caller sets.
///
/// # Errors
/// As [`add`].
pub fn subtract(left: &mut FloatHistogram, right: &FloatHistogram) -> Result<Combined, MixedSchemas> {
    combine(left, right, -1.0)
}

/// Multiplies all counts and the sum. A negative factor makes a gauge of it.
pub fn multiply(histogram: &mut FloatHistogram, factor: f64) {
    each_value(histogram, |value| *value *= factor);
    if factor < 0.0 {
        histogram.counter_reset_hint = CounterResetHint::Gauge;
    }
}

/// Divides all counts and the sum. A negative divisor makes a gauge of it, a divisor of 0 takes all buckets away.
pub fn divide(histogram: &mut FloatHistogram, divisor: f64) {
    each_value(histogram, |value| *value /= divisor);
    if divisor == 0.0 {
        histogram.positive = Buckets::default();
        histogram.negative = Buckets::default();
    } else if divisor < 0.0 {
        histogram.counter_reset_hint = CounterResetHint::Gauge;
    }
}

/// Turns all counts and the sum into their opposites, and the histogram into a gauge.
pub fn negate(histogram: &mut FloatHistogram) {
    multiply(histogram, -1.0);
}

fn each_value(histogram: &mut FloatHistogram, mut change: impl FnMut(&mut f64)) {
    change(&mut histogram.zero_count);
    change(&mut histogram.count);
    change(&mut histogram.sum);
    histogram.positive.counts_mut().iter_mut().for_each(&mut change);
    histogram.negative.counts_mut().iter_mut().for_each(&mut change);
}

fn combine(left: &mut FloatHistogram, right: &FloatHistogram, sign: f64) -> Result<Combined, MixedSchemas> {
    let combined = begin(left, right)?;
    if !left.is_custom() {
        let (zero_count, _) = zero::reconcile(left, None, right);
        left.zero_count += sign * zero_count;
    }
    left.count += sign * right.count;
    left.sum += sign * right.sum;
    if combined.bounds_differ {
        let bounds = intersection(&left.custom_bounds, &right.custom_bounds);
        let mut common = CommonBuckets::new(&bounds);
        common.add(left, 1.0, &[]);
        common.add(right, sign, &[]);
        (left.positive, _) = common.finish();
        left.custom_bounds = bounds;
        return Ok(combined);
    }
    left.reduce_to(right.schema);
    let (schema, threshold) = (left.schema, left.zero_threshold);
    for (side, others) in sides(left, right) {
        let others = reduced(others, right.schema, schema);
        let n_ignored = n_inside_zero(schema, threshold, &others);
        if n_ignored == 0 && side.has_layout_of(&others) {
            for (count, other) in side.counts_mut().iter_mut().zip(others.counts()) {
                *count += sign * other;
            }
        } else {
            let (own, other) = (side.counts(), others.counts());
            *side = merge(side, &others, n_ignored, |left, right| match (left, right) {
                (Some(left), Some(right)) => own[left] + sign * other[right],
                (Some(left), None) => own[left],
                (None, right) => right.map_or(0.0, |right| sign * other[right]),
            });
        }
    }
    Ok(combined)
}

/// What is the same for plain and compensated sums: whether the two go together, and the hint of the result.
pub(super) fn begin(left: &mut FloatHistogram, right: &FloatHistogram) -> Result<Combined, MixedSchemas> {
    if left.is_custom() != right.is_custom() {
        return Err(MixedSchemas);
    }
    Ok(Combined {
        hints_collide: combine_hints(&mut left.counter_reset_hint, right.counter_reset_hint),
        bounds_differ: left.is_custom() && !left.has_bounds_of(right),
    })
}

/// Gauge wins, then unknown. Tells whether the hints contradict each other.
fn combine_hints(hint: &mut CounterResetHint, other: CounterResetHint) -> bool {
    use CounterResetHint::{Gauge, Unknown};
    if *hint == other {
        return false;
    }
    let is_certain = |hint: CounterResetHint| !matches!(hint, Gauge | Unknown);
    let collide = is_certain(*hint) && is_certain(other);
    *hint = if *hint == Gauge || other == Gauge {
        Gauge
    } else {
        Unknown
    };
    collide
}

/// Both sides of zero of both histograms, side by side.
fn sides<'a>(left: &'a mut FloatHistogram, right: &'a FloatHistogram) -> [(&'a mut Buckets, &'a Buckets); 2] {
    [
        (&mut left.positive, &right.positive),
        (&mut left.negative, &right.negative),
    ]
}

/// The buckets in a schema that is the same or lower.
pub(super) fn reduced(buckets: &Buckets, from: Schema, to: Schema) -> Cow<'_, Buckets> {
    match from.halvings_to(to) {
        Some(halvings) => Cow::Owned(buckets.reduced(halvings)),
        None => Cow::Borrowed(buckets),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{any_pair, check, histogram};
    use super::*;

    fn sum(left: &str, right: &str) -> FloatHistogram {
        let mut sum = histogram(left);
        add(&mut sum, &histogram(right)).unwrap();
        sum
    }

    fn difference(left: &str, right: &str) -> FloatHistogram {
        let mut difference = histogram(left);
        subtract(&mut difference, &histogram(right)).unwrap();
        difference
    }

    #[test]
    fn histograms_are_added_bucket_by_bucket() {
        let added = sum(
            "sum:4 count:4 buckets:[1 2 1]",
            "sum:2 count:1 buckets:[1] offset:1",
        );
        check(&added, "sum:6 count:5 buckets:[1 3 1]");
        let added = sum(
            "sum:4 count:4 buckets:[1 2 1]",
            "sum:-4 count:4 n_buckets:[1 2 1]",
        );
        check(&added, "count:8 buckets:[1 2 1] n_buckets:[1 2 1]");
    }

    #[test]
    fn the_lower_resolution_wins_from_either_side() {
        let low = "schema:-1 sum:4 count:1 buckets:[1] offset:1";
        let high = "schema:0 sum:4 count:4 buckets:[2 2] offset:1";
        check(&sum(low, high), "schema:-1 count:5 sum:8 offset:1 buckets:[5]");
        check(&sum(high, low), "schema:-1 count:5 sum:8 offset:1 buckets:[5]");
        // From native_histograms.test.
        let fine =
            "schema:1 count:11 sum:1234.5 z_bucket:3 z_bucket_w:0.001 buckets:[0 2 1] n_buckets:[0 0 3 2]";
        let coarse = "schema:0 count:41 sum:2345.6 z_bucket:5 z_bucket_w:0.001 buckets:[1 3 1 2 1 1 1] \
                      n_buckets:[0 1 4 2 7 0 0 0 0 5 5 2]";
        check(
            &difference(coarse, fine),
            "schema:0 count:30 sum:1111.1 z_bucket:2 z_bucket_w:0.001 buckets:[1 0 1 2 1 1 1] \
             n_buckets:[0 -2 2 2 7 0 0 0 0 5 5 2]",
        );
        check(
            &difference(fine, coarse),
            "schema:0 count:-30 sum:-1111.1 z_bucket:-2 z_bucket_w:0.001 buckets:[-1 0 -1 -2 -1 -1 -1] \
             n_buckets:[0 2 -2 -2 -7 0 0 0 0 -5 -5 -2]",
        );
    }

    #[test]
    fn the_wider_zero_bucket_wins_from_either_side() {
        let narrow = "count:16 z_bucket:1 z_bucket_w:0.5 buckets:[1 2 4 8]";
        let wide = "count:48 z_bucket:16 z_bucket_w:1 buckets:[0 32]";
        let expected = "count:64 z_bucket:18 z_bucket_w:1 offset:1 buckets:[34 4 8]";
        check(&sum(narrow, wide), expected);
        check(&sum(wide, narrow), expected);
    }

    #[test]
    fn differing_custom_bounds_are_reduced_to_common_ones() {
        let left = "schema:-53 sum:55 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]";
        let right = "schema:-53 sum:555 count:450 custom_values:[1 2 3 4 5 6 7 8] buckets:[10 20 30 40 50 60 70 80 90]";
        check(
            &difference(right, left),
            "schema:-53 sum:500 count:435 custom_values:[2 4 6] buckets:[29 68 105 233]",
        );
        let mut sum = histogram(left);
        let combined = add(
            &mut sum,
            &histogram("schema:-53 sum:1 count:1 custom_values:[7] buckets:[1]"),
        )
        .unwrap();
        assert!(combined.bounds_differ && !combined.hints_collide);
        check(&sum, "schema:-53 sum:56 count:16 buckets:[16]");
    }

    #[test]
    fn exponential_and_custom_buckets_do_not_mix() {
        let exponential = histogram("sum:4 count:4 buckets:[1 2 1]");
        let mut custom = histogram("schema:-53 sum:1 count:1 custom_values:[5 10] buckets:[1]");
        let before = custom.clone();
        assert_eq!(add(&mut custom, &exponential), Err(MixedSchemas));
        assert_eq!(subtract(&mut exponential.clone(), &custom), Err(MixedSchemas));
        assert_eq!(custom, before);
    }

    #[test]
    fn multiples_keep_the_layout_except_for_division_by_zero() {
        let text = "count:30 sum:33 z_bucket:3 z_bucket_w:0.001 buckets:[3 3 3] n_buckets:[6 6 6]";
        let mut tripled = histogram(text);
        multiply(&mut tripled, 3.0);
        check(
            &tripled,
            "count:90 sum:99 z_bucket:9 z_bucket_w:0.001 buckets:[9 9 9] n_buckets:[18 18 18]",
        );
        let mut divided = histogram(text);
        divide(&mut divided, -3.0);
        check(
            &divided,
            "count:-10 sum:-11 z_bucket:-1 z_bucket_w:0.001 buckets:[-1 -1 -1] n_buckets:[-2 -2 -2] \
             counter_reset_hint:gauge",
        );
        let mut infinite = histogram(text);
        divide(&mut infinite, 0.0);
        check(&infinite, "count:Inf sum:Inf z_bucket:Inf z_bucket_w:0.001");
        let mut nothing = histogram(text);
        multiply(&mut nothing, 0.0);
        divide(&mut nothing, 0.0);
        check(&nothing, "count:NaN sum:NaN z_bucket:NaN z_bucket_w:0.001");
        let mut opposite = histogram(text);
        negate(&mut opposite);
        assert_eq!(opposite.counter_reset_hint, CounterResetHint::Gauge);
    }

    #[test]
    fn hints_of_both_sides_decide_on_the_hint_of_the_sum() {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let hints = [Unknown, Reset, NotReset, Gauge];
        for left in hints {
            for right in hints {
                let mut hint = left;
                let collide = combine_hints(&mut hint, right);
                let expected = match (left, right) {
                    _ if left == right => left,
                    (Gauge, _) | (_, Gauge) => Gauge,
                    _ => Unknown,
                };
                assert_eq!(hint, expected, "{left:?} and {right:?}");
                let opposite = matches!((left, right), (Reset, NotReset) | (NotReset, Reset));
                assert_eq!(collide, opposite, "{left:?} and {right:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_added_can_be_taken_away((left, right) in any_pair()) {
            let mut sum = left.clone();
            add(&mut sum, &right).unwrap();
            let mut back = sum.clone();
            subtract(&mut back, &right).unwrap();
            // The sum may be coarser than its first part, which is then brought to the same form by adding nothing.
            let mut expected = left.clone();
            let mut nothing = sum.clone();
            multiply(&mut nothing, 0.0);
            add(&mut expected, &nothing).unwrap();
            prop_assert!(back.is_almost(&expected, 1e-9), "{} instead of {}", back, expected);
        }

        #[test]
        fn the_order_of_a_sum_does_not_matter((left, right) in any_pair()) {
            let (mut one, mut other) = (left.clone(), right.clone());
            let combined = add(&mut one, &right).unwrap();
            prop_assert_eq!(combined, add(&mut other, &left).unwrap());
            prop_assert!(one.is_almost(&other, 1e-12), "{} and {}", one, other);
        }

        #[test]
        fn a_sum_holds_what_its_parts_hold((left, right) in any_pair()) {
            let total = |h: &FloatHistogram| {
                let buckets: f64 = h.positive.counts().iter().chain(h.negative.counts()).sum();
                buckets + h.zero_count
            };
            let mut sum = left.clone();
            add(&mut sum, &right).unwrap();
            prop_assert!((total(&sum) - total(&left) - total(&right)).abs() < 1e-6);
        }
    }
}
