//! The table of series of a block, in memory.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use catalog::HashSecret;
use model::{BUCKET_LABEL, Labels, LaneKind, METRIC_NAME};

use super::dictionary::Dictionary;
use super::table::{HistogramPages, SamplePages};

/// The decoded table of series of a block, with the places of its pages: what is worth caching.
///
/// Streams are numbered in the order of the block, and so are entities and series.
#[derive(Debug)]
pub struct BlockCatalog {
    pub(super) pages: SamplePages,
    pub(super) histogram_pages: HistogramPages,
    /// The labels of entities, sorted by name; `le` is always there, for lanes.
    pub(super) labels: Vec<EntityLabel>,
    pub(super) n_entities: usize,
    /// Base metric names, sorted.
    pub(super) metrics: Vec<Metric>,
    pub(super) streams: Vec<StreamEntry>,
    /// By series, and what would be the first row of the one after the last.
    pub(super) series: Vec<SeriesEntry>,
    /// Of the series that have native histograms, by series.
    pub(super) runs: Vec<SeriesRuns>,
    /// Full metric names, each once.
    pub(super) names: Vec<Arc<str>>,
    /// By entity, what stands for its labels in this process.
    pub(super) identities: OnceLock<Arc<[u128]>>,
}

/// One label of all entities.
#[derive(Debug)]
pub(super) struct EntityLabel {
    pub(super) name: Arc<str>,
    pub(super) dictionary: Dictionary,
    /// By entity.
    pub(super) codes: Vec<u32>,
}

/// A base metric name.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) base: Arc<str>,
    /// The positions of its streams.
    pub(super) streams: Range<usize>,
    /// Positions of its full names by [`LanePart`], where it has such lanes.
    pub(super) names: [Option<u32>; LanePart::ALL.len()],
}

/// A stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamEntry {
    pub(super) metric: u32,
    pub(super) entity: u32,
    pub(super) first_series: u32,
    pub(super) n_lanes: u32,
}

/// A series.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesEntry {
    pub(super) first_row: u64,
    pub(super) n_rows: u32,
    pub(super) lane: LaneCode,
    /// True when it has the timestamps of the series before it, of the same stream.
    pub(super) same_timestamps: bool,
}

/// The native histograms of a series: rows of `histograms.parquet`.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesRuns {
    pub(super) series: u32,
    pub(super) first_run: u64,
    pub(super) n_runs: u32,
}

/// A lane: its part, and for a bucket the code of its bound in the dictionary of `le`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LaneCode {
    pub(super) part: LanePart,
    pub(super) le_code: u32,
}

/// What a lane adds to the base name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LanePart {
    Value,
    Sum,
    Count,
    Bucket,
}

/// One stream of a block.
#[derive(Debug, Clone, Copy)]
pub struct BlockStream<'a> {
    catalog: &'a BlockCatalog,
    entry: StreamEntry,
}

impl LanePart {
    pub(super) const ALL: [Self; 4] = [Self::Value, Self::Sum, Self::Count, Self::Bucket];

    /// What stands for this part in a list by part.
    #[expect(clippy::indexing_slicing, reason = "the list has a place for each part")]
    pub(super) fn of<T: Copy>(self, by_part: [T; Self::ALL.len()]) -> T {
        by_part[self as usize]
    }

    pub(super) fn of_kind(kind: LaneKind<'_>) -> Self {
        match kind {
            LaneKind::Value => Self::Value,
            LaneKind::Sum => Self::Sum,
            LaneKind::Count => Self::Count,
            LaneKind::Bucket(_) => Self::Bucket,
        }
    }
}

impl BlockCatalog {
    /// Number of streams.
    #[must_use]
    pub fn n_streams(&self) -> usize {
        self.streams.len()
    }

