//! Reading a selector: samples of one stream in, one row of values per series out.

use std::ops::Range;
use std::sync::Arc;

use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::MemoryReservation;
use model::{FloatHistogram, TimestampMs, is_stale_nan};
use promql::kernel::native::sample_weight;
use storage::{LaneBuffer, LiveBuffer, NewestBuffer, Selection, StreamBuffer};

use super::collect::reserve;
use super::lane::{LaneEvaluator, LaneFunction};
use super::mixed_lane::{Evaluated, MixedLane};
use super::notes::NoteSink;
use super::slices::{Slice, SliceReader, slices};
use super::tally::{Shares, Tally};
use super::watch::Watch;
use crate::QueryError;
use crate::batch::Row;
use crate::context::Limits;
use crate::explain::Counted;
use crate::rows::{ABSENT, is_absent};

/// A selector and what is computed from each of its series.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The series.
    pub(crate) selection: Arc<dyn Selection>,
    /// What is computed.
    pub(crate) function: LaneFunction,
    /// Told of series that give a value, if somebody wants to know.
    pub(crate) watch: Option<Watch>,
    /// Told what there is to say about series of native histograms.
    pub(crate) notes: NoteSink,
    /// Time and samples.
    pub(crate) limits: Limits,
    /// Samples by step.
    pub(crate) tally: Tally,
    /// What it has read.
    pub(crate) counted: Counted,
}

/// Reads the streams of a leaf one after the other. Call [`Self::finish`] after the last.
#[derive(Debug)]
pub(crate) struct LeafReader {
    leaf: Arc<Leaf>,
    buffer: StreamBuffer,
    newest: NewestBuffer,
    live: LiveBuffer,
    evaluator: LaneEvaluator,
    /// For all that is rare.
    mixed: MixedLane,
    /// A row that is the same at all steps.
    row: Vec<f64>,
    sliced: Sliced,
    usage: Usage,
    /// For the buffer.
    room: MemoryReservation,
}

/// For streams that are read slice by slice.
#[derive(Debug)]
struct Sliced {
    /// None if all is read at once.
    slices: Vec<Slice>,
    reader: SliceReader,
    /// The rows of all lanes, one after the other.
    rows: Vec<f64>,
    /// By lane, how many samples it has.
    n_samples: Vec<usize>,
}

/// What has been read and not been counted yet. Tasks share the counters and the clock costs time, so both are left
/// alone for some streams.
#[derive(Debug, Default)]
struct Usage {
    n_streams: u32,
    n_read: u64,
    n_queryable: u64,
    /// Values given out.
    n_held: u64,
}

/// After so many streams they are counted.
const UNCOUNTED_STREAMS_MAX: u32 = 32;

impl LeafReader {
    /// A reader with empty buffers.
    pub(crate) fn new(leaf: Arc<Leaf>, task: &TaskContext) -> Self {
        let slices = match leaf.tally.is_by_step() {
            true => Vec::new(),
            false => slices(&leaf.function),
        };
        Self {
            sliced: Sliced {
                slices,
                reader: SliceReader::default(),
                rows: Vec::new(),
                n_samples: Vec::new(),
            },
            evaluator: LaneEvaluator::new(&leaf.function, &leaf.limits),
            mixed: MixedLane::new(leaf.function.evaluation.n_steps, &leaf.limits),
            row: vec![ABSENT; leaf.function.evaluation.n_steps],
            leaf,
            buffer: StreamBuffer::default(),
            newest: NewestBuffer::default(),
            live: LiveBuffer::default(),
            usage: Usage::default(),
            room: reserve(task, "samples of a stream"),
        }
    }

