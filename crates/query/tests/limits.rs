//! What stops a query: time, samples, memory, the client, other queries.

mod support;

use std::sync::Arc;
use std::time::Duration;

use query::{Engine, EngineOptions, QueryError, QueryRequest, Value};
use support::gate::{Gate, Gated, until};
use support::mesh::{N_SCRAPES, SCRAPE_MS, small_mesh};

const END_MS: i64 = (N_SCRAPES - 1) * SCRAPE_MS;

fn gated(options: EngineOptions) -> (Engine, Arc<Gate>) {
    let (source, gate) = Gated::new(Arc::new(small_mesh("bookinfo")));
    (Engine::new(Arc::new(source), options).unwrap(), gate)
}

fn open(options: EngineOptions) -> Engine {
    Engine::new(Arc::new(small_mesh("bookinfo")), options).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_whose_client_went_away_reads_no_further() {
    let (engine, gate) = gated(EngineOptions {
        threads: 1,
        ..EngineOptions::default()
    });
    let engine = Arc::new(engine);
    let asking = Arc::clone(&engine);
    let client = tokio::spawn(async move {
        asking
            .query(QueryRequest::instant(
                "sum(rate(istio_requests_total[1m]))",
                END_MS,
            ))
            .await
    });
    until(|| gate.n_reads() == 1).await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    gate.open();
    // Its thread is free again for others, and has read one stream only.
    let other = engine
        .query(QueryRequest::instant("1 + 1", END_MS))
        .await
        .unwrap();
    assert!(matches!(other.value, Value::Scalar { value: 2.0, .. }));
    assert_eq!(gate.n_reads(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_past_its_time_fails_and_says_so() {
    let (engine, gate) = gated(EngineOptions::default());
    let mut request = QueryRequest::instant("sum(rate(istio_requests_total[1m]))", END_MS);
    request.timeout = Some(Duration::from_millis(20));
    let opener = Arc::clone(&gate);
    let late = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(60)).await;
        opener.open();
    });
    let error = engine.query(request).await.unwrap_err();
    assert!(matches!(error, QueryError::Timeout { .. }), "{error:?}");
    assert_eq!(error.to_string(), "query timed out in expression evaluation");
    late.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_beyond_the_slots_wait_and_may_time_out_waiting() {
    let (engine, gate) = gated(EngineOptions {
        threads: 2,
        max_concurrent: 1,
        ..EngineOptions::default()
    });
    let engine = Arc::new(engine);
    let asking = Arc::clone(&engine);
    let first = tokio::spawn(async move {
        asking
            .query(QueryRequest::instant("sum(istio_requests_total)", END_MS))
            .await
    });
    until(|| gate.n_reads() > 0).await;
    let mut second = QueryRequest::instant("1", END_MS);
    second.timeout = Some(Duration::from_millis(20));
    let error = engine.query(second.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "query timed out in query queue");
    gate.open();
    assert!(first.await.unwrap().is_ok());
    second.timeout = None;
    assert!(engine.query(second).await.is_ok());
}

#[tokio::test]
async fn samples_are_limited_per_query() {
    let engine = open(EngineOptions {
        max_samples: 1_000,
        ..EngineOptions::default()
    });
    let few = QueryRequest::instant("sum(istio_requests_total)", END_MS);
    assert!(engine.query(few).await.is_ok());
    // What is read of one series after the other and does not stay is no burden.
    let folded = "sum(rate(istio_request_duration_milliseconds_bucket[10m])) by (le)";
    let once = engine.query(QueryRequest::instant(folded, END_MS)).await.unwrap();
    assert!(once.stats.samples_read > 2_000, "{:?}", once.stats);
    let many = QueryRequest::range(folded, END_MS - 300_000, END_MS, 15_000);
    let error = engine.query(many).await.unwrap_err();
    assert!(
        matches!(error, QueryError::TooManySamples { limit: 1_000 }),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
}

#[tokio::test]
async fn memory_is_limited_for_all_queries_and_given_back() {
    let engine = open(EngineOptions {
        memory_bytes: 200_000,
        ..EngineOptions::default()
    });
    let all = "{__name__=~\"istio_.*\"}";
    let large = QueryRequest::range(all, 0, END_MS, 1_000);
    for _ in 0..3 {
        let error = engine.query(large.clone()).await.unwrap_err();
        assert!(matches!(error, QueryError::Memory { .. }), "{error:?}");
    }
    // Folding the same series needs little.
    let folded = QueryRequest::range(format!("count({all})"), 0, END_MS, 1_000);
    let result = engine.query(folded).await.unwrap();
    assert!(result.stats.peak_bytes > 0 && result.stats.peak_bytes < 200_000);

    // A result holds its memory for as long as somebody reads it.
    let some = QueryRequest::range("istio_requests_total", 0, END_MS, 1_000);
    let held = engine.query(some.clone()).await.unwrap();
    assert!(matches!(
        engine.query(some.clone()).await,
        Err(QueryError::Memory { .. })
    ));
    drop(held);
    assert!(engine.query(some).await.is_ok());
}

#[tokio::test]
async fn a_result_is_cut_at_the_limit_with_a_warning() {
    let engine = open(EngineOptions::default());
    let mut request = QueryRequest::instant("sum by (destination_service) (istio_requests_total)", END_MS);
    for (limit, n_expected) in [(2, 2), (4, 4), (9, 4)] {
        request.limit = Some(limit);
        let result = engine.query(request.clone()).await.unwrap();
        let Value::Vector(series) = &result.value else {
            panic!("{result:?}");
        };
        assert_eq!(series.n_series(), n_expected);
        let warnings: &[&str] = if n_expected < 4 {
            &["results truncated due to limit"]
        } else {
            &[]
        };
        assert_eq!(result.warnings, warnings);
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_a_parse_error() {
    let engine = open(EngineOptions::default());
    let check = async |request: QueryRequest, expected: &str| {
        let error = engine.query(request).await.unwrap_err();
        assert!(matches!(error, QueryError::Parse { .. }), "{error:?}");
        assert_eq!(error.to_string(), expected);
    };
    check(
        QueryRequest::instant("sum(", 0),
        "1:5: parse error: unclosed left parenthesis",
    )
    .await;
    check(
        QueryRequest::range("up[5m]", 0, 60_000, 1_000),
        "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
    )
    .await;
    check(
        QueryRequest::range("\"text\"", 0, 60_000, 1_000),
        "invalid expression type \"string\" for range query, must be Scalar or instant Vector",
    )
    .await;
}

#[tokio::test]
async fn the_deepest_query_that_parses_is_answered() {
    let engine = open(EngineOptions {
        experimental: true,
        threads: 1,
        ..EngineOptions::default()
    });
    let chain = vec!["vector(1)"; 490].join(" + ");
    let nested = format!("{}istio_requests_total{}", "abs(".repeat(145), ")".repeat(145));
    for text in [chain, nested] {
        let result = engine
            .query(QueryRequest::range(text, 0, END_MS, 60_000))
            .await
            .unwrap();
        assert!(matches!(result.value, Value::Matrix(_)));
    }
}

#[tokio::test]
async fn times_at_the_ends_of_time_are_no_problem() {
    let engine = open(EngineOptions::default());
    for time_ms in [i64::MIN, -1, 0, 1_763_700_000_000_000, i64::MAX] {
        for text in [
            "test",
            "rate(istio_requests_total[5m])",
            "istio_requests_total @ 5",
            "sum_over_time(test[5m:1m])",
        ] {
            assert!(
                engine.query(QueryRequest::instant(text, time_ms)).await.is_ok(),
                "{text} at {time_ms}"
            );
        }
    }
}
