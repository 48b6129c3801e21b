//! The pages a reader decoded as a whole, because it wanted little of them and its next stream will want more.
//!
//! Values of a page can only be decoded from its front. Where many short streams share a page, decoding it for each of
//! them would cost the square of their number; so the page is decoded once, and the next streams copy from it.

use std::ops::Range;
use std::sync::Arc;

use super::histograms::DecodedRuns;

/// The last page of timestamps and of values that one reader decoded.
#[derive(Debug, Default)]
pub(crate) struct DecodedPages {
    pub(super) timestamps_ms: DecodedPage<i64>,
    pub(super) values: DecodedPage<f64>,
    /// The last page of native histograms, always as a whole.
    pub(super) runs: Option<((u64, usize), Arc<DecodedRuns>)>,
}

/// All rows of one page.
#[derive(Debug)]
pub(super) struct DecodedPage<T> {
    /// Which block, and which page of it.
    key: Option<(u64, usize)>,
    rows: Vec<T>,
}

/// A page is decoded as a whole if less than one row of this many is wanted.
const SHARE: usize = 4;

impl<T> Default for DecodedPage<T> {
    fn default() -> Self {
        Self {
            key: None,
            rows: Vec::new(),
        }
    }
}

impl<T: Copy + Default> DecodedPage<T> {
    /// True when a page of `n_rows` is better decoded as a whole for `n_wanted` of them, or is already.
    pub(super) fn is_worth_it(&self, key: (u64, usize), n_rows: usize, n_wanted: usize) -> bool {
        n_wanted < n_rows / SHARE || self.key == Some(key)
    }

    /// The rows of a page, which `decode` puts into a slice of `n_rows` if they are not there.
    pub(super) fn get<E>(
        &mut self,
        key: (u64, usize),
        n_rows: usize,
        decode: impl FnOnce(&mut [T]) -> Result<(), E>,
    ) -> Result<&[T], E> {
        if self.key != Some(key) {
            self.key = None;
            self.rows.clear();
            self.rows.resize(n_rows, T::default());
            decode(&mut self.rows)?;
            self.key = Some(key);
        }
        Ok(&self.rows)
    }
}

/// Copies some rows.
pub(super) fn copy<T: Copy>(rows: &[T], range: Range<usize>, places: &mut [T]) {
    for (place, row) in places.iter_mut().zip(rows.get(range).unwrap_or(&[])) {
        *place = *row;
    }
}
