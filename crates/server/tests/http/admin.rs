//! `POST /api/v1/admin/tsdb/…`.

use std::path::Path;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use model::Files;
use serde_json::json;
use server::Config;

use crate::support::{Answer, World, encoded};

const SAMPLES: &[(i64, f64)] = &[(-30_000, 1.0), (-15_000, 2.0), (0, 4.0)];

/// A server with the admin API and two series.
async fn world() -> World {
    let config = Config {
        admin_api: true,
        ..Config::default()
    };
    let world = World::with(config);
    let series = [(r#"x{job="a"}"#, SAMPLES), (r#"x{job="b"}"#, SAMPLES)];
    let written = world.write_v1(&series).await;
    assert_eq!(written.status, StatusCode::NO_CONTENT);
    world
}

async fn ask(world: &World, action: &str) -> Answer {
    let path = format!("/api/v1/admin/tsdb/{action}");
    let request = Request::post(encoded(&path)).body(Body::empty()).unwrap();
    world.send(request).await
}

/// The samples of the last minute, by job.
async fn samples(world: &World, job: &str) -> serde_json::Value {
    let path = format!(r#"/api/v1/query?query=x{{job="{job}"}}[1m]&time=1700000000"#);
    let data = world.data(&path).await;
    data["result"][0]["values"].clone()
}

fn all() -> serde_json::Value {
    json!([[1_699_999_970, "1"], [1_699_999_985, "2"], [1_700_000_000, "4"]])
}

/// Bytes of the blocks.
fn block_bytes(world: &World) -> usize {
    let dir = Path::new("data/blocks");
    let blocks = world.files.list(dir).unwrap_or_default();
    let files = blocks.iter().flat_map(|block| {
        let dir = dir.join(block);
        let names = world.files.list(&dir).unwrap();
        names.into_iter().map(move |name| dir.join(name))
    });
    files.map(|path| world.files.read(&path).unwrap().len()).sum()
}

#[tokio::test]
async fn nothing_is_done_unless_it_is_switched_on() {
    let world = World::new();
    for action in ["flush", "delete_series?match[]=x", "clean_tombstones"] {
        let answer = ask(&world, action).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.json()["errorType"], "unavailable");
    }
}

#[tokio::test]
async fn a_flush_says_what_is_in_blocks_and_changes_no_answer() {
    let world = world().await;
    assert_eq!(samples(&world, "a").await, all());
    let flushed = ask(&world, "flush").await;
    assert_eq!(flushed.status, StatusCode::OK, "{}", flushed.text());
    assert_eq!(flushed.json()["data"], json!({"blocks": 1, "samples": 6}));
    assert_eq!(samples(&world, "a").await, all());
    let again = ask(&world, "flush").await;
    assert_eq!(again.json()["data"], json!({"blocks": 0, "samples": 0}));
    assert_eq!(ask(&world, "unknown").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn deleted_samples_are_gone_for_queries_at_once_and_from_the_disk_when_they_are_cleaned() {
    let world = world().await;
    for wrong in [
        "delete_series",
        "delete_series?match[]={",
        "delete_series?match[]=x&start=now",
        "delete_series?match[]=x&start=2&end=1",
    ] {
        assert_eq!(
            ask(&world, wrong).await.status,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    let deleted = ask(
        &world,
        r#"delete_series?match[]=x{job="a"}&start=1699999980&end=1699999990"#,
    )
    .await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text());
    let left = json!([[1_699_999_970, "1"], [1_700_000_000, "4"]]);
    assert_eq!(samples(&world, "a").await, left);
    assert_eq!(samples(&world, "b").await, all());
    let deleted = ask(&world, r#"delete_series?match[]={job="b"}"#).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(samples(&world, "b").await, json!(null));
    let before = block_bytes(&world);
    assert_eq!(
        ask(&world, "clean_tombstones").await.status,
        StatusCode::NO_CONTENT
    );
    assert!(block_bytes(&world) < before, "their bytes are gone");
    assert_eq!(samples(&world, "a").await, left);
    // What comes after a deletion stays, whatever its time.
    let written = world.write_v1(&[(r#"x{job="b"}"#, SAMPLES)]).await;
    assert_eq!(written.status, StatusCode::NO_CONTENT);
    assert_eq!(samples(&world, "b").await, all());
}

#[tokio::test]
async fn a_full_disk_is_told_with_503_and_nothing_is_lost_when_there_is_room_again() {
    let world = world().await;
    world.files.set_bytes_max(Some(1));
    for action in ["flush", r#"delete_series?match[]=x{job="b"}"#] {
        let refused = ask(&world, action).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{action}");
        assert_eq!(refused.json()["errorType"], "unavailable");
    }
    assert_eq!(samples(&world, "a").await, all());
    assert_eq!(samples(&world, "b").await, all(), "nothing was deleted");
    let more: &[(i64, f64)] = &[(1, 8.0)];
    let refused = world.write_v1(&[(r#"x{job="c"}"#, more)]).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.header("retry-after").is_some());
    world.files.set_bytes_max(None);
    let mut n_tries = 0;
    while world.write_v1(&[(r#"x{job="c"}"#, more)]).await.status != StatusCode::NO_CONTENT {
        n_tries += 1;
        assert!(n_tries < 1_000, "it does not heal");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let flushed = ask(&world, "flush").await;
    assert_eq!(flushed.json()["data"], json!({"blocks": 1, "samples": 7}));
    assert_eq!(samples(&world, "a").await, all());
}
