//! Pairs of replicas: one is stored, the other acknowledged, whatever comes in one request.

use axum::http::StatusCode;
use server::ha;
use server::{Config, ingest};
use storage::StoreConfig;
use wire::remote_write::v1;

use crate::support::{Answer, NOW_MS, World, compress, label_bytes, pairs};

/// Labels of the replicas of kube-prometheus, and of Mimir.
const A: &str = "prometheus=\"monitoring/k8s\",prometheus_replica=\"prometheus-k8s-0\"";
const B: &str = "prometheus=\"monitoring/k8s\",prometheus_replica=\"prometheus-k8s-1\"";

/// Sends `up` of three pods and a counter, as a replica scrapes them, by 1.0 or 2.0.
async fn scrape(world: &World, replica: &str, is_v2: bool, value: f64) -> Answer {
    let at_ms = model::Clock::now_ms(&world.clock) - NOW_MS;
    let names: Vec<String> = (0..3)
        .map(|pod| format!("up{{pod=\"{pod}\",{replica}}}"))
        .collect();
    let counter = format!("requests_total{{{replica}}}");
    let sample = [(at_ms, 1.0)];
    let counted = [(at_ms, value)];
    let mut series: Vec<(&str, &[(i64, f64)])> = names.iter().map(|name| (&**name, &sample[..])).collect();
    series.push((&counter, &counted));
    if is_v2 {
        world.write_v2(&series).await
    } else {
        world.write_v1(&series).await
    }
}

async fn value(world: &World, query: &str) -> String {
    let time = model::Clock::now_ms(&world.clock) as f64 / 1e3;
    let data = world
        .data(&format!("/api/v1/query?time={time}&query={query}"))
        .await;
    let result = data["result"].as_array().unwrap();
    assert!(result.len() <= 1, "{data}");
    result
        .first()
        .map_or(String::new(), |one| one["value"][1].as_str().unwrap().to_owned())
}

