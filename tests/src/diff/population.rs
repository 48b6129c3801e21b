//! Random data: the series of the metrics of a repertoire, from a seed.
//!
//! Series begin late or end early, pause for longer than the lookback with or without a staleness marker, restart,
//! and miss single samples.

use model::{Sample, is_stale_nan, stale_nan};
use testkit::Chance;

use super::dataset::{Dataset, Series};
use super::metric::{Metric, Repertoire, Rhythm, Values};
use super::native::{NativeKind, NativeProcess};

/// How much time the data covers. Below the hour in which Prometheus accepts samples of other series.
pub const SPAN_MS: i64 = 45 * 60_000;

/// The random data of `seed`, whose last samples lie just before `end_ms`.
#[must_use]
pub fn dataset(seed: u64, end_ms: i64, repertoire: Repertoire) -> Dataset {
    let mut chance = Chance::from_seed(seed ^ 0x6d65_7368);
    let mut series = Vec::new();
    for metric in repertoire.metrics() {
        for labels in combinations(metric) {
            if chance.percent(metric.present_percent) {
                let times = Timeline::draw(&mut chance, metric.rhythm, end_ms);
                push_series(&mut chance, metric, &labels, &times, &mut series);
            }
        }
    }
    series.retain(|series: &Series| !series.is_empty());
    Dataset { series }
}

/// When a series has samples, and when it is declared stale.
#[derive(Debug, Default)]
struct Timeline {
    sampled_ms: Vec<i64>,
    stale_ms: Vec<i64>,
}

fn combinations(metric: &Metric) -> Vec<Vec<(&'static str, &'static str)>> {
    let mut found = vec![Vec::new()];
    for (name, values) in metric.labels {
        let longer = found.iter().flat_map(|labels| {
            values.iter().map(move |value| {
                let mut labels = labels.clone();
                labels.push((*name, *value));
                labels
            })
        });
        found = longer.collect();
    }
    found
}

impl Timeline {
    fn draw(chance: &mut Chance, rhythm: Rhythm, end_ms: i64) -> Self {
        let start_ms = end_ms - SPAN_MS;
        let (mut begin_ms, mut stop_ms) = (start_ms, end_ms);
        if chance.percent(15) {
            begin_ms += chance.between(0, SPAN_MS / 2);
        }
        let dies_early = chance.percent(15);
        if dies_early {
            stop_ms -= chance.between(0, SPAN_MS / 2);
        }
        match rhythm {
            Rhythm::Once => begin_ms = chance.between(start_ms, end_ms - 1),
            Rhythm::Dense => {
                begin_ms = chance.between(start_ms, end_ms - SPAN_MS / 4);
                stop_ms = begin_ms + chance.between(60_000, SPAN_MS / 4);
            }
            _ => {}
        }
        let phase_ms = chance.between(0, 14_999);
        let mut line = Self::default();
        let mut now_ms = begin_ms;
        while now_ms < stop_ms {
            let sample_ms = match rhythm {
                Rhythm::Aligned => now_ms - now_ms.rem_euclid(15_000),
                Rhythm::Scraped => {
                    let late_ms = if chance.percent(5) {
                        chance.between(1, 3_000)
                    } else {
                        0
                    };
                    now_ms - now_ms.rem_euclid(15_000) + phase_ms + late_ms
                }
                Rhythm::Irregular | Rhythm::Sparse | Rhythm::Dense | Rhythm::Once => now_ms,
            };
            if sample_ms < end_ms && chance.percent(97) {
                line.push(sample_ms);
            }
            now_ms += match rhythm {
                Rhythm::Aligned | Rhythm::Scraped => 15_000,
                Rhythm::Irregular => chance.between(1_000, 70_000),
                Rhythm::Sparse => chance.between(240_000, 420_000),
                Rhythm::Dense => 1_000,
                Rhythm::Once => SPAN_MS,
            };
            let pause_percent = if rhythm == Rhythm::Dense { 0 } else { 1 };
            if chance.percent(pause_percent) {
                line.pause(chance, sample_ms);
                now_ms += chance.between(60_000, 540_000);
            }
        }
        if dies_early && chance.percent(60) {
            line.stale_ms.push(stop_ms + 19_000);
        }
        line.stale_ms.retain(|stale_ms| *stale_ms < end_ms);
        line
    }

    fn push(&mut self, sample_ms: i64) {
        let last = self.sampled_ms.last().max(self.stale_ms.last());
        if last.is_none_or(|last| *last < sample_ms) {
            self.sampled_ms.push(sample_ms);
        }
    }

    /// Nothing for some minutes, often announced by a staleness marker.
    fn pause(&mut self, chance: &mut Chance, sample_ms: i64) {
        let stale_ms = sample_ms + chance.pick(&[18_000, 15_000, 1]);
        if chance.percent(60) && self.sampled_ms.last().is_none_or(|last| *last < stale_ms) {
            self.stale_ms.push(stale_ms);
        }
    }

