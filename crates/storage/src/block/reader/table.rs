//! Where the pages of `samples.parquet` and `histograms.parquet` are.
//!
//! A block of a day has ten thousands of pages, and most queries want few of them: what is known of pages is read in
//! sections, when somebody first asks for one of them, and kept. Before version 4 all of it stood in the footer.

use std::ops::Range;
use std::sync::OnceLock;

use codec::checksum::crc32c;
use model::{TimeRange, TimestampMs};

use super::super::manifest::{FileSummary, PageTableSummary};
use super::super::page_table::{PagePiece, PageRange, SectionPlace, read_directory, read_section};
use super::super::range_read::RangeRead;
use super::super::schema::{HistogramColumn, SampleColumn};
use super::{damaged, read_error};
use crate::Error;

/// The pages of `samples.parquet`.
pub(super) type SamplePages = PageTable<{ SampleColumn::ALL.len() }>;

/// The pages of `histograms.parquet`.
pub(super) type HistogramPages = PageTable<{ HistogramColumn::N_ALL }>;

/// The pages of all columns, in the order of the rows. Pages of all columns begin at the same rows.
///
/// Of rows for which [`Self::load`] was not called nothing is known but which section they are in.
#[derive(Debug)]
pub(super) struct PageTable<const N: usize> {
    sections: Vec<Section<N>>,
    n_rows: u64,
    n_pages: usize,
    /// The positions in this table of the columns that the file has.
    columns: Vec<usize>,
    /// Pages lie before it.
    end: u64,
}

/// Pages that are looked up together.
#[derive(Debug)]
struct Section<const N: usize> {
    first_row: u64,
    first_page: usize,
    place: Option<SectionPlace>,
    pages: OnceLock<Vec<TablePage<N>>>,
}

/// What is known of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct TablePage<const N: usize> {
    pub(super) first_row: u64,
    pub(super) oldest_ms: TimestampMs,
    pub(super) newest_ms: TimestampMs,
    pub(super) places: [PagePlace; N],
}

/// Where a page is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PagePlace {
    pub(super) offset: u64,
    /// With its header.
    pub(super) n_bytes: u32,
    pub(super) crc32c: u32,
    /// False when no row of its row group has a value: then there is no need to read it.
    pub(super) has_values: bool,
}

impl<const N: usize> PageTable<N> {
    /// Without a page.
    pub(super) fn empty() -> Self {
        Self::of_pages(Vec::new(), 0)
    }

    /// Of pages of which all is known.
    pub(super) fn of_pages(pages: Vec<TablePage<N>>, n_rows: u64) -> Self {
        let n_pages = pages.len();
        let section = Section {
            first_row: 0,
            first_page: 0,
            place: None,
            pages: OnceLock::from(pages),
        };
        Self {
            sections: vec![section],
            n_rows,
            n_pages,
            columns: Vec::new(),
            end: 0,
        }
    }

    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    pub(super) fn n_pages(&self) -> usize {
        self.n_pages
    }

    /// The rows of a page.
    pub(super) fn rows(&self, page_idx: usize) -> Range<u64> {
        if page_idx >= self.n_pages {
            return self.n_rows..u64::MAX;
        }
        let (section_idx, page) = self.find(page_idx);
        let start = page.map_or(self.n_rows, |page| page.first_row);
        let section = self.sections.get(section_idx);
        let following = section.and_then(|section| section.page(page_idx + 1));
        let next_section = || {
            self.sections
                .get(section_idx + 1)
                .map(|section| section.first_row)
        };
        let end = following.map(|page| page.first_row).or_else(next_section);
        start..end.unwrap_or(self.n_rows)
    }

    /// The page that holds a row.
    pub(super) fn page_of(&self, row: u64) -> usize {
        let section = self.sections.get(self.section_of(row));
        section.map_or(0, |section| {
            let pages = section.pages.get().map_or(&[][..], Vec::as_slice);
            let after = pages.partition_point(|page| page.first_row <= row);
            section.first_page + after.saturating_sub(1)
        })
    }

    /// Where the page of a column is, by its position among the columns.
    pub(super) fn place(&self, column: usize, page_idx: usize) -> PagePlace {
        let (_, page) = self.find(page_idx);
        let place = page.and_then(|page| page.places.get(column));
        place.copied().unwrap_or_default()
    }

    /// Those of some rows of one series that may lie in `range`: without the pages at their beginning that are all
    /// older, and those at their end that are all newer.
    pub(super) fn rows_within(&self, rows: Range<u64>, range: TimeRange) -> Range<u64> {
        let limits = |page_idx: usize| {
            let (_, page) = self.find(page_idx);
            page.map_or((TimestampMs::MIN, TimestampMs::MAX), |page| {
                (page.oldest_ms, page.newest_ms)
            })
        };
        let Range { mut start, mut end } = rows;
        let mut page_idx = self.page_of(start);
        while start < end && limits(page_idx).1 <= range.start_ms {
            start = self.rows(page_idx).end.min(end);
            page_idx += 1;
        }
        let mut page_idx = self.page_of(end.saturating_sub(1));
        while start < end && limits(page_idx).0 > range.end_ms {
            end = self.rows(page_idx).start.max(start);
            page_idx = page_idx.saturating_sub(1);
        }
        start..end
    }

    /// All pages that are known.
    pub(super) fn pages(&self) -> impl Iterator<Item = &TablePage<N>> {
        let sections = self.sections.iter().filter_map(|section| section.pages.get());
        sections.flatten()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let known = self.sections.iter().filter_map(|section| section.pages.get());
        let known: usize = known.map(Vec::capacity).sum();
        self.sections.capacity() * size_of::<Section<N>>() + known * size_of::<TablePage<N>>()
    }

