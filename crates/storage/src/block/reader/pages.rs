//! Fetching pages: from the cache, or from the file after a look at their checksum.

use std::ops::Range;
use std::sync::Arc;

use codec::checksum::crc32c;

use super::super::page::{Page, PageError, RowKind};
use super::super::range_read::RangeRead;
use super::super::schema::{HistogramColumn, SampleColumn};
use super::cache::{PageCache, PageKey};
use super::catalog::BlockCatalog;
use super::footer::PagePlace;
use super::{Block, damaged, read_error};
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
        self.fetch(&self.place(column, page_idx))
    }

    /// As [`Self::page`], of a file that is there.
    pub(super) fn histogram_page(
        &self,
        file: &dyn RangeRead,
        column: HistogramColumn,
        page_idx: usize,
    ) -> Result<Arc<Page>, Error> {
        self.fetch(&self.histogram_place(file, column, page_idx))
    }

    /// The error for a page that does not decode.
    pub(super) fn damaged(&self, column: SampleColumn, page_idx: usize, error: PageError) -> Error {
        self.place(column, page_idx).damaged(error)
    }

    /// As [`Self::damaged`], of a page of histograms.
    pub(super) fn histograms_damaged(
        &self,
        file: &dyn RangeRead,
        column: HistogramColumn,
        page_idx: usize,
        error: PageError,
    ) -> Error {
        self.histogram_place(file, column, page_idx).damaged(error)
    }

    fn histogram_place<'a>(
        &self,
        file: &'a dyn RangeRead,
        column: HistogramColumn,
        page_idx: usize,
    ) -> PageOfFile<'a> {
        let pages = &self.catalog.histogram_pages;
        PageOfFile {
            file,
            name: column.name(),
            kind: column.row_kind(),
            key: PageKey::new(self.block.cache_key, FIRST_OF_HISTOGRAMS + column as u8, page_idx),
            place: pages.place(column as usize, page_idx),
            rows: pages.rows(page_idx),
        }
    }

    fn place(&self, column: SampleColumn, page_idx: usize) -> PageOfFile<'_> {
        let pages = &self.catalog.pages;
        PageOfFile {
            file: &*self.block.files.samples,
            name: column.name(),
            kind: column.row_kind(),
            key: PageKey::new(self.block.cache_key, column as u8, page_idx),
            place: pages.place(column as usize, page_idx),
            rows: pages.rows(page_idx),
        }
    }

    fn fetch(&self, page: &PageOfFile<'_>) -> Result<Arc<Page>, Error> {
        if let Some(page) = self.cache.and_then(|cache| cache.get(page.key)) {
            return Ok(page);
        }
        let (file, place) = (page.file, page.place);
        let bytes = file
            .read_at(place.offset, place.n_bytes as usize)
            .map_err(|source| read_error(file, source))?;
        if crc32c(&bytes) != place.crc32c {
            let what = format!(
                "the checksum of a page of {} is not that of its content",
                page.name
            );
            return Err(damaged(file, place.offset, what));
        }
        let n_rows = usize::try_from(page.rows.end - page.rows.start).unwrap_or(usize::MAX);
        let parsed = Page::parse(&bytes, n_rows, page.kind);
        let parsed = Arc::new(parsed.map_err(|error| page.damaged(error))?);
        if let Some(cache) = self.cache {
            cache.put(page.key, &parsed, bytes.len());
        }
        Ok(parsed)
    }
}

/// What the first column of `histograms.parquet` is called in a cache, behind those of `samples.parquet`.
const FIRST_OF_HISTOGRAMS: u8 = 64;

/// A page, and what is expected of it.
struct PageOfFile<'a> {
    file: &'a dyn RangeRead,
    name: &'static str,
    kind: RowKind,
    key: PageKey,
    place: PagePlace,
    rows: Range<u64>,
}

impl PageOfFile<'_> {
    fn damaged(&self, error: PageError) -> Error {
        let what = format!("a page of {} does not decode: {error}", self.name);
        damaged(self.file, self.place.offset, what)
    }
}
