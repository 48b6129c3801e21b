//! The stream table: per base metric name its streams by entity, per stream its lanes.
//!
//! Streams of one metric mostly have the same lanes in the same order: what a proxy exposes first, it exposes first
//! for everybody. The metric keeps that order once, and a stream that follows it keeps only how far it has come.
//! A stream that departs from it (a sender that spreads series over connections) has a list of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{EntityId, LaneIdx, LaneKind, StreamId};

/// The position of a base metric name in [`StreamTable::metrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MetricId(pub(crate) u32);

/// All metrics and streams.
#[derive(Debug, Default)]
pub(crate) struct StreamTable {
    /// By id; some ids may stand for nothing.
    streams: Vec<Stream>,
    /// Ids that stand for nothing and may be given out.
    free: Vec<u32>,
    n_streams: usize,
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
    /// The lanes of the stream that first went so far, in the order in which it got them.
    lanes: Vec<LaneCode>,
}

/// The lanes of a stream, in order of first appearance.
#[derive(Debug)]
enum Lanes {
    /// The first so many of its metric's.
    Shared(u16),
    /// These, which are no prefix of its metric's.
    Own(Vec<LaneCode>),
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

/// A full metric name: `1 + 4 × metric + part`, so that 0 can stand for no name. Two codes may be the same text, as
/// the buckets of `x` and a metric `x_bucket` without `le`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameCode(pub(crate) u32);

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

    /// One more than the highest id.
    pub(crate) fn n_ids(&self) -> u32 {
        self.streams.len() as u32
    }

    /// The lanes of a stream by [`LaneIdx`].
    pub(crate) fn lanes<'a>(&'a self, stream: &'a Stream) -> &'a [LaneCode] {
        match &stream.lanes {
            Lanes::Shared(n_lanes) => &self.metric(stream.metric).lanes[..usize::from(*n_lanes)],
            Lanes::Own(lanes) => lanes,
        }
    }

    pub(crate) fn find_lane(&self, stream: &Stream, lane: LaneCode) -> Option<LaneIdx> {
        let position = self
            .lanes(stream)
            .iter()
            .position(|candidate| *candidate == lane)?;
        Some(LaneIdx(position as u16))
    }

