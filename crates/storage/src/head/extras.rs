//! What is more to the samples of a stream than their values: native histograms and start timestamps.
//!
//! Few streams have any of it. It lies by timestamp, apart from rows and pages, which know nothing about it.

use std::sync::Arc;

use model::histogram::PackedHistogram;
use model::{FloatHistogram, TimeRange, TimestampMs};

use super::lanes::LaneChoice;
use super::late::LateSample;
use super::natives::{NativeLane, NativesWork};
use super::run::{Entry, Run, RunReader};
use super::starts::{StartRuns, Starts};
use crate::{LaneBuffer, StoredHistogram};

/// Native histograms and start timestamps of a stream.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// By lane, ascending.
    natives: Vec<(u16, NativeLane)>,
    pub(super) starts: Starts,
}

/// Extras of some lanes in a range, by position in the choice of lanes; to be read when the stream is free again.
#[derive(Debug, Default)]
pub(super) struct ExtrasPart {
    runs: Vec<(usize, Arc<Run>)>,
    starts: Vec<(usize, Arc<StartRuns>)>,
}

impl Extras {
    /// True when there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.natives.is_empty() && self.starts.is_empty()
    }

    /// Drops what belongs to samples older than `before_ms`, but for those at the times and lanes of `kept`, which is
    /// sorted by time.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn drop_before(
        &mut self,
        before_ms: TimestampMs,
        kept: &[LateSample],
    ) -> Result<(), codec::Error> {
        let mut left = Vec::with_capacity(self.natives.len());
        for (lane, natives) in self.natives.drain(..) {
            let is_kept = |timestamp_ms: TimestampMs| {
                let first = kept.partition_point(|sample| sample.timestamp_ms < timestamp_ms);
                let mut same_time = kept[first..]
                    .iter()
                    .take_while(|sample| sample.timestamp_ms == timestamp_ms);
                same_time.any(|sample| sample.lane == lane)
            };
            if let Some(natives) = natives.retained(before_ms, is_kept)? {
                left.push((lane, natives));
            }
        }
        self.natives = left;
        let oldest_kept = kept.first().map_or(before_ms, |sample| sample.timestamp_ms);
        self.starts.drop_before(before_ms.min(oldest_kept));
        Ok(())
    }

    /// The native histograms of a lane, if it has any.
    pub(super) fn natives(&self, lane: u16) -> Option<&NativeLane> {
        let position = self.natives.binary_search_by_key(&lane, |(held, _)| *held);
        Some(&self.natives[position.ok()?].1)
    }

    /// As [`Self::natives`], to be changed.
    pub(super) fn natives_mut(&mut self, lane: u16) -> Option<&mut NativeLane> {
        let position = self.natives.binary_search_by_key(&lane, |(held, _)| *held);
        Some(&mut self.natives[position.ok()?].1)
    }

    /// See [`Stream::prefetch_extras`](super::stream::Stream::prefetch_extras).
    pub(super) fn prefetch(&self, lane: u16, depth: usize) {
        match depth {
            0 => codec::prefetch(std::ptr::from_ref(self).addr()),
            1 => {
                let lanes = self.natives.as_ptr_range();
                let lines = (lanes.start.addr()..lanes.end.addr()).step_by(64).take(3);
                lines.for_each(codec::prefetch);
            }
            _ => {
                if let Some(natives) = self.natives(lane) {
                    natives.prefetch();
                }
            }
        }
    }

    /// Adds a histogram; see [`NativeLane::insert`].
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn insert(
        &mut self,
        lane: u16,
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
        previous_ms: Option<TimestampMs>,
        work: &mut NativesWork,
    ) -> Result<(), codec::Error> {
        match self.natives.binary_search_by_key(&lane, |(held, _)| *held) {
            Ok(position) => {
                let (_, natives) = &mut self.natives[position];
                natives.insert(timestamp_ms, histogram, previous_ms, work)
            }
            Err(position) => {
                let natives = NativeLane::new(timestamp_ms, histogram, work);
                // A stream of histograms has one lane.
                self.natives.reserve_exact(1);
                self.natives.insert(position, (lane, natives));
                Ok(())
            }
        }
    }

    /// The histogram of a lane at one time, with this sum.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn get(
        &self,
        lane: usize,
        timestamp_ms: TimestampMs,
        sum: f64,
    ) -> Result<Option<FloatHistogram>, codec::Error> {
        match u16::try_from(lane).ok().and_then(|lane| self.natives(lane)) {
            Some(natives) => natives.get(timestamp_ms, sum),
            None => Ok(None),
        }
    }

    /// Leaves in `part` what `lanes` may have in `range`.
    pub(super) fn part_in(&self, range: TimeRange, lanes: LaneChoice<'_>, part: &mut ExtrasPart) {
        part.clear();
        for (position, lane) in lanes.positions().enumerate() {
            let Ok(lane) = u16::try_from(lane) else {
                continue;
            };
            if let Some(natives) = self.natives(lane) {
                let runs = natives.runs_in(range);
                part.runs.extend(runs.map(|run| (position, run)));
            }
            if let Some(starts) = self.starts.of_lane(lane) {
                part.starts.push((position, Arc::clone(starts)));
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let natives: usize = self.natives.iter().map(|(_, natives)| natives.heap_bytes()).sum();
        size_of::<Self>()
            + self.natives.capacity() * size_of::<(u16, NativeLane)>()
            + natives
            + self.starts.heap_bytes()
    }
}

impl ExtrasPart {
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.starts.clear();
    }

    /// Fills histograms, as they are stored if that is wanted, and start timestamps of lanes whose values and absent
    /// rows are there.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn fill(
        &self,
        range: TimeRange,
        timestamps_ms: &[TimestampMs],
        lane_buffers: &mut [LaneBuffer],
        wants_stored: bool,
    ) -> Result<(), codec::Error> {
        for (position, run) in &self.runs {
            let lane_buffer = &mut lane_buffers[*position];
            if wants_stored {
                store_run(run, range, timestamps_ms, lane_buffer)?;
            } else {
                fill_run(run, range, timestamps_ms, lane_buffer)?;
            }
        }
        for (position, starts) in &self.starts {
            starts.fill(timestamps_ms, &mut lane_buffers[*position].starts_ms);
        }
        Ok(())
    }
}

