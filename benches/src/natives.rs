//! Native histograms of latencies as the services of a mesh have them.
//!
//! Exponential buckets of schema 3 (nine percent wide, the default of Prometheus' client for Go), of which a client makes
//! one when something first falls into it and never lets one go. Latencies are log-normal, milliseconds with two
//! decimals. Rates are log-normal too, with a median of six requests from scrape to scrape (0.4 per second): of twenty
//! classic buckets nine of ten would not move. Of ten services one is idle and one has just begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, Schema, Span};
use storage::StoredHistogram;
use testkit::Chance;
use wire::remote_write::{Count, Histogram, Side};

/// Buckets per doubling of the latency, as a power of 2.
const SCHEMA: i32 = 3;

/// Observations from scrape to scrape of the median service, and the spread of their logarithm.
const RATE_MEDIAN: f64 = 6.0;
const RATE_SIGMA: f64 = 1.2;

/// Spread of the logarithm of latencies, as in the simulated mesh.
const LATENCY_SIGMA: f64 = 1.0;

/// Observations of a service that has run for long.
const N_OBSERVED: usize = 50_000;

/// Gaps of so many buckets or fewer are filled with empty ones.
const GAP_MAX: i32 = 2;

/// One service.
#[derive(Debug)]
pub struct Latencies {
    chance: Chance,
    buckets: BTreeMap<i32, u64>,
    count: u64,
    sum: f64,
    /// Observations from scrape to scrape, on average.
    rate: f64,
    median_ms: f64,
    layout: Option<Arc<HistogramLayout>>,
}

impl Latencies {
    /// The service of a number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        let mut chance = Chance::from_seed(number);
        let is_idle = number % 10 == 3;
        let rate = if is_idle {
            0.0
        } else {
            RATE_MEDIAN * (RATE_SIGMA * normal(&mut chance)).exp()
        };
        let mut latencies = Self {
            buckets: BTreeMap::new(),
            count: 0,
            sum: 0.0,
            rate,
            median_ms: 2.0 + chance.index(48) as f64,
            layout: None,
            chance,
        };
        if number % 10 != 7 {
            latencies.observe(N_OBSERVED);
        }
        latencies
    }

    /// Lets time pass until the next scrape, and gives its histogram and sum.
    pub fn scrape(&mut self) -> (StoredHistogram, f64) {
        let n_observed = self.arrivals();
        self.observe(n_observed);
        let spans = self.spans();
        let is_same = |layout: &&Arc<HistogramLayout>| *layout.positive() == *spans;
        let layout = match self.layout.as_ref().filter(is_same) {
            Some(layout) => Arc::clone(layout),
            None => Arc::new(layout(&spans)),
        };
        self.layout = Some(Arc::clone(&layout));
        let mut counts = vec![self.count, 0];
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
            schema: SCHEMA,
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

    fn observe(&mut self, n_observations: usize) {
        for _ in 0..n_observations {
            let exact_ms = self.median_ms * (LATENCY_SIGMA * normal(&mut self.chance)).exp();
            let latency_ms = (exact_ms * 100.0).round().max(1.0) / 100.0;
            let bucket = (latency_ms.log2() * f64::from(1 << SCHEMA)).ceil() as i32;
            *self.buckets.entry(bucket).or_default() += 1;
            self.count += 1;
            self.sum += latency_ms;
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

/// Above 0 and up to 1.
fn uniform(chance: &mut Chance) -> f64 {
    (1 + chance.index(1 << 30)) as f64 / f64::from(1 << 30)
}

/// Normally distributed, by Box and Muller.
fn normal(chance: &mut Chance) -> f64 {
    let radius = (-2.0 * uniform(chance).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(chance)).cos()
}

fn layout(spans: &[Span]) -> HistogramLayout {
    let bounds = Bounds {
        schema: Schema::new(SCHEMA).expect("a schema"),
        zero_threshold: 2.0_f64.powi(-128),
        ..Bounds::default()
    };
    HistogramLayout::new(CountForm::Integer, bounds, spans, &[]).expect("spans in order")
}
