//! Long ranges, which are evaluated a day after the other, give at every step what a query of that instant gives.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;
use query::{Engine, EngineOptions, QueryRequest, QueryResult, SeriesSet, Value};
use support::memory::MemorySource;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const START_MS: i64 = 20_000 * DAY_MS;
const N_DAYS: i64 = 6;
/// Scrapes fall on the ends of days and of windows, too.
const ROW_MS: i64 = 10 * 60_000;

/// Counters of buckets: one whole, one that starts again now and then, one with gaps, one that ends and comes back.
fn counters() -> MemorySource {
    let mut source = MemorySource::default();
    let mut add = |pod: &str, le: &str, value: &dyn Fn(i64) -> Option<f64>| {
        let labels = [("__name__", "latency_bucket"), ("pod", pod), ("le", le)];
        let samples = (0..N_DAYS * DAY_MS / ROW_MS)
            .filter_map(|row| value(row).map(|value| (START_MS + row * ROW_MS, value)));
        source.add(&Labels::from_pairs(labels).unwrap(), samples);
    };
    for pod in ["a", "b"] {
        let scale = if pod == "a" { 0.1 } else { 7.0 };
        add(pod, "1", &|row| Some(row as f64 * scale));
        add(pod, "2", &|row| Some((row % 143) as f64 * scale));
        add(pod, "3", &|row| {
            (row % 100 > 7 && !(300..450).contains(&row)).then_some(row as f64 * scale)
        });
        add(pod, "4", &|row| match row {
            0..200 => Some(row as f64),
            200 => Some(model::stale_nan()),
            400.. => Some((row * row) as f64),
            _ => None,
        });
    }
    // Nothing on some days.
    add("c", "1", &|row| {
        (!(10..=700).contains(&row)).then_some(row as f64)
    });
    source
}

/// By labels and time, the bits of the values.
type Points = BTreeMap<(String, i64), u64>;

fn add_points(result: &QueryResult, points: &mut Points) {
    let (Value::Vector(series) | Value::Matrix(series)) = &result.value else {
        panic!("{:?}", result.value);
    };
    let series: &SeriesSet = series;
    for series_idx in 0..series.n_series() {
        let labels: Vec<_> = series.labels(series_idx).collect();
        for (at_ms, value) in series.points(series_idx) {
            points.insert((format!("{labels:?}"), at_ms), value.to_bits());
        }
    }
}

async fn check(engine: &Engine, text: &str, first_ms: i64, step_ms: i64) {
    let last_ms = START_MS + N_DAYS * DAY_MS + HOUR_MS;
    let (mut of_range, mut of_instants) = (Points::new(), Points::new());
    let request = QueryRequest::range(text, first_ms, last_ms, step_ms);
    let result = engine.query(request).await.unwrap();
    add_points(&result, &mut of_range);
    for at_ms in (first_ms..=last_ms).step_by(step_ms as usize) {
        let result = engine.query(QueryRequest::instant(text, at_ms)).await.unwrap();
        add_points(&result, &mut of_instants);
    }
    assert!(!of_range.is_empty(), "{text}");
    assert!(of_range == of_instants, "{text} from {first_ms} by {step_ms}");
}

#[tokio::test]
async fn a_long_range_gives_what_its_instants_give() {
    let engine = Engine::new(Arc::new(counters()), EngineOptions::default()).unwrap();
    for text in [
        "rate(latency_bucket[1h])",
        "increase(latency_bucket[3h])",
        "sum by (le) (rate(latency_bucket[90m]))",
        "count by (pod) (latency_bucket)",
        "latency_bucket offset 2h",
        "max_over_time(latency_bucket[1h])",
        "quantile_over_time(0.3, latency_bucket[50m])",
        "timestamp(latency_bucket)",
        "resets(latency_bucket[6h])",
        "rate(latency_bucket[2d])",
    ] {
        for (first_ms, step_ms) in [
            (START_MS + HOUR_MS, HOUR_MS),
            (START_MS - DAY_MS, 7 * HOUR_MS / 2),
            (START_MS + 61_000, 30 * HOUR_MS),
        ] {
            check(&engine, text, first_ms, step_ms).await;
        }
    }
}

#[tokio::test]
async fn each_sample_of_a_long_range_is_read_once() {
    let engine = Engine::new(Arc::new(counters()), EngineOptions::default()).unwrap();
    let (first_ms, last_ms) = (START_MS + HOUR_MS, START_MS + 5 * DAY_MS);
    let text = "rate(latency_bucket{le=\"1\",pod=\"a\"}[2h])";
    let request = QueryRequest::range(text, first_ms, last_ms, HOUR_MS);
    let stats = engine.query(request).await.unwrap().stats;
    // The samples at both ends included.
    assert_eq!(stats.samples_read, (5 * DAY_MS / ROW_MS + 1) as u64);
}