    /// Replaces `name` by a full metric name; by nothing for the code 0.
    pub(crate) fn write_name(&self, code: NameCode, name: &mut String) {
        name.clear();
        if let Some((metric, part)) = code.split() {
            name.push_str(&self.metric(metric).base);
            name.push_str(part.suffix());
        }
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
            lanes: Vec::new(),
        });
        id
    }

    /// Adds the stream of an entity that has none under this metric; it gets a free id.
    pub(crate) fn push_stream(&mut self, metric: MetricId, entity: EntityId) -> StreamId {
        let id = StreamId(self.free.pop().unwrap_or(self.streams.len() as u32));
        self.put_stream(id, metric, entity);
        id
    }

    /// Makes the stream of an entity that has none under this metric; the id stands for nothing so far.
    pub(crate) fn put_stream(&mut self, id: StreamId, metric: MetricId, entity: EntityId) {
        let n_ids = self.streams.len().max(id.0 as usize + 1);
        self.streams.resize_with(n_ids, Stream::vacant);
        self.streams[id.0 as usize] = Stream {
            entity,
            metric,
            lanes: Lanes::Shared(0),
        };
        self.n_streams += 1;
        self.metrics[metric.0 as usize].streams.insert(entity, id);
    }

    /// Lets ids that stand for nothing be given out again.
    pub(crate) fn free(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.free.extend(ids);
    }

    /// Ids below this stand for nothing until they are put.
    pub(crate) fn reserve_ids(&mut self, n_ids: u32) {
        let n_ids = self.streams.len().max(n_ids as usize);
        self.streams.resize_with(n_ids, Stream::vacant);
    }

    /// Number of streams.
    pub(crate) fn n_streams(&self) -> usize {
        self.n_streams
    }

    /// The stream of an id, unless it stands for nothing.
    pub(crate) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.streams
            .get(id.0 as usize)
            .filter(|stream| !stream.is_vacant())
    }

    /// Adds a lane that the stream does not have.
    pub(crate) fn push_lane(&mut self, stream: StreamId, lane: LaneCode) -> LaneIdx {
        let stream = &mut self.streams[stream.0 as usize];
        let metric = &mut self.metrics[stream.metric.0 as usize];
        let lane_idx = match &mut stream.lanes {
            Lanes::Own(lanes) => {
                lanes.push(lane);
                lanes.len() - 1
            }
            Lanes::Shared(n_shared) => {
                let n_lanes = usize::from(*n_shared);
                if n_lanes == metric.lanes.len() {
                    metric.lanes.push(lane);
                }
                if metric.lanes[n_lanes] == lane {
                    *n_shared += 1;
                } else {
                    let mut lanes = Vec::with_capacity(metric.lanes.len().max(n_lanes + 1));
                    lanes.extend_from_slice(&metric.lanes[..n_lanes]);
                    lanes.push(lane);
                    stream.lanes = Lanes::Own(lanes);
                }
                n_lanes
            }
        };
        metric.n_series[lane.part() as usize] += 1;
        self.n_series += 1;
        LaneIdx(lane_idx as u16)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        // A B-tree node holds up to 11 entries and is two thirds full when filled in order.
        let per_entry = size_of::<(EntityId, StreamId)>() * 3 / 2 + 2;
        let metric_bytes = |metric: &Metric| {
            let lanes = metric.lanes.capacity() * size_of::<LaneCode>();
            metric.base.len() + lanes + metric.streams.len() * per_entry
        };
        let metrics: usize = self.metrics.iter().map(metric_bytes).sum();
        let lanes: usize = self.streams.iter().map(Stream::heap_bytes).sum();
        metrics
            + lanes
            + self.metrics.capacity() * (size_of::<Metric>() + 2 * size_of::<Arc<str>>())
            + self.streams.capacity() * size_of::<Stream>()
    }
}

impl Stream {
    /// What an id has that stands for nothing.
    fn vacant() -> Self {
        Self {
            entity: EntityId(u32::MAX),
            metric: MetricId(u32::MAX),
            lanes: Lanes::Shared(0),
        }
    }

    fn is_vacant(&self) -> bool {
        self.metric == MetricId(u32::MAX)
    }

    pub(crate) fn n_lanes(&self) -> usize {
        match &self.lanes {
            Lanes::Shared(n_lanes) => usize::from(*n_lanes),
            Lanes::Own(lanes) => lanes.len(),
        }
    }

    /// True when another stream of the same metric has the same lanes in the same order.
    pub(crate) fn has_lanes_of(&self, other: &Self) -> bool {
        debug_assert_eq!(self.metric, other.metric, "shared lanes are those of one metric");
        match (&self.lanes, &other.lanes) {
            (Lanes::Shared(here), Lanes::Shared(there)) => here == there,
            (Lanes::Own(here), Lanes::Own(there)) => here == there,
            (Lanes::Shared(_), Lanes::Own(_)) | (Lanes::Own(_), Lanes::Shared(_)) => false,
        }
    }

    fn heap_bytes(&self) -> usize {
        match &self.lanes {
            Lanes::Shared(_) => 0,
            Lanes::Own(lanes) => lanes.capacity() * size_of::<LaneCode>(),
        }
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

impl NameCode {
    pub(crate) fn new(metric: MetricId, part: Part) -> Self {
        Self(1 + metric.0 * N_PARTS as u32 + part as u32)
    }

    /// How many codes there are for so many metrics, 0 included.
    pub(crate) fn count(n_metrics: usize) -> usize {
        1 + n_metrics * N_PARTS
    }

    fn split(self) -> Option<(MetricId, Part)> {
        let position = self.0.checked_sub(1)?;
        let part = Part::ALL[position as usize % N_PARTS];
        Some((MetricId(position / N_PARTS as u32), part))
    }
}

impl PartSet {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn contains(self, part: Part) -> bool {
        self.0 & (1 << part as u8) != 0
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
