//! The writer thread: group commit.
//!
//! While one group is being synced others queue up and become the next group, so the number of requests in a group
//! follows from the disk: no request waits for company. A group is written, synced, and applied to the head (see
//! [`super::apply`]).
//!
//! When a write or a sync fails, the requests of the group fail with it, the segment is given up, and a new one is
//! tried at once and then every [`RETRY`]. A new segment begins with all definitions, so none is lost. Requests
//! that come while the log cannot be written fail without waiting.

use std::sync::Arc;
use std::time::Duration;

use model::{Clock, SampleBatch, TimestampMs};

use super::apply::Outlet;
use super::config::WalSync;
use super::queue::{QueueGauge, Request};
use super::registry::Registry;
use crate::Error;
use crate::exemplars::{Exemplar, Taken};
use crate::handoff::{Nothing, Receiver};
use crate::wal::{
    Payload, ROWS_MAX, RecordEncoder, SegmentSpans, WalCounters, WalEnd, WalWriter, encode_cut,
    encode_exemplars, is_definition,
};

/// Samples of a group, unless its last request has more.
const GROUP_SAMPLES: usize = ROWS_MAX;

/// How long to wait before a log that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Requests that are durable together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) requests: Vec<Request>,
}

/// The writer thread's own.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) registry: Arc<Registry>,
    pub(crate) wal: WalWriter,
    pub(crate) spans: Arc<SegmentSpans>,
    pub(crate) encoder: RecordEncoder,
    pub(crate) requests: Receiver<Request>,
    pub(crate) outlet: Outlet,
    pub(crate) gauge: Arc<QueueGauge>,
    pub(crate) counters: Arc<WalCounters>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wal_sync: WalSync,
    /// When the oldest unsynced group was written.
    pub(crate) unsynced_since_ms: Option<TimestampMs>,
    /// Where the head was cut last; every segment begins with it.
    pub(crate) last_cut_ms: TimestampMs,
    /// Why the log cannot be written.
    pub(crate) failure: Option<Error>,
}

impl Committer {
    /// Writes samples again that a recovery has found behind the end of the log. Should it fail, they stay where they
    /// are.
    pub(crate) fn carry_over(&mut self, end: &WalEnd) {
        if end.carried.is_empty() {
            return;
        }
        let written = self.begin_segment().and_then(|everything| {
            let samples = self.encoder.encode_samples(&end.carried);
            self.note_span(end.carried.iter());
            push_all(&mut self.wal, &samples, false)?;
            push_all(&mut self.wal, &everything, true)?;
            self.wal.commit(true)
        });
        if let Err(error) = written {
            tracing::error!(%error, "samples at the end of the log could not be written again");
            self.wal.abandon();
            if let Some(uncut) = end.uncut {
                self.wal.go_on_after(uncut);
            }
        }
    }

