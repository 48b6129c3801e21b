//! Cost per series of opening, walking, keying and parsing remote-write requests shaped like a mesh's: 32 labels,
//! about 1.1 kB, the buckets of one histogram after each other, one sample per series.
//!
//! `cargo bench -p wire`; divide by 2,000, or read the throughput line, for the cost of one series.

#![expect(clippy::print_stdout, reason = "a bench prints the checksum of its result")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::Sample;
use wire::Limits;
use wire::remote_write::{v1, v2};
use wire::snappy::{Compressor, decompress};
use xxhash_rust::xxh3::xxh3_128_with_seed;

const N_SERIES: usize = 2_000;
const TIMESTAMP_MS: i64 = 1_795_238_213_618;
const BOUNDS: [&str; 20] = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000",
    "60000", "300000", "600000", "1.8e+06", "3.6e+06", "+Inf",
];

/// Labels of the `idx`-th series: one edge per twenty buckets.
fn labels(idx: usize) -> Vec<(String, String)> {
    let edge = idx / BOUNDS.len();
    let (source, destination) = (edge % 17, edge % 23);
    let workload = |role: &str, service: usize| {
        vec![
            (format!("{role}_app"), format!("service-{service}")),
            (format!("{role}_canonical_revision"), "v1".to_owned()),
            (format!("{role}_canonical_service"), format!("service-{service}")),
            (format!("{role}_cluster"), "Kubernetes".to_owned()),
            (
                format!("{role}_principal"),
                format!(
                    "spiffe://cluster.local/ns/namespace-{}/sa/service-{service}",
                    service % 5
                ),
            ),
            (format!("{role}_version"), "v1".to_owned()),
            (format!("{role}_workload"), format!("service-{service}-v1")),
            (
                format!("{role}_workload_namespace"),
                format!("namespace-{}", service % 5),
            ),
        ]
    };
    let mut pairs = workload("source", source);
    pairs.extend(workload("destination", destination));
    let texts = [
        (
            "__name__",
            "istio_request_duration_milliseconds_bucket".to_owned(),
        ),
        ("connection_security_policy", "mutual_tls".to_owned()),
        (
            "destination_service",
            format!(
                "service-{destination}.namespace-{}.svc.cluster.local",
                destination % 5
            ),
        ),
        ("destination_service_name", format!("service-{destination}")),
        (
            "destination_service_namespace",
            format!("namespace-{}", destination % 5),
        ),
        ("instance", format!("10.244.{}.{}:15020", edge % 4, edge % 250)),
        ("job", "kubernetes-pods".to_owned()),
        ("le", BOUNDS[idx % BOUNDS.len()].to_owned()),
        ("namespace", format!("namespace-{}", source % 5)),
        ("node", format!("worker-{}", edge % 12)),
        ("pod", format!("service-{source}-v1-6b746f74dc-{edge:05}")),
        ("pod_template_hash", "6b746f74dc".to_owned()),
        ("reporter", "source".to_owned()),
        ("request_protocol", "http".to_owned()),
        ("response_code", "200".to_owned()),
        ("response_flags", "-".to_owned()),
    ];
    pairs.extend(texts.map(|(name, value)| (name.to_owned(), value)));
    pairs.sort();
    assert_eq!(pairs.len(), 32);
    pairs
}

fn encode_v1() -> v1::Encoder {
    let mut encoder = v1::Encoder::default();
    let mut label_bytes = Vec::new();
    for idx in 0..N_SERIES {
        label_bytes.clear();
        for (name, value) in labels(idx) {
            v1::push_label(&mut label_bytes, &name, &value);
        }
        let sample = Sample {
            timestamp_ms: TIMESTAMP_MS,
            value: idx as f64,
        };
        encoder.push_series(&label_bytes, &[sample]);
    }
    encoder
}

fn encode_v2() -> Vec<u8> {
    let mut encoder = v2::Encoder::default();
    for idx in 0..N_SERIES {
        let refs: Vec<u32> = labels(idx)
            .iter()
            .flat_map(|(name, value)| [name, value])
            .map(|text| encoder.symbol(text))
            .collect();
        let sample = v2::Sample {
            timestamp_ms: TIMESTAMP_MS,
            value: idx as f64,
            start_timestamp_ms: 0,
        };
        encoder.push_series(&refs, &[sample], Some(v2::MetadataRefs::default()));
    }
    let mut body = Vec::new();
    encoder.write_body(&mut body);
    body
}

