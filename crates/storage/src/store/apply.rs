//! Durable groups into the head, in the order of the log.
//!
//! A thread of its own applies what takes long, while the next group is on its way to the disk. A small group that
//! nothing waits before is applied by the writer itself: to wake another thread would cost more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, SendError, Sender};
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

/// A group of no more samples is applied by the writer: a tenth of the time that a sync takes.
const OWN_SAMPLES_MAX: usize = 4_096;

/// Groups that may wait to be applied. Two keep both threads busy; more would only be memory.
const GROUPS_AHEAD: usize = 2;

/// Applies groups.
#[derive(Debug, Clone)]
pub(crate) struct Applier {
    pub(crate) head: Arc<Head>,
    pub(crate) gauge: Arc<QueueGauge>,
    pub(crate) counters: Arc<AppendCounters>,
}

/// Where the writer leaves groups.
#[derive(Debug)]
pub(crate) struct Outlet {
    applier: Applier,
    groups: Sender<Group>,
    n_waiting: Arc<AtomicUsize>,
}

/// What the thread that applies groups has of it.
#[derive(Debug)]
pub(crate) struct ApplierThread {
    applier: Applier,
    groups: Receiver<Group>,
    n_waiting: Arc<AtomicUsize>,
}

impl Applier {
    /// An outlet and its thread, to be run.
    pub(crate) fn split(self) -> (Outlet, ApplierThread) {
        let (sender, receiver) = crossbeam_channel::bounded(GROUPS_AHEAD);
        let n_waiting = Arc::new(AtomicUsize::new(0));
        let thread = ApplierThread {
            applier: self.clone(),
            groups: receiver,
            n_waiting: Arc::clone(&n_waiting),
        };
        let outlet = Outlet {
            applier: self,
            groups: sender,
            n_waiting,
        };
        (outlet, thread)
    }

    fn apply(&self, group: Group) {
        for request in group.requests {
            let weight = request.weight();
            match request {
                Request::Append {
                    batch,
                    exemplar_outcome,
                    done,
                    ..
                } => {
                    let mut outcome = append(&batch, &self.head, &self.counters);
                    outcome.exemplars = exemplar_outcome;
                    drop(batch);
                    self.gauge.release(weight);
                    done(Ok(outcome));
                }
                Request::Remember { done } => {
                    self.gauge.release(weight);
                    done(Ok(()));
                }
                Request::Barrier { segment, done, .. } => done(Ok(segment)),
                Request::Restate { done } | Request::Visit { done } => done(Ok(())),
                Request::Close => {}
            }
        }
    }
}

impl Outlet {
    /// Applies a group, or leaves it to the thread behind those that wait there.
    ///
    /// # Errors
    /// The group, if the thread has ended.
    pub(crate) fn push(&self, group: Group) -> Result<(), SendError<Group>> {
        if self.n_waiting.load(Ordering::Acquire) == 0 && is_small(&group) {
            self.applier.apply(group);
            return Ok(());
        }
        self.n_waiting.fetch_add(1, Ordering::Relaxed);
        self.groups.send(group)
    }
}

/// True for a few samples, and for visits, which are short and have to be where most samples are put into the head. What
/// else there is may take its time.
fn is_small(group: &Group) -> bool {
    let is_short = |request: &Request| matches!(request, Request::Append { .. } | Request::Visit { .. });
    let n_samples: usize = group.requests.iter().map(Request::weight).sum();
    n_samples <= OWN_SAMPLES_MAX && group.requests.iter().all(is_short)
}

impl ApplierThread {
    /// Applies groups until there are no more.
    pub(crate) fn run(self) {
        for group in self.groups {
            self.applier.apply(group);
            self.n_waiting.fetch_sub(1, Ordering::Release);
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
