//! Applying records to catalog, head and metadata.
//!
//! In a sound log every definition stands before the samples that need it, and ids follow each other without gaps.
//! When a definition is missing because the record that held it is damaged, all definitions that can still be
//! found anywhere in the log are gathered once: each stands there twice, and once more in every later segment.
//!
//! What is lost even so is replaced by a placeholder when the caller says so ([`Replay::invent`]): then no id is
//! ever given to another series, and the samples are kept under the metric name [`LOST_METRIC`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use catalog::{Catalog, CatalogError, Definition, LaneName};
use model::{EntityId, Labels, LaneIdx, SampleBatch, SeriesRef, StreamId};

use super::LOST_METRIC;
use crate::{Error, Head, Refusal};

/// Ids that one sample record may be ahead of the definitions. Far more than one segment can hold.
const ID_GAP_MAX: usize = 1 << 24;

/// All definitions that a log still holds; the first one of each id.
#[derive(Debug, Default)]
pub(crate) struct GatheredDefinitions {
    entities: BTreeMap<u32, Labels>,
    streams: BTreeMap<u32, (EntityId, Arc<str>)>,
    lanes: BTreeMap<(u32, u16), LaneName>,
}

/// What records are applied to.
pub(crate) struct Replay<'a> {
    catalog: &'a mut Catalog,
    head: &'a Head,
    /// Lanes of each stream.
    n_lanes: Vec<u16>,
    n_entities: u32,
    /// Placeholders.
    lost: BTreeSet<SeriesRef>,
    gathered: Option<GatheredDefinitions>,
    refused: Vec<Refusal>,
    /// Samples of lost series so far.
    pub(crate) lost_series_samples: u64,
    /// What did not fit, as clauses.
    pub(crate) complaints: Vec<String>,
}

impl GatheredDefinitions {
    /// Adds definitions, in the order of the log.
    pub(crate) fn extend(&mut self, definitions: impl IntoIterator<Item = Definition>) {
        for definition in definitions {
            match definition {
                Definition::Entity { id, labels } => {
                    self.entities.entry(id.0).or_insert(labels);
                }
                Definition::Stream { id, entity, base } => {
                    self.streams.entry(id.0).or_insert((entity, base));
                }
                Definition::Lane { stream, lane, name } => {
                    self.lanes.entry((stream.0, lane.0)).or_insert(name);
                }
            }
        }
    }
}

impl<'a> Replay<'a> {
    /// Fills an empty catalog and head.
    pub(crate) fn new(catalog: &'a mut Catalog, head: &'a Head) -> Self {
        Self {
            catalog,
            head,
            n_lanes: Vec::new(),
            n_entities: 0,
            lost: BTreeSet::new(),
            gathered: None,
            refused: Vec::new(),
            lost_series_samples: 0,
            complaints: Vec::new(),
        }
    }

    /// Applies definitions. `gather` finds all that the log holds; it is called at most once. False, with nothing
    /// more applied, if ids before them are missing.
    ///
    /// # Errors
    /// Those of `gather`.
    pub(crate) fn define(
        &mut self,
        definitions: &[Definition],
        gather: &mut dyn FnMut() -> Result<GatheredDefinitions, Error>,
    ) -> Result<bool, Error> {
        for definition in definitions {
            let mut applied = self.apply(definition);
            if applied.as_ref().is_err_and(is_gap) && self.gathered.is_none() {
                self.gathered = Some(gather()?);
                self.apply_gathered(false);
                applied = self.apply(definition);
            }
            match applied {
                Ok(()) => {}
                Err(error) if is_gap(&error) => return Ok(false),
                Err(error) => self.complaints.push(error.to_string()),
            }
        }
        Ok(true)
    }

    /// Applies samples. `gather` is as for [`Self::define`]. False, with nothing applied, if they are of unknown
    /// series.
    ///
    /// # Errors
    /// Those of `gather`.
    pub(crate) fn append(
        &mut self,
        batch: &SampleBatch,
        gather: &mut dyn FnMut() -> Result<GatheredDefinitions, Error>,
    ) -> Result<bool, Error> {
        if !self.knows_all(batch) && self.gathered.is_none() {
            self.gathered = Some(gather()?);
            self.apply_gathered(false);
        }
        if !self.knows_all(batch) {
            return Ok(false);
        }
        if !self.lost.is_empty() {
            let lost = batch.series.iter().filter(|series| self.lost.contains(series));
            self.lost_series_samples += lost.count() as u64;
        }
        self.refused.clear();
        self.head.append(batch, &mut self.refused);
        Ok(true)
    }

    /// Makes placeholders for what is missing of the definitions gathered and of the series of these samples; what
    /// cannot even have a placeholder leaves the batch.
    pub(crate) fn invent(&mut self, batch: Option<&mut SampleBatch>) {
        self.apply_gathered(true);
        let Some(batch) = batch else {
            return;
        };
        let mut kept = SampleBatch::with_capacity(batch.len());
        for (row, series) in batch.series.iter().enumerate() {
            if self.invent_series(*series) {
                kept.push_from(batch, row);
            } else {
                self.lost_series_samples += 1;
            }
        }
        *batch = kept;
    }

