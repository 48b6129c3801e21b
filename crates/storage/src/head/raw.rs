//! The open rows of a stream: its newest rows, eight bytes per value.
//!
//! ```text
//! one allocation of eight-byte words:
//!   lanes that ever had a sample    one bit per lane, n_bit_words
//!   rows, row_capacity of them:
//!     timestamp                     1
//!     lanes that hold a value       one bit per lane, n_bit_words
//!     values                        lane_capacity
//! n_bit_words = lane_capacity / 64, rounded up
//! ```
//!
//! Timestamps are strictly ascending. A word is an `f64`; timestamps and bits are kept as the bits of one, which
//! copies preserve. Row by row, because samples arrive scrape by scrape: the newest rows of all streams stay in the
//! cache, and the row of a histogram of 22 lanes is three cache lines. The allocation starts with few rows and
//! grows by lane; once it has its full number of rows it holds exactly the lanes there are, and a lane that comes
//! later makes it a little larger.

use std::ops::Range;

use model::{STALE_NAN_BITS, TimestampMs, is_stale_nan};

use super::starts::OpenStart;

/// How many rows may be open.
pub(super) const ROWS_MAX: usize = 20;

/// How many rows there is room for at first.
const ROWS_FIRST: usize = 4;

/// The open rows of a stream.
#[derive(Debug, Default)]
pub(super) struct RawRows {
    words: Box<[f64]>,
    n_lanes: u32,
    lane_capacity: u32,
    n_rows: u8,
    row_capacity: u8,
    flags: u8,
    /// When the counters of all lanes began, if that is so; it is kept elsewhere, and stands here because here it costs no
    /// memory to look at.
    pub(super) open_start: OpenStart,
}

/// There is more to some samples of the stream than their values, which alone are here and in pages. It stands here
/// because here it costs no memory to look at.
const EXTENDED: u8 = 1;

/// If it is not set, no row holds a staleness marker.
const MAY_BE_STALE: u8 = 1 << 1;

/// Each lane had a sample: nobody needs to look where that is noted.
const ALL_LANES_HELD: u8 = 1 << 2;

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It was stored.
    New {
        /// And is the first one its lane ever had.
        is_first_of_lane: bool,
    },
    /// The same bits are there already.
    Same,
    /// These bits are there and stay.
    Other(u64),
}

impl RawRows {
    pub(super) fn n_rows(&self) -> usize {
        usize::from(self.n_rows)
    }

    /// One more than the highest lane that ever had a sample.
    pub(super) fn n_lanes(&self) -> usize {
        self.n_lanes as usize
    }

    /// How many lanes ever had a sample.
    pub(super) fn n_lanes_held(&self) -> usize {
        let words = self.words.iter().take(self.n_bit_words());
        words.map(|word| word.to_bits().count_ones() as usize).sum()
    }

    /// True if there is more to some samples of the stream than their values.
    #[inline]
    pub(super) fn is_extended(&self) -> bool {
        self.flags & EXTENDED != 0
    }

    pub(super) fn set_extended(&mut self, is_extended: bool) {
        self.set_flag(EXTENDED, is_extended);
    }

    #[inline]
    fn set_flag(&mut self, flag: u8, is_set: bool) {
        self.flags = if is_set {
            self.flags | flag
        } else {
            self.flags & !flag
        };
    }

    /// True if the lane had a sample.
    #[inline]
    pub(super) fn has_lane(&self, lane: usize) -> bool {
        lane < self.n_lanes()
            && (self.flags & ALL_LANES_HELD != 0 || self.ever_held_lanes(lane / 64) >> (lane % 64) & 1 == 1)
    }