    /// True when nothing would have to be read to know the pages of some rows.
    pub(super) fn knows(&self, rows: Range<u64>) -> bool {
        !self.sections_of(rows).iter().any(Section::is_unknown)
    }

    fn sections_of(&self, rows: Range<u64>) -> &[Section<N>] {
        if rows.is_empty() {
            return &[];
        }
        let sections = self.section_of(rows.start)..=self.section_of(rows.end - 1);
        self.sections.get(sections).unwrap_or(&[])
    }

    fn section_of(&self, row: u64) -> usize {
        let after = self.sections.partition_point(|section| section.first_row <= row);
        after.saturating_sub(1)
    }

    /// The section of a page, and the page if it is known.
    fn find(&self, page_idx: usize) -> (usize, Option<&TablePage<N>>) {
        let after = self
            .sections
            .partition_point(|section| section.first_page <= page_idx);
        let section_idx = after.saturating_sub(1);
        let section = self.sections.get(section_idx);
        (section_idx, section.and_then(|section| section.page(page_idx)))
    }
}

impl<const N: usize> Section<N> {
    fn is_unknown(&self) -> bool {
        self.pages.get().is_none()
    }

    fn page(&self, page_idx: usize) -> Option<&TablePage<N>> {
        self.pages.get()?.get(page_idx.checked_sub(self.first_page)?)
    }
}

impl<const N: usize> PageTable<N> {
    /// Opens the table of a file with these columns, by their positions in the table; reads its directory.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn open(
        file: &dyn RangeRead,
        summary: FileSummary,
        table: PageTableSummary,
        columns: Vec<usize>,
    ) -> Result<Self, Error> {
        let start = table.offset.checked_add(table.sections_bytes);
        let end = start.and_then(|start| start.checked_add(table.directory_bytes));
        let length = usize::try_from(table.directory_bytes).ok();
        let (Some(start), Some(length)) = (start.filter(|_| end <= Some(summary.n_bytes)), length) else {
            return Err(damaged(file, 0, "the manifest gives it an impossible page table"));
        };
        let bytes = read(file, start, length)?;
        if crc32c(&bytes) != table.directory_crc32c {
            let what = "the checksum of the directory of pages is not that of its content";
            return Err(damaged(file, start, what));
        }
        let places = read_directory(&bytes, table).map_err(|what| damaged(file, start, what))?;
        let (mut n_rows, mut n_pages) = (0, 0);
        let sections = places.into_iter().map(|place| {
            let section = Section {
                first_row: n_rows,
                first_page: n_pages,
                place: Some(place),
                pages: OnceLock::new(),
            };
            n_rows += place.n_rows;
            n_pages += place.n_pages;
            section
        });
        Ok(Self {
            sections: sections.collect(),
            n_rows,
            n_pages,
            columns,
            end: table.offset,
        })
    }

    /// Knows the pages of some rows: reads what is not known yet.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn load(&self, file: &dyn RangeRead, rows: Range<u64>) -> Result<(), Error> {
        let mut rest = self.sections_of(rows);
        while let Some(start) = rest.iter().position(Section::is_unknown) {
            rest = rest.get(start..).unwrap_or(&[]);
            let n_unknown = rest.iter().take_while(|section| section.is_unknown()).count();
            let (unknown, known) = rest.split_at(n_unknown);
            self.load_sections(file, unknown)?;
            rest = known;
        }
        Ok(())
    }

    /// Reads sections that lie one after the other.
    fn load_sections(&self, file: &dyn RangeRead, sections: &[Section<N>]) -> Result<(), Error> {
        let places = || sections.iter().filter_map(|section| section.place);
        let Some(start) = places().next().map(|place| place.offset) else {
            return Ok(());
        };
        let length = places().map(|place| place.n_bytes).sum();
        let bytes = read(file, start, length)?;
        let mut rest = &bytes[..];
        for section in sections {
            let Some(place) = section.place else { continue };
            let (own, after) = rest.split_at_checked(place.n_bytes).unwrap_or((rest, &[]));
            rest = after;
            if crc32c(own) != place.crc32c {
                let what = "the checksum of a section of the page table is not that of its content";
                return Err(damaged(file, place.offset, what));
            }
            let pages = self
                .decode(own, section.first_row, place)
                .map_err(|what| damaged(file, place.offset, what))?;
            // Another reader may have been faster.
            section.pages.get_or_init(|| pages);
        }
        Ok(())
    }

    fn decode(
        &self,
        bytes: &[u8],
        first_row: u64,
        place: SectionPlace,
    ) -> Result<Vec<TablePage<N>>, &'static str> {
        let (mut pages, mut is_behind) = (Vec::with_capacity(place.n_pages), false);
        let mut row = first_row;
        let push = |range: PageRange, of_columns: &[Option<(u64, PagePiece)>]| {
            let mut places = [PagePlace::default(); N];
            for (column, found) in self.columns.iter().zip(of_columns) {
                let (Some(place), Some((offset, piece))) = (places.get_mut(*column), *found) else {
                    continue;
                };
                is_behind |= offset.saturating_add(u64::from(piece.n_bytes)) > self.end;
                *place = PagePlace {
                    offset,
                    n_bytes: piece.n_bytes,
                    crc32c: piece.crc32c,
                    has_values: true,
                };
            }
            pages.push(TablePage {
                first_row: row,
                oldest_ms: range.oldest_ms,
                newest_ms: range.newest_ms,
                places,
            });
            row += range.n_rows;
        };
        read_section(bytes, place, self.columns.len(), push)?;
        if is_behind {
            return Err("a page lies behind the end");
        }
        Ok(pages)
    }
}

fn read(file: &dyn RangeRead, start: u64, length: usize) -> Result<bytes::Bytes, Error> {
    let read = file.read_at(start, length);
    read.map_err(|source| read_error(file, source))
}
