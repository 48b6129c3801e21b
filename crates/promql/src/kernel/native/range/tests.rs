use std::sync::Arc;

use model::{FloatHistogram, TimeRange};

use super::super::reset::resets;
use super::super::tests::{check, histogram};
use super::super::window::Samples;
use super::*;
use crate::function::FunctionId;
use crate::kernel::rate::RateKind;

/// A series one minute apart: numbers are floats, `_` is a gap, all else are histograms.
struct Series {
    floats: (Vec<i64>, Vec<f64>),
    histograms: (Vec<i64>, Vec<Arc<FloatHistogram>>),
    starts: (Vec<i64>, Vec<i64>),
}

const MINUTE_MS: i64 = 60_000;

impl Series {
    fn new(points: &[&str]) -> Self {
        let mut series = Self {
            floats: Default::default(),
            histograms: Default::default(),
            starts: Default::default(),
        };
        for (at_ms, point) in (0..).step_by(60_000).zip(points) {
            if let Ok(value) = point.parse::<f64>() {
                series.floats.0.push(at_ms);
                series.floats.1.push(value);
            } else if *point != "_" {
                series.histograms.0.push(at_ms);
                series.histograms.1.push(Arc::new(histogram(point)));
            }
        }
        series
    }

    /// With the same start timestamp relative to every sample.
    fn starting(points: &[&str], offset_ms: i64) -> Self {
        let mut series = Self::new(points);
        let starts = |times: &[i64]| times.iter().map(|at_ms| at_ms + offset_ms).collect();
        series.starts = (starts(&series.floats.0), starts(&series.histograms.0));
        series
    }

    /// All samples up to minute `end`; the range reaches back `minutes`.
    fn window<'a>(&'a self, end: f64, minutes: f64, resets: &'a [bool]) -> MixedWindow<'a> {
        let end_ms = (end * MINUTE_MS as f64) as i64;
        MixedWindow {
            floats: Samples {
                timestamps_ms: &self.floats.0,
                values: &self.floats.1,
                starts_ms: &self.starts.0,
            },
            histograms: Samples {
                timestamps_ms: &self.histograms.0,
                values: &self.histograms.1,
                starts_ms: &self.starts.1,
            },
            resets,
            range: TimeRange::ending_at(end_ms, (minutes * MINUTE_MS as f64) as i64),
            evaluation_ms: end_ms,
        }
    }

    /// The result over all samples, the same whether resets are known before or not.
    fn evaluate(&self, id: FunctionId, end: f64, minutes: f64) -> (Option<FloatOrHistogram>, Notes) {
        let function = NativeRangeFunction(RangeFunction::new(id, &[0.5]).unwrap());
        let evaluate = |resets: &[bool]| {
            let mut notes = Notes::default();
            let result = function.evaluate(&self.window(end, minutes, resets), &mut notes);
            (result, notes)
        };
        let found = evaluate(&resets(&self.histograms.1));
        assert_eq!(found, evaluate(&[]));
        found
    }
}

#[track_caller]
fn check_notes(notes: Notes, expected: &[Note]) {
    let mut all = Notes::default();
    expected.iter().for_each(|&note| all.add(note));
    assert_eq!(notes, all);
}

#[track_caller]
fn check_histogram(
    points: &[&str],
    id: FunctionId,
    [end, minutes]: [f64; 2],
    expected: &str,
    expected_notes: &[Note],
) {
    let (found, notes) = Series::new(points).evaluate(id, end, minutes);
    check(found.unwrap().histogram().unwrap(), expected);
    check_notes(notes, expected_notes);
}

#[track_caller]
fn check_float(points: &[&str], id: FunctionId, expected: Option<f64>, expected_notes: &[Note]) {
    let n = points.len() as f64;
    let (found, notes) = Series::new(points).evaluate(id, n - 1.0, n);
    assert_eq!(
        found,
        expected.map(FloatOrHistogram::Float),
        "{id:?} of {points:?}"
    );
    check_notes(notes, expected_notes);
}

