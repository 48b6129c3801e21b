//! The same query gives the same bits however many threads there are.

mod support;

use std::sync::Arc;

use model::LaneKind;
use query::{Engine, EngineOptions, QueryRequest, QueryResult, SeriesSet, Value};
use support::memory::MemorySource;

const N_ENTITIES: u64 = 600;
const N_ROWS: i64 = 60;
const ROW_MS: i64 = 15_000;
const BOUNDS: [&str; 6] = ["1", "5", "25", "100", "1000", "+Inf"];

/// Histograms whose values have all their digits, so that another order of adding gives other bits.
fn mesh() -> MemorySource {
    let mut source = MemorySource::default();
    let mut chance = 1_u64;
    let mut next = move || {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (chance >> 11) as f64 / (1_u64 << 53) as f64
    };
    for entity in 0..N_ENTITIES {
        let (pod, workload) = (format!("pod-{entity}"), format!("workload-{}", entity % 23));
        let labels = [("pod", pod.as_str()), ("workload", workload.as_str())];
        let mut counter = || {
            let scale = 10_f64.powf(next() * 12.0 - 6.0);
            let rises = (0..N_ROWS).scan(0.0, |total, _| {
                *total += next() * scale;
                Some(*total)
            });
            rises.collect::<Vec<f64>>()
        };
        let lanes = BOUNDS
            .map(|bound| (LaneKind::Bucket(bound), counter()))
            .into_iter()
            .chain([(LaneKind::Sum, counter()), (LaneKind::Count, counter())]);
        let timestamps_ms = (0..N_ROWS).map(|row| row * ROW_MS).collect();
        source.add_stream("latency", &labels, timestamps_ms, lanes.collect());
    }
    source
}

/// All values of a result, with the labels they stand under.
fn bits(result: &QueryResult) -> Vec<String> {
    let of_series = |series: &SeriesSet| -> Vec<String> {
        let one = |series_idx| {
            let labels: Vec<_> = series.labels(series_idx).collect();
            let points = series.points(series_idx).map(|(at, value)| (at, value.to_bits()));
            format!("{labels:?} {:?}", points.collect::<Vec<_>>())
        };
        (0..series.n_series()).map(one).collect()
    };
    match &result.value {
        Value::Vector(series) | Value::Matrix(series) => of_series(series),
        other => panic!("{other:?}"),
    }
}

const QUERIES: [&str; 12] = [
    "sum(rate(latency_bucket[2m]))",
    "sum by (le, workload) (rate(latency_bucket[2m]))",
    "sum by (pod) (rate(latency_bucket[2m]))",
    "avg by (workload) (rate(latency_sum[2m]))",
    "avg(latency_sum)",
    "stddev by (le) (latency_bucket)",
    "stdvar(increase(latency_count[1m]))",
    "count by (workload) (latency_bucket > 1)",
    "histogram_quantile(0.9, sum by (le, workload) (rate(latency_bucket[2m])))",
    "sum by (workload) (rate(latency_sum[2m]) / rate(latency_count[2m]))",
    "sum(sum_over_time(latency_sum[3m]) * 3)",
    "quantile(0.3, rate(latency_bucket[2m])) + sum(latency_count)",
];

async fn answers(source: &Arc<MemorySource>, threads: usize) -> Vec<Vec<String>> {
    let options = EngineOptions {
        threads,
        ..EngineOptions::default()
    };
    let source: Arc<MemorySource> = Arc::clone(source);
    let engine = Engine::new(source, options).unwrap();
    let mut answers = Vec::new();
    for text in QUERIES {
        let end_ms = (N_ROWS - 1) * ROW_MS;
        let requests = [
            QueryRequest::instant(text, end_ms),
            QueryRequest::range(text, end_ms / 2, end_ms, ROW_MS),
        ];
        for request in requests {
            let answer = bits(&engine.query(request).await.unwrap());
            assert!(!answer.is_empty(), "{text}");
            answers.push(answer);
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_have_the_same_bits_with_one_two_and_four_threads() {
    let source = Arc::new(mesh());
    let expected = answers(&source, 1).await;
    for threads in [2, 4, 4, 4] {
        for (position, (found, expected)) in answers(&source, threads).await.iter().zip(&expected).enumerate()
        {
            assert!(
                found == expected,
                "{} with {threads} threads",
                QUERIES[position / 2]
            );
        }
    }
}