    /// Number of series.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.series.len()
    }

    /// Number of entities.
    #[must_use]
    pub fn n_entities(&self) -> usize {
        self.n_entities
    }

    /// One stream.
    ///
    /// # Panics
    /// If there is no such stream.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "a position that the caller got from here")]
    pub fn stream(&self, stream_idx: usize) -> BlockStream<'_> {
        BlockStream {
            catalog: self,
            entry: self.streams[stream_idx],
        }
    }

    /// The labels of an entity; puts them together.
    ///
    /// # Panics
    /// If there is no such entity.
    #[must_use]
    pub fn entity_labels(&self, entity: u32) -> Labels {
        assert!((entity as usize) < self.n_entities, "there is no entity {entity}");
        let pairs = self.labels.iter().map(|label| {
            let code = label.codes.get(entity as usize).copied().unwrap_or(0);
            (&*label.name, label.dictionary.value(code))
        });
        Labels::from_pairs(pairs).unwrap_or_default()
    }

    /// By entity, what stands for its labels in this process, whose only secret is given.
    pub(crate) fn identities(&self, secret: &HashSecret) -> Arc<[u128]> {
        let identity = |entity: u32| secret.label_set(self.entity_labels(entity).iter());
        let identities = self
            .identities
            .get_or_init(|| (0_u32..).take(self.n_entities).map(identity).collect());
        Arc::clone(identities)
    }

    /// Bytes it has asked of the allocator.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let labels = self.labels.iter().map(|label| {
            label.dictionary.heap_bytes() + label.codes.capacity() * size_of::<u32>() + label.name.len()
        });
        size_of::<Self>()
            + self.pages.heap_bytes()
            + self.histogram_pages.heap_bytes()
            + self.runs.capacity() * size_of::<SeriesRuns>()
            + self.n_entities * size_of::<u128>()
            + labels.sum::<usize>()
            + self.labels.capacity() * size_of::<EntityLabel>()
            + self.metrics.capacity() * size_of::<Metric>()
            + self.streams.capacity() * size_of::<StreamEntry>()
            + self.series.capacity() * size_of::<SeriesEntry>()
            + self
                .names
                .iter()
                .map(|name| name.len() + size_of::<Arc<str>>())
                .sum::<usize>()
    }

    /// The position of a label, if any entity of the block could have it.
    pub(super) fn label_idx(&self, name: &str) -> Option<usize> {
        self.labels.binary_search_by(|label| (*label.name).cmp(name)).ok()
    }

    /// The names of all labels of all series, sorted.
    pub(super) fn label_names(&self) -> Vec<Arc<str>> {
        let labels = self
            .labels
            .iter()
            .filter(|label| label.dictionary.values().len() > 1);
        let mut names: Vec<Arc<str>> = labels.map(|label| Arc::clone(&label.name)).collect();
        names.push(Arc::from(METRIC_NAME));
        names.sort_unstable();
        names
    }

    /// All values of one label, sorted, without the empty one.
    pub(super) fn label_values(&self, name: &str) -> Vec<Arc<str>> {
        let values = if name == METRIC_NAME {
            &self.names[..]
        } else {
            let label = self.label_idx(name).and_then(|label| self.labels.get(label));
            label
                .and_then(|label| label.dictionary.values().get(1..))
                .unwrap_or(&[])
        };
        let mut values = values.to_vec();
        values.sort_unstable();
        values
    }

    pub(super) fn le_label(&self) -> Option<&EntityLabel> {
        self.label_idx(BUCKET_LABEL)
            .and_then(|label| self.labels.get(label))
    }

    pub(super) fn series_entries(&self, stream: StreamEntry) -> &[SeriesEntry] {
        let first = stream.first_series as usize;
        self.series
            .get(first..first + stream.n_lanes as usize)
            .unwrap_or(&[])
    }

    /// The native histograms of the series of a stream, of those that have any.
    pub(super) fn stream_runs(&self, stream: StreamEntry) -> &[SeriesRuns] {
        // Most blocks have none at all.
        if self.runs.is_empty() {
            return &[];
        }
        let (first, end) = (stream.first_series, stream.first_series + stream.n_lanes);
        let start = self.runs.partition_point(|runs| runs.series < first);
        let n_runs = self.runs.get(start..).unwrap_or(&[]);
        let n_runs = n_runs.partition_point(|runs| runs.series < end);
        self.runs.get(start..start + n_runs).unwrap_or(&[])
    }

    /// True when a series has native histograms.
    pub(super) fn has_runs(&self, series_idx: u32) -> bool {
        let found = self.runs.binary_search_by_key(&series_idx, |runs| runs.series);
        found.is_ok()
    }

    pub(super) fn lane_kind(&self, lane: LaneCode) -> LaneKind<'_> {
        match lane.part {
            LanePart::Value => LaneKind::Value,
            LanePart::Sum => LaneKind::Sum,
            LanePart::Count => LaneKind::Count,
            LanePart::Bucket => LaneKind::Bucket(
                self.le_label()
                    .map_or("", |label| label.dictionary.value(lane.le_code)),
            ),
        }
    }
}

impl<'a> BlockStream<'a> {
    /// The base metric name.
    #[must_use]
    pub fn base(&self) -> &'a str {
        let metric = self.catalog.metrics.get(self.entry.metric as usize);
        metric.map_or("", |metric| &metric.base)
    }

    /// Its entity: the position among those of the block, which is sorted by labels.
    #[must_use]
    pub fn entity(&self) -> u32 {
        self.entry.entity
    }

    /// Number of lanes, at least one.
    #[must_use]
    pub fn n_lanes(&self) -> usize {
        self.entry.n_lanes as usize
    }

    /// Its lanes, in the order of the block.
    pub fn lanes(&self) -> impl ExactSizeIterator<Item = LaneKind<'a>> + use<'a> {
        let catalog = self.catalog;
        let series = catalog.series_entries(self.entry).iter();
        series.map(move |series| catalog.lane_kind(series.lane))
    }

    /// How many samples it has that are numbers, all lanes together.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        let series = self.catalog.series_entries(self.entry).iter();
        series.map(|series| u64::from(series.n_rows)).sum()
    }
}
