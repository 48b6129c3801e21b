//! `/federate`: the newest sample of each picked series, for another Prometheus or whatever collects downstream.
//!
//! The window is the lookback, both ends included; only GET; no selector gives an empty page. What a line looks
//! like is `wire`'s business.
//!
//! Source: Prometheus `web/federate.go`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{Labels, Matcher, Sample, TimeRange};
use query::{NewestSamples, QueryError};
use wire::exposition::{federate::Writer, negotiate};

use crate::app::{App, IfReady};
use crate::error::ApiError;
use crate::params::Params;
use crate::reply::{Pieces, Reply};

/// Answers with the page.
pub(crate) async fn federate(
    State(app): State<App>,
    ready: IfReady,
    reply: Reply,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let selectors: Result<Vec<Vec<Matcher>>, _> = params.all("match[]").map(promql::parse_selector).collect();
    let selectors = match selectors {
        Ok(selectors) => selectors,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let engine = &ready.opened.engine;
    let now_ms = app.clock.now_ms();
    let range = TimeRange {
        start_ms: now_ms - engine.options().lookback_ms - 1,
        end_ms: now_ms,
    };
    match engine.newest(selectors, range).await {
        Ok(samples) => {
            let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
            let escaping = negotiate(accept);
            let writer = Writer::new(escaping, &pairs(&app.config.external_labels));
            reply.pieces(
                escaping.content_type(),
                Page {
                    samples,
                    writer,
                    n_written: 0,
                },
            )
        }
        Err(error) => failed(error),
    }
}

/// Errors are text here, with the status that the API would have.
fn failed(error: QueryError) -> Response {
    let error = ApiError::from(error);
    (error.status(), format!("{}\n", error.message)).into_response()
}

fn pairs(labels: &Labels) -> Vec<(String, String)> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    labels.iter().map(owned).collect()
}

/// A page that writes itself.
struct Page {
    samples: NewestSamples,
    writer: Writer,
    n_written: usize,
}

/// Series in a part of the page: some 20 kB.
const SERIES_PER_PART: usize = 32;

impl Pieces for Page {
    fn write(&mut self, text: &mut String) -> bool {
        let end = self.samples.n_series().min(self.n_written + SERIES_PER_PART);
        let mut labels = Vec::new();
        for series_idx in self.n_written..end {
            let (timestamp_ms, value) = self.samples.sample(series_idx);
            let sample = Sample { timestamp_ms, value };
            labels.clear();
            labels.extend(self.samples.labels(series_idx));
            self.writer.push(text, labels.iter().copied(), sample);
        }
        self.n_written = end;
        end < self.samples.n_series()
    }
}
