use proptest::prelude::*;

use super::*;

/// The formula as written down in the Prometheus documentation of 3.14, sample by sample.
fn naive(kind: RateKind, timestamps_ms: &[i64], values: &[f64], range: TimeRange) -> Option<f64> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let mut result = values[n - 1] - values[0];
    if kind.is_counter() {
        for row in 1..n {
            if values[row] < values[row - 1] {
                result += values[row - 1];
            }
        }
    }
    let mut to_start = (timestamps_ms[0] - range.start_ms) as f64 / 1000.0;
    let mut to_end = (range.end_ms - timestamps_ms[n - 1]) as f64 / 1000.0;
    let sampled = (timestamps_ms[n - 1] - timestamps_ms[0]) as f64 / 1000.0;
    let average = sampled / (n - 1) as f64;
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if kind.is_counter() && result > 0.0 && values[0] >= 0.0 {
        let to_zero = sampled * (values[0] / result);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let mut factor = if sampled == 0.0 {
        1.0
    } else {
        (sampled + to_start + to_end) / sampled
    };
    if kind == RateKind::Rate {
        let range_ms = range.end_ms - range.start_ms;
        factor /= (range_ms / 1000) as f64 + ((range_ms % 1000) * 1_000_000) as f64 / 1e9;
    }
    Some(result * factor)
}

const KINDS: [RateKind; 3] = [RateKind::Rate, RateKind::Increase, RateKind::Delta];

/// Samples at multiples of `gap_s`, evaluated at `at_s` over the last `range_s`.
#[track_caller]
fn check(kind: RateKind, values: &[f64], gap_s: i64, at_s: i64, range_s: i64, expected: f64) {
    let timestamps: Vec<i64> = (0_i64..)
        .map(|row| row * gap_s * 1000)
        .take(values.len())
        .collect();
    let mut found = Vec::new();
    let mut stream = StreamRate::new(kind);
    stream.prepare(&timestamps, StepTimes::instant(at_s * 1000), range_s * 1000);
    stream.lane(values, |_, value| found.push(value));
    assert!(
        found.len() == 1 && (found[0] - expected).abs() < 1e-9,
        "{found:?} instead of {expected}"
    );
}

fn line(first: f64, slope: f64) -> Vec<f64> {
    (0..11).map(|row| first + slope * f64::from(row)).collect()
}

#[test]
fn increases_are_extrapolated_at_most_to_zero() {
    // functions.test: five minutes between samples; "dings" starts at 10, "bumms" at 1.
    check(RateKind::Increase, &line(0.0, 10.0), 300, 3000, 6000, 100.0);
    check(RateKind::Increase, &line(10.0, 10.0), 300, 3000, 6000, 105.0);
    check(RateKind::Increase, &line(1.0, 10.0), 300, 3000, 6000, 101.0);
    check(RateKind::Increase, &line(1.0, 10.0), 300, 3000, 3000, 100.0);
    check(
        RateKind::Rate,
        &line(0.0, 80.0),
        300,
        3000,
        3000,
        0.26666666666666666,
    );
}

#[test]
fn the_zero_point_matters_up_to_half_a_gap() {
    // functions.test: counters that began 0 to 5 minutes before their first sample, scraped every 4 minutes.
    for (first, expected) in [
        (0.0, 0.5),
        (60.0, 0.55),
        (120.0, 0.6),
        (180.0, 0.6),
        (240.0, 0.6),
        (300.0, 0.6),
    ] {
        check(RateKind::Rate, &line(first, 240.0)[..3], 240, 600, 1200, expected);
        check(RateKind::Rate, &line(first, 240.0), 240, 2400, 1200, 1.0);
    }
}

#[test]
fn resets_count_from_zero() {
    check(
        RateKind::Increase,
        &[0.0, 1.0, 2.0, 3.0, 2.0, 3.0, 4.0],
        300,
        1800,
        1800,
        7.0,
    );
    check(
        RateKind::Delta,
        &[0.0, 50.0, 100.0, 150.0, 200.0],
        300,
        1200,
        1200,
        200.0,
    );
    check(
        RateKind::Delta,
        &[200.0, 150.0, 100.0, 50.0, 0.0],
        300,
        1200,
        1200,
        -200.0,
    );
    assert_eq!(counter_increase(&[5.0, 3.0, 4.0, 1.0]), -4.0 + 5.0 + 4.0);
    assert_eq!((counter_increase(&[]), counter_increase(&[7.0])), (0.0, 0.0));
}

#[test]
fn one_sample_gives_no_rate() {
    let mut stream = StreamRate::new(RateKind::Rate);
    let times = StepTimes {
        first_ms: 0,
        step_ms: 60_000,
        n_steps: 5,
    };
    stream.prepare(&[0, 60_000, 120_000], times, 90_000);
    assert_eq!(stream.present_steps().collect::<Vec<_>>(), [1, 2]);
    let mut results = [-1.0; 5];
    stream.lane_into(&[1.0, 2.0, 4.0], &mut results);
    assert!(results[0] == -1.0 && results[1] > 0.0 && results[2] > results[1] && results[3..] == [-1.0; 2]);
}

#[test]
#[should_panic(expected = "one value per timestamp")]
fn a_lane_with_absent_rows_is_a_mistake_of_the_caller() {
    let mut stream = StreamRate::new(RateKind::Rate);
    stream.prepare(&[0, 1], StepTimes::instant(1), 10);
    stream.lane(&[1.0], |_, _| {});
}

