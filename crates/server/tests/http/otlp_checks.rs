//! Whole exports of real senders, and what a receiver owes them.
//!
//! The captures lie in the folder `shared/samples`; without it those tests say that they are skipped. Exports that
//! `mesh::envoy` makes have the same shape and are always there.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use axum::http::{Request, StatusCode};
use mesh::envoy::Envoy;
use serde_json::{Value, json};
use server::Config;
use storage::StoreConfig;
use wire::otlp::TranslationStrategy;
use wire::otlp::encoder::Temporality;
use wire::otlp::json::to_protobuf;

use crate::support::{Answer, NOW_MS, World, flush, partial_success};

/// When the captures were made.
const CAPTURED_MS: i64 = 1_795_240_000_000;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A file of `shared/samples`; `None`, and a word about it, when there is no such folder.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn sample(name: &str) -> Option<Vec<u8>> {
    let checkout = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let beside = [checkout.join("../shared"), checkout.join("../../shared")];
    let named = std::env::var_os("MESHTIDE_SHARED").map(PathBuf::from);
    let found = named
        .into_iter()
        .chain(beside)
        .find_map(|folder| std::fs::read(folder.join("samples").join(name)).ok());
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "nothing may be skipped under CI, but there is no {name}"
        );
        eprintln!("SKIPPED: there is no folder `shared` with {name} beside the checkout");
    }
    found
}

fn world_with(config: Config, now_ms: i64) -> World {
    let world = World::closed(config);
    world.clock.set(now_ms);
    world.open(StoreConfig::default());
    world
}

async fn send(world: &World, content_type: &str, encoding: &str, body: impl Into<Vec<u8>>) -> Answer {
    let request = Request::post("/api/v1/otlp/v1/metrics")
        .header("content-type", content_type)
        .header("content-encoding", encoding)
        .header("x-forwarded-for", "10.0.0.9")
        .body(body.into().into())
        .unwrap();
    world.send(request).await
}

async fn names(world: &World) -> BTreeSet<String> {
    let values = world.data("/api/v1/label/__name__/values").await;
    let values = values.as_array().unwrap().iter();
    values.map(|name| name.as_str().unwrap().to_owned()).collect()
}

async fn value_at(world: &World, query: &str, time_ms: i64) -> Value {
    let time = time_ms as f64 / 1_000.0;
    let data = world
        .data(&format!("/api/v1/query?query={query}&time={time}"))
        .await;
    data["result"][0]["value"][1].clone()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// The name of the family a series belongs to.
fn family(name: &str) -> &str {
    let suffixes = ["_bucket", "_sum", "_count"];
    let found = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    found.unwrap_or(name)
}

#[tokio::test]
async fn o1_an_envoys_export_has_the_names_of_its_own_page_and_starts_do_not_matter() {
    let (Some(body), Some(page)) = (
        sample("envoy-1.40.0_otlp_cumulative.pb"),
        sample("envoy-1.40.0_stats_prometheus.txt"),
    ) else {
        return;
    };
    let page = String::from_utf8(page).unwrap();
    let typed: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let world = world_with(Config::default(), CAPTURED_MS);
    let bodies = [
        ("", body.clone()),
        ("gzip", gzip(&body)),
        ("zstd", zstd::encode_all(&body[..], 3).unwrap()),
    ];
    for (encoding, body) in bodies {
        let answer = send(&world, PROTOBUF, encoding, body).await;
        assert_eq!(partial_success(&answer), None, "{encoding}");
    }
    let page = world.get("/metrics").await.text();
    assert!(page.contains("meshtide_otlp_points_total 486"), "3 times 162");
    assert!(page.contains("meshtide_otlp_rejected_points_total 0"));
    let names = names(&world).await;
    let families: BTreeSet<&str> = names
        .iter()
        .map(|name| typed.get(name.as_str()).copied().unwrap_or(family(name)))
        .collect();
    assert_eq!(families.len(), 127);
    let strangers: Vec<&&str> = families.difference(&typed).collect();
    assert!(strangers.is_empty(), "not on the page: {strangers:?}");
}

#[tokio::test]
async fn o1_the_default_translation_of_an_envoy_collides_and_says_so() {
    let mut config = Config::default();
    config.ingest.otlp.envoy_profile = false;
    let metric = |name: &str, value: u64| {
        json!({"name": name, "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
            {"timeUnixNano": format!("{NOW_MS}000000"), "asInt": value}]}})
    };
    let metrics = [
        metric("cluster.upstream_rq", 4),
        metric("cluster.upstream_rq_total", 5),
    ];
    let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).to_string();
    let world = world_with(config, NOW_MS);
    let answer = send(&world, JSON, "", request.clone()).await;
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedDataPoints"], "1");
    let message = partial["errorMessage"].as_str().unwrap();
    assert!(message.contains("translation_strategy"), "{message}");

    let mut config = Config::default();
    config.ingest.otlp.strategy = TranslationStrategy::UnderscoreEscapingWithoutSuffixes;
    let world = world_with(config, NOW_MS);
    assert_eq!(send(&world, JSON, "", request).await.text(), "{}");
}

