//! Native histograms of latencies as the services of a mesh have them, for blocks.
//!
//! Exponential buckets of schema 3 (nine percent wide, the default of Prometheus' client for Go), of which a client makes
//! one when something first falls into it and never lets one go. Nine of ten services have run for long; the tenth has
//! just begun. Each has a rate, a median and a spread of its own, and one of ten is idle.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, Schema, Span};
use storage::StoredHistogram;
use testkit::Chance;

/// Buckets per doubling of the latency, as a power of 2.
const SCHEMA: i32 = 3;

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
    /// Observations from scrape to scrape.
    rate: usize,
    median_log2: f64,
    spread_log2: f64,
    layout: Option<Arc<HistogramLayout>>,
}

impl Latencies {
    /// The service of a number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        let mut chance = Chance::from_seed(number);
        let mut latencies = Self {
            buckets: BTreeMap::new(),
            count: 0,
            sum: 0.0,
            rate: if number % 10 == 3 { 0 } else { 3 + chance.index(80) },
            // A millisecond to a second.
            median_log2: -10.0 + 10.0 * chance.index(1_000) as f64 / 1_000.0,
            spread_log2: 0.5 + chance.index(1_000) as f64 / 1_000.0,
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
        let n_observed = if self.rate == 0 { 0 } else { self.chance.index(2 * self.rate) };
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

    fn observe(&mut self, n_observations: usize) {
        for _ in 0..n_observations {
            // Nearly normal: the sum of twelve.
            let normal = (0..12).map(|_| self.chance.index(1 << 20) as f64).sum::<f64>() / f64::from(1 << 20) - 6.0;
            let log2 = self.median_log2 + self.spread_log2 * normal;
            let bucket = (log2 * f64::from(1 << SCHEMA)).ceil() as i32;
            *self.buckets.entry(bucket).or_default() += 1;
            self.count += 1;
            self.sum += log2.exp2();
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

fn layout(spans: &[Span]) -> HistogramLayout {
    let bounds = Bounds {
        schema: Schema::new(SCHEMA).expect("a schema"),
        zero_threshold: 2.0_f64.powi(-128),
        ..Bounds::default()
    };
    HistogramLayout::new(CountForm::Integer, bounds, spans, &[]).expect("spans in order")
}
