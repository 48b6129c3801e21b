//! The open rows of a stream: its newest rows, eight bytes per value.
//!
//! ```text
//! one allocation of eight-byte words:
//!   timestamps      row_capacity
//!   lane states     lane_capacity: bits 0 ..: rows in which the lane holds a value; bit 63: the lane ever had one
//!   values          lane_capacity x row_capacity, lane by lane
//! ```
//!
//! Timestamps are strictly ascending. A word is an `f64`; timestamps and states are kept as its bits, which copies
//! preserve. The allocation starts with few rows and grows by lane; once it has its full number of rows it holds
//! exactly the lanes there are, and a lane that comes later makes it a little larger.

use std::ops::Range;

use model::TimestampMs;

/// How many rows may be open.
pub(super) const ROWS_MAX: usize = 20;

/// How many rows there is room for at first.
const ROWS_FIRST: usize = 4;

const EVER_HELD: u64 = 1 << 63;

/// The open rows of a stream.
#[derive(Debug, Default)]
pub(super) struct RawRows {
    words: Box<[f64]>,
    n_lanes: u32,
    lane_capacity: u32,
    n_rows: u8,
    row_capacity: u8,
}

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

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    pub(super) fn timestamp(&self, row: usize) -> TimestampMs {
        self.words[row].to_bits().cast_signed()
    }

    pub(super) fn timestamps(&self, rows: Range<usize>) -> impl DoubleEndedIterator<Item = TimestampMs> {
        self.words[rows].iter().map(|word| word.to_bits().cast_signed())
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

    /// The rows in which a lane holds a value, by bit.
    pub(super) fn held_rows(&self, lane: usize) -> u64 {
        self.words[usize::from(self.row_capacity) + lane].to_bits() & !EVER_HELD
    }

    /// The values of a lane; in rows that it does not hold they are undefined.
    pub(super) fn values(&self, lane: usize, rows: Range<usize>) -> &[f64] {
        let first = self.value_idx(lane, 0);
        &self.words[first + rows.start..first + rows.end]
    }

    /// True when another row would not fit.
    pub(super) fn is_full(&self) -> bool {
        self.n_rows() == ROWS_MAX
    }

    /// Stores a value in a row and a lane that are there.
    #[inline]
    pub(super) fn put(&mut self, lane: usize, row: usize, bits: u64) -> Put {
        let value_idx = self.value_idx(lane, row);
        let state = &mut self.words[usize::from(self.row_capacity) + lane];
        let old_state = state.to_bits();
        if old_state >> row & 1 == 0 {
            *state = f64::from_bits(old_state | EVER_HELD | 1 << row);
            self.words[value_idx] = f64::from_bits(bits);
            let is_first_of_lane = old_state & EVER_HELD == 0;
            return Put::New { is_first_of_lane };
        }
        match self.words[value_idx].to_bits() {
            held if held == bits => Put::Same,
            held => Put::Other(held),
        }
    }

    /// Notes that a lane has a sample elsewhere; true when it is its first.
    pub(super) fn mark_lane(&mut self, lane: usize) -> bool {
        if lane >= self.n_lanes() {
            self.add_lane(lane);
        }
        let state = &mut self.words[usize::from(self.row_capacity) + lane];
        let old_state = state.to_bits();
        *state = f64::from_bits(old_state | EVER_HELD);
        old_state & EVER_HELD == 0
    }

    /// Makes a row without values before row `row`, where `timestamp_ms` belongs.
    ///
    /// # Panics
    /// If the rows are full.
    pub(super) fn insert_row(&mut self, row: usize, timestamp_ms: TimestampMs) {
        assert!(!self.is_full(), "room for another row");
        if self.n_rows == self.row_capacity {
            let n_rows = if self.row_capacity == 0 {
                ROWS_FIRST
            } else {
                ROWS_MAX
            };
            self.resize(n_rows, self.n_lanes());
        }
        let n_rows = self.n_rows();
        if row < n_rows {
            self.words.copy_within(row..n_rows, row + 1);
            for lane in 0..self.n_lanes() {
                self.shift_lane(lane, row);
            }
        }
        self.words[row] = f64::from_bits(timestamp_ms.cast_unsigned());
        self.n_rows += 1;
    }

    fn shift_lane(&mut self, lane: usize, row: usize) {
        let state_idx = usize::from(self.row_capacity) + lane;
        let held = self.held_rows(lane);
        let before = held & !(u64::MAX << row);
        let ever_held = self.words[state_idx].to_bits() & EVER_HELD;
        self.words[state_idx] = f64::from_bits(ever_held | before | (held & !before) << 1);
        let first = self.value_idx(lane, 0);
        self.words
            .copy_within(first + row..first + self.n_rows(), first + row + 1);
    }

    /// Drops the oldest rows.
    pub(super) fn drop_front(&mut self, n_rows: usize) {
        let n_before = self.n_rows();
        self.words.copy_within(n_rows..n_before, 0);
        for lane in 0..self.n_lanes() {
            let state_idx = usize::from(self.row_capacity) + lane;
            let ever_held = self.words[state_idx].to_bits() & EVER_HELD;
            self.words[state_idx] = f64::from_bits(ever_held | self.held_rows(lane) >> n_rows);
            let first = self.value_idx(lane, 0);
            self.words.copy_within(first + n_rows..first + n_before, first);
        }
        self.n_rows -= n_rows as u8;
    }

    fn value_idx(&self, lane: usize, row: usize) -> usize {
        let row_capacity = usize::from(self.row_capacity);
        row_capacity + self.lane_capacity as usize + lane * row_capacity + row
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
    }

    fn resize(&mut self, row_capacity: usize, lane_capacity: usize) {
        let n_words = row_capacity + lane_capacity + lane_capacity * row_capacity;
        let mut grown = Self {
            words: vec![0.0; n_words].into_boxed_slice(),
            n_lanes: self.n_lanes,
            lane_capacity: lane_capacity as u32,
            n_rows: self.n_rows,
            row_capacity: row_capacity as u8,
        };
        let n_rows = self.n_rows();
        grown.words[..n_rows].copy_from_slice(&self.words[..n_rows]);
        for lane in 0..self.n_lanes() {
            grown.words[row_capacity + lane] = self.words[usize::from(self.row_capacity) + lane];
            let first = grown.value_idx(lane, 0);
            grown.words[first..first + n_rows].copy_from_slice(self.values(lane, 0..n_rows));
        }
        *self = grown;
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
        let values = rows.values(lane, 0..rows.n_rows());
        let is_held = |row: usize| rows.held_rows(lane) >> row & 1 == 1;
        values
            .iter()
            .enumerate()
            .map(|(row, value)| is_held(row).then(|| value.to_bits()))
            .collect()
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
        assert_eq!(words(5, 22), 20 + 22 + 20 * 22);
        assert_eq!(words(1, 1), 4 + 1 + 4);
    }
}
