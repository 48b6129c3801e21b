//! The query API through the router: values, errors, parameters.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;
use server::Config;

use crate::support::{NOW_MS, World, encoded};

/// A world with a few series, one of them a histogram.
async fn world() -> World {
    let world = World::new();
    let answer = world
        .write_v1(&[
            (
                "up{job=\"a\",instance=\"1\"}",
                &[(-30_000, 1.0), (-15_000, 0.0), (0, 1.0)],
            ),
            (
                "up{job=\"b\",instance=\"2\"}",
                &[(-30_000, 1.0), (-15_000, 1.0), (0, 1.0)],
            ),
            ("lat_bucket{le=\"1\"}", &[(0, 1.0)]),
            ("lat_bucket{le=\"+Inf\"}", &[(0, 2.0)]),
        ])
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    world
}

#[tokio::test]
async fn each_type_of_value_has_its_shape() {
    let world = world().await;
    let now = NOW_MS / 1000;
    let check = async |path: &str, expected: serde_json::Value| {
        assert_eq!(world.data(&format!("/api/v1/{path}")).await, expected, "{path}");
    };
    check(
        "query?query=1+1&time=4",
        json!({"resultType": "scalar", "result": [4, "2"]}),
    )
    .await;
    check(
        "query?query=1e-7&time=1.0005",
        json!({"resultType": "scalar", "result": [1, "0.0000001"]}),
    )
    .await;
    check(
        "query?query=\"a\"&time=1.5",
        json!({"resultType": "string", "result": [1.5, "a"]}),
    )
    .await;
    check(
        "query?query=up{job=\"a\"}",
        json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "instance": "1", "job": "a"}, "value": [now, "1"]},
        ]}),
    )
    .await;
    check("query?query=nope", json!({"resultType": "vector", "result": []})).await;
    check(
        "query?query=up{job=\"a\"}[20s]",
        json!({"resultType": "matrix", "result": [
            {"metric": {"__name__": "up", "instance": "1", "job": "a"},
             "values": [[now - 15, "0"], [now, "1"]]},
        ]}),
    )
    .await;
    check(
        &format!("query_range?query=sum(up)&start={}&end={now}&step=15s", now - 30),
        json!({"resultType": "matrix", "result": [
            {"metric": {}, "values": [[now - 30, "2"], [now - 15, "1"], [now, "2"]]},
        ]}),
    )
    .await;
}

#[tokio::test]
async fn a_posted_form_and_the_url_are_merged() {
    let world = world().await;
    let request = Request::post("/api/v1/query?stats=all&time=5")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("query=vector%281%29&time=4"))
        .unwrap();
    let json = world.send(request).await.json();
    assert_eq!(json["data"]["result"], json!([{"metric": {}, "value": [4, "1"]}]));
    assert!(json["data"]["stats"]["timings"]["evalTotalTime"].is_number());
    assert!(json["data"]["stats"]["samples"]["totalQueryableSamples"].is_u64());
}

#[tokio::test]
async fn samples_are_counted_by_step_when_all_statistics_are_asked_for() {
    let world = world().await;
    let now = NOW_MS / 1000;
    let range = format!("query=sum(up)&start={}&end={now}&step=15s", now - 15);
    for stats in ["true", "all"] {
        let answer = world
            .get(&format!("/api/v1/query_range?{range}&stats={stats}"))
            .await;
        let samples = answer.json()["data"]["stats"]["samples"].clone();
        let seen = samples["totalQueryableSamplesPerStep"].as_array().cloned();
        let read = samples["samplesReadPerStep"].as_array().cloned();
        if stats == "true" {
            assert_eq!((seen, read), (None, None));
            continue;
        }
        for (steps, total) in [(seen, "totalQueryableSamples"), (read, "samplesRead")] {
            let steps = steps.unwrap();
            assert_eq!((steps.len(), &steps[0][0]), (2, &json!(now - 15)));
            let sum: u64 = steps.iter().map(|step| step[1].as_u64().unwrap()).sum();
            assert_eq!(samples[total], sum);
        }
    }
}

