//! Registering series, and applying what was registered before a restart.

use std::ops::Range;
use std::sync::Arc;

use model::{
    BUCKET_LABEL, EntityId, Labels, LaneIdx, LaneKind, METRIC_NAME, SeriesName, SeriesRef, StreamId,
};
use parking_lot::Mutex;

use crate::definition::{Definition, LaneName};
use crate::entities::{EntityKey, EntityTable};
use crate::error::CatalogError;
use crate::hash::HashSecret;
use crate::limits::CatalogLimits;
use crate::regex_cache::RegexCache;
use crate::streams::{LaneCode, MetricId, Stream, StreamTable};

/// All known series. Registering needs it exclusively; everything else reads.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) limits: CatalogLimits,
    pub(crate) secret: HashSecret,
    pub(crate) entities: EntityTable,
    pub(crate) streams: StreamTable,
    pub(crate) regexes: Mutex<RegexCache>,
}

/// A series and what came into being for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The series.
    pub series: SeriesRef,
    /// New definitions, in the order to apply them; empty for a known series, ending with its lane otherwise.
    /// They must be durable before any sample of the series is.
    pub created: Vec<Definition>,
}

/// What is already there of a series that is looked for.
struct Place {
    entity_key: EntityKey,
    entity: Option<EntityId>,
    metric: Option<MetricId>,
    stream: Option<StreamId>,
    lane: Option<LaneIdx>,
}

impl Catalog {
    /// An empty catalog. The secret keys its hashes; ids do not depend on it.
    #[must_use]
    pub fn new(limits: CatalogLimits, secret: HashSecret) -> Self {
        Self {
            entities: EntityTable::new(&secret),
            streams: StreamTable::default(),
            regexes: Mutex::new(RegexCache::default()),
            limits,
            secret,
        }
    }

