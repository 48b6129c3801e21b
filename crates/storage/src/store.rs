//! The store: catalog, resolver, log and head put together.
//!
//! A request first finds its series ([`Store::resolver`], [`Store::register`]) and then appends its samples, all at
//! once. One thread writes the log (`commit`), one fills the head (`apply`); queries read catalog and head
//! (`selection`). What the head holds follows from the log alone, so a store that is opened again is the same store.
//!
//! Limits: those of [`StoreConfig`]; 20,000 notes of 64 KiB each; 200,000 metrics with metadata of 64 KiB each.

mod apply;
mod block_stats;
mod commit;
mod compactor;
mod config;
mod flush;
mod guarded;
mod keeper;
mod leases;
mod open;
mod queue;
mod registry;
mod selection;
mod stats;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use catalog::{HashSecret, Resolver, SeriesKey};
use crossbeam_channel::Sender;
use model::{FileLock, Labels, Matcher, MetricMetadata, SampleBatch, SeriesRef, TimestampMs};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use apply::AppendCounters;
use block_stats::BlockCounters;
use compactor::Chore;
use keeper::Command;
use leases::Leases;
use queue::{Queue, Request};
use registry::Registry;

pub use block_stats::BlockStats;
pub use config::{BlockConfig, StoreConfig, Surroundings, WalSync};
pub use flush::FlushOutcome;
pub use stats::StoreStats;

use crate::blocks::live::Blocks;
use crate::exemplars::{self, Exemplar, SeriesExemplars};
use crate::wal::WalCounters;
use crate::{Error, Head, Refusal};

/// What became of a batch that is durable and visible.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AppendOutcome {
    /// Samples accepted, exact duplicates included.
    pub written: usize,
    /// Samples refused, in the order of the batch.
    pub refused: Vec<Refusal>,
    /// What became of the exemplars.
    pub exemplars: ExemplarOutcome,
}

/// What became of the exemplars of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExemplarOutcome {
    /// Exemplars taken, and those that were there already.
    pub written: usize,
    /// Those that are not behind the newest one of their series.
    pub out_of_order: Vec<(SeriesRef, TimestampMs)>,
}

/// Called once when a request is durable and visible, or has failed. Runs on a thread of the store, so it must be
/// short and must not call the store.
pub type Done<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

/// Everything that is kept, and the way to it.
///
/// Dropping a store closes it.
///
/// ```
/// use std::sync::{Arc, mpsc};
///
/// use catalog::HashSecret;
/// use model::{Labels, Matcher, SampleBatch, TimeRange};
/// use storage::{LocalFiles, NewestBuffer, Source, Store, StoreConfig, Surroundings};
/// use testkit::MockClock;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dir = tempfile::tempdir()?;
/// let surroundings = Surroundings {
///     clock: Arc::new(MockClock::at(1_700_000_000_000)),
///     files: Arc::new(LocalFiles),
///     secret: HashSecret::from_seed(1),
///     release_memory: || (),
/// };
/// let (store, recovered) = Store::open(dir.path(), StoreConfig::default(), surroundings, &mut |_| {})?;
/// assert_eq!(recovered.samples, 0);
///
/// let labels = Labels::from_pairs([("__name__", "up"), ("job", "mesh")])?;
/// let key = store.resolver().key(b"the label bytes of a request");
/// let series = store.register(key, &labels)?;
/// assert_eq!(store.resolver().get(key), Some(series));
///
/// let mut batch = SampleBatch::default();
/// batch.push(series, 1_700_000_000_000, 1.0);
/// let (sender, answer) = mpsc::channel();
/// store.append(batch, Box::new(move |outcome| sender.send(outcome).unwrap()))?;
/// assert_eq!(answer.recv()??.written, 1); // on the disk, and visible
///
/// let up = store.select(&[Matcher::equal("__name__", "up")], TimeRange::ALL)?;
/// let mut newest = NewestBuffer::default();
/// up.read_newest(0, TimeRange::ALL, &mut newest)?;
/// assert_eq!(newest.samples, [Some((1_700_000_000_000, 1.0))]);
/// store.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Store {
    registry: Arc<Registry>,
    resolver: Arc<Resolver>,
    head: Arc<Head>,
    queue: Arc<Queue>,
    counters: Arc<AppendCounters>,
    wal_counters: Arc<WalCounters>,
    shared: Shared,
    commands: Sender<Command>,
    chores: Sender<Chore>,
    threads: Mutex<Option<Threads>>,
}

/// What the store has in common with those who look after its blocks.
#[derive(Debug)]
struct Shared {
    blocks: Arc<Blocks>,
    leases: Arc<Leases>,
    /// Held by those who resolve series until their samples are queued; nothing is let go meanwhile.
    gate: Arc<RwLock<()>>,
    block_counters: Arc<BlockCounters>,
    stop: Arc<AtomicBool>,
    /// The key of the hashes that stand for label sets.
    secret: HashSecret,
}

