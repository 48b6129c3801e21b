//! Fetching pages: from the cache, or from the file after a look at their checksum.

use std::sync::Arc;

use codec::checksum::crc32c;

use super::super::page::{Page, PageError};
use super::super::schema::SampleColumn;
use super::cache::{PageCache, PageKey};
use super::catalog::BlockCatalog;
use super::{Block, read_error};
use crate::Error;

/// What reads the pages of one block.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageSource<'a> {
    pub(super) block: &'a Block,
    pub(super) catalog: &'a BlockCatalog,
    pub(super) cache: Option<&'a PageCache>,
}

impl PageSource<'_> {
    /// A page of a column, unpacked.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn page(&self, column: SampleColumn, page_idx: usize) -> Result<Arc<Page>, Error> {
        let key = PageKey::new(self.block.cache_key, column, page_idx);
        if let Some(page) = self.cache.and_then(|cache| cache.get(key)) {
            return Ok(page);
        }
        let place = self.catalog.pages.place(column, page_idx);
        let samples = &*self.block.files.samples;
        let bytes = samples
            .read_at(place.offset, place.n_bytes as usize)
            .map_err(|source| read_error(samples, source))?;
        if crc32c(&bytes) != place.crc32c {
            let what = format!(
                "the checksum of a page of {} is not that of its content",
                column.name()
            );
            return Err(self.block.samples_damaged(place.offset, what));
        }
        let rows = self.catalog.pages.rows(page_idx);
        let n_rows = usize::try_from(rows.end - rows.start).unwrap_or(usize::MAX);
        let page = Page::parse(&bytes, n_rows, column.is_optional());
        let page = Arc::new(page.map_err(|error| self.damaged(column, page_idx, error))?);
        if let Some(cache) = self.cache {
            cache.put(key, &page, bytes.len());
        }
        Ok(page)
    }

    /// The error for a page that does not decode.
    pub(super) fn damaged(&self, column: SampleColumn, page_idx: usize, error: PageError) -> Error {
        let place = self.catalog.pages.place(column, page_idx);
        let what = format!("a page of {} does not decode: {error}", column.name());
        self.block.samples_damaged(place.offset, what)
    }
}
