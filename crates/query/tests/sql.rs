//! SQL over a source in memory: what is answered, and what is read for it.

mod support;

use model::{Labels, stale_nan};
use query::{Engine, QueryRequest, Value};
use support::ask_sql::{END_MS, ask, mesh, one, open, refused, stats, try_ask};
use support::memory::MemorySource;
use support::mesh::N_SCRAPES;

/// Edges of the small mesh, each seen from two sides.
const N_EDGES: u64 = 24;

/// Labels and samples of one series.
type Given<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

fn source(series: &[Given<'_>]) -> MemorySource {
    let mut source = MemorySource::default();
    for (labels, samples) in series {
        let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
        source.add(&labels, samples.iter().copied());
    }
    source
}

async fn promql(engine: &Engine, text: &str) -> f64 {
    let result = engine.query(QueryRequest::instant(text, END_MS)).await.unwrap();
    match result.value {
        Value::Vector(series) => series.points(0).next().unwrap().1,
        other => panic!("{text}: {other:?}"),
    }
}

#[tokio::test]
async fn tables_are_samples_series_and_every_metric() {
    let engine = mesh();
    let tables = ask(
        &engine,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
    )
    .await;
    let names: Vec<&str> = tables.iter().map(|row| row[0].as_str()).collect();
    assert!(
        names.contains(&"samples") && names.contains(&"series"),
        "{names:?}"
    );
    assert!(names.contains(&"istio_request_bytes_bucket"), "{names:?}");
    let shown = ask(&engine, "SHOW TABLES").await;
    assert!(shown.len() > names.len());
    let columns = ask(&engine, "DESCRIBE istio_request_bytes_bucket").await;
    let names: Vec<&str> = columns.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names[..3], ["timestamp", "value", "series_id"]);
    assert!(names.contains(&"le") && names.contains(&"destination_workload") && !names.contains(&"__name__"));
}

