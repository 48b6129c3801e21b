//! Reading the newest sample of each lane in a range.

use std::sync::Arc;

use codec::PageReader;
use model::{FloatHistogram, TimeRange, TimestampMs};

use super::lanes::LaneChoice;
use super::read::{ReadScratch, list_pages};
use super::stream::Stream;
use super::table::Slot;
use crate::NewestBuffer;

type Newest = Option<(TimestampMs, f64)>;

/// Fills `buffer` with the newest sample in `range` of each of `lanes`. Nearly always the open rows answer alone.
///
/// # Errors
/// A page that does not decode.
pub(super) fn read_newest(
    slot: &Slot,
    lanes: LaneChoice<'_>,
    range: TimeRange,
    buffer: &mut NewestBuffer,
) -> Result<(), codec::Error> {
    let NewestBuffer {
        samples,
        histograms,
        scratch,
        ..
    } = buffer;
    scratch.clear();
    let is_extended;
    {
        let stream = slot.lock();
        if stream.is_vacant() || stream.newest_ms <= range.start_ms {
            return Ok(());
        }
        is_extended = stream.raw.is_extended();
        // What is deferred may be newer than what is in an open row.
        if newest_raw(&stream, lanes, range, samples) && stream.deferred().is_none() {
            return newest_natives(&stream, lanes, samples, histograms);
        }
        let Some(sealed) = stream.sealed_in(range) else {
            return newest_natives(&stream, lanes, samples, histograms);
        };
        list_pages(
            sealed.pages_in(range),
            range,
            &mut scratch.parts,
            &mut scratch.timestamps_ms,
        )?;
        sealed.copy_late(range, &mut scratch.late);
    }
    newest_sealed(scratch, lanes, samples)?;
    newest_late(scratch, lanes, samples);
    scratch.clear();
    if is_extended {
        // A sample never changes, so those found are still there with all that belongs to them.
        newest_natives(&slot.lock(), lanes, samples, histograms)?;
    }
    Ok(())
}

/// Adds the native histograms among the samples that were found.
fn newest_natives(
    stream: &Stream,
    lanes: LaneChoice<'_>,
    samples: &[Newest],
    histograms: &mut Vec<(u32, Arc<FloatHistogram>)>,
) -> Result<(), codec::Error> {
    let Some(extras) = stream.extras() else {
        return Ok(());
    };
    for ((position, lane), newest) in (0..).zip(lanes.positions()).zip(samples) {
        if let Some((timestamp_ms, sum)) = newest
            && let Some(histogram) = extras.get(lane, *timestamp_ms, *sum)?
        {
            histograms.push((position, Arc::new(histogram)));
        }
    }
    Ok(())
}

/// Takes what the open rows hold; true when no lane is left.
fn newest_raw(stream: &Stream, lanes: LaneChoice<'_>, range: TimeRange, samples: &mut [Newest]) -> bool {
    let raw = &stream.raw;
    let mut n_missing = samples.len();
    for row in (0..raw.n_rows()).rev() {
        let timestamp_ms = raw.timestamp(row);
        if timestamp_ms > range.end_ms {
            continue;
        }
        if timestamp_ms <= range.start_ms {
            break;
        }
        let missing = lanes
            .positions()
            .zip(&mut *samples)
            .filter(|(_, newest)| newest.is_none());
        for (lane, newest) in missing {
            *newest = raw.get(row, lane).map(|value| (timestamp_ms, value));
            n_missing -= usize::from(newest.is_some());
        }
        if n_missing == 0 {
            break;
        }
    }
    n_missing == 0
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
