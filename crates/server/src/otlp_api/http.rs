//! `POST /api/v1/otlp/v1/metrics` and `/v1/metrics`: OTLP over HTTP, in protobuf and JSON.
//!
//! Bodies are an `ExportMetricsServiceResponse` or a `google.rpc.Status`, in the request's encoding.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wire::otlp::response::{status, success};

use super::outcome::{Refused, accepted};
use crate::app::{App, IfReady};
use crate::ingest::{Compression, Encoding, Message, OtlpBody};
use crate::listener::Peer;
use crate::write_api::{RETRY_AFTER_SECONDS, discard, take};

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
            let answer_in = *encoding.as_ref().unwrap_or(&Encoding::Protobuf);
            let message = encoding.err().or(compression.err()).unwrap_or_default();
            return refuse(&app, answer_in, &Refused::unsupported(), &message);
        }
    };
    let message = Message::Otlp(OtlpBody {
        encoding,
        compression,
        is_framed: false,
        origin: super::origin(request.headers(), peer.as_deref()),
    });
    let limit = app.config.ingest.limits.otlp_bytes;
    match take(&app, &ready, limit, message, request.into_body()).await {
        Ok(taken) => {
            let accepted = accepted(&app, &ready, taken);
            let body = success(encoding, accepted.n_rejected, &accepted.message);
            respond(StatusCode::OK, encoding, body)
        }
        Err(failure) => refuse(&app, encoding, &Refused::of(&failure), &failure.to_string()),
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

fn refuse(app: &App, encoding: Encoding, refused: &Refused, message: &str) -> Response {
    refused.count(app);
    let body = status(encoding, refused.grpc, message, refused.detail);
    respond(refused.http, encoding, body)
}

fn respond(http: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response {
    let content_type = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let mut response = (http, [(header::CONTENT_TYPE, content_type)], body).into_response();
    if http == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = HeaderValue::from(RETRY_AFTER_SECONDS);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read_as_mime_types() {
        let encoding = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            encoding(&headers)
        };
        for value in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON",
        ] {
            assert_eq!(encoding(value), Ok(Encoding::Json));
        }
        assert_eq!(encoding("application/x-protobuf"), Ok(Encoding::Protobuf));
        assert!(encoding("text/plain").is_err());
        assert!(super::encoding(&HeaderMap::new()).is_err());
    }
}
