//! Sends requests over a few connections, as Prometheus would: what the server cannot take now is sent again, what
//! it refuses is counted and dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mesh::remote_write::EncodedRequest;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::progress::Progress;

/// First pause before a request is sent again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(30);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a request is sent before its server counts as unreachable.
const ATTEMPTS_MAX: u32 = 20;
/// Bytes of a refusal that are shown.
const REFUSAL_BYTES_MAX: usize = 300;

/// Where requests go.
#[derive(Debug, Clone)]
pub(super) struct Target(Uri);

/// What was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    /// Requests that were answered.
    pub(crate) n_requests: u64,
    /// Samples in them.
    pub(crate) n_samples: u64,
    /// Compressed bytes.
    pub(crate) n_bytes: u64,
    /// Requests answered with 4xx.
    pub(crate) n_refused: u64,
    /// What the first of those said.
    pub(crate) first_refusal: String,
    /// Longest time from sending to the answer, without repetitions.
    pub(crate) slowest: Duration,
    /// From start to end.
    pub(crate) elapsed: Duration,
}

/// Running connections.
#[derive(Debug)]
pub(super) struct Sender {
    connections: JoinSet<Result<Summary>>,
    begin: Instant,
}

type Requests = Arc<Mutex<mpsc::Receiver<EncodedRequest>>>;

impl Target {
    /// # Errors
    /// If it is no URL of the scheme `http`.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        anyhow::ensure!(
            uri.scheme_str() == Some("http") && uri.host().is_some(),
            "cannot send to {url:?}: give a URL like http://HOST:PORT/api/v1/write (https is not supported)"
        );
        Ok(Self(uri))
    }
}

impl Sender {
    /// Starts `n_connections` that take requests from the queue until it is closed.
    pub(super) fn start(
        target: &Target,
        n_connections: usize,
        requests: mpsc::Receiver<EncodedRequest>,
        progress: &Progress,
    ) -> Self {
        let requests: Requests = Arc::new(Mutex::new(requests));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut connections = JoinSet::new();
        for _ in 0..n_connections.max(1) {
            let connection = Connection {
                client: client.clone(),
                uri: target.0.clone(),
                progress: progress.clone(),
            };
            connections.spawn(connection.run(Arc::clone(&requests)));
        }
        Self {
            connections,
            begin: Instant::now(),
        }
    }

    /// Waits until all requests are answered.
    ///
    /// # Errors
    /// If the server could not be reached.
    pub(super) async fn finish(mut self) -> Result<Summary> {
        let mut total = Summary::default();
        while let Some(connection) = self.connections.join_next().await {
            total.add(connection.context("a connection panicked")??);
        }
        total.elapsed = self.begin.elapsed();
        Ok(total)
    }
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.n_requests += other.n_requests;
        self.n_samples += other.n_samples;
        self.n_bytes += other.n_bytes;
        self.n_refused += other.n_refused;
        self.slowest = self.slowest.max(other.slowest);
        if self.first_refusal.is_empty() {
            self.first_refusal = other.first_refusal;
        }
    }
}

struct Connection {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    progress: Progress,
}

impl Connection {
    async fn run(self, requests: Requests) -> Result<Summary> {
        let mut summary = Summary::default();
        loop {
            let request = requests.lock().await.recv().await;
            let Some(request) = request else {
                return Ok(summary);
            };
            self.send_until_answered(&request, &mut summary).await?;
            summary.n_requests += 1;
            summary.n_samples += request.n_samples as u64;
            summary.n_bytes += request.body.len() as u64;
            self.progress.samples_sent(request.n_samples as u64);
        }
    }

    async fn send_until_answered(&self, request: &EncodedRequest, summary: &mut Summary) -> Result<()> {
        let mut pause = PAUSE_MIN;
        let mut last_trouble = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let begin = Instant::now();
            match self.send(request).await {
                Ok((status, text)) if !status.is_server_error() => {
                    summary.slowest = summary.slowest.max(begin.elapsed());
                    if status.is_client_error() {
                        summary.n_refused += 1;
                        if summary.first_refusal.is_empty() {
                            summary.first_refusal = format!("{status}: {text}");
                        }
                    }
                    return Ok(());
                }
                Ok((status, text)) => last_trouble = format!("{status}: {text}"),
                Err(error) => last_trouble = format!("{error:#}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        anyhow::bail!("{} does not take samples: {last_trouble}", self.uri)
    }

    async fn send(&self, request: &EncodedRequest) -> Result<(StatusCode, String)> {
        let mut builder = Request::post(self.uri.clone());
        for (name, value) in request.headers() {
            builder = builder.header(*name, *value);
        }
        let response = self
            .client
            .request(builder.body(Full::new(request.body.clone()))?)
            .await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_BYTES_MAX)])
            .trim()
            .to_owned();
        Ok((status, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_are_spoken_to() {
        assert!(Target::parse("http://127.0.0.1:9090/api/v1/write").is_ok());
        for bad in ["127.0.0.1:9090", "https://x/api/v1/write", "ftp://x", "not a url"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
