//! What became of a request, whichever door it came through.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use model::{SeriesRef, TimestampMs};
use wire::otlp::response::Detail;

use super::code;
use crate::app::{App, Ready};
use crate::ingest::{Failure, Points, RefusalKind, Stored, Taken};
use crate::metrics::WriteOutcome;
use crate::write_api::{RETRY_AFTER_SECONDS, name_refused, note_refusal};

/// A request that was taken, perhaps in part.
pub(super) struct Accepted {
    /// Data points that are not stored, or not whole.
    pub(super) n_rejected: u64,
    /// Why; empty when there is nothing to say.
    pub(super) message: String,
}

const COLLISION: &str = "two data points of this request are this one series once their names are translated: set \
                         otlp.translation_strategy, or otlp.envoy_profile for an Envoy";

/// Counts what was taken and puts the reasons for the rest together.
pub(super) fn accepted(app: &App, ready: &Ready, mut taken: Taken) -> Accepted {
    let mut points = taken.points.take().unwrap_or_default();
    let mut n_written = (0, 0);
    if let Some(stored) = &taken.stored {
        n_written = stored.n_written();
        let contested = contested(stored, &points);
        for refusal in &stored.outcome.refused {
            let row = refusal.sample_idx;
            if stored
                .sample(row)
                .is_some_and(|sample| contested.contains(&sample))
            {
                taken.refusals.push(RefusalKind::NameCollision, 1, || {
                    name_refused(ready, stored, row, COLLISION)
                });
            } else {
                note_refusal(ready, stored, refusal, &mut taken.refusals);
            }
            points.refuse_row(row);
        }
    }
    let metrics = &app.metrics.write;
    metrics.note_taken(n_written, &taken.refusals, &taken.exemplar_tally());
    metrics.note_points(points.n_points(), points.n_rejected());
    let texts = [points.text(), taken.refusals.text()];
    let texts: Vec<&str> = texts
        .iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .collect();
    let message = texts.join("\n");
    metrics.count(if message.is_empty() {
        WriteOutcome::Stored
    } else {
        WriteOutcome::Partial
    });
    Accepted {
        n_rejected: points.n_rejected(),
        message,
    }
}

/// The refused samples that have the series and time of another data point of the same request.
fn contested(stored: &Stored, points: &Points) -> HashSet<(SeriesRef, TimestampMs)> {
    let refused = stored.outcome.refused.iter();
    let by_sample: HashMap<_, _> = refused
        .filter_map(|refusal| Some((stored.sample(refusal.sample_idx)?, refusal.sample_idx)))
        .collect();
    if by_sample.is_empty() {
        return HashSet::new();
    }
    let rows = stored.all_samples().enumerate();
    rows.filter(|(row, sample)| {
        let refused_row = by_sample.get(sample);
        refused_row.is_some_and(|refused_row| points.differ(*row, *refused_row))
    })
    .map(|(_, sample)| sample)
    .collect()
}

/// How a request of which nothing is stored is answered.
pub(super) struct Refused {
    pub(super) http: StatusCode,
    pub(super) grpc: u32,
    pub(super) detail: Option<Detail>,
    outcome: WriteOutcome,
}

impl Refused {
    /// The one table of failures and codes.
    pub(super) fn of(failure: &Failure) -> Self {
        match failure {
            Failure::TooLarge { .. } => Self {
                http: StatusCode::PAYLOAD_TOO_LARGE,
                grpc: code::RESOURCE_EXHAUSTED,
                detail: None,
                outcome: WriteOutcome::Malformed,
            },
            Failure::Malformed(_) => Self {
                http: StatusCode::BAD_REQUEST,
                grpc: code::INVALID_ARGUMENT,
                detail: Some(Detail::BadRequest),
                outcome: WriteOutcome::Malformed,
            },
            Failure::Unavailable(_) => Self {
                http: StatusCode::SERVICE_UNAVAILABLE,
                grpc: code::UNAVAILABLE,
                detail: Some(Detail::RetryAfter(RETRY_AFTER_SECONDS)),
                outcome: WriteOutcome::Unavailable,
            },
        }
    }

    /// For what was not even looked at.
    pub(super) fn unsupported() -> Self {
        Self {
            http: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            grpc: code::UNIMPLEMENTED,
            detail: None,
            outcome: WriteOutcome::Unsupported,
        }
    }

    pub(super) fn count(&self, app: &App) {
        app.metrics.write.count(self.outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_codes_and_only_what_a_retry_helps_asks_for_one() {
        let check = |failure: Failure, http: u16, grpc: u32, detail: Option<Detail>| {
            let refused = Refused::of(&failure);
            assert_eq!((refused.http.as_u16(), refused.grpc), (http, grpc), "{failure}");
            assert_eq!(refused.detail, detail, "{failure}");
        };
        check(Failure::TooLarge { limit: 1 }, 413, 8, None);
        check(Failure::Malformed("m".into()), 400, 3, Some(Detail::BadRequest));
        let retry = Some(Detail::RetryAfter(1));
        check(Failure::Unavailable("u".into()), 503, 14, retry);
        let unsupported = Refused::unsupported();
        assert_eq!((unsupported.http.as_u16(), unsupported.grpc), (415, 12));
    }
}
