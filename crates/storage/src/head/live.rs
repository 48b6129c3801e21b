//! Telling which lanes are alive in a range, without their values.
//!
//! A row of open samples says by bit which lanes it holds, so a histogram of 22 lanes is one look at one word. Values
//! are only looked at in streams whose open rows hold a staleness marker.

use model::{LaneIdx, TimeRange};

use super::lanes::LaneChoice;
use super::stream::Stream;
use super::table::Slot;
use crate::LiveBuffer;

/// Some of the lanes `64 * bit_word ..` of a stream, by bit.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    /// Their newest sample is no staleness marker.
    live: u64,
    /// They have a sample.
    sampled: u64,
}

/// Fills `buffer`, which has been reset, from the open rows. False when sealed rows or more than values have to be asked as
/// well; what `buffer` holds is then undefined.
pub(super) fn read_live(
    slot: &Slot,
    lanes: LaneChoice<'_>,
    range: TimeRange,
    buffer: &mut LiveBuffer,
) -> bool {
    let stream = slot.lock();
    if stream.is_vacant() || stream.newest_ms <= range.start_ms {
        return true;
    }
    if stream.raw.is_extended() || stream.deferred().is_some() {
        return false;
    }
    match lanes {
        LaneChoice::First(n_lanes) => {
            for (bit_word, live) in buffer.lanes.iter_mut().enumerate() {
                let wanted = first_bits(n_lanes - 64 * bit_word);
                let Some(found) = live_lanes(&stream, bit_word, wanted, range) else {
                    return false;
                };
                *live = found.live;
                buffer.n_sampled += found.sampled.count_ones() as usize;
            }
        }
        LaneChoice::List(list) => {
            let (mut rest, mut position) = (list, 0);
            while let Some(first) = rest.first() {
                let bit_word = usize::from(first.0) / 64;
                let is_near = |lane: &&LaneIdx| usize::from(lane.0) / 64 == bit_word;
                let (near, after) = rest.split_at(rest.iter().take_while(is_near).count());
                let wanted = near.iter().fold(0, |wanted, lane| wanted | 1 << (lane.0 % 64));
                let Some(found) = live_lanes(&stream, bit_word, wanted, range) else {
                    return false;
                };
                buffer.n_sampled += found.sampled.count_ones() as usize;
                if found.live == wanted {
                    set_bits(&mut buffer.lanes, position, near.len());
                } else {
                    for (position, lane) in (position..).zip(near) {
                        buffer.lanes[position / 64] |= (found.live >> (lane.0 % 64) & 1) << (position % 64);
                    }
                }
                position += near.len();
                rest = after;
            }
        }
    }
    true
}

/// Looks for the `wanted` of the lanes `64 * bit_word ..`, newest row first. `None` when one of them has no open row in
/// `range` but may have a sealed one.
#[inline]
fn live_lanes(stream: &Stream, bit_word: usize, wanted: u64, range: TimeRange) -> Option<Found> {
    let raw = &stream.raw;
    let mut found = Found::default();
    for row in (0..raw.n_rows()).rev() {
        let timestamp_ms = raw.timestamp(row);
        if timestamp_ms > range.end_ms {
            continue;
        }
        if timestamp_ms <= range.start_ms {
            return Some(found);
        }
        let of_row = raw.held_lanes(row, bit_word) & wanted & !found.sampled;
        found.live |= of_row & !raw.stale_lanes(row, bit_word, of_row);
        found.sampled |= of_row;
        if found.sampled == wanted {
            return Some(found);
        }
    }
    let may_be_sealed = wanted & raw.ever_held_lanes(bit_word) & !found.sampled != 0;
    (!may_be_sealed || stream.sealed_in(range).is_none()).then_some(found)
}

/// Sets up to 64 bits.
fn set_bits(words: &mut [u64], start: usize, n_bits: usize) {
    let (word, bit) = (start / 64, start % 64);
    words[word] |= first_bits(n_bits) << bit;
    if bit + n_bits > 64 {
        words[word + 1] |= first_bits(n_bits) >> (64 - bit);
    }
}

/// The lowest `n_bits` bits, or all.
fn first_bits(n_bits: usize) -> u64 {
    match n_bits {
        0..64 => !(u64::MAX << n_bits),
        _ => u64::MAX,
    }
}