#[test]
fn a_lane_that_lacks_rows_is_copied_out() {
    let mut lane = DenseLane::default();
    let times = [10, 20, 30, 40];
    assert!(lane.fill(&times, &[1.0, 2.0, 3.0, 4.0], |row, value| row != 0
        && value != 3.0));
    assert_eq!(
        (lane.timestamps_ms.as_slice(), lane.values.as_slice()),
        (&[20, 40][..], &[2.0, 4.0][..])
    );
    assert!(!lane.fill(&times, &[0.0, 5.0, 3.0, 6.0], |row, value| row != 0
        && value != 3.0));
    assert_eq!(lane.values, [5.0, 6.0]);
    assert!(lane.fill(&times, &[0.0; 4], |row, _| row < 2));
}

#[test]
fn times_at_both_ends_of_the_calendar_are_no_reason_to_fail() {
    let mut stream = StreamRate::new(RateKind::Rate);
    stream.prepare(&[i64::MIN + 1, i64::MAX], StepTimes::instant(i64::MAX), i64::MAX);
    assert_eq!(stream.present_steps().len(), 0);
    stream.prepare(&[1, i64::MAX], StepTimes::instant(i64::MAX), i64::MAX);
    stream.lane(&[1.0, 2.0], |_, value| assert!(value > 0.0));
}

#[test]
fn instant_rates_use_the_last_two_samples() {
    let times = [0, 300_000, 600_000];
    assert_eq!(
        instant_delta(true, &times, &[0.0, 10.0, 20.0]),
        Some(10.0 / 300.0)
    );
    assert_eq!(instant_delta(true, &times, &[40.0, 50.0, 6.0]), Some(6.0 / 300.0));
    assert_eq!(instant_delta(false, &times, &[0.0, 100.0, 50.0]), Some(-50.0));
    assert!(
        instant_delta(true, &times, &[1.0, 2.0, f64::NAN])
            .unwrap()
            .is_nan()
    );
    assert_eq!(instant_delta(false, &times[..1], &[1.0]), None);
    assert_eq!(instant_delta(false, &[5, 5], &[1.0, 2.0]), None);
}

fn counter_values() -> impl Strategy<Value = f64> {
    prop_oneof![
        10 => 0.0_f64..1e6,
        4 => (0_i32..4).prop_map(f64::from),
        1 => -10.0_f64..0.0,
        1 => prop::sample::select(vec![
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e-310, f64::MIN_POSITIVE, f64::MAX, -0.0, 1e300,
        ]),
    ]
}

/// Streams with odd gaps: some rise for ever, some reset, some hold numbers that make trouble.
fn streams() -> impl Strategy<Value = (Vec<i64>, Vec<f64>)> {
    let rising = (0.0_f64..50.0, prop::collection::vec(0.0_f64..30.0, 0..120)).prop_map(|(first, rises)| {
        rises
            .iter()
            .scan(first, |value, rise| {
                *value += rise.floor();
                Some(*value)
            })
            .collect::<Vec<f64>>()
    });
    let values = prop_oneof![rising, prop::collection::vec(counter_values(), 0..120)];
    values
        .prop_flat_map(|values| {
            let gaps = prop::collection::vec(1_i64..40_000, values.len());
            (gaps, Just(values))
        })
        .prop_map(|(gaps, values)| {
            (
                gaps.iter()
                    .scan(0, |at, gap| {
                        *at += gap;
                        Some(*at)
                    })
                    .collect(),
                values,
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_shared_computation_has_the_bits_of_the_naive_one(
        (timestamps, values) in streams(),
        first_ms in -10_000_i64..400_000,
        step_ms in 0_i64..90_000,
        range_ms in 1_i64..600_000,
    ) {
        let times = StepTimes { first_ms, step_ms, n_steps: 20 };
        for kind in KINDS {
            let mut stream = StreamRate::new(kind);
            stream.prepare(&timestamps, times, range_ms);
            let mut found = vec![None; times.n_steps];
            stream.lane(&values, |step_idx, value| found[step_idx] = Some(value.to_bits()));
            for (step_idx, rows) in windows(&timestamps, times, range_ms).enumerate() {
                let range = TimeRange::ending_at(times.at(step_idx), range_ms);
                let expected = naive(kind, &timestamps[rows.clone()], &values[rows.clone()], range);
                let both_nan = expected.is_some_and(f64::is_nan)
                    && found[step_idx].is_some_and(|bits| f64::from_bits(bits).is_nan());
                prop_assert!(both_nan || found[step_idx] == expected.map(f64::to_bits), "{kind:?} {step_idx} {rows:?}");
            }
        }
    }

    #[test]
    fn a_reset_is_found_wherever_it_is(values in prop::collection::vec(counter_values(), 0..200)) {
        prop_assert_eq!(has_reset(&values), values.windows(2).any(|pair| pair[1] < pair[0]));
    }

    #[test]
    fn a_ratio_that_is_safe_never_hides_a_zero_point(
        sampled_ms in 1_i64..10_000_000,
        to_start_ms in 1_i64..10_000_000,
    ) {
        let (sampled, to_start) = (seconds_between(0, sampled_ms), seconds_between(0, to_start_ms));
        let ratio = safe_ratio(sampled, to_start);
        prop_assert!(sampled * ratio >= to_start);
        prop_assert!((ratio * sampled / to_start - 1.0).abs() < 1e-12);
    }
}
