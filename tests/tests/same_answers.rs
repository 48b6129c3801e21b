//! Wherever samples lie, in the head, in blocks, in merged blocks or in both, a query has one answer. Replies are compared
//! letter by letter, and their numbers read back to the same bits, so not even a last bit may differ.
//!
//! The data is that of the differential fuzzer with native histograms, and series with start timestamps beside it; the
//! queries are random ones of its, and some of what Prometheus 3.5 lacks.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meshtide_tests::diff::case::{Evaluation, Window};
use meshtide_tests::diff::generator;
use meshtide_tests::diff::metric::Repertoire;
use meshtide_tests::diff::native::{NativeKind, NativeProcess, push_field, push_whole};
use meshtide_tests::diff::population::{SPAN_MS, dataset};
use meshtide_tests::http::{Answer, Client};
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use testkit::Chance;
use wire::remote_write::v2;
use wire::snappy::Compressor;

const SEED: u64 = 20;
/// Random queries.
const N_QUERIES: u64 = 400;
/// When the data ends.
const END_MS: i64 = 1_764_000_000_000;

const COMMON: &str = "query: {experimental: true, start_timestamps: true}\nhttp: {admin_api: true}\n";
/// Nothing leaves the head by itself.
const STILL: &str = "storage: {flush_interval: 1000d}\n";
/// The data spans nine windows, of which blocks are made when somebody says so.
const SHORT_WINDOWS: &str = "storage: {flush_interval: 1000d, block_window: 5m}\n";
/// The same, and blocks are merged.
const RESTLESS: &str = "storage: {flush_interval: 50ms, block_window: 5m}\n";

/// What random queries do not have: later functions and modifiers, start timestamps, all samples as they are, and sums
/// that depend on the order of series.
const QUERIES: &[&str] = &[
    "{__name__=~\".+\"}[46m]",
    "{__name__=~\".+\"}",
    "count by (__name__) ({__name__=~\".+\"})",
    "sum(load_ratio)",
    "avg(load_ratio) + stddev(load_ratio)",
    "sum without (instance) (rate(load_ratio[10m]))",
    "topk(3, mesh_requests_total)",
    "limitk(7, mesh_requests_total)",
    "limit_ratio(0.4, {__name__=~\"mesh_.*\"})",
    "increase(mesh_bytes_total[5m] anchored)",
    "rate(mesh_requests_total[5m] smoothed)",
    "memory_bytes smoothed",
    "first_over_time(memory_bytes[10m])",
    "ts_of_first_over_time(memory_bytes[10m])",
    "histogram_quantiles(rate(native_ms[5m]), \"q\", 0.5, 0.99)",
    "histogram_quantile(0.9, sum by (le, source) (rate(mesh_latency_ms_bucket[5m])))",
    "native_ms </ 3",
    "sum(native_bounds)",
    "sum(rate(native_changing_total[8m]))",
    "native_mixed",
    "resets(native_seconds[20m])",
    "mesh_requests_total + on (source, destination) group_left () fill (0) mesh_bytes_total",
    "info(native_seconds)",
    "started_total",
    "start_timestamp(started_total)",
    "start_timestamp(started_ms)",
    "rate(started_total[3m])",
    "increase(started_total[10m])",
    "resets(started_total[30m])",
    "rate(started_ms[3m])",
    "histogram_count(increase(started_ms[10m]))",
    "max_over_time(rate(started_total[2m])[10m:30s])",
];

/// A request as it is sent.
enum Request {
    V1(Vec<u8>),
    V2(Vec<u8>),
}

