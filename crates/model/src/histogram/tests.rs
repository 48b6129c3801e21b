use std::sync::Arc;

use super::*;

fn buckets(spans: &[(i32, u32)], counts: &[f64]) -> Buckets {
    let spans: Vec<Span> = spans
        .iter()
        .map(|&(offset, length)| Span { offset, length })
        .collect();
    Buckets::new(&spans, counts.to_vec()).unwrap()
}

/// Counts 1, 2, … of buckets at these indices.
fn counted(indices: &[i32]) -> Buckets {
    let mut builder = BucketsBuilder::default();
    for (position, &index) in indices.iter().enumerate() {
        builder.push(index, (position + 1) as f64);
    }
    builder.finish()
}

fn indexed(buckets: &Buckets) -> Vec<(i32, f64)> {
    buckets.iter().collect()
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: Schema::CUSTOM,
        count: counts.iter().sum(),
        positive: buckets(&[(0, u32::try_from(counts.len()).unwrap())], counts),
        custom_bounds: bounds.into(),
        ..FloatHistogram::default()
    }
}

#[test]
fn lower_resolution_adds_up_neighbours() {
    // Bucket 0 ends at 1 in every schema, so that 1 and 2 go together, and 0 with -1.
    assert_eq!(
        indexed(&counted(&[-1, 0, 1, 2, 3, 6]).reduced(1)),
        [(0, 3.0), (1, 7.0), (2, 5.0), (3, 6.0)]
    );
    assert_eq!(
        indexed(&counted(&[-1, 0, 1, 2]).reduced(70)),
        [(0, 3.0), (1, 7.0)]
    );
    let mut histogram = FloatHistogram {
        schema: Schema::new(2).unwrap(),
        positive: counted(&[1, 4, 5]),
        ..FloatHistogram::default()
    };
    histogram.reduce_to(Schema::HIGHEST);
    histogram.reduce_to(Schema::CUSTOM);
    assert_eq!(histogram.schema.number(), 2);
    histogram.reduce_to(Schema::new(0).unwrap());
    assert_eq!(
        (histogram.schema.number(), indexed(&histogram.positive)),
        (0, vec![(1, 3.0), (2, 3.0)])
    );
}

#[test]
fn buckets_come_in_order_of_values_cut_at_the_zero_threshold() {
    let histogram = FloatHistogram {
        zero_threshold: 0.75,
        zero_count: 5.0,
        positive: counted(&[0, 2]),
        negative: counted(&[0, 1]),
        ..FloatHistogram::default()
    };
    let bounds: Vec<_> = histogram
        .buckets()
        .map(|bucket| (bucket.lower, bucket.upper, bucket.count))
        .collect();
    let expected = [
        (-2.0, -1.0, 2.0),
        (-1.0, -0.75, 1.0),
        (-0.75, 0.75, 5.0),
        (0.75, 1.0, 1.0),
        (2.0, 4.0, 2.0),
    ];
    assert_eq!(bounds, expected);
    assert_eq!(histogram.buckets().rev().count(), 5);
    let bounds: Vec<_> = custom(&[-1.0, 5.0], &[1.0, 2.0, 3.0])
        .buckets()
        .map(|b| (b.lower, b.upper))
        .collect();
    assert_eq!(
        bounds,
        [(f64::NEG_INFINITY, -1.0), (-1.0, 5.0), (5.0, f64::INFINITY)]
    );
}

#[test]
fn histograms_print_as_in_prometheus() {
    let histogram = FloatHistogram {
        count: 20.0,
        sum: 10.0,
        zero_threshold: 0.001,
        zero_count: 2.0,
        positive: counted(&[0, 1]),
        negative: counted(&[0, 1]),
        ..FloatHistogram::default()
    };
    let expected = "{count:20, sum:10, [-2,-1):2, [-1,-0.5):1, [-0.001,0.001]:2, (0.5,1]:1, (1,2]:2}";
    assert_eq!(histogram.to_string(), expected);
    let mut custom = custom(&[0.5, 1e6], &[2e6, 0.0, 1.5]);
    custom.sum = f64::NAN;
    assert_eq!(
        custom.to_string(),
        "{count:2.0000015e+06, sum:NaN, [-Inf,0.5]:2e+06, (1e+06,+Inf]:1.5}"
    );
    assert_eq!(FloatHistogram::default().to_string(), "{count:0, sum:0}");
}

#[test]
fn three_kinds_of_equality_differ_in_layout_hint_and_tolerance() {
    let one = FloatHistogram {
        sum: f64::from_bits(0x7ff8_0000_0000_0abc),
        positive: counted(&[0, 1]),
        ..FloatHistogram::default()
    };
    let gauge = FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        ..one.clone()
    };
    assert!(one == one.clone() && one != gauge && one.is_same_data(&gauge));
    let other_nan = FloatHistogram {
        sum: f64::NAN,
        ..one.clone()
    };
    assert!(!one.is_same_data(&other_nan) && one.is_almost(&other_nan, 1e-6));
    let padded = FloatHistogram {
        positive: buckets(&[(-1, 1), (0, 2)], &[0.0, 1.0, 2.0 + 1e-7]),
        ..one.clone()
    };
    assert!(!one.is_same_data(&padded) && one.is_almost(&padded, 1e-6) && !one.is_almost(&padded, 1e-9));
    // Bounds that are not used do not matter to the data.
    let bounded = FloatHistogram {
        custom_bounds: [1.0].into(),
        ..one.clone()
    };
    assert!(one != bounded && one.is_same_data(&bounded));
    assert!(!custom(&[1.0], &[1.0]).is_almost(&custom(&[2.0], &[1.0]), 1.0));
    assert!(FloatHistogram::stale().is_stale() && !FloatHistogram::stale().is_almost(&other_nan, 1.0));
}

