//! What the log must know before samples: definitions, metadata, notes and exemplars.
//!
//! A definition is queued for the log under the lock under which the catalog makes it. So when a series can be seen
//! by anybody, its definitions are queued, and the writer, which takes samples first and queued definitions then,
//! always writes them before the samples. It does not matter what becomes of the request that made the series.

use std::ops::Range;
use std::sync::Arc;

use arrow_schema::ArrowError;
use catalog::{Catalog, CatalogError, Definition};
use model::{Labels, MetricMetadata, SeriesRef, StreamId};
use parking_lot::{Mutex, RwLock};

use crate::Error;
use crate::exemplars::{Exemplar, ExemplarRing};
use crate::wal::{
    Note, Payload, RecordEncoder, Remembered, encode_definitions, encode_exemplars, encode_metadata,
    encode_notes,
};

/// Metrics about which something may be known.
const METADATA_METRICS_MAX: usize = 200_000;

/// Bytes of name, help and unit of one metric.
const METADATA_BYTES_MAX: usize = 64 << 10;

/// Notes there may be.
const NOTES_MAX: usize = 20_000;

/// Bytes of name and text of one note.
const NOTE_BYTES_MAX: usize = 64 << 10;

/// Entities restated while the catalog is locked once.
const ENTITIES_AT_ONCE: u32 = 256;

/// Streams restated while the catalog is locked once.
const STREAMS_AT_ONCE: u32 = 1_024;

/// The catalog, the metadata, the notes, and what of them is not in the log yet.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Another one takes its place when streams are let go; queries keep theirs to the end.
    catalog: RwLock<Arc<RwLock<Catalog>>>,
    /// Locked after the catalog by those who lock both.
    pending: Mutex<Vec<Definition>>,
    named: Mutex<Named>,
    /// Filled by the thread that writes the log, in the order of the log.
    exemplars: Mutex<ExemplarRing>,
}

#[derive(Debug, Default)]
struct Named {
    remembered: Remembered,
    pending_metadata: Vec<MetricMetadata>,
    pending_notes: Vec<Note>,
}

impl Registry {
    /// A registry of what a recovery has found.
    pub(crate) fn new(catalog: Catalog, remembered: Remembered, exemplars: ExemplarRing) -> Self {
        Self {
            catalog: RwLock::new(Arc::new(RwLock::new(catalog))),
            pending: Mutex::default(),
            named: Mutex::new(Named {
                remembered,
                ..Named::default()
            }),
            exemplars: Mutex::new(exemplars),
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
        let mut held = self.named.lock();
        for metric in metadata {
            let known = held.remembered.metadata.get(&metric.metric_name);
            if known == Some(&metric) {
                continue;
            }
            if known.is_none() && held.remembered.metadata.len() >= METADATA_METRICS_MAX {
                return Err(Error::Limit {
                    what: "metrics with metadata",
                    limit: METADATA_METRICS_MAX as u64,
                });
            }
            held.remembered.put_metadata(std::slice::from_ref(&metric));
            held.pending_metadata.push(metric);
        }
        Ok(())
    }

    /// What is known about metrics, by name.
    pub(crate) fn metadata(&self) -> Vec<MetricMetadata> {
        self.named.lock().remembered.metadata.values().cloned().collect()
    }

    /// Takes a note in the place of the one of that name; an empty text takes it away.
    pub(crate) fn put_note(&self, note: Note) -> Result<(), Error> {
        if note.0.len() + note.1.len() > NOTE_BYTES_MAX {
            return Err(Error::Limit {
                what: "bytes in a note",
                limit: NOTE_BYTES_MAX as u64,
            });
        }
        let mut held = self.named.lock();
        if held.remembered.notes.len() >= NOTES_MAX && !held.remembered.notes.contains_key(&note.0) {
            return Err(Error::Limit {
                what: "notes",
                limit: NOTES_MAX as u64,
            });
        }
        held.remembered.put_notes(std::slice::from_ref(&note));
        held.pending_notes.push(note);
        Ok(())
    }

    /// All notes whose name begins with `prefix`, by name.
    pub(crate) fn notes(&self, prefix: &str) -> Vec<Note> {
        let held = self.named.lock();
        let from_prefix = held.remembered.notes.range(prefix.to_owned()..);
        from_prefix
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, text)| (name.clone(), text.clone()))
            .collect()
    }

    /// True when there is something beside series that the log has to keep.
    pub(crate) fn remembers(&self) -> bool {
        let held = self.named.lock();
        let has_names = !held.remembered.metadata.is_empty() || !held.remembered.notes.is_empty();
        has_names || !self.exemplars.lock().is_empty()
    }

    /// The exemplars that are kept.
    pub(crate) fn exemplars(&self) -> &Mutex<ExemplarRing> {
        &self.exemplars
    }

    /// Takes what the log has not yet, as records.
    pub(crate) fn encode_pending(&self, encoder: &mut RecordEncoder) -> Result<Vec<Payload>, ArrowError> {
        let definitions = std::mem::take(&mut *self.pending.lock());
        let mut held = self.named.lock();
        let metadata = std::mem::take(&mut held.pending_metadata);
        let notes = std::mem::take(&mut held.pending_notes);
        drop(held);
        let mut payloads = encode_definitions(definitions, encoder)?;
        payloads.extend(encode_metadata(&metadata, encoder)?);
        payloads.extend(encode_notes(&notes, encoder)?);
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
        let mut held = self.named.lock();
        held.pending_metadata.clear();
        held.pending_notes.clear();
        let metadata: Vec<MetricMetadata> = held.remembered.metadata.values().cloned().collect();
        let notes: Vec<Note> = held.remembered.notes.clone().into_iter().collect();
        drop(held);
        payloads.extend(encode_metadata(&metadata, encoder)?);
        payloads.extend(encode_notes(&notes, encoder)?);
        let exemplars: Vec<Exemplar> = self.exemplars.lock().in_order().cloned().collect();
        payloads.extend(encode_exemplars(&exemplars, encoder)?);
        Ok(payloads)
    }
}

/// The ids below `n_ids` in pieces of some.
fn pieces(n_ids: u32, n_at_once: u32) -> impl Iterator<Item = Range<u32>> {
    (0..n_ids.div_ceil(n_at_once)).map(move |piece| piece * n_at_once..n_ids.min((piece + 1) * n_at_once))
}
