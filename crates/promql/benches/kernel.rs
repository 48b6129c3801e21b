//! The kernels on the shapes a mesh dashboard asks for: one edge of 22 lanes, scraped every 15 s, as a range query of
//! 61 steps over an hour with windows of five minutes.
//!
//! Criterion reports (lane, step) pairs or quantiles per second; checksums of the results are printed first, so that
//! two versions can be seen to compute the same.
#![expect(clippy::print_stdout, reason = "the checksums are part of the result")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::TimeRange;
use promql::kernel::histogram::{Bucket, quantile, quantile_of_sorted};
use promql::kernel::rate::{Extrapolation, RateKind, StreamRate, counter_increase};
use promql::kernel::sum::kahan_add;
use promql::kernel::window::{StepTimes, windows};

const N_LANES: usize = 22;
const N_ROWS: usize = 260;
const RANGE_MS: i64 = 300_000;
const TIMES: StepTimes = StepTimes {
    first_ms: RANGE_MS,
    step_ms: 60_000,
    n_steps: 61,
};

/// A generator good enough to keep branches from being predicted.
fn next_random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// One stream: scrape times with some jitter, and cumulative counters.
struct Stream {
    timestamps_ms: Vec<i64>,
    lanes: Vec<Vec<f64>>,
}

impl Stream {
    /// Counters that begin at `first`; one row in `rows_per_reset` starts from 0 again.
    fn new(first: f64, rows_per_reset: u64) -> Self {
        let mut state = 1;
        let timestamps_ms = (0..N_ROWS as i64)
            .map(|row| row * 15_000 + (next_random(&mut state) % 20) as i64)
            .collect();
        let mut lane = |_| {
            let mut value = first;
            let mut next = |_| {
                value += (next_random(&mut state) % 40) as f64;
                if next_random(&mut state) % rows_per_reset == 1 {
                    value = 0.0;
                }
                value
            };
            (0..N_ROWS).map(&mut next).collect()
        };
        let lanes = (0..N_LANES).map(&mut lane).collect();
        Self { timestamps_ms, lanes }
    }

    fn rate(&self, stream: &mut StreamRate, results: &mut [f64]) -> f64 {
        stream.prepare(&self.timestamps_ms, TIMES, RANGE_MS);
        let mut checksum = 0.0;
        for values in &self.lanes {
            stream.lane_into(values, results);
            checksum += results[TIMES.n_steps - 1];
        }
        checksum
    }

    /// Sample by sample and window by window, as Prometheus does it.
    fn naive_rate(&self, results: &mut [f64]) -> f64 {
        let mut checksum = 0.0;
        for values in &self.lanes {
            for (step_idx, rows) in windows(&self.timestamps_ms, TIMES, RANGE_MS).enumerate() {
                let range = TimeRange::ending_at(TIMES.at(step_idx), RANGE_MS);
                let timestamps_ms = &self.timestamps_ms[rows.clone()];
                if let Some(facts) = Extrapolation::new(RateKind::Rate, timestamps_ms, range) {
                    let values = &values[rows];
                    results[step_idx] = facts.apply(values[0], counter_increase(values));
                }
            }
            checksum += results[TIMES.n_steps - 1];
        }
        checksum
    }
}

fn rates(c: &mut Criterion) {
    let mut group = c.benchmark_group("rate_22_lanes_61_steps");
    group.throughput(Throughput::Elements((N_LANES * TIMES.n_steps) as u64));
    let mut stream = StreamRate::new(RateKind::Rate);
    let mut results = vec![0.0; TIMES.n_steps];
    for (name, data) in [
        ("steady", Stream::new(1e6, u64::MAX)),
        ("young", Stream::new(0.0, u64::MAX)),
        ("one_reset_an_hour", Stream::new(1e6, 240)),
        ("reset_every_ten_rows", Stream::new(1e6, 10)),
    ] {
        let checksum = data.rate(&mut stream, &mut results);
        println!("rate {name}: checksum {checksum}");
        group.bench_function(name, |b| {
            b.iter(|| black_box(&data).rate(&mut stream, &mut results));
        });
    }
    let data = Stream::new(1e6, u64::MAX);
    println!("rate naive: checksum {}", data.naive_rate(&mut results));
    group.bench_function("naive_steady", |b| {
        b.iter(|| black_box(&data).naive_rate(&mut results));
    });
    group.finish();
}

/// Adding the results of one lane to the sums of its group.
fn sums(c: &mut Criterion) {
    let mut group = c.benchmark_group("sum_61_steps");
    group.throughput(Throughput::Elements(TIMES.n_steps as u64));
    let values: Vec<f64> = (0..TIMES.n_steps).map(|step| 0.1 * step as f64).collect();
    let mut sums = vec![0.0; TIMES.n_steps];
    let mut compensations = vec![0.0; TIMES.n_steps];
    group.bench_function("compensated", |b| {
        b.iter(|| {
            let cells = sums.iter_mut().zip(&mut compensations);
            for ((sum, compensation), &value) in cells.zip(black_box(&values)) {
                (*sum, *compensation) = kahan_add(*sum, *compensation, value);
            }
        });
    });
    group.finish();
}

fn quantiles(c: &mut Criterion) {
    let mut group = c.benchmark_group("histogram_quantile_20_buckets");
    group.throughput(Throughput::Elements(1));
    let mut state = 1;
    let bounds = (0..19).map(|idx| 0.5 * f64::from(1 << idx));
    let bounds: Vec<f64> = bounds.chain([f64::INFINITY]).collect();
    let mut count = 0.0;
    let mut counts = Vec::new();
    for _ in &bounds {
        count += (next_random(&mut state) % 1000) as f64 / 300.0;
        counts.push(count);
    }
    let value = quantile_of_sorted(0.99, &bounds, &mut counts.clone()).value;
    println!("histogram_quantile: checksum {value}");
    let mut scratch = counts.clone();
    group.bench_function("sorted", |b| {
        b.iter(|| {
            scratch.copy_from_slice(black_box(&counts));
            quantile_of_sorted(0.99, &bounds, &mut scratch)
        });
    });
    let pairs = bounds.iter().zip(&counts).rev();
    let buckets: Vec<Bucket> = pairs
        .map(|(&upper_bound, &count)| Bucket { upper_bound, count })
        .collect();
    let mut scratch = buckets.clone();
    group.bench_function("unsorted", |b| {
        b.iter(|| {
            scratch.copy_from_slice(black_box(&buckets));
            quantile(0.99, &mut scratch)
        });
    });
    group.finish();
}

criterion_group!(benches, rates, sums, quantiles);
criterion_main!(benches);
