//! The head: the samples of all streams in memory.
//!
//! One thread appends, any number of threads read. What [`Head::append`] accepts and refuses is a function of the
//! samples it was given so far and of nothing else, so replaying the log leads to the same head.
//!
//! Read in this order: `stream` says where a sample goes; `raw`, `pages` and `late` are the three places; `rebuild`
//! rewrites pages; `table` finds streams; `flush` takes old rows out; `read`, `newest` and `live` answer queries. Bit
//! layouts of pages are in `codec`.
//! What is more to samples than values (native histograms, start timestamps) comes in through `extended` and lies in
//! `extras`: `natives` of `run`s, and `starts`.
//!
//! Limits: 2^32 streams of 2^16 lanes. 20 open rows of eight bytes per lane, then about 0.3 bytes per sample of a
//! counter and 4 bytes per page of an idle lane, a page being 16 to 1,024 rows. A stream is locked while a sample
//! is stored, while 16 of its rows are sealed or late samples are folded into its pages, and while a reader copies
//! its open rows and its list of pages. Old rows leave by a *cut* (`flush`).

mod extended;
mod extras;
mod flush;
mod lanes;
mod late;
mod layouts;
mod live;
mod natives;
mod newest;
mod pages;
mod raw;
mod read;
mod rebuild;
mod refusal;
mod run;
mod starts;
mod stats;
mod stream;
mod table;

use model::histogram::PackedHistogram;
use model::{LaneIdx, SampleBatch, SeriesRef, StreamId, TimeRange, TimestampMs};
use parking_lot::Mutex;

use extended::Extension;
pub use lanes::LaneChoice;
use layouts::BatchLayouts;
pub(crate) use read::ReadScratch;
pub use refusal::{Refusal, RefusalReason};
pub use stats::{HeadBytes, HeadStats};
use stream::{LaneSample, Stream, Workspace};
use table::StreamTable;

use crate::{Error, LiveBuffer, NewestBuffer, StreamBuffer};

/// For how many samples memory is asked for before they are stored. More than the processor has under way at a time
/// is no use.
const PREFETCH_LEN: usize = 24;

/// How many samples before a native histogram is stored the memory on the way to it is asked for: four pointers, one
/// behind the other, each of which takes as long as all the rest of the work.
const EXTRAS_AHEAD: [usize; 4] = [9, 7, 5, 2];

/// How a head behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadConfig {
    /// How far behind the newest sample of its stream a sample may be, in milliseconds.
    pub out_of_order_window_ms: i64,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            out_of_order_window_ms: 3_600_000,
        }
    }
}

/// The samples of all streams, in memory.
#[derive(Debug)]
pub struct Head {
    streams: StreamTable,
    workspace: Mutex<Workspace>,
}

impl Head {
    /// An empty head.
    #[must_use]
    pub fn new(config: HeadConfig) -> Self {
        let streams = StreamTable::new();
        let mut workspace = Workspace {
            cut_ms: TimestampMs::MIN,
            last_cut_ms: TimestampMs::MIN,
            out_of_order_window_ms: config.out_of_order_window_ms,
            ..Workspace::default()
        };
        workspace.stats.bytes.table = streams.root_bytes();
        Self {
            streams,
            workspace: Mutex::new(workspace),
        }
    }

    /// Stores the samples of `batch` in their order; returns how many were accepted. A sample that is already
    /// there with the same bits is accepted and stored once. What is not accepted is added to `refused`, in
    /// the order of the batch; the rest is stored all the same.
    ///
    /// Streams and lanes come into being with their first sample. Stream ids are expected to be dense.
    ///
    /// To be called by one thread at a time, in the order of the log.
    pub fn append(&self, batch: &SampleBatch, refused: &mut Vec<Refusal>) -> usize {
        let mut workspace = self.workspace.lock();
        let n_refused = refused.len();
        let is_extended = batch.is_extended();
        let has_histograms = !batch.histograms.is_empty();
        let mut histograms = BatchHistograms {
            n_stored: 0,
            layouts: std::mem::take(&mut workspace.natives.of_batch),
        };
        histograms.layouts.begin(&batch.histograms);
        let (mut sample_idx, mut n_prefetched) = (0, 0);
        while let Some(first) = batch.series.get(sample_idx) {
            if sample_idx >= n_prefetched {
                n_prefetched = batch.len().min(sample_idx + PREFETCH_LEN);
                self.prefetch(&batch.series[sample_idx..n_prefetched]);
            }
            if has_histograms {
                self.prefetch_extras(&batch.series[sample_idx..]);
            }
            let (slot, n_bytes) = self.streams.get_or_make(first.stream);
            workspace.stats.bytes.table += n_bytes;
            workspace.cut_ms = workspace
                .cut
                .map_or(TimestampMs::MIN, |cut| cut.before_ms_of(first.stream));
            let mut stream = slot.lock();
            if is_extended || stream.raw.is_extended() {
                let first = (sample_idx, &mut histograms);
                sample_idx = append_extended(&mut stream, batch, first, &mut workspace, refused);
                slot.note_newest_row(&stream);
                continue;
            }
            let rest = &batch.series[sample_idx..];
            for series in rest.iter().take_while(|series| series.stream == first.stream) {
                let sample = sample_at(batch, sample_idx, series.lane);
                if let Err(reason) = stream.append(sample, &mut workspace) {
                    refused.push(Refusal { sample_idx, reason });
                }
                sample_idx += 1;
            }
            slot.note_newest_row(&stream);
        }
        histograms.layouts.clear();
        workspace.natives.of_batch = histograms.layouts;
        batch.len() - (refused.len() - n_refused)
    }