    fn knows_all(&self, batch: &SampleBatch) -> bool {
        batch.series.iter().all(|series| self.knows(*series))
    }

    fn knows(&self, series: SeriesRef) -> bool {
        let n_lanes = self.n_lanes.get(series.stream.0 as usize);
        n_lanes.is_some_and(|n_lanes| series.lane.0 < *n_lanes)
    }

    fn apply(&mut self, definition: &Definition) -> Result<(), CatalogError> {
        self.catalog.apply(definition)?;
        match definition {
            Definition::Entity { id, .. } => self.n_entities = self.n_entities.max(id.0 + 1),
            Definition::Stream { id, .. } => {
                let n_streams = self.n_lanes.len().max(id.0 as usize + 1);
                self.n_lanes.resize(n_streams, 0);
            }
            Definition::Lane { stream, lane, .. } => {
                if let Some(n_lanes) = self.n_lanes.get_mut(stream.0 as usize) {
                    *n_lanes = (*n_lanes).max(lane.0.saturating_add(1));
                }
            }
        }
        Ok(())
    }

    /// Applies the gathered definitions in the order of their ids; with placeholders in the gaps, or without what
    /// stands behind a gap.
    fn apply_gathered(&mut self, with_placeholders: bool) {
        let Some(gathered) = self.gathered.take() else {
            return;
        };
        for (id, labels) in &gathered.entities {
            while with_placeholders
                && self.n_entities < *id
                && self.invent_entity("entity", self.n_entities).is_some()
            {}
            let (id, labels) = (EntityId(*id), labels.clone());
            self.apply_unless_gap(&Definition::Entity { id, labels });
        }
        for (id, (entity, base)) in &gathered.streams {
            while with_placeholders && self.n_lanes.len() < *id as usize && self.invent_stream() {}
            while with_placeholders
                && self.n_entities <= entity.0
                && self.invent_entity("entity", self.n_entities).is_some()
            {}
            let (id, entity, base) = (StreamId(*id), *entity, Arc::clone(base));
            self.apply_unless_gap(&Definition::Stream { id, entity, base });
        }
        for ((stream, lane), name) in &gathered.lanes {
            let (stream, lane, name) = (StreamId(*stream), LaneIdx(*lane), name.clone());
            if let Some(before) = lane.0.checked_sub(1)
                && with_placeholders
            {
                let lane = LaneIdx(before);
                self.invent_series(SeriesRef { stream, lane });
            }
            self.apply_unless_gap(&Definition::Lane { stream, lane, name });
        }
        self.gathered = Some(gathered);
    }

    fn apply_unless_gap(&mut self, definition: &Definition) {
        if let Err(error) = self.apply(definition)
            && !is_gap(&error)
        {
            self.complaints.push(error.to_string());
        }
    }

    /// Makes a series known that is not, and all before it in its stream. False if that cannot be.
    fn invent_series(&mut self, series: SeriesRef) -> bool {
        let stream_idx = series.stream.0 as usize;
        if stream_idx > self.n_lanes.len() + ID_GAP_MAX {
            return false;
        }
        while self.n_lanes.len() <= stream_idx {
            if !self.invent_stream() {
                return false;
            }
        }
        while !self.knows(series) {
            let lane = LaneIdx(self.n_lanes.get(stream_idx).copied().unwrap_or(u16::MAX));
            let name = LaneName::Bucket(Arc::from(format!("lost lane {}", lane.0)));
            let stream = series.stream;
            if self.apply(&Definition::Lane { stream, lane, name }).is_err() {
                return false;
            }
            self.lost.insert(SeriesRef { stream, lane });
        }
        true
    }

    /// Makes the next stream: a metric of a label set of its own.
    fn invent_stream(&mut self) -> bool {
        let Ok(id) = u32::try_from(self.n_lanes.len()) else {
            return false;
        };
        let Some(entity) = self.invent_entity("stream", id) else {
            return false;
        };
        let base = Arc::from(LOST_METRIC);
        let id = StreamId(id);
        self.apply(&Definition::Stream { id, entity, base }).is_ok()
    }

    /// Makes the next entity, with one label that says what is lost.
    fn invent_entity(&mut self, lost: &str, number: u32) -> Option<EntityId> {
        let id = EntityId(self.n_entities);
        let labels = Labels::from_pairs([(format!("lost_{lost}"), number.to_string())]).ok()?;
        self.apply(&Definition::Entity { id, labels }).ok()?;
        Some(id)
    }
}

/// True when a definition does not fit because something before it is missing.
fn is_gap(error: &CatalogError) -> bool {
    matches!(
        error,
        CatalogError::OutOfOrder { .. } | CatalogError::Undefined { .. }
    )
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("n_streams", &self.n_lanes.len())
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}
