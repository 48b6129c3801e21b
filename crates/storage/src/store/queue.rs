//! The queue between those who append and the thread that writes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use model::{SampleBatch, TimestampMs};
use parking_lot::RwLock;

use super::{AppendOutcome, Done, ExemplarOutcome};
use crate::Error;
use crate::exemplars::Exemplar;
use crate::handoff::{Receiver, Sender, handoff};

/// Something to be made durable.
pub(crate) enum Request {
    /// Samples, and exemplars until they are in the ring.
    Append {
        batch: Arc<SampleBatch>,
        exemplars: Vec<Exemplar>,
        exemplar_outcome: ExemplarOutcome,
        done: Done<AppendOutcome>,
    },
    /// Metadata or notes, which the registry holds.
    Remember { done: Done<()> },
    /// Ends a segment of the log. `done` runs when everything before is in the head and nothing behind it, and is
    /// told the number of the next segment. If the head is cut there, the log says so from then on.
    Barrier {
        segment: u64,
        cut_ms: Option<TimestampMs>,
        done: Done<u64>,
    },
    /// Begins a segment if none is open, so that one restates everything, and syncs it.
    Restate { done: Done<()> },
    /// Runs on the thread that fills the head, between groups.
    Visit { done: Done<()> },
    /// Nothing comes after this.
    Close,
}

/// How full the queue is. A request counts until it is answered, by its samples.
#[derive(Debug, Default)]
pub(crate) struct QueueGauge {
    samples: AtomicUsize,
    overloaded: AtomicU64,
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct Queue {
    samples_max: usize,
    gauge: Arc<QueueGauge>,
    /// None once the queue is closed. Senders hold the lock while they send, so nothing follows [`Request::Close`].
    sender: RwLock<Option<Sender<Request>>>,
}

impl Request {
    /// What it counts in the queue.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Append { batch, exemplars, .. } => (batch.len() + exemplars.len()).max(1),
            Self::Remember { .. } => 1,
            Self::Barrier { .. } | Self::Restate { .. } | Self::Visit { .. } | Self::Close => 0,
        }
    }

    /// Answers with an error.
    pub(crate) fn fail(self, error: &Error) {
        match self {
            Self::Append { done, .. } => done(Err(error.repeat())),
            Self::Remember { done } | Self::Restate { done } => done(Err(error.repeat())),
            Self::Barrier { done, .. } => done(Err(error.repeat())),
            // It needs no log.
            Self::Visit { done } => done(Ok(())),
            Self::Close => {}
        }
    }
}

impl QueueGauge {
    /// Samples that wait.
    pub(crate) fn samples(&self) -> usize {
        self.samples.load(Ordering::Relaxed)
    }

    /// Requests that found no room.
    pub(crate) fn overloaded(&self) -> u64 {
        self.overloaded.load(Ordering::Relaxed)
    }

    /// Makes room for others.
    pub(crate) fn release(&self, weight: usize) {
        self.samples.fetch_sub(weight, Ordering::Relaxed);
    }

    fn reserve(&self, weight: usize, samples_max: usize) -> Result<(), Error> {
        let fits = |waiting: usize| {
            let total = waiting.saturating_add(weight);
            (waiting == 0 || total <= samples_max).then_some(total)
        };
        let reserved = self
            .samples
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        reserved.map(|_| ()).map_err(|queued_samples| {
            self.overloaded.fetch_add(1, Ordering::Relaxed);
            Error::Overloaded { queued_samples }
        })
    }
}

impl Queue {
    /// A queue for so many samples, and its receiving end.
    pub(crate) fn new(samples_max: usize) -> (Self, Receiver<Request>) {
        // Samples are counted instead of requests.
        let (sender, receiver) = handoff(usize::MAX);
        let queue = Self {
            samples_max,
            gauge: Arc::default(),
            sender: RwLock::new(Some(sender)),
        };
        (queue, receiver)
    }

    /// How full it is.
    pub(crate) fn gauge(&self) -> &Arc<QueueGauge> {
        &self.gauge
    }

    /// Adds a request if there is room.
    pub(crate) fn push(&self, request: Request) -> Result<(), Error> {
        let sender = self.sender.read();
        let Some(sender) = &*sender else {
            return Err(Error::Closed);
        };
        let weight = request.weight();
        self.gauge.reserve(weight, self.samples_max)?;
        sender.send(request).map_err(|_| {
            self.gauge.release(weight);
            Error::Closed
        })
    }

    /// Lets nothing more in. What is queued stays, and [`Request::Close`] behind it.
    pub(crate) fn close(&self) {
        if let Some(sender) = self.sender.write().take() {
            // Nobody receives any more if the writer has ended; there is nothing to tell it then.
            sender.send(Request::Close).ok();
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append { batch, .. } => write!(f, "Append({} samples)", batch.len()),
            Self::Remember { .. } => f.write_str("Remember"),
            Self::Barrier { .. } => f.write_str("Barrier"),
            Self::Restate { .. } => f.write_str("Restate"),
            Self::Visit { .. } => f.write_str("Visit"),
            Self::Close => f.write_str("Close"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(n_samples: usize) -> Request {
        let mut batch = SampleBatch::default();
        batch.series.resize(
            n_samples,
            model::SeriesRef {
                stream: model::StreamId(0),
                lane: model::LaneIdx(0),
            },
        );
        let done = Box::new(|_| {});
        Request::Append {
            batch: Arc::new(batch),
            exemplars: Vec::new(),
            exemplar_outcome: ExemplarOutcome::default(),
            done,
        }
    }

    #[test]
    fn a_full_queue_says_so_at_once_and_room_comes_back() {
        let (queue, _receiver) = Queue::new(100);
        queue.push(samples(60)).unwrap();
        let error = queue.push(samples(41)).unwrap_err();
        assert!(matches!(error, Error::Overloaded { queued_samples: 60 }));
        queue.push(samples(40)).unwrap();
        assert_eq!(queue.gauge().overloaded(), 1);
        queue.gauge().release(100);
        queue.push(samples(1_000)).unwrap();
        assert!(queue.push(samples(0)).is_err(), "an empty request counts too");
    }

    #[test]
    fn nothing_enters_a_closed_queue() {
        let (queue, receiver) = Queue::new(100);
        queue.push(samples(1)).unwrap();
        queue.close();
        queue.close();
        assert!(matches!(queue.push(samples(1)), Err(Error::Closed)));
        let received = std::iter::from_fn(|| receiver.receive(None).ok());
        let kinds: Vec<String> = received.map(|request| format!("{request:?}")).collect();
        assert_eq!(kinds, ["Append(1 samples)", "Close"]);
    }
}