#[tokio::test]
async fn the_type_of_a_result_stands_before_it_and_the_name_before_labels() {
    let world = world().await;
    let text = world.get("/api/v1/query?query=up{job=\"a\"}").await.text();
    assert_eq!(
        text,
        format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{"__name__":"up","instance":"1","job":"a"}},"value":[{},"1"]}}]}}}}"#,
            NOW_MS / 1000
        )
    );
}

/// Requests that Prometheus answers with 400, and its words.
const BAD_REQUESTS: [(&str, &str); 16] = [
    (
        "query_exemplars?query=up&start=5&end=1",
        "end timestamp must not be before start timestamp",
    ),
    (
        "query",
        r#"invalid parameter "query": unknown position: parse error: no expression found in input"#,
    ),
    (
        "query?query=up{",
        r#"invalid parameter "query": 1:4: parse error: unexpected end of input inside braces"#,
    ),
    (
        "query?query=1&time=foo",
        r#"invalid parameter "time": invalid time value for 'time': cannot parse "foo" to a valid timestamp"#,
    ),
    (
        "query?query=1&timeout=x",
        r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#,
    ),
    (
        "query?query=1&limit=-1",
        r#"invalid parameter "limit": limit must be non-negative"#,
    ),
    (
        "query?query=1&lookback_delta=x",
        r#"error parsing lookback delta duration: cannot parse "x" to a valid duration"#,
    ),
    (
        "query_range?query=up[5m]&start=1&end=2&step=1",
        r#"invalid parameter "query": invalid expression type "range vector" for range query, must be Scalar or instant Vector"#,
    ),
    ("series", "no match[] parameter provided"),
    (
        "series?match[]={}",
        r#"invalid parameter "match[]": match[] must contain at least one non-empty matcher"#,
    ),
    (
        "labels?match[]={}",
        "match[] must contain at least one non-empty matcher",
    ),
    (
        "series?match[]=up{",
        r#"invalid parameter "match[]": 1:4: parse error: unexpected end of input inside braces"#,
    ),
    (
        "labels?start=x",
        r#"invalid parameter "start": invalid time value for 'start': cannot parse "x" to a valid timestamp"#,
    ),
    ("metadata?limit=x", "limit must be a number"),
    (
        "rules?type=x",
        r#"invalid parameter "type": not supported value "x""#,
    ),
    (
        "query_exemplars?query=x{",
        "1:3: parse error: unexpected end of input inside braces",
    ),
];

#[tokio::test]
async fn errors_have_the_words_of_prometheus() {
    let world = world().await;
    for (path, error) in BAD_REQUESTS {
        let answer = world.get(&format!("/api/v1/{path}")).await;
        assert_eq!(
            answer.json(),
            json!({"status": "error", "errorType": "bad_data", "error": error}),
            "{path}"
        );
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let conflict = world.get("/api/v1/query?query=up == on() up").await;
    assert_eq!(conflict.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(conflict.json()["errorType"], "execution");
}

#[tokio::test]
async fn series_and_labels_are_listed() {
    let world = world().await;
    let check = async |path: &str, expected: serde_json::Value| {
        assert_eq!(world.data(&format!("/api/v1/{path}")).await, expected, "{path}");
    };
    check("labels", json!(["__name__", "instance", "job", "le"])).await;
    check("labels?match[]=up", json!(["__name__", "instance", "job"])).await;
    check(
        "labels?match[]=up&match[]={le=~\".%2B\"}",
        json!(["__name__", "instance", "job", "le"]),
    )
    .await;
    check("label/__name__/values", json!(["lat_bucket", "up"])).await;
    check(
        "label/__name__/values?start=0&end=1.7e9",
        json!(["lat_bucket", "up"]),
    )
    .await;
    check("label/job/values?match[]=up{instance=\"2\"}", json!(["b"])).await;
    check("label/U__job/values", json!(["a", "b"])).await;
    check("label/nope/values", json!([])).await;
    check(
        "series?match[]=up{job=\"a\"}&match[]=up{instance=\"1\"}",
        json!([{"__name__": "up", "instance": "1", "job": "a"}]),
    )
    .await;
    check("series?match[]=up&start=1&end=2", json!([])).await;
    let answer = world
        .get("/api/v1/series?match[]={__name__=~\".%2B\"}&limit=3")
        .await
        .json();
    assert_eq!(answer["data"].as_array().unwrap().len(), 3);
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));
    let answer = world.get("/api/v1/query?query=up&limit=1").await.json();
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));
}

