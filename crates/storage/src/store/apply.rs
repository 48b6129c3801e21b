//! The applier thread: durable groups into the head, in the order of the log.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Receiver;
use model::SampleBatch;

use super::commit::Group;
use super::queue::{QueueGauge, Request};
use super::{AppendOutcome, ExemplarOutcome};
use crate::{Head, RefusalReason};

/// What was appended and refused.
#[derive(Debug, Default)]
pub(crate) struct AppendCounters {
    pub(crate) appended_samples: AtomicU64,
    pub(crate) refused_duplicate_samples: AtomicU64,
    pub(crate) refused_old_samples: AtomicU64,
}

/// Applies groups until there are no more.
pub(crate) fn apply_groups(
    groups: Receiver<Group>,
    head: &Head,
    gauge: &QueueGauge,
    counters: &AppendCounters,
) {
    for group in groups {
        for request in group.requests {
            let weight = request.weight();
            match request {
                Request::Append {
                    batch,
                    exemplar_outcome,
                    done,
                    ..
                } => {
                    let mut outcome = append(&batch, head, counters);
                    outcome.exemplars = exemplar_outcome;
                    drop(batch);
                    gauge.release(weight);
                    done(Ok(outcome));
                }
                Request::Remember { done } => {
                    gauge.release(weight);
                    done(Ok(()));
                }
                Request::Barrier { segment, done, .. } => done(Ok(segment)),
                Request::Restate { done } | Request::Visit { done } => done(Ok(())),
                Request::Close => {}
            }
        }
    }
}

fn append(batch: &SampleBatch, head: &Head, counters: &AppendCounters) -> AppendOutcome {
    let mut refused = Vec::new();
    let written = head.append(batch, &mut refused);
    counters
        .appended_samples
        .fetch_add(written as u64, Ordering::Relaxed);
    for refusal in &refused {
        let counter = match refusal.reason {
            RefusalReason::DuplicateTimestamp { .. } | RefusalReason::DuplicateHistogram => {
                &counters.refused_duplicate_samples
            }
            RefusalReason::TooOld { .. } => &counters.refused_old_samples,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    AppendOutcome {
        written,
        refused,
        exemplars: ExemplarOutcome::default(),
    }
}