#[tokio::test]
async fn a_metric_is_a_table_with_its_labels_as_columns() {
    let engine = mesh();
    let rows = ask(
        &engine,
        "SELECT timestamp, value, source_app, destination_app FROM istio_requests_total \
         WHERE destination_app = 'ratings' AND reporter = 'source' AND source_app <> 'reviews' \
         AND timestamp > now() - interval '30 seconds' ORDER BY source_app, timestamp",
    )
    .await;
    let expected = [
        ["1970-01-01T00:09:30Z", "570.0", "details", "ratings"],
        ["1970-01-01T00:09:45Z", "585.0", "details", "ratings"],
        ["1970-01-01T00:09:30Z", "114.0", "productpage", "ratings"],
        ["1970-01-01T00:09:45Z", "117.0", "productpage", "ratings"],
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn sums_and_counts_are_those_of_promql() {
    let engine = mesh();
    for (sql, query) in [
        (
            "SELECT count(*)::double FROM istio_requests_total WHERE timestamp > now() - interval '5 minutes'",
            "sum(count_over_time(istio_requests_total[5m]))",
        ),
        (
            "SELECT sum(value) FROM istio_requests_total \
             WHERE timestamp > now() - interval '5 minutes' AND response_code = '503'",
            r#"sum(sum_over_time(istio_requests_total{response_code="503"}[5m]))"#,
        ),
        (
            "SELECT sum(value) FROM samples WHERE metric LIKE 'istio_%_bucket' AND timestamp = now()",
            r#"sum({__name__=~"istio_.*_bucket"})"#,
        ),
        (
            "SELECT count(*)::double FROM series WHERE labels['le'] = '+Inf'",
            r#"count({le="+Inf"})"#,
        ),
        (
            "SELECT sum(last) FROM (SELECT last_value(value ORDER BY timestamp) AS last \
             FROM istio_request_bytes_count GROUP BY series_id)",
            "sum(istio_request_bytes_count)",
        ),
        (
            "SELECT avg(value) FROM istio_requests_total WHERE source_app IN ('reviews', 'ratings') \
             AND timestamp = now()",
            r#"avg(istio_requests_total{source_app=~"reviews|ratings"})"#,
        ),
    ] {
        let found: f64 = one(&engine, sql).await.parse().unwrap();
        let expected = promql(&engine, query).await;
        assert!(
            (found - expected).abs() <= expected.abs() * 1e-12,
            "{sql}: {found}, not {expected}"
        );
    }
}

#[tokio::test]
async fn only_streams_that_pass_are_read() {
    let engine = mesh();
    let all = stats(&engine, "SELECT count(value) FROM samples").await;
    assert_eq!(all.streams_read, N_EDGES * 6);
    for (condition, streams) in [
        ("reporter = 'source'", N_EDGES / 2),
        ("reporter = 'source' AND response_code = '503'", 3),
        ("'503' = response_code", 6),
        ("response_code != '503'", N_EDGES - 6),
        ("source_app IN ('reviews', 'ratings')", N_EDGES / 2),
        ("source_app IN ('a', 'b', 'c', 'd', 'reviews')", N_EDGES / 4),
        (
            "source_app NOT IN ('a', 'b', 'c', 'd', 'reviews')",
            N_EDGES * 3 / 4,
        ),
        ("source_app = 'reviews' OR source_app = 'ratings'", N_EDGES / 2),
        ("source_app ~ '^r'", N_EDGES / 2),
        ("source_app !~ '^r'", N_EDGES / 2),
        ("source_app ~ 'tings|tails'", N_EDGES / 2),
        ("source_app LIKE 'r%'", N_EDGES / 2),
        ("source_app NOT LIKE 'r%'", N_EDGES / 2),
        // No matcher says these, and still no other sample is read.
        ("upper(source_app) = 'REVIEWS'", N_EDGES / 4),
        ("source_app = destination_app", 0),
        ("length(source_app) > 7 AND reporter = 'source'", 3),
        ("source_app ILIKE 'REV%'", N_EDGES / 4),
        ("source_app ~ '\\d'", 0),
        ("timestamp > now() + interval '1 hour'", 0),
        ("timestamp > now() AND timestamp < now()", 0),
    ] {
        let text = format!("SELECT count(value) FROM istio_requests_total WHERE {condition}");
        let stats = stats(&engine, &text).await;
        assert_eq!(stats.streams_read, streams, "{condition}");
        assert_eq!(stats.samples_read, streams * N_SCRAPES as u64, "{condition}");
    }
}

#[tokio::test]
async fn matchers_keep_other_series_from_being_listed() {
    let engine = mesh();
    for (condition, series) in [
        ("metric = 'istio_requests_total'", N_EDGES),
        (
            "metric IN ('istio_requests_total', 'istio_request_bytes_sum')",
            N_EDGES * 2,
        ),
        ("metric LIKE 'istio\\_requests%'", N_EDGES * (3 + 3 * 7)),
        ("metric LIKE 'istio_requests%'", N_EDGES),
        ("metric ~ '^istio_request_(bytes|x)_count$'", N_EDGES),
    ] {
        let stats = stats(
            &engine,
            &format!("SELECT count(value) FROM samples WHERE {condition}"),
        )
        .await;
        assert_eq!(stats.series_selected, series, "{condition}");
    }
    let some = stats(
        &engine,
        "SELECT metric FROM series WHERE labels['le'] = '100' AND labels['pod'] IS NOT NULL",
    );
    let some = some.await;
    assert_eq!((some.series_selected, some.streams_read), (N_EDGES * 3, 0));
}

#[tokio::test]
async fn the_range_of_time_is_read_and_no_more() {
    let engine = mesh();
    for (condition, samples) in [
        ("timestamp > now() - interval '1 minute'", 4),
        ("timestamp >= now() - interval '1 minute'", 5),
        ("timestamp <= '1970-01-01T00:01:00Z'", 5),
        ("timestamp < '1970-01-01T00:01:00Z'", 4),
        ("timestamp = '1970-01-01T00:01:00Z'", 1),
        (
            "timestamp BETWEEN '1970-01-01T00:01:00Z' AND '1970-01-01T00:02:00Z'",
            5,
        ),
        (
            "'1970-01-01T00:01:00Z' < timestamp AND timestamp <= '1970-01-01T00:02:00Z'",
            4,
        ),
    ] {
        let text = format!("SELECT count(value) FROM istio_requests_total WHERE {condition}");
        let (rows, stats) = try_ask(&engine, &text).await.unwrap();
        assert_eq!(stats.samples_read, N_EDGES * samples, "{condition}");
        assert_eq!(rows[0][0], (N_EDGES * samples).to_string(), "{condition}");
    }
}

#[tokio::test]
async fn conditions_mean_the_same_before_and_after_reading() {
    let engine = mesh();
    for condition in [
        "source_app = 'reviews'",
        "source_app != 'reviews'",
        "source_app = ''",
        "source_app IS NULL",
        "source_app IS NOT NULL",
        "NOT (source_app = 'reviews' OR destination_app LIKE '%t%')",
        "source_app LIKE '_e%s'",
        "source_app LIKE '%\\%%'",
        "source_app ~ 'r.*s'",
        "source_app !~ 'r.*s'",
        "source_app ~ '^(?i)REV'",
        "source_app ~* 'REV'",
        "source_app > 'q'",
        "source_app BETWEEN 'p' AND 'rb'",
        "CASE WHEN reporter = 'source' THEN source_app ELSE destination_app END = 'reviews'",
        "timestamp > '1970-01-01T00:05:00Z' OR source_app = 'reviews'",
        "value > 100 AND source_app = 'reviews'",
        "value > 100 OR source_app = 'reviews'",
        "timestamp >= '1970-01-01T00:05:00.0005Z'",
        "source_app IN (SELECT 'reviews')",
        "source_app = (SELECT max(labels['source_app']) FROM series)",
        "date_trunc('minute', timestamp) = '1970-01-01T00:05:00Z'",
    ] {
        let before = format!("SELECT count(*) FROM istio_requests_total WHERE {condition}");
        let after = format!(
            "WITH rows AS (SELECT *, row_number() OVER () AS n FROM istio_requests_total) \
             SELECT count(*) FROM rows WHERE n > 0 AND ({condition})"
        );
        assert_eq!(
            one(&engine, &before).await,
            one(&engine, &after).await,
            "{condition}"
        );
    }
}

#[tokio::test]
async fn joins_read_what_their_other_side_left_over() {
    let engine = mesh();
    let text = "SELECT s.labels['source_app'] AS app, max(value) AS top FROM samples \
                JOIN series s USING (series_id) \
                WHERE s.metric = 'istio_requests_total' AND s.labels['response_code'] = '503' \
                GROUP BY 1 ORDER BY 1";
    let (rows, stats) = try_ask(&engine, text).await.unwrap();
    assert_eq!(
        rows,
        [
            ["details", "585.0"],
            ["productpage", "117.0"],
            ["reviews", "273.0"]
        ]
    );
    assert_eq!(stats.streams_read, 6);
}

#[tokio::test]
async fn an_absent_label_is_the_empty_text_as_in_promql() {
    let engine = open(source(&[
        (&[("__name__", "x"), ("a", "1"), ("b", "2")], &[(0, 1.0)]),
        (&[("__name__", "x"), ("a", "1")], &[(0, 2.0)]),
        (&[("__name__", "x")], &[(0, 4.0)]),
    ]));
    for (condition, sum) in [
        ("b = ''", "6.0"),
        ("b != '2'", "6.0"),
        ("b != ''", "1.0"),
        ("b IS NULL", "NULL"),
        ("b NOT IN ('2', '3', '4', '5')", "6.0"),
        ("b IN ('2', '')", "7.0"),
        ("b !~ '2'", "6.0"),
    ] {
        let text = format!("SELECT sum(value) FROM x WHERE {condition}");
        assert_eq!(one(&engine, &text).await, sum, "{condition}");
    }
    for (condition, n) in [
        ("labels['b'] IS NULL", "2"),
        ("labels['b'] IS NOT NULL", "1"),
        ("labels['b'] = ''", "0"),
        ("labels['b'] != '2'", "0"),
        ("coalesce(labels['b'], '') != '2'", "2"),
        ("labels['__name__'] IS NULL", "3"),
    ] {
        let text = format!("SELECT count(*) FROM series WHERE {condition}");
        assert_eq!(one(&engine, &text).await, n, "{condition}");
    }
}

#[tokio::test]
async fn staleness_markers_are_no_rows_and_nan_is_one() {
    let engine = open(source(&[(
        &[("__name__", "x")],
        &[
            (0, 1.0),
            (1, stale_nan()),
            (2, f64::NAN),
            (3, f64::INFINITY),
            (4, -0.0),
        ],
    )]));
    let rows = ask(&engine, "SELECT value FROM x").await;
    assert_eq!(rows, [["1.0"], ["NaN"], ["inf"], ["-0.0"]]);
    assert_eq!(one(&engine, "SELECT count(*) FROM samples").await, "4");
}

#[tokio::test]
async fn names_of_all_kinds_can_be_asked_for() {
    let engine = open(source(&[
        (
            &[("__name__", "ALERTS"), ("alertName", "a"), ("alertname", "b")],
            &[(0, 1.0)],
        ),
        (
            &[
                ("__name__", "job:rate5m"),
                ("http.method", "GET"),
                ("größe", "\"x\""),
            ],
            &[(0, 2.0)],
        ),
        (&[("__name__", "series"), ("a", "1")], &[(0, 3.0)]),
        (
            &[
                ("__name__", "clash"),
                ("value", "v"),
                ("timestamp", "t"),
                ("label_value", "w"),
            ],
            &[(0, 4.0)],
        ),
        (
            &[("__name__", "x; DROP TABLE samples; --"), ("a\"b", "c'd")],
            &[(0, 5.0)],
        ),
        (&[("__name__", "温度"), ("select", "1")], &[(0, 6.0)]),
    ]));
    for (text, expected) in [
        ("SELECT \"alertName\", alertname FROM ALERTS", vec!["a", "b"]),
        ("SELECT alertName FROM ALERTS WHERE alertName = 'a'", vec!["a"]),
        (
            "SELECT \"http.method\", größe FROM \"job:rate5m\"",
            vec!["GET", "\"x\""],
        ),
        ("SELECT value FROM metrics.series", vec!["3.0"]),
        (
            "SELECT metric FROM series WHERE metric = 'series'",
            vec!["series"],
        ),
        (
            "SELECT value, label_timestamp, label_value, label_label_value FROM clash",
            vec!["4.0", "t", "w", "v"],
        ),
        (
            "SELECT \"a\"\"b\" FROM \"x; DROP TABLE samples; --\"",
            vec!["c'd"],
        ),
        (
            "SELECT value FROM \"x; DROP TABLE samples; --\" WHERE \"a\"\"b\" = 'c''d'",
            vec!["5.0"],
        ),
        ("SELECT \"select\", value FROM 温度", vec!["1", "6.0"]),
        ("SELECT COUNT(*), Max(value) FROM samples", vec!["6", "6.0"]),
    ] {
        assert_eq!(ask(&engine, text).await, [expected], "{text}");
    }
}

#[tokio::test]
async fn the_id_of_a_series_follows_from_its_labels() {
    let question = "SELECT series_id FROM series WHERE metric = 'x' AND labels['b'] = '2'";
    let alone = open(source(&[(
        &[("__name__", "x"), ("a", "1"), ("b", "2")],
        &[(0, 1.0)],
    )]));
    let among = open(source(&[
        (&[("__name__", "w"), ("z", "1")], &[(0, 1.0)]),
        (&[("__name__", "x"), ("a", "2")], &[(0, 1.0)]),
        (&[("b", "2"), ("a", "1"), ("__name__", "x")], &[(0, 1.0)]),
    ]));
    let alone = one(&alone, question).await;
    assert_eq!(alone, one(&among, question).await);
    assert_eq!(alone.len(), 16);
    let engine = mesh();
    let n = one(&engine, "SELECT count(DISTINCT series_id) FROM series").await;
    assert_eq!(n, one(&engine, "SELECT count(*) FROM series").await);
    let same = "SELECT count(*) FROM (SELECT DISTINCT series_id FROM samples INTERSECT SELECT series_id FROM series)";
    assert_eq!(n, one(&engine, same).await);
}

#[tokio::test]
async fn what_is_expected_of_sql_is_there() {
    let engine = mesh();
    for text in [
        "SELECT date_bin(interval '1 minute', timestamp), avg(value) FROM istio_requests_total GROUP BY 1 ORDER BY 1",
        "SELECT date_trunc('minute', timestamp), approx_percentile_cont(value, 0.9) FROM istio_requests_total GROUP BY 1",
        "SELECT source_app, lag(value) OVER (PARTITION BY series_id ORDER BY timestamp) FROM istio_requests_total",
        "SELECT split_part(destination_service, '.', 2), regexp_replace(source_app, 'e', 'E') FROM istio_requests_total",
        "SELECT labels['pod'], map_keys(labels) FROM series LIMIT 3",
        "SELECT array_agg(DISTINCT source_app ORDER BY source_app) FROM istio_requests_total",
        "SELECT * FROM istio_requests_total ORDER BY value DESC, series_id LIMIT 5",
        "SELECT to_unixtime(timestamp), extract(minute FROM timestamp) FROM samples LIMIT 1",
        "EXPLAIN SELECT * FROM istio_requests_total WHERE reporter = 'source'",
        "EXPLAIN ANALYZE SELECT count(*) FROM samples",
        "SELECT * FROM generate_series(1, 3)",
    ] {
        assert!(!ask(&engine, text).await.is_empty(), "{text}");
    }
    let limited = stats(&engine, "SELECT * FROM samples LIMIT 5").await;
    assert!(limited.streams_read <= 8, "{limited:?}");
}

#[tokio::test]
async fn mistakes_are_told_with_their_place_and_what_may_be_meant() {
    let engine = mesh();
    let check = |text: &'static str, parts: &'static [&'static str]| {
        let engine = &engine;
        async move {
            let message = refused(engine, text).await;
            for part in parts {
                assert!(message.contains(part), "{text}: {message}");
            }
        }
    };
    check("SELECT *\nFROM up down sideways", &["2:14: ", "sideways"]).await;
    check(
        "SELECT sourceapp FROM istio_requests_total",
        &["1:8: ", "sourceapp"],
    )
    .await;
    check(
        "SELECT * FROM istio_request_total",
        &["did you mean istio_requests_total?"],
    )
    .await;
    check("SELECT * FROM istio_request_bytes", &["istio_request_bytes_sum"]).await;
    check("SELECT nothing(1)", &["nothing"]).await;
    check(
        "SELECT * FROM samples WHERE timestamp > 'yesterday'",
        &["yesterday"],
    )
    .await;
    check(
        "INSERT INTO samples VALUES (1)",
        &["INSERT is refused", "read-only"],
    )
    .await;
    check("WITH a AS (INSERT INTO samples SELECT 1) SELECT * FROM a", &[]).await;
    check("SELECT * INTO x FROM samples", &[]).await;
    check("SELECT * FROM '/etc/passwd'", &["/etc/passwd"]).await;
}
