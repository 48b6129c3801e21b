//! Native histograms of latencies as the services of a mesh have them, by the proxy beside a service or by itself.
//!
//! [`Sender::Envoy`]: what Envoy 1.40 answers to `/stats/prometheus?histogram_buckets=prometheusnative`. At most 20
//! buckets unless asked for more, so that 12,000 requests with latencies from 1 ms to 3 s had schema 0 and 12 buckets; a
//! threshold of 0.5 for zero; times in whole milliseconds, and a sum rebuilt from bins of two digits, with all digits a
//! double has.
//!
//! [`Sender::BusyEnvoy`]: the same of services with a hundred times the requests, so that counts and their differences take
//! more bytes and most buckets change from scrape to scrape. Requests are drawn in tens there, those of the past in
//! hundreds.
//!
//! [`Sender::Client`]: schema 3 (nine percent wide, the default of Prometheus' client for Go), some 95 buckets, of
//! milliseconds with two decimals. A bucket is made when something first falls into it, and stays.
//!
//! Latencies are log-normal. Rates are log-normal too, with a median of six requests from scrape to scrape (0.4 per
//! second): of twenty classic buckets nine of ten would not move. Of ten services one is idle and one has just begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, Schema, Span};
use storage::StoredHistogram;
use testkit::Chance;
use wire::remote_write::{Count, Histogram, Side};

/// Observations from scrape to scrape of the median service, and the spread of their logarithm.
const RATE_MEDIAN: f64 = 6.0;
const RATE_SIGMA: f64 = 1.2;

/// Spread of the logarithm of latencies, as in the simulated mesh.
const LATENCY_SIGMA: f64 = 1.0;

/// Observations of a service that has run for long.
const N_OBSERVED: usize = 50_000;

/// Gaps of so many buckets or fewer are filled with empty ones.
const GAP_MAX: i32 = 2;

/// Who makes the histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sender {
    /// Envoy 1.40 with its defaults.
    Envoy,
    /// The same, in front of busy services.
    BusyEnvoy,
    /// A program with a client library of Prometheus.
    Client,
}

/// One service.
#[derive(Debug)]
pub struct Latencies {
    sender: Sender,
    chance: Chance,
    buckets: BTreeMap<i32, u64>,
    zero_count: u64,
    count: u64,
    sum: f64,
    /// Drawings from scrape to scrape, on average.
    rate: f64,
    median_ms: f64,
    layout: Option<Arc<HistogramLayout>>,
}

impl Latencies {
    /// The service of a number.
    #[must_use]
    pub fn new(sender: Sender, number: u64) -> Self {
        let mut chance = Chance::from_seed(number);
        let is_idle = number % 10 == 3;
        let rate = if is_idle {
            0.0
        } else {
            RATE_MEDIAN * (RATE_SIGMA * normal(&mut chance)).exp() * sender.weight() as f64
        };
        let mut latencies = Self {
            sender,
            buckets: BTreeMap::new(),
            zero_count: 0,
            count: 0,
            sum: 0.0,
            rate,
            median_ms: 2.0 + chance.index(48) as f64,
            layout: None,
            chance,
        };
        if number % 10 != 7 {
            // A hundred times the requests: ten times as many drawings from scrape to scrape, each counted ten times.
            latencies.observe(N_OBSERVED, sender.weight().pow(2));
        }
        latencies
    }

    /// Lets time pass until the next scrape, and gives its histogram and sum.
    pub fn scrape(&mut self) -> (StoredHistogram, f64) {
        let n_drawn = self.arrivals();
        self.observe(n_drawn, self.sender.weight());
        let spans = self.spans();
        let is_same = |layout: &&Arc<HistogramLayout>| *layout.positive() == *spans;
        let layout = match self.layout.as_ref().filter(is_same) {
            Some(layout) => Arc::clone(layout),
            None => Arc::new(self.sender.layout(&spans)),
        };
        self.layout = Some(Arc::clone(&layout));
        let mut counts = vec![self.count, self.zero_count];
        let mut next = 0;
        for span in &spans {
            next += span.offset;
            for _ in 0..span.length {
                counts.push(self.buckets.get(&next).copied().unwrap_or(0));
                next += 1;
            }
        }
        let histogram = StoredHistogram::new(layout, CounterResetHint::NotReset, Arc::new(counts), 0);
        (histogram, self.sum)
    }

