//! The queries that Kiali and Istio's dashboards send, over a small mesh. The corpora lie beside the checkout
//! (`../shared/conformance/queries`, or under `$MESHTIDE_SHARED`); a few typical queries stand here.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use query::{Engine, EngineOptions, QueryRequest, QueryResult, Value};
use support::mesh::{N_SCRAPES, SCRAPE_MS, small_mesh};

const END_MS: i64 = (N_SCRAPES - 1) * SCRAPE_MS;

fn engine(namespace: &str) -> Engine {
    let options = EngineOptions {
        threads: 2,
        ..EngineOptions::default()
    };
    Engine::new(Arc::new(small_mesh(namespace)), options).unwrap()
}

fn folder() -> Option<PathBuf> {
    let shared = match std::env::var_os("MESHTIDE_SHARED") {
        Some(shared) => PathBuf::from(shared),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let folder = shared.join("conformance/queries");
    folder.is_dir().then_some(folder)
}

fn n_series(result: &QueryResult) -> usize {
    match &result.value {
        Value::Vector(series) | Value::Matrix(series) => series.n_series(),
        Value::Scalar { .. } | Value::String { .. } => 1,
    }
}

#[tokio::test]
async fn every_query_of_the_consoles_is_answered() {
    let Some(folder) = folder() else {
        return;
    };
    let engine = engine("bookinfo");
    let (mut n_queries, mut n_answered) = (0, 0);
    for name in ["kiali.jsonl", "istio_dashboards.jsonl"] {
        for line in std::fs::read_to_string(folder.join(name)).unwrap().lines() {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            if !matches!(entry["kind"].as_str(), Some("instant" | "range" | "query_result")) {
                continue;
            }
            for text in ["query", "expr", "expr_wire"]
                .iter()
                .filter_map(|field| entry[*field].as_str())
            {
                let instant = engine.query(QueryRequest::instant(text, END_MS)).await;
                let instant = instant.unwrap_or_else(|error| panic!("{text}: {error:?}"));
                let range = engine
                    .query(QueryRequest::range(text, 0, END_MS, SCRAPE_MS))
                    .await;
                let range = range.unwrap_or_else(|error| panic!("{text}: {error:?}"));
                assert!(n_series(&range) >= n_series(&instant), "{text}");
                n_queries += 1;
                n_answered += usize::from(n_series(&instant) > 0);
            }
        }
    }
    assert!(n_queries > 500, "only {n_queries} queries found");
    // The rest asks for namespaces, workloads and metrics that this mesh does not have.
    assert!(
        n_answered > 150,
        "only {n_answered} of {n_queries} found something"
    );
}

#[tokio::test]
async fn typical_console_queries_find_what_they_ask_for() {
    let engine = engine("bookinfo");
    let check = async |text: &str, n_expected: usize| {
        let result = engine.query(QueryRequest::instant(text, END_MS)).await.unwrap();
        assert_eq!(n_series(&result), n_expected, "{text}");
        assert!(
            result.warnings.is_empty() && result.infos.is_empty(),
            "{text}: {result:?}"
        );
    };
    check(
        r#"round(sum(rate(istio_requests_total{reporter="source",source_workload_namespace="bookinfo",
           destination_service=~"^.+\\.bookinfo\\..+$"} [60s])) by (source_workload, destination_workload,
           response_code) > 0,0.001)"#,
        12,
    )
    .await;
    check(
        "histogram_quantile(0.99, sum by (le, destination_workload) \
         (rate(istio_request_duration_milliseconds_bucket{reporter=\"source\"}[5m])))",
        4,
    )
    .await;
    check(
        "sum(rate(istio_request_duration_milliseconds_sum[1m])) by (destination_service) \
         / sum(rate(istio_request_duration_milliseconds_count[1m])) by (destination_service)",
        4,
    )
    .await;
    check("count({__name__=~\"istio_.*\"}) by (__name__)", 12).await;
    check(
        "label_join(sum by (destination_workload) (rate(istio_requests_total[1m])), \"d\", \".\", \
         \"destination_workload\", \"nosuch\")",
        4,
    )
    .await;
    check(
        "sum(istio_requests_total{}) by (destination_service) or sum(istio_tcp_sent_bytes_total{}) by (destination_service)",
        4,
    )
    .await;
    check(
        "sum(irate(istio_requests_total{response_code!~\"5.*\"}[1m])) \
         / (sum(irate(istio_requests_total{reporter=\"nosuch\"}[1m])) or on () vector(1))",
        1,
    )
    .await;
    check(
        "topk(3, sum by (destination_service) (rate(istio_requests_total[1m])))",
        3,
    )
    .await;
}
