//! How many samples each step sees and reads, as `stats=all` shows it.

mod support;

use std::sync::Arc;

use model::Labels;
use query::{Engine, EngineOptions, QueryRequest, QueryStats};
use support::memory::MemorySource;

/// Two series with a sample every 15 s.
fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for pod in ["a", "b"] {
        let labels = Labels::from_pairs([("__name__", "x"), ("pod", pod)]).unwrap();
        source.add(&labels, (0..=40).map(|idx| (idx * 15_000, idx as f64)));
    }
    source
}

/// At 300 s, 330 s and 360 s.
async fn stats(text: &str) -> QueryStats {
    let engine = Engine::new(Arc::new(source()), EngineOptions::default()).unwrap();
    let mut request = QueryRequest::range(text, 300_000, 360_000, 30_000);
    assert!(
        engine
            .query(request.clone())
            .await
            .unwrap()
            .stats
            .per_step
            .is_none()
    );
    request.per_step_stats = true;
    engine.query(request).await.unwrap().stats
}

#[tokio::test]
async fn steps_see_what_their_windows_hold_and_read_what_no_step_before_them_read() {
    let check = async |text: &str, seen: [u64; 3], read: [u64; 3]| {
        let stats = stats(text).await;
        let steps = stats.per_step.unwrap();
        let times = [300_000, 330_000, 360_000];
        let expected: Vec<_> = (0..3).map(|step| (times[step], seen[step], read[step])).collect();
        assert_eq!(steps, expected, "{text}");
        assert_eq!(stats.samples_queryable, seen.iter().sum::<u64>(), "{text}");
        assert_eq!(stats.samples_read, read.iter().sum::<u64>(), "{text}");
    };
    // The lookback of five minutes is read, of which a step sees the newest sample.
    check("x", [2, 2, 2], [40, 4, 4]).await;
    check("sum(x)", [2, 2, 2], [40, 4, 4]).await;
    check("rate(x[1m])", [8, 8, 8], [8, 4, 4]).await;
    check("sum_over_time(x[15s])", [2, 2, 2], [2, 4, 4]).await;
    check("rate(x{pod=\"a\"}[1m]) + 1", [4, 4, 4], [4, 2, 2]).await;
    check("rate(x[1m] offset 1m)", [8, 8, 8], [8, 4, 4]).await;
    // What does not depend on the step is read once and seen by all.
    check("rate(x[1m] @ 300)", [8, 8, 8], [8, 0, 0]).await;
    check(
        "x{pod=\"a\"} + on() rate(x{pod=\"b\"}[1m] @ 300)",
        [5, 5, 5],
        [24, 2, 2],
    )
    .await;
    // The values of a subquery are seen, not what it reads for them.
    check("max_over_time((x * 2)[1m:30s])", [4, 4, 4], [50, 0, 0]).await;
    check("1 + 1", [0, 0, 0], [0, 0, 0]).await;
}
