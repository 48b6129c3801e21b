//! The store: catalog, resolver, log and head put together.

mod config;
mod selection;
mod stats;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use catalog::{Catalog, Resolver, SeriesKey};
use model::{Labels, MetricMetadata, SampleBatch, SeriesRef};
use parking_lot::{Mutex, RwLock};

pub use config::{StoreConfig, Surroundings, WalSync};
pub use stats::{StoreStats, WalStats};

use crate::wal::{RecoveryProgress, RecoveryReport};
use crate::{Error, Head, HeadConfig, Refusal};

/// What became of a batch that is durable and visible.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AppendOutcome {
    /// Samples accepted, exact duplicates included.
    pub written: usize,
    /// Samples refused, in the order of the batch.
    pub refused: Vec<Refusal>,
}

/// Called once when a request is durable and visible, or has failed. Runs on a thread of the store, so it must be
/// short and must not call the store.
pub type Done<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

/// Everything that is kept, and the way to it.
#[derive(Debug)]
pub struct Store {
    catalog: Arc<RwLock<Catalog>>,
    head: Arc<Head>,
    resolver: Resolver,
    metadata: Mutex<BTreeMap<String, MetricMetadata>>,
    appended_samples: AtomicU64,
    is_closed: AtomicBool,
}

impl Store {
    /// Opens the store in `dir`, made if missing, with what its log holds.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::UnknownVersion`] and [`Error::Io`]. Damaged records are no error: they are told
    /// in the report.
    pub fn open(
        dir: &Path,
        config: StoreConfig,
        surroundings: Surroundings,
        _progress: &mut dyn FnMut(RecoveryProgress),
    ) -> Result<(Arc<Self>, RecoveryReport), Error> {
        surroundings
            .files
            .create_dir(dir)
            .map_err(|error| Error::io("create", dir, error))?;
        let head = Head::new(HeadConfig {
            out_of_order_window_ms: config.out_of_order_window_ms,
        });
        let store = Self {
            catalog: Arc::new(RwLock::new(Catalog::new(
                config.limits,
                surroundings.secret.clone(),
            ))),
            head: Arc::new(head),
            resolver: Resolver::new(surroundings.secret),
            metadata: Mutex::default(),
            appended_samples: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        };
        Ok((Arc::new(store), RecoveryReport::default()))
    }

    /// The map from raw label bytes to series.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The series with these labels, made if it is new, and remembered under `key`.
    ///
    /// # Errors
    /// [`Error::Series`] if the labels are none of a series or exceed a limit.
    pub fn register(&self, key: SeriesKey, labels: &Labels) -> Result<SeriesRef, Error> {
        let mut catalog = self.catalog.write();
        let registered = catalog.register(labels)?;
        self.resolver.set_n_series(catalog.n_series());
        drop(catalog);
        self.resolver.insert(key, registered.series);
        Ok(registered.series)
    }

    /// Queues samples. `done` is called when they are durable (see [`WalSync`]) and visible to queries, or with
    /// the reason why not.
    ///
    /// # Errors
    /// At once, with `done` dropped: [`Error::Overloaded`] when the queue is full, [`Error::Closed`].
    pub fn append(&self, batch: SampleBatch, done: Done<AppendOutcome>) -> Result<(), Error> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        let mut refused = Vec::new();
        let written = self.head.append(&batch, &mut refused);
        drop(batch);
        self.appended_samples.fetch_add(written as u64, Ordering::Relaxed);
        done(Ok(AppendOutcome { written, refused }));
        Ok(())
    }

    /// Takes what metrics say about themselves; the newest word on each metric stays. `done` is called when it is
    /// durable.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn put_metadata(&self, metadata: Vec<MetricMetadata>, done: Done<()>) -> Result<(), Error> {
        let mut held = self.metadata.lock();
        for metric in metadata {
            held.insert(metric.metric_name.clone(), metric);
        }
        drop(held);
        done(Ok(()));
        Ok(())
    }

    /// What is known about metrics, by name.
    #[must_use]
    pub fn metadata(&self) -> Vec<MetricMetadata> {
        self.metadata.lock().values().cloned().collect()
    }

    /// The labels of a series; none when it does not exist.
    #[must_use]
    pub fn series_labels(&self, series: SeriesRef) -> Option<Labels> {
        self.catalog.read().series_labels(series)
    }

    /// Counters and sizes. Takes milliseconds for a million series.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        StoreStats {
            appended_samples: self.appended_samples.load(Ordering::Relaxed),
            catalog: self.catalog.read().statistics(),
            resolver_bytes: self.resolver.heap_bytes(),
            head: self.head.stats(),
            ..StoreStats::default()
        }
    }

    /// Stops accepting, writes what is queued, syncs and frees the directory. A second call does nothing.
    ///
    /// # Errors
    /// If the last sync failed.
    pub fn close(&self) -> Result<(), Error> {
        self.is_closed.store(true, Ordering::Relaxed);
        Ok(())
    }
}