#[tokio::test]
async fn grafana_s_probes_are_answered() {
    let world = world().await;
    assert_eq!(
        world.data("/api/v1/query?query=1%2B1&time=4").await["result"],
        json!([4, "2"])
    );
    assert_eq!(
        world
            .data("/api/v1/query_exemplars?query=test&start=1700000000000&end=1700000001000")
            .await,
        json!([])
    );
    let none = world.get("/api/v1/query_exemplars?query=1").await;
    assert_eq!((none.status, none.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(world.data("/api/v1/rules").await, json!({"groups": []}));
    assert_eq!(world.data("/api/v1/alerts").await, json!({"alerts": []}));
    let build = world.data("/api/v1/status/buildinfo").await;
    assert!(build.get("features").is_none() && build.get("application").is_none());
    assert!(
        build
            .as_object()
            .unwrap()
            .values()
            .all(serde_json::Value::is_string)
    );
}

#[tokio::test]
async fn kiali_s_questions_about_the_server_are_answered() {
    let mut config = Config {
        config_yaml: "global:\n  scrape_interval: 15s\n".into(),
        ..Config::default()
    };
    config.process.retention = "15d".into();
    config.flags.insert("web.max-connections".into(), "512".into());
    let world = World::with(config);
    let info = world.data("/api/v1/status/runtimeinfo").await;
    assert_eq!(info["storageRetention"], "15d");
    assert_eq!(info["serverTime"], "2023-11-14T22:13:20Z");
    assert_eq!(info["reloadConfigSuccess"], true);
    for number in ["corruptionCount", "goroutineCount", "GOMAXPROCS"] {
        assert!(info[number].is_u64(), "{number}: {info}");
    }
    assert_eq!(
        world.data("/api/v1/status/config").await,
        json!({"yaml": "global:\n  scrape_interval: 15s\n"})
    );
    assert_eq!(
        world.data("/api/v1/status/flags").await,
        json!({"web.max-connections": "512"})
    );
}

#[tokio::test]
async fn paths_and_methods_that_are_none_are_answered_as_in_prometheus() {
    let world = world().await;
    let check = async |method: Method, path: &str, status: u16, text: &str| {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text().as_str()),
            (status, text),
            "{method} {path}"
        );
    };
    assert!(world.get("/").await.text().contains("Grafana"));
    check(Method::GET, "/nope", 404, "404 page not found\n").await;
    check(Method::GET, "/api/v1/nope", 404, "404 page not found\n").await;
    check(
        Method::POST,
        "/api/v1/label/a/values",
        405,
        "Method Not Allowed\n",
    )
    .await;
    check(Method::GET, "/api/v1/write", 405, "Method Not Allowed\n").await;
    check(Method::POST, "/-/healthy", 405, "Method Not Allowed\n").await;
    check(Method::HEAD, "/-/healthy", 200, "").await;
    check(Method::GET, "//-/healthy", 200, "Meshtide is Healthy.\n").await;
    check(Method::GET, "/-/ready", 200, "Meshtide is Ready.\n").await;
    check(Method::OPTIONS, "/api/v1/query", 204, "").await;
    check(
        Method::POST,
        "/api/v1/read",
        501,
        r#"{"status":"error","errorType":"unavailable","error":"/api/v1/read is not implemented in this version"}"#,
    )
    .await;
}

