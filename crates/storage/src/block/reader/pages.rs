//! Fetching pages: from the cache, or from the file after a look at their checksum.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use codec::checksum::crc32c;

use super::super::page::{Page, PageError, RowKind};
use super::super::range_read::RangeRead;
use super::super::schema::{HistogramColumn, SampleColumn};
use super::cache::{PageCache, PageKey};
use super::catalog::{BlockCatalog, SeriesEntry, SeriesRuns};
use super::fetched::{Fetched, bytes_together};
use super::table::PagePlace;
use super::{Block, damaged, read_error};
use crate::Error;

/// What reads the pages of one block.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageSource<'a> {
    pub(super) block: &'a Block,
    pub(super) catalog: &'a BlockCatalog,
    pub(super) cache: Option<&'a PageCache>,
    /// Whoever reads goes on behind what it asks for, to the end.
    pub(super) reads_on: bool,
}

impl PageSource<'_> {
    /// Knows where the pages of series are that follow each other.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn know_pages(&self, series: &[SeriesEntry]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (series.first(), series.last()) else {
            return Ok(());
        };
        let pages = &self.catalog.pages;
        let mut rows = first.first_row..last.first_row + u64::from(last.n_rows);
        if self.reads_on && !pages.knows(rows.clone()) {
            rows = 0..pages.n_rows();
        }
        pages.load(&*self.block.files.samples, rows)
    }

    /// As [`Self::know_pages`], of runs of histograms.
    pub(super) fn know_runs(&self, runs: SeriesRuns) -> Result<(), Error> {
        let Some((file, _)) = self.block.histograms() else {
            return Ok(());
        };
        let rows = runs.first_run..runs.first_run + u64::from(runs.n_runs);
        self.catalog.histogram_pages.load(file, rows)
    }

    /// The first of some pages of a column, unpacked; the others are going to be asked for.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn page(
        &self,
        column: SampleColumn,
        pages: Range<usize>,
        fetched: &mut Fetched,
    ) -> Result<Arc<Page>, Error> {
        let page_idx = pages.start;
        if let Some(page) = fetched.page(column, page_idx) {
            return Ok(Arc::clone(page));
        }
        let place = self.place(column, page_idx);
        if !place.place.has_values && place.kind == RowKind::Optional {
            return Ok(Arc::new(Page::without_values(place.n_rows())));
        }
        let page = match self.cache.and_then(|cache| cache.get(place.key)) {
            Some(page) => page,
            None => {
                let bytes = self.bytes(&place, column, pages, fetched)?;
                self.unpack(&place, &bytes)?
            }
        };
        fetched.keep(column, page_idx, &page);
        Ok(page)
    }

    /// The bytes of the first of some pages, which is `page`.
    fn bytes(
        &self,
        page: &PageOfFile<'_>,
        column: SampleColumn,
        pages: Range<usize>,
        fetched: &mut Fetched,
    ) -> Result<Bytes, Error> {
        if let Some(bytes) = fetched.bytes(column, page.place) {
            return Ok(bytes);
        }
        let table = &self.catalog.pages;
        let end = if self.reads_on { table.n_pages() } else { pages.end };
        let is_cached = |page_idx: usize| {
            let key = PageKey::new(self.block.cache_key, column as u8, page_idx);
            self.cache.is_some_and(|cache| cache.holds(key))
        };
        let n_bytes = bytes_together(table, column, pages.start..end, is_cached);
        let read = page.read(usize::try_from(n_bytes).unwrap_or(usize::MAX))?;
        fetched.keep_bytes(column, page.place.offset, read);
        Ok(fetched.bytes(column, page.place).unwrap_or_default())
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
        self.unpack(page, &page.read(page.place.n_bytes as usize)?)
    }

    /// Unpacks the bytes of a page and keeps it in the cache.
    fn unpack(&self, page: &PageOfFile<'_>, bytes: &[u8]) -> Result<Arc<Page>, Error> {
        if crc32c(bytes) != page.place.crc32c {
            let what = format!(
                "the checksum of a page of {} is not that of its content",
                page.name
            );
            return Err(damaged(page.file, page.place.offset, what));
        }
        let parsed = Page::parse(bytes, page.n_rows(), page.kind);
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
    fn n_rows(&self) -> usize {
        usize::try_from(self.rows.end - self.rows.start).unwrap_or(usize::MAX)
    }

    /// The `n_bytes` from its beginning on.
    fn read(&self, n_bytes: usize) -> Result<Bytes, Error> {
        let read = self.file.read_at(self.place.offset, n_bytes);
        read.map_err(|source| read_error(self.file, source))
    }

    fn damaged(&self, error: PageError) -> Error {
        let what = format!("a page of {} does not decode: {error}", self.name);
        damaged(self.file, self.place.offset, what)
    }
}
