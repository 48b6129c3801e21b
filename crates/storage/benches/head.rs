//! The head under a mesh: appending scrapes in several orders, reading windows, and what a lane takes in memory.
//!
//! An entity is one counter and three histograms of 20 buckets, sum and count. `MESHTIDE_BENCH_ENTITIES` sets their
//! number (default 4,976, which is 333,392 lanes; CI runs with few). Throughput is samples, or streams read.
#![expect(clippy::print_stdout, reason = "a bench reports")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{LaneIdx, SampleBatch, SeriesRef, StreamId, TimeRange};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal, Poisson};
use storage::{Head, HeadConfig, LaneChoice, NewestBuffer, StreamBuffer};

const N_HISTOGRAMS: usize = 3;
const N_BUCKETS: usize = 20;
const HISTOGRAM_LANES: usize = N_BUCKETS + 2;
const ENTITY_LANES: usize = 1 + N_HISTOGRAMS * HISTOGRAM_LANES;
const ENTITY_STREAMS: u32 = 1 + N_HISTOGRAMS as u32;

/// Samples of one remote-write request.
const BATCH_LEN: usize = 2_000;
const SCRAPE_MS: i64 = 15_000;
const N_SCRAPES: i64 = 60;

/// How many requests of a scrape change their histograms one by one; more of them weigh more.
const N_OBSERVATIONS_MAX: u64 = 50;

fn n_entities() -> usize {
    let chosen = std::env::var("MESHTIDE_BENCH_ENTITIES").ok();
    chosen.and_then(|text| text.parse().ok()).unwrap_or(4_976)
}

/// Counters of a mesh that move as requests come in.
struct Mesh {
    chance: ChaCha8Rng,
    /// Requests per scrape by entity; a third of the edges is idle.
    rates: Vec<f64>,
    /// By entity, [`ENTITY_LANES`] each.
    values: Vec<f64>,
    n_scrapes: i64,
}

impl Mesh {
    fn new() -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let spread: LogNormal<f64> = LogNormal::new(1.0, 2.0).expect("a distribution");
        let rate = |_| {
            if chance.random_bool(0.33) {
                0.0
            } else {
                spread.sample(&mut chance).min(1e5)
            }
        };
        let rates = (0..n_entities()).map(rate).collect();
        let values = vec![0.0; n_entities() * ENTITY_LANES];
        Self {
            chance,
            rates,
            values,
            n_scrapes: 0,
        }
    }

    /// Time of the newest scrape.
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.n_scrapes * SCRAPE_MS
    }

    fn advance(&mut self) {
        self.n_scrapes += 1;
        for (rate, lanes) in self.rates.iter().zip(self.values.chunks_mut(ENTITY_LANES)) {
            if *rate == 0.0 {
                continue;
            }
            let n_requests = Poisson::new(*rate)
                .expect("a positive rate")
                .sample(&mut self.chance) as u64;
            lanes[0] += n_requests as f64;
            for histogram in lanes[1..].chunks_mut(HISTOGRAM_LANES) {
                observe(histogram, n_requests, &mut self.chance);
            }
        }
    }
}

fn observe(histogram: &mut [f64], n_requests: u64, chance: &mut ChaCha8Rng) {
    let n_observations = n_requests.min(N_OBSERVATIONS_MAX);
    for observation in 0..n_observations {
        let weight = n_requests / n_observations + u64::from(observation < n_requests % n_observations);
        let bucket = chance.random_range(2..9) + chance.random_range(0..5);
        for count in &mut histogram[bucket..N_BUCKETS] {
            *count += weight as f64;
        }
        let milliseconds = (1 << bucket) as f64 * chance.random_range(0.5..1.0);
        let sum = &mut histogram[N_BUCKETS];
        *sum = ((*sum + milliseconds * weight as f64) * 100.0).round() / 100.0;
        histogram[N_BUCKETS + 1] += weight as f64;
    }
}

/// In which order a scrape of all series arrives, each with the position of its value.
type Order = Vec<(SeriesRef, usize)>;

fn by_entity() -> Order {
    let lane = |value_idx: usize| {
        let (entity, lane) = (value_idx / ENTITY_LANES, value_idx % ENTITY_LANES);
        let (stream, lane) = match lane.checked_sub(1) {
            None => (0, 0),
            Some(lane) => (1 + lane / HISTOGRAM_LANES, lane % HISTOGRAM_LANES),
        };
        let stream = StreamId(entity as u32 * ENTITY_STREAMS + stream as u32);
        (
            SeriesRef {
                stream,
                lane: LaneIdx(lane as u16),
            },
            value_idx,
        )
    };
    (0..n_entities() * ENTITY_LANES).map(lane).collect()
}

/// As Prometheus sends: every series belongs to one of eight queues, which send requests in turn.
fn by_queue() -> Order {
    let mut chance = ChaCha8Rng::seed_from_u64(2);
    let mut queues = vec![Order::new(); 8];
    for lane in by_entity() {
        queues[chance.random_range(0..8)].push(lane);
    }
    let n_requests = queues
        .iter()
        .map(|queue| queue.len().div_ceil(BATCH_LEN))
        .max()
        .unwrap_or_default();
    let requests = (0..n_requests).flat_map(|request_idx| {
        queues
            .iter()
            .filter_map(move |queue| queue.chunks(BATCH_LEN).nth(request_idx))
    });
    requests.flatten().copied().collect()
}

