//! Series with their samples, on their way to a server.

use std::fmt;

use model::{Sample, is_stale_nan};
use wire::remote_write::v1::{Encoder, push_label};
use wire::snappy::Compressor;

use super::native::{NativeSample, push_field};

/// Series that go into one request.
const SERIES_PER_REQUEST: usize = 100;
/// The data is sent in slices of time, all series of a slice before the next one, as a scraper would.
const SLICE_MS: i64 = 600_000;

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Label pairs sorted by name, `__name__` among them.
    pub labels: Vec<(String, String)>,
    /// Samples in order of time.
    pub samples: Vec<Sample>,
    /// Samples that are native histograms, in order of time, at other times.
    pub natives: Vec<NativeSample>,
}

/// What both servers are given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// All series; no two have the same labels.
    pub series: Vec<Series>,
}

impl Series {
    /// The series of this metric and these labels.
    #[must_use]
    pub fn new(metric: &str, labels: &[(&str, &str)], samples: Vec<Sample>) -> Self {
        let name = [("__name__", metric)];
        let mut labels: Vec<_> = name
            .iter()
            .chain(labels)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        labels.sort();
        Self {
            labels,
            samples,
            natives: Vec::new(),
        }
    }

    /// Times of all samples.
    pub fn times(&self) -> impl Iterator<Item = i64> + '_ {
        let floats = self.samples.iter().map(|sample| sample.timestamp_ms);
        floats.chain(self.natives.iter().map(|sample| sample.timestamp_ms))
    }

    /// Leaves out all samples but those at some times.
    pub fn retain(&mut self, is_kept: impl Fn(i64) -> bool) {
        self.samples.retain(|sample| is_kept(sample.timestamp_ms));
        self.natives.retain(|sample| is_kept(sample.timestamp_ms));
    }

    /// True when it has no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.natives.is_empty()
    }

    /// The value of `__name__`.
    #[must_use]
    pub fn metric(&self) -> &str {
        let name = self.labels.iter().find(|(name, _)| name == "__name__");
        name.map_or("", |(_, value)| value)
    }
}

impl Dataset {
    /// The compressed remote-write 1.0 requests that carry it, to be sent in this order.
    ///
    /// # Panics
    /// If a request is above 4 GiB.
    #[must_use]
    pub fn requests(&self) -> Vec<Vec<u8>> {
        let times: Vec<i64> = self.series.iter().flat_map(Series::times).collect();
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else {
            return Vec::new();
        };
        let mut requests = Vec::new();
        for slice in 0..=(last - first) / SLICE_MS {
            let start_ms = first + slice * SLICE_MS;
            let inside = |timestamp_ms: i64| (start_ms..start_ms + SLICE_MS).contains(&timestamp_ms);
            for chunk in self.series.chunks(SERIES_PER_REQUEST) {
                let mut encoder = Encoder::default();
                // The first run of every series, the second of every series, and so on.
                let mut natives: Vec<Vec<u8>> = Vec::new();
                for series in chunk {
                    let mut series = series.clone();
                    series.retain(inside);
                    if series.natives.is_empty() {
                        if !series.samples.is_empty() {
                            encoder.push_series(&label_bytes(&series), &series.samples);
                        }
                        continue;
                    }
                    for (position, run) in native_runs(&series).into_iter().enumerate() {
                        natives.resize_with(natives.len().max(position + 1), Vec::new);
                        natives[position].extend(run);
                    }
                }
                if encoder.n_series() > 0 {
                    requests.push(compressed(encoder.body()));
                }
                requests.extend(natives.iter().map(|body| compressed(body)));
            }
        }
        requests
    }

    /// Number of samples in all series.
    #[must_use]
    pub fn n_samples(&self) -> usize {
        self.series.iter().map(|series| series.times().count()).sum()
    }

    /// Its series as text, times as seconds after `origin_ms`.
    #[must_use]
    pub fn describe(&self, origin_ms: i64) -> String {
        let lines = self.series.iter().map(|series| {
            let samples = series.samples.iter().map(|sample| {
                let seconds = (sample.timestamp_ms - origin_ms) as f64 / 1_000.0;
                if is_stale_nan(sample.value) {
                    format!("stale@{seconds}")
                } else {
                    format!("{:?}@{seconds}", sample.value)
                }
            });
            let natives = series.natives.iter().map(|sample| {
                let seconds = (sample.timestamp_ms - origin_ms) as f64 / 1_000.0;
                format!("{sample}@{seconds}")
            });
            format!(
                "{series} {}\n",
                samples.chain(natives).collect::<Vec<_>>().join(" ")
            )
        });
        lines.collect()
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"));
        write!(f, "{{{}}}", labels.collect::<Vec<_>>().join(","))
    }
}

/// A series with native histograms as a field of a request, for each run of samples of one kind: of one request,
/// Prometheus takes all floats before all histograms. A staleness marker is a run of its own: behind a histogram
/// Prometheus makes a histogram of it, also when floats that came in between are in the same request, and then loses it.
fn native_runs(series: &Series) -> Vec<Vec<u8>> {
    let mut floats = series.samples.iter().peekable();
    let mut natives = series.natives.iter().peekable();
    let mut runs = Vec::new();
    while floats.peek().is_some() || natives.peek().is_some() {
        let first_native_ms = natives.peek().map_or(i64::MAX, |sample| sample.timestamp_ms);
        let mut message = label_bytes(series);
        let n_label_bytes = message.len();
        while let Some(sample) = floats.next_if(|sample| sample.timestamp_ms < first_native_ms) {
            let mut encoder = Encoder::default();
            encoder.push_series(&[], std::slice::from_ref(sample));
            // Behind the tag and the length of a series that has nothing else.
            message.extend_from_slice(&encoder.body()[2..]);
            let is_next_stale = floats.peek().is_some_and(|next| is_stale_nan(next.value));
            if is_stale_nan(sample.value) || is_next_stale {
                break;
            }
        }
        if message.len() == n_label_bytes {
            let first_float_ms = floats.peek().map_or(i64::MAX, |sample| sample.timestamp_ms);
            while let Some(sample) = natives.next_if(|sample| sample.timestamp_ms < first_float_ms) {
                sample.push(&mut message);
            }
        }
        let mut field = Vec::new();
        push_field(&mut field, 1, &message);
        runs.push(field);
    }
    runs
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    let body = Compressor::default().compress(body, &mut buffer);
    body.expect("a small request fits").to_vec()
}

fn label_bytes(series: &Series) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in &series.labels {
        push_label(&mut bytes, name, value);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_sent_slice_by_slice_and_nothing_is_lost() {
        let samples = |n: i64| {
            (0..n)
                .map(|idx| Sample {
                    timestamp_ms: 1_000_000 + idx * 300_000,
                    value: 1.0,
                })
                .collect()
        };
        let dataset = Dataset {
            series: vec![
                Series::new("b", &[("x", "1")], samples(5)),
                Series::new("a", &[], samples(1)),
            ],
        };
        assert_eq!(dataset.n_samples(), 6);
        assert_eq!(dataset.requests().len(), 3);
        assert!(Dataset::default().requests().is_empty());
        assert_eq!(dataset.series[0].to_string(), r#"{__name__="b",x="1"}"#);
    }
}