#[tokio::test]
async fn o2_two_envoys_of_one_configuration_never_share_a_series() {
    let world = world_with(Config::default(), NOW_MS);
    let mut body = Vec::new();
    Envoy::new(3, Temporality::Cumulative, 0).report(NOW_MS as u64, &mut body);
    for address in ["10.0.0.1", "10.0.0.2"] {
        let request = Request::post("/v1/metrics")
            .header("content-type", PROTOBUF)
            .header("x-forwarded-for", address)
            .body(body.clone().into())
            .unwrap();
        assert_eq!(partial_success(&world.send(request).await), None);
    }
    let query = "count by (instance) (envoy_cluster_upstream_rq_total)";
    let data = world
        .data(&format!("/api/v1/query?query={query}&time={}", NOW_MS / 1_000))
        .await;
    let counts: Vec<_> = data["result"].as_array().unwrap().iter().collect();
    assert_eq!(counts.len(), 2);
    assert!(counts.iter().all(|count| count["value"][1] == "3"), "{data}");
}

#[tokio::test]
async fn o2_envoys_that_cannot_be_told_apart_are_told_so() {
    for has_profile in [true, false] {
        let mut config = Config::default();
        config.ingest.otlp.envoy_profile = has_profile;
        let world = world_with(config, NOW_MS);
        // Twenty minutes and ten minutes ago.
        let mut envoys =
            [1_200_000, 600_000].map(|age_ms| Envoy::new(3, Temporality::Cumulative, NOW_MS as u64 - age_ms));
        for (round, is_refused) in [[false, false], [true, false]].into_iter().enumerate() {
            for (envoy, is_refused) in envoys.iter_mut().zip(is_refused) {
                let mut body = Vec::new();
                envoy.report(NOW_MS as u64 + 5_000 * round as u64, &mut body);
                let answer = send(&world, PROTOBUF, "", body).await;
                let message = partial_success(&answer).map_or_else(String::new, |(_, message)| message);
                let says_so = message.contains("service.instance.id");
                assert_eq!(says_so, is_refused, "round {round}: {message}");
            }
        }
        let instances = world.data("/api/v1/label/instance/values").await;
        assert_eq!(instances, json!(["10.0.0.9"]));
    }
}

#[tokio::test]
async fn o2_after_a_restart_the_envoy_that_began_earlier_does_not_get_in() {
    for is_flushed in [false, true] {
        let mut world = World::closed(Config::default());
        let mut store = world.open(StoreConfig::default());
        let mut envoys =
            [1_200_000, 600_000].map(|age_ms| Envoy::new(3, Temporality::Cumulative, NOW_MS as u64 - age_ms));
        let report = async |world: &World, envoy: &mut Envoy, ms: u64| {
            world.clock.set(NOW_MS + ms as i64);
            let mut body = Vec::new();
            envoy.report(NOW_MS as u64 + ms, &mut body);
            partial_success(&send(world, PROTOBUF, "", body).await).is_none()
        };
        let [earlier, later] = &mut envoys;
        assert!(report(&world, later, 0).await);
        assert!(!report(&world, earlier, 1_000).await);
        if is_flushed {
            flush(&store);
        }
        store = world.restart(store);
        assert!(!report(&world, earlier, 6_000).await, "flushed: {is_flushed}");
        assert!(report(&world, later, 6_500).await);
        assert!(!report(&world, earlier, 66_500).await);
        assert!(report(&world, earlier, 66_501).await, "the later one is silent");
        drop(store);
    }
}