const COUNTER: [&str; 3] = [
    "sum:4 count:4 buckets:[1 2 1]",
    "sum:6 count:5 buckets:[1 3 1]",
    "sum:8 count:6 buckets:[1 4 1]",
];
const CUSTOM: &str = "schema:-53 sum:1 count:1 custom_values:[5 10] buckets:[1]";
const EXPONENTIAL: &str = "sum:5 count:4 buckets:[1 2 1]";

#[test]
fn rates_are_extrapolated_bucket_by_bucket() {
    let rise = "count:2 sum:4 offset:1 buckets:[2] counter_reset_hint:gauge";
    check_histogram(&COUNTER, FunctionId::Increase, [2.0, 2.0], rise, &[]);
    check_histogram(
        &COUNTER,
        FunctionId::Rate,
        [2.0, 2.0],
        "count:0.016666666666666666 sum:0.03333333333333333 offset:1 buckets:[0.016666666666666666]",
        &[],
    );
    check_histogram(&COUNTER, FunctionId::Delta, [2.0, 2.0], rise, &[Note::NotGauge]);
    // The count is 0 before the range begins: one bucket is extrapolated below its own zero point.
    check_histogram(
        &[
            "count:15 sum:25 buckets:[5 10]",
            "count:2490 sum:75 buckets:[15 2475]",
        ],
        FunctionId::Increase,
        [1.0, 1.5],
        "count:2490 sum:50.303030303030305 buckets:[10.06060606060606 2479.939393939394]",
        &[],
    );
    check_float(&COUNTER[..1], FunctionId::Rate, None, &[]);
}

#[test]
fn what_was_before_a_reset_is_added() {
    check_histogram(
        &[
            "sum:5 count:4 buckets:[1 2 1]",
            "sum:6 count:5 buckets:[1 1 3]",
            "sum:7 count:6 buckets:[1 2 3]",
        ],
        FunctionId::Increase,
        [2.0, 3.0],
        "count:9 sum:10.5 buckets:[1.5 3 4.5]",
        &[],
    );
    // A first sample before a reset may even have buckets of the other kind.
    check_histogram(
        &[CUSTOM, EXPONENTIAL],
        FunctionId::Increase,
        [1.0, 2.0],
        "count:5 sum:6.25 buckets:[1.25 2.5 1.25]",
        &[],
    );
}

#[test]
fn gauges_and_mixed_schemas_are_noted() {
    let gauges = [
        "sum:1 count:1 buckets:[1] counter_reset_hint:gauge",
        "sum:2 count:2 buckets:[2]",
    ];
    check_histogram(
        &gauges,
        FunctionId::Increase,
        [1.0, 1.0],
        "sum:1 count:1 buckets:[1]",
        &[Note::NotCounter],
    );
    check_histogram(
        &gauges,
        FunctionId::Irate,
        [1.0, 9.0],
        "sum:0.016666666666666666 count:0.016666666666666666 buckets:[0.016666666666666666]",
        &[Note::NotCounter],
    );
    check_histogram(
        &gauges,
        FunctionId::Idelta,
        [1.0, 9.0],
        "sum:1 count:1 buckets:[1]",
        &[Note::NotGauge],
    );
    for id in [FunctionId::Rate, FunctionId::Increase] {
        check_float(
            &[EXPONENTIAL, CUSTOM, EXPONENTIAL],
            id,
            None,
            &[Note::MixedSchemas],
        );
        check_float(&[CUSTOM, EXPONENTIAL, CUSTOM], id, None, &[Note::MixedSchemas]);
    }
    check_float(
        &[CUSTOM, EXPONENTIAL],
        FunctionId::Idelta,
        None,
        &[Note::NotGauge, Note::MixedSchemas],
    );
    for id in [FunctionId::SumOverTime, FunctionId::AvgOverTime] {
        check_float(&[CUSTOM, EXPONENTIAL], id, None, &[Note::MixedSchemas]);
    }
}

#[test]
fn the_lowest_resolution_between_decides() {
    check_histogram(
        &[
            "schema:1 count:2 buckets:[1 1]",
            "schema:0 count:3 buckets:[1 2]",
            "schema:0 count:4 buckets:[1 3]",
        ],
        FunctionId::Increase,
        [2.0, 2.0],
        "schema:0 count:2 offset:1 buckets:[2]",
        &[],
    );
}