    /// True if no other lane holds a value in the newest row.
    pub(super) fn is_alone_in_newest_row(&self, lane: usize) -> bool {
        let row = self.n_rows().saturating_sub(1);
        let own = |bit_word: usize| {
            if lane / 64 == bit_word {
                1 << (lane % 64)
            } else {
                0
            }
        };
        (0..self.n_bit_words()).all(|bit_word| self.held_lanes(row, bit_word) & !own(bit_word) == 0)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    pub(super) fn timestamp(&self, row: usize) -> TimestampMs {
        self.words[self.row_start(row)].to_bits().cast_signed()
    }

    pub(super) fn timestamps(&self, rows: Range<usize>) -> impl DoubleEndedIterator<Item = TimestampMs> {
        rows.map(|row| self.timestamp(row))
    }

    /// Where the values of the newest row are in memory.
    #[inline]
    pub(super) fn newest_values_address(&self) -> usize {
        let last_row = self.n_rows().saturating_sub(1);
        let first_value = self.row_start(last_row) + 1 + self.n_bit_words();
        self.words.as_ptr().addr() + first_value * size_of::<f64>()
    }

    /// The first row at or after `timestamp_ms`.
    pub(super) fn lower_bound(&self, timestamp_ms: TimestampMs) -> usize {
        let n_newer = self
            .timestamps(0..self.n_rows())
            .rev()
            .take_while(|held| *held >= timestamp_ms);
        self.n_rows() - n_newer.count()
    }

    /// The row of `timestamp_ms`, or where it would be.
    pub(super) fn find_row(&self, timestamp_ms: TimestampMs) -> Result<usize, usize> {
        let row = self.lower_bound(timestamp_ms);
        if row < self.n_rows() && self.timestamp(row) == timestamp_ms {
            Ok(row)
        } else {
            Err(row)
        }
    }

    /// The value of a lane in a row, if the row holds one.
    #[inline]
    pub(super) fn get(&self, row: usize, lane: usize) -> Option<f64> {
        let bits_idx = self.row_start(row) + 1;
        let is_held =
            lane < self.n_lanes() && self.words[bits_idx + lane / 64].to_bits() >> (lane % 64) & 1 == 1;
        is_held.then(|| self.words[bits_idx + self.n_bit_words() + lane])
    }

    /// The lanes `64 * bit_word ..` that hold a value in a row, by bit.
    #[inline]
    pub(super) fn held_lanes(&self, row: usize, bit_word: usize) -> u64 {
        if bit_word >= self.n_bit_words() {
            return 0;
        }
        self.words[self.row_start(row) + 1 + bit_word].to_bits()
    }

    /// Those of the lanes `64 * bit_word ..`, by bit, whose value in a row is a staleness marker. `of` says which
    /// are asked for and hold a value.
    #[inline]
    pub(super) fn stale_lanes(&self, row: usize, bit_word: usize, of: u64) -> u64 {
        // The usual case leaves the values alone, which are other cache lines.
        if self.flags & MAY_BE_STALE == 0 {
            return 0;
        }
        let first_value = self.row_start(row) + 1 + self.n_bit_words() + 64 * bit_word;
        let lanes = (0..64).filter(|lane| of >> lane & 1 == 1);
        let stale = lanes.filter(|lane| is_stale_nan(self.words[first_value + lane]));
        stale.fold(0, |stale, lane| stale | 1 << lane)
    }

    /// The lanes `64 * bit_word ..` that ever had a sample, by bit.
    pub(super) fn ever_held_lanes(&self, bit_word: usize) -> u64 {
        if bit_word >= self.n_bit_words() {
            return 0;
        }
        self.words[bit_word].to_bits()
    }

    /// Some rows, to be read lane by lane.
    pub(super) fn view(&self, rows: Range<usize>) -> RowsView<'_> {
        RowsView {
            words: &self.words[self.row_start(rows.start)..self.row_start(rows.end)],
            n_rows: rows.len(),
            row_len: self.row_len(),
            n_bit_words: self.n_bit_words(),
            n_lanes: self.n_lanes(),
        }
    }

    /// True when another row would not fit.
    pub(super) fn is_full(&self) -> bool {
        self.n_rows() == ROWS_MAX
    }

