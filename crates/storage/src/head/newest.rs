//! Reading the newest sample of each lane in a range.

use codec::PageReader;
use model::{TimeRange, TimestampMs};
use parking_lot::Mutex;

use super::lanes::LaneChoice;
use super::read::{ReadScratch, list_sealed, raw_rows_in};
use super::stream::Stream;
use crate::NewestBuffer;

type Newest = Option<(TimestampMs, f64)>;

/// Fills `buffer` with the newest sample in `range` of each of `lanes`. Nearly always the open rows answer alone.
///
/// # Errors
/// A page that does not decode.
pub(super) fn read_newest(
    stream: &Mutex<Stream>,
    lanes: LaneChoice<'_>,
    range: TimeRange,
    buffer: &mut NewestBuffer,
) -> Result<(), codec::Error> {
    let NewestBuffer { samples, scratch } = buffer;
    scratch.clear();
    {
        let stream = stream.lock();
        if stream.is_empty() || !range.overlaps(stream.oldest_ms, stream.newest_ms) {
            return Ok(());
        }
        if newest_raw(&stream, lanes, range, samples) {
            return Ok(());
        }
        list_sealed(&stream, range, &mut scratch.parts, &mut scratch.timestamps_ms)?;
        let late = stream.sealed.as_ref().map(|sealed| sealed.late.in_range(range));
        scratch.late.extend_from_slice(late.unwrap_or_default());
    }
    newest_sealed(scratch, lanes, samples)?;
    newest_late(scratch, lanes, samples);
    scratch.clear();
    Ok(())
}

/// Takes what the open rows hold; true when no lane is left.
fn newest_raw(stream: &Stream, lanes: LaneChoice<'_>, range: TimeRange, samples: &mut [Newest]) -> bool {
    let raw = &stream.raw;
    let rows = raw_rows_in(stream, range);
    let in_range = (1_u64 << rows.end) - (1 << rows.start);
    let mut is_complete = true;
    for (lane, newest) in lanes.positions().zip(&mut *samples) {
        let held_rows = if lane < raw.n_lanes() {
            raw.held_rows(lane) & in_range
        } else {
            0
        };
        match held_rows.checked_ilog2() {
            Some(row) => {
                let row = row as usize;
                *newest = Some((raw.timestamp(row), raw.values(lane, row..row + 1)[0]));
            }
            None => is_complete = false,
        }
    }
    is_complete
}

/// Takes what the pages hold for the lanes that are still without a sample.
fn newest_sealed(
    scratch: &ReadScratch,
    lanes: LaneChoice<'_>,
    samples: &mut [Newest],
) -> Result<(), codec::Error> {
    for part in scratch.parts.iter().rev() {
        let page = PageReader::open(&part.bytes)?;
        let missing = lanes
            .positions()
            .zip(&mut *samples)
            .filter(|(_, newest)| newest.is_none());
        for (lane, newest) in missing {
            let column = page.column(lane)?;
            let Some(row) = part.rows.clone().rev().find(|row| column.contains(*row)) else {
                continue;
            };
            let mut value = [0.0];
            column.read(row..row + 1, &mut value, |_| ())?;
            let timestamp_ms = scratch.timestamps_ms[part.first_row + row - part.rows.start];
            *newest = Some((timestamp_ms, value[0]));
        }
    }
    Ok(())
}

/// Takes late samples that are newer than what was found.
fn newest_late(scratch: &ReadScratch, lanes: LaneChoice<'_>, samples: &mut [Newest]) {
    if scratch.late.is_empty() {
        return;
    }
    for (lane, newest) in lanes.positions().zip(&mut *samples) {
        let of_lane = scratch
            .late
            .iter()
            .rev()
            .find(|sample| usize::from(sample.lane) == lane);
        if let Some(sample) = of_lane
            && newest.is_none_or(|(timestamp_ms, _)| timestamp_ms < sample.timestamp_ms)
        {
            *newest = Some((sample.timestamp_ms, f64::from_bits(sample.bits)));
        }
    }
}
