//! Delta temporality, converted: totals, repeats, restarts.

use std::sync::Arc;

use axum::http::Request;
use mesh::envoy::Envoy;
use serde_json::{Value, json};
use server::{Config, Server};
use storage::{Store, StoreConfig};
use wire::otlp::DeltaPolicy;
use wire::otlp::encoder::Temporality;

use crate::support::{Answer, NOW_MS, World};

fn config() -> Config {
    let mut config = Config::default();
    config.ingest.otlp.delta = DeltaPolicy::Convert;
    config
}

fn open_world() -> (World, Arc<Store>) {
    let world = World::closed(config());
    let store = world.open(StoreConfig::default());
    (world, store)
}

/// The same data directory under a new server.
fn restarted(world: World, store: &Store) -> (World, Arc<Store>) {
    store.close().unwrap();
    let server = Server::new(config(), Arc::new(world.clock.clone()));
    let world = World { server, ..world };
    let store = world.open(StoreConfig::default());
    (world, store)
}

async fn send(world: &World, content_type: &str, body: Vec<u8>) -> Answer {
    let request = Request::post("/v1/metrics")
        .header("content-type", content_type)
        .header("x-forwarded-for", "10.0.0.9")
        .body(body.into())
        .unwrap();
    world.send(request).await
}

/// Sends differences of counters of one sender; gives what was rejected.
async fn send_deltas(world: &World, ms: i64, counters: &[(&str, i64)]) -> Value {
    send_deltas_at(world, ms, ms, counters).await
}

/// The same at `now_ms`, for points of the time `ms`.
async fn send_deltas_at(world: &World, now_ms: i64, ms: i64, counters: &[(&str, i64)]) -> Value {
    world.clock.set(NOW_MS + now_ms);
    let metrics: Vec<Value> = counters
        .iter()
        .map(|(name, difference)| {
            let point = json!({"timeUnixNano": format!("{}000000", NOW_MS + ms), "asInt": difference,
                "startTimeUnixNano": format!("{}000000", NOW_MS + ms - 5_000)});
            json!({"name": name, "sum": {"aggregationTemporality": 1, "isMonotonic": true,
                "dataPoints": [point]}})
        })
        .collect();
    let resource = json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": "web"}},
        {"key": "service.instance.id", "value": {"stringValue": "web-1"}}]});
    let request =
        json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]});
    let answer = send(world, "application/json", request.to_string().into_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["partialSuccess"].clone()
}

async fn value_at(world: &World, query: &str, ms: i64) -> Value {
    let time = (NOW_MS + ms) as f64 / 1_000.0;
    let data = world
        .data(&format!("/api/v1/query?query={query}&time={time}"))
        .await;
    data["result"][0]["value"][1].clone()
}

#[tokio::test]
async fn differences_are_stored_as_totals_and_one_that_comes_twice_counts_once() {
    let (world, _store) = open_world();
    assert_eq!(send_deltas(&world, 0, &[("a", 5), ("b", 1)]).await, Value::Null);
    for _ in 0..2 {
        assert_eq!(send_deltas(&world, 5_000, &[("a", 2)]).await, Value::Null);
    }
    assert_eq!(
        send_deltas(&world, 10_000, &[("a", 0), ("b", 3)]).await,
        Value::Null
    );
    assert_eq!(value_at(&world, "a_total", 0).await, "5");
    assert_eq!(value_at(&world, "a_total", 10_000).await, "7");
    assert_eq!(value_at(&world, "b_total", 10_000).await, "4");
}

#[tokio::test]
async fn a_difference_older_than_the_last_is_rejected() {
    let (world, _store) = open_world();
    send_deltas(&world, 10_000, &[("a", 5)]).await;
    let late = send_deltas(&world, 7_000, &[("a", 1), ("c", 2)]).await;
    assert_eq!(late["rejectedDataPoints"], "1");
    let message = late["errorMessage"].as_str().unwrap();
    assert!(message.contains("older than the last one"), "{message}");
    assert_eq!(value_at(&world, "c_total", 7_000).await, "2");
    assert_eq!(value_at(&world, "a_total", 10_000).await, "5");
}

#[tokio::test]
async fn a_difference_of_a_time_far_ahead_is_rejected_and_spoils_nothing() {
    let (world, _store) = open_world();
    send_deltas(&world, 0, &[("a", 5)]).await;
    let day_ms = 86_400_000;
    let rejected = send_deltas_at(&world, 5_000, day_ms, &[("a", 100), ("b", 1)]).await;
    assert_eq!(rejected["rejectedDataPoints"], "2");
    assert_eq!(
        send_deltas(&world, 10_000, &[("a", 2), ("b", 3)]).await,
        Value::Null
    );
    assert_eq!(value_at(&world, "a_total", 10_000).await, "7");
    assert_eq!(value_at(&world, "b_total", 10_000).await, "3");
}

