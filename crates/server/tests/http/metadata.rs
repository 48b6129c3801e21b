//! Metadata from all senders, beyond restarts and trimming, as Prometheus answers it.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use model::{MetricMetadata, MetricType};
use serde_json::json;
use server::Config;
use storage::StoreConfig;
use wire::remote_write::{v1, v2};

use crate::support::{V2, World, compress, flush, pairs, symbols, v2_body};
use crate::write::V1;

async fn write_v1(world: &World, name: &str, metric_type: MetricType, help: &str) {
    let mut encoder = v1::Encoder::default();
    encoder.push_metadata(&MetricMetadata {
        metric_name: name.to_owned(),
        metric_type,
        help: help.to_owned(),
        unit: "seconds".to_owned(),
    });
    let answer = world.write(V1, compress(encoder.body())).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

async fn write_v2(world: &World, series: &str, metric_type: MetricType, help: &str) {
    let mut encoder = v2::Encoder::default();
    let refs = symbols(&mut encoder, &pairs(series));
    let metadata = v2::MetadataRefs {
        metric_type,
        help_ref: encoder.symbol(help),
        unit_ref: encoder.symbol("bytes"),
    };
    let samples = crate::support::at_now(&[(0, 1.0)]);
    let samples: Vec<v2::Sample> = samples.into_iter().map(crate::support::v2_sample).collect();
    encoder.push_series(&refs, &samples, Some(metadata));
    let answer = world.write(V2, v2_body(&encoder)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

async fn write_otlp(world: &World) {
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{
        "name": "queue", "description": "How long it is.", "unit": "By",
        "gauge": {"dataPoints": [{"timeUnixNano": format!("{}000000", crate::support::NOW_MS), "asInt": "7"}]},
    }]}]}]});
    let request = Request::post("/v1/metrics")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    assert_eq!(world.send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn metadata_of_all_senders_outlives_flushes_and_restarts() {
    let mut world = World::closed(Config::default());
    let mut store = world.open(StoreConfig::default());
    write_v1(&world, "a_seconds", MetricType::Summary, "First.").await;
    write_v2(
        &world,
        "b_bytes_bucket{le=\"1\"}",
        MetricType::Histogram,
        "Second.",
    )
    .await;
    write_otlp(&world).await;
    let expected = json!({
        "a_seconds": [{"type": "summary", "help": "First.", "unit": "seconds"}],
        "b_bytes": [{"type": "histogram", "help": "Second.", "unit": "bytes"}],
        "queue_bytes": [{"type": "gauge", "help": "How long it is.", "unit": "bytes"}],
    });
    for round in 0..3 {
        let mut found = world.data("/api/v1/metadata").await;
        if let Some(object) = found.as_object_mut() {
            object.remove("target_info");
        }
        assert_eq!(found, expected, "round {round}");
        if round == 1 {
            flush(&store);
        }
        store = world.restart(store);
    }
}

#[tokio::test]
async fn what_known_series_say_anew_is_heard_and_durable() {
    let mut world = World::closed(Config::default());
    let mut store = world.open(StoreConfig::default());
    let bucket = "lat_bucket{le=\"1\"}";
    write_v2(&world, bucket, MetricType::Histogram, "Old.").await;
    let check = async |world: &World, metric_type: &str, help: &str| {
        let expected = json!({"lat": [{"type": metric_type, "help": help, "unit": "bytes"}]});
        assert_eq!(world.data("/api/v1/metadata").await, expected);
    };
    // Not before a minute has gone by: two versions of a service may both go on.
    write_v2(&world, bucket, MetricType::Histogram, "New.").await;
    check(&world, "histogram", "Old.").await;
    world.clock.advance(60_000);
    write_v2(&world, bucket, MetricType::Histogram, "New.").await;
    check(&world, "histogram", "New.").await;
    world.clock.advance(60_000);
    write_v2(&world, bucket, MetricType::GaugeHistogram, "New.").await;
    check(&world, "gaugehistogram", "New.").await;

    store = world.restart(store);
    check(&world, "gaugehistogram", "New.").await;
    // What the last server heard last is no reason to wait.
    write_v2(&world, bucket, MetricType::Histogram, "Newest.").await;
    check(&world, "histogram", "Newest.").await;
    drop(store);
}

#[tokio::test]
async fn limits_and_the_metric_are_read_as_prometheus_reads_them() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        write_v1(&world, name, MetricType::Gauge, "").await;
    }
    for (query, expected) in [
        ("", vec!["a", "b", "c"]),
        ("?limit=2", vec!["a", "b"]),
        ("?limit=0", vec![]),
        ("?limit=-1", vec!["a", "b", "c"]),
        ("?limit_per_metric=0", vec!["a", "b", "c"]),
        ("?limit_per_metric=1&limit=1", vec!["a"]),
        ("?metric=b", vec!["b"]),
        ("?metric=d", vec![]),
    ] {
        let found = world.data(&format!("/api/v1/metadata{query}")).await;
        let names: Vec<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, expected, "{query}");
    }
    for name in ["limit", "limit_per_metric"] {
        let answer = world.get(&format!("/api/v1/metadata?{name}=x")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["error"], format!("{name} must be a number"));
    }
}

#[tokio::test]
async fn metadata_is_told_by_target() {
    let world = World::new();
    world
        .write_v1(&[
            ("up{job=\"a\",instance=\"1\"}", &[(0, 1.0)]),
            ("up{job=\"a\",instance=\"2\"}", &[(0, 0.0)]),
            ("up{job=\"old\",instance=\"3\"}", &[(-400_000, 1.0)]),
            ("x_total{job=\"a\",instance=\"1\"}", &[(0, 1.0)]),
            ("x_total{job=\"a\",instance=\"2\"}", &[(0, 1.0)]),
            ("y_bucket{job=\"a\",instance=\"2\",le=\"1\"}", &[(0, 1.0)]),
            (
                "y_bucket{job=\"old\",instance=\"3\",le=\"1\"}",
                &[(-400_000, 1.0)],
            ),
        ])
        .await;
    write_v1(&world, "x", MetricType::Counter, "X.").await;
    write_v1(&world, "y", MetricType::Histogram, "").await;
    let target = |instance: &str| json!({"instance": instance, "job": "a"});
    let x = |instance: &str| json!({"target": target(instance), "metric": "x", "type": "counter", "help": "X.", "unit": "seconds"});
    let y = json!({"target": target("2"), "metric": "y", "type": "histogram", "help": "", "unit": "seconds"});
    let path = "/api/v1/targets/metadata";
    assert_eq!(world.data(path).await, json!([x("1"), x("2"), y]));
    assert_eq!(world.data(&format!("{path}?limit=1")).await, json!([x("1")]));
    let some = world
        .data(&format!("{path}?match_target={{instance=\"2\"}}"))
        .await;
    assert_eq!(some, json!([x("2"), y]));
    let one = world.data(&format!("{path}?metric=y")).await;
    let nameless = json!({"target": target("2"), "type": "histogram", "help": "", "unit": "seconds"});
    assert_eq!(one, json!([nameless]));
    let none = world.get(&format!("{path}?metric=z")).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!(none.json()["errorType"], "not_found");
    assert_eq!(none.json()["error"], "specified metadata not found");
    let wrong = world.get(&format!("{path}?match_target=x{{")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}