    /// The samples that `value` gives, staleness markers in their places.
    fn samples(&self, mut value: impl FnMut(i64) -> Option<f64>) -> Vec<Sample> {
        let real = self.sampled_ms.iter().filter_map(|timestamp_ms| {
            let value = value(*timestamp_ms)?;
            Some(Sample {
                timestamp_ms: *timestamp_ms,
                value,
            })
        });
        let mut samples: Vec<Sample> = real.collect();
        samples.extend(self.stale_ms.iter().map(|timestamp_ms| Sample {
            timestamp_ms: *timestamp_ms,
            value: stale_nan(),
        }));
        samples.sort_by_key(|sample| sample.timestamp_ms);
        samples
    }
}

fn push_series(
    chance: &mut Chance,
    metric: &Metric,
    labels: &[(&str, &str)],
    times: &Timeline,
    series: &mut Vec<Series>,
) {
    match metric.values {
        Values::Histogram(bounds) => {
            push_histogram(chance, metric.name, labels, times, (bounds, false), series);
        }
        Values::BrokenHistogram(bounds) => {
            push_histogram(chance, metric.name, labels, times, (bounds, true), series);
        }
        Values::Native(kind) => series.push(native_series(chance, (metric.name, kind), labels, times)),
        values => {
            let mut process = Process::new(chance, values, series.len());
            let samples = times.samples(|_| Some(process.next(chance)));
            series.push(Series::new(metric.name, labels, samples));
        }
    }
}

fn native_series(
    chance: &mut Chance,
    (name, kind): (&str, NativeKind),
    labels: &[(&str, &str)],
    times: &Timeline,
) -> Series {
    let mut process = NativeProcess::new(chance, kind);
    let mut is_float = false;
    let mut natives = Vec::new();
    let samples = times.samples(|timestamp_ms| {
        if kind == NativeKind::Mixed && chance.percent(8) {
            is_float = !is_float;
        }
        if is_float {
            return Some(chance.between(0, 80) as f64 / 8.0);
        }
        natives.push(process.next(chance, timestamp_ms));
        None
    });
    let mut series = Series {
        natives,
        ..Series::new(name, labels, samples)
    };
    if kind == NativeKind::Mixed {
        // Prometheus 3.5 loses staleness markers of series that were histograms before.
        series.samples.retain(|sample| !is_stale_nan(sample.value));
    }
    series
}

/// One series' way from value to value.
struct Process {
    values: Values,
    eighths: i64,
    series_idx: i64,
}

impl Process {
    fn new(chance: &mut Chance, values: Values, series_idx: usize) -> Self {
        Self {
            values,
            eighths: chance.between(0, 800),
            series_idx: i64::try_from(series_idx).unwrap_or(i64::MAX),
        }
    }

    fn next(&mut self, chance: &mut Chance) -> f64 {
        match self.values {
            Values::Counter(step) => self.count(chance, step),
            Values::MessyCounter => {
                let value = self.count(chance, 80);
                let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -value];
                if chance.percent(6) {
                    chance.pick(&odd)
                } else {
                    value
                }
            }
            Values::Walk(step) => {
                if chance.percent(85) {
                    self.eighths += chance.between(-step, step);
                }
                self.eighths as f64 / 8.0
            }
            Values::Messy => messy(chance),
            Values::Extreme => extreme(chance),
            Values::Fraction => chance.between(1, 1 << 40) as f64 / 1e12,
            Values::Switch => f64::from(chance.percent(80)),
            Values::Constant => (self.eighths % 16) as f64 / 8.0,
            Values::Distinct => {
                self.eighths += chance.between(-20, 20);
                // The remainder by 512 is the series' own number, whatever the walk does.
                (self.eighths * 512 + self.series_idx % 512) as f64
            }
            Values::Histogram(_) | Values::BrokenHistogram(_) | Values::Native(_) => f64::NAN,
        }
    }

    fn count(&mut self, chance: &mut Chance, step: i64) -> f64 {
        if chance.percent(2) {
            self.eighths = chance.between(0, step / 4);
        } else if chance.percent(80) {
            self.eighths += chance.between(0, step);
        }
        self.eighths as f64 / 8.0
    }
}

fn messy(chance: &mut Chance) -> f64 {
    let odd = [
        f64::NAN,
        // A NaN of another kind, one that signals, and a neighbour of the staleness marker.
        f64::from_bits(0xfff8_0000_0000_0000),
        f64::from_bits(0x7ff0_0000_0000_0abc),
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        1e-7,
        -3.5e-9,
        1e21,
        -2e22,
        1e15,
        123_456_789.125,
        1e-300,
    ];
    if chance.percent(25) {
        chance.pick(&odd)
    } else {
        chance.between(-400, 400) as f64 / 8.0
    }
}

