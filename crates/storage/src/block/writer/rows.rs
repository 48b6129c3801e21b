//! The rows of the page under way.

use super::super::page::Runs;
use super::LaneRows;

/// The columns of a page. All pages of a row group begin at the same rows in every column.
#[derive(Debug, Default)]
pub(super) struct PageRows {
    pub(super) series_ids: Vec<i64>,
    pub(super) timestamps_ms: Vec<i64>,
    pub(super) integers: Vec<i64>,
    pub(super) integer_runs: Runs,
    pub(super) floats: Vec<f64>,
    pub(super) float_runs: Runs,
    pub(super) starts_ms: Vec<i64>,
    pub(super) start_runs: Runs,
}

/// The largest whole number up to which every one is a float: other readers may compute with integers.
const INTEGER_MAX: u64 = 1 << 53;

impl PageRows {
    pub(super) fn n_rows(&self) -> usize {
        self.timestamps_ms.len()
    }

    pub(super) fn clear(&mut self) {
        self.series_ids.clear();
        self.timestamps_ms.clear();
        self.integers.clear();
        self.integer_runs.clear();
        self.floats.clear();
        self.float_runs.clear();
        self.starts_ms.clear();
        self.start_runs.clear();
    }

    /// Adds some rows of a lane.
    #[expect(clippy::indexing_slicing, reason = "the columns of a lane are parallel")]
    pub(super) fn push(&mut self, series_id: u32, lane: &LaneRows, rows: std::ops::Range<usize>) {
        let n_rows = rows.len();
        self.series_ids
            .extend(std::iter::repeat_n(i64::from(series_id), n_rows));
        self.timestamps_ms.extend(&lane.timestamps_ms[rows.clone()]);
        self.push_values(&lane.values[rows.clone()]);
        if lane.starts_ms.is_empty() {
            self.start_runs.push(n_rows, false);
            return;
        }
        for start_ms in &lane.starts_ms[rows] {
            let is_known = *start_ms != 0;
            self.start_runs.push(1, is_known);
            if is_known {
                self.starts_ms.push(*start_ms);
            }
        }
    }

    /// Adds values: as integers if at least three of four are, and those that are not as floats among them;
    /// otherwise all as floats, so that a sum with digits behind the point does not change columns whenever it
    /// happens to be whole.
    fn push_values(&mut self, values: &[f64]) {
        let n_start = self.integers.len();
        self.integers
            .extend(values.iter().map_while(|value| integer(*value)));
        let n_leading = self.integers.len() - n_start;
        if n_leading == values.len() {
            self.push_run(n_leading, true);
            return;
        }
        self.integers.truncate(n_start);
        let n_integers = values.iter().filter(|value| integer(**value).is_some()).count();
        if n_integers < values.len() - values.len() / 4 {
            self.floats.extend(values);
            self.push_run(values.len(), false);
            return;
        }
        for value in values {
            let integer = integer(*value);
            match integer {
                Some(integer) => self.integers.push(integer),
                None => self.floats.push(*value),
            }
            self.push_run(1, integer.is_some());
        }
    }

    fn push_run(&mut self, n_rows: usize, is_integer: bool) {
        self.integer_runs.push(n_rows, is_integer);
        self.float_runs.push(n_rows, !is_integer);
    }
}

/// The integer that gives the same bits back.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what the cast loses is found by comparing the bits"
)]
fn integer(value: f64) -> Option<i64> {
    let integer = value as i64;
    let is_same = (integer as f64).to_bits() == value.to_bits();
    (is_same && integer.unsigned_abs() <= INTEGER_MAX).then_some(integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_that_keep_their_bits_are_integers() {
        assert_eq!(integer(-3.0), Some(-3));
        assert_eq!(integer(0.0), Some(0));
        assert_eq!(integer((1_u64 << 53) as f64), Some(1 << 53));
        for value in [
            -0.0,
            0.5,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
            9_007_199_254_740_994.0,
        ] {
            assert_eq!(integer(value), None, "{value}");
        }
    }

    #[test]
    fn a_lane_stays_in_one_column_but_for_a_few_rows() {
        let mut rows = PageRows::default();
        rows.push_values(&[1.0, 2.0, f64::NAN, 3.0]);
        assert_eq!((rows.integers.len(), rows.floats.len()), (3, 1));
        rows.push_values(&[0.0, 0.0, 0.25, 0.5]);
        assert_eq!((rows.integers.len(), rows.floats.len()), (3, 5));
        assert!(rows.integer_runs.complements(&rows.float_runs));
    }
}
