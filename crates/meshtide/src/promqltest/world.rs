//! The store and engine of one script, fresh after every `clear`.

use std::sync::{Arc, mpsc};

use anyhow::{Context, Result};
use model::{Labels, SampleBatch};
use promql::script::{Load, LoadSeries, Point, nhcb_series};
use query::{Engine, EngineOptions, QueryError, QueryRequest, QueryResult};
use storage::{LocalFiles, Store, StoreConfig, Surroundings, WalSync};

use crate::clock::SystemClock;

/// Samples of one series that are appended together.
const BATCH_SAMPLES: usize = 10_000;

/// A store in a folder of its own, and an engine set up as Prometheus' test engine.
pub(super) struct World {
    store: Arc<Store>,
    engine: Engine,
    /// Removed when dropped, so it outlives the store.
    _folder: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for the store")?;
        let config = StoreConfig {
            // Nothing here has to survive a power cut, and scripts load samples in any order.
            wal_sync: WalSync::Interval(60_000),
            out_of_order_window_ms: i64::MAX,
            ..StoreConfig::default()
        };
        let surroundings = Surroundings {
            clock: Arc::new(SystemClock),
            files: Arc::new(LocalFiles),
            secret: catalog::HashSecret::from_seed(0),
            release_memory: || (),
        };
        let (store, _) = Store::open(folder.path(), config, surroundings, &mut |_| {})?;
        let options = EngineOptions {
            experimental: true,
            delayed_name_removal: true,
            use_start_timestamps: true,
            ..EngineOptions::default()
        };
        let source: Arc<Store> = Arc::clone(&store);
        let engine = Engine::new(source, options)?;
        Ok(Self {
            store,
            engine,
            _folder: folder,
        })
    }

    /// Adds the samples of a load, those of histograms made of classic ones last.
    pub(super) fn load(&self, load: &Load) -> Result<()> {
        let made = if load.with_nhcb {
            nhcb_series(&load.series).context("make native histograms of classic ones")?
        } else {
            Vec::new()
        };
        for (position, series) in load.series.iter().enumerate() {
            // Of two lines with equal labels the later one holds.
            let mut later = load.series[position + 1..].iter();
            if later.all(|later| later.labels != series.labels) {
                self.add(load.step_ms, series)?;
            }
        }
        made.iter().try_for_each(|series| self.add(load.step_ms, series))
    }

    fn add(&self, step_ms: i64, series: &LoadSeries) -> Result<()> {
        let key = self.store.resolver().key(series.labels.to_string().as_bytes());
        let reference = self
            .store
            .register(key, &series.labels)
            .with_context(|| name(&series.labels))?;
        let mut batch = SampleBatch::default();
        for (step, point) in series.points.iter().enumerate() {
            let timestamp_ms = step_ms * i64::try_from(step)?;
            match point {
                Point::Gap => continue,
                Point::Float(value) => batch.push(reference, timestamp_ms, *value),
                Point::Histogram { value, .. } => batch
                    .push_float_histogram(reference, timestamp_ms, value)
                    .with_context(|| name(&series.labels))?,
            }
            if let Some(offset_ms) = series.start_offsets_ms.get(step).copied().flatten() {
                batch.set_last_start(timestamp_ms.saturating_add(offset_ms));
            }
            if batch.len() >= BATCH_SAMPLES {
                self.append(std::mem::take(&mut batch))?;
            }
        }
        self.append(batch)
    }

    pub(super) async fn ask(&self, request: QueryRequest) -> Result<QueryResult, QueryError> {
        self.engine.query(request).await
    }

    fn append(&self, batch: SampleBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let (sender, receiver) = mpsc::channel();
        self.store
            .append(batch, Box::new(move |outcome| drop(sender.send(outcome))))?;
        let outcome = receiver.recv().context("the store went away")??;
        anyhow::ensure!(
            outcome.refused.is_empty(),
            "samples were refused: {:?}",
            outcome.refused
        );
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Err(error) = self.store.close() {
            tracing::warn!("the store of a script did not close: {error}");
        }
    }
}

fn name(labels: &Labels) -> String {
    format!("cannot add {labels}")
}
