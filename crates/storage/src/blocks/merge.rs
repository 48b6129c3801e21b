//! The samples of one stream out of several blocks, native histograms as they are stored.

use std::borrow::Cow;

use model::{LaneKind, TimestampMs};

use crate::merged::{NO_LANE, add};
use crate::stored::forget_predecessor;
use crate::{LaneBuffer, StreamBuffer};

/// What one block has of a stream.
#[derive(Debug)]
pub(crate) struct StreamPart<'a> {
    /// The names of the lanes.
    pub(crate) lanes: Vec<LaneKind<'a>>,
    /// Their samples, parallel.
    pub(crate) samples: &'a StreamBuffer,
}

/// Puts parts of a stream together; of several samples at one time of a lane, that of the first part that has one is
/// right. Returns the names of the lanes of `merged`, which is only filled if there is more than one part.
pub(crate) fn merge<'a>(
    parts: &'a [StreamPart<'a>],
    merged: &'a mut StreamBuffer,
    spare: &mut StreamBuffer,
) -> (Cow<'a, [LaneKind<'a>]>, &'a StreamBuffer) {
    if let [only] = parts {
        return (Cow::Borrowed(&only.lanes), only.samples);
    }
    let mut lanes: Vec<LaneKind<'a>> = Vec::new();
    for part in parts {
        if part.lanes != lanes {
            let new: Vec<_> = part.lanes.iter().filter(|lane| !lanes.contains(lane)).collect();
            lanes.extend(new);
        }
    }
    if parts.iter().all(|part| has_floats_only(part.samples)) {
        merge_floats(parts, &lanes, merged, spare);
        return (Cow::Owned(lanes), merged);
    }
    let mut timestamps_ms: Vec<TimestampMs> = parts
        .iter()
        .flat_map(|part| part.samples.timestamps_ms.iter().copied())
        .collect();
    // Runs that ascend: sorting them is merging.
    timestamps_ms.sort();
    timestamps_ms.dedup();
    let places: Vec<Vec<usize>> = parts
        .iter()
        .map(|part| places_of(&part.samples.timestamps_ms, &timestamps_ms))
        .collect();
    merged.reset(lanes.len());
    let (merged_ms, lane_buffers) = merged.parts_mut();
    let n_rows = timestamps_ms.len();
    *merged_ms = timestamps_ms;
    let mut owners = Vec::new();
    for (lane, buffer) in lanes.iter().zip(lane_buffers) {
        owners.clear();
        owners.resize(n_rows, NOBODY);
        buffer.values.resize(n_rows, 0.0);
        for ((owner, part), places) in (0_u32..).zip(parts).zip(&places) {
            let position = part.lanes.iter().position(|other| other == lane);
            if let Some(from) = position.and_then(|position| part.samples.lanes().get(position)) {
                take_lane(from, places, buffer, owner, &mut owners);
            }
        }
        let absent_rows = (0_u32..).zip(&owners).filter(|(_, owner)| **owner == NOBODY);
        buffer.absent_rows.extend(absent_rows.map(|(row, _)| row));
        buffer.stored.sort_unstable_by_key(|(row, _)| *row);
        forget_seams(buffer, &owners);
    }
    (Cow::Owned(lanes), merged)
}

fn has_floats_only(samples: &StreamBuffer) -> bool {
    samples.lanes().iter().all(|lane| lane.stored.is_empty())
}