#[test]
fn differing_custom_bounds_are_reconciled() {
    let bounds = "schema:-53 sum:1 count:1 custom_values:[5] buckets:[1]";
    let points = [bounds, bounds, CUSTOM];
    let common = "schema:-53 custom_values:[5] ";
    let with = |rest: &str| format!("{common}{rest}");
    let aggregated = [Note::BoundsInAggregation];
    check_histogram(
        &points,
        FunctionId::SumOverTime,
        [2.0, 3.0],
        &with("count:3 sum:3 buckets:[3]"),
        &aggregated,
    );
    check_histogram(
        &points,
        FunctionId::AvgOverTime,
        [2.0, 3.0],
        &with("count:1 sum:1 buckets:[1]"),
        &aggregated,
    );
    check_histogram(
        &points,
        FunctionId::Increase,
        [2.0, 3.0],
        common,
        &[Note::BoundsInSubtraction],
    );
    let before_reset = "schema:-53 sum:1 count:9 custom_values:[5 10] buckets:[9]";
    check_histogram(
        &[bounds, before_reset, bounds],
        FunctionId::Increase,
        [2.0, 2.0],
        &with("sum:1 count:9 buckets:[9]"),
        &[Note::BoundsInAddition],
    );
}

#[test]
fn instant_rates_begin_anew_after_a_reset() {
    let before = "schema:-53 sum:55 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]";
    let after = "schema:-53 sum:56 count:15 custom_values:[2 3 4 6] buckets:[1 0 1 5 8]";
    check_histogram(
        &[before, after],
        FunctionId::Idelta,
        [1.0, 2.0],
        "schema:-53 sum:1 custom_values:[2 4 6] offset:1 buckets:[-1 0 1]",
        &[Note::NotGauge, Note::BoundsInSubtraction],
    );
    let (found, notes) = Series::new(&[before, after]).evaluate(FunctionId::Irate, 1.0, 2.0);
    let mut found = FloatHistogram::clone(found.unwrap().histogram().unwrap());
    super::super::arithmetic::multiply(&mut found, 60.0);
    check(&found, &format!("{after} counter_reset_hint:gauge"));
    check_notes(notes, &[]);
    check_float(
        &["1", "2", EXPONENTIAL, "4"],
        FunctionId::Irate,
        None,
        &[Note::MixedWindow],
    );
    check_float(&[EXPONENTIAL, "4", "10"], FunctionId::Irate, Some(0.1), &[]);
    check_float(&[EXPONENTIAL, "4", "3"], FunctionId::Irate, Some(0.05), &[]);
    check_float(&[EXPONENTIAL, "4", "3"], FunctionId::Idelta, Some(-1.0), &[]);
}

#[test]
fn floats_and_histograms_do_not_add_up() {
    let mixed = ["1", EXPONENTIAL, "3", EXPONENTIAL];
    for id in [
        FunctionId::Rate,
        FunctionId::Increase,
        FunctionId::Delta,
        FunctionId::SumOverTime,
        FunctionId::AvgOverTime,
    ] {
        check_float(&mixed, id, None, &[Note::MixedWindow]);
    }
}

#[test]
fn counting_and_picking_take_any_mixture() {
    let mixed = ["1", EXPONENTIAL, EXPONENTIAL, "3", "3", CUSTOM, "_", EXPONENTIAL];
    check_float(&mixed, FunctionId::CountOverTime, Some(7.0), &[]);
    check_float(&mixed, FunctionId::PresentOverTime, Some(1.0), &[]);
    check_float(&mixed, FunctionId::Changes, Some(4.0), &[]);
    check_float(&mixed, FunctionId::Resets, Some(4.0), &[]);
    check_float(&mixed, FunctionId::FirstOverTime, Some(1.0), &[]);
    check_float(&mixed, FunctionId::TsOfFirstOverTime, Some(0.0), &[]);
    check_float(&mixed, FunctionId::TsOfLastOverTime, Some(420.0), &[]);
    check_histogram(&mixed, FunctionId::LastOverTime, [7.0, 9.0], EXPONENTIAL, &[]);
    check_histogram(
        &mixed[1..],
        FunctionId::FirstOverTime,
        [7.0, 9.0],
        EXPONENTIAL,
        &[],
    );
    check_float(&[EXPONENTIAL, "2"], FunctionId::LastOverTime, Some(2.0), &[]);
}