#[tokio::test]
async fn o3_deltas_are_refused_with_the_setting_to_change_and_gauges_are_stored() {
    let Some(body) = sample("envoy-1.40.0_otlp_delta.pb") else {
        return;
    };
    let world = world_with(Config::default(), CAPTURED_MS);
    let answer = send(&world, PROTOBUF, "", body).await;
    let (n_rejected, message) = partial_success(&answer).unwrap();
    assert_eq!(n_rejected, 69, "57 sums and 12 histograms");
    assert!(message.contains("temporality"), "{message}");
    let page = world.get("/metrics").await.text();
    assert!(page.contains("meshtide_write_samples_total 74"), "the gauges");
}

#[tokio::test]
async fn o3_deltas_made_here_are_refused_point_by_point() {
    let world = world_with(Config::default(), NOW_MS);
    let mut envoy = Envoy::new(2, Temporality::Delta, 0);
    let mut body = Vec::new();
    envoy.report(NOW_MS as u64, &mut body);
    let (n_rejected, _) = partial_success(&send(&world, PROTOBUF, "", body).await).unwrap();
    assert_eq!((envoy.n_points(), n_rejected), (52, 32));
    let gauges = value_at(&world, "count(envoy_cluster_membership_total)", NOW_MS).await;
    assert_eq!(gauges, "2");
}

#[tokio::test]
async fn o5_javascript_s_nan_is_nan_and_fine_scales_come_down_with_equal_count() {
    let Some(body) = sample("otel-js-0.200_otlp_json.json") else {
        return;
    };
    let world = world_with(Config::default(), CAPTURED_MS);
    let answer = send(&world, "application/json; charset=utf-8", "", body).await;
    assert_eq!(answer.text(), "{}");
    let at_ms = 1_795_238_616_829 + 1_000;
    assert_eq!(value_at(&world, "g", at_ms).await, "NaN");
    assert_eq!(value_at(&world, "histogram_count(e)", at_ms).await, "1");
    assert_eq!(value_at(&world, "histogram_sum(e)", at_ms).await, "12.5");
    let quantile = value_at(&world, "histogram_quantile(0.5, e)", at_ms).await;
    let quantile: f64 = quantile.as_str().unwrap().parse().unwrap();
    // The bucket of scale 8 around 12.5 is 0.3 % wide.
    assert!((quantile / 12.5 - 1.0).abs() < 0.003, "{quantile}");
    let labels = r#"reqs_total{job="js",instance="1",a="1",b="true",c="s",d="1.5"}"#;
    assert_eq!(value_at(&world, labels, at_ms).await, "3");
}

fn gauge_at(points: &[(i64, f64)]) -> String {
    let points: Vec<Value> = points
        .iter()
        .map(|(ms, value)| json!({"timeUnixNano": format!("{}000000", NOW_MS + ms), "asDouble": value}))
        .collect();
    let metric = json!({"name": "g", "gauge": {"dataPoints": points}});
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).to_string()
}

#[tokio::test]
async fn o6_overload_is_503_with_retry_after_and_methods_and_sizes_have_their_codes() {
    let mut config = Config::default();
    config.ingest.requests_max = 0;
    let world = world_with(config, NOW_MS);
    let answer = send(&world, JSON, "", gauge_at(&[(0, 1.0)])).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json()["code"], 14);
    assert_eq!(answer.json()["details"][0]["retryDelay"], "1s");

    let world = world_with(Config::default(), NOW_MS);
    let large = vec![0; (64 << 20) + 1];
    let answer = send(&world, PROTOBUF, "", large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = send(&world, JSON, "", "{\"resourceMetrics\": 1}").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["code"], 3);
    let path = "/api/v1/otlp/v1/metrics";
    assert_eq!(world.get(path).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn o7_only_points_that_come_too_late_are_rejected() {
    let world = world_with(Config::default(), NOW_MS);
    let hour_ms = 3_600_000;
    assert_eq!(send(&world, JSON, "", gauge_at(&[(0, 1.0)])).await.text(), "{}");
    let mixed = gauge_at(&[
        (-2 * hour_ms, 2.0),
        (-60_000, 3.0),
        (-3 * hour_ms, 4.0),
        (1_000, 5.0),
    ]);
    let answer = send(&world, JSON, "", mixed).await;
    assert_eq!(answer.json()["partialSuccess"]["rejectedDataPoints"], "2");
    assert_eq!(value_at(&world, "g", NOW_MS - 60_000).await, "3");
    assert_eq!(value_at(&world, "g", NOW_MS + 1_000).await, "5");
}

#[tokio::test]
async fn o8_a_histogram_without_a_recorded_value_is_stale_at_once() {
    let world = world_with(Config::default(), NOW_MS);
    let at = |ms: i64, flags: u32| {
        let point = json!({"timeUnixNano": format!("{}000000", NOW_MS + ms), "count": 3, "sum": 2.5,
            "bucketCounts": [1, 2], "explicitBounds": [0.5], "flags": flags});
        let metric = json!({"name": "d", "histogram": {"aggregationTemporality": 2, "dataPoints": [point]}});
        json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).to_string()
    };
    send(&world, JSON, "", at(-1_000, 0)).await;
    let all = r#"count({__name__=~"d_.*"})"#;
    assert_eq!(value_at(&world, all, NOW_MS - 1).await, "4");
    send(&world, JSON, "", at(0, 1)).await;
    assert_eq!(value_at(&world, all, NOW_MS).await, Value::Null);
}