/// The same for parts without native histograms, which is nearly all there is: parts that follow each other are copied
/// column by column.
fn merge_floats(
    parts: &[StreamPart<'_>],
    lanes: &[LaneKind<'_>],
    merged: &mut StreamBuffer,
    spare: &mut StreamBuffer,
) {
    merged.reset(lanes.len());
    let mut map: Vec<u32> = Vec::new();
    for part in parts {
        let place = |lane: &LaneKind<'_>| part.lanes.iter().position(|own| own == lane);
        map.clear();
        map.extend(
            lanes
                .iter()
                .map(|lane| place(lane).map_or(NO_LANE, |place| place as u32)),
        );
        add(merged, part.samples, &map, spare);
    }
}

/// No part has a sample at a row.
const NOBODY: u32 = u32::MAX;

/// What is said of the predecessor of a histogram holds only where that is of the same part.
fn forget_seams(lane: &mut LaneBuffer, owners: &[u32]) {
    let mut held = owners.iter().enumerate().filter(|(_, owner)| **owner != NOBODY);
    let mut before = None;
    for (row, histogram) in &mut lane.stored {
        for (held_row, owner) in held.by_ref() {
            let last = before.replace(owner);
            if held_row >= *row as usize {
                if last.is_some_and(|last| last != owner) {
                    histogram.forget_predecessor();
                }
                break;
            }
        }
    }
}

/// The positions in `all` of timestamps that are all there.
fn places_of(timestamps_ms: &[TimestampMs], all: &[TimestampMs]) -> Vec<usize> {
    let mut row = 0;
    let mut places = Vec::with_capacity(timestamps_ms.len());
    for timestamp_ms in timestamps_ms {
        while all.get(row).is_some_and(|held| held < timestamp_ms) {
            row += 1;
        }
        places.push(row);
    }
    places
}

/// Takes the samples of a lane for rows that are not held yet.
fn take_lane(from: &LaneBuffer, places: &[usize], into: &mut LaneBuffer, owner: u32, owners: &mut [u32]) {
    let mut absent = from.absent_rows.iter().peekable();
    let mut histograms = from.stored.iter().peekable();
    for (row, (place, value)) in (0_u32..).zip(places.iter().zip(&from.values)) {
        let is_absent = absent.next_if_eq(&&row).is_some();
        let histogram = histograms.next_if(|(at, _)| *at == row);
        let Some(held_by) = owners.get_mut(*place).filter(|held_by| **held_by == NOBODY) else {
            continue;
        };
        if is_absent {
            continue;
        }
        *held_by = owner;
        if let Some(slot) = into.values.get_mut(*place) {
            *slot = *value;
        }
        into.may_be_nan |= value.is_nan();
        if let Some((_, histogram)) = histogram {
            into.stored.push((*place as u32, histogram.clone()));
        }
        let start_ms = from.starts_ms.get(row as usize).copied().unwrap_or(0);
        if start_ms != 0 && into.starts_ms.is_empty() {
            into.starts_ms.resize(into.values.len(), 0);
        }
        if let Some(slot) = into.starts_ms.get_mut(*place) {
            *slot = start_ms;
        }
    }
}

/// Makes the rows of a lane from `first_ms` to `last_ms` absent.
pub(crate) fn blank(
    timestamps_ms: &[TimestampMs],
    lane: &mut LaneBuffer,
    first_ms: TimestampMs,
    last_ms: TimestampMs,
) {
    let first = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms < first_ms);
    let end = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms <= last_ms);
    if first >= end {
        return;
    }
    lane.absent_rows.extend((first..end).map(|row| row as u32));
    lane.absent_rows.sort_unstable();
    lane.absent_rows.dedup();
    let is_blank = |row: u32| (first..end).contains(&(row as usize));
    lane.histograms.retain(|(row, _)| !is_blank(*row));
    lane.stored.retain(|(row, _)| !is_blank(*row));
    // Whatever the next one continued is gone.
    let next = lane.histograms.partition_point(|(row, _)| (*row as usize) < end);
    if let Some((_, histogram)) = lane.histograms.get_mut(next) {
        forget_predecessor(histogram);
    }
    let next = lane.stored.partition_point(|(row, _)| (*row as usize) < end);
    if let Some((_, histogram)) = lane.stored.get_mut(next) {
        histogram.forget_predecessor();
    }
}

#[cfg(test)]
mod tests {
    use model::histogram::CounterResetHint;

    use super::*;
    use crate::block::testing::native;