    /// Lets time pass until the next scrape, and gives its histogram as remote write sends it; its time is left out.
    pub fn message(&mut self) -> Histogram {
        let (histogram, sum) = self.scrape();
        let counts = histogram.counts();
        let mut before = 0;
        let deltas = counts[2..].iter().map(|count| {
            let count = count.cast_signed();
            count - std::mem::replace(&mut before, count)
        });
        Histogram {
            schema: self.sender.schema(),
            zero_threshold: histogram.layout().zero_threshold(),
            count: Count::Integer(counts[0]),
            zero_count: Count::Integer(counts[1]),
            sum,
            positive: Side {
                spans: histogram.layout().positive().to_vec(),
                deltas: deltas.collect(),
                counts: Vec::new(),
            },
            ..Histogram::default()
        }
    }

    /// As many as come in one interval if each comes by itself.
    fn arrivals(&mut self) -> usize {
        let mut n_arrived = 0;
        let mut left = self.rate;
        loop {
            left += uniform(&mut self.chance).ln();
            if left < 0.0 {
                return n_arrived;
            }
            n_arrived += 1;
        }
    }

    /// Draws so many latencies, each of as many requests as `weight` says.
    fn observe(&mut self, n_drawn: usize, weight: u64) {
        for _ in 0..n_drawn {
            let exact_ms = self.median_ms * (LATENCY_SIGMA * normal(&mut self.chance)).exp();
            let latency_ms = self.sender.measured(exact_ms);
            self.count += weight;
            if latency_ms <= self.sender.zero_threshold() {
                self.zero_count += weight;
                continue;
            }
            let bucket = (latency_ms.log2() * f64::from(1 << self.sender.schema())).ceil() as i32;
            *self.buckets.entry(bucket).or_default() += weight;
            self.sum += self.sender.counted(latency_ms) * weight as f64;
        }
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut next = 0;
        for bucket in self.buckets.keys() {
            let gap = bucket - next;
            match spans.last_mut() {
                Some(last) if gap <= GAP_MAX => last.length += 1 + gap.unsigned_abs(),
                _ => spans.push(Span {
                    offset: gap,
                    length: 1,
                }),
            }
            next = bucket + 1;
        }
        spans
    }
}

impl Sender {
    /// How many requests one drawn from scrape to scrape stands for, and how many times more are drawn.
    fn weight(self) -> u64 {
        match self {
            Self::BusyEnvoy => 10,
            Self::Envoy | Self::Client => 1,
        }
    }

    /// Buckets per doubling of the latency, as a power of 2.
    fn schema(self) -> i32 {
        match self {
            Self::Envoy | Self::BusyEnvoy => 0,
            Self::Client => 3,
        }
    }

    fn zero_threshold(self) -> f64 {
        match self {
            Self::Envoy | Self::BusyEnvoy => 0.5,
            Self::Client => 2.0_f64.powi(-128),
        }
    }

    /// What the clock says of a latency, in milliseconds.
    fn measured(self, exact_ms: f64) -> f64 {
        match self {
            Self::Envoy | Self::BusyEnvoy => exact_ms.floor(),
            Self::Client => (exact_ms * 100.0).round().max(1.0) / 100.0,
        }
    }

    /// What a latency adds to the sum: with Envoy the harmonic mean of the bounds of its bin of two digits.
    fn counted(self, latency_ms: f64) -> f64 {
        if self == Self::Client {
            return latency_ms;
        }
        let width = 10.0_f64.powf(latency_ms.log10().floor() - 1.0);
        let low = (latency_ms / width).floor() * width;
        2.0 * low * (low + width) / (low + low + width)
    }

    fn layout(self, spans: &[Span]) -> HistogramLayout {
        let bounds = Bounds {
            schema: Schema::new(self.schema()).expect("a schema"),
            zero_threshold: self.zero_threshold(),
            ..Bounds::default()
        };
        HistogramLayout::new(CountForm::Integer, bounds, spans, &[]).expect("spans in order")
    }
}

/// Above 0 and up to 1.
fn uniform(chance: &mut Chance) -> f64 {
    (1 + chance.index(1 << 30)) as f64 / f64::from(1 << 30)
}

/// Normally distributed, by Box and Muller.
fn normal(chance: &mut Chance) -> f64 {
    let radius = (-2.0 * uniform(chance).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(chance)).cos()
}