#[tokio::test]
async fn o9_names_follow_the_strategy() {
    use TranslationStrategy::{
        NoTranslation, NoUtf8EscapingWithSuffixes, UnderscoreEscapingWithSuffixes,
        UnderscoreEscapingWithoutSuffixes,
    };
    let metrics = [
        json!({"name": "requests.count", "unit": "1", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [{"timeUnixNano": format!("{NOW_MS}000000"), "asInt": 1}]}}),
        json!({"name": "memory.usage", "unit": "By", "gauge": {
            "dataPoints": [{"timeUnixNano": format!("{NOW_MS}000000"), "asInt": 1}]}}),
        json!({"name": "cpu.utilization", "unit": "1", "gauge": {
            "dataPoints": [{"timeUnixNano": format!("{NOW_MS}000000"), "asInt": 1}]}}),
    ];
    let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).to_string();
    for (strategy, expected) in [
        (
            UnderscoreEscapingWithSuffixes,
            [
                "cpu_utilization_ratio",
                "memory_usage_bytes",
                "requests_count_total",
            ],
        ),
        (
            NoUtf8EscapingWithSuffixes,
            [
                "cpu.utilization_ratio",
                "memory.usage_bytes",
                "requests.count_total",
            ],
        ),
        (
            UnderscoreEscapingWithoutSuffixes,
            ["cpu_utilization", "memory_usage", "requests_count"],
        ),
        (
            NoTranslation,
            ["cpu.utilization", "memory.usage", "requests.count"],
        ),
    ] {
        let mut config = Config::default();
        config.ingest.otlp.strategy = strategy;
        let world = world_with(config, NOW_MS);
        assert_eq!(send(&world, JSON, "", request.clone()).await.text(), "{}");
        let expected: BTreeSet<String> = expected.map(str::to_owned).into();
        assert_eq!(names(&world).await, expected, "{strategy:?}");
    }
}

#[tokio::test]
async fn o10_a_request_that_comes_twice_is_stored_once() {
    let world = world_with(Config::default(), NOW_MS);
    let mut body = Vec::new();
    Envoy::new(5, Temporality::Cumulative, 0).report(NOW_MS as u64, &mut body);
    for _ in 0..2 {
        let answer = send(&world, PROTOBUF, "", body.clone()).await;
        assert_eq!(partial_success(&answer), None);
    }
    for (name, n_samples) in [("total", "5"), ("time_bucket", "100")] {
        let query = format!("sum(count_over_time(envoy_cluster_upstream_rq_{name}[1m]))");
        assert_eq!(value_at(&world, &query, NOW_MS).await, n_samples);
    }
    // The JSON of the same request has the same keys and is the same series.
    let text = gauge_at(&[(0, 1.0)]);
    send(&world, PROTOBUF, "", to_protobuf(text.as_bytes()).unwrap()).await;
    assert_eq!(send(&world, JSON, "", text).await.text(), "{}");
    assert_eq!(value_at(&world, "count_over_time(g[1m])", NOW_MS).await, "1");
}
