//! Requests that nobody should send: each gets a clear answer, costs nothing afterwards, and harms no other request.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use meshtide_tests::clock::now_ms;
use meshtide_tests::http::{Answer, Client};
use meshtide_tests::load::{Request, Series};
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use model::Sample;
use wire::remote_write::v1::{Encoder, push_label};
use wire::snappy::Compressor;

/// A bad request and what must come back.
struct Bad {
    name: &'static str,
    content_type: &'static str,
    content_encoding: &'static str,
    body: Vec<u8>,
    status: u16,
    /// Words of the answer that tell the sender what is wrong.
    says: &'static str,
}

const PROTOBUF: &str = "application/x-protobuf";

#[test]
fn every_bad_request_is_answered_clearly_and_the_next_good_one_is_stored() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let client = server.client();
    let now_ms = now_ms()?;
    good(&client, now_ms)?;
    for bad in bad_requests(now_ms) {
        let answer = send(&client, &bad)?;
        ensure!(
            answer.status == bad.status,
            "{}: {} {}",
            bad.name,
            answer.status,
            answer.text()
        );
        ensure!(
            answer.text().contains(bad.says),
            "{} is answered with {:?}",
            bad.name,
            answer.text()
        );
        good(&client, now_ms)?;
    }
    Ok(())
}

#[test]
fn memory_stays_steady_under_bad_requests() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let client = server.client();
    let now_ms = now_ms()?;
    let rounds = |n: usize| -> Result<()> {
        for _ in 0..n {
            for bad in bad_requests(now_ms) {
                send(&client, &bad)?;
            }
        }
        Ok(())
    };
    rounds(3)?;
    let before = server.usage()?.rss_bytes;
    rounds(12)?;
    let after = server.usage()?.rss_bytes;
    ensure!(
        after < before + (32 << 20),
        "resident memory grew from {before} to {after} bytes"
    );
    Ok(())
}

#[test]
fn a_refused_body_is_read_so_that_its_answer_and_the_connection_survive() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
    // More than the buffers of a socket take: the server must read for this to get through.
    let body = vec![b'x'; 24 << 20];
    for (path, content_type) in [
        ("/api/v1/write", "text/plain"),
        ("/api/v1/otlp/v1/metrics", "text/plain"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        let reply = read_reply(&mut stream)?;
        ensure!(reply.starts_with("HTTP/1.1 415"), "{path}: {reply}");
    }
    Ok(())
}

