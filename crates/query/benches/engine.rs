//! Whole queries over a mesh in memory: 4,976 entities of 67 series, 60 scrapes at 15 s, as in `docs/performance.md`.
//!
//! With `BENCH_CPU` set, the CPU time per query is printed instead of the time of the clock.
//!
//! The source only copies slices, so this is the cost of the engine itself. Every bench prints a checksum of its answer.
//! With `BENCH_ENTITIES` set, the mesh has so many entities.
#![expect(
    clippy::print_stdout,
    reason = "the checksum of each answer is for the reader"
)]

#[path = "../tests/support/memory.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod memory;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use memory::MemorySource;
use model::{LaneKind, Matcher, TimeRange};
use parking_lot::Mutex;
use query::{Engine, EngineOptions, QueryRequest, QueryResult, SeriesSet, Value};
use storage::{Selection, Source};

const N_SCRAPES: usize = 60;
const SCRAPE_MS: i64 = 15_000;
const START_MS: i64 = 1_763_700_000_000;
const BOUNDS: [&str; 20] = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000",
    "60000", "300000", "600000", "1.8e+06", "3.6e+06", "+Inf",
];

/// Numbers that look random and are the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn mesh(n_entities: usize) -> MemorySource {
    let mut source = MemorySource::default();
    let mut chance = Chance(7);
    for entity in 0..n_entities {
        let reporter = if entity % 2 == 0 { "source" } else { "destination" };
        let source_workload = format!("workload-{}", chance.below(120));
        let destination_workload = format!("workload-{}", chance.below(120));
        let destination_service = format!("{destination_workload}.mesh.svc.cluster.local");
        let pod = format!("pod-{}", entity / 7);
        let code = ["200", "200", "200", "404", "503"][chance.below(5) as usize];
        let fillers: Vec<(String, String)> = (0..24)
            .map(|idx| (format!("label_{idx:02}"), format!("v{}", chance.below(30))))
            .collect();
        let mut labels = vec![
            ("reporter", reporter),
            ("source_workload", &source_workload),
            ("destination_workload", &destination_workload),
            ("destination_service", &destination_service),
            ("pod", &pod),
            ("response_code", code),
        ];
        labels.extend(
            fillers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let phase_ms = chance.below(15_000) as i64;
        let times: Vec<i64> = (0..N_SCRAPES as i64)
            .map(|idx| START_MS + phase_ms + idx * SCRAPE_MS)
            .collect();
        let counter = |chance: &mut Chance| {
            let mut total = chance.below(10_000) as f64;
            let step = chance.below(50);
            let mut next = || {
                total += if step == 0 { 0.0 } else { chance.below(step) as f64 };
                total
            };
            (0..N_SCRAPES).map(|_| next()).collect::<Vec<f64>>()
        };
        source.add_stream(
            "istio_requests_total",
            &labels,
            times.clone(),
            vec![(LaneKind::Value, counter(&mut chance))],
        );
        for name in ["duration_milliseconds", "bytes", "response_bytes"] {
            let mut lanes = Vec::new();
            let mut cumulative = vec![0.0; N_SCRAPES];
            for bound in BOUNDS {
                let more = counter(&mut chance);
                cumulative
                    .iter_mut()
                    .zip(&more)
                    .for_each(|(sum, more)| *sum += more);
                lanes.push((LaneKind::Bucket(bound), cumulative.clone()));
            }
            lanes.push((LaneKind::Sum, counter(&mut chance)));
            lanes.push((LaneKind::Count, cumulative));
            source.add_stream(&format!("istio_request_{name}"), &labels, times.clone(), lanes);
        }
    }
    source
}

/// Lists the series of a selector once: the real store takes a few milliseconds for it, this one far longer.
#[derive(Debug)]
struct Listed {
    source: MemorySource,
    selections: Mutex<HashMap<String, Arc<dyn Selection>>>,
}

