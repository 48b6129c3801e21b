//! What matchers picked.

use model::{EntityId, LaneIdx, StreamId};

use crate::streams::MetricId;

/// Streams with the chosen lanes, ordered by base metric name, labels of the entity, and kind of the lane
/// ([`model::LaneKind::compare`]), whatever their ids are.
///
/// The choice is frozen: lanes that appear later in its streams are not part of it.
#[derive(Debug, Clone, Default)]
pub struct CatalogSelection {
    streams: Vec<StreamSelection>,
    /// The lists of [`StreamSelection`]s that chose some of their lanes. Neighbours with equal lists share one.
    lane_lists: Vec<LaneIdx>,
    n_series: usize,
}

/// One stream of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSelection {
    /// The stream.
    pub stream: StreamId,
    /// Whose stream it is.
    pub entity: EntityId,
    /// Position of its first series in the selection.
    pub first_series: u32,
    /// How many of its lanes are chosen; at least one.
    pub n_lanes: u32,
    pub(crate) metric: MetricId,
    /// Where its list begins in `lane_lists`, or [`ALL_LANES`].
    list_start: u32,
}

/// Which lanes of a stream are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectedLanes<'a> {
    /// The first `n_lanes`, which were all when the selection was made.
    All {
        /// How many.
        n_lanes: usize,
    },
    /// These, in this order.
    Some(&'a [LaneIdx]),
}

const ALL_LANES: u32 = u32::MAX;

impl CatalogSelection {
    /// The streams, in order of their series.
    #[must_use]
    pub fn streams(&self) -> &[StreamSelection] {
        &self.streams
    }

    /// Number of series: the sum of all `n_lanes`.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.n_series
    }

    /// True when nothing was picked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The chosen lanes of one stream.
    ///
    /// # Panics
    /// If `stream_idx` is no position of [`Self::streams`].
    #[must_use]
    pub fn lanes(&self, stream_idx: usize) -> SelectedLanes<'_> {
        self.lanes_of(&self.streams[stream_idx])
    }

    /// Leaves out the streams that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(&StreamSelection) -> bool) {
        let mut first_series = 0;
        self.streams.retain_mut(|stream| {
            let is_kept = keep(stream);
            if is_kept {
                stream.first_series = first_series;
                first_series += stream.n_lanes;
            }
            is_kept
        });
        self.n_series = first_series as usize;
    }

    pub(crate) fn lanes_of(&self, stream: &StreamSelection) -> SelectedLanes<'_> {
        let n_lanes = stream.n_lanes as usize;
        if stream.list_start == ALL_LANES {
            return SelectedLanes::All { n_lanes };
        }
        let start = stream.list_start as usize;
        SelectedLanes::Some(&self.lane_lists[start..start + n_lanes])
    }

    /// Adds a stream with its first `n_lanes` lanes, or with some of them.
    pub(crate) fn push(
        &mut self,
        stream: StreamId,
        entity: EntityId,
        metric: MetricId,
        lanes: SelectedLanes<'_>,
    ) {
        let (n_lanes, list_start) = match lanes {
            SelectedLanes::All { n_lanes } => (n_lanes, ALL_LANES),
            SelectedLanes::Some(list) => (list.len(), self.list_start(list)),
        };
        self.streams.push(StreamSelection {
            stream,
            entity,
            first_series: self.n_series as u32,
            n_lanes: n_lanes as u32,
            metric,
            list_start,
        });
        self.n_series += n_lanes;
    }

    /// Where `list` stands in the lists. Streams of one metric mostly choose alike, so the last one is looked at.
    fn list_start(&mut self, list: &[LaneIdx]) -> u32 {
        if !self.lane_lists.ends_with(list) {
            self.lane_lists.extend_from_slice(list);
        }
        (self.lane_lists.len() - list.len()) as u32
    }
}

impl StreamSelection {
    /// True when, of streams with equal lanes, both choose the same; false says nothing.
    pub(crate) fn chooses_like(&self, other: &Self) -> bool {
        (self.n_lanes, self.list_start) == (other.n_lanes, other.list_start)
    }
}

impl<'a> SelectedLanes<'a> {
    /// How many lanes are chosen.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::All { n_lanes } => n_lanes,
            Self::Some(lanes) => lanes.len(),
        }
    }

    /// True when no lane is chosen, as in no stream of a selection.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The lanes' positions in their stream.
    pub fn iter(self) -> impl Iterator<Item = LaneIdx> + 'a {
        let (n_lanes, list) = match self {
            Self::All { n_lanes } => (n_lanes, &[] as &[LaneIdx]),
            Self::Some(list) => (0, list),
        };
        (0..n_lanes)
            .map(|lane| LaneIdx(lane as u16))
            .chain(list.iter().copied())
    }
}
