//! A real Prometheus scrapes exemplars, keeps them itself and writes them to Meshtide, by remote write 1.0 and 2.0: all
//! three must answer `/api/v1/query_exemplars` alike, also after Meshtide was killed.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use meshtide_tests::clock::now_s;
use meshtide_tests::exposition::{Exposition, Page};
use meshtide_tests::load::{Request, Series};
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use serde_json::Value;

/// How long exemplars are collected, one scrape a second.
const SCRAPED: Duration = Duration::from_secs(25);

/// What is asked: expressions of every shape that has selectors, and some that have none or are wrong.
const QUERIES: &[&str] = &[
    "{__name__=~\".+\"}",
    "requests_total",
    "requests_total{path!=\"/\"}",
    "requests_total{path=~\"/sp.*\"} offset 5m",
    "rate(requests_total[5m] @ end())",
    "histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[5m])))",
    "latency_seconds_bucket{le=\"+Inf\"}",
    "requests_total + on () group_left () requests_total{path=\"/\"}",
    "topk(scalar(odd_total{kind=\"infinite\"}), requests_total) or vector(1)",
    "max_over_time(sum(requests_total)[5m:1m])",
    "-(odd_total)",
    "odd_total",
    "latency_seconds_sum",
    "up",
    "nothing_of_that_name",
    "1 + 1",
    "\"text\"",
    "time()",
    "vector(1)",
    "requests_total{",
    "sum(requests_total",
    "",
    "requests_total[5m]",
    "requests_total[5m] + 1",
];

#[test]
#[ignore = "needs a real Prometheus: MESHTIDE_PROMETHEUS"]
fn exemplars_are_answered_as_the_prometheus_that_wrote_them_does() -> Result<()> {
    let Some(prometheus) = peers::peer("MESHTIDE_PROMETHEUS") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let exposition = Exposition::of_pages(vec![
        ("/mesh".to_owned(), page(0)),
        ("/other".to_owned(), page(1_000_000)),
    ])?;
    let mut first = start_meshtide(folder.path(), "one")?;
    let second = start_meshtide(folder.path(), "two")?;
    let oracle = start_prometheus(&prometheus, folder.path(), &exposition, [&first, &second])?;
    std::thread::sleep(SCRAPED);

    // Until here everything has arrived everywhere, soon.
    let end_s = now_s()? - 2.0;
    settle(&oracle, &[&first, &second], end_s)?;
    let n_compared = compare(&oracle, &[&first, &second], QUERIES, end_s)?;
    first.kill()?;
    first = start_meshtide(folder.path(), "one")?;
    compare(&oracle, &[&first], QUERIES, end_s).context("after a kill")?;
    println!("{n_compared} answers compared");
    Ok(())
}

/// What is asked of series of which some are native histograms, with all kinds of exemplars.
const QUERIES_OF_NATIVES: &[&str] = &[
    "{__name__=~\".+\"}",
    "crash_total{i=\"3\"}",
    "crash_total{i!~\"3|7\"}",
    "histogram_quantile(0.9, rate(crash_total{i=\"7\"}[5m]))",
    "histogram_count(crash_total) + on () group_left () histogram_sum(crash_total{i=\"3\"})",
];

/// Requests that a Prometheus and a Meshtide get, a second apart: eight series, two of which are native histograms, whose
/// exemplars come late, come twice, or come from before others.
fn requests_with_natives(end_ms: i64) -> Vec<Request> {
    let request = |step: i64| {
        let now_ms = end_ms - 60_000 + step * 1_000;
        let series = (0..8).map(Series);
        let mut request = Request::default();
        for (series, idx) in series.zip(0_i64..) {
            request.samples.push((series, now_ms, step as f64));
            let back_ms = [0, 0, 2_500, 100][(step % 4) as usize] * (idx / 4 + 1);
            for (earlier_ms, value) in [(300, 0.1), (0, step as f64), (0, step as f64), (0, -1.5)] {
                request
                    .exemplars
                    .push((series, now_ms - back_ms - earlier_ms, value));
            }
        }
        request
    };
    (0..50).map(request).collect()
}