#[tokio::test]
async fn a_server_that_recovers_says_so_and_one_that_stops_too() {
    let world = World::closed(Config::default());
    assert_eq!(world.get("/-/healthy").await.status, StatusCode::OK);
    assert_eq!(world.get("/api/v1/status/buildinfo").await.status, StatusCode::OK);
    for path in [
        "/-/ready",
        "/api/v1/query?query=1",
        "/federate",
        "/api/v1/labels",
        "/api/v1/series",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.text(), "Service Unavailable");
        assert_eq!(answer.header("x-prometheus-stopping"), Some("false"));
    }
    assert!(
        world
            .get("/metrics")
            .await
            .text()
            .contains("\nmeshtide_ready 0\n")
    );
    world.open(storage::StoreConfig::default());
    assert_eq!(world.get("/-/ready").await.status, StatusCode::OK);
    assert!(
        world
            .get("/metrics")
            .await
            .text()
            .contains("\nmeshtide_ready 1\n")
    );
    world.server.announce_stop();
    let answer = world.get("/-/ready").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("x-prometheus-stopping"), Some("true"));
    assert_eq!(world.get("/api/v1/query?query=1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_origin_may_read_the_api() {
    let world = world().await;
    let request = Request::get("/api/v1/query?query=up{")
        .uri(encoded("/api/v1/query?query=up{"))
        .header("origin", "http://console")
        .body(Body::empty())
        .unwrap();
    let answer = world.send(request).await;
    for (name, value) in [
        ("access-control-allow-origin", "http://console"),
        ("access-control-allow-methods", "GET, POST, OPTIONS"),
        (
            "access-control-allow-headers",
            "Accept, Authorization, Content-Type, Origin",
        ),
        ("access-control-expose-headers", "Date"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(
        world
            .get("/api/v1/labels")
            .await
            .header("access-control-allow-origin"),
        None
    );
    assert_eq!(world.get("/-/ready").await.header("vary"), None);
}

#[tokio::test]
async fn own_metrics_are_an_exposition_that_prometheus_can_read() {
    let world = world().await;
    let page = world.get("/metrics").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = page.text();
    let parser = wire::exposition::Parser::new(&text, wire::exposition::Dialect::Text);
    let mut names = Vec::new();
    for event in parser {
        if let wire::exposition::Event::Type { metric_name, .. } = event.unwrap() {
            names.push(metric_name.to_string());
        }
    }
    let n_names = names.len();
    assert!(n_names > 25, "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), n_names, "a family stands twice");
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("meshtide_") || name.starts_with("process_"))
    );
    assert!(text.contains("\nmeshtide_head_series 4\n"), "{text}");
    assert!(
        text.contains("\nmeshtide_store_appended_samples_total 8\n"),
        "{text}"
    );
}

#[tokio::test]
async fn queries_are_laid_out_and_taken_apart() {
    let world = world().await;
    let check = async |path: &str, expected: serde_json::Value| {
        assert_eq!(world.data(&format!("/api/v1/{path}")).await, expected, "{path}");
    };
    let encoded_query = |text: &str| format!("query={}", encoded(text));
    check(
        &format!(
            "format_query?{}",
            encoded_query("sum  by(b , a)( x{ z!='1',y=\"2\" }) > bool 1h")
        ),
        json!("sum by (b, a) (x{y=\"2\",z!=\"1\"}) > bool 1h"),
    )
    .await;
    let long = "a_name_of_fifty_characters_is_what_fills_lines_best";
    check(
        &format!(
            "format_query?{}",
            encoded_query(&format!("-topk(3,rate({long}[5m])) / ({long})"))
        ),
        json!(format!("  -topk(3, rate({long}[5m]))\n/\n  ({long})")),
    )
    .await;
    check(
        &format!("parse_query?{}", encoded_query("a{b='c'}[5m] @ end() offset -1h")),
        json!({
            "type": "matrixSelector", "name": "a", "range": 300_000, "rangeExpr": null, "offset": -3_600_000,
            "offsetExpr": null, "timestamp": null, "startOrEnd": "end", "anchored": false, "smoothed": false,
            "matchers": [
                {"name": "b", "type": "=", "value": "c"}, {"name": "__name__", "type": "=", "value": "a"},
            ],
        }),
    )
    .await;
    let selector = |name: &str| {
        json!({
            "type": "vectorSelector", "name": name, "offset": 0, "offsetExpr": null, "timestamp": null,
            "startOrEnd": null, "anchored": false, "smoothed": false,
            "matchers": [{"name": "__name__", "type": "=", "value": name}],
        })
    };
    check(
        &format!("parse_query?{}", encoded_query("round(a) * on(x) group_left(y) b")),
        json!({
            "type": "binaryExpr", "op": "*", "bool": false, "rhs": selector("b"),
            "lhs": {
                "type": "call", "args": [selector("a")],
                "func": {"name": "round", "argTypes": ["vector", "scalar"], "variadic": 1, "returnType": "vector"},
            },
            "matching": {
                "card": "many-to-one", "labels": ["x"], "on": true, "include": ["y"],
                "fillValues": {"lhs": null, "rhs": null},
            },
        }),
    )
    .await;
    let bad = world.get("/api/v1/parse_query?query=sum(").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        bad.json()["error"],
        "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"
    );
}

#[tokio::test]
async fn a_query_tells_what_its_operators_did_when_asked() {
    let world = world().await;
    let now = NOW_MS / 1000;
    let plain = world.data("/api/v1/query?query=up").await;
    assert!(plain.get("explain").is_none());
    let leaf = &world.data("/api/v1/query?query=sum(up)&explain=1").await["explain"];
    assert_eq!(leaf["operator"], "ScanAggregateExec");
    assert_eq!((&leaf["series"], &leaf["samplesRead"]), (&json!(1), &json!(2)));
    let path = format!(
        "/api/v1/query_range?query=abs(up)&start={}&end={now}&step=15&explain=1",
        now - 15
    );
    let map = &world.data(&path).await["explain"];
    assert_eq!((&map["operator"], &map["series"]), (&json!("MapExec"), &json!(2)));
    assert!(map.get("samplesRead").is_none());
    assert!(map["busySeconds"].as_f64() > Some(0.0) && map["peakBytes"].is_u64());
    let scan = &map["inputs"][0];
    assert_eq!(scan["operator"], "ScanExec");
    assert_eq!(
        (&scan["samplesRead"], &scan["samplesQueryable"]),
        (&json!(6), &json!(4))
    );
    assert_eq!(scan["inputs"], json!([]));
}

#[tokio::test]
async fn limits_of_a_request_end_as_in_prometheus() {
    let world = world().await;
    let check = async |parameters: &str, status: u16, kind: &str, message: &str| {
        let answer = world.get(&format!("/api/v1/query?{parameters}")).await;
        assert_eq!(answer.status.as_u16(), status, "{parameters}: {}", answer.text());
        let json = answer.json();
        assert_eq!(
            (&json["errorType"], &json["error"]),
            (&json!(kind), &json!(message))
        );
    };
    for timeout in ["0", "-1", "NaN"] {
        let parameters = format!("query=up&timeout={timeout}");
        check(&parameters, 503, "timeout", "query timed out in query execution").await;
    }
    let unclosed = "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis";
    check("query=sum(&timeout=0", 400, "bad_data", unclosed).await;
    let nothing = world.data("/api/v1/query?query=up&lookback_delta=0.0001").await;
    assert_eq!(nothing["result"], json!([]));
    let cut = world.get("/api/v1/query?query=up&limit=1&stats=yes").await.json();
    assert_eq!(cut["data"]["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(cut["warnings"][0], "results truncated due to limit");
    assert!(
        cut["warnings"][1]
            .as_str()
            .unwrap()
            .starts_with("value \"yes\" for parameter \"stats\"")
    );
}
