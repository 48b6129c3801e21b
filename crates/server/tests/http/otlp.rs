//! OTLP through the router, up to the store.

use std::io::Write;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use server::Config;
use storage::StoreConfig;
use wire::otlp::json::to_protobuf;

use crate::support::{Answer, NOW_MS, World};

const JSON: &str = "application/json; charset=utf-8";
const PROTOBUF: &str = "application/x-protobuf";

async fn send(world: &World, content_type: &str, encoding: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post("/v1/metrics")
        .header("content-type", content_type)
        .header("content-encoding", encoding)
        .header("x-forwarded-for", "10.0.0.9")
        .body(body.into())
        .unwrap();
    world.send(request).await
}

fn nanoseconds(ms_from_now: i64) -> String {
    format!("{}000000", NOW_MS + ms_from_now)
}

fn point(zone: &str, ms_from_now: i64, value: f64) -> Value {
    json!({
        "attributes": [{"key": "zone", "value": {"stringValue": zone}}],
        "timeUnixNano": nanoseconds(ms_from_now),
        "asDouble": value,
    })
}

fn request(metrics: &[Value]) -> String {
    let resource = json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": "web"}},
        {"key": "service.instance.id", "value": {"stringValue": "web-1"}},
        {"key": "k8s.pod.name", "value": {"stringValue": "web-1"}},
    ]});
    json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}).to_string()
}

fn sum(temporality: u8, points: &[Value]) -> Value {
    json!({
        "name": "requests", "description": "All of them.", "unit": "1",
        "sum": {"aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": points},
    })
}

async fn value_of(world: &World, query: &str) -> Value {
    let time = NOW_MS / 1_000;
    let data = world
        .data(&format!("/api/v1/query?query={query}&time={time}"))
        .await;
    data["result"][0]["value"][1].clone()
}

#[tokio::test]
async fn every_encoding_and_compression_is_stored_and_sent_twice_is_stored_once() {
    let world = World::closed(Config::default());
    world.open(StoreConfig::default());
    let text = request(&[sum(2, &[point("a", 0, 5.0)])]);
    let protobuf = to_protobuf(text.as_bytes()).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&protobuf).unwrap();
    let zstd = zstd::encode_all(&protobuf[..], 3).unwrap();
    for (content_type, encoding, body) in [
        (JSON, "identity", text.into_bytes()),
        (PROTOBUF, "", protobuf),
        (PROTOBUF, "gzip", gzip.finish().unwrap()),
        (PROTOBUF, "zstd", zstd),
    ] {
        let answer = send(&world, content_type, encoding, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{encoding}: {}", answer.text());
        let expected = if content_type == JSON { "{}" } else { "" };
        assert_eq!(answer.text(), expected, "{encoding}");
    }
    let query = r#"requests_total{job="web",instance="web-1",pod="web-1",zone="a"}"#;
    assert_eq!(value_of(&world, query).await, "5");
    assert_eq!(value_of(&world, "count(target_info)").await, "1");
    let metadata = world.data("/api/v1/metadata?metric=requests_total").await;
    assert_eq!(metadata["requests_total"][0]["type"], "counter");
    let page = world.get("/metrics").await.text();
    assert!(page.contains("meshtide_otlp_points_total 4"), "{page}");
}

#[tokio::test]
async fn points_that_are_not_taken_are_counted_and_the_rest_is_stored() {
    let world = World::closed(Config::default());
    world.open(StoreConfig::default());
    let good = [point("a", 0, 5.0), point("b", 0, 6.0)];
    let delta = sum(1, &[point("c", 0, 7.0), point("d", 0, 7.0)]);
    let body = request(&[sum(2, &good), delta]);
    let answer = send(&world, JSON, "", body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedDataPoints"], "2");
    assert!(
        partial["errorMessage"]
            .as_str()
            .unwrap()
            .contains("TEMPORALITY_PREFERENCE")
    );
    assert_eq!(value_of(&world, "sum(requests_total)").await, "11");

    let other_value = request(&[sum(
        2,
        &[
            point("a", 0, 5.0),
            point("b", 0, 9.0),
            point("c", 86_400_000, 1.0),
        ],
    )]);
    let answer = send(&world, JSON, "", other_value).await;
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedDataPoints"], "2", "{partial}");
    let message = partial["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("duplicate sample") && message.contains("future"),
        "{message}"
    );
    assert_eq!(value_of(&world, "sum(requests_total)").await, "11");
}

#[tokio::test]
async fn a_histogram_that_ends_ends_all_its_series() {
    let world = World::closed(Config::default());
    world.open(StoreConfig::default());
    let at = |ms, flags| {
        json!({"name": "d", "unit": "ms", "histogram": {"aggregationTemporality": 2, "dataPoints": [{
            "timeUnixNano": nanoseconds(ms), "count": "3", "sum": 2.5, "bucketCounts": ["1", "2"],
            "explicitBounds": [0.5], "flags": flags}]}})
    };
    send(&world, JSON, "", request(&[at(-1_000, 0)])).await;
    let selector = r#"{__name__=~"d_milliseconds.*"}"#;
    assert_eq!(
        value_of(&world, &format!("count({selector} @ {})", NOW_MS / 1_000 - 1)).await,
        "4"
    );
    send(&world, JSON, "", request(&[at(0, 1)])).await;
    assert_eq!(value_of(&world, selector).await, Value::Null);
}

#[tokio::test]
async fn exponential_histograms_are_native_ones() {
    let world = World::closed(Config::default());
    world.open(StoreConfig::default());
    let histogram = json!({"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [{
        "timeUnixNano": nanoseconds(0), "count": "3", "sum": 4.5, "scale": 20,
        "positive": {"offset": 1, "bucketCounts": ["1", "2"]}}]}});
    let answer = send(&world, JSON, "", request(&[histogram])).await;
    assert_eq!(answer.text(), "{}");
    assert_eq!(value_of(&world, "histogram_count(e)").await, "3");
}

#[tokio::test]
async fn an_envoy_is_known_by_its_address() {
    let world = World::closed(Config::default());
    world.open(StoreConfig::default());
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "telemetry.sdk.name", "value": {"stringValue": "envoy"}}]},
        "scopeMetrics": [{"metrics": [
            {"name": "cluster.upstream_rq", "gauge": {"dataPoints": [point("a", 0, 1.0)]}}]}]}]});
    let answer = send(&world, JSON, "", body.to_string()).await;
    assert_eq!(answer.text(), "{}");
    let query = r#"envoy_cluster_upstream_rq{instance="10.0.0.9"}"#;
    assert_eq!(value_of(&world, query).await, "1");
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_with_a_status() {
    let world = World::closed(Config::default());
    world.open(StoreConfig::default());
    let answer = send(&world, PROTOBUF, "", vec![10, 200]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.header("content-type"), Some(PROTOBUF));
    assert_eq!(
        answer.body.first(),
        Some(&8),
        "a google.rpc.Status begins with its code"
    );
    let answer = send(&world, JSON, "", "{").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["code"], 3);
    let answer = send(&world, "text/plain", "", "x").await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let answer = send(&world, PROTOBUF, "br", "x").await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(answer.text().contains("gzip"), "{}", answer.text());
    let answer = world.get("/v1/metrics").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..65 {
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let answer = send(&world, PROTOBUF, "gzip", gzip.finish().unwrap()).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = send(&world, JSON, "", request(&[sum(2, &[point("a", 0, 1.0)])])).await;
    assert_eq!(answer.text(), "{}", "the next good request is fine");
}
