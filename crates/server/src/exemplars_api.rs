//! `/api/v1/query_exemplars`: the exemplars of all series that the selectors of an expression pick.
//!
//! Source: Prometheus `web/api/v1`, `queryExemplars`. Series are sorted by their labels, exemplars by time.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use model::number::push_api_float;
use model::{Matcher, TimestampMs};
use promql::ParseOptions;
use promql::ast::{Expr, ExprKind};
use storage::SeriesExemplars;

use crate::app::IfReady;
use crate::error::{ApiError, ErrorKind};
use crate::json;
use crate::params::Params;
use crate::reply::{ApiResult, Pieces, Reply};

/// The exemplars between two times. Grafana probes with times in milliseconds, which read as seconds lie in the year
/// 56,000 and are fine.
pub(crate) async fn exemplars(ready: IfReady, reply: Reply, params: Params) -> ApiResult {
    let start_ms = params.time_or("start", TimestampMs::MIN)?;
    let end_ms = params.time_or("end", TimestampMs::MAX)?;
    if end_ms < start_ms {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    let expr = promql::parse(params.get("query"), &ParseOptions::default())
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let mut selectors = Vec::new();
    push_selectors(&expr, &mut selectors);
    if selectors.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let store = Arc::clone(&ready.opened.store);
    let read = tokio::task::spawn_blocking(move || store.exemplars(&selectors, start_ms, end_ms));
    let found = read.await.map_err(|_| ApiError {
        kind: ErrorKind::Internal,
        message: "reading exemplars has failed".to_owned(),
    })?;
    Ok(reply.pieces(json::CONTENT_TYPE, ExemplarList { found, n_written: 0 }))
}

/// Appends the matchers of every selector of an expression, in order of writing.
fn push_selectors(expr: &Expr, selectors: &mut Vec<Vec<Matcher>>) {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Selector(selector) => selectors.push(selector.matchers.clone()),
        ExprKind::Range(range) => selectors.push(range.selector.matchers.clone()),
        ExprKind::Subquery(subquery) => push_selectors(&subquery.expr, selectors),
        ExprKind::Call(call) => {
            for argument in &call.arguments {
                push_selectors(argument, selectors);
            }
        }
        ExprKind::Aggregate(aggregate) => {
            push_selectors(&aggregate.expr, selectors);
            if let Some(parameter) = &aggregate.parameter {
                push_selectors(parameter, selectors);
            }
        }
        ExprKind::Binary(binary) => {
            push_selectors(&binary.left, selectors);
            push_selectors(&binary.right, selectors);
        }
        ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => {
            push_selectors(inner, selectors);
        }
    }
}

/// Series with their exemplars.
struct ExemplarList {
    found: Vec<SeriesExemplars>,
    n_written: usize,
}

/// Series in a part.
const SERIES_PER_PART: usize = 8;

impl Pieces for ExemplarList {
    fn write(&mut self, json: &mut String) -> bool {
        if self.n_written == 0 {
            json.push_str(r#"{"status":"success","data":["#);
        }
        for series in self.found.iter().skip(self.n_written).take(SERIES_PER_PART) {
            if self.n_written > 0 {
                json.push(',');
            }
            push_series(json, series);
            self.n_written += 1;
        }
        let more = self.n_written < self.found.len();
        if !more {
            json.push_str("]}");
        }
        more
    }
}

fn push_series(json: &mut String, series: &SeriesExemplars) {
    json.push_str(r#"{"seriesLabels":"#);
    json::push_labels(json, series.labels.iter());
    json.push_str(r#","exemplars":["#);
    for (position, exemplar) in series.exemplars.iter().enumerate() {
        json.push_str(if position > 0 {
            r#",{"labels":"#
        } else {
            r#"{"labels":"#
        });
        json::push_labels(json, exemplar.labels.iter());
        json.push_str(r#","value":""#);
        push_api_float(json, exemplar.value);
        json.push_str(r#"","timestamp":"#);
        json::push_timestamp(json, exemplar.timestamp_ms);
        json.push('}');
    }
    json.push_str("]}");
}
