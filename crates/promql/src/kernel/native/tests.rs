//! Histograms for the tests of this folder, and tests of the functions of one histogram. Texts are literals of test
//! scripts without their braces; most numbers are expectations of Prometheus' `native_histograms.test`.

use std::f64::consts::SQRT_2;

use model::FloatHistogram;
use model::histogram::{BucketsBuilder, CounterResetHint, Schema};
use model::number::almost_equal;
use proptest::prelude::*;

use super::trim::{Kept, trim};
use super::*;
use crate::script::histogram::parse_literal;

/// The histogram of a literal.
pub(crate) fn histogram(text: &str) -> FloatHistogram {
    parse_literal(text).unwrap().histogram
}

/// Fails unless it is what the literal says, its hint included if that is written.
#[track_caller]
pub(crate) fn check(found: &FloatHistogram, expected: &str) {
    let expected = parse_literal(expected).unwrap();
    let fits = found.is_almost(&expected.histogram, 1e-6)
        && (!expected.has_hint || found.counter_reset_hint == expected.histogram.counter_reset_hint);
    assert!(fits, "{found:?} instead of {:?}", expected.histogram);
}

/// Small counts at ascending indices from `first` on, some of them empty.
fn any_side(first: i32) -> impl Strategy<Value = model::histogram::Buckets> {
    let bucket = (0_i32..4, (0_i32..9).prop_map(f64::from));
    prop::collection::vec(bucket, 0..8).prop_map(move |steps| {
        let mut builder = BucketsBuilder::default();
        let mut index = first;
        for (gap, count) in steps {
            index += gap;
            builder.push(index, count);
            index += 1;
        }
        builder.finish()
    })
}

fn with_totals(mut histogram: FloatHistogram, sum: f64) -> FloatHistogram {
    let counts = histogram
        .positive
        .counts()
        .iter()
        .chain(histogram.negative.counts());
    histogram.count = counts.sum::<f64>() + histogram.zero_count;
    histogram.sum = sum;
    histogram
}

/// Buckets that do not overlap the zero bucket, whose threshold is a bound in all schemas; the count is their sum.
fn any_exponential() -> impl Strategy<Value = FloatHistogram> {
    let threshold = prop_oneof![Just(0.0), Just(0.25), Just(1.0), Just(4.0)];
    (-1_i32..4, threshold, (0_i32..5).prop_map(f64::from)).prop_flat_map(|(schema, threshold, zero_count)| {
        let first = if threshold == 0.0 {
            -6
        } else {
            // The bucket that begins at the threshold or next to it.
            (f64::log2(threshold) * 2_f64.powi(schema)).ceil() as i32 + 1
        };
        (
            any_side(first),
            any_side(first),
            (-50_i32..50).prop_map(f64::from),
        )
            .prop_map(move |(positive, negative, sum)| {
                let histogram = FloatHistogram {
                    schema: Schema::new(schema).unwrap(),
                    zero_threshold: threshold,
                    zero_count,
                    positive,
                    negative,
                    ..FloatHistogram::default()
                };
                with_totals(histogram, sum)
            })
    })
}

fn any_custom() -> impl Strategy<Value = FloatHistogram> {
    (
        prop::collection::btree_set(-8_i32..40, 0..7),
        (-50_i32..50).prop_map(f64::from),
    )
        .prop_flat_map(|(bounds, sum)| {
            let counts = prop::collection::vec((0_i32..9).prop_map(f64::from), bounds.len() + 1);
            counts.prop_map(move |counts| {
                let mut builder = BucketsBuilder::default();
                for (index, count) in (0..).zip(counts) {
                    builder.push(index, count);
                }
                let histogram = FloatHistogram {
                    schema: Schema::CUSTOM,
                    positive: builder.finish(),
                    custom_bounds: bounds.iter().map(|&bound| f64::from(bound)).collect(),
                    ..FloatHistogram::default()
                };
                with_totals(histogram, sum)
            })
        })
}

/// Any valid histogram.
pub(crate) fn any_histogram() -> impl Strategy<Value = FloatHistogram> {
    let hint = prop_oneof![
        Just(CounterResetHint::Unknown),
        Just(CounterResetHint::Reset),
        Just(CounterResetHint::NotReset),
        Just(CounterResetHint::Gauge),
    ];
    (prop_oneof![any_exponential(), any_custom()], hint).prop_map(|(histogram, hint)| FloatHistogram {
        counter_reset_hint: hint,
        ..histogram
    })
}