    /// True when there is memory for another row.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.n_rows < self.row_capacity
    }

    /// Stores a value in a row and a lane that are there.
    #[inline]
    pub(super) fn put(&mut self, lane: usize, row: usize, bits: u64) -> Put {
        let (bit_word, bit) = (lane / 64, 1_u64 << (lane % 64));
        let row_start = self.row_start(row);
        let value_idx = row_start + 1 + self.n_bit_words() + lane;
        let held = &mut self.words[row_start + 1 + bit_word];
        if held.to_bits() & bit == 0 {
            *held = f64::from_bits(held.to_bits() | bit);
            self.words[value_idx] = f64::from_bits(bits);
            if bits == STALE_NAN_BITS {
                self.flags |= MAY_BE_STALE;
            }
            return Put::New {
                is_first_of_lane: self.mark_lane(lane),
            };
        }
        match self.words[value_idx].to_bits() {
            held if held == bits => Put::Same,
            held => Put::Other(held),
        }
    }

    /// Notes that a lane has a sample; true when it is its first.
    #[inline]
    pub(super) fn mark_lane(&mut self, lane: usize) -> bool {
        self.flags & ALL_LANES_HELD == 0 && self.mark_any_lane(lane)
    }

    fn mark_any_lane(&mut self, lane: usize) -> bool {
        let ever_held = &mut self.words[lane / 64];
        let bit = 1_u64 << (lane % 64);
        let is_first = ever_held.to_bits() & bit == 0;
        if is_first {
            *ever_held = f64::from_bits(ever_held.to_bits() | bit);
            self.set_flag(ALL_LANES_HELD, self.n_lanes_held() == self.n_lanes());
        }
        is_first
    }

    /// Makes a row without values before row `row`, where `timestamp_ms` belongs.
    ///
    /// # Panics
    /// If the rows are full.
    pub(super) fn insert_row(&mut self, row: usize, timestamp_ms: TimestampMs) {
        assert!(!self.is_full(), "room for another row");
        if self.n_rows == self.row_capacity {
            let row_capacity = if self.row_capacity == 0 {
                ROWS_FIRST
            } else {
                ROWS_MAX
            };
            self.resize(row_capacity, self.n_lanes());
        }
        let row_start = self.row_start(row);
        let end = self.row_start(self.n_rows());
        self.words.copy_within(row_start..end, row_start + self.row_len());
        let n_bit_words = self.n_bit_words();
        self.words[row_start] = f64::from_bits(timestamp_ms.cast_unsigned());
        self.words[row_start + 1..row_start + 1 + n_bit_words].fill(0.0);
        self.n_rows += 1;
    }

    /// Drops the oldest rows.
    pub(super) fn drop_front(&mut self, n_rows: usize) {
        let end = self.row_start(self.n_rows());
        self.words
            .copy_within(self.row_start(n_rows)..end, self.row_start(0));
        self.n_rows -= n_rows as u8;
        let left = &self.words[self.row_start(0)..self.row_start(self.n_rows())];
        let is_stale = self.flags & MAY_BE_STALE != 0 && left.iter().any(|word| is_stale_nan(*word));
        self.set_flag(MAY_BE_STALE, is_stale);
    }

    /// Makes all lanes up to `lane`, which is not there yet.
    #[cold]
    pub(super) fn add_lane(&mut self, lane: usize) {
        let lane_capacity = self.lane_capacity as usize;
        if lane >= lane_capacity {
            // While rows are few, lanes are still coming in; afterwards a new one is rare and room is dear.
            let is_young = usize::from(self.row_capacity) < ROWS_MAX;
            let spare = if is_young {
                lane_capacity / 2
            } else {
                lane_capacity / 16
            };
            self.resize(
                usize::from(self.row_capacity),
                (lane_capacity + spare).max(lane + 1),
            );
        }
        self.n_lanes = lane as u32 + 1;
        self.set_flag(ALL_LANES_HELD, false);
    }

    fn n_bit_words(&self) -> usize {
        (self.lane_capacity as usize).div_ceil(64)
    }

    fn row_len(&self) -> usize {
        1 + self.n_bit_words() + self.lane_capacity as usize
    }

    fn row_start(&self, row: usize) -> usize {
        self.n_bit_words() + row * self.row_len()
    }

    fn resize(&mut self, row_capacity: usize, lane_capacity: usize) {
        let mut grown = Self {
            words: Box::default(),
            n_lanes: self.n_lanes,
            lane_capacity: lane_capacity as u32,
            n_rows: self.n_rows,
            row_capacity: row_capacity as u8,
            flags: self.flags,
            open_start: self.open_start,
        };
        grown.words = vec![0.0; grown.row_start(row_capacity)].into_boxed_slice();
        // Lanes only ever become more, except for capacity that none of them uses.
        let n_bit_words = self.n_bit_words().min(grown.n_bit_words());
        let n_values = self.n_lanes();
        grown.words[..n_bit_words].copy_from_slice(&self.words[..n_bit_words]);
        for row in 0..self.n_rows() {
            let (from, to) = (self.row_start(row), grown.row_start(row));
            let n_head = 1 + n_bit_words;
            grown.words[to..to + n_head].copy_from_slice(&self.words[from..from + n_head]);
            let (from, to) = (from + 1 + self.n_bit_words(), to + 1 + grown.n_bit_words());
            grown.words[to..to + n_values].copy_from_slice(&self.words[from..from + n_values]);
        }
        *self = grown;
    }
}

/// Open rows, to be read lane by lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsView<'a> {
    words: &'a [f64],
    n_rows: usize,
    row_len: usize,
    n_bit_words: usize,
    n_lanes: usize,
}

impl<'a> RowsView<'a> {
    /// The rows that hold a value of `lane`, by bit.
    pub(super) fn held_rows(&self, lane: usize) -> u64 {
        if lane >= self.n_lanes {
            return 0;
        }
        let words = self.column(1 + lane / 64).enumerate();
        words.fold(0, |held, (row, word)| {
            held | (word.to_bits() >> (lane % 64) & 1) << row
        })
    }

