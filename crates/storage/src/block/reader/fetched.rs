//! Pages that one reader has fetched, and bytes of those that it will want next.
//!
//! Pages of a column that follow each other lie next to each other in the file, and are read together. What was
//! unpacked last of each column is kept, for readers whose pages no cache keeps.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::super::page::Page;
use super::super::schema::SampleColumn;
use super::table::{PagePlace, SamplePages};

/// Bytes that are read together, unless one page has more.
const AHEAD_BYTES: u64 = 256 << 10;

/// What was fetched of each column of one block.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    columns: [FetchedColumn; SampleColumn::ALL.len()],
}

#[derive(Debug, Default)]
struct FetchedColumn {
    page: Option<(usize, Arc<Page>)>,
    /// Where the bytes that were read begin, and the bytes.
    bytes: (u64, Bytes),
}

impl Fetched {
    /// A page, if it was the last of its column.
    pub(super) fn page(&self, column: SampleColumn, page_idx: usize) -> Option<&Arc<Page>> {
        let (held_idx, page) = self.columns.get(column as usize)?.page.as_ref()?;
        (*held_idx == page_idx).then_some(page)
    }

    /// Keeps a page as the last of its column.
    pub(super) fn keep(&mut self, column: SampleColumn, page_idx: usize, page: &Arc<Page>) {
        if let Some(held) = self.columns.get_mut(column as usize) {
            held.page = Some((page_idx, Arc::clone(page)));
        }
    }

    /// The bytes of a page, if they were read with others.
    pub(super) fn bytes(&self, column: SampleColumn, place: PagePlace) -> Option<Bytes> {
        let (start, bytes) = &self.columns.get(column as usize)?.bytes;
        let first = usize::try_from(place.offset.checked_sub(*start)?).ok()?;
        let end = first.checked_add(place.n_bytes as usize)?;
        (end <= bytes.len()).then(|| bytes.slice(first..end))
    }

    /// Keeps bytes that were read from `start` on.
    pub(super) fn keep_bytes(&mut self, column: SampleColumn, start: u64, bytes: Bytes) {
        if let Some(held) = self.columns.get_mut(column as usize) {
            held.bytes = (start, bytes);
        }
    }
}

/// How many bytes to read from the first of `pages` on: that page, and those of the others that lie behind it one
/// after the other, and are not at hand already.
pub(super) fn bytes_together(
    table: &SamplePages,
    column: SampleColumn,
    pages: Range<usize>,
    is_at_hand: impl Fn(usize) -> bool,
) -> u64 {
    let first = table.place(column as usize, pages.start);
    let mut n_bytes = u64::from(first.n_bytes);
    for page_idx in pages.skip(1) {
        let place = table.place(column as usize, page_idx);
        let is_next = place.offset == first.offset + n_bytes;
        if !is_next || n_bytes + u64::from(place.n_bytes) > AHEAD_BYTES || is_at_hand(page_idx) {
            break;
        }
        n_bytes += u64::from(place.n_bytes);
    }
    n_bytes
}
