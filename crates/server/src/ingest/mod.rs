//! Taking samples in: from the compressed body of a remote-write request to the store's queue.
//!
//! The way of a request, split by duty: `write_api` reads headers and body; `admission` says whether there is room; a
//! thread of its own (`worker`) opens the body, gathers its samples into columns (`gather`, native histograms by way of
//! `histograms`), turns label bytes into series (`resolve`, with `origins` for pairs of replicas), gives `exemplars` to
//! them, and hands one batch to the store; the store's answer goes straight back to the waiting handler. `otlp` does the
//! same for OTLP, for which `deltas` adds up differences and `envoys` keeps two Envoys apart. [`handoff`] is the
//! queue of that thread; `refusal` collects what is not taken and why.
//!
//! Invariants:
//! - A request is stored only when all of it could be decoded. What is refused of a sound request is named in its
//!   answer; the rest is stored.
//! - Nothing is allocated per sample, and per series only when it is new. Working memory belongs to the threads
//!   and is capped, so that resident memory does not follow the load.
//! - Every queue has a bound; beyond it a request is turned away, to come again.

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::string_slice
)]

mod admission;
mod buffers;
mod config;
mod decompress;
mod deltas;
mod envoys;
mod exemplars;
mod gather;
mod histogram_total;
mod histograms;
mod metadata;
mod origins;
mod otlp;
mod refusal;
mod resolve;
mod restore;
mod worker;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use catalog::SeriesKey;
use model::{Clock, SampleBatch, SeriesRef, TimestampMs};
use storage::handoff::{Sender, Unsent, handoff};
use storage::{AppendOutcome, Store};
use tokio::sync::oneshot;
use wire::DecodeError;
use wire::remote_write::Protocol;

pub use config::Config;

pub(crate) use admission::{Admission, Slot};
pub(crate) use buffers::{Body, Buffers};
pub(crate) use decompress::Compression;
pub(crate) use exemplars::{ExemplarCounts, ExemplarTally};
pub(crate) use otlp::{Encoding, OtlpBody, Points};
pub(crate) use refusal::{RefusalKind, Refusals};
pub(crate) use resolve::{Dropped, name_sample};

use crate::ha::Tracker;
use metadata::KnownMetadata;
use otlp::Senders;
use worker::Worker;

/// The threads that take requests in.
#[derive(Debug)]
pub(crate) struct Ingest {
    jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
    /// The elections of replicas, if there are any.
    ha: Option<Arc<Tracker>>,
}

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Message {
    RemoteWrite(Protocol),
    Otlp(OtlpBody),
}

/// One request on its way to a thread.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) body: Body,
    pub(crate) message: Message,
    pub(crate) reply: oneshot::Sender<Result<Taken, Failure>>,
}

/// A request that was decoded, and whose samples the store has answered for.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// What the store said; `None` when there was no sample for it.
    pub(crate) stored: Option<Stored>,
    /// Durability of its metadata; `None` when there was none, or nothing new.
    pub(crate) metadata: Option<MetadataDurable>,
    /// What was refused before the store saw it.
    pub(crate) refusals: Refusals,
    /// What was left out because its replica is not elected.
    pub(crate) dropped: Dropped,
    /// Exemplars that did not get to the store.
    pub(crate) exemplars: ExemplarCounts,
    /// What became of the data points of an OTLP request.
    pub(crate) points: Option<Points>,
}

impl Taken {
    /// What became of all exemplars.
    pub(crate) fn exemplar_tally(&self) -> ExemplarTally {
        let outcome = self.stored.as_ref().map(|stored| &stored.outcome.exemplars);
        ExemplarTally {
            n_written: outcome.map_or(0, |outcome| outcome.written),
            n_out_of_order: outcome.map_or(0, |outcome| outcome.out_of_order.len()),
            counts: self.exemplars,
        }
    }
}

/// The resolver's keyed hash.
type SymbolHash = Box<dyn Fn(&[u8]) -> u128 + Send>;