async fn elected(world: &World) -> String {
    let data = world.data("/api/v1/status/ha").await;
    assert_eq!(data["pairs"].as_array().unwrap().len(), 1, "{data}");
    data["pairs"][0]["elected"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_replica_is_stored_without_its_label_and_the_other_acknowledged() {
    for is_v2 in [false, true] {
        let world = World::new();
        for round in 0..4_u32 {
            let answer = scrape(&world, A, is_v2, f64::from(round)).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
            world.clock.advance(1_000);
            let answer = scrape(&world, B, is_v2, f64::from(round)).await;
            assert_eq!(
                (answer.status, answer.text()),
                (StatusCode::ACCEPTED, String::new())
            );
            if is_v2 {
                assert_eq!(
                    answer.header("x-prometheus-remote-write-samples-written"),
                    Some("4")
                );
            }
            world.clock.advance(14_000);
        }
        assert_eq!(value(&world, "count(up)").await, "3");
        assert_eq!(
            value(&world, "count(up{prometheus=\"monitoring/k8s\"})").await,
            "3"
        );
        assert_eq!(value(&world, "count(up{prometheus_replica!=\"\"})").await, "");
        assert_eq!(value(&world, "count_over_time(requests_total[2m])").await, "4");
        assert_eq!(elected(&world).await, "prometheus-k8s-0");
        let page = world.get("/metrics").await.text();
        assert!(page.contains("meshtide_ha_dropped_samples_total 16\n"), "{page}");
        assert!(page.contains("meshtide_write_requests_total{outcome=\"deduplicated\"} 4\n"));
    }
}

#[tokio::test]
async fn the_other_replica_takes_over_and_keeps_the_place_and_a_restart_changes_nothing() {
    let world = World::new();
    for seconds in 0..60 {
        scrape(&world, A, false, f64::from(seconds)).await;
        assert_eq!(scrape(&world, B, true, 0.0).await.status, StatusCode::ACCEPTED);
        world.clock.advance(1_000);
    }
    // The last request of A was a second ago.
    for seconds in 60..89 {
        let answer = scrape(&world, B, true, f64::from(seconds)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "at {seconds}");
        world.clock.advance(1_000);
    }
    for seconds in 89..100 {
        let answer = scrape(&world, B, true, f64::from(seconds)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "at {seconds}");
        assert_eq!(scrape(&world, A, false, 0.0).await.status, StatusCode::ACCEPTED);
        assert_eq!(value(&world, "count(up)").await, "3");
        world.clock.advance(1_000);
    }
    assert_eq!(elected(&world).await, "prometheus-k8s-1");
    assert_eq!(value(&world, "resets(requests_total[5m])").await, "0");

    world.files.crash();
    let world = World {
        server: server::Server::new(Config::default(), std::sync::Arc::new(world.clock.clone())),
        ..world
    };
    world.clock.advance(300_000);
    world.open(StoreConfig::default());
    assert_eq!(elected(&world).await, "prometheus-k8s-1");
    assert_eq!(scrape(&world, A, false, 0.0).await.status, StatusCode::ACCEPTED);
    assert_eq!(
        scrape(&world, B, false, 400.0).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn a_request_of_very_many_pairs_is_taken_as_far_as_they_are_counted() {
    for is_v2 in [false, true] {
        let world = World::new();
        let names: Vec<String> = (0..300)
            .map(|pair| format!("up{{prometheus=\"{pair}\",prometheus_replica=\"a\"}}"))
            .collect();
        let sample = [(0, 1.0)];
        let series: Vec<(&str, &[(i64, f64)])> = names.iter().map(|name| (&**name, &sample[..])).collect();
        let answer = if is_v2 {
            world.write_v2(&series).await
        } else {
            world.write_v1(&series).await
        };
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let text = answer.text();
        assert!(text.contains("256 replicas of pairs at most"), "{text}");
        assert_eq!(value(&world, "count(up)").await, "256");
    }
}

#[tokio::test]
async fn a_lone_server_with_these_labels_is_stored_after_any_pause() {
    let world = World::new();
    for pause_ms in [0, 15_000, 120_000, 10, 3_600_000] {
        world.clock.advance(pause_ms);
        assert_eq!(scrape(&world, A, true, 1.0).await.status, StatusCode::NO_CONTENT);
        assert_eq!(value(&world, "count(up)").await, "3");
    }
}

#[tokio::test]
async fn a_request_of_mixed_origin_is_decided_series_by_series() {
    let world = World::new();
    let mimir = |replica: &str| format!("cluster=\"east\",__replica__=\"{replica}\"");
    scrape(&world, A, false, 0.0).await;
    let x = |labels: &str| format!("x{{{labels}}}");
    let elected = x(&mimir("a"));
    assert_eq!(
        world.write_v1(&[(&elected, &[(0, 1.0)])]).await.status,
        StatusCode::NO_CONTENT
    );
    for order in 0..6 {
        let at_ms = 1 + order;
        let mut all = [
            (x(B), 10.0),
            (x(A), 20.0),
            ("x{of=\"nobody\"}".to_owned(), 30.0),
            (x(&mimir("b")), 40.0),
            (x(&mimir("a")), 50.0),
            ("x{prometheus=\"monitoring/k8s\"}".to_owned(), 60.0),
        ];
        // The third one has the labels that A's have without the replica, so one of them is a series twice.
        all[5].0 = "x{of=\"somebody\"}".to_owned();
        all.rotate_left(order as usize);
        let samples: Vec<[(i64, f64); 1]> = all.iter().map(|(_, value)| [(at_ms, *value)]).collect();
        let series: Vec<(&str, &[(i64, f64)])> = all
            .iter()
            .zip(&samples)
            .map(|((labels, _), samples)| (&**labels, &samples[..]))
            .collect();
        for is_again in [false, true] {
            let answer = world.write_v2(&series).await;
            let context = format!("order {order}, again {is_again}: {}", answer.text());
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{context}");
            assert_eq!(
                answer.header("x-prometheus-remote-write-samples-written"),
                Some("6"),
                "{context}"
            );
        }
        world.clock.set(NOW_MS + at_ms);
        assert_eq!(value(&world, "sum(x)").await, "160", "order {order}");
        assert_eq!(value(&world, "count(x)").await, "4", "order {order}");
    }
}

#[tokio::test]
async fn native_histograms_and_bad_series_of_the_loser_are_told_like_others() {
    let world = World::new();
    scrape(&world, A, false, 0.0).await;
    let bad = format!("y{{a=\"1\",a=\"2\",{B}}}");
    let good = format!("y{{{B}}}");
    let answer = world.write_v1(&[(&good, &[(0, 1.0)]), (&bad, &[(0, 1.0)])]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer.text().contains("duplicate label name"),
        "{}",
        answer.text()
    );
    assert_eq!(value(&world, "y").await, "");
}

#[tokio::test]
async fn shards_and_clusters_of_one_name_do_not_shut_each_other_out() {
    let world = World::new();
    let replica = |labels: &str| format!("prometheus=\"monitoring/k8s\",{labels}");
    for labels in [
        "prometheus_replica=\"prometheus-k8s-0\",shard=\"0\"",
        "prometheus_replica=\"prometheus-k8s-shard-1-0\",shard=\"1\"",
        "prometheus_replica=\"prometheus-k8s-0\",cluster=\"west\"",
        "prometheus_replica=\"prometheus-k8s-1\",cluster=\"east\"",
        "prometheus_replica=\"prom-agent-x7k2p\"",
        "prometheus_replica=\"prom-agent-b9cdf\"",
    ] {
        let answer = scrape(&world, &replica(labels), true, 1.0).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{labels}");
    }
    assert_eq!(value(&world, "count(up)").await, "18");
    assert_eq!(
        value(&world, "count(up{prometheus_replica=~\"prom-agent.*\"})").await,
        "6"
    );
}

#[tokio::test]
async fn what_is_switched_off_stores_everything_with_its_label() {
    let config = Config {
        ingest: ingest::Config {
            ha: ha::Config {
                enabled: false,
                ..ha::Config::default()
            },
            ..ingest::Config::default()
        },
        ..Config::default()
    };
    let world = World::with(config);
    for replica in [A, B] {
        assert_eq!(
            scrape(&world, replica, false, 1.0).await.status,
            StatusCode::NO_CONTENT
        );
    }
    assert_eq!(value(&world, "count(up)").await, "6");
    assert_eq!(world.data("/api/v1/status/ha").await["enabled"], false);
}

#[tokio::test]
async fn labels_of_a_pair_may_stand_in_any_order_and_scattered() {
    let world = World::new();
    scrape(&world, A, false, 0.0).await;
    // The labels are sent backwards, as other bytes of the same series.
    let mut encoder = v1::Encoder::default();
    let mut labels = pairs(&format!("up{{pod=\"0\",{B}}}"));
    labels.reverse();
    encoder.push_series(&label_bytes(&labels), &crate::support::at_now(&[(5, 1.0)]));
    let answer = world
        .write("application/x-protobuf", compress(encoder.body()))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}
