//! Native histograms and start timestamps through the router, up to the store.

use axum::http::StatusCode;
use model::{Matcher, TimeRange};
use server::Config;
use storage::{Source, Store, StoreConfig, StreamBuffer};
use wire::remote_write::v2;

use crate::support::{NOW_MS, V2, World, pairs, symbols, v2_body};
use crate::write::{V1, v1_with_fields, v2_without_samples};

/// The message of a native histogram of integers: 3 observations in two buckets, or as many as `count` says.
fn histogram_message(timestamp_ms: i64, count: u8) -> Vec<u8> {
    let mut message = vec![1 << 3, count, 3 << 3 | 1];
    message.extend_from_slice(&4.5_f64.to_le_bytes());
    message.extend_from_slice(&[11 << 3 | 2, 2, 2 << 3, 2]);
    message.extend_from_slice(&[12 << 3 | 2, 2, 2, 2]);
    message.push(15 << 3);
    let mut rest = timestamp_ms.cast_unsigned();
    while rest >= 0x80 {
        message.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    message.push(rest as u8);
    message
}

/// Native histograms of a series: time, hint, and how it prints.
fn histograms(store: &Store, labels: &str) -> Vec<(i64, String)> {
    let pairs = pairs(labels);
    let matchers: Vec<Matcher> = pairs
        .iter()
        .map(|(name, value)| Matcher::equal(name, value))
        .collect();
    let selection = store.select(&matchers, TimeRange::ALL).unwrap();
    if selection.n_series() == 0 {
        return Vec::new();
    }
    let mut buffer = StreamBuffer::default();
    selection.read(0, TimeRange::ALL, &mut buffer).unwrap();
    let held = buffer.lanes()[0].histograms.iter();
    held.map(|(row, histogram)| {
        let hint = histogram.counter_reset_hint;
        (
            buffer.timestamps_ms[*row as usize],
            format!("{hint:?} {histogram}"),
        )
    })
    .collect()
}

#[tokio::test]
async fn exemplars_are_counted_and_histograms_stored_beside_the_floats() {
    let world = World::closed(Config::default());
    let store = world.open(StoreConfig::default());
    let answer = world.write(V1, v1_with_fields(&[(3, b"")])).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let (first, second) = (histogram_message(NOW_MS + 1, 3), histogram_message(NOW_MS + 2, 3));
    let answer = world
        .write(V1, v1_with_fields(&[(4, &first), (4, &second)]))
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let text = "{count:3, sum:4.5, (0.5,1]:1, (1,2]:2}";
    assert_eq!(
        histograms(&store, "x"),
        [
            (NOW_MS + 1, format!("Unknown {text}")),
            (NOW_MS + 2, format!("NotReset {text}"))
        ]
    );
    let page = world.get("/metrics").await.text();
    for line in [
        "meshtide_write_exemplars_total 1",
        "meshtide_write_histograms_total 2",
        "meshtide_write_requests_total{outcome=\"stored\"} 2",
        "meshtide_write_samples_total 2",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[tokio::test]
async fn a_histogram_that_is_none_is_named_and_the_rest_is_stored() {
    let world = World::closed(Config::default());
    let store = world.open(StoreConfig::default());
    let (good, bad) = (histogram_message(NOW_MS, 3), histogram_message(NOW_MS + 1, 4));
    let reason = "a native histogram counts 4 observations, but 3 in its buckets";
    let check = async |fields: &[(u8, &[u8])], labels: &str, n_written: &str| {
        let answer = world.write(V2, v2_without_samples(labels, fields, None)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let expected = format!("series {labels}: sample at {} ms: {reason}\n", NOW_MS + 1);
        assert_eq!(answer.text(), expected);
        let written = answer.header("x-prometheus-remote-write-histograms-written");
        assert_eq!(written, Some(n_written));
        let written = answer.header("x-prometheus-remote-write-samples-written");
        assert_eq!(written, Some("0"));
    };
    check(&[(3, &good), (3, &bad)], "x{a=\"1\"}", "1").await;
    check(&[(3, &good), (3, &bad)], "x{a=\"1\"}", "1").await;
    check(&[(3, &bad)], "y{a=\"1\"}", "0").await;
    assert_eq!(histograms(&store, "x{a=\"1\"}").len(), 1);
    assert_eq!(histograms(&store, "y{a=\"1\"}").len(), 0);
    let page = world.get("/metrics").await.text();
    let line = "meshtide_write_refused_samples_total{reason=\"invalid_histogram\"} 3";
    assert!(page.lines().any(|found| found == line), "{page}");

    // Another one at a time that is taken.
    let other = histogram_message(NOW_MS, 4);
    let other: Vec<u8> = [&other[..], &[6 << 3, 1]].concat();
    let answer = world
        .write(V2, v2_without_samples("x{a=\"1\"}", &[(3, &other)], None))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer.text().contains("duplicate sample for timestamp"),
        "{}",
        answer.text()
    );
    assert_eq!(
        answer.header("x-prometheus-remote-write-histograms-written"),
        Some("0")
    );
}

#[tokio::test]
async fn start_timestamps_of_2_0_are_kept() {
    let world = World::closed(Config::default());
    let store = world.open(StoreConfig::default());
    let mut encoder = v2::Encoder::default();
    let refs = symbols(&mut encoder, &pairs("x"));
    let sample = |ago_ms: i64, start_timestamp_ms: i64| v2::Sample {
        timestamp_ms: NOW_MS - ago_ms,
        value: 1.0,
        start_timestamp_ms,
    };
    encoder.push_series(
        &refs,
        &[sample(20, 0), sample(10, NOW_MS - 99), sample(0, NOW_MS - 99)],
        None,
    );
    let answer = world.write(V2, v2_body(&encoder)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let matcher = Matcher::equal("__name__", "x");
    let selection = store.select(&[matcher], TimeRange::ALL).unwrap();
    let mut buffer = StreamBuffer::default();
    selection.read(0, TimeRange::ALL, &mut buffer).unwrap();
    assert_eq!(buffer.lanes()[0].starts_ms, [0, NOW_MS - 99, NOW_MS - 99]);
}

#[tokio::test]
async fn histograms_stand_in_answers_as_prometheus_writes_them() {
    let world = World::closed(Config::default());
    world.open(StoreConfig::default());
    // The series has a float at the time itself.
    let time_ms = NOW_MS + 120_000;
    let (first, second) = (
        histogram_message(time_ms - 60_000, 3),
        histogram_message(time_ms, 3),
    );
    let answer = world
        .write(V1, v1_with_fields(&[(4, &first), (4, &second)]))
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let seconds = time_ms / 1000;
    let histogram = r#"{"count":"3","sum":"4.5","buckets":[[0,"0.5","1","1"],[0,"1","2","2"]]}"#;
    let metric = r#"{"__name__":"x"}"#;
    let check = async |path: String, result_type: &str, series: String| {
        let text = world.get(&path).await.text();
        let expected =
            format!(r#"{{"status":"success","data":{{"resultType":"{result_type}","result":[{series}]}}}}"#);
        assert_eq!(text, expected, "{path}");
    };
    check(
        format!("/api/v1/query?query=x&time={seconds}"),
        "vector",
        format!(r#"{{"metric":{metric},"histogram":[{seconds},{histogram}]}}"#),
    )
    .await;
    check(
        format!("/api/v1/query?query=x[2m]&time={seconds}"),
        "matrix",
        format!(
            r#"{{"metric":{metric},"histograms":[[{},{histogram}],[{seconds},{histogram}]]}}"#,
            seconds - 60
        ),
    )
    .await;
    check(
        format!(
            "/api/v1/query_range?query=x&start={}&end={seconds}&step=30",
            seconds - 30
        ),
        "matrix",
        format!(
            r#"{{"metric":{metric},"histograms":[[{},{histogram}],[{seconds},{histogram}]]}}"#,
            seconds - 30
        ),
    )
    .await;
    // Empty buckets are left out.
    check(
        format!("/api/v1/query?query=x*0&time={seconds}"),
        "vector",
        format!(r#"{{"metric":{{}},"histogram":[{seconds},{{"count":"0","sum":"0"}}]}}"#),
    )
    .await;
}
