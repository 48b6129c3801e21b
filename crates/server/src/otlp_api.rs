//! `POST /api/v1/otlp/v1/metrics` and `/v1/metrics`: OTLP over HTTP, in protobuf and JSON.
//!
//! | answer | when |
//! |---|---|
//! | 200 | every data point is stored and durable; with a partial success those that are not are counted and explained |
//! | 400 | the body cannot be read; nothing is stored |
//! | 413 | the body is larger than allowed |
//! | 415 | another content type or encoding |
//! | 503 | not now: no room, or the log cannot be written; with `Retry-After`, nothing is stored |
//!
//! Bodies are an `ExportMetricsServiceResponse` or a `google.rpc.Status`, in the request's encoding. A request may be
//! sent again: the same sample twice is one sample.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wire::otlp::response::{status, success};

use crate::app::{App, IfReady};
use crate::ingest::{Compression, Encoding, Failure, Message, OtlpBody, Taken};
use crate::listener::Peer;
use crate::metrics::WriteOutcome;
use crate::write_api::{RETRY_AFTER_SECONDS, discard, note_refusals, take};

/// gRPC's codes, which a status carries over HTTP too.
mod code {
    pub(super) const INVALID_ARGUMENT: u32 = 3;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const UNIMPLEMENTED: u32 = 12;
    pub(super) const UNAVAILABLE: u32 = 14;
}

/// Takes one request.
pub(crate) async fn metrics(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    ready: IfReady,
    request: Request,
) -> Response {
    let encoding = encoding(request.headers());
    let compression = compression(request.headers());
    let (encoding, compression) = match (encoding, compression) {
        (Ok(encoding), Ok(compression)) => (encoding, compression),
        (encoding, compression) => {
            discard(request.into_body()).await;
            let answer_in = encoding.as_ref().map_or(Encoding::Protobuf, |&encoding| encoding);
            let message = encoding.err().or(compression.err()).unwrap_or_default();
            return unsupported(&app, answer_in, &message);
        }
    };
    let message = Message::Otlp(OtlpBody {
        encoding,
        compression,
        origin: origin(request.headers(), peer.as_deref()),
    });
    let limit = app.config.ingest.limits.otlp_bytes;
    match take(&app, &ready, limit, message, request.into_body()).await {
        Ok(taken) => stored(&app, &ready, encoding, taken),
        Err(failure) => failed(&app, encoding, &failure),
    }
}

/// The encoding that the content type names; its parameters do not matter.
fn encoding(headers: &HeaderMap) -> Result<Encoding, String> {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let text = value.and_then(Result::ok).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-protobuf") {
        Ok(Encoding::Protobuf)
    } else if essence.eq_ignore_ascii_case("application/json") {
        Ok(Encoding::Json)
    } else {
        Err(format!(
            "Content-Type {text:?} is not supported: send application/x-protobuf or application/json"
        ))
    }
}

fn compression(headers: &HeaderMap) -> Result<Compression, String> {
    let value = headers.get(header::CONTENT_ENCODING).map(HeaderValue::to_str);
    let name = value.unwrap_or(Ok("")).unwrap_or("?");
    Compression::of_name(name).ok_or_else(|| {
        format!(
            "Content-Encoding {name:?} is not supported: send one of {}",
            Compression::NAMES
        )
    })
}

/// Who sent it: the first address a proxy names, else the other end of the connection.
fn origin(headers: &HeaderMap, peer: Option<&Peer>) -> String {
    let forwarded = headers
        .get("x-forwarded-for")
        .and_then(|value| value.to_str().ok());
    let first = forwarded.and_then(|list| list.split(',').next()).map(str::trim);
    match first.filter(|address| !address.is_empty()) {
        Some(address) => address.to_owned(),
        None => peer.map_or_else(String::new, |Peer(address)| address.to_string()),
    }
}

fn stored(app: &App, ready: &IfReady, encoding: Encoding, mut taken: Taken) -> Response {
    let mut points = taken.points.take().unwrap_or_default();
    let mut n_written = (0, 0);
    if let Some(stored) = &taken.stored {
        n_written = stored.n_written();
        for refusal in &stored.outcome.refused {
            points.refuse_row(refusal.sample_idx);
        }
        note_refusals(ready, stored, &mut taken.refusals);
    }
    app.metrics.write.note_taken(n_written, &taken.refusals, 0);
    app.metrics
        .write
        .note_points(points.n_points(), points.n_rejected());
    let texts = [points.text(), taken.refusals.text()];
    let texts: Vec<&str> = texts
        .iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .collect();
    let message = texts.join("\n");
    app.metrics.write.count(if message.is_empty() {
        WriteOutcome::Stored
    } else {
        WriteOutcome::Partial
    });
    let body = success(encoding, points.n_rejected(), &message);
    respond(StatusCode::OK, encoding, body)
}

fn failed(app: &App, encoding: Encoding, failure: &Failure) -> Response {
    let (http, grpc, outcome) = match failure {
        Failure::TooLarge { .. } => (
            StatusCode::PAYLOAD_TOO_LARGE,
            code::RESOURCE_EXHAUSTED,
            WriteOutcome::Malformed,
        ),
        Failure::Malformed(_) => (
            StatusCode::BAD_REQUEST,
            code::INVALID_ARGUMENT,
            WriteOutcome::Malformed,
        ),
        Failure::Unavailable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            code::UNAVAILABLE,
            WriteOutcome::Unavailable,
        ),
    };
    app.metrics.write.count(outcome);
    respond(http, encoding, status(encoding, grpc, &failure.to_string()))
}

fn unsupported(app: &App, encoding: Encoding, message: &str) -> Response {
    app.metrics.write.count(WriteOutcome::Unsupported);
    let body = status(encoding, code::UNIMPLEMENTED, message);
    respond(StatusCode::UNSUPPORTED_MEDIA_TYPE, encoding, body)
}

fn respond(http: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response {
    let content_type = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let mut response = (http, [(header::CONTENT_TYPE, content_type)], body).into_response();
    if http == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn content_types_are_read_as_mime_types() {
        for value in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON",
        ] {
            assert_eq!(encoding(&headers("content-type", value)), Ok(Encoding::Json));
        }
        let protobuf = encoding(&headers("content-type", "application/x-protobuf"));
        assert_eq!(protobuf, Ok(Encoding::Protobuf));
        assert!(encoding(&headers("content-type", "text/plain")).is_err());
        assert!(encoding(&HeaderMap::new()).is_err());
    }

    #[test]
    fn the_sender_is_who_a_proxy_says_or_who_is_connected() {
        let forwarded = headers("x-forwarded-for", "10.1.2.3, 10.9.9.9");
        let peer = Peer([127, 0, 0, 1].into());
        assert_eq!(origin(&forwarded, Some(&peer)), "10.1.2.3");
        assert_eq!(origin(&HeaderMap::new(), Some(&peer)), "127.0.0.1");
        assert_eq!(origin(&HeaderMap::new(), None), "");
    }
}
