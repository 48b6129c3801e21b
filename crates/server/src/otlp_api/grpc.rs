//! `opentelemetry.proto.collector.metrics.v1.MetricsService/Export`: OTLP over gRPC.
//!
//! The call has one message each way, so a handler of HTTP/2 is all that gRPC needs here. What a gRPC library would
//! add gets in the way: it takes the whole message into memory and decompresses it on a thread of the sockets, before
//! anybody asks whether there is room for it. Here a call passes through the same admission, and is opened by the same
//! threads, as every other request. See ADR 6.
//!
//! A client that goes away before its message is complete has sent nothing. One that goes away later is not waited
//! for, but what it sent is stored.

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full};
use wire::grpc;
use wire::otlp::response::{Encoding, cut_to, status, success};

use super::outcome::{Refused, accepted};
use super::{code, origin};
use crate::app::App;
use crate::ingest::{Compression, Failure, Message, OtlpBody};
use crate::listener::Peer;
use crate::write_api::take;

/// Where the call is.
pub(crate) const EXPORT_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

const CONTENT_TYPE: &str = "application/grpc";

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Clients take 8 KiB of headers. A message stands there twice, at worst with three characters for a byte.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// Takes one call.
pub(crate) async fn export(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    request: Request,
) -> Response {
    if !is_grpc(request.headers()) {
        let text = "this path takes gRPC: Content-Type application/grpc\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    let Some(ready) = app.ready() else {
        let failure = Failure::Unavailable("the log is still being replayed".into());
        return refuse(&app, &Refused::of(&failure), &failure.to_string());
    };
    let encoding = request.headers().get(GRPC_ENCODING);
    let name = encoding.map_or("", |value| value.to_str().unwrap_or("?"));
    let Some(compression) = Compression::of_name(name) else {
        let message = format!(
            "grpc-encoding {name:?} is not supported: send one of {}",
            Compression::NAMES
        );
        return refuse(&app, &Refused::unsupported(), &message);
    };
    let message = Message::Otlp(OtlpBody {
        encoding: Encoding::Protobuf,
        compression,
        is_framed: true,
        origin: origin(request.headers(), peer.as_deref()),
    });
    let limit = app.config.ingest.limits.otlp_bytes + grpc::HEADER_BYTES;
    match take(&app, ready, limit, message, request.into_body()).await {
        Ok(taken) => {
            let accepted = accepted(&app, ready, taken);
            let message = success(Encoding::Protobuf, accepted.n_rejected, &accepted.message);
            answer(&message)
        }
        Err(failure) => refuse(&app, &Refused::of(&failure), &failure.to_string()),
    }
}

/// Answers calls of other services, as the exporters of traces and logs make them.
pub(crate) async fn no_such_call(request: Request) -> Response {
    if !is_grpc(request.headers()) {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    let message = format!(
        "{} is not served here, only metrics are taken",
        request.uri().path()
    );
    failed(code::UNIMPLEMENTED, &message, &[])
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.map_or("", |value| value.to_str().unwrap_or_default());
    let rest = text.strip_prefix(CONTENT_TYPE);
    rest.is_some_and(|rest| matches!(rest, "" | "+proto") || rest.starts_with(';'))
}

fn refuse(app: &App, refused: &Refused, message: &str) -> Response {
    refused.count(app);
    let message = cut_to(message, MESSAGE_BYTES_MAX);
    let details = match refused.detail {
        Some(_) => status(Encoding::Protobuf, refused.grpc, message, refused.detail),
        None => Vec::new(),
    };
    failed(refused.grpc, message, &details)
}

/// A call that succeeded: the message, and the status behind it.
fn answer(message: &[u8]) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from(code::OK));
    let message = Full::new(Bytes::from(grpc::frame(message)));
    let body = message.with_trailers(std::future::ready(Some(Ok(trailers))));
    with_headers(Response::new(Body::new(body)))
}

/// A call that failed: no message, and the status in the head.
fn failed(code: u32, message: &str, details: &[u8]) -> Response {
    let mut response = with_headers(Response::new(Body::empty()));
    let headers = response.headers_mut();
    headers.insert(GRPC_STATUS, HeaderValue::from(code));
    // Both texts are printable ASCII.
    if let Ok(text) = HeaderValue::try_from(grpc::message_text(message)) {
        headers.insert(GRPC_MESSAGE, text);
    }
    if !details.is_empty()
        && let Ok(text) = HeaderValue::try_from(grpc::binary_text(details))
    {
        headers.insert(GRPC_DETAILS, text);
    }
    response
}

fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    let encodings = HeaderValue::from_static(Compression::NAMES);
    headers.insert(GRPC_ACCEPT_ENCODING, encodings);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_with_protobuf_is_taken_for_it() {
        let is_grpc = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            is_grpc(&headers)
        };
        for value in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc; x=y",
        ] {
            assert!(is_grpc(value), "{value}");
        }
        for value in [
            "application/grpc-web",
            "application/grpc+json",
            "application/json",
            "",
        ] {
            assert!(!is_grpc(value), "{value}");
        }
    }
}