/// Layout and counts of a histogram checked one after the other.
fn validate_apart(histogram: &FloatHistogram) -> Result<(), HistogramError> {
    let layout = Arc::new(histogram.layout()?);
    layout.validate()?;
    let mut counts = Vec::new();
    histogram.push_counts(&mut counts);
    let apart = NativeHistogram {
        layout: &layout,
        hint: histogram.counter_reset_hint,
        sum: histogram.sum,
        counts: &counts,
    };
    apart.validate_counts()
}

#[test]
fn validation_names_what_does_not_fit() {
    let refused = |histogram: &FloatHistogram| {
        let error = histogram.validate().unwrap_err();
        assert_eq!(validate_apart(histogram), Err(error.clone()));
        error
    };
    let finite = custom(&[-1.0, 2.0], &[1.0, 2.0, 3.0]);
    for valid in [FloatHistogram::default(), finite, custom(&[], &[100.0])] {
        assert_eq!((valid.validate(), validate_apart(&valid)), (Ok(()), Ok(())));
    }
    for (bounds, position) in [
        (&[1.0, 1.0][..], 1),
        (&[f64::NAN], 0),
        (&[1.0, f64::INFINITY], 1),
        (&[2.0, 1.0], 1),
    ] {
        assert_eq!(
            refused(&custom(bounds, &[])),
            HistogramError::CustomBounds(position)
        );
    }
    let too_few = HistogramError::TooFewCustomBounds {
        index: 2,
        n_bounds: 1,
    };
    assert_eq!(refused(&custom(&[1.0], &[1.0, 1.0, 1.0])), too_few);
    let below = FloatHistogram {
        positive: counted(&[-1, 0]),
        ..custom(&[1.0], &[])
    };
    assert_eq!(
        refused(&below),
        HistogramError::TooFewCustomBounds {
            index: -1,
            n_bounds: 1
        }
    );
    let misplaced = |schema: i32, what: &'static str| HistogramError::Misplaced { schema, what };
    let zero = FloatHistogram {
        zero_count: 1.0,
        ..custom(&[1.0], &[])
    };
    assert_eq!(refused(&zero), misplaced(-53, "a zero bucket"));
    let negative = FloatHistogram {
        negative: counted(&[0]),
        ..custom(&[1.0], &[])
    };
    assert_eq!(refused(&negative), misplaced(-53, "negative buckets"));
    let bounds = FloatHistogram {
        custom_bounds: [1.0].into(),
        ..FloatHistogram::default()
    };
    assert_eq!(refused(&bounds), misplaced(0, "custom bounds"));
    let threshold = FloatHistogram {
        zero_threshold: -1.0,
        ..FloatHistogram::default()
    };
    assert_eq!(refused(&threshold), HistogramError::ZeroThreshold(-1.0));
    let falling = FloatHistogram {
        negative: buckets(&[(0, 2)], &[1.0, -2.0]),
        ..FloatHistogram::default()
    };
    assert_eq!(refused(&falling), HistogramError::NegativeCount(-2.0));
    let wide = FloatHistogram {
        positive: buckets(&[(0, 70_000)], &[1.0; 70_000]),
        ..FloatHistogram::default()
    };
    assert_eq!(refused(&wide), HistogramError::TooManyBuckets(70_000));
}

#[test]
fn stored_hints_follow_from_the_histogram_before() {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    let with = |count: f64, counts: &[f64], hint: CounterResetHint| FloatHistogram {
        count,
        counter_reset_hint: hint,
        positive: buckets(&[(0, u32::try_from(counts.len()).unwrap())], counts),
        ..FloatHistogram::default()
    };
    let first = with(3.0, &[1.0, 2.0], Unknown);
    let stored = |current: &FloatHistogram| CounterResetHint::as_stored(current, Some(&first));
    assert_eq!(
        CounterResetHint::as_stored(&with(3.0, &[], NotReset), None),
        Unknown
    );
    assert_eq!(CounterResetHint::as_stored(&with(3.0, &[], Gauge), None), Gauge);
    assert_eq!(stored(&with(4.0, &[1.0, 2.0, 1.0], Unknown)), NotReset);
    assert_eq!(stored(&with(4.0, &[1.0, 2.0, 1.0], Reset)), Unknown);
    assert_eq!(stored(&with(4.0, &[1.0, 2.0, 1.0], Gauge)), Gauge);
    assert_eq!(stored(&with(2.0, &[1.0, 2.0], Unknown)), Unknown);
    assert_eq!(stored(&with(4.0, &[4.0], NotReset)), Unknown);
    assert_eq!(
        stored(&FloatHistogram {
            schema: Schema::HIGHEST,
            ..first.clone()
        }),
        Unknown
    );
    assert_eq!(
        stored(&FloatHistogram {
            zero_threshold: 1.0,
            ..first.clone()
        }),
        Unknown
    );
    assert_eq!(stored(&FloatHistogram::stale()), NotReset);
    assert_eq!(
        CounterResetHint::as_stored(&first, Some(&FloatHistogram::stale())),
        Unknown
    );
    assert_eq!(
        CounterResetHint::as_stored(&first, Some(&with(0.0, &[], Gauge))),
        Unknown
    );
    assert_eq!(
        CounterResetHint::as_stored(&custom(&[1.0], &[2.0]), Some(&custom(&[2.0], &[1.0]))),
        Unknown
    );
}