#[test]
fn functions_of_floats_leave_histograms_out() {
    let mixed = ["1", EXPONENTIAL, "3", "2"];
    let ignored = [Note::IgnoredInWindow];
    check_float(&mixed, FunctionId::MaxOverTime, Some(3.0), &ignored);
    check_float(&mixed, FunctionId::MinOverTime, Some(1.0), &ignored);
    check_float(&mixed, FunctionId::QuantileOverTime, Some(2.0), &ignored);
    check_float(
        &mixed,
        FunctionId::StddevOverTime,
        Some((2.0_f64 / 3.0).sqrt()),
        &ignored,
    );
    check_float(&mixed, FunctionId::MadOverTime, Some(1.0), &ignored);
    check_float(&mixed, FunctionId::TsOfMaxOverTime, Some(120.0), &ignored);
    // A single float has no slope, but it is told why.
    check_float(&["1", EXPONENTIAL], FunctionId::Deriv, None, &ignored);
    check_float(&["1", EXPONENTIAL], FunctionId::PredictLinear, None, &ignored);
    check_float(&[EXPONENTIAL, EXPONENTIAL], FunctionId::MaxOverTime, None, &[]);
    check_float(&[EXPONENTIAL], FunctionId::Deriv, None, &[]);
}

#[test]
fn windows_of_floats_give_what_they_gave() {
    check_float(&["1", "4"], FunctionId::MaxOverTime, Some(4.0), &[]);
    check_float(&["1", "4"], FunctionId::Resets, Some(0.0), &[]);
    check_float(&["1", "4"], FunctionId::Idelta, Some(3.0), &[]);
    check_float(&[], FunctionId::Resets, None, &[]);
    check_float(&["_"], FunctionId::CountOverTime, None, &[]);
}

#[test]
fn start_timestamps_tell_of_resets() {
    let increase = |points: &[&str], offset_ms: i64| {
        Series::starting(points, offset_ms).evaluate(FunctionId::Increase, 5.0, 5.0)
    };
    // From `start_timestamps.test`: deltas, each of which begins where the one before ends.
    let deltas = [
        "_",
        "_",
        "count:60 sum:60",
        "count:60 sum:60",
        "count:60 sum:60",
        "count:60 sum:60",
    ];
    let (found, notes) = increase(&deltas, -MINUTE_MS);
    check(found.unwrap().histogram().unwrap(), "count:240 sum:240");
    check_notes(notes, &[]);
    let resets = |offset_ms: i64| {
        Series::starting(&deltas, offset_ms)
            .evaluate(FunctionId::Resets, 5.0, 5.0)
            .0
    };
    assert_eq!(
        (resets(-MINUTE_MS), resets(0)),
        (Some(3.0.into()), Some(0.0.into()))
    );
    // One sample is enough if its counter began inside of the range.
    let (found, _) = increase(&["_", "_", "count:60 sum:60"], -MINUTE_MS);
    check(found.unwrap().histogram().unwrap(), "count:60 sum:60");
    assert_eq!(increase(&["_", "_", "count:60 sum:60"], 0).0, None);
    let (found, notes) = increase(&["count:1", "count:2", "count:3"], -90_000);
    assert!(found.is_some() && notes.contains(Note::StartOverlap));
    let (found, notes) = increase(&["_", "_", "60", "60", "60", "60"], -MINUTE_MS);
    assert_eq!((found, notes), (Some(240.0.into()), Notes::default()));
    let (_, notes) = increase(&["1", "2", "3"], -90_000);
    check_notes(notes, &[Note::StartOverlap]);
}

#[track_caller]
fn check_extended(
    points: &[&str],
    extension: Extension,
    id: FunctionId,
    ends: [f64; 2],
    expected: Result<&str, &[Note]>,
) {
    let series = Series::new(points);
    let function = NativeRangeFunction(RangeFunction::new(id, &[]).unwrap());
    let mut notes = Notes::default();
    let found = function.evaluate_extended(extension, &series.window(ends[0], ends[1], &[]), &mut notes);
    match expected {
        Ok(expected) => check(found.unwrap().histogram().unwrap(), expected),
        Err(expected) => {
            assert_eq!(found, None);
            check_notes(notes, expected);
        }
    }
}

