//! Endpoints of Prometheus that are known and not served yet: a clear answer instead of a guess.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::json;
use crate::params::Params;
use crate::reply::{ApiResult, Reply, success};

/// Paths that answer [`not_implemented`].
pub(crate) const PATHS: &[&str] = &[
    "/api/v1/alertmanagers",
    "/api/v1/read",
    "/api/v1/scrape_pools",
    "/api/v1/status/tsdb",
    "/api/v1/status/walreplay",
    "/api/v1/targets",
];

/// 501 and which endpoint it was.
pub(crate) async fn not_implemented(uri: Uri) -> Response {
    let mut body = String::from(r#"{"status":"error","errorType":"unavailable","error":"#);
    let message = format!("{} is not implemented in this version", uri.path());
    json::push_string(&mut body, &message);
    body.push('}');
    let headers = [(header::CONTENT_TYPE, json::CONTENT_TYPE)];
    (StatusCode::NOT_IMPLEMENTED, headers, body).into_response()
}

/// No rule groups: rules are not evaluated yet.
pub(crate) async fn rules(reply: Reply, params: Params) -> ApiResult {
    let kind = params.get("type");
    if !matches!(kind, "" | "alert" | "record") {
        return Err(ApiError::parameter(
            "type",
            format!("not supported value {kind:?}"),
        ));
    }
    Ok(reply.text(
        json::CONTENT_TYPE,
        success(|json| json.push_str(r#"{"groups":[]}"#)),
    ))
}

/// No alerts.
pub(crate) async fn alerts(reply: Reply) -> Response {
    reply.text(
        json::CONTENT_TYPE,
        success(|json| json.push_str(r#"{"alerts":[]}"#)),
    )
}
