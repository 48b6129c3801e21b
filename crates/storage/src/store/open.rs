//! Opening a store: lock, recovery, threads.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use catalog::{Catalog, CatalogLimits, Resolver};
use model::{Clock, FileLock, Files, MetricMetadata};
use parking_lot::Mutex;

use super::apply::{AppendCounters, apply_groups};
use super::commit::Committer;
use super::config::{StoreConfig, Surroundings};
use super::queue::Queue;
use super::registry::Registry;
use super::{Store, Threads};
use crate::wal::{
    RecordEncoder, RecoveryProgress, RecoveryReport, RecoveryTarget, Replay, WalCounters, WalEnd, WalWriter,
    recover,
};
use crate::{Error, Head, HeadConfig};

/// Groups that may wait to be applied. Two keep both threads busy; more would only be memory.
const GROUPS_AHEAD: usize = 2;

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
        let Surroundings { clock, files, secret } = surroundings;
        let wal_dir = dir.join("wal");
        files
            .create_dir(&wal_dir)
            .map_err(|error| Error::io("create", &wal_dir, error))?;
        let lock = take_lock(&*files, dir)?;
        let head = Head::new(HeadConfig {
            out_of_order_window_ms: config.out_of_order_window_ms,
        });
        let catalog = Catalog::new(config.limits, secret.clone());
        let recovered = read_log(catalog, head, &*files, &wal_dir, &*clock, progress)?;
        let Recovered {
            registry,
            head,
            n_series,
            report,
            end,
        } = recovered;

        let resolver = Resolver::new(secret);
        resolver.set_n_series(n_series);
        let (queue, requests) = Queue::new(config.queue_samples_max);
        let (sender, groups) = crossbeam_channel::bounded(GROUPS_AHEAD);
        let wal_counters = Arc::<WalCounters>::default();
        let counters = Arc::<AppendCounters>::default();
        let mut committer = Committer {
            registry: Arc::clone(&registry),
            wal: WalWriter::new(
                files,
                wal_dir,
                config.segment_bytes,
                &end,
                Arc::clone(&wal_counters),
            ),
            encoder: RecordEncoder::new()?,
            requests,
            groups: sender,
            gauge: Arc::clone(queue.gauge()),
            counters: Arc::clone(&wal_counters),
            clock,
            wal_sync: config.wal_sync,
            unsynced_since_ms: None,
            failure: None,
        };
        committer.carry_over(&end);
        let (gauge, applied_head) = (Arc::clone(queue.gauge()), Arc::clone(&head));
        let applied_counters = Arc::clone(&counters);
        let threads = Threads {
            committer: spawn("wal-writer", dir, move || committer.run())?,
            applier: spawn("head-applier", dir, move || {
                apply_groups(groups, &applied_head, &gauge, &applied_counters);
            })?,
            _lock: lock,
        };
        let store = Self {
            registry,
            resolver,
            head,
            queue,
            counters,
            wal_counters,
            threads: Mutex::new(Some(threads)),
        };
        Ok((Arc::new(store), report))
    }
}

/// What a log gave.
struct Recovered {
    registry: Arc<Registry>,
    head: Arc<Head>,
    n_series: usize,
    report: RecoveryReport,
    end: WalEnd,
}

fn read_log(
    mut catalog: Catalog,
    head: Head,
    files: &dyn Files,
    wal_dir: &Path,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<Recovered, Error> {
    let mut metadata = BTreeMap::new();
    let mut put_metadata = |more: Vec<MetricMetadata>| {
        metadata.extend(
            more.into_iter()
                .map(|metric| (metric.metric_name.clone(), metric)),
        );
    };
    let target = RecoveryTarget {
        replay: Replay::new(&mut catalog, &head),
        put_metadata: &mut put_metadata,
        progress,
    };
    let (report, end) = recover(files, wal_dir, target, clock)?;
    report.log();
    Ok(Recovered {
        n_series: catalog.n_series(),
        registry: Arc::new(Registry::new(catalog, metadata)),
        head: Arc::new(head),
        report,
        end,
    })
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
