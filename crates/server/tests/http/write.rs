//! Remote write through the router: what is stored, what is refused, and what the sender is told.

use crate::support::{V2, World, at_now, compress, label_bytes, pairs, symbols, v2_body, v2_sample};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use model::{MetricMetadata, MetricType, STALE_NAN_BITS};
use server::Config;
use storage::StoreConfig;
use wire::remote_write::{v1, v2};

pub(crate) const V1: &str = "application/x-protobuf";

/// `query` at the time of these tests, as pairs of label set and value.
async fn values(world: &World, query: &str) -> Vec<(String, String)> {
    let data = world.data(&format!("/api/v1/query?query={query}")).await;
    let result = data["result"].as_array().unwrap().iter();
    let mut values: Vec<(String, String)> = result
        .map(|one| {
            (
                one["metric"].to_string(),
                one["value"][1].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    values.sort();
    values
}

#[tokio::test]
async fn what_is_acknowledged_can_be_asked_for_at_once_in_both_protocols() {
    let world = World::new();
    let series: [(&str, &[(i64, f64)]); 2] = [
        ("up{job=\"a\"}", &[(-15_000, 0.0), (0, 1.0)]),
        ("x_bucket{le=\"+Inf\",b=\"2\",a=\"1\"}", &[(0, 7.0)]),
    ];
    let one = world.write_v1(&series).await;
    assert_eq!((one.status, one.text().as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(one.header("x-prometheus-remote-write-samples-written"), None);
    let two = world.write_v2(&series).await;
    assert_eq!((two.status, two.text().as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(two.header("x-prometheus-remote-write-samples-written"), Some("3"));
    assert_eq!(
        two.header("x-prometheus-remote-write-histograms-written"),
        Some("0")
    );
    assert_eq!(
        two.header("x-prometheus-remote-write-exemplars-written"),
        Some("0")
    );
    assert_eq!(
        values(&world, "{__name__=~\"up|x_bucket\"}").await,
        [
            (r#"{"__name__":"up","job":"a"}"#.into(), "1".into()),
            (
                r#"{"__name__":"x_bucket","a":"1","b":"2","le":"+Inf"}"#.into(),
                "7".into()
            ),
        ]
    );
}

#[tokio::test]
async fn one_bad_series_does_not_cost_the_others() {
    for bad in [
        "{a=\"1\"}",
        "y{a=\"1\",a=\"2\"}",
        "y{=\"1\"}",
        "{__name__=\"\",a=\"1\"}",
    ] {
        let world = World::new();
        let series: [(&str, &[(i64, f64)]); 3] = [
            ("x{i=\"1\"}", &[(0, 1.0)]),
            (bad, &[(0, 2.0), (1, 2.0)]),
            ("x{i=\"2\"}", &[(0, 3.0)]),
        ];
        for answer in [world.write_v1(&series).await, world.write_v2(&series).await] {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
            assert!(answer.text().starts_with("series "), "{bad}: {}", answer.text());
            let written = answer.header("x-prometheus-remote-write-samples-written");
            assert!(written.is_none_or(|written| written == "2"), "{bad}");
        }
        let page = world.get("/metrics").await.text();
        assert!(
            page.contains("meshtide_write_refused_samples_total{reason=\"labels\"} 4\n"),
            "{page}"
        );
        assert_eq!(
            values(&world, "sum(x)").await,
            [("{}".into(), "4".into())],
            "{bad}"
        );
    }
}

#[tokio::test]
async fn samples_are_refused_one_by_one_and_named() {
    let config = Config {
        ingest: server::ingest::Config {
            retention_ms: Some(86_400_000),
            ..server::ingest::Config::default()
        },
        ..Config::default()
    };
    let world = World::with(config);
    assert_eq!(
        world.write_v1(&[("x", &[(0, 1.0)])]).await.status,
        StatusCode::NO_CONTENT
    );
    let answer = world
        .write_v2(&[
            ("x", &[(0, 1.0), (0, 2.0), (-3_600_001, 3.0), (-60_000, 4.0)]),
            (
                "y",
                &[
                    (600_001, 5.0),
                    (600_000, 6.0),
                    (-86_400_001, 7.0),
                    (-86_400_000, 8.0),
                ],
            ),
        ])
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let text = answer.text();
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        ("series y: sample at 1700000600001 ms: ", "too far in the future"),
        (
            "series y: sample at 1699913599999 ms: ",
            "older than the retention",
        ),
        (
            "series x: sample at 1700000000000 ms: ",
            "duplicate sample for timestamp",
        ),
        ("series x: sample at 1699996399999 ms: ", "too old sample"),
        ("series y: sample at 1699913600000 ms: ", "too old sample"),
    ];
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, (start, word)) in lines.iter().zip(expected) {
        assert!(
            line.starts_with(start) && line.contains(word),
            "{line:?}, not {start:?} and {word:?}"
        );
    }
    assert_eq!(
        answer.header("x-prometheus-remote-write-samples-written"),
        Some("3")
    );
    assert_eq!(
        values(&world, "x").await,
        [(r#"{"__name__":"x"}"#.into(), "1".into())]
    );
    assert_eq!(
        values(&world, "x offset 1m").await,
        [(r#"{"__name__":"x"}"#.into(), "4".into())]
    );
}

#[tokio::test]
async fn a_repeated_request_is_stored_once_and_counted_again() {
    let world = World::new();
    for _ in 0..3 {
        let answer = world.write_v2(&[("x", &[(-1, 1.5), (0, f64::NAN)])]).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(
            answer.header("x-prometheus-remote-write-samples-written"),
            Some("2")
        );
    }
    assert_eq!(values(&world, "count_over_time(x[1m])").await[0].1, "2");
}

#[tokio::test]
async fn values_survive_bit_for_bit_and_staleness_ends_a_series() {
    let world = World::new();
    let odd = f64::from_bits(0x7ff8_dead_beef_0001);
    let answer = world
        .write_v1(&[
            ("odd", &[(0, odd)]),
            ("ended", &[(-1_000, 1.0), (0, f64::from_bits(STALE_NAN_BITS))]),
            ("tiny", &[(0, 5e-324)]),
        ])
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(values(&world, "odd").await[0].1, "NaN");
    assert_eq!(values(&world, "tiny").await[0].1, "5e-324");
    assert!(values(&world, "ended").await.is_empty());
}

#[tokio::test]
async fn reasons_are_bounded() {
    let world = World::new();
    let text: Vec<String> = (0..500).map(|i| format!("{{i=\"{i}\"}}")).collect();
    let series: Vec<(&str, &[(i64, f64)])> = text
        .iter()
        .map(|labels| (labels.as_str(), &[(0_i64, 1.0)] as &[(i64, f64)]))
        .collect();
    let answer = world.write_v1(&series).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().ends_with("…and 490 more\n"), "{}", answer.text());
    assert!(answer.body.len() < 4096);
}

#[tokio::test]
async fn headers_decide_before_the_body_does() {
    let world = World::new();
    let check = async |content_type: Option<&str>, encoding: Option<&str>, body: &[u8], status: u16| {
        let mut request = Request::post("/api/v1/write");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let answer = world.send(request.body(Body::from(body.to_vec())).unwrap()).await;
        let text = answer.text();
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{content_type:?} {encoding:?}: {text}"
        );
        assert_eq!(
            text.is_empty(),
            status == 204,
            "{content_type:?} {encoding:?}: {text}"
        );
        assert_eq!(answer.header("retry-after"), None);
    };
    let empty = compress(b"");
    check(None, None, &empty, 204).await;
    check(Some(V1), Some("snappy"), &empty, 204).await;
    check(Some(V2), Some("snappy"), &empty, 204).await;
    check(Some("application/json"), Some("snappy"), b"corrupt", 415).await;
    check(Some("image/png"), Some("snappy"), b"corrupt", 415).await;
    check(
        Some("application/x-protobuf;proto=x"),
        Some("snappy"),
        &empty,
        415,
    )
    .await;
    check(Some(V1), Some("gzip"), &empty, 415).await;
    check(Some(V2), Some("deflate"), &empty, 415).await;
    check(Some(V1), Some("snappy"), b"", 400).await;
    check(Some(V1), Some("snappy"), b"corrupt", 400).await;
    check(Some(V2), Some("snappy"), &compress(b"\xff\xff\xff"), 400).await;
    let too_large = vec![0; (32 << 20) + 1];
    check(Some(V1), Some("snappy"), &too_large, 413).await;
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    check(Some(V1), Some("snappy"), &bomb, 400).await;
    let answer = world.get("/api/v1/write").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_request_that_breaks_off_stores_nothing() {
    let world = World::new();
    let mut encoder = v1::Encoder::default();
    let samples = at_now(&[(0, 1.0)]);
    encoder.push_series(&label_bytes(&pairs("x{i=\"1\"}")), &samples);
    encoder.push_series(&label_bytes(&pairs("x{i=\"2\"}")), &samples);
    let cut = &encoder.body()[..encoder.body().len() - 3];
    let answer = world.write(V1, compress(cut)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("protobuf"), "{}", answer.text());
    assert!(values(&world, "x").await.is_empty());
}

/// A series with labels `x`, one sample, and whatever field 3 and 4 of a 1.0 series or 2.0 series hold.
pub(crate) fn v1_with_fields(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut series = label_bytes(&pairs("x"));
    let mut encoder = v1::Encoder::default();
    encoder.push_series(&[], &at_now(&[(0, 1.0)]));
    // The one series of that request, without its own tag and length.
    series.extend_from_slice(&encoder.body()[2..]);
    push_fields(&mut series, fields);
    let mut body = vec![0x0a, u8::try_from(series.len()).unwrap()];
    body.extend_from_slice(&series);
    compress(&body)
}

fn push_fields(series: &mut Vec<u8>, fields: &[(u8, &[u8])]) {
    for (number, content) in fields {
        series.extend_from_slice(&[number << 3 | 2, u8::try_from(content.len()).unwrap()]);
        series.extend_from_slice(content);
    }
}

/// A 2.0 request of one series without samples, with these raw fields and labels.
pub(crate) fn v2_without_samples(
    labels: &str,
    fields: &[(u8, &[u8])],
    metadata: Option<v2::MetadataRefs>,
) -> Vec<u8> {
    let mut encoder = v2::Encoder::default();
    let refs = symbols(&mut encoder, &pairs(labels));
    if fields.is_empty() {
        encoder.push_series(&refs, &[], metadata);
        return v2_body(&encoder);
    }
    let mut body = Vec::new();
    encoder.write_body(&mut body);
    let mut series = vec![0x0a, u8::try_from(refs.len()).unwrap()];
    series.extend(refs.iter().map(|reference| u8::try_from(*reference).unwrap()));
    push_fields(&mut series, fields);
    body.extend_from_slice(&[5 << 3 | 2, u8::try_from(series.len()).unwrap()]);
    body.extend_from_slice(&series);
    compress(&body)
}

#[tokio::test]
async fn a_2_0_series_of_nothing_is_refused_and_one_of_an_exemplar_is_not() {
    let world = World::new();
    let metadata = v2::MetadataRefs {
        metric_type: MetricType::Counter,
        ..v2::MetadataRefs::default()
    };
    let check = async |body: Vec<u8>, status: u16, word: &str| {
        let answer = world.write(V2, body).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        assert!(answer.text().contains(word), "{}", answer.text());
        assert_eq!(
            answer.header("x-prometheus-remote-write-samples-written"),
            Some("0")
        );
    };
    check(v2_without_samples("x", &[], None), 400, "at least one sample").await;
    check(v2_without_samples("x", &[], Some(metadata)), 204, "").await;
    check(v2_without_samples("x", &[(4, b"")], None), 204, "").await;
    check(
        v2_without_samples("x", &[(3, &[8, 1])], None),
        400,
        "1 observations",
    )
    .await;
    // The labels are checked all the same.
    check(
        v2_without_samples("{a=\"1\"}", &[], Some(metadata)),
        400,
        "metric name",
    )
    .await;
    check(
        v2_without_samples("{a=\"1\"}", &[(4, b"")], None),
        400,
        "metric name",
    )
    .await;
    assert!(world.data("/api/v1/labels").await.as_array().unwrap().is_empty());
}

#[tokio::test]
async fn broken_references_cost_only_their_series() {
    let world = World::new();
    let mut encoder = v2::Encoder::default();
    let good = symbols(&mut encoder, &pairs("x{i=\"1\"}"));
    let samples: Vec<v2::Sample> = at_now(&[(0, 1.0)]).into_iter().map(v2_sample).collect();
    encoder.push_series(&good[..3], &samples, None);
    encoder.push_series(&[1, 2, 3, 99], &samples, None);
    encoder.push_series(&good, &samples, None);
    let answer = world.write(V2, v2_body(&encoder)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let text = answer.text();
    assert!(text.contains("odd number of label references"), "{text}");
    assert!(text.contains("label reference 99 is beyond"), "{text}");
    assert_eq!(
        answer.header("x-prometheus-remote-write-samples-written"),
        Some("1")
    );
    assert_eq!(values(&world, "x").await.len(), 1);
}

#[tokio::test]
async fn metadata_of_both_protocols_is_kept() {
    let world = World::new();
    let mut encoder = v1::Encoder::default();
    encoder.push_metadata(&MetricMetadata {
        metric_name: "istio_requests_total".into(),
        metric_type: MetricType::Counter,
        help: "Requests \"seen\".".into(),
        unit: String::new(),
    });
    let body = compress(encoder.body());
    for _ in 0..2 {
        assert_eq!(world.write(V1, body.clone()).await.status, StatusCode::NO_CONTENT);
    }
    let mut encoder = v2::Encoder::default();
    let refs = symbols(&mut encoder, &pairs("lat_bucket{le=\"1\"}"));
    let metadata = v2::MetadataRefs {
        metric_type: MetricType::Histogram,
        help_ref: encoder.symbol("Latency."),
        unit_ref: encoder.symbol("ms"),
    };
    let samples: Vec<v2::Sample> = at_now(&[(0, 1.0)]).into_iter().map(v2_sample).collect();
    encoder.push_series(&refs, &samples, Some(metadata));
    assert_eq!(
        world.write(V2, v2_body(&encoder)).await.status,
        StatusCode::NO_CONTENT
    );
    let requests = serde_json::json!([{"type": "counter", "help": "Requests \"seen\".", "unit": ""}]);
    assert_eq!(
        world.data("/api/v1/metadata").await,
        serde_json::json!({
            "istio_requests_total": requests,
            "lat": [{"type": "histogram", "help": "Latency.", "unit": "ms"}],
        })
    );
    assert_eq!(
        world
            .data("/api/v1/metadata?metric=lat&limit=40000")
            .await
            .as_object()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        world.data("/api/v1/metadata?limit=1").await,
        serde_json::json!({"istio_requests_total": requests})
    );
}

#[tokio::test]
async fn a_full_house_is_answered_with_503_and_when_to_come_again() {
    let config = Config {
        ingest: server::ingest::Config {
            requests_max: 0,
            ..server::ingest::Config::default()
        },
        ..Config::default()
    };
    let world = World::with(config);
    let answer = world.write_v2(&[("x", &[(0, 1.0)])]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(
        answer.header("x-prometheus-remote-write-samples-written"),
        Some("0")
    );
}

#[tokio::test]
async fn a_closed_store_is_answered_with_503() {
    let world = World::closed(Config::default());
    let early = world.write_v1(&[("x", &[(0, 1.0)])]).await;
    assert_eq!(early.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(early.header("retry-after"), Some("1"));
    let store = world.open(StoreConfig::default());
    assert_eq!(
        world.write_v1(&[("x", &[(0, 1.0)])]).await.status,
        StatusCode::NO_CONTENT
    );
    store.close().unwrap();
    let late = world.write_v1(&[("x", &[(1, 1.0)])]).await;
    assert_eq!(late.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(late.header("retry-after"), Some("1"));
}
