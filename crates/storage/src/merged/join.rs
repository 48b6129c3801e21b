//! Putting rows of several parts together.

use std::sync::Arc;

use model::{FloatHistogram, TimestampMs};

use super::union::NO_LANE;
use crate::stored::forget_predecessor;
use crate::{LaneBuffer, StreamBuffer};

/// Adds the rows of a part to those of parts before it, which take precedence. `map` says which lane of `part` each
/// lane of `buffer` is.
///
/// Whether a histogram continues the one before it was decided where it lies. Where the sample before it now is of
/// another part, nothing is said of that any more; readers then compare the two.
pub(crate) fn add(buffer: &mut StreamBuffer, part: &StreamBuffer, map: &[u32], spare: &mut StreamBuffer) {
    let (Some(first_ms), Some(last_ms)) = (part.timestamps_ms.first(), part.timestamps_ms.last()) else {
        return;
    };
    if buffer
        .timestamps_ms
        .last()
        .is_none_or(|before_ms| before_ms < first_ms)
    {
        append(buffer, part, map);
    } else if buffer
        .timestamps_ms
        .first()
        .is_some_and(|after_ms| last_ms < after_ms)
    {
        spare.reset(map.len());
        append(spare, part, map);
        let all = (0..map.len() as u32).collect::<Vec<u32>>();
        append(spare, buffer, &all);
        swap(buffer, spare);
    } else {
        interleave(buffer, part, map, spare);
        swap(buffer, spare);
    }
}

/// Exchanges what two buffers hold, but not what they keep aside.
fn swap(a: &mut StreamBuffer, b: &mut StreamBuffer) {
    let ((a_times, a_lanes), (b_times, b_lanes)) = (a.parts_mut(), b.parts_mut());
    std::mem::swap(a_times, b_times);
    a_lanes.swap_with_slice(b_lanes);
}

/// Adds rows that are all later.
pub(crate) fn append(buffer: &mut StreamBuffer, part: &StreamBuffer, map: &[u32]) {
    let (timestamps_ms, lanes) = buffer.parts_mut();
    let n_before = timestamps_ms.len();
    let first_row = n_before as u32;
    timestamps_ms.extend(&part.timestamps_ms);
    let n_rows = timestamps_ms.len();
    for (lane, part_lane) in lanes.iter_mut().zip(map) {
        if *part_lane == NO_LANE {
            lane.values.resize(n_rows, 0.0);
            lane.absent_rows.extend(first_row..n_rows as u32);
        } else {
            let from = &part.lanes()[*part_lane as usize];
            lane.values.extend(&from.values);
            lane.absent_rows
                .extend(from.absent_rows.iter().map(|row| row + first_row));
            lane.may_be_nan |= from.may_be_nan;
            let n_histograms = lane.histograms.len();
            let histograms = from.histograms.iter();
            lane.histograms
                .extend(histograms.map(|(row, histogram)| (row + first_row, Arc::clone(histogram))));
            if n_before > 0
                && let Some((_, histogram)) = lane.histograms.get_mut(n_histograms)
            {
                forget_predecessor(histogram);
            }
            if !from.starts_ms.is_empty() {
                lane.starts_ms.resize(n_before, 0);
                lane.starts_ms.extend(&from.starts_ms);
            }
        }
        if !lane.starts_ms.is_empty() {
            lane.starts_ms.resize(n_rows, 0);
        }
    }
}

/// Merges rows by time into `out`.
fn interleave(first: &StreamBuffer, second: &StreamBuffer, map: &[u32], out: &mut StreamBuffer) {
    out.reset(map.len());
    let (timestamps_ms, lanes) = out.parts_mut();
    timestamps_ms.extend(first.timestamps_ms.iter().chain(&second.timestamps_ms));
    timestamps_ms.sort_unstable();
    timestamps_ms.dedup();
    for ((lane, first_lane), part_lane) in lanes.iter_mut().zip(first.lanes()).zip(map) {
        let second_lane = (*part_lane != NO_LANE).then(|| &second.lanes()[*part_lane as usize]);
        lane.may_be_nan = first_lane.may_be_nan || second_lane.is_some_and(|second| second.may_be_nan);
        let mut first_rows = LaneCursor::new(&first.timestamps_ms, Some(first_lane));
        let mut second_rows = LaneCursor::new(&second.timestamps_ms, second_lane);
        let mut was_first = None;
        for (row, timestamp_ms) in (0_u32..).zip(&*timestamps_ms) {
            let (earlier, later) = (first_rows.take(*timestamp_ms), second_rows.take(*timestamp_ms));
            let is_first = earlier.is_some();
            let cell = earlier.or(later);
            if cell.is_some() {
                let is_seam = was_first.replace(is_first).is_some_and(|was| was != is_first);
                put(lane, row, cell, is_seam);
            } else {
                put(lane, row, None, false);
            }
        }
    }
}

/// One sample of a lane.
struct Cell<'a> {
    value: f64,
    start_ms: TimestampMs,
    histogram: Option<&'a Arc<FloatHistogram>>,
}

/// Adds a row to a lane, which is of another part than the sample before it if it `is_seam`.
fn put(lane: &mut LaneBuffer, row: u32, cell: Option<Cell<'_>>, is_seam: bool) {
    let Some(cell) = cell else {
        lane.absent_rows.push(row);
        lane.values.push(0.0);
        if !lane.starts_ms.is_empty() {
            lane.starts_ms.push(0);
        }
        return;
    };
    lane.values.push(cell.value);
    if let Some(histogram) = cell.histogram {
        let mut histogram = Arc::clone(histogram);
        if is_seam {
            forget_predecessor(&mut histogram);
        }
        lane.histograms.push((row, histogram));
    }
    if cell.start_ms != 0 || !lane.starts_ms.is_empty() {
        lane.starts_ms.resize(row as usize, 0);
        lane.starts_ms.push(cell.start_ms);
    }
}

/// Walks over the samples of a lane.
struct LaneCursor<'a> {
    timestamps_ms: &'a [TimestampMs],
    lane: Option<&'a LaneBuffer>,
    row: usize,
    n_absent: usize,
    n_histograms: usize,
}

impl<'a> LaneCursor<'a> {
    fn new(timestamps_ms: &'a [TimestampMs], lane: Option<&'a LaneBuffer>) -> Self {
        Self {
            timestamps_ms,
            lane,
            row: 0,
            n_absent: 0,
            n_histograms: 0,
        }
    }

    /// The sample at a time; times are asked for in ascending order, none that the lane has is left out.
    fn take(&mut self, timestamp_ms: TimestampMs) -> Option<Cell<'a>> {
        let lane = self.lane?;
        if self.timestamps_ms.get(self.row) != Some(&timestamp_ms) {
            return None;
        }
        let row = self.row;
        self.row += 1;
        if lane.absent_rows.get(self.n_absent) == Some(&(row as u32)) {
            self.n_absent += 1;
            return None;
        }
        let histogram = lane
            .histograms
            .get(self.n_histograms)
            .filter(|(histogram_row, _)| *histogram_row as usize == row);
        self.n_histograms += usize::from(histogram.is_some());
        Some(Cell {
            value: lane.values[row],
            start_ms: lane.starts_ms.get(row).copied().unwrap_or(0),
            histogram: histogram.map(|(_, histogram)| histogram),
        })
    }
}
