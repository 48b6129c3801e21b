//! Opening a store: lock, recovery, threads.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use catalog::{Catalog, CatalogLimits, HashSecret, Resolver};
use crossbeam_channel::Receiver;
use model::{Clock, FileLock, Files};
use parking_lot::Mutex;

use super::apply::{Applier, Outlet};
use super::commit::Committer;
use super::compactor::{Chore, Compactor};
use super::config::{StoreConfig, Surroundings};
use super::keeper::{Command, Keeper, VacantIds};
use super::queue::{Queue, Request};
use super::registry::Registry;
use super::{Shared, Store, Threads};
use crate::blocks::Watermark;
use crate::blocks::live::Blocks;
use crate::blocks::objects::Objects;
use crate::exemplars::{ExemplarConfig, ExemplarRing};
use crate::handoff;
use crate::wal::{
    RecordEncoder, RecoveryProgress, RecoveryReport, RecoveryTarget, Remembered, Replay, SegmentSpans,
    WalEnd, WalWriter, recover,
};
use crate::{Error, Head, HeadConfig};

/// Bytes of labels that one series may have, so that each fits into a record of the log.
const LABEL_BYTES_MAX: usize = 8 << 20;

impl Store {
    /// Opens the store in `dir`, made if missing, with what its log holds. `progress` is called for every record
    /// read.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::UnknownVersion`], [`Error::Io`], and [`Error::Limit`] if the limits allow series
    /// that the log cannot hold. Damaged records are no error: they are told in the report and in the program's log.
    pub fn open(
        dir: &Path,
        config: StoreConfig,
        surroundings: Surroundings,
        progress: &mut dyn FnMut(RecoveryProgress),
    ) -> Result<(Arc<Self>, RecoveryReport), Error> {
        check_limits(&config.limits)?;
        let Surroundings {
            clock,
            files,
            secret,
            release_memory,
        } = surroundings;
        let wal_dir = dir.join("wal");
        files
            .create_dir(&wal_dir)
            .map_err(|error| Error::io("create", &wal_dir, error))?;
        let lock = take_lock(&*files, dir)?;
        let objects = Arc::new(Objects::of_files(&files, dir));
        let (blocks, blocks_report) = Blocks::open(objects, config.blocks.cache)?;
        let head = Head::new(HeadConfig {
            out_of_order_window_ms: config.out_of_order_window_ms,
        });
        let log = Log {
            files: &*files,
            dir: &wal_dir,
            clock: &*clock,
            flushed: &blocks.current().state.flushed,
            exemplars: config.exemplars,
        };
        let catalog = Catalog::new(config.limits.clone(), secret.clone());
        let mut recovered = log.read(catalog, head, progress)?;
        recovered.report.blocks = blocks_report;
        let report = std::mem::take(&mut recovered.report);
        let opening = Opening {
            dir,
            config,
            clock,
            files,
            wal_dir,
            secret,
            release_memory,
            blocks: Arc::new(blocks),
        };
        Ok((Arc::new(opening.start(recovered, lock)?), report))
    }
}

/// A store whose files have been read.
struct Opening<'a> {
    dir: &'a Path,
    config: StoreConfig,
    clock: Arc<dyn Clock>,
    files: Arc<dyn Files>,
    wal_dir: PathBuf,
    secret: HashSecret,
    release_memory: fn(),
    blocks: Arc<Blocks>,
}