/// Two valid histograms that can be added.
pub(crate) fn any_pair() -> impl Strategy<Value = (FloatHistogram, FloatHistogram)> {
    prop_oneof![
        (any_exponential(), any_exponential()),
        (any_custom(), any_custom())
    ]
}

#[track_caller]
fn check_quantiles(text: &str, expected: &[(f64, f64)]) {
    let histogram = histogram(text);
    for &(phi, expected) in expected {
        let mut notes = Notes::default();
        let found = quantile(phi, &histogram, &mut notes);
        assert!(
            almost_equal(found, expected, 1e-12),
            "{phi} of {text}: {found} instead of {expected}"
        );
        assert!(notes.is_empty());
    }
}

#[test]
fn quantiles_are_interpolated_on_a_logarithmic_scale() {
    check_quantiles(
        "count:12 sum:100 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]",
        &[
            (1.001, f64::INFINITY),
            (1.0, 16.0),
            (0.99, 15.67072476139083),
            (0.9, 12.99603834169977),
            (0.6, 4.594793419988138),
            (0.5, 1.5874010519681994),
            (0.1, 0.0006),
            (0.0, 0.0),
            (-1.0, f64::NEG_INFINITY),
            (f64::NAN, f64::NAN),
        ],
    );
    check_quantiles(
        "count:12 sum:100 z_bucket:2 z_bucket_w:0.001 n_buckets:[2 3 0 1 4]",
        &[
            (1.0, 0.0),
            (0.99, -0.00006),
            (0.9, -0.0006),
            (0.5, -1.5874010519681996),
            (0.1, -12.996038341699768),
            (0.0, -16.0),
        ],
    );
    check_quantiles(
        "count:24 sum:100 z_bucket:4 z_bucket_w:0.001 buckets:[2 3 0 1 4] n_buckets:[2 3 0 1 4]",
        &[
            (0.99, 15.34822590920423),
            (0.7, 1.2030250360821164),
            (0.55, 0.0006),
            (0.5, 0.0),
            (0.45, -0.0006),
            (0.3, -1.2030250360821169),
            (0.01, -15.34822590920423),
        ],
    );
}

#[test]
fn quantiles_do_not_depend_on_the_schema_within_a_bucket() {
    check_quantiles("schema:-1 count:5 buckets:[0 5]", &[(0.5, 2.0)]);
    check_quantiles("schema:0 count:5 buckets:[0 0 5]", &[(0.5, 2.82842712474619)]);
    check_quantiles(
        "schema:1 count:5 n_buckets:[0 0 5]",
        &[(0.5, -1.6817928305074292)],
    );
    // Between two populated buckets: the lower end of the upper one.
    check_quantiles("count:8 buckets:[1 2 1] n_buckets:[1 2 1]", &[(0.5, 0.5)]);
    check_quantiles("", &[(0.5, f64::NAN), (2.0, f64::INFINITY)]);
}

#[test]
fn quantiles_of_custom_buckets_are_linear() {
    let text = "schema:-53 count:4 sum:5 custom_values:[5 10] buckets:[1 2 1]";
    check_quantiles(
        text,
        &[(0.5, 7.5), (0.0, 0.0), (0.125, 2.5), (0.9, 10.0), (1.0, 10.0)],
    );
    check_quantiles(
        "schema:-53 count:4 custom_values:[-2 3] buckets:[3 1]",
        &[(0.1, -2.0), (1.0, 3.0)],
    );
}

#[test]
fn observed_nans_skew_quantiles_and_are_noted() {
    let check = |text: &str, phi: f64, expected: f64, note: Option<Note>| {
        let mut notes = Notes::default();
        let found = quantile(phi, &histogram(text), &mut notes);
        assert!(almost_equal(found, expected, 1e-12), "{phi} of {text}: {found}");
        let mut expected = Notes::default();
        note.into_iter().for_each(|note| expected.add(note));
        assert_eq!(notes, expected);
    };
    check("count:3 sum:NaN", 1.0, f64::NAN, Some(Note::NanQuantile));
    let text = "count:15 sum:NaN buckets:[12]";
    check(text, 0.81, f64::NAN, Some(Note::NanQuantile));
    check(text, 0.8, 1.0, Some(Note::SkewedQuantile));
    check(text, 0.4, 0.7071067811865475, Some(Note::SkewedQuantile));
    // The sum of +Inf and -Inf is NaN as well, but nothing is missing in the buckets.
    check("count:12 sum:NaN buckets:[12]", 0.5, 0.7071067811865475, None);
    // As in Prometheus, the bucket of the quantile is lost when the rest is counted.
    check(
        "count:15 sum:NaN buckets:[6 6]",
        0.2,
        SQRT_2,
        Some(Note::SkewedQuantile),
    );
}

