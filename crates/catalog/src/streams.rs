//! The stream table: per base metric name its streams by entity, per stream its lanes.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{EntityId, LaneIdx, LaneKind, StreamId};

/// The position of a base metric name in [`StreamTable::metrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MetricId(pub(crate) u32);

/// All metrics and streams.
#[derive(Debug, Default)]
pub(crate) struct StreamTable {
    streams: Vec<Stream>,
    metrics: Vec<Metric>,
    by_base: BTreeMap<Arc<str>, MetricId>,
    n_series: u32,
}

/// An entity under a base metric name.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) entity: EntityId,
    pub(crate) metric: MetricId,
    lanes: Lanes,
}

/// A base metric name.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) base: Arc<str>,
    pub(crate) streams: BTreeMap<EntityId, StreamId>,
    /// Series by [`Part`].
    pub(crate) n_series: [u32; N_PARTS],
    /// Lanes of its longest stream: how many the next one will have.
    n_lanes_usual: usize,
}

/// The lanes of a stream, in order of first appearance. Most metrics have one, and need no allocation.
#[derive(Debug)]
enum Lanes {
    One(LaneCode),
    List(Vec<LaneCode>),
}

/// A lane's kind in 32 bits: its part, and for a bucket the code of its `le` in the dictionary of that label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneCode(u32);

/// What a lane adds to the base name, without the text of `le`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Value,
    Sum,
    Count,
    Bucket,
}

pub(crate) const N_PARTS: usize = 4;

/// A set of [`Part`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartSet(u8);

impl StreamTable {
    pub(crate) fn metric_id(&self, base: &str) -> Option<MetricId> {
        self.by_base.get(base).copied()
    }

    pub(crate) fn metric(&self, id: MetricId) -> &Metric {
        &self.metrics[id.0 as usize]
    }

    /// Metrics by id.
    pub(crate) fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Metrics by base name.
    pub(crate) fn metrics_by_name(&self) -> impl Iterator<Item = (MetricId, &Metric)> {
        self.by_base.values().map(|&id| (id, self.metric(id)))
    }

    pub(crate) fn stream(&self, id: StreamId) -> &Stream {
        &self.streams[id.0 as usize]
    }

    /// Streams by id.
    pub(crate) fn streams(&self) -> &[Stream] {
        &self.streams
    }

    pub(crate) fn n_series(&self) -> u32 {
        self.n_series
    }

    pub(crate) fn intern_metric(&mut self, base: &str) -> MetricId {
        if let Some(id) = self.metric_id(base) {
            return id;
        }
        let id = MetricId(self.metrics.len() as u32);
        let base: Arc<str> = Arc::from(base);
        self.by_base.insert(Arc::clone(&base), id);
        self.metrics.push(Metric {
            base,
            streams: BTreeMap::new(),
            n_series: [0; N_PARTS],
            n_lanes_usual: 0,
        });
        id
    }

    /// Adds the stream of an entity that has none under this metric.
    pub(crate) fn push_stream(&mut self, metric: MetricId, entity: EntityId) -> StreamId {
        let id = StreamId(self.streams.len() as u32);
        self.streams.push(Stream {
            entity,
            metric,
            lanes: Lanes::List(Vec::new()),
        });
        self.metrics[metric.0 as usize].streams.insert(entity, id);
        id
    }

    /// Adds a lane that the stream does not have.
    pub(crate) fn push_lane(&mut self, stream: StreamId, lane: LaneCode) -> LaneIdx {
        let stream = &mut self.streams[stream.0 as usize];
        let metric = &mut self.metrics[stream.metric.0 as usize];
        let lane_idx = LaneIdx(stream.lanes().len() as u16);
        stream.lanes.push(lane, metric.n_lanes_usual);
        metric.n_lanes_usual = metric.n_lanes_usual.max(stream.lanes().len());
        metric.n_series[lane.part() as usize] += 1;
        self.n_series += 1;
        lane_idx
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        // A B-tree node holds up to 11 entries and is two thirds full when filled in order.
        let per_entry = size_of::<(EntityId, StreamId)>() * 3 / 2 + 2;
        let metrics: usize = self
            .metrics
            .iter()
            .map(|metric| metric.base.len() + metric.streams.len() * per_entry)
            .sum();
        let lanes: usize = self.streams.iter().map(|stream| stream.lanes.heap_bytes()).sum();
        metrics
            + lanes
            + self.metrics.capacity() * (size_of::<Metric>() + 2 * size_of::<Arc<str>>())
            + self.streams.capacity() * size_of::<Stream>()
    }
}