    /// What it reads.
    pub(crate) fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Reads one stream and calls `emit(series_idx, row)` for each of its series that has samples; the row may still be
    /// all absent. Returns roughly how many values were looked at, for deciding when to yield.
    pub(crate) fn read(
        &mut self,
        stream_idx: usize,
        mut emit: impl FnMut(u32, Row<'_>),
    ) -> Result<usize, QueryError> {
        let range = self.leaf.function.range();
        self.leaf.limits.check_cancelled()?;
        if !self.sliced.slices.is_empty()
            && let Some(n_values) = self.sliced_rows(stream_idx, &mut emit)?
        {
            self.note_stream()?;
            return Ok(n_values);
        }
        if self.leaf.function.is_single_newest() {
            self.leaf
                .selection
                .read_newest(stream_idx, range, &mut self.newest)?;
            self.newest_rows(stream_idx, emit);
        } else {
            self.leaf.selection.read(stream_idx, range, &mut self.buffer)?;
            self.reserve(buffer_bytes(&self.buffer))?;
            self.stream_rows(stream_idx, emit)?;
        }
        self.note_stream()?;
        let n_lanes = self.leaf.selection.streams()[stream_idx].n_lanes as usize;
        Ok(n_lanes * (self.row.len() + self.buffer.timestamps_ms.len()))
    }

    /// Tells of one stream which of its series have a value: one bit per series, from the first one on. All steps must
    /// look at the newest sample of the same window ([`LaneFunction::is_single_newest`]).
    pub(crate) fn live(&mut self, stream_idx: usize) -> Result<&[u64], QueryError> {
        self.leaf.limits.check_cancelled()?;
        let range = self.leaf.function.range();
        self.leaf.selection.read_live(stream_idx, range, &mut self.live)?;
        let n_live: u32 = self.live.lanes.iter().map(|word| word.count_ones()).sum();
        self.usage.n_read += self.live.n_sampled as u64;
        let n_values = u64::from(n_live) * self.row.len() as u64;
        self.usage.n_queryable += n_values;
        self.usage.n_held += n_values;
        self.note_stream()?;
        Ok(&self.live.lanes)
    }

    fn reserve(&self, bytes: usize) -> Result<(), QueryError> {
        if bytes > self.room.size() {
            self.room.try_resize(bytes)?;
        }
        Ok(())
    }

    /// As [`Self::stream_rows`], slice by slice. None if that cannot be, because there is more than floats; then nothing
    /// was given out.
    fn sliced_rows(
        &mut self,
        stream_idx: usize,
        mut emit: impl FnMut(u32, Row<'_>),
    ) -> Result<Option<usize>, QueryError> {
        let leaf = Arc::clone(&self.leaf);
        let stream = leaf.selection.streams()[stream_idx];
        let (n_lanes, n_steps) = (stream.n_lanes as usize, leaf.function.evaluation.n_steps);
        let row_bytes = n_lanes * n_steps * size_of::<f64>();
        self.reserve(row_bytes)?;
        let Sliced {
            slices,
            reader,
            rows,
            n_samples,
        } = &mut self.sliced;
        rows.clear();
        rows.resize(n_lanes * n_steps, ABSENT);
        n_samples.clear();
        n_samples.resize(n_lanes, 0);
        reader.begin();
        let (mut n_seen, mut bytes) = (0, 0);
        for Slice { steps, function } in slices {
            leaf.limits.check_cancelled()?;
            reader.read(&*leaf.selection, stream_idx, function.range())?;
            let buffer = &reader.buffer;
            bytes = buffer_bytes(buffer).max(bytes);
            let n_in_windows = self.evaluator.prepare(function, &buffer.timestamps_ms);
            for (lane_idx, lane) in buffer.lanes().iter().enumerate() {
                if is_more_than_floats(lane, function) {
                    return Ok(None);
                }
                n_samples[lane_idx] += reader.n_new(lane);
                if lane.absent_rows.len() < buffer.timestamps_ms.len() {
                    let shared = (&buffer.timestamps_ms[..], n_in_windows);
                    let (row, n_seen_here) = lane_row(&mut self.evaluator, function, shared, lane)?;
                    rows[lane_idx * n_steps..][steps.clone()].copy_from_slice(row);
                    n_seen += n_seen_here;
                }
            }
            leaf.limits
                .check_samples(n_samples.iter().sum::<usize>() as u64)?;
        }
        let is_newest = leaf.function.is_newest();
        let lanes = rows.chunks(n_steps).zip(&*n_samples);
        for (series_idx, (row, n_samples)) in (stream.first_series..).zip(lanes) {
            if *n_samples == 0 {
                continue;
            }
            let n_held = row.iter().filter(|value| !is_absent(**value)).count() as u64;
            self.usage.n_read += *n_samples as u64;
            self.usage.n_held += n_held;
            self.usage.n_queryable += if is_newest { n_held } else { 0 };
            if let Some(watch) = &leaf.watch {
                watch.note(series_idx, row);
            }
            emit(series_idx, Row::of_floats(row));
        }
        self.usage.n_queryable += if is_newest { 0 } else { n_seen as u64 };
        let n_values = rows.len() + n_samples.iter().sum::<usize>();
        self.reserve(bytes + row_bytes)?;
        Ok(Some(n_values))
    }

    fn note_stream(&mut self) -> Result<(), QueryError> {
        self.usage.n_streams += 1;
        if self.usage.n_streams == UNCOUNTED_STREAMS_MAX {
            self.finish()?;
        }
        Ok(())
    }

    /// Counts what was read, and looks at the clock.
    pub(crate) fn finish(&mut self) -> Result<(), QueryError> {
        let usage = std::mem::take(&mut self.usage);
        let Leaf {
            counted,
            limits,
            tally,
            function,
            ..
        } = &*self.leaf;
        counted.add(usage.n_read, usage.n_queryable);
        if !tally.is_by_step() || function.is_single_newest() {
            tally.add(usage.n_queryable, usage.n_read);
        }
        limits.check()?;
        limits.add_samples(usage.n_read, usage.n_queryable * tally.weight(), usage.n_held)
    }

    fn newest_rows(&mut self, stream_idx: usize, mut emit: impl FnMut(u32, Row<'_>)) {
        let first_series = self.leaf.selection.streams()[stream_idx].first_series;
        let n_steps = self.row.len();
        let mut histograms = self.newest.histograms.iter().peekable();
        for (lane, sample) in (0..).zip(&self.newest.samples) {
            let Some((timestamp_ms, value)) = *sample else {
                continue;
            };
            let series_idx = first_series + lane;
            if let Some((_, histogram)) = histograms.next_if(|(other, _)| *other == lane) {
                let weight = sample_weight(histogram) as u64;
                self.usage.n_read += weight;
                self.usage.n_queryable += weight * n_steps as u64;
                self.usage.n_held += weight * n_steps as u64;
                self.mixed.repeat(&self.leaf.function, timestamp_ms, histogram);
                emit(series_idx, self.mixed.row());
                continue;
            }
            self.usage.n_read += 1;
            if !is_stale_nan(value) {
                self.usage.n_queryable += n_steps as u64;
                self.usage.n_held += n_steps as u64;
                self.row.fill(self.leaf.function.of_newest(timestamp_ms, value));
                emit(series_idx, Row::of_floats(&self.row));
            }
        }
    }

    fn stream_rows(
        &mut self,
        stream_idx: usize,
        mut emit: impl FnMut(u32, Row<'_>),
    ) -> Result<(), QueryError> {
        let Leaf {
            function,
            watch,
            tally,
            ..
        } = &*self.leaf;
        let timestamps_ms = &self.buffer.timestamps_ms;
        let n_loaded = timestamps_ms.len() * self.buffer.lanes().len();
        self.leaf.limits.check_samples(n_loaded as u64)?;
        let is_rare = function.beyond.is_some();
        let n_in_windows = if is_rare {
            0
        } else {
            self.evaluator.prepare(function, timestamps_ms)
        };
        let first_series = self.leaf.selection.streams()[stream_idx].first_series;
        for (series_idx, lane) in (first_series..).zip(self.buffer.lanes()) {
            let n_samples = timestamps_ms.len() - lane.absent_rows.len();
            if n_samples == 0 {
                continue;
            }
            if is_rare || is_more_than_floats(lane, function) {
                fill(&mut self.mixed, function, timestamps_ms, lane);
                let evaluated = self.mixed.evaluate(function)?;
                let Evaluated { row, notes, .. } = evaluated;
                self.usage.n_read += evaluated.n_samples as u64;
                self.usage.n_queryable += evaluated.n_seen as u64;
                self.usage.n_held += evaluated.n_samples as u64;
                if tally.is_by_step() {
                    tally.add_shares(&evaluated.shares(function), 1);
                }
                self.leaf.notes.of_series(series_idx, notes);
                if let Some(watch) = watch {
                    watch.note(series_idx, row.values);
                }
                emit(series_idx, row);
                continue;
            }
            let shared = (&timestamps_ms[..], n_in_windows);
            let (row, n_seen) = lane_row(&mut self.evaluator, function, shared, lane)?;
            if tally.is_by_step() {
                let absent_rows = &lane.absent_rows;
                let present = (0..).zip(timestamps_ms).zip(&lane.values);
                let present = present.filter(|((row, _), value)| {
                    absent_rows.binary_search(row).is_err() && !function.skips(**value)
                });
                let present_ms: Vec<TimestampMs> = present.map(|((_, &time_ms), _)| time_ms).collect();
                tally.add_shares(&Shares::of(function, &present_ms, row), 1);
            }
            let n_held = row.iter().filter(|value| !is_absent(**value)).count();
            self.usage.n_read += n_samples as u64;
            // An instant selector sees one sample of each window.
            self.usage.n_queryable += if function.is_newest() { n_held } else { n_seen } as u64;
            self.usage.n_held += n_held as u64;
            if let Some(watch) = watch {
                watch.note(series_idx, row);
            }
            emit(series_idx, Row::of_floats(row));
        }
        Ok(())
    }
}

/// What a buffer holds, roughly.
pub(crate) fn buffer_bytes(buffer: &StreamBuffer) -> usize {
    let n_histograms: usize = buffer.lanes().iter().map(|lane| lane.histograms.len()).sum();
    let n_values = buffer.timestamps_ms.len() * (buffer.lanes().len() + 1);
    n_values * size_of::<f64>() + n_histograms * size_of::<[FloatHistogram; 2]>()
}

/// Takes over the samples of a series.
fn fill(mixed: &mut MixedLane, function: &LaneFunction, timestamps_ms: &[TimestampMs], lane: &LaneBuffer) {
    mixed.clear();
    let mut absent = lane.absent_rows.iter().map(|&row| row as usize).peekable();
    let mut histograms = lane.histograms.iter().peekable();
    let starts_ms: &[TimestampMs] = if function.uses_starts {
        &lane.starts_ms
    } else {
        &[]
    };
    for (row, (&timestamp_ms, &value)) in timestamps_ms.iter().zip(&lane.values).enumerate() {
        let start_ms = starts_ms.get(row).copied();
        if let Some((_, histogram)) = histograms.next_if(|(other, _)| *other as usize == row) {
            mixed.push_histogram(timestamp_ms, Arc::clone(histogram), start_ms);
        } else if absent.next_if_eq(&row).is_none() && !function.skips(value) {
            mixed.push_float(timestamp_ms, value, start_ms);
        }
    }
}

/// True when a series has samples that are no floats, or start timestamps that count.
fn is_more_than_floats(lane: &LaneBuffer, function: &LaneFunction) -> bool {
    let has_starts = function.uses_starts && !lane.starts_ms.is_empty();
    has_starts || !lane.histograms.is_empty()
}

/// The row of a series of floats, and how many samples its windows hold together. The evaluator is prepared for the
/// timestamps, which come with how many samples the windows of a whole series hold.
fn lane_row<'a>(
    evaluator: &'a mut LaneEvaluator,
    function: &LaneFunction,
    (timestamps_ms, n_in_windows): (&[TimestampMs], usize),
    lane: &LaneBuffer,
) -> Result<(&'a [f64], usize), QueryError> {
    if is_whole(lane, function) {
        let row = evaluator.shared(function, timestamps_ms, &lane.values)?;
        return Ok((row, n_in_windows));
    }
    let mut absent = lane.absent_rows.iter().map(|&row| row as usize).peekable();
    let is_present = |row| absent.next_if_eq(&row).is_none();
    evaluator.own(function, timestamps_ms, &lane.values, is_present)
}

/// True when the series has a sample in every row of its stream and none of them needs to be left out.
fn is_whole(lane: &LaneBuffer, function: &LaneFunction) -> bool {
    let may_have_stale = lane.may_be_nan && !function.is_newest();
    lane.absent_rows.is_empty() && !(may_have_stale && lane.values.iter().any(|&value| is_stale_nan(value)))
}

/// Splits the streams of a selection into `n_parts` ranges with about as many series each, in order.
pub(crate) fn split_streams(selection: &dyn Selection, n_parts: usize) -> Vec<Range<usize>> {
    let streams = selection.streams();
    let cut = |part: usize| {
        let first_series = (selection.n_series() * part).div_ceil(n_parts);
        streams.partition_point(|stream| (stream.first_series as usize) < first_series)
    };
    (0..n_parts).map(|part| cut(part)..cut(part + 1)).collect()
}
