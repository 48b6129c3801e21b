//! Queries over one block.

use std::sync::Arc;

use catalog::{HashSecret, LaneName};
use model::{LabelColumn, Labels, Matcher, TimeRange};

use super::catalog::{BlockCatalog, LaneCode, SeriesEntry, StreamEntry};
use super::pages::PageSource;
use super::select::{BlockChoice, LaneSet};
use super::{Block, PageCache};
use crate::merged::{LaneLists, Part, PartStream, SelectionKeys, StreamKeys};
use crate::{Error, NewestBuffer, SelectedStream, Selection, Source, StreamBuffer};

/// Answers queries from one block. Its selections keep the block's files open.
#[derive(Debug, Clone)]
pub struct BlockSource {
    pub(crate) block: Arc<Block>,
    pub(crate) catalog: Arc<BlockCatalog>,
    pub(crate) cache: Arc<PageCache>,
}

/// Series of one block.
#[derive(Debug)]
struct BlockSelection {
    source: BlockSource,
    choice: BlockChoice,
    streams: Vec<SelectedStream>,
    n_series: usize,
    /// By entity, what stands for its labels; empty if nobody will ask.
    identities: Arc<[u128]>,
}

impl BlockSource {
    /// Queries over `block`, whose catalog is `catalog`.
    #[must_use]
    pub fn new(block: Arc<Block>, catalog: Arc<BlockCatalog>, cache: Arc<PageCache>) -> Self {
        Self {
            block,
            catalog,
            cache,
        }
    }

    /// True when it may have samples in `range`.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        let manifest = self.block.manifest();
        range.overlaps(manifest.first_ms, manifest.last_ms)
    }

    /// What reads its pages.
    pub(super) fn pages(&self) -> PageSource<'_> {
        PageSource {
            block: &self.block,
            catalog: &self.catalog,
            cache: Some(&self.cache),
            reads_on: false,
        }
    }

    /// Reads some lanes of a stream, by its position in the block.
    ///
    /// # Panics
    /// If there is no such stream.
    pub(crate) fn read(
        &self,
        stream_idx: usize,
        lanes: LaneSet<'_>,
        range: TimeRange,
        buffer: &mut StreamBuffer,
    ) -> Result<(), Error> {
        self.pages().read(self.entry(stream_idx), lanes, range, buffer)
    }

    /// Reads the newest sample of some lanes of a stream.
    ///
    /// # Panics
    /// If there is no such stream.
    pub(crate) fn read_newest(
        &self,
        stream_idx: usize,
        lanes: LaneSet<'_>,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        self.pages()
            .read_newest(self.entry(stream_idx), lanes, range, buffer)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a position that the caller got from the catalog"
    )]
    fn entry(&self, stream_idx: usize) -> StreamEntry {
        self.catalog.streams[stream_idx]
    }
}

impl BlockSource {
    /// The series that all `matchers` pick, to be merged with those of other places: see [`merged`](crate::merged).
    /// `secret` is that of the process.
    #[must_use]
    pub fn select_part(&self, matchers: &[Matcher], range: TimeRange, secret: &HashSecret) -> Part {
        let selection = self.choose(matchers, range, self.catalog.identities(secret));
        let manifest = self.block.manifest();
        Part::new(selection, manifest.first_ms, manifest.last_ms)
    }

    #[expect(clippy::cast_possible_truncation, reason = "there are fewer series than 2^31")]
    fn choose(&self, matchers: &[Matcher], range: TimeRange, identities: Arc<[u128]>) -> BlockSelection {
        let choice = if self.overlaps(range) {
            self.catalog.choose(matchers)
        } else {
            BlockChoice::default()
        };
        let mut n_series = 0;
        let streams = choice.iter().map(|(stream_idx, lanes)| {
            let n_lanes = lanes.len(self.catalog.stream(stream_idx).n_lanes());
            let stream = SelectedStream {
                first_series: n_series as u32,
                n_lanes: n_lanes as u32,
            };
            n_series += n_lanes;
            stream
        });
        let streams = streams.collect();
        BlockSelection {
            source: self.clone(),
            streams,
            choice,
            n_series,
            identities,
        }
    }
}

impl Source for BlockSource {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Arc<dyn Selection>, Error> {
        Ok(Arc::new(self.choose(matchers, range, Arc::new([]))))
    }

    fn label_names(&self, range: TimeRange) -> Result<Vec<Arc<str>>, Error> {
        if !self.overlaps(range) {
            return Ok(Vec::new());
        }
        Ok(self.catalog.label_names())
    }

    fn label_values(&self, name: &str, range: TimeRange) -> Result<Vec<Arc<str>>, Error> {
        if !self.overlaps(range) {
            return Ok(Vec::new());
        }
        Ok(self.catalog.label_values(name))
    }
}

impl BlockSelection {
    fn stream(&self, stream_idx: usize) -> (usize, LaneSet<'_>) {
        let stream = self.choice.stream(stream_idx);
        assert!(stream.is_some(), "the selection has no stream {stream_idx}");
        stream.unwrap_or((0, LaneSet::All))
    }
}

impl Selection for BlockSelection {
    fn streams(&self) -> &[SelectedStream] {
        &self.streams
    }

    fn n_series(&self) -> usize {
        self.n_series
    }

    fn label_names(&self) -> Vec<Arc<str>> {
        self.source.catalog.chosen_label_names(&self.choice)
    }

    fn label_column(&self, name: &str) -> LabelColumn {
        self.source.catalog.label_column(&self.choice, name)
    }

    fn read(&self, stream_idx: usize, range: TimeRange, buffer: &mut StreamBuffer) -> Result<(), Error> {
        let (stream_idx, lanes) = self.stream(stream_idx);
        self.source.read(stream_idx, lanes, range, buffer)
    }

    fn read_newest(
        &self,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        let (stream_idx, lanes) = self.stream(stream_idx);
        self.source.read_newest(stream_idx, lanes, range, buffer)
    }
}

impl SelectionKeys for BlockSelection {
    fn stream_keys(&self) -> StreamKeys {
        let catalog = &self.source.catalog;
        let mut lists = LaneLists::new();
        let mut chosen: Vec<LaneCode> = Vec::new();
        let streams = self.choice.iter().filter_map(|(stream_idx, lanes)| {
            let entry = *catalog.streams.get(stream_idx)?;
            let series = catalog.series_entries(entry);
            chosen.clear();
            let lanes = lanes.iter(series.len()).filter_map(|lane| series.get(lane));
            chosen.extend(lanes.map(|series: &SeriesEntry| series.lane));
            let names = || {
                chosen
                    .iter()
                    .map(|lane| LaneName::from(catalog.lane_kind(*lane)))
                    .collect()
            };
            Some(PartStream {
                base: entry.metric,
                entity: entry.entity,
                identity: self.identities.get(entry.entity as usize).copied()?,
                lanes: lists.position(&chosen, names),
            })
        });
        StreamKeys {
            streams: streams.collect(),
            bases: catalog
                .metrics
                .iter()
                .map(|metric| Arc::clone(&metric.base))
                .collect(),
            lanes: lists.finish(),
        }
    }

    fn entity_labels(&self, entity: u32) -> Labels {
        self.source.catalog.entity_labels(entity)
    }
}
