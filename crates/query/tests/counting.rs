//! `count` and `group` of a selector look at no value; they count what other aggregations see.

mod support;

use std::sync::Arc;

use model::{Labels, stale_nan};
use query::{Engine, EngineOptions, QueryRequest, Value};
use support::memory::MemorySource;

const NOW_MS: i64 = 600_000;

/// Histograms of 70 buckets: some lanes have ended, some are too old, some have NaN, some begin late.
fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for pod in 0..5 {
        for bucket in 0..70 {
            let labels = Labels::from_pairs([
                ("__name__", "latency_bucket"),
                ("le", &bucket.to_string()),
                ("pod", &format!("pod-{pod}")),
                ("zone", if pod == 3 { "far" } else { "near" }),
            ]);
            let newest = match (pod * 70 + bucket) % 11 {
                0 => vec![(NOW_MS - 15_000, stale_nan())],
                1 => vec![],
                2 => vec![(NOW_MS - 15_000, f64::NAN)],
                3 => vec![(NOW_MS - 15_000, stale_nan()), (NOW_MS, 7.0)],
                _ => vec![(NOW_MS, 7.0)],
            };
            let old = (NOW_MS - 400_000, 1.0);
            source.add(&labels.unwrap(), std::iter::once(old).chain(newest));
        }
    }
    source
}

async fn answer(engine: &Engine, text: &str) -> Vec<String> {
    let request = QueryRequest::instant(text, NOW_MS);
    let Value::Vector(series) = engine.query(request).await.unwrap().value else {
        panic!("{text} is a vector");
    };
    let one = |series_idx| {
        let labels: Vec<_> = series.labels(series_idx).collect();
        format!("{labels:?} {:?}", series.points(series_idx).collect::<Vec<_>>())
    };
    let mut lines: Vec<String> = (0..series.n_series()).map(one).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn what_is_counted_without_values_is_what_has_one() {
    let engine = Engine::new(Arc::new(source()), EngineOptions::default()).unwrap();
    let selectors = [
        "latency_bucket",
        "latency_bucket{le=~\"[0-9]\"}",
        "latency_bucket{pod=\"pod-2\"}",
        "latency_bucket offset 1m",
        "latency_bucket @ 100",
        "latency_bucket @ 300",
    ];
    let mut n_groups = 0;
    for selector in selectors {
        for grouping in [
            "",
            "by (le)",
            "by (pod)",
            "by (zone)",
            "without (le)",
            "without (pod)",
        ] {
            // 1 whatever the value is, NaN included.
            let one = format!("(({selector}) == bool ({selector})) + (({selector}) != bool ({selector}))");
            let expected = answer(&engine, &format!("sum {grouping} ({one})")).await;
            for counted in [selector.to_owned(), format!("timestamp({selector})")] {
                let text = format!("count {grouping} ({counted})");
                assert_eq!(answer(&engine, &text).await, expected, "{text}");
            }
            let group = answer(&engine, &format!("group {grouping} ({selector})")).await;
            assert_eq!(group, answer(&engine, &format!("max {grouping} ({one})")).await);
            n_groups += group.len();
        }
    }
    assert!(n_groups > 500, "{n_groups}");
}