#[tokio::test]
async fn counters_that_stand_still_do_not_go_stale_while_their_sender_lives() {
    let (world, _store) = open_world();
    send_deltas(&world, 0, &[("still", 5), ("busy", 1)]).await;
    for ms in (5_000..=900_000).step_by(5_000) {
        send_deltas(&world, ms, &[("busy", 1)]).await;
    }
    assert_eq!(value_at(&world, "still_total", 900_000).await, "5");
    let n_samples = value_at(&world, "count_over_time(still_total[15m])", 900_000).await;
    let n_samples: f64 = n_samples.as_str().unwrap().parse().unwrap();
    assert!(
        (8.0..=16.0).contains(&n_samples),
        "{n_samples} samples in 15 minutes"
    );
    // Nothing from the sender any more: five minutes later nothing is there.
    assert_eq!(value_at(&world, "still_total", 1_200_001).await, Value::Null);
}

#[tokio::test]
async fn totals_go_on_after_a_restart_and_what_stands_still_is_still_repeated() {
    let (world, store) = open_world();
    send_deltas(&world, 0, &[("still", 5), ("busy", 1)]).await;
    send_deltas(&world, 5_000, &[("busy", 1)]).await;
    let (world, store) = restarted(world, &store);
    for ms in (10_000..=600_000).step_by(5_000) {
        assert_eq!(send_deltas(&world, ms, &[("busy", 1)]).await, Value::Null);
    }
    assert_eq!(value_at(&world, "busy_total", 600_000).await, "121");
    assert_eq!(value_at(&world, "still_total", 600_000).await, "5");
    assert_eq!(send_deltas(&world, 605_000, &[("still", 2)]).await, Value::Null);
    assert_eq!(value_at(&world, "still_total", 605_000).await, "7");
    // The answer was lost and the server has died: the request comes again.
    let (world, _store) = restarted(world, &store);
    assert_eq!(send_deltas(&world, 605_000, &[("still", 2)]).await, Value::Null);
    assert_eq!(value_at(&world, "still_total", 605_000).await, "7");
}

#[tokio::test]
async fn an_envoy_that_sends_differences_gives_the_totals_of_one_that_does_not() {
    let (deltas, _first) = open_world();
    let (totals, _second) = open_world();
    for (world, temporality) in [(&deltas, Temporality::Delta), (&totals, Temporality::Cumulative)] {
        let mut envoy = Envoy::new(4, temporality, NOW_MS as u64);
        for report in 1..=5 {
            world.clock.set(NOW_MS + report * 5_000);
            let mut body = Vec::new();
            envoy.report((NOW_MS + report * 5_000) as u64, &mut body);
            let answer = send(world, "application/x-protobuf", body).await;
            assert_eq!(answer.text(), "", "{temporality:?}");
        }
    }
    let path = format!(
        "/api/v1/query?query={}&time={}",
        r#"{__name__=~"envoy_.*"}"#,
        NOW_MS / 1_000 + 25
    );
    let (expected, found) = (totals.data(&path).await, deltas.data(&path).await);
    let sorted = |data: &Value| {
        let mut series: Vec<String> = data["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        series.sort();
        series
    };
    assert!(sorted(&expected).len() > 200);
    assert_eq!(sorted(&found), sorted(&expected));
}

#[tokio::test]
async fn exponential_histograms_add_up_and_go_on_after_a_restart() {
    let (world, store) = open_world();
    let request = |ms: i64, scale: i32, offset: i32| {
        let point = json!({"timeUnixNano": format!("{}000000", NOW_MS + ms), "count": 3, "sum": 4.5, "scale": scale,
            "positive": {"offset": offset, "bucketCounts": [1, 2]}});
        let metric = json!({"name": "e", "exponentialHistogram": {
            "aggregationTemporality": 1, "dataPoints": [point, point]}});
        let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]});
        json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]})
            .to_string()
            .into_bytes()
    };
    for (ms, scale, offset) in [(0, 3, 1), (5_000, 2, -4)] {
        world.clock.set(NOW_MS + ms);
        let answer = send(&world, "application/json", request(ms, scale, offset)).await;
        assert_eq!(answer.text(), "{}");
    }
    assert_eq!(value_at(&world, "histogram_count(e)", 0).await, "3");
    assert_eq!(value_at(&world, "histogram_count(e)", 5_000).await, "6");
    let (world, _store) = restarted(world, &store);
    world.clock.set(NOW_MS + 10_000);
    send(&world, "application/json", request(10_000, 8, 100)).await;
    assert_eq!(value_at(&world, "histogram_count(e)", 10_000).await, "9");
    assert_eq!(value_at(&world, "histogram_sum(e)", 10_000).await, "13.5");
}