impl Stream {
    /// The lanes by [`LaneIdx`].
    pub(crate) fn lanes(&self) -> &[LaneCode] {
        match &self.lanes {
            Lanes::One(lane) => std::slice::from_ref(lane),
            Lanes::List(lanes) => lanes,
        }
    }

    pub(crate) fn find_lane(&self, lane: LaneCode) -> Option<LaneIdx> {
        let position = self.lanes().iter().position(|candidate| *candidate == lane)?;
        Some(LaneIdx(position as u16))
    }
}

impl Metric {
    /// The parts of which it has series.
    pub(crate) fn parts(&self) -> PartSet {
        Part::ALL
            .into_iter()
            .filter(|part| self.n_series[*part as usize] > 0)
            .collect()
    }
}

impl Lanes {
    fn push(&mut self, lane: LaneCode, n_lanes_usual: usize) {
        match self {
            Self::List(lanes) if lanes.is_empty() => *self = Self::One(lane),
            Self::One(first) => {
                let mut lanes = Vec::with_capacity(n_lanes_usual.max(2));
                lanes.extend([*first, lane]);
                *self = Self::List(lanes);
            }
            Self::List(lanes) => lanes.push(lane),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::List(lanes) => lanes.capacity() * size_of::<LaneCode>(),
        }
    }
}

impl LaneCode {
    const FIRST_BUCKET: u32 = 3;

    /// The lane of a part that needs no `le`.
    pub(crate) fn of_kind(kind: LaneKind<'_>, le_code: impl FnOnce(&str) -> Option<u32>) -> Option<Self> {
        Some(match kind {
            LaneKind::Value => Self(0),
            LaneKind::Sum => Self(1),
            LaneKind::Count => Self(2),
            // Code 0 is the empty text, which no bucket has.
            LaneKind::Bucket(le) => Self(Self::FIRST_BUCKET - 1 + le_code(le).filter(|code| *code > 0)?),
        })
    }

    pub(crate) fn part(self) -> Part {
        match self.0 {
            0 => Part::Value,
            1 => Part::Sum,
            2 => Part::Count,
            _ => Part::Bucket,
        }
    }

    /// The dictionary code of a bucket's `le`.
    pub(crate) fn le_code(self) -> Option<u32> {
        (self.0 >= Self::FIRST_BUCKET).then(|| self.0 - (Self::FIRST_BUCKET - 1))
    }

    /// The lane in words; `le_text` gives the text of a code.
    pub(crate) fn kind<'a>(self, le_text: impl FnOnce(u32) -> &'a str) -> LaneKind<'a> {
        match self.part() {
            Part::Value => LaneKind::Value,
            Part::Sum => LaneKind::Sum,
            Part::Count => LaneKind::Count,
            Part::Bucket => LaneKind::Bucket(self.le_code().map_or("", le_text)),
        }
    }
}

impl Part {
    pub(crate) const ALL: [Self; N_PARTS] = [Self::Value, Self::Sum, Self::Count, Self::Bucket];

    pub(crate) fn suffix(self) -> &'static str {
        let kind = match self {
            Self::Value => LaneKind::Value,
            Self::Sum => LaneKind::Sum,
            Self::Count => LaneKind::Count,
            Self::Bucket => LaneKind::Bucket(""),
        };
        kind.suffix()
    }
}

impl PartSet {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn contains(self, part: Part) -> bool {
        self.0 & (1 << part as u8) != 0
    }

    pub(crate) fn contains_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn insert(&mut self, part: Part) {
        self.0 |= 1 << part as u8;
    }
}

impl FromIterator<Part> for PartSet {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        let mut set = Self::EMPTY;
        parts.into_iter().for_each(|part| set.insert(part));
        set
    }
}
