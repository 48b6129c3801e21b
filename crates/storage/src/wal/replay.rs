//! Applying records to catalog, head and metadata.
//!
//! In a sound log every definition stands before the samples that need it. Series that were let go come back under
//! other ids: a definition whose labels belong to another id is right if that id has no sample any more, for every
//! segment restates what it needs. When a definition is missing because the record that held it is damaged, all definitions that can still be
//! found anywhere in the log are gathered once: each stands there twice, and once more in every later segment.
//!
//! What is lost even so is replaced by a placeholder when the caller says so ([`Replay::invent`]): then no id is
//! ever given to another series, and the samples are kept under the metric name [`LOST_METRIC`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use catalog::{Catalog, CatalogError, Definition, LaneName};
use model::{EntityId, Labels, LaneIdx, SampleBatch, SeriesRef, StreamId, TimeRange, TimestampMs};

use super::LOST_METRIC;
use crate::exemplars::{Exemplar, ExemplarRing};
use crate::{Error, Head, Refusal};

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
    exemplars: &'a mut ExemplarRing,
    /// Lanes of each stream; 0 for ids that stand for nothing.
    n_lanes: Vec<u16>,
    /// By stream: the segment that last defined it.
    defined_in: Vec<u64>,
    /// By entity: the same.
    entity_defined_in: Vec<u64>,
    /// The segment being read.
    segment: u64,
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
    /// Fills an empty catalog, head and ring of exemplars.
    pub(crate) fn new(catalog: &'a mut Catalog, head: &'a Head, exemplars: &'a mut ExemplarRing) -> Self {
        Self {
            catalog,
            head,
            exemplars,
            n_lanes: Vec::new(),
            defined_in: Vec::new(),
            entity_defined_in: Vec::new(),
            segment: 0,
            lost: BTreeSet::new(),
            gathered: None,
            refused: Vec::new(),
            lost_series_samples: 0,
            complaints: Vec::new(),
        }
    }

    /// What follows stands in this segment.
    pub(crate) fn enter_segment(&mut self, segment: u64) {
        self.segment = segment;
    }

    /// The head was cut here.
    pub(crate) fn note_cut(&self, before_ms: TimestampMs) {
        self.head.note_cut(before_ms);
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

    /// Takes exemplars into the ring. Those of lost series go with the labels of those. `gather` is as for
    /// [`Self::define`]. False, with nothing taken, if they are of unknown series.
    ///
    /// # Errors
    /// Those of `gather`.
    pub(crate) fn take_exemplars(
        &mut self,
        exemplars: &[Exemplar],
        gather: &mut dyn FnMut() -> Result<GatheredDefinitions, Error>,
    ) -> Result<bool, Error> {
        let knows_all = |replay: &Self| exemplars.iter().all(|exemplar| replay.knows(exemplar.series));
        if !knows_all(self) && self.gathered.is_none() {
            self.gathered = Some(gather()?);
            self.apply_gathered(false);
        }
        for exemplar in exemplars {
            // What is there already is restated.
            if self.knows(exemplar.series) && !self.lost.contains(&exemplar.series) {
                self.exemplars.push(exemplar);
            }
        }
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
        let mut applied = self.catalog.apply(definition);
        if matches!(applied, Err(CatalogError::Contradiction { .. })) {
            self.let_go();
            applied = self.catalog.apply(definition);
        }
        applied?;
        if let Definition::Entity { id, .. } = definition {
            let n_ids = self.entity_defined_in.len().max(id.0 as usize + 1);
            self.entity_defined_in.resize(n_ids, 0);
            if let Some(defined_in) = self.entity_defined_in.get_mut(id.0 as usize) {
                *defined_in = self.segment;
            }
        }
        let (Definition::Stream { id: stream, .. } | Definition::Lane { stream, .. }) = definition else {
            return Ok(());
        };
        let n_ids = self.n_lanes.len().max(stream.0 as usize + 1);
        self.n_lanes.resize(n_ids, 0);
        self.defined_in.resize(n_ids, 0);
        if let Some(n_lanes) = self.n_lanes.get_mut(stream.0 as usize) {
            *n_lanes = u16::try_from(self.catalog.n_lanes(*stream)).unwrap_or(u16::MAX);
        }
        if let Some(defined_in) = self.defined_in.get_mut(stream.0 as usize) {
            *defined_in = self.segment;
        }
        Ok(())
    }

    /// Takes out of the catalog what the segment before still had and this one has not: streams without a sample.
    fn let_go(&mut self) {
        let is_kept = |stream: StreamId| {
            self.defined_in.get(stream.0 as usize) == Some(&self.segment)
                || self.head.may_have_samples(stream, TimeRange::ALL)
        };
        // Their streams may come after them.
        let is_entity_kept =
            |entity: EntityId| self.entity_defined_in.get(entity.0 as usize) == Some(&self.segment);
        // Those of streams that this segment has are restated in it.
        self.exemplars.retain(is_kept);
        *self.catalog = self.catalog.retained(is_kept, is_entity_kept);
        for (id, n_lanes) in (0..).map(StreamId).zip(&mut self.n_lanes) {
            *n_lanes = u16::try_from(self.catalog.n_lanes(id)).unwrap_or(u16::MAX);
        }
    }

    /// Applies the gathered definitions in the order of their ids; with placeholders in the gaps, or without what
    /// stands behind a gap.
    fn apply_gathered(&mut self, with_placeholders: bool) {
        let Some(gathered) = self.gathered.take() else {
            return;
        };
        for (id, labels) in &gathered.entities {
            let (id, labels) = (EntityId(*id), labels.clone());
            self.apply_unless_gap(&Definition::Entity { id, labels });
        }
        for (id, (entity, base)) in &gathered.streams {
            let (id, entity, base) = (StreamId(*id), *entity, Arc::clone(base));
            self.apply_unless_gap(&Definition::Stream { id, entity, base });
        }
        if with_placeholders {
            // Only now are the ids known that no definition has.
            self.invent_entities_of(&gathered.streams);
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

    /// What was gathered from older segments may contradict newer ones: a series that was let go comes back under
    /// another id.
    fn apply_unless_gap(&mut self, definition: &Definition) {
        if let Err(error) = self.apply(definition)
            && !is_gap(&error)
            && !matches!(error, CatalogError::Contradiction { .. })
        {
            self.complaints.push(error.to_string());
        }
    }

    /// Gives entities of their own to streams whose entity is lost.
    fn invent_entities_of(&mut self, streams: &BTreeMap<u32, (EntityId, Arc<str>)>) {
        for (id, (entity, base)) in streams {
            let (id, base) = (StreamId(*id), Arc::clone(base));
            if self.catalog.has_stream(id) {
                continue;
            }
            let labels = lost_label("entity", entity.0);
            if self.apply(&Definition::Entity { id: *entity, labels }).is_ok() {
                let entity = *entity;
                self.apply_unless_gap(&Definition::Stream { id, entity, base });
            }
        }
    }

    /// Makes a series known that is not, and all before it in its stream. False if that cannot be.
    fn invent_series(&mut self, series: SeriesRef) -> bool {
        let stream_idx = series.stream.0 as usize;
        if !self.catalog.has_stream(series.stream) && !self.invent_stream(series.stream) {
            return false;
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

    /// Makes a stream: a metric of a label set of its own.
    fn invent_stream(&mut self, id: StreamId) -> bool {
        let entity = EntityId(self.catalog.n_entity_ids());
        let labels = lost_label("stream", id.0);
        let base = Arc::from(LOST_METRIC);
        self.apply(&Definition::Entity { id: entity, labels })
            .and_then(|()| self.apply(&Definition::Stream { id, entity, base }))
            .is_ok()
    }
}

/// The labels of what takes the place of something lost.
fn lost_label(lost: &str, number: u32) -> Labels {
    Labels::from_pairs([(format!("lost_{lost}"), number.to_string())]).unwrap_or_default()
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