    /// Writes until the queue is closed.
    ///
    /// # Errors
    /// If the last sync failed.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let mut is_open = true;
        while is_open {
            match self.next_request() {
                Ok(request) => {
                    let group;
                    (group, is_open) = self.collect(request);
                    self.commit(group)?;
                }
                Err(Nothing::InTime) => {}
                Err(Nothing::Ever) => is_open = false,
            }
            self.sync_if_due();
            if is_open && self.failure.is_some() && self.requests.is_empty() {
                self.try_again();
            }
        }
        self.wal.sync()
    }

    /// Waits for a request, no longer than there is nothing else to do.
    fn next_request(&self) -> Result<Request, Nothing> {
        let timeout = match self.wal_sync {
            _ if self.failure.is_some() => Some(RETRY),
            WalSync::Interval(interval_ms) if self.unsynced_since_ms.is_some() => {
                Some(Duration::from_millis(interval_ms.max(1)))
            }
            _ => None,
        };
        self.requests.receive(timeout)
    }

    /// The first request and what has queued up behind it; false when the queue is closed.
    fn collect(&self, first: Request) -> (Group, bool) {
        let mut group = Group::default();
        let mut n_samples = 0;
        let mut next = Some(first);
        while let Some(request) = next {
            if matches!(request, Request::Close) {
                return (group, false);
            }
            n_samples += request.weight();
            let is_barrier = matches!(request, Request::Barrier { .. });
            group.requests.push(request);
            next = if n_samples < GROUP_SAMPLES && !is_barrier {
                self.requests.try_receive()
            } else {
                None
            };
        }
        (group, true)
    }

    /// Writes a group and passes it on, or answers it with the error.
    ///
    /// # Errors
    /// [`Error::Closed`] if the applier has ended.
    fn commit(&mut self, mut group: Group) -> Result<(), Error> {
        if group.requests.is_empty() {
            return Ok(());
        }
        if let Some(failure) = &self.failure {
            group.fail(failure, &self.gauge);
            return Ok(());
        }
        let written = self
            .write(&mut group)
            .and_then(|()| self.heed_restatement(&group));
        if let Err(error) = written.and_then(|()| self.heed_barrier(&mut group)) {
            group.fail(&error, &self.gauge);
            self.fail(error);
            self.try_again();
            return Ok(());
        }
        self.outlet.push(group).map_err(|unsent| {
            unsent.0.fail(&Error::Closed, &self.gauge);
            Error::Closed
        })
    }

    /// Syncs if the group asks for a restatement to be durable.
    fn heed_restatement(&mut self, group: &Group) -> Result<(), Error> {
        let asks = |request: &Request| matches!(request, Request::Restate { .. });
        if group.requests.iter().any(asks) {
            self.wal.sync()?;
            self.unsynced_since_ms = None;
        }
        Ok(())
    }

    /// Ends the segment if the group ends with a barrier.
    fn heed_barrier(&mut self, group: &mut Group) -> Result<(), Error> {
        if let Some(Request::Barrier { segment, cut_ms, .. }) = group.requests.last_mut() {
            *segment = self.wal.finish_segment()?;
            self.unsynced_since_ms = None;
            self.last_cut_ms = self.last_cut_ms.max(cut_ms.unwrap_or(TimestampMs::MIN));
        }
        Ok(())
    }

    fn note_span<'a>(&self, batches: impl Iterator<Item = &'a SampleBatch>) {
        let newest_ms = batches
            .flat_map(|batch| batch.timestamps_ms.iter().copied())
            .max();
        self.spans
            .note(self.wal.segment_number(), newest_ms.unwrap_or(TimestampMs::MIN));
    }

    fn write(&mut self, group: &mut Group) -> Result<(), Error> {
        let is_empty = |request: &Request| matches!(request, Request::Barrier { .. } | Request::Visit { .. });
        if group.requests.iter().all(is_empty) {
            return Ok(());
        }
        let begins_segment = self.wal.needs_segment();
        let definitions = if begins_segment {
            self.begin_segment()?
        } else {
            let pending = self.registry.encode_pending(&mut self.encoder)?;
            push_all(&mut self.wal, &pending, false)?;
            pending
        };
        let taken = group.take_exemplars(&self.registry);
        let exemplars = encode_exemplars(&taken, &mut self.encoder)?;
        let samples = self.encoder.encode_samples(group.batches());
        if samples.is_empty() && exemplars.is_empty() && definitions.is_empty() && !begins_segment {
            return Ok(());
        }
        self.note_span(group.batches());
        push_all(&mut self.wal, &exemplars, false)?;
        push_all(&mut self.wal, &samples, false)?;
        self.finish_group(&definitions)
    }

    /// Begins a segment with everything the registry holds, which is returned.
    fn begin_segment(&mut self) -> Result<Vec<Payload>, Error> {
        self.wal.begin_segment()?;
        if self.last_cut_ms > TimestampMs::MIN {
            let cut = encode_cut(self.last_cut_ms, &mut self.encoder)?;
            self.wal.push(&cut, false)?;
        }
        let everything = self.registry.encode_all(&mut self.encoder)?;
        push_all(&mut self.wal, &everything, false)?;
        self.wal.restated();
        Ok(everything)
    }

    /// Repeats the definitions of a group behind its samples and commits.
    fn finish_group(&mut self, definitions: &[Payload]) -> Result<(), Error> {
        push_all(&mut self.wal, definitions, true)?;
        let is_always = self.wal_sync == WalSync::Always;
        self.wal.commit(is_always)?;
        if !is_always && self.unsynced_since_ms.is_none() {
            self.unsynced_since_ms = Some(self.clock.now_ms());
        }
        Ok(())
    }

    fn sync_if_due(&mut self) {
        let (WalSync::Interval(interval_ms), Some(since_ms)) = (self.wal_sync, self.unsynced_since_ms) else {
            return;
        };
        let elapsed_ms = self.clock.now_ms().saturating_sub(since_ms);
        if u64::try_from(elapsed_ms).is_ok_and(|elapsed_ms| elapsed_ms < interval_ms) {
            return;
        }
        self.unsynced_since_ms = None;
        if let Err(error) = self.wal.sync() {
            tracing::error!(
                error = %error,
                "the log could not be synced: samples acknowledged in the last {elapsed_ms} ms may be lost"
            );
            self.fail(error);
        }
    }

    fn fail(&mut self, error: Error) {
        let reason = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, reason, "the log cannot be written; requests fail until it can");
        self.wal.abandon();
        self.counters.set_failing(true);
        self.failure = Some(error);
    }

    /// Tries whether a new segment can be written.
    fn try_again(&mut self) {
        let begun = self.begin_segment().and_then(|everything| {
            self.note_span(std::iter::empty());
            push_all(&mut self.wal, &everything, true)?;
            self.wal.commit(true)
        });
        match begun {
            Ok(()) => {
                tracing::info!("the log can be written again");
                self.counters.set_failing(false);
                self.failure = None;
            }
            Err(error) => {
                self.wal.abandon();
                self.failure = Some(error);
            }
        }
    }
}