impl Source for Listed {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Arc<dyn Selection>, storage::Error> {
        let key = format!("{matchers:?} {range:?}");
        if let Some(selection) = self.selections.lock().get(&key) {
            return Ok(Arc::clone(selection));
        }
        let selection = self.source.select(matchers, range)?;
        self.selections.lock().insert(key, Arc::clone(&selection));
        Ok(selection)
    }

    fn label_names(&self, range: TimeRange) -> Result<Vec<Arc<str>>, storage::Error> {
        self.source.label_names(range)
    }

    fn label_values(&self, name: &str, range: TimeRange) -> Result<Vec<Arc<str>>, storage::Error> {
        self.source.label_values(name, range)
    }
}

/// CPU time of this process so far, all threads.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit_once(')')
        .map_or("", |(_, fields)| fields)
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn checksum(result: &QueryResult) -> String {
    let of_series = |series: &SeriesSet| {
        let points = (0..series.n_series()).flat_map(|idx| series.points(idx));
        let sum: f64 = points
            .map(|(_, value)| value)
            .filter(|value| value.is_finite())
            .sum();
        format!("{} series, sum {sum:.6e}", series.n_series())
    };
    match &result.value {
        Value::Vector(series) | Value::Matrix(series) => of_series(series),
        other => format!("{other:?}"),
    }
}

fn queries(c: &mut Criterion) {
    let n_entities = std::env::var("BENCH_ENTITIES").map_or(4976, |n| n.parse().unwrap());
    let options = EngineOptions {
        threads: 2,
        ..EngineOptions::default()
    };
    let source = Listed {
        source: mesh(n_entities),
        selections: Mutex::default(),
    };
    let engine = Engine::new(Arc::new(source), options).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let end_ms = START_MS + N_SCRAPES as i64 * SCRAPE_MS;
    let quantile = "histogram_quantile(0.99, sum by (le, destination_workload) \
                    (rate(istio_request_duration_milliseconds_bucket{reporter=\"source\"}[5m])))";
    let single = "istio_requests_total{pod=\"pod-3\",reporter=\"source\",response_code=\"200\"}";
    let by_service = "sum by (destination_service, response_code) (rate(istio_requests_total[1m]))";
    let ratio = "sum by (destination_service) (rate(istio_requests_total{response_code!~\"5..\"}[1m])) \
                 / sum by (destination_service) (rate(istio_requests_total[1m]))";
    let cases = [
        ("p99_instant", QueryRequest::instant(quantile, end_ms)),
        (
            "p99_61_steps",
            QueryRequest::range(quantile, end_ms - 600_000, end_ms, 10_000),
        ),
        (
            "count_all",
            QueryRequest::instant("count({__name__=~\"istio_.*\"})", end_ms),
        ),
        ("single_series", QueryRequest::instant(single, end_ms)),
        ("rate_by_service", QueryRequest::instant(by_service, end_ms)),
        (
            "success_ratio_61_steps",
            QueryRequest::range(ratio, end_ms - 600_000, end_ms, 10_000),
        ),
        ("scalar", QueryRequest::instant("1 + 1", end_ms)),
    ];
    for (name, request) in cases {
        let answer = runtime.block_on(engine.query(request.clone())).unwrap();
        println!("{name}: {}; {:?}", checksum(&answer), answer.stats);
        if std::env::var_os("BENCH_CPU").is_some() {
            // On a machine that does other things as well, the time of the clock says little.
            let (begun, before) = (Instant::now(), cpu_time());
            let mut n_runs = 0;
            while begun.elapsed() < Duration::from_secs(3) {
                runtime.block_on(engine.query(request.clone())).unwrap();
                n_runs += 1;
            }
            println!(
                "{name}: {:?} of CPU per query, {n_runs} queries",
                (cpu_time() - before) / n_runs
            );
            continue;
        }
        c.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(engine.query(request.clone())).unwrap());
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = queries
}
criterion_main!(benches);