/// Walks a 1.0 request, giving `visit` the label bytes of each series; returns a checksum of the samples.
fn walk_v1(body: &[u8], mut visit: impl FnMut(&[u8])) -> u64 {
    let mut scratch = Vec::new();
    let mut checksum = 0_u64;
    for entry in v1::Request::new(body, &Limits::default()) {
        let v1::Entry::Series(series) = entry.expect("a valid request") else {
            continue;
        };
        visit(series.label_bytes(&mut scratch));
        for sample in series.samples() {
            checksum = checksum.wrapping_add(sample.expect("a valid request").value.to_bits());
        }
    }
    checksum
}

fn hash(bytes: &[u8]) -> u128 {
    xxh3_128_with_seed(bytes, 0x6d65_7368)
}

fn bench_v1(criterion: &mut Criterion) {
    let mut encoder = encode_v1();
    let body = encoder.body().to_vec();
    let mut compressor = Compressor::default();
    let mut compressed = Vec::new();
    let compressed = compressor
        .compress(&body, &mut compressed)
        .expect("small enough")
        .to_vec();
    let checksum = walk_v1(&body, |_| ());
    println!(
        "v1: {} bytes per series, {} compressed, checksum {checksum:x}",
        body.len() / N_SERIES,
        compressed.len() / N_SERIES
    );

    let mut group = criterion.benchmark_group("v1");
    group.throughput(Throughput::Elements(N_SERIES as u64));
    let mut buffer = Vec::new();
    group.bench_function("decompress", |bencher| {
        bencher.iter(|| {
            decompress(&compressed, 32 << 20, &mut buffer)
                .expect("valid")
                .len()
        });
    });
    group.bench_function("walk", |bencher| {
        bencher.iter(|| walk_v1(&body, |label_bytes| _ = black_box(label_bytes)));
    });
    group.bench_function("walk and hash", |bencher| {
        bencher.iter(|| walk_v1(&body, |label_bytes| _ = black_box(hash(label_bytes))));
    });
    group.bench_function("walk and parse labels", |bencher| {
        let limits = Limits::default();
        bencher.iter(|| {
            walk_v1(&body, |label_bytes| {
                drop(black_box(v1::parse_labels(label_bytes, &limits)));
            })
        });
    });
    group.bench_function("rewrite samples", |bencher| {
        bencher.iter(|| (0..N_SERIES).all(|idx| encoder.rewrite_sample(idx, TIMESTAMP_MS + 15_000, 1.0)));
    });
    let mut out = Vec::new();
    group.bench_function("compress", |bencher| {
        bencher.iter(|| compressor.compress(&body, &mut out).expect("small enough").len());
    });
    group.finish();
}

fn bench_v2(criterion: &mut Criterion) {
    let limits = Limits::default();
    let keys = v2::SeriesKeys::new(hash, limits.labels_per_series);
    let mut hashes = v2::SymbolHashes::default();
    let body = encode_v2();
    let mut run = |with_keys: bool| {
        let request = v2::Request::parse(&body, &limits).expect("a valid request");
        keys.hash_symbols(request.symbols(), &mut hashes);
        let mut checksum = 0_u128;
        for series in request.series() {
            let series = series.expect("a valid request");
            if with_keys {
                checksum ^= keys.key(&series, &mut hashes).expect("valid references");
            }
            for sample in series.samples() {
                checksum ^= u128::from(sample.expect("a valid request").value.to_bits());
            }
        }
        checksum
    };
    println!(
        "v2: {} bytes per series, checksum {:x}",
        body.len() / N_SERIES,
        run(true)
    );
    let mut group = criterion.benchmark_group("v2");
    group.throughput(Throughput::Elements(N_SERIES as u64));
    for (name, with_keys) in [("walk", false), ("walk and key", true)] {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| run(with_keys));
        });
    }
    group.bench_function("walk and resolve labels", |bencher| {
        bencher.iter(|| {
            let request = v2::Request::parse(&body, &limits).expect("a valid request");
            for series in request.series() {
                let series = series.expect("a valid request");
                drop(black_box(series.labels(request.symbols(), &limits)));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, bench_v1, bench_v2);
criterion_main!(benches);
