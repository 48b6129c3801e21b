//! What stops a statement of SQL: memory, time, size, clients that go away; and that nothing else suffers from it.

mod support;

use std::sync::Arc;
use std::time::Duration;

use query::sql::SqlOptions;
use query::{Engine, EngineOptions, QueryError, QueryRequest};
use support::ask_sql::{END_MS, ask, mesh, one, request, try_ask};
use support::gate::{Gated, until};
use support::mesh::small_mesh;

#[tokio::test]
async fn texts_of_any_shape_do_not_break_the_server() {
    let engine = mesh();
    let repeated = |part: &str, joint: &str, n: usize| vec![part; n].join(joint);
    let texts = [
        format!("SELECT {}", repeated("1", "+", 15_000)),
        format!("SELECT {}", repeated("value", "+", 499)) + " FROM istio_requests_total",
        format!(
            "SELECT count(*) FROM samples WHERE {}",
            repeated("value = 1", " OR ", 250)
        ),
        format!(
            "SELECT count(*) FROM istio_requests_total WHERE {}",
            repeated("source_app = 'a'", " OR ", 250)
        ),
        format!(
            "SELECT count(*) FROM samples WHERE value IN ({})",
            repeated("1", ", ", 10_000)
        ),
        format!("SELECT {}1{}", "(".repeat(2_000), ")".repeat(2_000)),
        format!("SELECT {}1", "- ".repeat(2_000)),
        format!("SELECT {} value FROM samples", "NOT ".repeat(90)),
        format!("SELECT 1{}", "::int".repeat(499)),
        format!("SELECT {}1{}", "abs(".repeat(90), ")".repeat(90)),
        format!("SELECT {}", repeated("1", ",", 10_000)),
        repeated("SELECT 1", " UNION ALL ", 400),
        format!("SELECT 1 FROM {}", repeated("samples", ", ", 12)) + " LIMIT 1",
        format!("SELECT '{}'", "x".repeat(70_000)),
        "SELECT \u{0}".to_owned(),
    ];
    for text in texts {
        drop(try_ask(&engine, &text).await);
        assert_eq!(one(&engine, "SELECT 1").await, "1");
    }
}

fn limited(sql: SqlOptions) -> Engine {
    let options = EngineOptions {
        sql,
        ..EngineOptions::default()
    };
    Engine::new(Arc::new(small_mesh("bookinfo")), options).unwrap()
}

#[tokio::test]
async fn results_and_memory_are_limited() {
    let engine = limited(SqlOptions {
        result_rows_max: 100,
        memory_bytes: 512 << 10,
        ..SqlOptions::default()
    });
    let error = try_ask(&engine, "SELECT * FROM samples").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the result has more than 100 rows; ask for less, or add LIMIT"
    );
    assert_eq!(ask(&engine, "SELECT * FROM samples LIMIT 100").await.len(), 100);
    let distinct = "SELECT count(DISTINCT series_id || timestamp::text) FROM samples";
    let error = try_ask(&engine, distinct).await.unwrap_err();
    assert!(matches!(error, QueryError::Memory { .. }), "{error:?}");
    // What it held has been given back.
    assert_eq!(one(&engine, "SELECT count(*) FROM samples").await, "23040");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_past_their_time_fail_and_say_so() {
    let engine = mesh();
    // Next to nothing is read, so no leaf of the plan notices how late it is.
    let few = "(SELECT metric FROM series LIMIT 100)";
    let texts = [
        "SELECT count(*) FROM samples a CROSS JOIN samples b CROSS JOIN samples c".to_owned(),
        format!("SELECT count(*) FROM {few} a CROSS JOIN {few} b CROSS JOIN {few} c CROSS JOIN {few} d"),
        "SELECT count(*) FROM generate_series(1, 100000000000)".to_owned(),
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t".to_owned(),
    ];
    for text in texts {
        let mut request = request(&text);
        request.timeout = Some(Duration::from_millis(200));
        let error = match engine.sql(request).await {
            Err(error) => error,
            Ok(mut result) => result.next().await.unwrap().unwrap_err(),
        };
        assert!(matches!(error, QueryError::Timeout { .. }), "{text}: {error:?}");
        assert_eq!(one(&engine, "SELECT 1").await, "1");
    }
}

#[tokio::test]
async fn nothing_small_is_made_huge() {
    let engine = mesh();
    for call in [
        "repeat('x', 2000000000)",
        "lpad('x', 2000000000)",
        "array_repeat(1, 2000000000)",
        "generate_series(1, 2000000000)",
    ] {
        let error = try_ask(&engine, &format!("SELECT {call}")).await.unwrap_err();
        assert!(error.to_string().contains("Invalid function"), "{call}: {error}");
    }
    let long = "x".repeat(30_000);
    let separated = format!("array_to_string(string_to_array('{long}', ''), '{long}')");
    for call in [
        format!("replace('{long}', 'x', '{long}')"),
        format!("regexp_replace('{long}', 'x', '{long}', 'g')"),
        separated,
    ] {
        let error = try_ask(&engine, &format!("SELECT length({call})"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("268435456 are the limit"), "{error}");
    }
    // 2 to the 40 times two characters.
    let mut text = "SELECT max(metric || '') AS t FROM series".to_owned();
    for _ in 0..40 {
        text = format!("SELECT t || t AS t FROM ({text}) AS inner_table");
    }
    let error = try_ask(&engine, &format!("SELECT length(t) FROM ({text}) AS x"))
        .await
        .unwrap_err();
    assert!(matches!(error, QueryError::Memory { .. }), "{error:?}");
    assert_eq!(one(&engine, "SELECT replace('mesh', 'sh', 'ow')").await, "meow");
    assert_eq!(
        one(&engine, "SELECT array_join(make_array(1, 2), '-')").await,
        "1-2"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_beyond_the_slots_wait_and_those_nobody_waits_for_stop() {
    let (source, gate) = Gated::new(Arc::new(small_mesh("bookinfo")));
    let options = EngineOptions {
        threads: 2,
        sql: SqlOptions {
            max_concurrent: 1,
            ..SqlOptions::default()
        },
        ..EngineOptions::default()
    };
    let engine = Engine::new(Arc::new(source), options).unwrap();
    let first = engine
        .sql(request("SELECT max(value) FROM istio_requests_total"))
        .await
        .unwrap();
    until(|| gate.n_reads() > 0).await;
    let mut second = request("SELECT 1");
    second.timeout = Some(Duration::from_millis(20));
    let error = engine.sql(second.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "query timed out in query queue");
    // PromQL has slots of its own.
    assert!(engine.query(QueryRequest::instant("1", END_MS)).await.is_ok());
    drop(first);
    gate.open();
    second.timeout = None;
    assert!(engine.sql(second).await.is_ok());
    assert!(gate.n_reads() <= 2, "{} streams were read", gate.n_reads());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_has_to_say_arrives_once() {
    let (source, gate) = Gated::new(Arc::new(small_mesh("bookinfo")));
    gate.open();
    let engine = Engine::new(Arc::new(source), EngineOptions::default()).unwrap();
    let text = "SELECT max(a.value) FROM istio_requests_total a JOIN samples b USING (series_id)";
    let mut result = engine.sql(request(text)).await.unwrap();
    while let Some(batch) = result.next().await {
        batch.unwrap();
    }
    assert_eq!(result.warnings(), ["a gate was passed"]);
}