#[test]
#[ignore = "needs a real Prometheus: MESHTIDE_PROMETHEUS"]
fn exemplars_of_native_histograms_are_answered_as_a_prometheus_does_that_got_the_same() -> Result<()> {
    let Some(prometheus) = peers::peer("MESHTIDE_PROMETHEUS") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let mut meshtide = start_meshtide(folder.path(), "one")?;
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, "global: {}\n")?;
    let arguments = [
        format!("--config.file={}", file.display()),
        format!(
            "--storage.tsdb.path={}",
            folder.path().join("prometheus").display()
        ),
        "--web.listen-address=127.0.0.1:{port}".to_owned(),
        "--web.enable-remote-write-receiver".to_owned(),
        "--enable-feature=exemplar-storage,native-histograms".to_owned(),
    ];
    let oracle = Server::start(&prometheus, &arguments, &folder.path().join("prometheus.log"))?;
    let end_s = now_s()?.floor();
    for request in requests_with_natives((end_s * 1e3) as i64) {
        for server in [&oracle, &meshtide] {
            let answer = server.client().post("/api/v1/write", &[], &request.body())?;
            ensure!(answer.status / 100 == 2, "{} {}", answer.status, answer.text());
        }
    }
    for query in QUERIES_OF_NATIVES {
        let expected = ask(&oracle, query, 0.0, end_s)?;
        ensure!(exemplars_in(&expected) > 10, "{query}: {expected:?}");
    }
    let n_compared = compare(&oracle, &[&meshtide], QUERIES_OF_NATIVES, end_s)?;
    meshtide.kill()?;
    meshtide = start_meshtide(folder.path(), "one")?;
    compare(&oracle, &[&meshtide], QUERIES_OF_NATIVES, end_s).context("after a kill")?;
    println!("{n_compared} answers compared");
    Ok(())
}

/// Asks every query for several spans of time, by names of all forms of time; the answers have to be the same to the
/// letter.
fn compare(oracle: &Server, servers: &[&Server], queries: &[&str], end_s: f64) -> Result<usize> {
    let (mut n_exemplars, mut n_answers) = (0, 0);
    for query in queries {
        let spans = [
            (0.0, end_s),
            (end_s - 10.0, end_s - 3.0),
            (end_s - 7.5, end_s - 7.0),
            (end_s + 3_600.0, 1e13),
            (end_s, end_s - 10.0),
        ];
        for (start_s, end_s) in spans {
            let expected = ask(oracle, query, start_s, end_s)?;
            n_exemplars += exemplars_in(&expected);
            for server in servers {
                let actual = ask(server, query, start_s, end_s)?;
                if let Some(what) = difference(&expected, &actual) {
                    bail!("{query} from {start_s} to {end_s}: {what}");
                }
                n_answers += 1;
            }
        }
    }
    ensure!(n_exemplars > 500, "only {n_exemplars} exemplars were compared");
    Ok(n_answers)
}

/// A status and a reply.
type Answer = (u16, Value);

fn ask(server: &Server, query: &str, start_s: f64, end_s: f64) -> Result<Answer> {
    let (start, end) = (start_s.to_string(), end_s.to_string());
    let fields = [("query", query), ("start", &start), ("end", &end)];
    let answer = server.client().post_form("/api/v1/query_exemplars", &fields)?;
    let reply = if answer.body.is_empty() {
        Value::Null
    } else {
        answer.json()?
    };
    Ok((answer.status, reply))
}

fn difference(expected: &Answer, actual: &Answer) -> Option<String> {
    if expected.0 != actual.0 {
        return Some(format!("{actual:?} instead of {expected:?}"));
    }
    let (expected_list, actual_list) = (&expected.1["data"], &actual.1["data"]);
    let (Some(expected_list), Some(actual_list)) = (expected_list.as_array(), actual_list.as_array()) else {
        return (expected.1 != actual.1).then(|| format!("{} instead of {}", actual.1, expected.1));
    };
    let mut pairs = expected_list.iter().zip(actual_list);
    let differing = pairs.find(|(expected, actual)| expected != actual);
    if let Some((expected, actual)) = differing {
        return Some(format!("{actual} instead of {expected}"));
    }
    let (n_expected, n_actual) = (expected_list.len(), actual_list.len());
    (n_expected != n_actual).then(|| format!("{n_actual} series instead of {n_expected}"))
}

fn exemplars_in(answer: &Answer) -> usize {
    let series = answer.1["data"].as_array().map(Vec::as_slice);
    let lists = series
        .unwrap_or_default()
        .iter()
        .map(|one| one["exemplars"].as_array());
    lists.map(|list| list.map_or(0, Vec::len)).sum()
}

