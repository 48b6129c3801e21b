//! Exemplars from all senders, and as Grafana asks for them.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, NOW_MS, V2, World, compress, label_bytes, pairs};
use crate::write::V1;

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn bytes(number: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [
        varint(number << 3 | 2),
        varint(content.len() as u64),
        content.to_vec(),
    ]
    .concat()
}

fn float(number: u64, value: f64) -> Vec<u8> {
    [varint(number << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

fn integer(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

/// An exemplar: labels as `{a="b"}`, milliseconds from now, value.
type Sent<'a> = (&'a str, i64, f64);

/// Series, whether it has a sample, and its exemplars.
type SentSeries<'a> = (&'a str, bool, &'a [Sent<'a>]);

async fn write_v1(world: &World, series: &[SentSeries<'_>]) -> Answer {
    let mut body = Vec::new();
    for (labels, has_sample, exemplars) in series {
        let mut message = label_bytes(&pairs(labels));
        if *has_sample {
            message.extend(bytes(2, [float(1, 1.0), integer(2, NOW_MS)].concat()));
        }
        for (labels, at_ms, value) in *exemplars {
            let labels: Vec<u8> = label_bytes(&pairs(labels));
            let fields = [labels, float(2, *value), integer(3, NOW_MS + at_ms)];
            message.extend(bytes(3, fields.concat()));
        }
        body.extend(bytes(1, message));
    }
    world.write(V1, compress(&body)).await
}

async fn write_v2(world: &World, series: &[SentSeries<'_>]) -> Answer {
    let mut symbols = vec![String::new()];
    let mut refs = |labels: &str| {
        let mut out = Vec::new();
        for (name, value) in pairs(labels) {
            for text in [name, value] {
                let position = symbols.iter().position(|symbol| *symbol == text);
                let position = position.unwrap_or_else(|| {
                    symbols.push(text);
                    symbols.len() - 1
                });
                out.extend(varint(position as u64));
            }
        }
        bytes(1, out)
    };
    let mut all = Vec::new();
    for (labels, has_sample, exemplars) in series {
        let mut message = refs(labels);
        if *has_sample {
            message.extend(bytes(2, [float(1, 1.0), integer(2, NOW_MS)].concat()));
        }
        for (labels, at_ms, value) in *exemplars {
            let fields = [refs(labels), float(2, *value), integer(3, NOW_MS + at_ms)];
            message.extend(bytes(4, fields.concat()));
        }
        all.extend(bytes(5, message));
    }
    let symbols: Vec<u8> = symbols.iter().flat_map(|symbol| bytes(4, symbol)).collect();
    world.write(V2, compress(&[symbols, all].concat())).await
}

fn written(answer: &Answer) -> &str {
    answer
        .header("x-prometheus-remote-write-exemplars-written")
        .unwrap()
}

async fn exemplars(world: &World, query: &str) -> Value {
    world
        .data(&format!("/api/v1/query_exemplars?query={query}"))
        .await
}

#[tokio::test]
async fn exemplars_are_answered_as_prometheus_does_it() {
    let world = World::new();
    let series: [SentSeries<'_>; 4] = [
        ("x_bucket{le=\"2\",job=\"b\"}", true, &[]),
        ("x_bucket{le=\"1\",job=\"a\"}", true, &[]),
        // As Prometheus sends them: behind the sample, in an entry of their own.
        (
            "x_bucket{le=\"2\",job=\"b\"}",
            false,
            &[("{trace_id=\"t1\"}", -2_000, 1.5), ("{}", -500, f64::INFINITY)],
        ),
        (
            "x_bucket{le=\"1\",job=\"a\"}",
            false,
            &[("{trace_id=\"t2\",span_id=\"\u{fc}\"}", 0, 0.25)],
        ),
    ];
    for is_v2 in [true, false, true] {
        let answer = if is_v2 {
            write_v2(&world, &series).await
        } else {
            write_v1(&world, &series).await
        };
        if is_v2 && answer.status == StatusCode::NO_CONTENT {
            assert_eq!(written(&answer), "3");
        }
        let seconds = NOW_MS / 1_000;
        let expected = json!([
            {
                "seriesLabels": {"__name__": "x_bucket", "job": "a", "le": "1"},
                "exemplars": [{"labels": {"span_id": "\u{fc}", "trace_id": "t2"}, "value": "0.25", "timestamp": seconds}],
            },
            {
                "seriesLabels": {"__name__": "x_bucket", "job": "b", "le": "2"},
                "exemplars": [
                    {"labels": {"trace_id": "t1"}, "value": "1.5", "timestamp": seconds - 2},
                    {"labels": {}, "value": "+Inf", "timestamp": (NOW_MS - 500) as f64 / 1e3},
                ],
            },
        ]);
        let query = "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m]))) / up";
        assert_eq!(exemplars(&world, query).await, expected);
    }
    let one = exemplars(&world, "x_bucket{job=\"b\"}&start=1699999999.4&end=1699999999.6").await;
    assert_eq!(one[0]["exemplars"].as_array().unwrap().len(), 1, "{one}");
    // Grafana's probe, in milliseconds.
    let probe = "test&start=1699996400000&end=1700000000000";
    assert_eq!(exemplars(&world, probe).await, json!([]));
    assert_eq!(exemplars(&world, "y").await, json!([]));
    let text = world.get("/api/v1/query_exemplars?query=x_bucket").await.text();
    assert!(
        text.contains(r#""value":"+Inf","timestamp":1699999999.500}"#),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_out_of_order_is_refused_in_2_0_and_passed_over_in_1_0() {
    let world = World::new();
    let first: &[Sent<'_>] = &[("{trace_id=\"a\"}", 0, 1.0), ("{trace_id=\"b\"}", 0, 2.0)];
    assert_eq!(
        write_v1(&world, &[("x", true, first)]).await.status,
        StatusCode::NO_CONTENT
    );
    let late: &[Sent<'_>] = &[("{trace_id=\"c\"}", -1, 1.0), ("{trace_id=\"d\"}", 5, 1.0)];
    let answer = write_v2(&world, &[("x", true, late)]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let expected = format!("series x: exemplar at {} ms: out of order exemplar\n", NOW_MS - 1);
    assert_eq!((answer.text(), written(&answer)), (expected, "1"));
    assert_eq!(
        answer.header("x-prometheus-remote-write-samples-written"),
        Some("1")
    );
    assert_eq!(
        write_v1(&world, &[("x", false, late)]).await.status,
        StatusCode::NO_CONTENT
    );
    let found = exemplars(&world, "x").await;
    assert_eq!(found[0]["exemplars"].as_array().unwrap().len(), 3, "{found}");
    let page = world.get("/metrics").await.text();
    for line in [
        "meshtide_write_refused_exemplars_total{reason=\"out_of_order\"} 2\n",
        "meshtide_write_exemplars_total 4\n",
        "meshtide_exemplars 3\n",
    ] {
        assert!(page.contains(line), "no {line:?} in {page}");
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_counted_and_costs_nothing_else() {
    let world = World::new();
    let long = format!("{{trace_id=\"{}\"}}", "x".repeat(121));
    let many: &[Sent<'_>] = &[
        (&long, 0, 1.0),
        ("{a=\"1\",a=\"2\"}", 0, 1.0),
        ("{trace_id=\"far\"}", 700_000, 1.0),
        ("{trace_id=\"a\"}", 0, 1.0),
    ];
    let unknown: &[Sent<'_>] = &[("{trace_id=\"a\"}", 0, 1.0)];
    let answer = write_v2(&world, &[("x", true, many), ("nowhere", false, unknown)]).await;
    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::NO_CONTENT, String::new())
    );
    assert_eq!(written(&answer), "1");
    let page = world.get("/metrics").await.text();
    for (reason, count) in [("labels", 2), ("future", 1), ("unknown_series", 1)] {
        let line = format!("meshtide_write_refused_exemplars_total{{reason=\"{reason}\"}} {count}\n");
        assert!(page.contains(&line), "no {line:?} in {page}");
    }
}

#[tokio::test]
async fn exemplars_of_a_replica_that_is_not_elected_are_left_out_and_counted_as_written() {
    let world = World::new();
    let series = |replica: &str| format!("x{{cluster=\"c\",__replica__=\"{replica}\"}}");
    let of = |trace: &'static str| -> [Sent<'static>; 1] { [(trace, 0, 1.0)] };
    let (a, b) = (of("{trace_id=\"a\"}"), of("{trace_id=\"b\"}"));
    assert_eq!(written(&write_v2(&world, &[(&series("a"), true, &a)]).await), "1");
    let answer = write_v2(&world, &[(&series("b"), false, &b)]).await;
    assert_eq!((answer.status, written(&answer)), (StatusCode::ACCEPTED, "1"));
    let found = exemplars(&world, "x").await;
    assert_eq!(found[0]["exemplars"][0]["labels"]["trace_id"], "a", "{found}");
    assert_eq!(found[0]["seriesLabels"], json!({"__name__": "x", "cluster": "c"}));
}

#[tokio::test]
async fn otlp_exemplars_go_to_the_bucket_they_fall_into() {
    let world = World::new();
    let nanoseconds = |ms: i64| format!("{}000000", NOW_MS + ms);
    let exemplar = |ms: i64, value: f64, trace: &str| {
        json!({
            "timeUnixNano": nanoseconds(ms), "asDouble": value, "traceId": trace.repeat(32), "spanId": "ABCDEF0123456789",
            "filteredAttributes": [{"key": "user", "value": {"stringValue": "u"}}],
        })
    };
    let histogram = json!({
        "name": "latency", "unit": "s",
        "histogram": {"aggregationTemporality": 2, "dataPoints": [{
            "timeUnixNano": nanoseconds(0), "count": "3", "sum": 6.5,
            "bucketCounts": ["1", "1", "1"], "explicitBounds": [1.0, 2.0],
            "exemplars": [exemplar(0, 5.0, "c"), exemplar(-1, 2.0, "b"), exemplar(-2, 0.5, "a")],
        }]},
    });
    let sum = json!({
        "name": "requests",
        "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{
            "timeUnixNano": nanoseconds(0), "asInt": "7", "exemplars": [exemplar(1, 1.0, "e"), exemplar(0, 1.0, "d")],
        }]},
    });
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [histogram, sum]}]}]});
    for _ in 0..2 {
        let request = Request::post("/v1/metrics")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "{}".to_owned()));
    }
    let found = exemplars(&world, "{__name__=~\"latency.*|requests.*\"}").await;
    let found = found.as_array().unwrap();
    let shown: Vec<(String, Vec<&str>)> = found
        .iter()
        .map(|series| {
            let labels = &series["seriesLabels"];
            let text = format!("{} {}", labels["__name__"], labels["le"]);
            let traces = series["exemplars"].as_array().unwrap().iter();
            let traces = traces.map(|one| &one["labels"]["trace_id"].as_str().unwrap()[..1]);
            (text, traces.collect())
        })
        .collect();
    let expected = [
        (r#""latency_seconds_bucket" "+Inf""#.to_owned(), vec!["c"]),
        (r#""latency_seconds_bucket" "1""#.to_owned(), vec!["a"]),
        (r#""latency_seconds_bucket" "2""#.to_owned(), vec!["b"]),
        (r#""requests_total" null"#.to_owned(), vec!["d", "e"]),
    ];
    assert_eq!(shown, expected);
    assert_eq!(
        found[0]["exemplars"][0]["labels"],
        json!({"span_id": "abcdef0123456789", "trace_id": "c".repeat(32), "user": "u"})
    );
}