#[track_caller]
fn check_fractions(text: &str, expected: &[(f64, f64, f64)]) {
    let histogram = histogram(text);
    for &(lower, upper, expected) in expected {
        let mut notes = Notes::default();
        let found = fraction(lower, upper, &histogram, &mut notes);
        assert!(
            almost_equal(found, expected, 1e-12),
            "{lower} to {upper} of {text}: {found} instead of {expected}"
        );
        assert!(notes.is_empty());
    }
}

#[test]
fn fractions_are_the_inverse_of_quantiles() {
    const INF: f64 = f64::INFINITY;
    check_fractions(
        "count:12 sum:100 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]",
        &[
            (0.0, INF, 1.0),
            (-INF, 0.0, 0.0),
            (0.0, 0.001, 0.16666666666666666),
            (0.001, INF, 0.8333333333333334),
            (0.0, 0.0005, 0.08333333333333333),
            (1.0, 2.0, 0.25),
            (0.0, 1.5, 0.4795739585136224),
            (1.5, 6.0, 0.15250624987980724),
            (-8.0, -1.0, 0.0),
            (42.0, 3.5, 0.0),
            (42.0, 42.0, 0.0),
            (f64::NAN, 42.0, f64::NAN),
        ],
    );
    check_fractions(
        "count:24 sum:100 z_bucket:4 z_bucket_w:0.001 buckets:[2 3 0 1 4] n_buckets:[2 3 0 1 4]",
        &[
            (-0.0005, 0.0005, 0.08333333333333333),
            (-INF, -0.0005, 0.4583333333333333),
            (-2.0, -1.5, 0.051879687409855456),
            (-6.0, -1.0, 0.14937343753004817),
            (-INF, INF, 1.0),
        ],
    );
    let custom = "schema:-53 count:4 sum:5 custom_values:[5 10] buckets:[1 2 1]";
    check_fractions(
        custom,
        &[
            (5.0, 10.0, 0.5),
            (-INF, 7.5, 0.5),
            (6.0, 20.0, 0.4),
            (-3.0, 6.0, 0.35),
        ],
    );
    check_fractions("", &[(-INF, INF, f64::NAN)]);
    let mut notes = Notes::default();
    let found = fraction(
        -INF,
        0.7071067811865475,
        &histogram("count:15 sum:NaN buckets:[12]"),
        &mut notes,
    );
    assert!(almost_equal(found, 0.4, 1e-12) && notes.contains(Note::NanFraction));
}

#[test]
fn deviations_come_from_the_middles_of_buckets() {
    let check = |text: &str, expected: f64| {
        let found = statistics::variance(&histogram(text));
        assert!(
            almost_equal(found, expected, 1e-9),
            "{text}: {found} instead of {expected}"
        );
        assert_eq!(
            statistics::deviation(&histogram(text)).to_bits(),
            found.sqrt().to_bits()
        );
    };
    check(
        "schema:2 count:4 sum:10 buckets:[1 0 0 0 1 0 0 1 1]",
        1.163807968526718,
    );
    check(
        "schema:8 count:10 sum:10 buckets:[1 2 3 4]",
        2.3971123370139447e-05,
    );
    check(
        "count:10 sum:-112946 n_buckets:[0 0 1 1 1 0 1 1 0 0 3 0 0 0 1 0 0 1]",
        759352122.1939945,
    );
    check("schema:-53 count:2 sum:10 custom_values:[4 6] buckets:[0 2]", 0.0);
    check("count:7 sum:NaN buckets:[7]", f64::NAN);
    check("", f64::NAN);
    assert_eq!(statistics::avg(&histogram("count:4 sum:5")), 1.25);
}

#[track_caller]
fn check_trim(text: &str, kept: Kept, limit: f64, expected: &str) {
    let mut trimmed = histogram(text);
    trim(&mut trimmed, limit, kept);
    check(&trimmed, expected);
}

