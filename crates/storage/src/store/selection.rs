//! Queries over the head and blocks.

use std::sync::Arc;

use catalog::{Catalog, CatalogSelection, LaneName, SelectedLanes};
use model::{EntityId, LabelColumn, Labels, Matcher, StreamId, TimeRange, TimestampMs};
use parking_lot::RwLock;

use super::Store;
use super::guarded::{Guarded, Warnings};
use super::leases::Lease;
use crate::blocks::compact::ParsedDeletion;
use crate::blocks::live::LiveBlock;
use crate::merged::{LaneLists, Part, PartStream, SelectionKeys, StreamKeys, Warned, merge, merge_texts};
use crate::{
    Error, Head, LaneChoice, LiveBuffer, NewestBuffer, SelectedStream, Selection, Source, StreamBuffer,
};

/// How many streams ahead memory is asked for.
const PREFETCH_STREAMS: usize = 8;

/// Series picked from the catalog, read from the head.
#[derive(Debug)]
struct StoreSelection {
    catalog: Arc<RwLock<Catalog>>,
    head: Arc<Head>,
    chosen: CatalogSelection,
    streams: Vec<SelectedStream>,
    _lease: Lease,
}

impl Store {
    /// The series of the head that all `matchers` pick.
    fn select_head(&self, matchers: &[Matcher], range: TimeRange, lease: Lease) -> StoreSelection {
        let catalog = self.registry.catalog();
        let mut chosen = catalog.read().select(matchers);
        for stream in chosen.streams() {
            self.head.prefetch_stream(stream.stream);
        }
        chosen.retain(|stream| self.head.may_have_samples(stream.stream, range));
        let streams = chosen.streams().iter().map(|stream| SelectedStream {
            first_series: stream.first_series,
            n_lanes: stream.n_lanes,
        });
        StoreSelection {
            streams: streams.collect(),
            catalog,
            head: Arc::clone(&self.head),
            chosen,
            _lease: lease,
        }
    }

    /// True when the head may have samples in `range`.
    fn head_overlaps(&self, range: TimeRange) -> bool {
        let stats = self.head.stats();
        let times = stats.oldest_ms.zip(stats.newest_ms);
        times.is_none_or(|(oldest_ms, newest_ms)| range.overlaps(oldest_ms, newest_ms))
    }
}

impl Source for Store {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Arc<dyn Selection>, Error> {
        // In this order: whoever has a lease from before a flush may see its blocks or not, the head has everything.
        let lease = self.shared.leases.take();
        let version = self.shared.blocks.current();
        let head = self.select_head(matchers, range, lease);
        let mut blocks: Vec<&Arc<LiveBlock>> = version.overlapping(range).collect();
        if blocks.is_empty() {
            return Ok(Arc::new(head));
        }
        // The older block is right where two contradict each other, and any block where the head does.
        blocks.sort_unstable_by_key(|block| block.entry.oldest_source);
        let warnings = Arc::<Warnings>::default();
        let mut parts = Vec::with_capacity(blocks.len() + 1);
        for block in blocks {
            match self.shared.blocks.source(block) {
                Ok(source) => {
                    let mut part = source.select_part(matchers, range, &self.shared.secret);
                    let deletions = version.state.deletions_of(&block.entry);
                    let deletions: Vec<ParsedDeletion> = deletions.map(ParsedDeletion::of).collect();
                    part.selection = Arc::new(Guarded::new(
                        &part,
                        Arc::clone(block),
                        &deletions,
                        Arc::clone(&warnings),
                    ));
                    parts.push(part);
                }
                Err(reason) => warnings.left_out(block, &reason),
            }
        }
        parts.push(Part::new(head, TimestampMs::MIN, TimestampMs::MAX));
        Ok(Arc::new(Warned::new(merge(parts), move || warnings.texts())))
    }

    fn is_quick(&self, matchers: &[Matcher], range: TimeRange) -> bool {
        let is_in_head = self.shared.blocks.current().overlapping(range).next().is_none();
        is_in_head && self.registry.catalog().read().selects_quickly(matchers)
    }