fn resolver_hash(store: &Arc<Store>) -> SymbolHash {
    let store = Arc::clone(store);
    Box::new(move |bytes| {
        let SeriesKey(key) = store.resolver().key(bytes);
        key
    })
}

/// Tells when metadata is durable.
pub(crate) type MetadataDurable = oneshot::Receiver<Result<(), storage::Error>>;

/// The store's answer, with the samples, by which those that are refused are named.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) outcome: AppendOutcome,
    samples: Arc<SampleBatch>,
}

impl Stored {
    /// How many floats and how many native histograms were written.
    pub(crate) fn n_written(&self) -> (usize, usize) {
        let mut refused: Vec<usize> = self.outcome.refused.iter().map(|one| one.sample_idx).collect();
        refused.sort_unstable();
        let is_refused = |row: &usize| refused.binary_search(row).is_ok();
        let n_histograms = self
            .samples
            .histograms
            .rows()
            .filter(|row| !is_refused(row))
            .count();
        (self.outcome.written.saturating_sub(n_histograms), n_histograms)
    }

    /// Which sample of the batch this is.
    pub(crate) fn sample(&self, sample_idx: usize) -> Option<(SeriesRef, TimestampMs)> {
        let series = self.samples.series.get(sample_idx)?;
        Some((*series, *self.samples.timestamps_ms.get(sample_idx)?))
    }

    /// All samples of the batch, refused ones included, in its order.
    pub(crate) fn all_samples(&self) -> impl Iterator<Item = (SeriesRef, TimestampMs)> {
        let series = self.samples.series.iter().copied();
        series.zip(self.samples.timestamps_ms.iter().copied())
    }
}

/// A request of which nothing was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It cannot be read: sending it again would not help.
    #[error("{0}")]
    Malformed(String),
    /// It is larger than allowed, once decompressed.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// What is allowed.
        limit: usize,
    },
    /// There is no room, or the log cannot be written: sending it again will help.
    #[error("{0}")]
    Unavailable(String),
}

impl Failure {
    /// The body is broken as a message.
    fn undecodable(error: DecodeError) -> Self {
        Self::Malformed(format!(
            "the body is not the protobuf message it should be: {error}"
        ))
    }
}

impl Ingest {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(config: &Config, store: &Arc<Store>, clock: &Arc<dyn Clock>) -> io::Result<Self> {
        let (jobs, received) = handoff(config.requests_max.max(1));
        let received = Arc::new(received);
        let known_metadata = Arc::new(KnownMetadata::default());
        let senders = Arc::new(Senders::default());
        let tracker = || Tracker::new(config.ha.clone(), Arc::clone(store), Arc::clone(clock));
        let ha = config.ha.enabled.then(|| Arc::new(tracker()));
        let mut threads = Vec::new();
        for number in 0..config.threads.max(1) {
            let worker = Worker::new(
                config,
                Arc::clone(store),
                Arc::clone(clock),
                Arc::clone(&known_metadata),
                Arc::clone(&senders),
                ha.clone(),
            );
            let queue = Arc::clone(&received);
            let thread = std::thread::Builder::new().name(format!("ingest-{number}"));
            threads.push(thread.spawn(move || worker.run(&queue))?);
        }
        Ok(Self { jobs, threads, ha })
    }

    /// The elections of replicas, unless they are switched off.
    pub(crate) fn ha(&self) -> Option<&Tracker> {
        self.ha.as_deref()
    }

    /// Hands a request to the threads. Its answer comes through `job.reply`.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when the queue is full.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Failure> {
        self.jobs.send(job).map_err(|unsent| {
            let reason = match unsent {
                Unsent::Full => "too many requests wait to be decoded",
                Unsent::Closed => "the server is stopping",
            };
            Failure::Unavailable(reason.into())
        })
    }
}

/// Ends the threads once their queue is empty.
impl Drop for Ingest {
    fn drop(&mut self) {
        self.jobs.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an ingest thread had panicked");
            }
        }
    }
}
