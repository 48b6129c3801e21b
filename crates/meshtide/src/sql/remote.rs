//! Asking a server: the statement goes there, an Arrow stream comes back.

use anyhow::{Context, Result, bail, ensure};
use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// Bytes of an answer that is an error.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A running answer.
#[derive(Debug)]
pub(super) struct RemoteRows {
    body: Incoming,
    decoder: StreamDecoder,
    /// Arrived and not decoded yet.
    buffer: Buffer,
    /// Decoded before the columns were asked for.
    first: Option<RecordBatch>,
    schema: SchemaRef,
}

/// What a server says when it does not answer.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
}

impl RemoteRows {
    /// Sends a statement to the server at `url` and waits until the columns of its answer are known.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses; what it says.
    pub(super) async fn ask(url: &str, statement: &str) -> Result<Self> {
        let uri = endpoint(url)?;
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/sql")
            .header(header::ACCEPT, "application/vnd.apache.arrow.stream")
            .body(Full::new(Bytes::from(statement.to_owned())))?;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let response = client
            .request(request)
            .await
            .with_context(|| format!("cannot reach {url}"))?;
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            bail!("{}", refusal(head.status, body).await);
        }
        let mut decoder = StreamDecoder::new();
        let (mut body, mut buffer) = (body, Buffer::from_vec(Vec::<u8>::new()));
        let mut first = None;
        let schema = loop {
            first = match first {
                Some(batch) => Some(batch),
                None => decoder
                    .decode(&mut buffer)
                    .context("the answer is no Arrow stream")?,
            };
            if let Some(schema) = decoder.schema() {
                break schema;
            }
            match next_bytes(&mut body).await? {
                Some(bytes) => buffer = Buffer::from(bytes),
                None => bail!("the answer ends before its columns"),
            }
        };
        Ok(Self {
            body,
            decoder,
            buffer,
            first,
            schema,
        })
    }

    /// The columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next batch of rows; none after the last.
    ///
    /// # Errors
    /// The connection broke off: what was given is not all.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.first.take() {
            return Ok(Some(batch));
        }
        loop {
            if let Some(batch) = self.decoder.decode(&mut self.buffer)? {
                return Ok(Some(batch));
            }
            match next_bytes(&mut self.body).await? {
                Some(bytes) => self.buffer = Buffer::from(bytes),
                None => {
                    self.decoder.finish().context("the answer is cut off")?;
                    return Ok(None);
                }
            }
        }
    }
}

async fn next_bytes(body: &mut Incoming) -> Result<Option<Bytes>> {
    loop {
        let Some(frame) = body.frame().await else {
            return Ok(None);
        };
        let frame =
            frame.context("the server stopped half-way: the statement failed, or the server ended")?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
}

/// `URL/api/v1/sql`.
fn endpoint(url: &str) -> Result<Uri> {
    let base: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
    ensure!(
        base.scheme_str() == Some("http") && base.host().is_some(),
        "cannot ask {url:?}: give a URL like http://HOST:PORT (https is not supported)"
    );
    format!("{}/api/v1/sql", url.trim_end_matches('/'))
        .parse()
        .with_context(|| format!("{url:?} is no URL"))
}

async fn refusal(status: StatusCode, body: Incoming) -> String {
    let limited = http_body_util::Limited::new(body, ERROR_BYTES_MAX);
    let bytes = match limited.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => Bytes::new(),
    };
    match serde_yaml_ng::from_slice::<Refusal>(&bytes) {
        Ok(refusal) => refusal.error,
        Err(_) => format!("the server answers {status}"),
    }
}