fn extreme(chance: &mut Chance) -> f64 {
    let ends = [
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        9.9e307,
        9_007_199_254_740_993.0,
    ];
    if chance.percent(20) {
        chance.pick(&ends)
    } else {
        chance.between(-100, 100) as f64 * 1e300
    }
}

fn push_histogram(
    chance: &mut Chance,
    name: &str,
    labels: &[(&str, &str)],
    times: &Timeline,
    (bounds, is_broken): (&[&str], bool),
    series: &mut Vec<Series>,
) {
    // Cumulative counts at every time, then one series per bucket.
    let mut counts = vec![0_i64; bounds.len()];
    let mut history = Vec::new();
    for _ in &times.sampled_ms {
        if chance.percent(1) {
            counts.fill(0);
        }
        let mut added = 0;
        for count in &mut counts {
            added += if chance.percent(60) {
                chance.between(0, 9)
            } else {
                0
            };
            *count += added;
        }
        let mut seen = counts.clone();
        if is_broken && chance.percent(20) {
            let position = chance.index(seen.len());
            seen[position] = seen[position] * 3 / 4;
        }
        history.push(seen);
    }
    for (bucket, bound) in bounds.iter().enumerate() {
        let mut rows = history.iter();
        let samples = times.samples(|_| {
            let count = rows.next()?[bucket];
            (!is_broken || chance.percent(95)).then_some(count as f64)
        });
        let le = [("le", *bound)];
        let with_le: Vec<_> = labels
            .iter()
            .chain(&le)
            .copied()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        series.push(Series::new(&format!("{name}_bucket"), &with_le, samples));
    }
    let last = |row: &Vec<i64>| row.last().copied().unwrap_or(0);
    let mut rows = history.iter();
    let count = times.samples(|_| rows.next().map(|row| last(row) as f64));
    let mut rows = history.iter();
    let sum = times.samples(|_| rows.next().map(|row| row.iter().sum::<i64>() as f64 / 4.0));
    series.push(Series::new(&format!("{name}_count"), labels, count));
    series.push(Series::new(&format!("{name}_sum"), labels, sum));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::is_stale_nan;

    use super::*;

    const END_MS: i64 = 1_800_000_000_000;

    #[test]
    fn a_seed_gives_the_same_data_again() {
        let text = |seed| dataset(seed, END_MS, Repertoire::Natives).describe(END_MS);
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    #[test]
    fn every_series_is_one_of_its_kind_and_in_order_of_time() {
        for seed in 0..20 {
            let dataset = dataset(seed, END_MS, Repertoire::Natives);
            let names: BTreeSet<String> = dataset.series.iter().map(Series::to_string).collect();
            assert_eq!(names.len(), dataset.series.len());
            for series in &dataset.series {
                assert!(
                    series
                        .samples
                        .is_sorted_by(|a, b| a.timestamp_ms < b.timestamp_ms),
                    "{series}"
                );
                let inside = END_MS - SPAN_MS - 15_000..END_MS + 1;
                assert!(
                    series.times().all(|time_ms| inside.contains(&time_ms)),
                    "{series}"
                );
            }
        }
    }

    #[test]
    fn the_data_has_resets_gaps_markers_nan_and_infinity() {
        let dataset = dataset(7, END_MS, Repertoire::Floats);
        let any =
            |test: &dyn Fn(&[Sample]) -> bool| dataset.series.iter().any(|series| test(&series.samples));
        assert!(any(&|samples| samples
            .iter()
            .any(|sample| is_stale_nan(sample.value))));
        assert!(any(&|samples| samples
            .iter()
            .any(|sample| sample.value == f64::INFINITY)));
        assert!(any(&|samples| {
            samples
                .iter()
                .any(|sample| sample.value.is_nan() && !is_stale_nan(sample.value))
        }));
        assert!(any(&|samples| {
            samples
                .windows(2)
                .any(|pair| pair[1].timestamp_ms - pair[0].timestamp_ms > 300_000)
        }));
        assert!(dataset.series.len() > 200, "{} series", dataset.series.len());
    }

    #[test]
    fn distinct_values_never_tie() {
        let dataset = dataset(3, END_MS, Repertoire::Floats);
        let mut seen = BTreeSet::new();
        for series in dataset
            .series
            .iter()
            .filter(|series| series.metric() == "distinct")
        {
            let own: BTreeSet<i64> = series
                .samples
                .iter()
                .filter(|sample| !sample.value.is_nan())
                .map(|sample| sample.value as i64)
                .collect();
            assert!(own.is_disjoint(&seen), "{series}");
            seen.extend(own);
        }
    }
}