#[test]
fn federate_takes_the_url_of_go_clients_with_raw_quotes_and_braces() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let now_ms = now_ms()?;
    good(&server.client(), now_ms)?;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
    let body = format!("query=crash_total&time={}", now_ms as f64 / 1e3);
    let federate =
        "GET /federate?match[]={__name__=~\"crash_total|x\",i!=\"<7>\"} HTTP/1.1\r\nhost: x\r\n\r\n";
    let post = format!(
        "POST /api/v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    // On one connection: a read, a write with a body, a read whose request line arrives in pieces.
    stream.write_all(federate.as_bytes())?;
    let first = read_reply(&mut stream)?;
    stream.write_all(post.as_bytes())?;
    let second = read_reply(&mut stream)?;
    for piece in federate.as_bytes().chunks(7) {
        stream.write_all(piece)?;
        stream.flush()?;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let third = read_reply(&mut stream)?;
    ensure!(second.contains("\"status\":\"success\""), "{second}");
    for page in [&first, &third] {
        ensure!(page.starts_with("HTTP/1.1 200"), "{page}");
        let line = format!("crash_total{{i=\"1\",instance=\"\"}} 1 {now_ms}\n");
        ensure!(
            page.contains("# TYPE crash_total untyped\n") && page.contains(&line),
            "{page}"
        );
    }
    Ok(())
}

fn start(folder: &std::path::Path) -> Result<Server> {
    let arguments = [
        "serve".to_owned(),
        format!("--data-dir={}", folder.join("data").display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
    ];
    Server::start(&peers::meshtide(), &arguments, &folder.join("log"))
}

fn one_sample(now_ms: i64) -> Vec<u8> {
    let request = Request {
        samples: vec![(Series(1), now_ms, 1.0)],
        ..Request::default()
    };
    request.body()
}

/// A request that must always work; its sample is there afterwards.
fn good(client: &Client, now_ms: i64) -> Result<()> {
    let answer = client.remote_write(&one_sample(now_ms))?;
    ensure!(
        answer.status == 204,
        "a good request: {} {}",
        answer.status,
        answer.text()
    );
    let time = (now_ms as f64 / 1e3).to_string();
    let data = client.api(
        "/api/v1/query",
        &[("query", "crash_total{i=\"1\"}"), ("time", &time)],
    )?;
    ensure!(data["result"][0]["value"][1] == "1", "{data}");
    Ok(())
}

fn send(client: &Client, bad: &Bad) -> Result<Answer> {
    let headers = [
        ("content-type", bad.content_type),
        ("content-encoding", bad.content_encoding),
    ];
    client.post("/api/v1/write", &headers, &bad.body)
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn bad_requests(now_ms: i64) -> Vec<Bad> {
    let proto = |name, body, status, says| Bad {
        name,
        content_type: PROTOBUF,
        content_encoding: "snappy",
        body,
        status,
        says,
    };
    let good = one_sample(now_ms);
    let many: Vec<(String, String)> = (0..10_000)
        .map(|label| (format!("l{label}"), "x".to_owned()))
        .collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let huge = "x".repeat(10 << 20);
    let year_50_000_ms = 1_515_700_000_000_000;
    // A header that declares 4 GiB − 1, in front of nothing.
    let bomb = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    vec![
        Bad {
            content_type: "application/json",
            ..proto("a wrong type", good.clone(), 415, "application/json")
        },
        Bad {
            content_encoding: "gzip",
            ..proto("a wrong encoding", good.clone(), 415, "gzip")
        },
        proto("truncated snappy", good[..good.len() - 3].to_vec(), 400, "snappy"),
        proto("a snappy bomb", bomb, 400, "snappy"),
        proto(
            "garbage in snappy",
            compress(b"\xff\xff\xff garbage"),
            400,
            "protobuf",
        ),
        proto(
            "a label of 10 MB",
            series(&[("__name__", "x"), ("l", &huge)], now_ms, 1.0),
            400,
            "l",
        ),
        proto(
            "10,000 labels",
            series(&[&[("__name__", "x")], many.as_slice()].concat(), now_ms, 1.0),
            400,
            "labels",
        ),
        proto(
            "a duplicate label",
            series(&[("__name__", "x"), ("a", "1"), ("a", "2")], now_ms, 1.0),
            400,
            "duplicate",
        ),
        proto(
            "no metric name",
            series(&[("a", "1")], now_ms, 1.0),
            400,
            "metric name",
        ),
        proto(
            "the year 50,000",
            series(&[("__name__", "x")], year_50_000_ms, 1.0),
            400,
            "future",
        ),
        proto(
            "another value",
            series(&[("__name__", "crash_total"), ("i", "1")], now_ms, 2.0),
            400,
            "duplicate",
        ),
        // These two are not bad, only unusual: a NaN with a payload, and nothing at all.
        proto(
            "a NaN payload",
            series(
                &[("__name__", "nan")],
                now_ms,
                f64::from_bits(0x7ff8_dead_beef_0001),
            ),
            204,
            "",
        ),
        proto("an empty request", compress(b""), 204, ""),
    ]
}

fn series(labels: &[(&str, &str)], timestamp_ms: i64, value: f64) -> Vec<u8> {
    let mut label_bytes = Vec::new();
    for (name, value) in labels {
        push_label(&mut label_bytes, name, value);
    }
    let mut encoder = Encoder::default();
    encoder.push_series(&label_bytes, &[Sample { timestamp_ms, value }]);
    compress(encoder.body())
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    Compressor::default()
        .compress(body, &mut buffer)
        .expect("a small request fits")
        .to_vec()
}

/// One reply with a content length or in chunks, head and body.
fn read_reply(stream: &mut TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    let mut reply = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).context("read a reply")?;
        ensure!(
            n > 0,
            "the connection was closed after {:?}",
            String::from_utf8_lossy(&reply)
        );
        reply.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&reply).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        let complete = length.map_or(body.ends_with("0\r\n\r\n"), |length| body.len() >= length);
        if complete {
            return Ok(text);
        }
    }
}