/// A path and its form fields.
type Query = (&'static str, Vec<(String, String)>);

#[test]
fn answers_are_the_same_to_the_last_bit_wherever_samples_lie() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let requests = requests();
    let queries = queries();
    let still = start(folder.path(), "still", STILL)?;
    send(&still.client(), &requests)?;
    let expected = ask(&still.client(), &queries)?;
    ensure!(
        metric(&still, "meshtide_blocks")? == 0.0,
        "what should stay in the head was flushed"
    );
    let n_with_data = expected.iter().filter(|answer| has_data(answer)).count();
    println!("{} queries, {n_with_data} of them with an answer", queries.len());
    ensure!(
        n_with_data * 2 > queries.len(),
        "only {n_with_data} queries have an answer"
    );

    let mut moved = start(folder.path(), "moved", SHORT_WINDOWS)?;
    let (early, late) = requests.split_at(requests.len() / 2);
    send(&moved.client(), early)?;
    flush(&moved)?;
    let n_blocks = metric(&moved, "meshtide_blocks")?;
    ensure!(n_blocks > 2.0, "{n_blocks} blocks of half the data");
    send(&moved.client(), late)?;
    compare(&moved, &queries, &expected).context("half in blocks")?;
    flush(&moved)?;
    compare(&moved, &queries, &expected).context("all in blocks")?;
    moved.terminate()?;

    let mut moved = start(folder.path(), "moved", RESTLESS)?;
    wait_for_merges(&moved)?;
    compare(&moved, &queries, &expected).context("in merged blocks")?;
    moved.kill()?;
    let moved = start(folder.path(), "moved", SHORT_WINDOWS)?;
    compare(&moved, &queries, &expected).context("after a kill")
}

/// The data in the order in which it is sent, early samples first.
fn requests() -> Vec<Request> {
    let data = dataset(SEED, END_MS, Repertoire::Natives);
    let mut requests: Vec<Request> = data.requests().into_iter().map(Request::V1).collect();
    let started = started();
    // One behind every tenth of the others.
    let distance = requests.len() / started.len();
    for (position, request) in started.into_iter().enumerate().rev() {
        requests.insert(position * distance, Request::V2(request));
    }
    requests
}

/// Counters and native histograms whose samples say when they began, in ten requests.
fn started() -> Vec<Vec<u8>> {
    let mut chance = Chance::from_seed(SEED);
    let mut natives: Vec<NativeProcess> = (0..3)
        .map(|_| NativeProcess::new(&mut chance, NativeKind::Counter))
        .collect();
    let (mut counts, mut starts_ms) = ([0; 3], [END_MS - SPAN_MS - 1; 3]);
    let times: Vec<i64> = (END_MS - SPAN_MS..END_MS).step_by(15_000).collect();
    let request = |times: &[i64]| {
        let mut encoder = v2::Encoder::default();
        let mut histograms = Vec::new();
        for &timestamp_ms in times {
            for number in 0..3 {
                if chance.percent(4) {
                    // Begun anew, sometimes without going down.
                    starts_ms[number] = timestamp_ms - chance.between(1, 14_000);
                    counts[number] = chance.pick(&[0, 0, counts[number]]);
                }
                counts[number] += chance.between(0, 100);
                let sample = v2::Sample {
                    timestamp_ms,
                    value: counts[number] as f64,
                    start_timestamp_ms: starts_ms[number],
                };
                let refs = labels(&mut encoder, "started_total", number);
                encoder.push_series(&refs, &[sample], None);
                let mut histogram = natives[number].next(&mut chance, timestamp_ms).message();
                push_whole(&mut histogram, 17, starts_ms[number].unsigned_abs());
                let refs = labels(&mut encoder, "started_ms", number).map(|reference| reference as u8);
                let mut series = Vec::new();
                push_field(&mut series, 1, &refs);
                push_field(&mut series, 3, &histogram);
                push_field(&mut histograms, 5, &series);
            }
        }
        let mut body = Vec::new();
        encoder.write_body(&mut body);
        body.extend(histograms);
        let mut buffer = Vec::new();
        let body = Compressor::default().compress(&body, &mut buffer);
        body.expect("a small request fits").to_vec()
    };
    times.chunks(times.len() / 10 + 1).map(request).collect()
}

/// References to name and value of both labels; there are so few that each takes one byte.
fn labels(encoder: &mut v2::Encoder, metric: &str, number: usize) -> [u32; 4] {
    ["__name__", metric, "i", &number.to_string()].map(|text| encoder.symbol(text))
}