#[test]
fn exponential_buckets_are_cut_on_a_logarithmic_scale() {
    let text = "sum:123.75 count:34 z_bucket:1 z_bucket_w:0.001 buckets:[2 4 8 16] n_buckets:[1 2]";
    check_trim(text, Kept::Above, f64::NEG_INFINITY, text);
    check_trim(text, Kept::Below, f64::INFINITY, text);
    check_trim(text, Kept::Above, f64::INFINITY, "z_bucket_w:0.001");
    check_trim(
        text,
        Kept::Below,
        f64::NAN,
        "z_bucket_w:0.001 z_bucket:NaN count:NaN sum:NaN",
    );
    check_trim(
        text,
        Kept::Above,
        0.0,
        "sum:120.20840280171308 count:30.5 z_bucket:0.5 z_bucket_w:0.001 buckets:[2 4 8 16]",
    );
    check_trim(
        text,
        Kept::Below,
        SQRT_2,
        "count:8 sum:0.2570938865989847 z_bucket:1 z_bucket_w:0.001 buckets:[2 2] n_buckets:[1 2]",
    );
    check_trim(
        text,
        Kept::Below,
        -1.0,
        "count:2 sum:-2.8284271247461903 z_bucket_w:0.001 n_offset:1 n_buckets:[2]",
    );
    let fine = "schema:2 sum:12.8286080906 count:28 z_bucket:1 z_bucket_w:0.001 buckets:[1 2 4 7 3] n_buckets:[1 5 3 1]";
    check_trim(
        fine,
        Kept::Above,
        -1.3,
        "schema:2 count:25.54213947904476 sum:16.29588491217537 z_bucket:1 z_bucket_w:0.001 buckets:[1 2 4 7 3] \
         n_buckets:[1 5 1.54213947904476]",
    );
}

#[test]
fn the_zero_bucket_is_cut_where_its_observations_can_be() {
    let positive = "sum:8.0210678118654755 count:12 z_bucket:2 z_bucket_w:0.5 buckets:[10]";
    check_trim(
        positive,
        Kept::Above,
        0.1,
        "count:11.6 sum:7.551067811865476 z_bucket:1.6 z_bucket_w:0.5 buckets:[10]",
    );
    check_trim(positive, Kept::Above, 0.0, positive);
    check_trim(positive, Kept::Below, 0.0, "z_bucket_w:0.5");
    let negative = "sum:-8.0210678118654755 count:12 z_bucket:2 z_bucket_w:0.5 n_buckets:[10]";
    check_trim(
        negative,
        Kept::Above,
        -0.1,
        "count:0.4 sum:-0.02 z_bucket:0.4 z_bucket_w:0.5",
    );
    let alone = "count:5 z_bucket:5 z_bucket_w:0.1";
    check_trim(
        alone,
        Kept::Above,
        0.05,
        "count:1.25 sum:0.09375 z_bucket:1.25 z_bucket_w:0.1",
    );
    check_trim(alone, Kept::Below, -0.1, "z_bucket_w:0.1");
    check_trim(alone, Kept::Above, -0.1, alone);
    check_trim("", Kept::Below, 5.0, "");
}

#[test]
fn custom_buckets_are_cut_linearly_and_endless_ones_not_at_all() {
    let text = "schema:-53 sum:172.5 count:15 custom_values:[5 10 15 20] buckets:[1 6 4 3 1]";
    let with = |rest: &str| format!("schema:-53 custom_values:[5 10 15 20] {rest}");
    check_trim(
        text,
        Kept::Below,
        13.0,
        &with("count:9.4 sum:75.1 buckets:[1 6 2.4]"),
    );
    check_trim(
        text,
        Kept::Above,
        13.0,
        &with("count:5.6 sum:94.9 offset:2 buckets:[1.6 3 1]"),
    );
    check_trim(
        text,
        Kept::Below,
        50.0,
        &with("count:14 sum:150 buckets:[1 6 4 3]"),
    );
    check_trim(text, Kept::Above, 0.0, text);
    check_trim(text, Kept::Below, 0.0, &with(""));
    let one = "schema:-53 sum:100 count:100 buckets:[100]";
    check_trim(one, Kept::Below, 10.0, "schema:-53");
    check_trim(one, Kept::Above, 10.0, "schema:-53");
    check_trim(one, Kept::Below, f64::INFINITY, one);
    let at_five = "schema:-53 sum:33 count:101 custom_values:[5] buckets:[1 100]";
    check_trim(
        at_five,
        Kept::Below,
        2.0,
        "schema:-53 sum:0.4 count:0.4 custom_values:[5] buckets:[0.4]",
    );
    check_trim(
        at_five,
        Kept::Above,
        2.0,
        "schema:-53 sum:502.1 count:100.6 custom_values:[5] buckets:[0.6 100]",
    );
    check_trim(
        at_five,
        Kept::Above,
        10.0,
        "schema:-53 sum:1000 count:100 custom_values:[5] offset:1 buckets:[100]",
    );
    let below_zero = "schema:-53 sum:33 count:101 custom_values:[-5] buckets:[1 100]";
    check_trim(
        below_zero,
        Kept::Below,
        -10.0,
        "schema:-53 sum:-10 count:1 custom_values:[-5] buckets:[1]",
    );
    check_trim(
        below_zero,
        Kept::Above,
        -2.0,
        "schema:-53 sum:-200 count:100 custom_values:[-5] offset:1 buckets:[100]",
    );
}

