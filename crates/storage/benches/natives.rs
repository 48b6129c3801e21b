//! Native histograms through log and head: what one costs to write, to append and to read, and what it takes.
//!
//! Series of 40 exponential buckets of which some eight change from scrape to scrape. `MESHTIDE_BENCH_SERIES` sets how
//! many there are (default 4,000; CI runs with few). Throughput is histograms.
#![expect(clippy::print_stdout, reason = "a bench reports")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, NativeHistogram, Schema, Span};
use model::{LaneIdx, SampleBatch, SeriesRef, StreamId, TimeRange};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use storage::wal::{RecordEncoder, decode_record};
use storage::{Head, HeadConfig, LaneChoice, NewestBuffer, StreamBuffer};

const BATCH_LEN: usize = 2_000;
const SCRAPE_MS: i64 = 15_000;
const N_SCRAPES: i64 = 60;
const N_BUCKETS: usize = 40;
const N_OBSERVATIONS: usize = 20;

fn n_series() -> usize {
    let chosen = std::env::var("MESHTIDE_BENCH_SERIES").ok();
    chosen.and_then(|text| text.parse().ok()).unwrap_or(4_000)
}

/// Histograms that grow.
struct Service {
    chance: ChaCha8Rng,
    layouts: Vec<Arc<HistogramLayout>>,
    /// By series, one word per count.
    counts: Vec<Vec<u64>>,
    sums: Vec<f64>,
    n_scrapes: i64,
}

impl Service {
    fn new() -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let bounds = Bounds {
            schema: Schema::new(3).expect("a schema"),
            zero_threshold: 1e-128,
            ..Bounds::default()
        };
        let layout = |_| {
            let span = Span {
                offset: chance.random_range(-60..0),
                length: N_BUCKETS as u32,
            };
            let made = HistogramLayout::new(CountForm::Integer, bounds.clone(), &[span], &[]);
            Arc::new(made.expect("a layout"))
        };
        let layouts = (0..n_series()).map(layout).collect();
        Self {
            chance,
            layouts,
            counts: vec![vec![0; N_BUCKETS + 2]; n_series()],
            sums: vec![0.0; n_series()],
            n_scrapes: 0,
        }
    }

    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.n_scrapes * SCRAPE_MS
    }

    fn advance(&mut self) {
        self.n_scrapes += 1;
        let spread = Normal::new(20.0, 4.0).expect("a distribution");
        for (counts, sum) in self.counts.iter_mut().zip(&mut self.sums) {
            for _ in 0..N_OBSERVATIONS {
                let bucket = (spread.sample(&mut self.chance) as usize).min(N_BUCKETS - 1);
                counts[2 + bucket] += 1;
                counts[0] += 1;
                *sum += 1.1_f64.powi(bucket as i32);
            }
            *sum = (*sum * 1_000.0).round() / 1_000.0;
        }
    }

    fn batches(&self) -> Vec<SampleBatch> {
        let numbers: Vec<usize> = (0..n_series()).collect();
        let batch = |numbers: &[usize]| {
            let mut batch = SampleBatch::with_capacity(numbers.len());
            for number in numbers {
                let histogram = NativeHistogram {
                    layout: &self.layouts[*number],
                    hint: CounterResetHint::Unknown,
                    sum: self.sums[*number],
                    counts: &self.counts[*number],
                };
                batch.push_histogram(series(*number), self.now_ms(), histogram);
            }
            batch
        };
        numbers.chunks(BATCH_LEN).map(batch).collect()
    }
}

fn series(number: usize) -> SeriesRef {
    SeriesRef {
        stream: StreamId(number as u32),
        lane: LaneIdx(0),
    }
}

fn append(head: &Head, batches: &[SampleBatch]) -> Duration {
    let mut refused = Vec::new();
    let start = Instant::now();
    for batch in batches {
        assert_eq!(head.append(batch, &mut refused), batch.len());
    }
    start.elapsed()
}

fn filled() -> (Head, Service) {
    let head = Head::new(HeadConfig::default());
    let mut service = Service::new();
    for _ in 0..N_SCRAPES {
        service.advance();
        append(&head, &service.batches());
    }
    let stats = head.stats();
    println!(
        "{} histograms: {:.1} bytes each, of which extras {:.1}",
        stats.n_samples,
        stats.bytes.total() as f64 / stats.n_samples as f64,
        stats.bytes.extras as f64 / stats.n_samples as f64,
    );
    (head, service)
}

fn heads(criterion: &mut Criterion) {
    let (head, mut service) = filled();
    let mut group = criterion.benchmark_group("natives");
    group.sample_size(10);
    group.throughput(Throughput::Elements(n_series() as u64));
    group.bench_function("append", |bencher| {
        bencher.iter_custom(|n_scrapes| {
            let scrapes = (0..n_scrapes).map(|_| {
                service.advance();
                append(&head, &service.batches())
            });
            scrapes.sum()
        });
    });
    let range = TimeRange::ending_at(service.now_ms(), 5 * 60_000);
    let mut newest = NewestBuffer::default();
    group.bench_function("newest", |bencher| {
        bencher.iter(|| {
            for number in 0..n_series() {
                let stream = series(number).stream;
                head.read_newest(stream, LaneChoice::First(1), range, &mut newest)
                    .expect("sound runs");
                black_box(newest.histograms.len());
            }
        });
    });
    group.throughput(Throughput::Elements(20 * n_series() as u64));
    let mut buffer = StreamBuffer::default();
    group.bench_function("5 minutes", |bencher| {
        bencher.iter(|| {
            for number in 0..n_series() {
                let stream = series(number).stream;
                head.read(stream, LaneChoice::First(1), range, &mut buffer)
                    .expect("sound runs");
                black_box(buffer.lanes()[0].histograms.len());
            }
        });
    });
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let mut service = Service::new();
    (0..N_SCRAPES).for_each(|_| service.advance());
    let batches = service.batches();
    let mut encoder = RecordEncoder::new().expect("lz4");
    let payloads = encoder.encode_samples(&batches);
    let n_bytes: usize = payloads.iter().map(|payload| payload.bytes().len()).sum();
    println!("{:.1} bytes per histogram", n_bytes as f64 / n_series() as f64);
    let mut group = criterion.benchmark_group("natives/record");
    group.sample_size(10);
    group.throughput(Throughput::Elements(n_series() as u64));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(encoder.encode_samples(&batches)));
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            for payload in &payloads {
                black_box(decode_record(payload.kind() as u8, payload.bytes()).expect("a record"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, heads, records);
criterion_main!(benches);
