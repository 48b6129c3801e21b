//! Label bytes to series: hashing, single lookups, batches, two threads at once.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod population;

use std::hint::black_box;

use catalog::{HashSecret, Resolver, SeriesKey};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, SeriesRef};

/// Series of one remote-write request, as Prometheus sends them.
const BATCH: usize = 2_000;

/// The labels as remote write 1.0 carries them.
fn label_bytes(labels: &Labels) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in labels.iter() {
        let (name_len, value_len) = (name.len() as u8, value.len() as u8);
        bytes.extend([0x0a, name_len + value_len + 4, 0x0a, name_len]);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend([0x12, value_len]);
        bytes.extend_from_slice(value.as_bytes());
    }
    bytes
}

fn filled() -> (Resolver, Vec<SeriesKey>) {
    let catalog = population::catalog();
    let resolver = Resolver::new(HashSecret::from_seed(1));
    resolver.set_n_series(catalog.n_series());
    let mut keys = Vec::with_capacity(catalog.n_series());
    for labels in (0..population::n_entities()).flat_map(population::entity_series) {
        let key = resolver.key(&label_bytes(&labels));
        resolver.insert(key, catalog.find(&labels).expect("a registered series"));
        keys.push(key);
    }
    println!(
        "resolver: {} keys, {:.1} bytes per key",
        resolver.len(),
        resolver.heap_bytes() as f64 / resolver.len() as f64
    );
    (resolver, keys)
}

fn sum(found: &[Option<SeriesRef>]) -> u64 {
    found
        .iter()
        .flatten()
        .map(|series| u64::from(series.stream.0))
        .sum()
}

fn bench(criterion: &mut Criterion) {
    let (resolver, keys) = filled();
    let mut found = Vec::new();
    resolver.get_batch(&keys, &mut found);
    println!("checksum {}", sum(&found));

    let mut group = criterion.benchmark_group("resolve");
    let bytes = label_bytes(&population::entity_series(1)[2]);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("key", |b| b.iter(|| resolver.key(black_box(&bytes))));

    let requests: Vec<&[SeriesKey]> = keys.chunks(BATCH).collect();
    let mut turn = 0;
    let mut next_request = || {
        turn = (turn + 1) % requests.len();
        requests[turn]
    };
    group.throughput(Throughput::Elements(requests[0].len() as u64));
    group.bench_function("get one by one", |b| {
        b.iter_batched(
            &mut next_request,
            |keys| keys.iter().filter(|key| resolver.get(**key).is_some()).count(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("get_batch", |b| {
        b.iter_batched(
            &mut next_request,
            |keys| resolver.get_batch(keys, &mut found),
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(2 * keys.len() as u64));
    group.bench_function("get_batch, two threads over all keys", |b| {
        b.iter(|| {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let mut found = Vec::new();
                        requests
                            .iter()
                            .map(|keys| resolver.get_batch(keys, &mut found))
                            .sum::<usize>()
                    });
                }
            });
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
