//! The merged selection.

use std::sync::Arc;

use model::{LabelColumn, TimeRange, TimestampMs};

use super::part::Part;
use super::union::{NO_LANE, Piece, Union};
use super::{columns, join};
use crate::{Error, NewestBuffer, SelectedStream, Selection, StreamBuffer};

/// Series of several parts.
#[derive(Debug)]
struct MergedSelection {
    parts: Vec<Part>,
    union: Union,
    /// Positions of parts by their newest sample, the newest first.
    newest_first: Vec<u32>,
}

/// The series of all `parts`, at least one. Of samples of one series at the same time that of the first part counts.
///
/// # Panics
/// If there is no part.
#[must_use]
pub fn merge(mut parts: Vec<Part>) -> Arc<dyn Selection> {
    if parts.iter().any(|part| part.selection.n_series() > 0) {
        parts.retain(|part| part.selection.n_series() > 0);
    } else {
        parts.truncate(1);
    }
    if parts.len() == 1
        && let Some(part) = parts.pop()
    {
        return part.selection;
    }
    assert!(!parts.is_empty(), "something is merged");
    sort_by_time(&mut parts);
    let mut newest_first: Vec<u32> = (0..parts.len() as u32).collect();
    newest_first.sort_by_key(|part| std::cmp::Reverse(parts[*part as usize].last_ms));
    Arc::new(MergedSelection {
        union: Union::new(&parts),
        newest_first,
        parts,
    })
}

/// All of some sorted texts, sorted, each once.
#[must_use]
pub fn merge_texts(lists: impl IntoIterator<Item = Vec<Arc<str>>>) -> Vec<Arc<str>> {
    let mut all: Vec<Arc<str>> = lists.into_iter().flatten().collect();
    all.sort();
    all.dedup();
    all
}

/// Sorts parts by time if no two have any time in common: then rows only need to be appended, and which part takes
/// precedence does not matter.
fn sort_by_time(parts: &mut [Part]) {
    let mut spans: Vec<(TimestampMs, TimestampMs)> =
        parts.iter().map(|part| (part.first_ms, part.last_ms)).collect();
    spans.sort_unstable();
    if spans.is_sorted_by(|a, b| a.1 < b.0) {
        parts.sort_by_key(|part| part.first_ms);
    }
}

impl MergedSelection {
    fn part(&self, piece: &Piece) -> &Part {
        &self.parts[piece.part as usize]
    }
}

impl Selection for MergedSelection {
    fn streams(&self) -> &[SelectedStream] {
        &self.union.streams
    }

    fn n_series(&self) -> usize {
        self.union.n_series
    }

    fn label_names(&self) -> Vec<Arc<str>> {
        merge_texts(self.parts.iter().map(|part| part.selection.label_names()))
    }

    fn label_column(&self, name: &str) -> LabelColumn {
        columns::label_column(&self.union, &self.parts, name)
    }

    fn read(&self, stream_idx: usize, range: TimeRange, buffer: &mut StreamBuffer) -> Result<(), Error> {
        let n_lanes = self.union.streams[stream_idx].n_lanes as usize;
        let mut own = buffer.spare.pop().unwrap_or_default();
        let mut merged = buffer.spare.pop().unwrap_or_default();
        buffer.reset(n_lanes);
        let mut result = Ok(());
        let pieces = self.union.pieces(stream_idx).iter();
        let pieces = pieces.filter(|piece| {
            let part = self.part(piece);
            range.overlaps(part.first_ms, part.last_ms)
        });
        for (position, piece) in pieces.enumerate() {
            let selection = &self.part(piece).selection;
            let is_first = position == 0 && !buffer.wants_stored;
            result = if is_first && self.union.is_whole(stream_idx, piece) {
                selection.read(piece.stream as usize, range, buffer)
            } else {
                let read = selection.read(piece.stream as usize, range, &mut own);
                read.map(|()| join::add(buffer, &own, self.union.map(piece), &mut merged))
            };
            if result.is_err() {
                break;
            }
        }
        buffer.spare.extend([merged, own]);
        result
    }

    fn read_newest(
        &self,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        let n_lanes = self.union.streams[stream_idx].n_lanes as usize;
        let mut own = buffer.spare.pop().unwrap_or_default();
        buffer.samples.clear();
        buffer.samples.resize(n_lanes, None);
        buffer.histograms.clear();
        let mut result = Ok(());
        // Which part each sample is from.
        let mut sources = vec![u32::MAX; n_lanes];
        let pieces = self.union.pieces(stream_idx);
        for part_idx in &self.newest_first {
            let Some(piece) = pieces.iter().find(|piece| piece.part == *part_idx) else {
                continue;
            };
            let part = self.part(piece);
            if !range.overlaps(part.first_ms, part.last_ms) || is_newer(buffer, part.last_ms) {
                continue;
            }
            result = part.selection.read_newest(piece.stream as usize, range, &mut own);
            if result.is_err() {
                break;
            }
            take_newer(buffer, &mut sources, *part_idx, &own, self.union.map(piece));
        }
        buffer.spare.push(own);
        result
    }
}

/// True when every lane has a sample that is newer than `last_ms`.
fn is_newer(buffer: &NewestBuffer, last_ms: TimestampMs) -> bool {
    let mut samples = buffer.samples.iter();
    samples.all(|sample| sample.is_some_and(|(timestamp_ms, _)| timestamp_ms > last_ms))
}

/// Takes the samples of a part that are newer than those before, or as new if the part takes precedence.
fn take_newer(
    buffer: &mut NewestBuffer,
    sources: &mut [u32],
    part_idx: u32,
    own: &NewestBuffer,
    map: &[u32],
) {
    for (lane, part_lane) in (0_u32..).zip(map) {
        if *part_lane == NO_LANE {
            continue;
        }
        let Some(sample) = own.samples[*part_lane as usize] else {
            continue;
        };
        let (held, source) = (&mut buffer.samples[lane as usize], &mut sources[lane as usize]);
        let is_taken =
            held.is_none_or(|(held_ms, _)| held_ms < sample.0 || (held_ms == sample.0 && part_idx < *source));
        if !is_taken {
            continue;
        }
        *held = Some(sample);
        *source = part_idx;
        let place = buffer.histograms.binary_search_by_key(&lane, |(lane, _)| *lane);
        let histogram = own
            .histograms
            .binary_search_by_key(part_lane, |(lane, _)| *lane)
            .ok()
            .map(|position| Arc::clone(&own.histograms[position].1));
        match (place, histogram) {
            (Ok(position), Some(histogram)) => buffer.histograms[position].1 = histogram,
            (Err(position), Some(histogram)) => buffer.histograms.insert(position, (lane, histogram)),
            (Ok(position), None) => {
                buffer.histograms.remove(position);
            }
            (Err(_), None) => {}
        }
    }
}
