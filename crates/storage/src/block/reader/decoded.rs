//! What one reader keeps of the pages it has read: its next stream most likely wants more of them.
//!
//! Values of a page can only be decoded from its front. Where many short streams share a page, decoding it for each of
//! them would cost the square of their number; so the page is decoded once, and the next streams copy from it. What
//! stands at its front is decoded alone: there may be no next stream. A reader of several blocks goes through them stream
//! by stream, so it keeps something of each.

use std::ops::Range;
use std::sync::Arc;

use super::fetched::Fetched;
use super::histograms::DecodedRuns;

/// What is kept of the last pages of each of some blocks.
#[derive(Debug, Default)]
pub(crate) struct DecodedPages {
    /// Ascending by when they were last used.
    blocks: Vec<BlockPages>,
}

/// Of one block, the pages that were last read.
#[derive(Debug, Default)]
pub(super) struct BlockPages {
    /// Tells the block from others.
    block: u64,
    pub(super) timestamps_ms: DecodedPage<i64>,
    pub(super) values: DecodedPage<f64>,
    /// The last page of native histograms, always as a whole.
    pub(super) runs: Option<(usize, Arc<DecodedRuns>)>,
    pub(super) fetched: Fetched,
}

/// All rows of one page.
#[derive(Debug)]
pub(super) struct DecodedPage<T> {
    page_idx: Option<usize>,
    rows: Vec<T>,
}

/// A page is decoded as a whole if less than one row of this many is wanted.
const SHARE: usize = 4;

/// Blocks of which something is kept: those of a month by day, and of a day by window.
const BLOCKS_MAX: usize = 44;

impl DecodedPages {
    /// What is kept of a block; to be given back.
    pub(super) fn take(&mut self, block: u64) -> BlockPages {
        match self.blocks.iter().position(|pages| pages.block == block) {
            Some(position) => self.blocks.remove(position),
            None if self.blocks.len() < BLOCKS_MAX => BlockPages {
                block,
                ..BlockPages::default()
            },
            None => {
                let mut pages = self.blocks.remove(0);
                pages.begin(block);
                pages
            }
        }
    }

    /// Keeps what is known of a block now.
    pub(super) fn put_back(&mut self, pages: BlockPages) {
        self.blocks.push(pages);
    }
}

impl BlockPages {
    /// Turns to another block.
    fn begin(&mut self, block: u64) {
        self.block = block;
        self.timestamps_ms.page_idx = None;
        self.values.page_idx = None;
        self.runs = None;
        self.fetched = Fetched::default();
    }
}

impl<T> Default for DecodedPage<T> {
    fn default() -> Self {
        Self {
            page_idx: None,
            rows: Vec::new(),
        }
    }
}

impl<T: Copy + Default> DecodedPage<T> {
    /// True when a page of `n_rows` is better decoded as a whole for `n_wanted` of them, the first of which is `first`,
    /// or is already.
    pub(super) fn is_worth_it(&self, page_idx: usize, n_rows: usize, first: usize, n_wanted: usize) -> bool {
        (first > 0 && n_wanted < n_rows / SHARE) || self.page_idx == Some(page_idx)
    }

    /// The rows of a page, which `decode` puts into a slice of `n_rows` if they are not there.
    pub(super) fn get<E>(
        &mut self,
        page_idx: usize,
        n_rows: usize,
        decode: impl FnOnce(&mut [T]) -> Result<(), E>,
    ) -> Result<&[T], E> {
        if self.page_idx != Some(page_idx) {
            self.page_idx = None;
            self.rows.clear();
            self.rows.resize(n_rows, T::default());
            decode(&mut self.rows)?;
            self.page_idx = Some(page_idx);
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
