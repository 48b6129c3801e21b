//! `POST /api/v1/write`: headers and body in, status and reasons out.
//!
//! | answer | when |
//! |---|---|
//! | 204 | everything is stored and durable, or there was nothing to store |
//! | 202 | samples of a replica that is not elected were left out (2.0 counts them as written), the rest is stored |
//! | 400 | the body cannot be read (nothing is stored), or something of it was refused (the rest is stored) |
//! | 413 | the body is larger than allowed |
//! | 415 | another encoding or message than remote write |
//! | 503 | not now: no room, or the log cannot be written; with `Retry-After`, nothing is stored |
//!
//! 429 is never sent: Prometheus drops what it is answered with 429. Every answer to a 2.0 request says how much
//! was written, also 400.

use axum::body::Body as HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use storage::{Refusal, RefusalReason};
use tokio::sync::oneshot;
use wire::remote_write::{Protocol, Unsupported, negotiate};

use crate::app::{App, IfReady, Ready};
use crate::error::chain;
use crate::ingest::{
    Body, Dropped, Failure, Job, Message, RefusalKind, Refusals, Slot, Stored, Taken, name_sample,
};
use crate::metrics::WriteOutcome;

/// A body that takes longer than this to arrive holds its room for nothing.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// Of a body that is not wanted, so much is read all the same.
const DISCARD_BYTES: usize = 64 << 20;

/// So long may that take.
const DISCARD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Seconds after which a sender that was turned away may come again.
pub(crate) const RETRY_AFTER_SECONDS: u32 = 1;

/// Takes one request.
pub(crate) async fn write(State(app): State<App>, ready: IfReady, request: Request) -> Response {
    let protocol = match protocol(request.headers()) {
        Ok(protocol) => protocol,
        Err(unsupported) => {
            app.metrics.write.count(WriteOutcome::Unsupported);
            let text = format!("{unsupported}\n");
            discard(request.into_body()).await;
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
        }
    };
    let limit = app.config.ingest.limits.compressed_bytes;
    let message = Message::RemoteWrite(protocol);
    let answer = match take(&app, &ready, limit, message, request.into_body()).await {
        Ok(taken) => stored(&app, &ready, protocol, taken),
        Err(failure) => rejected(&app, &failure),
    };
    answer.into_response(protocol)
}

fn protocol(headers: &HeaderMap) -> Result<Protocol, Unsupported> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    negotiate(text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING))
}

/// Reads the body, has it decoded and waits until it is durable.
pub(crate) async fn take(
    app: &App,
    ready: &Ready,
    limit: usize,
    message: Message,
    mut body: HttpBody,
) -> Result<Taken, Failure> {
    // The room is held until the request is answered.
    let (_slot, body) = match admit(app, limit, &mut body).await {
        Ok(admitted) => admitted,
        Err(failure) => {
            discard(body).await;
            return Err(failure);
        }
    };
    app.metrics.write.body_bytes.add(body.len());
    let (reply, answer) = oneshot::channel();
    ready.ingest.submit(Job { body, message, reply })?;
    let not_taken = || Failure::Unavailable("the write queue is full, or the store is closing".into());
    let mut taken = answer.await.map_err(|_| not_taken())??;
    if let Some(durable) = taken.metadata.take() {
        let result = durable.await.map_err(|_| not_taken())?;
        result.map_err(|error| Failure::Unavailable(chain(&error)))?;
    }
    Ok(taken)
}

/// Reads the rest of a body that was answered without it, so that its sender gets to read the answer and the
/// connection stays of use: one that is closed while a client still sends is an error to it, not an answer. What is
/// still to come after [`DISCARD_BYTES`] or [`DISCARD_TIMEOUT`] closes the connection all the same.
pub(crate) async fn discard(mut body: HttpBody) {
    let mut n_left = DISCARD_BYTES;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let n_bytes = frame.data_ref().map_or(0, bytes::Bytes::len);
            match n_left.checked_sub(n_bytes) {
                Some(left) => n_left = left,
                None => break,
            }
        }
    };
    // Out of time is as good as done: the answer goes out now.
    tokio::time::timeout(DISCARD_TIMEOUT, rest).await.ok();
}

async fn admit(app: &App, limit: usize, body: &mut HttpBody) -> Result<(Slot, Body), Failure> {
    let mut slot = app.admission.enter()?;
    match tokio::time::timeout(BODY_TIMEOUT, read(app, &mut slot, limit, body)).await {
        Ok(read) => Ok((slot, read?)),
        Err(_) => Err(Failure::Unavailable("the body took too long to arrive".into())),
    }
}