/// Random queries, and the others at one time and at many.
fn queries() -> Vec<Query> {
    let window = Window {
        start_ms: END_MS - SPAN_MS,
        end_ms: END_MS,
    };
    let cases = (0..N_QUERIES).map(|number| generator::case(SEED, number, window, Repertoire::Natives));
    // Without a time of its own, a query is about the present.
    let cases = cases.filter(|case| !matches!(case.evaluation, Evaluation::Raw { .. }));
    let mut queries: Vec<Query> = cases.map(|case| case.request()).collect();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let seconds = |ms: i64| (ms / 1_000).to_string();
    for query in QUERIES {
        for time_ms in [END_MS, END_MS - SPAN_MS / 2, END_MS - SPAN_MS / 2 - 97_000] {
            let fields = vec![field("query", query), field("time", &seconds(time_ms))];
            queries.push(("/api/v1/query", fields));
        }
        if !query.ends_with("[46m]") {
            let times = [("start", END_MS - SPAN_MS), ("end", END_MS), ("step", 37_000)];
            let times = times.map(|(name, ms)| field(name, &seconds(ms)));
            queries.push((
                "/api/v1/query_range",
                [vec![field("query", query)], times.to_vec()].concat(),
            ));
        }
    }
    queries
}

fn start(folder: &Path, name: &str, config: &str) -> Result<Server> {
    let file = folder.join(format!("{name}.yaml"));
    std::fs::write(&file, format!("{COMMON}{config}"))?;
    let arguments = [
        "serve".to_owned(),
        format!("--config={}", file.display()),
        format!("--data-dir={}", folder.join(name).display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
        "--retention=36500d".to_owned(),
    ];
    Server::start(
        &peers::meshtide(),
        &arguments,
        &folder.join(format!("{name}.log")),
    )
}

fn send(client: &Client, requests: &[Request]) -> Result<()> {
    for request in requests {
        let answer = match request {
            Request::V1(body) => client.remote_write(body)?,
            Request::V2(body) => client.remote_write_v2(body)?,
        };
        ensure!(
            answer.status == 204,
            "the data is refused: {} {}",
            answer.status,
            answer.text()
        );
    }
    Ok(())
}

fn flush(server: &Server) -> Result<()> {
    let data = server.client().api("/api/v1/admin/tsdb/flush", &[])?;
    ensure!(
        data["samples"].as_u64() > Some(1_000),
        "nothing was flushed: {data}"
    );
    Ok(())
}

fn ask(client: &Client, queries: &[Query]) -> Result<Vec<Answer>> {
    let asked = queries.iter().map(|(path, fields)| {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        client.post_form(path, &fields)
    });
    asked.collect()
}

fn has_data(answer: &Answer) -> bool {
    answer.status == 200 && !answer.text().contains("\"result\":[]")
}

fn compare(server: &Server, queries: &[Query], expected: &[Answer]) -> Result<()> {
    let actual = ask(&server.client(), queries)?;
    for ((query, expected), actual) in queries.iter().zip(expected).zip(&actual) {
        ensure!(
            (actual.status, &actual.body) == (expected.status, &expected.body),
            "{query:?}\n  {}",
            first_difference(&expected.text(), &actual.text())
        );
    }
    Ok(())
}

/// Some letters around the first that differs.
fn first_difference(expected: &str, actual: &str) -> String {
    let same = expected.bytes().zip(actual.bytes());
    let at = same.take_while(|(expected, actual)| expected == actual).count();
    let around = |text: &str| {
        let bytes = &text.as_bytes()[at.saturating_sub(200).min(text.len())..];
        String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
    };
    format!("expected …{}…\n  actual   …{}…", around(expected), around(actual))
}

/// Waits until blocks were merged and no more are.
fn wait_for_merges(server: &Server) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut before = f64::NAN;
    loop {
        ensure!(Instant::now() < deadline, "no blocks are merged");
        std::thread::sleep(Duration::from_millis(500));
        let n_merges = metric(server, "meshtide_compactions_total")?;
        if n_merges > 0.0 && n_merges.to_bits() == before.to_bits() {
            return Ok(());
        }
        before = n_merges;
    }
}

/// The value of one of the server's own metrics.
fn metric(server: &Server, name: &str) -> Result<f64> {
    let page = server.client().get("/metrics")?.text();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line
        .with_context(|| format!("{name} is not on the page"))?
        .parse()?)
}