    fn prefetch(&self, series: &[SeriesRef]) {
        for series in series {
            if let Some(slot) = self.streams.get(series.stream) {
                slot.prefetch(series.lane);
            }
        }
    }

    /// Asks for what the next histograms will touch, a pointer further for each that is nearer.
    fn prefetch_extras(&self, series: &[SeriesRef]) {
        for (depth, ahead) in EXTRAS_AHEAD.into_iter().enumerate() {
            if let Some(series) = series.get(ahead)
                && let Some(slot) = self.streams.get(series.stream)
            {
                slot.prefetch_extras(series.lane, depth);
            }
        }
    }

    /// Reads the samples of some lanes of one stream in `range` into `buffer`, as
    /// [`Selection::read`](crate::Selection::read) says. A stream or lane that is not there has no sample.
    ///
    /// # Errors
    /// Damaged data.
    pub fn read(
        &self,
        stream: StreamId,
        lanes: LaneChoice<'_>,
        range: TimeRange,
        buffer: &mut StreamBuffer,
    ) -> Result<(), Error> {
        buffer.reset(lanes.len());
        let Some(slot) = self.streams.get(stream) else {
            return Ok(());
        };
        read::read(slot, lanes, range, buffer).map_err(|source| Error::DamagedPage { stream, source })
    }

    /// Reads the newest sample in `range` of some lanes of one stream, as
    /// [`Selection::read_newest`](crate::Selection::read_newest) says.
    ///
    /// # Errors
    /// Damaged data.
    pub fn read_newest(
        &self,
        stream: StreamId,
        lanes: LaneChoice<'_>,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        buffer.samples.clear();
        buffer.histograms.clear();
        buffer.samples.resize(lanes.len(), None);
        let Some(slot) = self.streams.get(stream) else {
            return Ok(());
        };
        newest::read_newest(slot, lanes, range, buffer)
            .map_err(|source| Error::DamagedPage { stream, source })
    }

    /// Tells which of some lanes of one stream are alive in `range`, as
    /// [`Selection::read_live`](crate::Selection::read_live) says.
    ///
    /// # Errors
    /// Damaged data.
    pub fn read_live(
        &self,
        stream: StreamId,
        lanes: LaneChoice<'_>,
        range: TimeRange,
        buffer: &mut LiveBuffer,
    ) -> Result<(), Error> {
        buffer.reset(lanes.len());
        let Some(slot) = self.streams.get(stream) else {
            return Ok(());
        };
        if !live::read_live(slot, lanes, range, buffer) {
            self.read_newest(stream, lanes, range, &mut buffer.newest)?;
            buffer.take_newest();
        }
        Ok(())
    }

    /// Asks for the memory of a stream, which [`Self::may_have_samples`] or a read will need soon.
    #[inline]
    pub fn prefetch_stream(&self, stream: StreamId) {
        self.streams.prefetch(stream);
    }

    /// Asks for the memory of the newest row of a stream whose own memory is at hand already.
    #[inline]
    pub fn prefetch_newest(&self, stream: StreamId) {
        if let Some(slot) = self.streams.get(stream) {
            slot.prefetch_row();
        }
    }

    /// True when the stream may have samples in `range`: no sample is missed, but there may be none. Costs as
    /// much as finding the stream.
    #[must_use]
    pub fn may_have_samples(&self, stream: StreamId, range: TimeRange) -> bool {
        self.streams
            .get(stream)
            .is_some_and(|slot| slot.lock().overlaps(range))
    }

    /// What the head holds, as of the last append. Waits for one that is under way.
    #[must_use]
    pub fn stats(&self) -> HeadStats {
        let workspace = self.workspace.lock();
        let mut stats = workspace.stats;
        stats.bytes.extras += workspace.natives.layouts.heap_bytes();
        stats
    }

    /// Bytes the head has asked of the allocator.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.stats().bytes.total()
    }
}

#[inline]
fn sample_at(batch: &SampleBatch, sample_idx: usize, lane: LaneIdx) -> LaneSample {
    LaneSample {
        lane: lane.0,
        timestamp_ms: batch.timestamps_ms[sample_idx],
        bits: batch.values[sample_idx].to_bits(),
    }
}

/// The native histograms of the batch at hand.
struct BatchHistograms {
    /// How many have been dealt with.
    n_stored: usize,
    layouts: BatchLayouts,
}

/// Stores the samples from `first_idx` on that are of the same stream, with what is more about them. Returns the
/// position behind them.
fn append_extended(
    stream: &mut Stream,
    batch: &SampleBatch,
    (first_idx, histograms): (usize, &mut BatchHistograms),
    workspace: &mut Workspace,
    refused: &mut Vec<Refusal>,
) -> usize {
    let rest = &batch.series[first_idx..];
    let n_own = rest.iter().take_while(|series| series.stream == rest[0].stream);
    let end = first_idx + n_own.count();
    for sample_idx in first_idx..end {
        let sample = sample_at(batch, sample_idx, batch.series[sample_idx].lane);
        let mut histogram = None;
        let position = histograms.n_stored;
        if batch.histograms.row(position) == Some(sample_idx) {
            let layouts = &mut workspace.natives.layouts;
            let layout = histograms.layouts.get(&batch.histograms, position, layouts);
            let packed = batch.histograms.get(position, batch.values[sample_idx]);
            histogram = packed
                .zip(layout)
                .map(|(packed, layout)| PackedHistogram { layout, ..packed });
            histograms.n_stored += 1;
        }
        let extension = Extension {
            histogram,
            start_ms: batch.start_ms(sample_idx),
        };
        if let Err(reason) = stream.append_extended(sample, extension, workspace) {
            refused.push(Refusal { sample_idx, reason });
        }
    }
    end
}

#[cfg(test)]
mod tests;
