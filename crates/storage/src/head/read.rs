//! Reading the samples of a stream in a range.
//!
//! The stream is locked only to copy what may change: the list of pages, the open rows, late samples. Pages are
//! decoded afterwards, each lane straight to its place in the buffer.

use std::ops::Range;
use std::sync::Arc;

use codec::PageReader;
use model::{TimeRange, TimestampMs};

use super::extras::ExtrasPart;
use super::lanes::LaneChoice;
use super::late::LateSample;
use super::pages::Page;
use super::stream::Stream;
use super::table::Slot;
use crate::{LaneBuffer, StreamBuffer};

/// What a read takes out of the lock; empty between reads, so that no page is kept alive.
#[derive(Debug, Default)]
pub(crate) struct ReadScratch {
    pub(super) parts: Vec<PagePart>,
    pub(super) late: Vec<LateSample>,
    pub(super) timestamps_ms: Vec<TimestampMs>,
    extras: ExtrasPart,
}

impl ReadScratch {
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.late.clear();
        self.timestamps_ms.clear();
    }
}

/// Rows of a page that lie in the range.
#[derive(Debug)]
pub(super) struct PagePart {
    pub(super) bytes: Arc<[u8]>,
    /// Rows of the page.
    pub(super) rows: Range<usize>,
    /// Where their timestamps begin.
    pub(super) first_row: usize,
}

/// Fills `buffer` with the rows of `lanes` in `range`.
///
/// # Errors
/// A page that does not decode.
pub(super) fn read(
    slot: &Slot,
    lanes: LaneChoice<'_>,
    range: TimeRange,
    buffer: &mut StreamBuffer,
) -> Result<(), codec::Error> {
    let wants_stored = buffer.wants_stored;
    let (timestamps_ms, lane_buffers, scratch) = buffer.parts_and_scratch_mut();
    scratch.clear();
    let is_extended;
    {
        let stream = slot.lock();
        if stream.is_vacant() || stream.newest_ms <= range.start_ms {
            return Ok(());
        }
        is_extended = stream.raw.is_extended();
        if let Some(extras) = stream.extras() {
            extras.part_in(range, lanes, &mut scratch.extras);
        }
        if let Some(sealed) = stream.sealed_in(range) {
            list_pages(sealed.pages_in(range), range, &mut scratch.parts, timestamps_ms)?;
            sealed.copy_late(range, &mut scratch.late);
        }
        copy_raw(&stream, range, lanes, timestamps_ms, lane_buffers);
    }
    decode_parts(&scratch.parts, lanes, lane_buffers)?;
    if !scratch.late.is_empty() {
        merge_late(&scratch.late, lanes, timestamps_ms, lane_buffers);
    }
    if is_extended {
        scratch
            .extras
            .fill(range, timestamps_ms, lane_buffers, wants_stored)?;
        scratch.extras.clear();
    }
    scratch.clear();
    Ok(())
}

/// Lists the parts of `pages` that lie in `range`, and appends their timestamps.
///
/// # Errors
/// A page that does not decode.
pub(super) fn list_pages(
    pages: &[Page],
    range: TimeRange,
    parts: &mut Vec<PagePart>,
    timestamps_ms: &mut Vec<TimestampMs>,
) -> Result<(), codec::Error> {
    for page in pages {
        let first_row = timestamps_ms.len();
        page.reader()?.read_timestamps(timestamps_ms)?;
        let rows = rows_in(page, &timestamps_ms[first_row..], range);
        timestamps_ms.truncate(first_row + rows.end);
        timestamps_ms.drain(first_row..first_row + rows.start);
        parts.push(PagePart {
            bytes: Arc::clone(&page.bytes),
            rows,
            first_row,
        });
    }
    Ok(())
}

/// The rows of a page that lie in a range which it overlaps.
fn rows_in(page: &Page, timestamps_ms: &[TimestampMs], range: TimeRange) -> Range<usize> {
    let start = if page.first_ms > range.start_ms {
        0
    } else {
        timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms <= range.start_ms)
    };
    let end = if page.last_ms <= range.end_ms {
        timestamps_ms.len()
    } else {
        timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms <= range.end_ms)
    };
    start..end.max(start)
}

/// The open rows in `range`.
fn raw_rows_in(stream: &Stream, range: TimeRange) -> Range<usize> {
    let after = |timestamp_ms: TimestampMs| match timestamp_ms.checked_add(1) {
        Some(next_ms) => stream.raw.lower_bound(next_ms),
        None => stream.raw.n_rows(),
    };
    let start = after(range.start_ms);
    start..after(range.end_ms).max(start)
}