#[test]
fn a_histogram_counts_for_as_many_samples_as_its_size() {
    assert_eq!(sample_weight(&FloatHistogram::default()), 11);
    assert_eq!(sample_weight(&histogram("buckets:[1 2 3] n_buckets:[1]")), 14);
    assert_eq!(
        sample_weight(&histogram("schema:-53 custom_values:[1 2] buckets:[1 2 3]")),
        14
    );
}

fn quantile_of(phi: f64, histogram: &FloatHistogram) -> f64 {
    quantile(phi, histogram, &mut Notes::default())
}

proptest! {
    #[test]
    fn quantiles_rise_with_phi(histogram in any_histogram(), phis in prop::collection::vec(0.0_f64..=1.0, 2..20)) {
        let mut phis = phis;
        phis.sort_by(f64::total_cmp);
        let quantiles: Vec<f64> = phis.iter().map(|&phi| quantile_of(phi, &histogram)).collect();
        if histogram.count == 0.0 {
            prop_assert!(quantiles.iter().all(|quantile| quantile.is_nan()));
        } else {
            for pair in quantiles.windows(2) {
                let slack = 1e-9 * pair[0].abs().max(1e-9);
                prop_assert!(pair[0] <= pair[1] + slack, "{:?} of {}", quantiles, histogram);
            }
        }
    }

    #[test]
    fn the_fraction_below_a_quantile_is_its_phi(histogram in any_exponential(), phi in 0.01_f64..0.99) {
        let value = quantile_of(phi, &histogram);
        // Where several φ have the same quantile, between two buckets, there is no way back.
        let is_flat = histogram.buckets().any(|bucket| bucket.lower == value || bucket.upper == value);
        if histogram.count > 0.0 && !is_flat {
            let back = fraction(f64::NEG_INFINITY, value, &histogram, &mut Notes::default());
            prop_assert!((back - phi).abs() < 1e-6, "{} becomes {} over {} of {}", phi, back, value, histogram);
        }
    }

    #[test]
    fn both_trims_together_hold_everything(histogram in any_exponential(), limit in -20.0_f64..20.0) {
        // Buckets that are there but empty tell fraction, but not trim, on which side of zero observations are.
        let mut histogram = histogram;
        histogram.compact(0);
        let trimmed = |kept: Kept| {
            let mut trimmed = histogram.clone();
            trim(&mut trimmed, limit, kept);
            trimmed
        };
        let (below, above) = (trimmed(Kept::Below), trimmed(Kept::Above));
        prop_assert!((below.count + above.count - histogram.count).abs() < 1e-6);
        let share = fraction(f64::NEG_INFINITY, limit, &histogram, &mut Notes::default());
        if histogram.count > 0.0 {
            prop_assert!((below.count - share * histogram.count).abs() < 1e-6);
        }
    }

    #[test]
    fn a_mean_of_equal_histograms_is_each_of_them(histogram in any_histogram(), n in 1_usize..9) {
        let mut mean = HistogramMean::new(histogram.clone());
        for _ in 1..n {
            mean.add(&histogram).unwrap();
        }
        prop_assert!(mean.finish().is_almost(&histogram, 1e-12));
    }

    #[test]
    fn a_compensated_sum_is_the_sum_within_rounding((left, right) in any_pair(), third in any_pair()) {
        let others: Vec<_> = [right, third.0, third.1].into_iter().filter(|other| other.is_custom() == left.is_custom()).collect();
        let (mut plain, mut compensated) = (left.clone(), Compensated::new(left));
        for other in &others {
            arithmetic::add(&mut plain, other).unwrap();
            compensated.add(other).unwrap();
        }
        let compensated = compensated.finish();
        prop_assert!(compensated.is_almost(&plain, 1e-9), "{} and {}", compensated, plain);
    }
}
