//! Replay of pre-encoded remote-write requests over real HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mesh::remote_write::{EncodedRequest, RequestEncoder, Version};
use mesh::{Mesh, MeshConfig, ScrapeSink, SeriesText};
use meshtide_tests::process::{Server, Usage};
use wire::remote_write::Histogram;

use crate::natives::{Latencies, Sender};

/// Scrapes that are kept for what is measured after the load.
const N_LATER_SCRAPES: usize = 4;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// Label combinations of 67 series each.
    pub n_combinations: usize,
    /// Scrapes of every series.
    pub n_scrapes: usize,
    /// Protocol version.
    pub version: Version,
    /// Connections that send at the same time.
    pub n_connections: usize,
    /// Time of the last scrape, milliseconds since the epoch.
    pub end_ms: i64,
}

/// The requests of each scrape.
#[derive(Debug)]
pub struct Requests {
    scrapes: Vec<Vec<EncodedRequest>>,
    later: Vec<Vec<EncodedRequest>>,
    /// Number of series.
    pub n_series: usize,
}

/// What sending cost.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Samples in all requests.
    pub n_samples: usize,
    /// Time from the first request to the last acknowledgement.
    pub wall: Duration,
    /// The server, after the first scrape: registration of every series.
    pub after_first: Usage,
    /// The server, after the last acknowledgement.
    pub after_all: Usage,
    /// Latencies of all requests, sorted.
    pub latencies: Vec<Duration>,
}

impl Requests {
    /// Encodes the whole load in memory, 15 s between scrapes.
    #[must_use]
    pub fn encode(load: &Load) -> Self {
        let mut mesh = Mesh::new(MeshConfig::steady_http(load.n_combinations, 42));
        let interval_ms = mesh.scrape_interval_ms();
        let start_ms = load.end_ms - interval_ms * load.n_scrapes as i64;
        let mut encoder = RequestEncoder::new(load.version, 2_000);
        let mut scrapes: Vec<_> = (0..load.n_scrapes + N_LATER_SCRAPES)
            .map(|scrape| {
                mesh.scrape_interval(start_ms + interval_ms * scrape as i64, &mut encoder);
                encoder.finish()
            })
            .collect();
        let later = scrapes.split_off(load.n_scrapes);
        Self {
            scrapes,
            later,
            n_series: mesh.n_series(),
        }
    }

    /// As [`Self::encode`] with one series in place of the 67 of a combination: its counter of requests, or native
    /// histograms of this sender.
    #[must_use]
    pub fn encode_one_each(load: &Load, natives_of: Option<Sender>) -> Self {
        let mut mesh = Mesh::new(MeshConfig::steady_http(load.n_combinations, 42));
        let interval_ms = mesh.scrape_interval_ms();
        let start_ms = load.end_ms - interval_ms * load.n_scrapes as i64;
        let services = natives_of.into_iter().flat_map(|sender| {
            let service = move |number| Latencies::new(sender, number);
            (0..N_SERVICES).map(service)
        });
        let mut sink = OneEach {
            encoder: RequestEncoder::new(load.version, 2_000),
            services: services.collect(),
            newest: Vec::new(),
        };
        let scrapes = (0..load.n_scrapes).map(|scrape| {
            sink.newest = sink.services.iter_mut().map(Latencies::message).collect();
            mesh.scrape_interval(start_ms + interval_ms * scrape as i64, &mut sink);
            sink.encoder.finish()
        });
        Self {
            scrapes: scrapes.collect(),
            later: Vec::new(),
            n_series: load.n_combinations,
        }
    }

    /// Scrapes after those that [`Self::send`] sends.
    #[must_use]
    pub fn later(&self) -> &[Vec<EncodedRequest>] {
        &self.later
    }

    /// Sends all but the later scrapes, one after the other.
    ///
    /// # Errors
    /// If a request is not acknowledged with 2xx.
    pub fn send(&self, server: &Server, load: &Load) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let begin = Instant::now();
        for (scrape_idx, scrape) in self.scrapes.iter().enumerate() {
            outcome.latencies.extend(send_scrape(scrape, server, load)?);
            outcome.n_samples += scrape.iter().map(|request| request.n_samples).sum::<usize>();
            if scrape_idx == 0 {
                outcome.after_first = server.usage()?;
            }
        }
        outcome.wall = begin.elapsed();
        outcome.after_all = server.usage()?;
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }
}

/// Services of which the histograms are; several combinations of labels have those of one service.
const N_SERVICES: u64 = 200;

/// Sends the counter of requests of each combination, or a native histogram in its place, and nothing else.
struct OneEach {
    encoder: RequestEncoder,
    /// None if floats are sent.
    services: Vec<Latencies>,
    /// What the services say in this scrape.
    newest: Vec<Histogram>,
}

impl ScrapeSink for OneEach {
    fn sample(&mut self, series: SeriesText<'_>, timestamp_ms: i64, value: f64) {
        if series.metric_name != "istio_requests_total" {
            return;
        }
        if self.newest.is_empty() {
            return self.encoder.sample(series, timestamp_ms, value);
        }
        let own = SeriesText {
            metric_name: "istio_request_duration_milliseconds",
            ..series
        };
        let service_idx = series.entity % self.newest.len();
        let histogram = &mut self.newest[service_idx];
        histogram.timestamp_ms = timestamp_ms;
        self.encoder.push_histogram(&own, histogram);
    }
}

impl Outcome {
    /// CPU-seconds per million samples, registration of the series included.
    #[must_use]
    pub fn cpu_seconds_per_million(&self) -> f64 {
        self.after_all.cpu_seconds / (self.n_samples as f64 / 1e6)
    }

    /// CPU-seconds per million samples of series that are already known.
    #[must_use]
    pub fn known_cpu_seconds_per_million(&self, n_series: usize) -> f64 {
        let known = (self.n_samples - n_series).max(1);
        (self.after_all.cpu_seconds - self.after_first.cpu_seconds) / (known as f64 / 1e6)
    }

    /// Microseconds of CPU that one new series costs beyond its first sample.
    #[must_use]
    pub fn new_series_us(&self, n_series: usize) -> f64 {
        self.after_first.cpu_seconds * 1e6 / n_series as f64 - self.known_cpu_seconds_per_million(n_series)
    }

    /// The latency below which this share of requests was acknowledged.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        share_of(&self.latencies, share)
    }
}

/// What this share of sorted durations does not exceed.
#[must_use]
pub fn share_of(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or_default()
}

/// Every connection takes the next request until none is left.
fn send_scrape(scrape: &[EncodedRequest], server: &Server, load: &Load) -> Result<Vec<Duration>> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..load.n_connections)
            .map(|_| {
                scope.spawn(|| -> Result<Vec<Duration>> {
                    let client = server.client();
                    let mut latencies = Vec::new();
                    while let Some(request) = scrape.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let begin = Instant::now();
                        let answer = client.post("/api/v1/write", request.headers(), &request.body)?;
                        latencies.push(begin.elapsed());
                        ensure!(answer.status / 100 == 2, "{} {}", answer.status, answer.text());
                    }
                    Ok(latencies)
                })
            })
            .collect();
        let mut all = Vec::new();
        for sender in senders {
            all.extend(sender.join().ok().context("a sender panicked")??);
        }
        Ok(all)
    })
}