/// While it is held, series stay what they are: see [`Store::session`].
#[derive(Debug)]
pub struct Session<'a> {
    _gate: RwLockReadGuard<'a, ()>,
}

/// What ends with the store.
#[derive(Debug)]
struct Threads {
    keeper: JoinHandle<()>,
    compactor: JoinHandle<()>,
    committer: JoinHandle<Result<(), Error>>,
    applier: JoinHandle<()>,
    _lock: Box<dyn FileLock>,
}

impl Store {
    /// To be held from finding series to appending their samples: series without samples may be let go in between
    /// otherwise, and samples appended to one of those would be lost. To be held briefly, and by a thread once.
    #[must_use]
    pub fn session(&self) -> Session<'_> {
        Session {
            _gate: self.shared.gate.read(),
        }
    }

    /// Makes blocks of everything in the head. `done` is called when they are durable and the log was trimmed, or
    /// when they are durable and queries that began before still need the head.
    ///
    /// # Errors
    /// At once, with `done` dropped: [`Error::Closed`].
    pub fn flush(&self, done: Done<FlushOutcome>) -> Result<(), Error> {
        self.flush_before(None, done)
    }

    /// As [`Self::flush`] of what is older than `before_ms` only.
    pub(crate) fn flush_before(
        &self,
        before_ms: Option<TimestampMs>,
        done: Done<FlushOutcome>,
    ) -> Result<(), Error> {
        let command = Command::Flush { before_ms, done };
        self.commands.send(command).map_err(|_| Error::Closed)
    }

    /// Deletes samples of the series that at least one of `selectors` picks, from `first_ms` to `last_ms`, both
    /// included: those that are there when it is carried out. Queries do not see them from then on, which `done`
    /// tells; their bytes go when their blocks are merged or cleaned. Everything in the head becomes blocks before.
    ///
    /// # Errors
    /// At once, with `done` dropped: [`Error::Closed`].
    pub fn delete(
        &self,
        selectors: Vec<Vec<Matcher>>,
        first_ms: TimestampMs,
        last_ms: TimestampMs,
        done: Done<()>,
    ) -> Result<(), Error> {
        let command = Command::Delete {
            matchers: selectors,
            first_ms,
            last_ms,
            done,
        };
        self.commands.send(command).map_err(|_| Error::Closed)
    }

    /// Writes all blocks anew in which something is deleted, so that its bytes go; `done` is told how many.
    ///
    /// # Errors
    /// At once, with `done` dropped: [`Error::Closed`].
    pub fn clean(&self, done: Done<usize>) -> Result<(), Error> {
        self.chores.send(Chore::Clean { done }).map_err(|_| Error::Closed)
    }

    /// Merges blocks and drops those beyond the retention, as it would be done sooner or later; `done` is told how
    /// many merges there were.
    ///
    /// # Errors
    /// At once, with `done` dropped: [`Error::Closed`].
    pub fn tidy(&self, done: Done<usize>) -> Result<(), Error> {
        self.chores.send(Chore::Tidy { done }).map_err(|_| Error::Closed)
    }

    /// The map from raw label bytes to series.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The series with these labels, made if it is new, and remembered under `key`.
    ///
    /// # Errors
    /// As of [`Self::find_or_make`].
    pub fn register(&self, key: SeriesKey, labels: &Labels) -> Result<SeriesRef, Error> {
        let series = self.find_or_make(labels)?;
        self.resolver.insert(key, series);
        Ok(series)
    }

    /// The series with these labels, made if it is new; to be remembered by the caller.
    ///
    /// # Errors
    /// [`Error::Series`] if the labels are none of a series or exceed a limit; [`Error::Unwritable`] if the series
    /// is new and the log cannot be written.
    pub fn find_or_make(&self, labels: &Labels) -> Result<SeriesRef, Error> {
        if let Some(series) = self.registry.find(labels) {
            return Ok(series);
        }
        if self.wal_counters.is_failing() {
            return Err(Error::Unwritable);
        }
        let (series, n_series) = self.registry.register(labels)?;
        self.resolver.set_n_series(n_series);
        Ok(series)
    }

    /// The series with these labels, if there is one.
    #[must_use]
    pub fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        self.registry.find(labels)
    }

    /// Queues samples. `done` is called when they are durable (see [`WalSync`]) and visible to queries, or with
    /// the reason why not. Requests are written, and their contradictions judged, in the order in which they were
    /// queued. The series must come from this store.
    ///
    /// # Errors
    /// At once, with `done` dropped: [`Error::Overloaded`] when the queue is full, [`Error::Closed`].
    pub fn append(&self, batch: SampleBatch, done: Done<AppendOutcome>) -> Result<(), Error> {
        self.append_with(Arc::new(batch), Vec::new(), done)
    }

    /// As [`Self::append`], with exemplars, whose series must come from this store, too. The batch is shared with the
    /// caller, who may want to say later which samples were refused.
    ///
    /// # Errors
    /// As of [`Self::append`].
    pub fn append_with(
        &self,
        batch: Arc<SampleBatch>,
        exemplars: Vec<Exemplar>,
        done: Done<AppendOutcome>,
    ) -> Result<(), Error> {
        self.queue.push(Request::Append {
            batch,
            exemplars,
            exemplar_outcome: ExemplarOutcome::default(),
            done,
        })
    }

    /// The exemplars between two times, both included, of the series that at least one of `selectors` picks, sorted
    /// by the labels of the series.
    #[must_use]
    pub fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        first_ms: TimestampMs,
        last_ms: TimestampMs,
    ) -> Vec<SeriesExemplars> {
        let _session = self.session();
        let catalog = self.registry.catalog();
        let catalog = catalog.read();
        exemplars::select(&catalog, self.registry.exemplars(), selectors, first_ms, last_ms)
    }

    /// Takes what metrics say about themselves; the newest word on each metric stays. It is visible at once; `done`
    /// is called when it is durable.
    ///
    /// # Errors
    /// At once, with `done` dropped: [`Error::Limit`] when there is too much of it, and as [`Self::append`].
    pub fn put_metadata(&self, metadata: Vec<MetricMetadata>, done: Done<()>) -> Result<(), Error> {
        self.registry.put_metadata(metadata)?;
        self.queue.push(Request::Remember { done })
    }

    /// Keeps a short text under a name until another takes its place, also beyond a restart; an empty one takes it
    /// away. `done` is called when it is durable. What is appended afterwards is not durable before it.
    ///
    /// # Errors
    /// At once, with `done` dropped: [`Error::Limit`] beyond 20,000 notes or 64 KiB, and as [`Self::append`].
    pub fn put_note(&self, name: &str, text: &str, done: Done<()>) -> Result<(), Error> {
        self.registry.put_note((name.to_owned(), text.to_owned()))?;
        self.queue.push(Request::Remember { done })
    }

    /// Names and texts of the notes whose name begins with `prefix`, by name.
    #[must_use]
    pub fn notes(&self, prefix: &str) -> Vec<(String, String)> {
        self.registry.notes(prefix)
    }

    /// What is known about metrics, by name.
    #[must_use]
    pub fn metadata(&self) -> Vec<MetricMetadata> {
        self.registry.metadata()
    }

    /// The labels of a series; none when it does not exist.
    #[must_use]
    pub fn series_labels(&self, series: SeriesRef) -> Option<Labels> {
        self.registry.catalog().read().series_labels(series)
    }

    /// Counters and sizes. Takes milliseconds for a million series.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let counters = &self.counters;
        StoreStats {
            appended_samples: counters.appended_samples.load(Ordering::Relaxed),
            refused_duplicate_samples: counters.refused_duplicate_samples.load(Ordering::Relaxed),
            refused_old_samples: counters.refused_old_samples.load(Ordering::Relaxed),
            queued_samples: self.queue.gauge().samples(),
            overloaded_requests: self.queue.gauge().overloaded(),
            wal: self.wal_counters.stats(),
            catalog: self.registry.catalog().read().statistics(),
            resolver_bytes: self.resolver.heap_bytes(),
            head: self.head.stats(),
            blocks: self.shared.block_counters.stats(&self.shared.blocks),
            exemplars: {
                let ring = self.registry.exemplars().lock();
                (ring.len(), ring.heap_bytes())
            },
        }
    }

    /// Stops accepting, writes what is queued, syncs and frees the directory. A second call does nothing.
    ///
    /// # Errors
    /// If the last sync failed.
    pub fn close(&self) -> Result<(), Error> {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Whoever has ended already needs not be told.
        drop((self.commands.send(Command::Stop), self.chores.send(Chore::Stop)));
        let Some(threads) = self.threads.lock().take() else {
            return Ok(());
        };
        // A `done` that held the last reference drops the store on one of its own threads.
        let this = std::thread::current().id();
        let own = [
            threads.committer.thread(),
            threads.applier.thread(),
            threads.keeper.thread(),
            threads.compactor.thread(),
        ];
        if own.iter().any(|thread| thread.id() == this) {
            self.queue.close();
            return Ok(());
        }
        // These may wait for what is queued, so they end first.
        let kept = threads.keeper.join().and(threads.compactor.join());
        self.queue.close();
        let written = threads.committer.join().unwrap_or(Err(Error::Closed));
        let applied = threads.applier.join().map_err(|_| Error::Closed);
        written.and(applied).and(kept.map_err(|_| Error::Closed))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the log was not closed cleanly");
        }
    }
}

#[cfg(test)]
mod tests;