    fn label_names(&self, range: TimeRange) -> Result<Vec<Arc<str>>, Error> {
        let mut lists = Vec::new();
        if self.head_overlaps(range) {
            lists.push(self.registry.catalog().read().label_names());
        }
        let version = self.shared.blocks.current();
        for block in version.overlapping(range) {
            // A manifest says it; of damaged blocks nothing is said here.
            lists.extend(self.shared.blocks.label_names(block).map(|names| names.to_vec()));
        }
        Ok(merge_texts(lists))
    }

    fn label_values(&self, name: &str, range: TimeRange) -> Result<Vec<Arc<str>>, Error> {
        let mut lists = Vec::new();
        if self.head_overlaps(range) {
            lists.push(self.registry.catalog().read().label_values(name));
        }
        let version = self.shared.blocks.current();
        let blocks = &self.shared.blocks;
        for block in version.overlapping(range) {
            let has_label = |names: Arc<[Arc<str>]>| names.iter().any(|own| **own == *name);
            if blocks.label_names(block).is_ok_and(has_label)
                && let Ok(source) = blocks.source(block)
            {
                lists.push(source.label_values(name, range)?);
            }
        }
        Ok(merge_texts(lists))
    }
}

impl StoreSelection {
    /// The stream that is to be read. Streams lie anywhere in memory, so that of a later one is asked for already.
    fn stream(&self, stream_idx: usize) -> StreamId {
        let streams = self.chosen.streams();
        if let Some(later) = streams.get(stream_idx + PREFETCH_STREAMS) {
            self.head.prefetch_newest(later.stream);
        }
        streams[stream_idx].stream
    }

    fn lanes(&self, stream_idx: usize) -> LaneChoice<'_> {
        match self.chosen.lanes(stream_idx) {
            SelectedLanes::All { n_lanes } => LaneChoice::First(n_lanes),
            SelectedLanes::Some(lanes) => LaneChoice::List(lanes),
        }
    }
}

impl Selection for StoreSelection {
    fn streams(&self) -> &[SelectedStream] {
        &self.streams
    }

    fn n_series(&self) -> usize {
        self.chosen.n_series()
    }

    fn label_names(&self) -> Vec<Arc<str>> {
        self.catalog.read().selected_label_names(&self.chosen)
    }

    fn label_column(&self, name: &str) -> LabelColumn {
        self.catalog.read().label_column(&self.chosen, name)
    }

    fn read(&self, stream_idx: usize, range: TimeRange, buffer: &mut StreamBuffer) -> Result<(), Error> {
        let stream = self.stream(stream_idx);
        self.head.read(stream, self.lanes(stream_idx), range, buffer)
    }

    fn read_newest(
        &self,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        let stream = self.stream(stream_idx);
        self.head
            .read_newest(stream, self.lanes(stream_idx), range, buffer)
    }

    fn read_live(&self, stream_idx: usize, range: TimeRange, buffer: &mut LiveBuffer) -> Result<(), Error> {
        let stream = self.stream(stream_idx);
        self.head.read_live(stream, self.lanes(stream_idx), range, buffer)
    }
}

impl SelectionKeys for StoreSelection {
    fn stream_keys(&self) -> StreamKeys {
        let catalog = self.catalog.read();
        let mut keys = StreamKeys::default();
        let mut lists = LaneLists::new();
        let mut last_list = 0;
        catalog.for_each_name(&self.chosen, |name| {
            if let Some(lanes) = name.lanes {
                let key: Vec<LaneName> = lanes.clone();
                last_list = lists.position(&key, || lanes);
            }
            if keys.bases.last().is_none_or(|base| base != name.base) {
                keys.bases.push(Arc::clone(name.base));
            }
            keys.streams.push(PartStream {
                base: keys.bases.len() as u32 - 1,
                entity: name.entity.0,
                identity: name.identity,
                lanes: last_list,
            });
        });
        keys.lanes = lists.finish();
        keys
    }

    fn entity_labels(&self, entity: u32) -> Labels {
        self.catalog.read().entity_labels(EntityId(entity))
    }
}