    /// The lanes `64 * bit_word ..` that hold a value in every row, by bit.
    pub(super) fn complete_lanes(&self, bit_word: usize) -> u64 {
        if bit_word >= self.n_bit_words {
            return 0;
        }
        self.column(1 + bit_word)
            .fold(u64::MAX, |lanes, word| lanes & word.to_bits())
    }

    /// The values of a lane that is there, one per row; undefined in rows that do not hold it.
    pub(super) fn values(&self, lane: usize) -> impl ExactSizeIterator<Item = f64> + use<'a> {
        self.column(1 + self.n_bit_words + lane)
    }

    /// The same word of every row.
    fn column(&self, word_idx: usize) -> impl ExactSizeIterator<Item = f64> + use<'a> {
        let Self { words, row_len, .. } = *self;
        (0..self.n_rows).map(move |row| words[row * row_len + word_idx])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Put = Put::New {
        is_first_of_lane: false,
    };
    const FIRST: Put = Put::New {
        is_first_of_lane: true,
    };

    fn rows(timestamps_ms: &[i64], n_lanes: usize) -> RawRows {
        let mut rows = RawRows::default();
        if n_lanes > 0 {
            rows.add_lane(n_lanes - 1);
        }
        for (row, timestamp_ms) in timestamps_ms.iter().enumerate() {
            rows.insert_row(row, *timestamp_ms);
            for lane in 0..n_lanes {
                rows.put(lane, row, (row * 100 + lane) as u64);
            }
        }
        rows
    }

    fn held(rows: &RawRows, lane: usize) -> Vec<Option<u64>> {
        let held: Vec<_> = (0..rows.n_rows())
            .map(|row| rows.get(row, lane).map(f64::to_bits))
            .collect();
        let view = rows.view(0..rows.n_rows());
        for ((row, value), held) in view.values(lane).enumerate().zip(&held) {
            assert_eq!(view.held_rows(lane) >> row & 1 == 1, held.is_some());
            assert!(held.is_none_or(|held| held == value.to_bits()));
        }
        assert_eq!(
            view.complete_lanes(0) >> lane & 1 == 1,
            held.iter().all(Option::is_some)
        );
        held
    }

    #[test]
    fn a_place_is_taken_once() {
        let mut rows = rows(&[10], 0);
        rows.add_lane(3);
        assert_eq!(rows.put(3, 0, 7), FIRST);
        assert_eq!(rows.put(3, 0, 7), Put::Same);
        assert_eq!(rows.put(3, 0, 8), Put::Other(7));
        assert_eq!(rows.put(0, 0, 8), FIRST);
        rows.insert_row(1, 20);
        assert_eq!(rows.put(3, 1, 7), NEW);
        assert_eq!(rows.n_lanes(), 4);
        assert_eq!(held(&rows, 1), [None, None]);
    }

    #[test]
    fn a_row_is_made_between_others() {
        let mut rows = rows(&[10, 30, 40], 3);
        assert_eq!(rows.find_row(20), Err(1));
        rows.insert_row(1, 20);
        assert_eq!(rows.find_row(20), Ok(1));
        assert_eq!(rows.timestamps(0..4).collect::<Vec<_>>(), [10, 20, 30, 40]);
        assert_eq!(held(&rows, 2), [Some(2), None, Some(102), Some(202)]);
        assert_eq!(rows.put(2, 1, 9), NEW);
        assert_eq!(held(&rows, 2), [Some(2), Some(9), Some(102), Some(202)]);
    }

    #[test]
    fn the_oldest_rows_are_dropped_and_their_places_are_empty_again() {
        let mut rows = rows(&(0..20).collect::<Vec<_>>(), 2);
        assert!(rows.is_full());
        rows.drop_front(16);
        assert_eq!(rows.timestamps(0..4).collect::<Vec<_>>(), [16, 17, 18, 19]);
        assert_eq!(held(&rows, 1), [Some(1601), Some(1701), Some(1801), Some(1901)]);
        rows.insert_row(4, 20);
        assert_eq!(held(&rows, 1)[4], None);
        assert_eq!(rows.put(1, 4, 5), NEW);
    }

    #[test]
    fn a_full_height_takes_no_more_lanes_than_there_are() {
        let words = |n_rows, n_lanes| rows(&(0..n_rows).collect::<Vec<_>>(), n_lanes).words.len();
        assert_eq!(words(5, 22), 1 + 20 * (2 + 22));
        assert_eq!(words(1, 1), 1 + 4 * 3);
    }
}