    /// The series with these labels, if it is registered.
    #[must_use]
    pub fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        self.locate(labels, split(labels)).series()
    }

    /// Finds the series with these labels, or makes it with whatever of its entity and stream is missing.
    ///
    /// Takes about a microsecond when the entity is known; a new entity of 32 labels takes some ten.
    ///
    /// # Errors
    /// [`CatalogError::MissingMetricName`], or the limit that the labels or the catalog would exceed.
    pub fn register(&mut self, labels: &Labels) -> Result<Registered, CatalogError> {
        if labels.metric_name().is_empty() {
            return Err(CatalogError::MissingMetricName);
        }
        let name = split(labels);
        let place = self.locate(labels, name);
        if let Some(series) = place.series() {
            return Ok(Registered {
                series,
                created: Vec::new(),
            });
        }
        self.limits.check_labels(labels)?;
        self.check_room(&place, name.base)?;

        let mut created = Vec::with_capacity(3);
        let entity = place.entity.unwrap_or_else(|| {
            let id = self
                .entities
                .push(place.entity_key, entity_labels(labels, name), &self.secret);
            let labels = self.entity_labels(id);
            created.push(Definition::Entity { id, labels });
            id
        });
        let stream = place.stream.unwrap_or_else(|| {
            let metric = place
                .metric
                .unwrap_or_else(|| self.streams.intern_metric(name.base));
            let id = self.streams.push_stream(metric, entity);
            let base = Arc::clone(&self.streams.metric(metric).base);
            created.push(Definition::Stream { id, entity, base });
            id
        });
        let (lane, definition) = self.push_lane(stream, name.lane);
        created.push(definition);
        let series = SeriesRef { stream, lane };
        Ok(Registered { series, created })
    }

    /// Repeats a stored definition. One that is already there with the same content changes nothing.
    ///
    /// # Errors
    /// [`CatalogError::OutOfOrder`], [`CatalogError::Contradiction`], [`CatalogError::Undefined`] or
    /// [`CatalogError::Impossible`]; the catalog is unchanged then.
    pub fn apply(&mut self, definition: &Definition) -> Result<(), CatalogError> {
        match definition {
            Definition::Entity { id, labels } => self.apply_entity(*id, labels),
            Definition::Stream { id, entity, base } => self.apply_stream(*id, *entity, base),
            Definition::Lane { stream, lane, name } => self.apply_lane(*stream, *lane, name.kind()),
        }
    }

    /// Everything registered, in an order that [`Self::apply`] accepts: entities, streams, then lanes by stream.
    pub fn definitions(&self) -> impl Iterator<Item = Definition> {
        let (entities, streams) = (0..self.n_entity_ids(), 0..self.n_stream_ids());
        self.entity_definitions(entities)
            .chain(self.stream_definitions(streams.clone()))
            .chain(self.lane_definitions(streams))
    }

    /// The ids of entities are below this; some of those may stand for nothing.
    #[must_use]
    pub fn n_entity_ids(&self) -> u32 {
        self.entities.n_rows()
    }

    /// The ids of streams are below this; some of those may stand for nothing.
    #[must_use]
    pub fn n_stream_ids(&self) -> u32 {
        self.streams.n_ids()
    }

    /// True when the id is a stream's.
    #[must_use]
    pub fn has_stream(&self, id: StreamId) -> bool {
        self.streams.get(id).is_some()
    }

    /// Number of lanes of a stream; 0 if there is no such stream.
    #[must_use]
    pub fn n_lanes(&self, id: StreamId) -> usize {
        self.streams.get(id).map_or(0, Stream::n_lanes)
    }

    /// The ids that stand for nothing: entities, streams.
    #[must_use]
    pub fn vacant_ids(&self) -> (Vec<u32>, Vec<u32>) {
        let entities = (0..self.n_entity_ids()).filter(|id| !self.entities.contains(EntityId(*id)));
        let streams = (0..self.n_stream_ids()).filter(|id| !self.has_stream(StreamId(*id)));
        (entities.collect(), streams.collect())
    }

    /// Lets ids that stand for nothing be given out again: entities, streams. Nothing anywhere may remember what
    /// they stood for. Ids that stand for something, or were let go before, must not be among them.
    pub fn reuse_ids(&mut self, entities: Vec<u32>, streams: Vec<u32>) {
        self.entities.free(entities);
        self.streams.free(streams);
    }

    /// A catalog of those streams that `keep` wants, of their entities, and of entities without such streams that
    /// `keep_entity` wants, under the same ids. Nothing of the
    /// others is left in it, and none of its free ids may be given out before [`Self::reuse_ids`].
    ///
    /// Takes about 5 µs per entity of 32 labels.
    #[must_use]
    pub fn retained(&self, keep: impl Fn(StreamId) -> bool, keep_entity: impl Fn(EntityId) -> bool) -> Self {
        let mut kept = Self::new(self.limits.clone(), self.secret.clone());
        kept.entities.reserve_ids(self.n_entity_ids());
        kept.streams.reserve_ids(self.n_stream_ids());
        for id in (0..self.n_stream_ids()).map(StreamId).filter(|id| keep(*id)) {
            let Some(stream) = self.streams.get(id) else {
                continue;
            };
            self.copy_entity(stream.entity, &mut kept);
            let metric = kept
                .streams
                .intern_metric(&self.streams.metric(stream.metric).base);
            kept.streams.put_stream(id, metric, stream.entity);
            for code in self.streams.lanes(stream) {
                kept.push_lane(id, code.kind(|le| self.le_text(le)));
            }
        }
        for id in (0..self.n_entity_ids())
            .map(EntityId)
            .filter(|id| keep_entity(*id))
        {
            if self.entities.contains(id) {
                self.copy_entity(id, &mut kept);
            }
        }
        kept
    }

    /// Puts an entity into another catalog that may have it already.
    fn copy_entity(&self, id: EntityId, into: &mut Self) {
        if !into.entities.contains(id) {
            let labels = self.entity_labels(id);
            let key = EntityKey::of_labels(&labels, &self.secret);
            into.entities.put(id, key, labels.iter(), &self.secret);
        }
    }

    /// The entities with these ids, as far as there are any.
    pub fn entity_definitions(&self, ids: Range<u32>) -> impl Iterator<Item = Definition> {
        let ids = ids.start..ids.end.min(self.n_entity_ids());
        let ids = ids.map(EntityId).filter(|id| self.entities.contains(*id));
        ids.map(|id| Definition::Entity {
            id,
            labels: self.entity_labels(id),
        })
    }

    /// The streams with these ids, as far as there are any.
    pub fn stream_definitions(&self, ids: Range<u32>) -> impl Iterator<Item = Definition> {
        self.numbered_streams(ids).map(|(id, stream)| Definition::Stream {
            id,
            entity: stream.entity,
            base: Arc::clone(&self.streams.metric(stream.metric).base),
        })
    }

    /// The lanes of the streams with these ids, as far as there are any.
    pub fn lane_definitions(&self, ids: Range<u32>) -> impl Iterator<Item = Definition> {
        self.numbered_streams(ids).flat_map(move |(id, stream)| {
            let lanes = (0..).map(LaneIdx).zip(self.streams.lanes(stream));
            lanes.map(move |(lane, &code)| Definition::Lane {
                stream: id,
                lane,
                name: self.lane_name(code),
            })
        })
    }

    fn numbered_streams(&self, ids: Range<u32>) -> impl Iterator<Item = (StreamId, &Stream)> {
        let ids = ids.start..ids.end.min(self.n_stream_ids());
        ids.map(StreamId)
            .filter_map(|id| Some((id, self.streams.get(id)?)))
    }

    fn locate(&self, labels: &Labels, name: SeriesName<'_>) -> Place {
        let entity_key = EntityKey::new(entity_labels(labels, name), &self.secret);
        let entity = self.entities.find(entity_key);
        let metric = self.streams.metric_id(name.base);
        let stream = match (entity, metric) {
            (Some(entity), Some(metric)) => self.streams.metric(metric).streams.get(&entity).copied(),
            _ => None,
        };
        let lane = stream.and_then(|stream| {
            let code = self.lane_code(name.lane)?;
            self.streams.find_lane(self.streams.stream(stream), code)
        });
        Place {
            entity_key,
            entity,
            metric,
            stream,
            lane,
        }
    }

    /// Checks that what is missing of a series may be made.
    fn check_room(&self, place: &Place, base: &str) -> Result<(), CatalogError> {
        let limits = &self.limits;
        if place.entity.is_none() && self.entities.len() >= limits.entities_max {
            let limit = limits.entities_max;
            return Err(CatalogError::TooManyEntities { limit });
        }
        let n_lanes = match place.stream {
            Some(stream) => self.streams.stream(stream).n_lanes(),
            None if self.streams.n_streams() >= limits.streams_max as usize => {
                let limit = limits.streams_max;
                return Err(CatalogError::TooManyStreams { limit });
            }
            None => 0,
        };
        if n_lanes >= usize::from(limits.lanes_per_stream_max) {
            return Err(CatalogError::TooManyLanes {
                base: base.to_owned(),
                limit: limits.lanes_per_stream_max,
            });
        }
        self.check_series_number()
    }

    fn check_series_number(&self) -> Result<(), CatalogError> {
        if self.streams.n_series() == u32::MAX {
            return Err(CatalogError::TooManySeries { limit: u32::MAX });
        }
        Ok(())
    }

    fn push_lane(&mut self, stream: StreamId, kind: LaneKind<'_>) -> (LaneIdx, Definition) {
        let dictionary = &mut self.entities.bucket_label_mut().dictionary;
        let code = LaneCode::of_kind(kind, |le| Some(dictionary.intern(le, &self.secret)))
            .expect("a bucket's le is not empty: SeriesName::split and apply see to it");
        let lane = self.streams.push_lane(stream, code);
        let name = self.lane_name(code);
        (lane, Definition::Lane { stream, lane, name })
    }

    fn apply_entity(&mut self, id: EntityId, labels: &Labels) -> Result<(), CatalogError> {
        let kind = "entity";
        let key = EntityKey::of_labels(labels, &self.secret);
        match self.entities.find(key) {
            Some(found) if found == id => return Ok(()),
            Some(_) => return Err(CatalogError::Contradiction { kind, id: id.0 }),
            None if self.entities.contains(id) => {
                return Err(CatalogError::Contradiction { kind, id: id.0 });
            }
            None => check_gap(kind, id.0, self.n_entity_ids())?,
        }
        if !labels.metric_name().is_empty() {
            let reason = "its labels hold a metric name";
            return Err(CatalogError::Impossible {
                kind,
                id: id.0,
                reason,
            });
        }
        self.entities.put(id, key, labels.iter(), &self.secret);
        Ok(())
    }

    fn apply_stream(&mut self, id: StreamId, entity: EntityId, base: &str) -> Result<(), CatalogError> {
        let kind = "stream";
        if let Some(stream) = self.streams.get(id) {
            let is_same = stream.entity == entity && *self.streams.metric(stream.metric).base == *base;
            let contradiction = CatalogError::Contradiction { kind, id: id.0 };
            return is_same.then_some(()).ok_or(contradiction);
        }
        check_gap(kind, id.0, self.n_stream_ids())?;
        if !self.entities.contains(entity) {
            let kind = "entity";
            return Err(CatalogError::Undefined { kind, id: entity.0 });
        }
        if base.is_empty() {
            let reason = "its metric name is empty";
            return Err(CatalogError::Impossible {
                kind,
                id: id.0,
                reason,
            });
        }
        let metric = self.streams.intern_metric(base);
        if self.streams.metric(metric).streams.contains_key(&entity) {
            return Err(CatalogError::Contradiction { kind, id: id.0 });
        }
        self.streams.put_stream(id, metric, entity);
        Ok(())
    }

    fn apply_lane(&mut self, id: StreamId, lane: LaneIdx, name: LaneKind<'_>) -> Result<(), CatalogError> {
        let kind = "lane";
        let lane_id = u32::from(lane.0);
        let Some(stream) = self.streams.get(id) else {
            let kind = "stream";
            return Err(CatalogError::Undefined { kind, id: id.0 });
        };
        match self
            .lane_code(name)
            .and_then(|code| self.streams.find_lane(stream, code))
        {
            Some(found) if found == lane => return Ok(()),
            Some(_) => return Err(CatalogError::Contradiction { kind, id: lane_id }),
            None => {}
        }
        check_next(kind, lane_id, stream.n_lanes() as u32)?;
        self.check_series_number()?;
        self.check_lane_is_possible(id, lane, name)?;
        self.push_lane(id, name);
        Ok(())
    }

    /// Checks that some labels make this lane of this stream.
    fn check_lane_is_possible(
        &self,
        stream: StreamId,
        lane: LaneIdx,
        kind: LaneKind<'_>,
    ) -> Result<(), CatalogError> {
        let stream = self.streams.stream(stream);
        let own_le = self.entities.bucket_label().column.get(stream.entity.0);
        let base = &*self.streams.metric(stream.metric).base;
        let le = match kind {
            LaneKind::Bucket(le) => le,
            _ => self.le_text(own_le),
        };
        let name = SeriesName { base, lane: kind };
        let has_two_les = name.takes_le() && own_le != 0;
        if lane.0 == u16::MAX || has_two_les || SeriesName::split(&name.metric_name(), le) != name {
            return Err(CatalogError::Impossible {
                kind: "lane",
                id: u32::from(lane.0),
                reason: "no series has this name and le",
            });
        }
        Ok(())
    }

    /// The labels of an entity.
    ///
    /// # Panics
    /// If there is no such entity.
    #[must_use]
    pub fn entity_labels(&self, id: EntityId) -> Labels {
        let pairs = self.entities.labels_of(id);
        Labels::from_pairs(pairs.map(|(name, value)| (&**name, &**value)))
            .expect("the columns of the entity table have distinct, non-empty names")
    }

    /// The code of a lane; none when its `le` has never been seen.
    fn lane_code(&self, kind: LaneKind<'_>) -> Option<LaneCode> {
        let dictionary = &self.entities.bucket_label().dictionary;
        LaneCode::of_kind(kind, |le| dictionary.get(le, &self.secret))
    }

    pub(crate) fn lane_name(&self, code: LaneCode) -> LaneName {
        match code.le_code() {
            Some(le) => LaneName::Bucket(Arc::clone(self.entities.bucket_label().dictionary.value(le))),
            None => LaneName::from(code.kind(|_| "")),
        }
    }

    pub(crate) fn le_text(&self, code: u32) -> &str {
        self.entities.bucket_label().dictionary.value(code)
    }
}