fn at_random() -> Order {
    let mut order = by_entity();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(3));
    order
}

/// Appends the newest scrape; returns the time spent in the head.
fn append(head: &Head, mesh: &Mesh, order: &Order, batch: &mut SampleBatch) -> Duration {
    let mut spent = Duration::ZERO;
    let mut refused = Vec::new();
    for request in order.chunks(BATCH_LEN) {
        *batch = SampleBatch::with_capacity(BATCH_LEN);
        for (series, value_idx) in request {
            batch.push(*series, mesh.now_ms(), mesh.values[*value_idx]);
        }
        let start = Instant::now();
        let n_accepted = head.append(batch, &mut refused);
        spent += start.elapsed();
        assert_eq!(n_accepted, request.len());
    }
    spent
}

/// A head with an hour's quarter of scrapes.
fn filled(order: &Order) -> (Head, Mesh) {
    let head = Head::new(HeadConfig::default());
    let mut mesh = Mesh::new();
    let mut batch = SampleBatch::default();
    let mut spent = Duration::ZERO;
    for _ in 0..N_SCRAPES {
        mesh.advance();
        spent += append(&head, &mesh, order, &mut batch);
    }
    let stats = head.stats();
    println!(
        "{} samples: {:.1} ns per sample, all of it; {:.1} bytes per lane, of which open rows {:.1}, pages {:.1}",
        stats.n_samples,
        spent.as_nanos() as f64 / stats.n_samples as f64,
        stats.bytes.total() as f64 / stats.n_series as f64,
        stats.bytes.raw as f64 / stats.n_series as f64,
        stats.bytes.pages as f64 / stats.n_series as f64,
    );
    (head, mesh)
}

fn appends(criterion: &mut Criterion) {
    let orders = [
        ("by entity", by_entity()),
        ("by queue", by_queue()),
        ("at random", at_random()),
    ];
    let mut group = criterion.benchmark_group("head/append");
    group.sample_size(10);
    group.throughput(Throughput::Elements((n_entities() * ENTITY_LANES) as u64));
    for (name, order) in orders {
        let (head, mut mesh) = filled(&order);
        let mut batch = SampleBatch::default();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|n_scrapes| {
                let scrapes = (0..n_scrapes).map(|_| {
                    mesh.advance();
                    append(&head, &mesh, &order, &mut batch)
                });
                scrapes.sum()
            });
        });
    }
    group.finish();
}

/// Reads the buckets of every histogram; returns a checksum.
fn read_buckets(head: &Head, range: TimeRange, buffer: &mut StreamBuffer) -> f64 {
    let mut checksum = 0.0;
    for stream in histograms() {
        head.read(stream, LaneChoice::First(N_BUCKETS), range, buffer)
            .expect("sound pages");
        checksum += buffer
            .lanes()
            .iter()
            .filter_map(|lane| lane.values.last())
            .sum::<f64>();
    }
    checksum
}

fn read_newest_buckets(head: &Head, range: TimeRange, buffer: &mut NewestBuffer) -> f64 {
    let mut checksum = 0.0;
    for stream in histograms() {
        head.read_newest(stream, LaneChoice::First(N_BUCKETS), range, buffer)
            .expect("sound pages");
        checksum += buffer
            .samples
            .iter()
            .flatten()
            .map(|sample| sample.1)
            .sum::<f64>();
    }
    checksum
}

fn histograms() -> impl Iterator<Item = StreamId> {
    (0..n_entities() as u32 * ENTITY_STREAMS)
        .filter(|stream| stream % ENTITY_STREAMS != 0)
        .map(StreamId)
}

fn reads(criterion: &mut Criterion) {
    let (head, mesh) = filled(&by_queue());
    let (mut buffer, mut newest) = (StreamBuffer::default(), NewestBuffer::default());
    let mut group = criterion.benchmark_group("head/read");
    group.sample_size(20);
    group.throughput(Throughput::Elements(histograms().count() as u64));
    for (name, minutes) in [("1 minute", 1), ("5 minutes", 5), ("15 minutes", 15)] {
        let range = TimeRange::ending_at(mesh.now_ms(), minutes * 60_000);
        println!("{name}: checksum {}", read_buckets(&head, range, &mut buffer));
        group.bench_function(name, |bencher| {
            bencher.iter(|| read_buckets(&head, range, &mut buffer));
        });
    }
    for (name, minutes_ago) in [("newest", 0), ("newest of 8 minutes ago", 8)] {
        let range = TimeRange::ending_at(mesh.now_ms() - minutes_ago * 60_000, 5 * 60_000);
        println!(
            "{name}: checksum {}",
            read_newest_buckets(&head, range, &mut newest)
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(read_newest_buckets(&head, range, &mut newest)));
        });
    }
    group.finish();
}

criterion_group!(benches, appends, reads);
criterion_main!(benches);