    fn buffer(rows: &[(i64, &[Option<f64>])]) -> StreamBuffer {
        let mut buffer = StreamBuffer::default();
        buffer.reset(rows.first().map_or(0, |(_, values)| values.len()));
        let (timestamps_ms, lanes) = buffer.parts_mut();
        for (row, (timestamp_ms, values)) in rows.iter().enumerate() {
            timestamps_ms.push(*timestamp_ms);
            for (lane, value) in lanes.iter_mut().zip(*values) {
                lane.values.push(value.unwrap_or(7.0));
                if value.is_none() {
                    lane.absent_rows.push(row as u32);
                }
            }
        }
        buffer
    }

    #[test]
    fn the_first_part_that_has_a_sample_is_right() {
        let (sum, count) = (LaneKind::Sum, LaneKind::Count);
        let first = buffer(&[(10, &[Some(1.0), None]), (30, &[Some(3.0), Some(3.5)])]);
        let second = buffer(&[(10, &[Some(9.0), Some(8.0)]), (20, &[None, Some(2.0)])]);
        let parts = [
            StreamPart {
                lanes: vec![sum, count],
                samples: &first,
            },
            StreamPart {
                lanes: vec![count, LaneKind::Value],
                samples: &second,
            },
        ];
        let mut merged = StreamBuffer::default();
        let (lanes, merged) = merge(&parts, &mut merged, &mut StreamBuffer::default());
        assert_eq!(*lanes, [sum, count, LaneKind::Value]);
        assert_eq!(merged.timestamps_ms, [10, 20, 30]);
        let values: Vec<_> = merged
            .lanes()
            .iter()
            .map(|lane| (lane.values.clone(), lane.absent_rows.clone()))
            .collect();
        assert_eq!(values[0], (vec![1.0, 0.0, 3.0], vec![1]));
        assert_eq!(values[1], (vec![9.0, 0.0, 3.5], vec![1]));
        assert_eq!(values[2], (vec![8.0, 2.0, 0.0], vec![2]));
    }

    fn natives(times: &[i64]) -> StreamBuffer {
        let mut buffer = StreamBuffer::stored();
        buffer.reset(1);
        let (timestamps_ms, lanes) = buffer.parts_mut();
        timestamps_ms.extend(times);
        for row in 0..times.len() {
            lanes[0].values.push(0.0);
            // Number 2 continues the one before it.
            lanes[0].stored.push((row as u32, native(2)));
        }
        buffer
    }

    fn continuing(lane: &LaneBuffer) -> Vec<u32> {
        let stored = lane.stored.iter();
        let continuing = stored.filter(|(_, histogram)| histogram.hint() == CounterResetHint::NotReset);
        continuing.map(|(row, _)| *row).collect()
    }

    #[test]
    fn a_histogram_continues_none_of_another_part() {
        let (first, second) = (natives(&[10, 30, 40, 50]), natives(&[20, 40, 60, 70]));
        let part = |samples| StreamPart {
            lanes: vec![LaneKind::Value],
            samples,
        };
        let parts = [part(&first), part(&second)];
        let mut merged = StreamBuffer::stored();
        let (_, merged) = merge(&parts, &mut merged, &mut StreamBuffer::default());
        assert_eq!(merged.timestamps_ms, [10, 20, 30, 40, 50, 60, 70]);
        assert_eq!(continuing(&merged.lanes()[0]), [0, 3, 4, 6]);
    }

    #[test]
    fn a_histogram_continues_none_that_is_blanked() {
        let mut samples = natives(&[10, 20, 30, 40]);
        let (timestamps_ms, lanes) = samples.parts_mut();
        blank(timestamps_ms, &mut lanes[0], 15, 25);
        assert_eq!(continuing(&lanes[0]), [0, 3]);
    }

    #[test]
    fn what_is_blanked_is_absent() {
        let mut samples = buffer(&[
            (10, &[Some(1.0)]),
            (20, &[None]),
            (30, &[Some(3.0)]),
            (40, &[Some(4.0)]),
        ]);
        let (timestamps_ms, lanes) = samples.parts_mut();
        blank(timestamps_ms, &mut lanes[0], 20, 30);
        assert_eq!(lanes[0].absent_rows, [1, 2]);
        blank(timestamps_ms, &mut lanes[0], 41, 30);
        assert_eq!(lanes[0].absent_rows, [1, 2]);
    }
}
