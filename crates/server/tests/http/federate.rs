//! `/federate` through the router: what is on the page and how it looks.

use std::io::Read;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use model::STALE_NAN_BITS;

use crate::support::{NOW_MS, World, config_with_external_labels, encoded};

#[tokio::test]
async fn the_page_looks_as_prometheus_writes_it() {
    let world = World::new();
    world
        .write_v1(&[
            ("up{job=\"b\",instance=\"1\"}", &[(-60_000, 0.0), (-15_000, 1.0)]),
            ("up{job=\"a\"}", &[(0, 1.0)]),
            ("federate:rate5m{le=\"+Inf\"}", &[(-299_999, 1.5e-7)]),
            ("gone", &[(-1_000, 1.0), (0, f64::from_bits(STALE_NAN_BITS))]),
            ("old", &[(-300_001, 1.0)]),
            ("edge", &[(-300_000, 1.0)]),
            ("other", &[(0, 1.0)]),
        ])
        .await;
    let page = world
        .get("/federate?match[]=up&match[]={__name__=~\"up|federate:.*|gone|old|edge\"}")
        .await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
    );
    let expected = format!(
        "# TYPE edge untyped\n\
         edge{{instance=\"\"}} 1 {}\n\
         # TYPE federate:rate5m untyped\n\
         federate:rate5m{{le=\"+Inf\",instance=\"\"}} 1.5e-07 {}\n\
         # TYPE up untyped\n\
         up{{job=\"a\",instance=\"\"}} 1 {NOW_MS}\n\
         up{{instance=\"1\",job=\"b\"}} 1 {}\n",
        NOW_MS - 300_000,
        NOW_MS - 299_999,
        NOW_MS - 15_000,
    );
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&page.text()), sorted(&expected));
    // Families in order of their names; within one, the order is that of the series.
    let types: Vec<String> = page
        .text()
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    assert!(types.is_sorted(), "{types:?}");
}

#[tokio::test]
async fn external_labels_stand_on_series_that_lack_them() {
    let world = World::with(config_with_external_labels(&[("cluster", "east"), ("job", "x")]));
    world.write_v1(&[("up{job=\"a\"}", &[(0, 1.0)])]).await;
    let page = world.get("/federate?match[]=up").await.text();
    assert_eq!(
        page,
        format!("# TYPE up untyped\nup{{job=\"a\",cluster=\"east\",instance=\"\"}} 1 {NOW_MS}\n")
    );
}

#[tokio::test]
async fn no_selector_is_an_empty_page_and_a_bad_one_an_error() {
    let world = World::new();
    let empty = world.get("/federate").await;
    assert_eq!((empty.status, empty.body.len()), (StatusCode::OK, 0));
    let bad = world.get("/federate?match[]=x{").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert_eq!(bad.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(
        bad.text(),
        "1:3: parse error: unexpected end of input inside braces\n"
    );
}

#[tokio::test]
async fn only_get_is_allowed() {
    let world = World::new();
    for method in [Method::POST, Method::HEAD, Method::PUT] {
        let request = Request::builder()
            .method(&method)
            .uri("/federate?match[]=up")
            .body(Body::empty())
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
}

#[tokio::test]
async fn a_large_page_arrives_whole_and_compressed_when_asked() {
    let world = World::new();
    let text: Vec<String> = (0..5_000).map(|i| format!("x{{i=\"{i:05}\"}}")).collect();
    let series: Vec<(&str, &[(i64, f64)])> = text
        .iter()
        .map(|labels| (labels.as_str(), &[(0_i64, 1.0)] as &[(i64, f64)]))
        .collect();
    assert_eq!(world.write_v1(&series).await.status, StatusCode::NO_CONTENT);
    let plain = world.get("/federate?match[]=x").await;
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.text().lines().count(), 5_001);
    let request = Request::get(encoded("/federate?match[]=x"))
        .header("accept-encoding", "gzip")
        .header("accept", "text/plain;version=0.0.4;escaping=allow-utf-8")
        .body(Body::empty())
        .unwrap();
    let packed = world.send(request).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(
        packed.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8")
    );
    assert!(packed.body.len() * 5 < plain.body.len());
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain.text());
}