impl Group {
    fn batches(&self) -> impl Iterator<Item = &SampleBatch> {
        self.requests.iter().filter_map(|request| match request {
            Request::Append { batch, .. } => Some(&**batch),
            Request::Remember { .. }
            | Request::Barrier { .. }
            | Request::Restate { .. }
            | Request::Visit { .. }
            | Request::Close => None,
        })
    }

    /// Puts the exemplars of all requests into the ring, and the outcomes into the requests; gives those that are new.
    fn take_exemplars(&mut self, registry: &Registry) -> Vec<Exemplar> {
        let mut new = Vec::new();
        for request in &mut self.requests {
            let Request::Append {
                exemplars,
                exemplar_outcome,
                ..
            } = request
            else {
                continue;
            };
            if exemplars.is_empty() {
                continue;
            }
            let mut ring = registry.exemplars().lock();
            for exemplar in exemplars {
                match ring.push(exemplar) {
                    Taken::New => {
                        exemplar_outcome.written += 1;
                        new.push(exemplar.clone());
                    }
                    Taken::Nothing => exemplar_outcome.written += 1,
                    Taken::OutOfOrder => {
                        let place = (exemplar.series, exemplar.timestamp_ms);
                        exemplar_outcome.out_of_order.push(place);
                    }
                }
            }
        }
        new
    }

    fn fail(self, error: &Error, gauge: &QueueGauge) {
        for request in self.requests {
            gauge.release(request.weight());
            request.fail(error);
        }
    }
}

/// Pushes records; as copies only those that define series.
fn push_all(wal: &mut WalWriter, payloads: &[Payload], is_copy: bool) -> Result<(), Error> {
    for payload in payloads {
        if !is_copy || is_definition(payload.kind() as u8) {
            wal.push(payload, is_copy)?;
        }
    }
    Ok(())
}