/// Waits until all have all exemplars until `end_s`.
fn settle(oracle: &Server, servers: &[&Server], end_s: f64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let everything = |server: &Server| ask(server, QUERIES[0], 0.0, end_s);
    let expected = everything(oracle)?;
    ensure!(exemplars_in(&expected) > 100, "nothing was scraped: {expected:?}");
    for server in servers {
        while let Some(what) = difference(&expected, &everything(server)?) {
            ensure!(Instant::now() < deadline, "not all exemplars arrive: {what}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    Ok(())
}

/// An application with exemplars of all sorts; its traces count from `first`.
fn page(first: u64) -> Page {
    let mut n_scrapes = 0;
    Box::new(move || {
        n_scrapes += 1;
        exposition(first + n_scrapes).expect("the machine has a time, and a String takes any text")
    })
}

fn exposition(n: u64) -> Result<String> {
    let now_s = now_s()?;
    let mut text = String::from("# TYPE requests counter\n");
    // Without a time: that of the scrape.
    writeln!(
        text,
        "requests_total{{path=\"/\"}} {n} # {{trace_id=\"{n:032x}\"}} 1"
    )?;
    // With one, and with words that need care.
    let earlier_s = now_s - 0.4;
    let labels = format!("trace_id=\"ü{n}\",span_id=\"\\\"\\\\{n}\"");
    writeln!(
        text,
        "requests_total{{path=\"/späße\"}} {n} # {{{labels}}} 0.5 {earlier_s:.3}"
    )?;
    // The same again and again, of which the first counts; and one that changes now and then.
    writeln!(
        text,
        "requests_total{{path=\"/same\"}} {n} # {{trace_id=\"1\"}} 7"
    )?;
    writeln!(
        text,
        "requests_total{{path=\"/rare\"}} {n} # {{trace_id=\"{}\"}} 7 {:.3}",
        n / 5,
        (n / 5) as f64
    )?;
    writeln!(text, "requests_total{{path=\"/bare\"}} {n} # {{}} {n}")?;
    // Now and then one from before the last one.
    let jump_s = if n.is_multiple_of(3) { 5.0 } else { 0.0 };
    writeln!(
        text,
        "requests_total{{path=\"/back\"}} {n} # {{a=\"{n}\"}} 1 {:.3}",
        now_s - jump_s
    )?;
    // Some have none.
    let sometimes = if n.is_multiple_of(2) { " # {a=\"b\"} 3" } else { "" };
    writeln!(text, "requests_total{{path=\"/some\"}} {n}{sometimes}")?;
    text.push_str("# TYPE latency_seconds histogram\n");
    for (le, value) in [("0.1", 0.05), ("1.0", 0.123_456_789), ("+Inf", 12e21)] {
        let labels = format!("trace_id=\"{n:x}-{le}\"");
        writeln!(
            text,
            "latency_seconds_bucket{{le=\"{le}\"}} {n} # {{{labels}}} {value} {now_s:.3}"
        )?;
    }
    writeln!(
        text,
        "latency_seconds_count {n}\nlatency_seconds_sum {n}\n# TYPE odd counter"
    )?;
    for (kind, value) in [
        ("infinite", "+Inf"),
        ("below", "-Inf"),
        ("none", "NaN"),
        ("small", "5e-324"),
    ] {
        writeln!(text, "odd_total{{kind=\"{kind}\"}} {n} # {{n=\"{n}\"}} {value}")?;
    }
    text.push_str("# EOF\n");
    Ok(text)
}

fn start_meshtide(folder: &Path, name: &str) -> Result<Server> {
    let arguments = [
        "serve".to_owned(),
        format!("--data-dir={}", folder.join(name).display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
    ];
    Server::start(
        &peers::meshtide(),
        &arguments,
        &folder.join(format!("{name}.log")),
    )
}

fn start_prometheus(
    program: &Path,
    folder: &Path,
    exposition: &Exposition,
    servers: [&Server; 2],
) -> Result<Server> {
    let mut config = format!(
        "global:\n  scrape_interval: 1s\n{}remote_write:\n",
        exposition.scrape_config()
    );
    let messages = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];
    for (server, message) in servers.into_iter().zip(messages) {
        let url = server.url();
        writeln!(
            config,
            "  - url: {url}/api/v1/write\n    protobuf_message: {message}\n    send_exemplars: true\n    \
             queue_config: {{batch_send_deadline: 1s}}"
        )?;
    }
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config)?;
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", folder.join("prometheus").display()),
        "--web.listen-address=127.0.0.1:{port}".to_owned(),
        "--enable-feature=exemplar-storage".to_owned(),
    ];
    Server::start(program, &arguments, &folder.join("prometheus.log"))
}