/// Appends the open rows in `range` to `timestamps_ms`, and makes every lane as long, with the values of those rows
/// at its end.
fn copy_raw(
    stream: &Stream,
    range: TimeRange,
    lanes: LaneChoice<'_>,
    timestamps_ms: &mut Vec<TimestampMs>,
    lane_buffers: &mut [LaneBuffer],
) {
    let raw = &stream.raw;
    let rows = raw_rows_in(stream, range);
    let n_sealed = timestamps_ms.len();
    timestamps_ms.extend(raw.timestamps(rows.clone()));
    let view = raw.view(rows.clone());
    let (mut bit_word, mut complete_lanes) = (0, view.complete_lanes(0));
    for (lane, lane_buffer) in lanes.positions().zip(lane_buffers) {
        let LaneBuffer {
            values,
            absent_rows,
            may_be_nan,
            ..
        } = lane_buffer;
        values.resize(timestamps_ms.len(), 0.0);
        if lane < raw.n_lanes() {
            // NaNs are looked for on the way: reading two values at once right after storing them one by one stalls.
            let mut any_nan = false;
            for (place, value) in values[n_sealed..].iter_mut().zip(view.values(lane)) {
                *place = value;
                any_nan |= value.is_nan();
            }
            *may_be_nan = any_nan;
        }
        if lane / 64 != bit_word {
            bit_word = lane / 64;
            complete_lanes = view.complete_lanes(bit_word);
        }
        if complete_lanes >> (lane % 64) & 1 == 0 {
            let held_rows = view.held_rows(lane);
            let absent = (0..rows.len()).filter(|row| held_rows >> row & 1 == 0);
            absent_rows.extend(absent.map(|row| (n_sealed + row) as u32));
        }
    }
}

/// Decodes the parts of pages to their places.
fn decode_parts(
    parts: &[PagePart],
    lanes: LaneChoice<'_>,
    lane_buffers: &mut [LaneBuffer],
) -> Result<(), codec::Error> {
    for part in parts {
        let page = PageReader::open(&part.bytes)?;
        let places = part.first_row..part.first_row + part.rows.len();
        for (lane, lane_buffer) in lanes.positions().zip(&mut *lane_buffers) {
            let LaneBuffer {
                values,
                absent_rows,
                may_be_nan,
                ..
            } = lane_buffer;
            let absent = |row: usize| absent_rows.push((part.first_row + row) as u32);
            let column = page.column(lane)?;
            *may_be_nan |= column.read(part.rows.clone(), &mut values[places.clone()], absent)?;
        }
    }
    if !parts.is_empty() {
        // Those of the open rows were there first.
        for lane_buffer in lane_buffers
            .iter_mut()
            .filter(|lane_buffer| !lane_buffer.absent_rows.is_sorted())
        {
            lane_buffer.absent_rows.sort_unstable();
        }
    }
    Ok(())
}

/// Puts late samples, sorted by time, into the rows where they belong; rows that are not there are made.
fn merge_late(
    late: &[LateSample],
    lanes: LaneChoice<'_>,
    timestamps_ms: &mut Vec<TimestampMs>,
    lane_buffers: &mut [LaneBuffer],
) {
    let mut merged_ms = timestamps_ms.clone();
    merged_ms.extend(late.iter().map(|sample| sample.timestamp_ms));
    merged_ms.sort_unstable();
    merged_ms.dedup();
    let row_of = |timestamp_ms: TimestampMs| merged_ms.partition_point(|held| *held < timestamp_ms);
    let places: Vec<usize> = timestamps_ms
        .iter()
        .map(|timestamp_ms| row_of(*timestamp_ms))
        .collect();
    for (lane, lane_buffer) in lanes.positions().zip(lane_buffers) {
        let mut is_present = vec![false; merged_ms.len()];
        let mut values = vec![0.0; merged_ms.len()];
        for (place, value) in places.iter().zip(&lane_buffer.values) {
            is_present[*place] = true;
            values[*place] = *value;
        }
        for row in &lane_buffer.absent_rows {
            is_present[places[*row as usize]] = false;
        }
        for sample in late.iter().filter(|sample| usize::from(sample.lane) == lane) {
            let row = row_of(sample.timestamp_ms);
            is_present[row] = true;
            values[row] = f64::from_bits(sample.bits);
            lane_buffer.may_be_nan |= values[row].is_nan();
        }
        lane_buffer.values = values;
        lane_buffer.absent_rows.clear();
        let absent_rows = (0_u32..).zip(is_present).filter(|(_, is_present)| !is_present);
        lane_buffer.absent_rows.extend(absent_rows.map(|(row, _)| row));
    }
    *timestamps_ms = merged_ms;
}
