//! What the log must know before samples: definitions and metadata.
//!
//! A definition is queued for the log under the lock under which the catalog makes it. So when a series can be seen
//! by anybody, its definitions are queued, and the writer, which takes samples first and queued definitions then,
//! always writes them before the samples. It does not matter what becomes of the request that made the series.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::ArrowError;
use catalog::{Catalog, CatalogError, Definition};
use model::{Labels, MetricMetadata, SeriesRef, StreamId};
use parking_lot::{Mutex, RwLock};

use crate::Error;
use crate::wal::{Payload, RecordEncoder, encode_definitions, encode_metadata};

/// Metrics about which something may be known.
const METADATA_METRICS_MAX: usize = 200_000;

/// Bytes of name, help and unit of one metric.
const METADATA_BYTES_MAX: usize = 64 << 10;

/// Entities restated while the catalog is locked once.
const ENTITIES_AT_ONCE: u32 = 256;

/// Streams restated while the catalog is locked once.
const STREAMS_AT_ONCE: u32 = 1_024;

/// The catalog, the metadata, and what of both is not in the log yet.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Another one takes its place when streams are let go; queries keep theirs to the end.
    catalog: RwLock<Arc<RwLock<Catalog>>>,
    /// Locked after the catalog by those who lock both.
    pending: Mutex<Vec<Definition>>,
    metadata: Mutex<Metadata>,
}

#[derive(Debug, Default)]
struct Metadata {
    by_name: BTreeMap<String, MetricMetadata>,
    pending: Vec<MetricMetadata>,
}

impl Registry {
    /// A registry of what a recovery has found.
    pub(crate) fn new(catalog: Catalog, metadata: BTreeMap<String, MetricMetadata>) -> Self {
        Self {
            catalog: RwLock::new(Arc::new(RwLock::new(catalog))),
            pending: Mutex::default(),
            metadata: Mutex::new(Metadata {
                by_name: metadata,
                pending: Vec::new(),
            }),
        }
    }

    /// Finds or makes a series; also tells how many there are then.
    pub(crate) fn register(&self, labels: &Labels) -> Result<(SeriesRef, usize), CatalogError> {
        // The outer lock is held too, so that nothing is registered in a catalog that was replaced.
        let current = self.catalog.read();
        let mut catalog = current.write();
        let registered = catalog.register(labels)?;
        if !registered.created.is_empty() {
            self.pending.lock().extend(registered.created);
        }
        Ok((registered.series, catalog.n_series()))
    }

    /// The series with these labels, if there is one.
    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        self.catalog().read().find(labels)
    }

    /// The catalog as it is now.
    pub(crate) fn catalog(&self) -> Arc<RwLock<Catalog>> {
        Arc::clone(&self.catalog.read())
    }

    /// Puts a catalog of what is left in the place of the current one; returns the ids that stand for nothing now.
    /// The log must begin a segment before it takes anything more, and nothing may be registered meanwhile.
    pub(crate) fn retain(&self, keep: impl Fn(StreamId) -> bool) -> (Vec<u32>, Vec<u32>) {
        let mut current = self.catalog.write();
        let kept = current.read().retained(keep, |_| false);
        let vacant = kept.vacant_ids();
        *current = Arc::new(RwLock::new(kept));
        self.pending.lock().clear();
        vacant
    }

    /// Takes the newest word on metrics.
    pub(crate) fn put_metadata(&self, metadata: Vec<MetricMetadata>) -> Result<(), Error> {
        let bytes =
            |metric: &MetricMetadata| metric.metric_name.len() + metric.help.len() + metric.unit.len();
        if metadata.iter().any(|metric| bytes(metric) > METADATA_BYTES_MAX) {
            return Err(Error::Limit {
                what: "bytes in the metadata of a metric",
                limit: METADATA_BYTES_MAX as u64,
            });
        }
        let mut held = self.metadata.lock();
        for metric in metadata {
            let known = held.by_name.get(&metric.metric_name);
            if known == Some(&metric) {
                continue;
            }
            if known.is_none() && held.by_name.len() >= METADATA_METRICS_MAX {
                return Err(Error::Limit {
                    what: "metrics with metadata",
                    limit: METADATA_METRICS_MAX as u64,
                });
            }
            held.pending.push(metric.clone());
            held.by_name.insert(metric.metric_name.clone(), metric);
        }
        Ok(())
    }

    /// What is known about metrics, by name.
    pub(crate) fn metadata(&self) -> Vec<MetricMetadata> {
        self.metadata.lock().by_name.values().cloned().collect()
    }

    /// Takes what the log has not yet, as records.
    pub(crate) fn encode_pending(&self, encoder: &mut RecordEncoder) -> Result<Vec<Payload>, ArrowError> {
        let definitions = std::mem::take(&mut *self.pending.lock());
        let metadata = std::mem::take(&mut self.metadata.lock().pending);
        let mut payloads = encode_definitions(definitions, encoder)?;
        payloads.extend(encode_metadata(&metadata, encoder)?);
        Ok(payloads)
    }

    /// Everything there is, as records. Nothing that is pending when it begins is pending afterwards.
    ///
    /// The catalog is locked for a few ids at a time: with a million series the whole takes a good part of a second.
    pub(crate) fn encode_all(&self, encoder: &mut RecordEncoder) -> Result<Vec<Payload>, ArrowError> {
        let current = self.catalog();
        let catalog = current.read();
        self.pending.lock().clear();
        let (n_entities, n_streams) = (catalog.n_entity_ids(), catalog.n_stream_ids());
        drop(catalog);
        let mut payloads = Vec::new();
        for ids in pieces(n_entities, ENTITIES_AT_ONCE) {
            let definitions: Vec<Definition> = current.read().entity_definitions(ids).collect();
            payloads.extend(encode_definitions(definitions, encoder)?);
        }
        for ids in pieces(n_streams, STREAMS_AT_ONCE) {
            let definitions: Vec<Definition> = current.read().stream_definitions(ids).collect();
            payloads.extend(encode_definitions(definitions, encoder)?);
        }
        // A lane that is made meanwhile is pending, and may be here as well.
        for ids in pieces(n_streams, STREAMS_AT_ONCE) {
            let definitions: Vec<Definition> = current.read().lane_definitions(ids).collect();
            payloads.extend(encode_definitions(definitions, encoder)?);
        }
        let mut held = self.metadata.lock();
        held.pending.clear();
        let metadata: Vec<MetricMetadata> = held.by_name.values().cloned().collect();
        drop(held);
        payloads.extend(encode_metadata(&metadata, encoder)?);
        Ok(payloads)
    }
}

/// The ids below `n_ids` in pieces of some.
fn pieces(n_ids: u32, n_at_once: u32) -> impl Iterator<Item = Range<u32>> {
    (0..n_ids.div_ceil(n_at_once)).map(move |piece| piece * n_at_once..n_ids.min((piece + 1) * n_at_once))
}