impl Opening<'_> {
    /// Starts the threads.
    fn start(self, recovered: Recovered, lock: Box<dyn FileLock>) -> Result<Store, Error> {
        let Recovered {
            registry,
            head,
            spans,
            vacant,
            end,
            ..
        } = recovered;
        let resolver = Arc::new(Resolver::new(self.secret.clone()));
        resolver.set_n_series(registry.catalog().read().n_series());
        let (queue, requests) = Queue::new(self.config.queue_samples_max);
        let (commands, commands_received) = crossbeam_channel::unbounded();
        let (chores, chores_received) = crossbeam_channel::unbounded();
        let store = Store {
            registry,
            resolver,
            head,
            queue: Arc::new(queue),
            counters: Arc::default(),
            wal_counters: Arc::default(),
            shared: Shared {
                blocks: Arc::clone(&self.blocks),
                leases: Arc::default(),
                gate: Arc::default(),
                block_counters: Arc::default(),
                stop: Arc::default(),
                secret: self.secret.clone(),
            },
            commands,
            chores,
            threads: Mutex::new(None),
        };
        let applier = Applier {
            head: Arc::clone(&store.head),
            gauge: Arc::clone(store.queue.gauge()),
            counters: Arc::clone(&store.counters),
        };
        let (outlet, applier) = applier.split();
        let committer = self.committer(&store, &spans, &end, requests, outlet)?;
        let keeper = self.keeper(&store, spans, vacant, commands_received);
        let compactor = self.compactor(&store, chores_received);
        *store.threads.lock() = Some(Threads {
            keeper: spawn("block-keeper", self.dir, move || keeper.run())?,
            compactor: spawn("compactor", self.dir, move || compactor.run())?,
            committer: spawn("wal-writer", self.dir, move || committer.run())?,
            applier: spawn("head-applier", self.dir, move || applier.run())?,
            _lock: lock,
        });
        Ok(store)
    }

    fn committer(
        &self,
        store: &Store,
        spans: &Arc<SegmentSpans>,
        end: &WalEnd,
        requests: handoff::Receiver<Request>,
        outlet: Outlet,
    ) -> Result<Committer, Error> {
        let counters = Arc::clone(&store.wal_counters);
        let wal = WalWriter::new(
            Arc::clone(&self.files),
            self.wal_dir.clone(),
            self.config.segment_bytes,
            end,
            Arc::clone(&counters),
        );
        let mut committer = Committer {
            registry: Arc::clone(&store.registry),
            wal,
            spans: Arc::clone(spans),
            encoder: RecordEncoder::new()?,
            requests,
            outlet,
            gauge: Arc::clone(store.queue.gauge()),
            counters,
            clock: Arc::clone(&self.clock),
            wal_sync: self.config.wal_sync,
            unsynced_since_ms: None,
            last_cut_ms: store.head.last_cut_ms(),
            failure: None,
        };
        committer.carry_over(end);
        Ok(committer)
    }

    fn keeper(
        &self,
        store: &Store,
        spans: Arc<SegmentSpans>,
        vacant: VacantIds,
        commands: Receiver<Command>,
    ) -> Keeper {
        Keeper {
            config: self.config.blocks,
            out_of_order_window_ms: self.config.out_of_order_window_ms,
            clock: Arc::clone(&self.clock),
            files: Arc::clone(&self.files),
            wal_dir: self.wal_dir.clone(),
            registry: Arc::clone(&store.registry),
            resolver: Arc::clone(&store.resolver),
            head: Arc::clone(&store.head),
            queue: Arc::clone(&store.queue),
            spans,
            blocks: Arc::clone(&self.blocks),
            leases: Arc::clone(&store.shared.leases),
            gate: Arc::clone(&store.shared.gate),
            counters: Arc::clone(&store.shared.block_counters),
            vacant: Mutex::new(Some(vacant)),
            commands,
            stop: Arc::clone(&store.shared.stop),
            release_memory: self.release_memory,
        }
    }

    fn compactor(&self, store: &Store, chores: Receiver<Chore>) -> Compactor {
        Compactor {
            config: self.config.blocks,
            out_of_order_window_ms: self.config.out_of_order_window_ms,
            clock: Arc::clone(&self.clock),
            blocks: Arc::clone(&self.blocks),
            counters: Arc::clone(&store.shared.block_counters),
            chores,
            stop: Arc::clone(&store.shared.stop),
        }
    }
}

/// Where the log is, and what of it is not needed.
struct Log<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
    clock: &'a dyn Clock,
    flushed: &'a [Watermark],
    exemplars: ExemplarConfig,
}

/// What a log gave.
struct Recovered {
    registry: Arc<Registry>,
    head: Arc<Head>,
    spans: Arc<SegmentSpans>,
    vacant: VacantIds,
    report: RecoveryReport,
    end: WalEnd,
}

impl Log<'_> {
    fn read(
        &self,
        mut catalog: Catalog,
        head: Head,
        progress: &mut dyn FnMut(RecoveryProgress),
    ) -> Result<Recovered, Error> {
        let mut remembered = Remembered::default();
        let mut exemplars = ExemplarRing::new(self.exemplars);
        let spans = SegmentSpans::default();
        let target = RecoveryTarget {
            replay: Replay::new(&mut catalog, &head, &mut exemplars),
            remembered: &mut remembered,
            flushed: self.flushed,
            spans: &spans,
            progress,
        };
        let (report, end) = recover(self.files, self.dir, target, self.clock)?;
        report.log();
        // Definitions whose samples are all in blocks.
        let with_exemplars = exemplars.streams();
        let is_kept = |stream| !head.is_vacant(stream) || with_exemplars.contains(&stream);
        let catalog = catalog.retained(is_kept, |_| false);
        let (entities, streams) = catalog.vacant_ids();
        Ok(Recovered {
            registry: Arc::new(Registry::new(catalog, remembered, exemplars)),
            head: Arc::new(head),
            spans: Arc::new(spans),
            vacant: VacantIds {
                since: end.next_number,
                entities,
                streams,
            },
            report,
            end,
        })
    }
}

fn check_limits(limits: &CatalogLimits) -> Result<(), Error> {
    let label_bytes = limits.label_name_bytes_max + limits.label_value_bytes_max;
    if limits.labels_per_series_max.saturating_mul(label_bytes) > LABEL_BYTES_MAX {
        return Err(Error::Limit {
            what: "bytes in the labels of a series (number of labels × longest name and value)",
            limit: LABEL_BYTES_MAX as u64,
        });
    }
    Ok(())
}

fn take_lock(files: &dyn Files, dir: &Path) -> Result<Box<dyn FileLock>, Error> {
    let path = dir.join("lock");
    files.lock(&path).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => Error::InUse { dir: dir.to_owned() },
        _ => Error::io("lock", &path, error),
    })
}

fn spawn<T: Send + 'static>(
    name: &str,
    dir: &Path,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder
        .spawn(run)
        .map_err(|error| Error::io("start a thread for", dir, error))
}