impl Place {
    fn series(&self) -> Option<SeriesRef> {
        Some(SeriesRef {
            stream: self.stream?,
            lane: self.lane?,
        })
    }
}

fn split(labels: &Labels) -> SeriesName<'_> {
    SeriesName::split(labels.metric_name(), labels.get(BUCKET_LABEL))
}

/// The labels of a series that make its entity.
fn entity_labels<'a>(labels: &'a Labels, name: SeriesName<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let is_left_out = move |label: &str| label == METRIC_NAME || (label == BUCKET_LABEL && name.takes_le());
    labels.iter().filter(move |(label, _)| !is_left_out(label))
}

/// Ids that may be left out before one. Far more than one log can hold.
const ID_GAP_MAX: u32 = 1 << 24;

fn check_gap(kind: &'static str, id: u32, expected: u32) -> Result<(), CatalogError> {
    if id > expected.saturating_add(ID_GAP_MAX) {
        return Err(CatalogError::OutOfOrder { kind, id, expected });
    }
    Ok(())
}

fn check_next(kind: &'static str, id: u32, expected: u32) -> Result<(), CatalogError> {
    match id.cmp(&expected) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(CatalogError::Contradiction { kind, id }),
        std::cmp::Ordering::Greater => Err(CatalogError::OutOfOrder { kind, id, expected }),
    }
}