async fn read(app: &App, slot: &mut Slot, limit: usize, body: &mut HttpBody) -> Result<Body, Failure> {
    let too_large = Failure::TooLarge { limit };
    let announced = body.size_hint().lower();
    let Ok(announced) = usize::try_from(announced).map(|bytes| bytes.min(limit + 1)) else {
        return Err(too_large);
    };
    if announced > limit {
        return Err(too_large);
    }
    slot.grow(announced)?;
    let mut whole = app.buffers.body(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Malformed(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let n_bytes = whole.len() + data.len();
        if n_bytes > limit {
            return Err(too_large);
        }
        if n_bytes > announced {
            slot.grow(n_bytes - whole.len().max(announced))?;
        }
        whole.push(data);
    }
    Ok(whole)
}

/// An answer before it has its headers.
struct Answer {
    status: StatusCode,
    text: String,
    /// Floats, native histograms and exemplars.
    n_written: (usize, usize, usize),
}

/// Names what the store refused.
pub(crate) fn note_refusals(ready: &Ready, stored: &Stored, refusals: &mut Refusals) {
    for refusal in &stored.outcome.refused {
        note_refusal(ready, stored, refusal, refusals);
    }
}

/// Names one sample that the store refused.
pub(crate) fn note_refusal(ready: &Ready, stored: &Stored, refusal: &Refusal, refusals: &mut Refusals) {
    // Grafana looks for the first phrase: it means that a retry has been stored before.
    let (kind, phrase) = match refusal.reason {
        RefusalReason::DuplicateTimestamp { .. } | RefusalReason::DuplicateHistogram => {
            (RefusalKind::DuplicateTimestamp, "duplicate sample for timestamp")
        }
        _ => (RefusalKind::TooOld, "too old sample"),
    };
    refusals.push(kind, 1, || {
        let reason = format!("{phrase}: {}", refusal.reason);
        name_refused(ready, stored, refusal.sample_idx, &reason)
    });
}

/// A sample that the store refused, for a person.
pub(crate) fn name_refused(ready: &Ready, stored: &Stored, sample_idx: usize, reason: &str) -> String {
    match stored.sample(sample_idx) {
        Some((series, timestamp_ms)) => name_sample(&ready.opened.store, series, timestamp_ms, &reason),
        None => reason.to_owned(),
    }
}

/// Names the exemplars that the store refused.
fn note_exemplars(ready: &Ready, stored: &Stored, refusals: &mut Refusals) {
    for (series, timestamp_ms) in &stored.outcome.exemplars.out_of_order {
        refusals.push_reason(|| {
            let labels = ready.opened.store.series_labels(*series).unwrap_or_default();
            format!("series {labels}: exemplar at {timestamp_ms} ms: out of order exemplar")
        });
    }
}

/// What the store made of the samples, together with what was refused before.
fn stored(app: &App, ready: &Ready, protocol: Protocol, taken: Taken) -> Answer {
    let exemplars = taken.exemplar_tally();
    let mut refusals = taken.refusals;
    let mut n_written = (0, 0);
    if let Some(stored) = taken.stored {
        n_written = stored.n_written();
        note_refusals(ready, &stored, &mut refusals);
        // As in Prometheus, 1.0 is not told.
        if protocol == Protocol::V2 {
            note_exemplars(ready, &stored, &mut refusals);
        }
    }
    let mut text = refusals.text();
    app.metrics.write.note_taken(n_written, &refusals, &exemplars);
    let dropped = taken.dropped;
    let has_dropped = dropped != Dropped::default() || exemplars.counts.n_dropped > 0;
    let (status, outcome) = if text.is_empty() && !has_dropped {
        (StatusCode::NO_CONTENT, WriteOutcome::Stored)
    } else if text.is_empty() {
        (StatusCode::ACCEPTED, WriteOutcome::Deduplicated)
    } else {
        text.push('\n');
        (StatusCode::BAD_REQUEST, WriteOutcome::Partial)
    };
    app.metrics.write.count(outcome);
    Answer {
        status,
        text,
        n_written: (
            n_written.0 + dropped.n_floats,
            n_written.1 + dropped.n_histograms,
            exemplars.n_written + exemplars.counts.n_dropped,
        ),
    }
}

fn rejected(app: &App, failure: &Failure) -> Answer {
    let text = format!("{failure}\n");
    let (status, outcome) = match failure {
        Failure::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, WriteOutcome::Malformed),
        Failure::Malformed(_) => (StatusCode::BAD_REQUEST, WriteOutcome::Malformed),
        Failure::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, WriteOutcome::Unavailable),
    };
    app.metrics.write.count(outcome);
    Answer {
        status,
        text,
        n_written: (0, 0, 0),
    }
}

impl Answer {
    fn into_response(self, protocol: Protocol) -> Response {
        let mut response = (self.status, self.text).into_response();
        let headers = response.headers_mut();
        if matches!(self.status, StatusCode::NO_CONTENT | StatusCode::ACCEPTED) {
            headers.remove(header::CONTENT_TYPE);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if protocol == Protocol::V2 {
            for (name, n_written) in [
                ("x-prometheus-remote-write-samples-written", self.n_written.0),
                ("x-prometheus-remote-write-histograms-written", self.n_written.1),
                ("x-prometheus-remote-write-exemplars-written", self.n_written.2),
            ] {
                headers.insert(name, HeaderValue::from(n_written));
            }
        }
        response
    }
}