#[test]
fn extended_ranges_end_at_samples_or_between_them() {
    let points = [
        "count:1 sum:1 buckets:[1]",
        "count:2 sum:2 buckets:[2]",
        "count:3 sum:3 buckets:[3]",
    ];
    let rise = |n: &str| format!("count:{n} sum:{n} buckets:[{n}] counter_reset_hint:gauge");
    use Extension::{Anchored, Smoothed};
    check_extended(
        &points,
        Anchored,
        FunctionId::Increase,
        [2.5, 2.0],
        Ok(&rise("2")),
    );
    check_extended(
        &points,
        Smoothed,
        FunctionId::Increase,
        [1.5, 1.0],
        Ok(&rise("1")),
    );
    check_extended(
        &points,
        Smoothed,
        FunctionId::Increase,
        [1.75, 0.5],
        Ok(&rise("0.5")),
    );
    check_extended(
        &points,
        Smoothed,
        FunctionId::Rate,
        [1.5, 0.5],
        Ok(&rise("0.016666666666666666")),
    );
    check_extended(
        &[points[0], CUSTOM],
        Smoothed,
        FunctionId::Delta,
        [0.5, 1.0],
        Err(&[Note::MixedSchemas]),
    );
    check_extended(
        &[points[0], "1"],
        Anchored,
        FunctionId::Increase,
        [1.0, 1.0],
        Err(&[Note::MixedWindow]),
    );
    check_extended(&points, Anchored, FunctionId::Increase, [9.0, 1.0], Err(&[]));
}

#[test]
fn extended_ranges_count_each_reset_once() {
    let counts = |counts: &[f64]| -> Vec<String> {
        counts
            .iter()
            .map(|count| format!("count:{count} buckets:[{count}]"))
            .collect()
    };
    // All resets of counters are those of floats.
    let floats = |values: &[f64], extension: Extension, [end, minutes]: [f64; 2]| {
        let timestamps: Vec<i64> = (0..).step_by(60_000).take(values.len()).collect();
        let end_ms = (end * MINUTE_MS as f64) as i64;
        let range = TimeRange::ending_at(end_ms, (minutes * MINUTE_MS as f64) as i64);
        extended::extended_rate(
            RateKind::Increase,
            extension == Extension::Smoothed,
            &timestamps,
            values,
            range,
        )
    };
    for values in [
        &[5.0, 10.0, 3.0][..],
        &[5.0, 3.0],
        &[10.0, 5.0, 2.0, 4.0],
        &[10.0, 5.0],
        &[9.0, 3.0, 6.0, 1.0],
    ] {
        for extension in [Extension::Anchored, Extension::Smoothed] {
            for [end, minutes] in [
                [1.0_f64, 1.0],
                [1.5, 1.0],
                [0.75, 0.5],
                [1.5, 1.4],
                [2.0, 2.0],
                [1.25, 0.25],
                [3.0, 2.5],
            ] {
                let points = counts(values);
                let mut points: Vec<&str> = points.iter().map(String::as_str).collect();
                let mut values = values;
                if extension == Extension::Anchored {
                    // Nothing after the end is seen.
                    let n = points.len().min(end.floor() as usize + 1);
                    points.truncate(n);
                    values = &values[..n];
                }
                let series = Series::new(&points);
                let function = NativeRangeFunction(RangeFunction::Extrapolated(RateKind::Increase));
                let mut notes = Notes::default();
                let found =
                    function.evaluate_extended(extension, &series.window(end, minutes, &[]), &mut notes);
                let found = found.map(|found| found.histogram().unwrap().count);
                let expected = floats(values, extension, [end, minutes]);
                let is_same = match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
                    (found, expected) => found == expected,
                };
                assert!(
                    is_same,
                    "{values:?} {extension:?} {end} {minutes}: {found:?} instead of {expected:?}"
                );
            }
        }
    }
}
