//! The log: encoding sample records, reading them back, opening a store.
//!
//! The samples are those of a mesh's scrapes: per label set a counter and three histograms of 20 buckets with sum
//! and count, requests of 2,000 samples in the order of an exposition.
#![expect(clippy::print_stdout, reason = "a bench reports")]

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use catalog::HashSecret;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, SampleBatch, SeriesRef};
use storage::wal::{Payload, Record, RecordEncoder, decode_record};
use storage::{Store, StoreConfig, Surroundings};
use testkit::{Chance, FaultyFiles, MockClock};

const N_ENTITIES: usize = 150;
const SERIES_PER_ENTITY: usize = 67;
const REQUEST_SAMPLES: usize = 2_000;
const NOW_MS: i64 = 1_700_000_000_000;

/// Moves the counters of all label sets.
struct Mesh {
    chance: Chance,
    values: Vec<f64>,
}

impl Mesh {
    fn new() -> Self {
        Self {
            chance: Chance::from_seed(1),
            values: vec![0.0; N_ENTITIES * SERIES_PER_ENTITY],
        }
    }

    /// One scrape of everything, cut into requests.
    fn scrape(&mut self, series: &[SeriesRef], number: i64) -> Vec<SampleBatch> {
        for entity in self.values.chunks_mut(SERIES_PER_ENTITY) {
            let is_idle = self.chance.one_in(3);
            let n_requests = if is_idle { 0 } else { self.chance.below(40) };
            entity[0] += n_requests as f64;
            for histogram in entity[1..].chunks_mut(22) {
                for _ in 0..n_requests {
                    let first_bucket = 4 + self.chance.index(12);
                    for bucket in &mut histogram[first_bucket..20] {
                        *bucket += 1.0;
                    }
                    histogram[20] += self.chance.below(1_000_000) as f64 / 1_000.0;
                    histogram[21] += 1.0;
                }
            }
        }
        let mut requests = vec![SampleBatch::with_capacity(REQUEST_SAMPLES)];
        for (series_idx, (series, value)) in series.iter().zip(&self.values).enumerate() {
            if requests
                .last()
                .is_some_and(|request| request.len() == REQUEST_SAMPLES)
            {
                requests.push(SampleBatch::with_capacity(REQUEST_SAMPLES));
            }
            let phase_ms = (series_idx / (20 * SERIES_PER_ENTITY)) as i64 * 113;
            let timestamp_ms = NOW_MS + 15_000 * number + phase_ms;
            if let Some(request) = requests.last_mut() {
                request.push(*series, timestamp_ms, *value);
            }
        }
        requests
    }
}

fn open(files: &FaultyFiles) -> Arc<Store> {
    let surroundings = Surroundings {
        clock: Arc::new(MockClock::at(NOW_MS)),
        files: Arc::new(files.process()),
        secret: HashSecret::from_seed(1),
        release_memory: || (),
    };
    let opened = Store::open(
        Path::new("/data"),
        StoreConfig::default(),
        surroundings,
        &mut |_| {},
    );
    opened.expect("the store opens").0
}

fn register_all(store: &Store) -> Vec<SeriesRef> {
    let mut series = Vec::new();
    for entity in 0..N_ENTITIES {
        let pod = format!("reviews-v1-{entity:08x}");
        let mut register = |name: &str, le: &str| {
            let labels = Labels::from_pairs([("__name__", name), ("pod", &pod), ("le", le)]);
            let labels = labels.expect("the labels are sound");
            let key = store.resolver().key(labels.to_string().as_bytes());
            series.push(store.register(key, &labels).expect("there is room"));
        };
        register("requests_total", "");
        for histogram in ["duration", "request_bytes", "response_bytes"] {
            for bucket in 0..20 {
                register(&format!("{histogram}_bucket"), &format!("{}", 1 << bucket));
            }
            register(&format!("{histogram}_sum"), "");
            register(&format!("{histogram}_count"), "");
        }
    }
    series
}

fn append(store: &Store, requests: Vec<SampleBatch>) {
    let (sender, answers) = mpsc::channel();
    let n_requests = requests.len();
    for request in requests {
        let sender = sender.clone();
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        store.append(request, done).expect("there is room");
    }
    for answer in answers.iter().take(n_requests) {
        assert!(answer.expect("it is written").refused.is_empty());
    }
}

fn encode(requests: &[SampleBatch]) -> Vec<Payload> {
    let mut encoder = RecordEncoder::new().expect("lz4 is there");
    let encoded = requests.iter().map(|request| encoder.encode_samples([request]));
    encoded.flatten().collect()
}

fn records(criterion: &mut Criterion) {
    let store = open(&FaultyFiles::new(1));
    let series = register_all(&store);
    let mut mesh = Mesh::new();
    let requests: Vec<SampleBatch> = (0..20).flat_map(|number| mesh.scrape(&series, number)).collect();
    let requests = requests[requests.len() - 50..].to_vec();
    let n_samples: usize = requests.iter().map(SampleBatch::len).sum();
    let payloads = encode(&requests);
    let n_bytes: usize = payloads.iter().map(|payload| payload.bytes().len()).sum();
    println!(
        "checksum: {n_samples} samples in {n_bytes} bytes, {:.2} per sample",
        n_bytes as f64 / n_samples as f64
    );

    let mut group = criterion.benchmark_group("wal");
    group.throughput(Throughput::Elements(n_samples as u64));
    let mut encoder = RecordEncoder::new().expect("lz4 is there");
    group.bench_function("encode, one request a record", |bencher| {
        bencher.iter(|| {
            for request in &requests {
                black_box(encoder.encode_samples([request]));
            }
        });
    });
    group.bench_function("encode, ten requests a record", |bencher| {
        bencher.iter(|| {
            for some in requests.chunks(10) {
                black_box(encoder.encode_samples(some));
            }
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            for payload in &payloads {
                let record = decode_record(payload.kind() as u8, payload.bytes());
                assert!(matches!(black_box(record), Ok(Record::Samples(_))));
            }
        });
    });
    group.finish();
}

fn replay(criterion: &mut Criterion) {
    let files = FaultyFiles::new(1);
    let store = open(&files);
    let series = register_all(&store);
    let mut mesh = Mesh::new();
    for number in 0..50 {
        append(&store, mesh.scrape(&series, number));
    }
    drop(store);
    let mut group = criterion.benchmark_group("wal");
    group.sample_size(10);
    group.throughput(Throughput::Elements((50 * series.len()) as u64));
    group.bench_function("open", |bencher| {
        bencher.iter_batched(|| (), |()| open(&files), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = records, replay
}
criterion_main!(benches);
