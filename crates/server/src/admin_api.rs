//! What only an operator should ask for: `POST /api/v1/admin/tsdb/…`, if it is switched on.
//!
//! | path | answer |
//! |---|---|
//! | `flush` | 200 when everything in the head is in blocks and durable: how many blocks and samples |
//! | `delete_series` | 204 when no query sees the samples any more; their bytes go when blocks are merged or cleaned |
//! | `clean_tombstones` | 204 when the bytes of everything deleted are gone |
//!
//! Flushing also happens by itself. Deleting flushes first, so it takes as long as that. Where the disk does not let us,
//! the answer is 503: everything is as before, and the same request succeeds when there is room.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::TimestampMs;
use storage::{Done, Error};
use tokio::sync::oneshot;

use crate::app::{App, IfReady};
use crate::error::{ApiError, ErrorKind};
use crate::json;
use crate::params::Params;
use crate::reply::{ApiResult, Reply, success};
use crate::series_api::selectors;

/// Does what the last part of the path says.
pub(crate) async fn act(
    State(app): State<App>,
    ready: IfReady,
    reply: Reply,
    Path(action): Path<String>,
    params: Params,
) -> ApiResult {
    if !app.config.admin_api {
        return Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled"));
    }
    match &*action {
        "flush" => flush(&ready, &reply).await,
        "delete_series" => delete(&ready, &params).await,
        "clean_tombstones" => {
            let store = &ready.opened.store;
            wait(|done| store.clean(done)).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Ok(StatusCode::NOT_FOUND.into_response()),
    }
}

async fn flush(ready: &IfReady, reply: &Reply) -> ApiResult {
    let store = &ready.opened.store;
    let flushed = wait(|done| store.flush(done)).await?;
    let answer = format!(r#"{{"blocks":{},"samples":{}}}"#, flushed.blocks, flushed.samples);
    let answer: Response = reply.text(json::CONTENT_TYPE, success(|json| json.push_str(&answer)));
    Ok(answer)
}

async fn delete(ready: &IfReady, params: &Params) -> ApiResult {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let selectors = selectors(params)?;
    let first_ms = params.time_or("start", TimestampMs::MIN)?;
    let last_ms = params.time_or("end", TimestampMs::MAX)?;
    if last_ms < first_ms {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    let store = &ready.opened.store;
    wait(|done| store.delete(selectors, first_ms, last_ms, done)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Asks the store for something and waits for it.
async fn wait<T: Send + 'static>(ask: impl FnOnce(Done<T>) -> Result<(), Error>) -> Result<T, ApiError> {
    let (sender, answer) = oneshot::channel();
    ask(Box::new(move |result| drop(sender.send(result))))?;
    Ok(answer.await.unwrap_or(Err(Error::Closed))?)
}
