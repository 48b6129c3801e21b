//! A whole server without a socket: router, store on files in memory, a clock that stands still.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use catalog::HashSecret;
use http_body_util::BodyExt;
use model::{Labels, Sample};
use query::{Engine, EngineOptions};
use server::{Config, Opened, Server};
use storage::{Store, StoreConfig, Surroundings};
use testkit::{FaultyFiles, MockClock};
use tower_service::Service;
use wire::remote_write::{v1, v2};
use wire::snappy::Compressor;

/// When these tests happen.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// A server and the time it lives in.
pub(crate) struct World {
    pub(crate) clock: MockClock,
    pub(crate) server: Server,
    pub(crate) files: FaultyFiles,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl World {
    /// A server that is open.
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let world = Self::closed(config);
        world.open(StoreConfig::default());
        world
    }

    /// A server whose store is not open yet.
    pub(crate) fn closed(config: Config) -> Self {
        let clock = MockClock::at(NOW_MS);
        Self {
            server: Server::new(config, Arc::new(clock.clone())),
            clock,
            files: FaultyFiles::new(1),
        }
    }

    /// Closes the store, loses what was not synced, and opens it again under another server with the defaults.
    pub(crate) fn restart(&mut self, store: Arc<Store>) -> Arc<Store> {
        store.close().unwrap();
        drop(store);
        self.server = Server::new(Config::default(), Arc::new(self.clock.clone()));
        self.files.crash();
        self.open(StoreConfig::default())
    }

    pub(crate) fn open(&self, config: StoreConfig) -> Arc<Store> {
        let surroundings = Surroundings {
            clock: Arc::new(self.clock.clone()),
            files: Arc::new(self.files.clone()),
            secret: HashSecret::from_seed(1),
            release_memory: || (),
        };
        let (store, report) = Store::open(Path::new("data"), config, surroundings, &mut |_| {}).unwrap();
        let engine = Engine::new(Arc::<Store>::clone(&store), EngineOptions::default()).unwrap();
        let opened = Opened {
            store: Arc::clone(&store),
            engine,
            n_damaged: report.damaged.len(),
        };
        self.server.open(opened).unwrap();
        store
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send_to(self.server.router(), request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(encoded(path)).body(Body::empty()).unwrap())
            .await
    }

    /// `data` of a successful answer.
    pub(crate) async fn data(&self, path: &str) -> serde_json::Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        let json = answer.json();
        assert_eq!(json["status"], "success", "{path}");
        json["data"].clone()
    }

    pub(crate) async fn write(&self, content_type: &str, body: Vec<u8>) -> Answer {
        let request = Request::post("/api/v1/write")
            .header("content-type", content_type)
            .header("content-encoding", "snappy")
            .body(Body::from(body))
            .unwrap();
        self.send(request).await
    }

    /// Writes series by remote write 1.0: labels as `name{a="b"}`, samples as (ms from now, value).
    pub(crate) async fn write_v1(&self, series: &[(&str, &[(i64, f64)])]) -> Answer {
        let mut encoder = v1::Encoder::default();
        for (labels, samples) in series {
            encoder.push_series(&label_bytes(&pairs(labels)), &at_now(samples));
        }
        self.write("application/x-protobuf", compress(encoder.body()))
            .await
    }

    /// The same by remote write 2.0.
    pub(crate) async fn write_v2(&self, series: &[(&str, &[(i64, f64)])]) -> Answer {
        let mut encoder = v2::Encoder::default();
        for (labels, samples) in series {
            let refs = symbols(&mut encoder, &pairs(labels));
            let samples: Vec<v2::Sample> = at_now(samples).into_iter().map(v2_sample).collect();
            encoder.push_series(&refs, &samples, None);
        }
        self.write(V2, v2_body(&encoder)).await
    }
}

pub(crate) async fn send_to(mut router: Router, request: Request<Body>) -> Answer {
    let response = router.call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

/// Percent-encodes what a URI may not hold.
pub(crate) fn encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b' ' | b'#' | b'`' | b'+' | 0x80.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// The labels of `name{a="b",c="d"}`, in this order, repeats and all.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
    let mut pairs = Vec::new();
    if !name.is_empty() {
        pairs.push(("__name__".to_owned(), name.to_owned()));
    }
    let inside = rest.strip_suffix('}').unwrap();
    for pair in inside.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        pairs.push((name.to_owned(), value.trim_matches('"').to_owned()));
    }
    pairs
}

pub(crate) fn label_bytes(pairs: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in pairs {
        v1::push_label(&mut bytes, name, value);
    }
    bytes
}

pub(crate) fn symbols(encoder: &mut v2::Encoder, pairs: &[(String, String)]) -> Vec<u32> {
    pairs
        .iter()
        .flat_map(|(name, value)| [encoder.symbol(name), encoder.symbol(value)])
        .collect()
}

pub(crate) fn at_now(samples: &[(i64, f64)]) -> Vec<Sample> {
    samples
        .iter()
        .map(|(ms, value)| Sample {
            timestamp_ms: NOW_MS + ms,
            value: *value,
        })
        .collect()
}

pub(crate) fn v2_sample(sample: Sample) -> v2::Sample {
    v2::Sample {
        timestamp_ms: sample.timestamp_ms,
        value: sample.value,
        start_timestamp_ms: 0,
    }
}

pub(crate) fn v2_body(encoder: &v2::Encoder) -> Vec<u8> {
    let mut body = Vec::new();
    encoder.write_body(&mut body);
    compress(&body)
}

pub(crate) fn compress(body: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    Compressor::default()
        .compress(body, &mut buffer)
        .unwrap()
        .to_vec()
}

pub(crate) fn config_with_external_labels(labels: &[(&str, &str)]) -> Config {
    Config {
        external_labels: Labels::from_pairs(labels.iter().copied()).unwrap(),
        flags: BTreeMap::new(),
        ..Config::default()
    }
}

/// Rejected points and message of an answer in protobuf.
pub(crate) fn partial_success(answer: &Answer) -> Option<(u64, String)> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    partial_success_of(&answer.body)
}

/// Rejected points and message of an `ExportMetricsServiceResponse`.
pub(crate) fn partial_success_of(message: &[u8]) -> Option<(u64, String)> {
    if message.is_empty() {
        return None;
    }
    let (length, inner) = varint(message.strip_prefix(&[1 << 3 | 2]).unwrap());
    assert_eq!(length, inner.len() as u64);
    let (n_rejected, rest) = varint(inner.strip_prefix(&[1 << 3]).unwrap());
    let (length, text) = varint(rest.strip_prefix(&[2 << 3 | 2]).unwrap());
    assert_eq!(length, text.len() as u64);
    Some((n_rejected, String::from_utf8(text.to_vec()).unwrap()))
}

fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let digits = bytes[..=end].iter().rev();
    let value = digits.fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    (value, &bytes[end + 1..])
}

/// Makes blocks of everything.
pub(crate) fn flush(store: &Store) {
    let (sender, receiver) = std::sync::mpsc::channel();
    store
        .flush(Box::new(move |done| sender.send(done).unwrap()))
        .unwrap();
    receiver.recv().unwrap().unwrap();
}
