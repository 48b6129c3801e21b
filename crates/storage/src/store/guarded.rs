//! What queries read of one block: without what is deleted in it, and without failing when it is damaged.
//!
//! A block that turns out to be damaged is taken out of service; the query goes on with what others have, and says so
//! in a warning.

use std::sync::Arc;

use catalog::LaneName;
use model::{LabelColumn, TimeRange, TimestampMs};
use parking_lot::Mutex;

use crate::blocks::compact::{ParsedDeletion, is_damage};
use crate::blocks::live::LiveBlock;
use crate::blocks::merge::blank;
use crate::merged::{Part, PartStream, SelectionKeys};
use crate::{Error, NewestBuffer, SelectedStream, Selection, StreamBuffer};

/// What is to be said of blocks that were left out of a query. Shared by all parts of it.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Says that a block is left out.
    pub(super) fn left_out(&self, block: &LiveBlock, reason: &str) {
        let text = format!(
            "samples from {} to {} ms may be missing: block {} cannot be read: {reason}",
            block.entry.first_ms, block.entry.last_ms, block.entry.id.0
        );
        let mut held = self.0.lock();
        if !held.contains(&text) {
            held.push(text);
        }
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

/// The series of one block.
#[derive(Debug)]
pub(super) struct Guarded {
    inner: Arc<dyn Selection>,
    block: Arc<LiveBlock>,
    /// By stream of the selection; empty if nothing is deleted. Lanes with the samples that are.
    deleted: Vec<Vec<(usize, TimestampMs, TimestampMs)>>,
    warnings: Arc<Warnings>,
}

impl Guarded {
    pub(super) fn new(
        part: &Part,
        block: Arc<LiveBlock>,
        deletions: &[ParsedDeletion],
        warnings: Arc<Warnings>,
    ) -> Self {
        Self {
            inner: Arc::clone(&part.selection),
            deleted: deleted_lanes(&*part.keys, deletions),
            block,
            warnings,
        }
    }

    /// Passes on what went well; leaves the block out if it is damaged.
    fn heed(&self, result: Result<(), Error>, clear: impl FnOnce()) -> Result<(), Error> {
        match result {
            Err(error) if is_damage(&error) => {
                let reason = self.block.quarantine(&error);
                self.warnings.left_out(&self.block, &reason);
                clear();
                Ok(())
            }
            result => result,
        }
    }

    fn n_lanes(&self, stream_idx: usize) -> usize {
        self.inner.streams()[stream_idx].n_lanes as usize
    }

    fn deleted(&self, stream_idx: usize) -> &[(usize, TimestampMs, TimestampMs)] {
        self.deleted.get(stream_idx).map_or(&[], Vec::as_slice)
    }
}

/// Which lanes have which samples deleted, by stream; nothing at all if none has.
fn deleted_lanes(
    selection: &dyn SelectionKeys,
    deletions: &[ParsedDeletion],
) -> Vec<Vec<(usize, TimestampMs, TimestampMs)>> {
    if deletions.is_empty() {
        return Vec::new();
    }
    let keys = selection.stream_keys();
    let lanes_of = |stream: &PartStream| {
        let entity = selection.entity_labels(stream.entity);
        let base = &keys.bases[stream.base as usize];
        let lanes = keys.lanes[stream.lanes as usize]
            .iter()
            .map(LaneName::kind)
            .enumerate();
        let deleted = lanes.flat_map(|(position, lane)| {
            let picking = deletions
                .iter()
                .filter(|deletion| deletion.picks(base, lane, &entity))
                .map(ParsedDeletion::extent);
            picking
                .map(|(first_ms, last_ms)| (position, first_ms, last_ms))
                .collect::<Vec<_>>()
        });
        deleted.collect()
    };
    let deleted: Vec<Vec<_>> = keys.streams.iter().map(lanes_of).collect();
    if deleted.iter().all(Vec::is_empty) {
        return Vec::new();
    }
    deleted
}

impl Selection for Guarded {
    fn streams(&self) -> &[SelectedStream] {
        self.inner.streams()
    }

    fn n_series(&self) -> usize {
        self.inner.n_series()
    }

    fn label_names(&self) -> Vec<Arc<str>> {
        self.inner.label_names()
    }

    fn label_column(&self, name: &str) -> LabelColumn {
        self.inner.label_column(name)
    }

    fn read(&self, stream_idx: usize, range: TimeRange, buffer: &mut StreamBuffer) -> Result<(), Error> {
        let result = self.inner.read(stream_idx, range, buffer);
        self.heed(result, || buffer.reset(self.n_lanes(stream_idx)))?;
        let (timestamps_ms, lanes) = buffer.parts_mut();
        for (lane, first_ms, last_ms) in self.deleted(stream_idx) {
            blank(timestamps_ms, &mut lanes[*lane], *first_ms, *last_ms);
        }
        Ok(())
    }

    fn read_newest(
        &self,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        if self.deleted(stream_idx).is_empty() {
            let result = self.inner.read_newest(stream_idx, range, buffer);
            return self.heed(result, || {
                buffer.samples.clear();
                buffer.histograms.clear();
                buffer.samples.resize(self.n_lanes(stream_idx), None);
            });
        }
        let mut samples = StreamBuffer::default();
        self.read(stream_idx, range, &mut samples)?;
        buffer.samples.clear();
        buffer.histograms.clear();
        for (lane_idx, lane) in (0..).zip(samples.lanes()) {
            let rows = (0..samples.timestamps_ms.len()).rev();
            let newest = rows
                .into_iter()
                .find(|row| lane.absent_rows.binary_search(&(*row as u32)).is_err());
            buffer
                .samples
                .push(newest.map(|row| (samples.timestamps_ms[row], lane.values[row])));
            let histogram = lane
                .histograms
                .last()
                .filter(|(row, _)| Some(*row as usize) == newest);
            if let Some((_, histogram)) = histogram {
                buffer.histograms.push((lane_idx, Arc::clone(histogram)));
            }
        }
        Ok(())
    }
}
