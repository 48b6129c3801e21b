//! Cost per data point of walking an OTLP request shaped like an Envoy's: one metric per point, attributes that name the
//! cluster, one point in thirteen a histogram of 19 bounds.
//!
//! `cargo bench -p wire --bench otlp`; the throughput line counts points.

#![expect(clippy::print_stdout, reason = "a bench prints the checksum of its result")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Sample, TimestampMs};
use wire::Limits;
use wire::otlp::encoder::{Buckets, Encoder, NumberKind, PointHead, Temporality};
use wire::otlp::{Exemplar, Rejection, Series, Settings, Visitor, Walker};
use wire::remote_write::Histogram;
use xxhash_rust::xxh3::xxh3_128_with_seed;

const N_CLUSTERS: usize = 50;
const TIME_NS: u64 = 1_795_238_213_618_000_000;
/// Bounds of a histogram: how many counts.
const N_BOUNDS: usize = 19;

fn request() -> Vec<u8> {
    let bounds: [f64; N_BOUNDS] = std::array::from_fn(|idx| 0.5 * 2_f64.powi(idx as i32));
    let mut encoder = Encoder::new(&[
        ("telemetry.sdk.name", "envoy"),
        ("telemetry.sdk.version", "1.40.0"),
    ]);
    for cluster in 0..N_CLUSTERS {
        let cluster_name = format!("outbound|9080||service-{cluster}.shop.svc.cluster.local");
        let attributes = [("envoy.cluster_name", cluster_name.as_str())];
        for number in 0..24_u64 {
            let is_gauge = number % 2 == 0;
            let name = format!("cluster.upstream_statistic_{number}_total");
            let head = PointHead {
                name: &name,
                attributes: &attributes,
                start_ns: if is_gauge { 0 } else { TIME_NS / 1_000 - 1_000_000 },
                time_ns: TIME_NS,
            };
            let kind = if is_gauge {
                NumberKind::Gauge
            } else {
                NumberKind::Counter(Temporality::Cumulative)
            };
            encoder.push_number(kind, &head, number * cluster as u64);
        }
        for name in ["cluster.upstream_rq_time", "cluster.upstream_cx_connect_ms"] {
            let head = PointHead {
                name,
                attributes: &attributes,
                start_ns: TIME_NS / 1_000 - 1_000_000,
                time_ns: TIME_NS,
            };
            let buckets = Buckets {
                bounds: &bounds,
                counts: &[cluster as u64; N_BOUNDS + 1],
                sum: 17.5,
            };
            encoder.push_histogram(Temporality::Cumulative, &head, &buckets);
        }
    }
    let mut body = Vec::new();
    encoder.finish(&mut body);
    body
}

/// Takes what an ingest would.
#[derive(Default)]
struct Columns {
    keys: Vec<u128>,
    timestamps_ms: Vec<TimestampMs>,
    values: Vec<f64>,
    starts_ms: Vec<TimestampMs>,
}

impl Visitor for Columns {
    fn sample(&mut self, series: &Series<'_>, sample: Sample, start_ms: Option<TimestampMs>) {
        self.keys.push(series.key);
        self.timestamps_ms.push(sample.timestamp_ms);
        self.values.push(sample.value);
        self.starts_ms.push(start_ms.unwrap_or(0));
    }

    fn histogram(&mut self, _: &Series<'_>, _: &Histogram) {}

    fn exemplar(&mut self, _: &Exemplar) {}

    fn rejected(&mut self, _: Rejection, _: u64, _: &str) {}
}

fn walk(criterion: &mut Criterion) {
    let body = request();
    let mut walker = Walker::new(Settings::default(), &Limits::default(), |bytes: &[u8]| {
        xxh3_128_with_seed(bytes, 1)
    });
    let mut columns = Columns::default();
    let n_points = walker
        .walk(&body, "10.0.0.1", &mut columns)
        .expect("a sound request");
    println!(
        "checksum: {n_points} points, {} samples, {} bytes per point, times {:x}",
        columns.values.len(),
        body.len() / n_points as usize,
        columns
            .timestamps_ms
            .iter()
            .fold(0, |sum: i64, time| sum.wrapping_mul(31) ^ time),
    );
    let mut group = criterion.benchmark_group("otlp");
    group.throughput(Throughput::Elements(n_points));
    group.bench_function("walk", |bencher| {
        bencher.iter(|| {
            columns.keys.clear();
            columns.timestamps_ms.clear();
            columns.values.clear();
            columns.starts_ms.clear();
            black_box(walker.walk(&body, "10.0.0.1", &mut columns).is_ok())
        });
    });
    group.finish();
}

criterion_group!(benches, walk);
criterion_main!(benches);
