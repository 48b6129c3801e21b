//! `POST /api/v1/sql`.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use server::Config;
use storage::StoreConfig;

use crate::support::{Answer, World};

async fn ask(world: &World, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post("/api/v1/sql");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world
        .send(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

async fn world() -> World {
    let world = World::new();
    let written = world
        .write_v1(&[
            (r#"up{job="a"}"#, &[(-15_000, 1.0), (0, 0.0)]),
            (
                r#"up{job="b",größe="ü"}"#,
                &[(-15_000, f64::NAN), (0, f64::NEG_INFINITY)],
            ),
        ])
        .await;
    assert_eq!(written.status, StatusCode::NO_CONTENT);
    world
}

#[tokio::test]
async fn rows_come_as_json_with_columns_statistics_and_the_status_last() {
    let world = world().await;
    let answer = ask(
        &world,
        &[],
        "SELECT timestamp, value, job, größe FROM up WHERE timestamp <= now() ORDER BY job, timestamp",
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let json = answer.json();
    assert_eq!(json["status"], "success");
    assert_eq!(json["data"]["columns"][0]["name"], "timestamp");
    assert_eq!(json["data"]["columns"][3]["type"], "text");
    assert_eq!(
        json["data"]["rows"],
        serde_json::json!([
            ["2023-11-14T22:13:05Z", 1.0, "a", ""],
            ["2023-11-14T22:13:20Z", 0.0, "a", ""],
            ["2023-11-14T22:13:05Z", "NaN", "b", "ü"],
            ["2023-11-14T22:13:20Z", "-Inf", "b", "ü"],
        ])
    );
    assert_eq!(json["stats"]["samplesRead"], 4);
    assert_eq!(json["stats"]["seriesSelected"], 2);
    assert!(answer.text().ends_with("\"status\":\"success\"}\n"));
}

#[tokio::test]
async fn nothing_is_an_answer_as_well() {
    let world = world().await;
    let answer = ask(&world, &[], "SELECT job FROM up WHERE job = 'c'").await;
    assert_eq!(answer.json()["data"]["rows"], serde_json::json!([]));
    assert_eq!(answer.json()["data"]["columns"][0]["name"], "job");
    let csv = ask(
        &world,
        &[("accept", "text/csv")],
        "SELECT job FROM up WHERE job = 'c'",
    )
    .await;
    assert_eq!(csv.text(), "job\r\n");
}

#[tokio::test]
async fn maps_lists_and_large_numbers_are_json_of_their_own() {
    let world = world().await;
    let text = "SELECT labels, [1, 2] AS l, 9223372036854775807 AS n, true AS b, interval '1 hour' AS i \
                FROM series WHERE labels['job'] = 'b'";
    let answer = ask(&world, &[], text).await;
    let row = &answer.json()["data"]["rows"][0];
    assert_eq!(
        row[0],
        serde_json::json!({"job": "b", "größe": "ü"}),
        "{}",
        answer.text()
    );
    assert_eq!(row[1], serde_json::json!([1, 2]));
    assert_eq!((row[2].as_i64(), row[3].as_bool()), (Some(i64::MAX), Some(true)));
    assert!(row[4].is_string(), "{row}");
}

#[tokio::test]
async fn csv_and_arrow_are_there_on_request() {
    let world = world().await;
    let text = "SELECT job, max(value) AS top, min(größe) AS g FROM up WHERE job = 'a' GROUP BY job";
    let csv = ask(&world, &[("accept", "text/csv")], text).await;
    assert_eq!(csv.text(), "job,top,g\r\na,1.0,\"\"\r\n");
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"));
    let arrow = ask(&world, &[("accept", "application/vnd.apache.arrow.stream")], text).await;
    let reader = arrow_ipc::reader::StreamReader::try_new(&arrow.body[..], None).unwrap();
    assert_eq!(
        reader.schema().field(0).data_type(),
        &arrow_schema::DataType::Utf8
    );
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn what_is_wrong_has_its_status_and_its_place() {
    let world = world().await;
    for (text, status, says) in [
        ("SELECT\nnothing FROM up", 400, "2:1: "),
        ("DROP TABLE up", 400, "DROP is refused"),
        ("SELECT * FROM nothing", 400, "SHOW TABLES"),
        ("", 400, "no statement"),
        (
            "SELECT 1 / (value::bigint - value::bigint) FROM up WHERE job = 'a'",
            422,
            "ivide by zero",
        ),
    ] {
        let answer = ask(&world, &[], text).await;
        assert_eq!(answer.status.as_u16(), status, "{text}: {}", answer.text());
        let json = answer.json();
        assert_eq!(json["status"], "error");
        assert!(json["error"].as_str().unwrap().contains(says), "{text}: {json}");
    }
    let slow = "SELECT count(*) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b";
    let answer = ask(
        &world,
        &[("content-type", "application/json")],
        &format!(r#"{{"query": "{slow}", "timeout": "50ms"}}"#),
    )
    .await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.text()
    );
    let get = world.get("/api/v1/sql?query=SELECT 1").await;
    assert_eq!(get.status, StatusCode::METHOD_NOT_ALLOWED);
}

/// Fails when half a million rows have been sent.
const LATE_FAILURE: &str = "SELECT value, 1 / (600000 - value) FROM generate_series(1, 1000000)";

#[tokio::test]
async fn json_that_fails_half_way_says_so_at_its_end() {
    let world = world().await;
    let answer = ask(&world, &[], LATE_FAILURE).await;
    assert_eq!(answer.status, StatusCode::OK);
    let json = answer.json();
    assert_eq!(json["status"], "error", "{}", &answer.text()[..200]);
    assert!(json["data"]["rows"].as_array().unwrap().len() > 1000);
}

#[tokio::test]
async fn csv_that_fails_half_way_is_cut_off() {
    use tower_service::Service;
    let world = world().await;
    let request = Request::post("/api/v1/sql?format=csv")
        .body(Body::from(LATE_FAILURE))
        .unwrap();
    let response = world.server.router().call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_slot() {
    use tower_service::Service;
    let world = world().await;
    let endless = "SELECT * FROM generate_series(1, 1000000000)";
    for _ in 0..20 {
        let request = Request::post("/api/v1/sql?format=csv")
            .body(Body::from(endless))
            .unwrap();
        let response = world.server.router().call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = response.into_body();
        assert!(body.frame().await.unwrap().is_ok());
    }
    let answer = ask(&world, &[], "SELECT 1").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn large_answers_are_compressed_when_asked() {
    let world = world().await;
    let text = "SELECT value FROM generate_series(1, 100000)";
    let answer = ask(&world, &[("accept-encoding", "gzip")], text).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut plain = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&answer.body[..]);
    std::io::Read::read_to_string(&mut decoder, &mut plain).unwrap();
    let json: serde_json::Value = serde_json::from_str(&plain).unwrap();
    assert_eq!(json["data"]["rows"].as_array().unwrap().len(), 100_000);
}

/// In milliseconds.
const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn blocks_are_read_like_the_head_and_only_those_pages_that_may_matter() {
    let config = Config {
        admin_api: true,
        ..Config::default()
    };
    let world = World::closed(config);
    let store = world.open(StoreConfig::default());
    for hour in [-5, -3, 0] {
        let samples: Vec<(i64, f64)> = (0..4)
            .map(|row| (hour * HOUR_MS + row * 15_000 - 60_000, (row + hour) as f64))
            .collect();
        let series = [r#"x{job="a"}"#, r#"x{job="b"}"#, r#"y{job="a"}"#];
        let written = world.write_v1(&series.map(|series| (series, &samples[..]))).await;
        assert_eq!(written.status, StatusCode::NO_CONTENT);
    }
    let statements = [
        "SELECT metric, series_id, timestamp, value FROM samples ORDER BY metric, series_id, timestamp",
        "SELECT job, sum(value), count(*) FROM x GROUP BY job ORDER BY job",
        "SELECT count(*) FROM series",
        "SELECT max(timestamp) FROM samples WHERE metric = 'x' AND timestamp < '2023-11-14T20:00:00Z'",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'metrics' ORDER BY table_name",
    ];
    let mut before = Vec::new();
    for statement in statements {
        before.push(ask(&world, &[], statement).await.json()["data"].clone());
    }
    let flush = Request::post("/api/v1/admin/tsdb/flush")
        .body(Body::empty())
        .unwrap();
    assert_eq!(world.send(flush).await.json()["data"]["blocks"], 3);
    for (statement, before) in statements.iter().zip(&before) {
        let after = ask(&world, &[], statement).await;
        assert_eq!(after.json()["data"], *before, "{statement}: {}", after.text());
    }
    // A block here has one page of each column; of timestamps and values one each is read.
    world.files.kill();
    drop(store);
    let world = World {
        files: world.files,
        ..World::closed(Config::default())
    };
    let store = world.open(StoreConfig::default());
    let mut n_read = 0;
    for (statement, n_pages) in [
        ("SELECT count(*) FROM series", 0),
        ("SELECT value FROM samples WHERE metric = 'z'", 0),
        ("SELECT value FROM x WHERE job = 'c'", 0),
        (
            "SELECT value FROM x WHERE timestamp > now() + interval '1 hour'",
            0,
        ),
        (
            "SELECT value FROM x WHERE timestamp > now() - interval '1 hour'",
            2,
        ),
        (
            "SELECT value FROM x WHERE timestamp < now() - interval '4 hours' AND job = 'b'",
            2,
        ),
        ("SELECT value FROM samples", 2),
    ] {
        let answer = ask(&world, &[], statement).await;
        assert_eq!(answer.status, StatusCode::OK, "{statement}: {}", answer.text());
        let n_before = std::mem::replace(&mut n_read, store.stats().blocks.page_misses);
        assert_eq!(n_read - n_before, n_pages, "{statement}");
    }
}