fn fill_run(
    run: &Run,
    range: TimeRange,
    timestamps_ms: &[TimestampMs],
    lane_buffer: &mut LaneBuffer,
) -> Result<(), codec::Error> {
    for_each_row(run, range, timestamps_ms, |row, reader, entry| {
        let histogram = reader.histogram(entry, lane_buffer.values[row]);
        lane_buffer
            .histograms
            .push((row as u32, Arc::new(histogram.to_float())));
    })
}

fn store_run(
    run: &Run,
    range: TimeRange,
    timestamps_ms: &[TimestampMs],
    lane_buffer: &mut LaneBuffer,
) -> Result<(), codec::Error> {
    let mut words = Vec::new();
    let mut found = Vec::new();
    for_each_row(run, range, timestamps_ms, |row, reader, entry| {
        found.push((row as u32, entry.mark.stored(), words.len()));
        words.extend_from_slice(reader.counts());
    })?;
    let words = Arc::new(words);
    let stored = found.into_iter().map(|(row, hint, first_word)| {
        let (layout, words) = (Arc::clone(&run.layout), Arc::clone(&words));
        (row, StoredHistogram::new(layout, hint, words, first_word))
    });
    lane_buffer.stored.extend(stored);
    Ok(())
}

/// Calls `each` for the histograms of a run in `range`, with their rows.
fn for_each_row(
    run: &Run,
    range: TimeRange,
    timestamps_ms: &[TimestampMs],
    mut each: impl FnMut(usize, &RunReader<'_>, Entry),
) -> Result<(), codec::Error> {
    let mut row = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms < run.first_ms);
    let mut reader = RunReader::new(run);
    while let Some(entry) = reader.next_from(range.start_ms.saturating_add(1))? {
        if entry.timestamp_ms > range.end_ms {
            break;
        }
        while timestamps_ms
            .get(row)
            .is_some_and(|at_ms| *at_ms < entry.timestamp_ms)
        {
            row += 1;
        }
        // Every histogram has a value in its row: its sum.
        if timestamps_ms.get(row) == Some(&entry.timestamp_ms) {
            each(row, &reader, entry);
        }
    }
    Ok(())
}
