//! Where the pages of `samples.parquet` and `histograms.parquet` are.

use std::io::Read;
use std::ops::Range;

use bytes::{Buf, Bytes};
use codec::checksum::crc32c;
use model::{TimeRange, TimestampMs};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length};

use super::super::manifest::FileSummary;
use super::super::page::PAGE_ROWS_MAX;
use super::super::range_read::RangeRead;
use super::super::schema::{HistogramColumn, PAGE_CHECKSUMS, SampleColumn};
use super::limits::page_limits;
use super::{damaged, read_error};
use crate::Error;

/// The pages of `samples.parquet`.
pub(super) type SamplePages = PageTable<{ SampleColumn::ALL.len() }>;

/// The pages of `histograms.parquet`.
pub(super) type HistogramPages = PageTable<{ HistogramColumn::N_ALL }>;

/// The pages of all columns, in the order of the rows. Pages of all columns begin at the same rows.
#[derive(Debug)]
pub(super) struct PageTable<const N: usize> {
    /// The first row of each page, and the number of rows at the end.
    first_rows: Vec<u64>,
    places: Vec<[PagePlace; N]>,
    /// By page, its oldest and newest timestamp, as far as that is known.
    limits: Vec<(TimestampMs, TimestampMs)>,
}

/// Where a page is stored.
#[derive(Debug, Clone, Copy, Default)]
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
        Self {
            first_rows: vec![0],
            places: Vec::new(),
            limits: Vec::new(),
        }
    }

    pub(super) fn n_rows(&self) -> u64 {
        self.first_rows.last().copied().unwrap_or(0)
    }

    pub(super) fn n_pages(&self) -> usize {
        self.places.len()
    }

    /// The rows of a page.
    pub(super) fn rows(&self, page_idx: usize) -> Range<u64> {
        let row = |idx: usize| self.first_rows.get(idx).copied().unwrap_or(u64::MAX);
        row(page_idx)..row(page_idx + 1)
    }

    /// The page that holds a row.
    pub(super) fn page_of(&self, row: u64) -> usize {
        self.first_rows
            .partition_point(|first_row| *first_row <= row)
            .saturating_sub(1)
    }

    /// Where the page of a column is, by its position among the columns.
    pub(super) fn place(&self, column: usize, page_idx: usize) -> PagePlace {
        let places = self.places.get(page_idx);
        let place = places.and_then(|places| places.get(column));
        place.copied().unwrap_or_default()
    }

    /// Those of some rows of one series that may lie in `range`: without the pages at their beginning that are all
    /// older, and those at their end that are all newer.
    pub(super) fn rows_within(&self, rows: Range<u64>, range: TimeRange) -> Range<u64> {
        let unknown = (TimestampMs::MIN, TimestampMs::MAX);
        let limits = |page_idx: usize| self.limits.get(page_idx).copied().unwrap_or(unknown);
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

    pub(super) fn heap_bytes(&self) -> usize {
        self.first_rows.capacity() * size_of::<u64>()
            + self.places.capacity() * size_of::<[PagePlace; N]>()
            + self.limits.capacity() * size_of::<(TimestampMs, TimestampMs)>()
    }
}

impl<const N: usize> PageTable<N> {
    /// Reads the footer of a file that is to have `n_rows`, if that is known, and these columns, by their positions in
    /// the table.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn load(
        file: &dyn RangeRead,
        summary: FileSummary,
        n_rows: Option<u64>,
        columns: &(impl ExactSizeIterator<Item = usize> + Clone),
    ) -> Result<Self, Error> {
        let start = summary.n_bytes.checked_sub(summary.footer_bytes);
        let length = usize::try_from(summary.footer_bytes).ok();
        let (Some(start), Some(length)) = (start, length) else {
            return Err(damaged(file, 0, "the manifest gives it an impossible footer"));
        };
        let bytes = file
            .read_at(start, length)
            .map_err(|source| read_error(file, source))?;
        if crc32c(&bytes) != summary.footer_crc32c {
            let what = "the checksum of the footer is not that of its content";
            return Err(damaged(file, start, what));
        }
        if n_rows == Some(0) {
            // There is no page index of no pages.
            return Ok(Self::empty());
        }
        let footer = Footer { start, bytes };
        let metadata = ParquetMetaDataReader::new()
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Required)
            .parse_and_finish(&footer)
            .map_err(|error| damaged(file, start, error))?;
        let pages: Self =
            page_table(&metadata, &footer, columns).map_err(|what| damaged(file, start, what))?;
        if n_rows.is_some_and(|n_rows| n_rows != pages.n_rows()) {
            return Err(damaged(
                file,
                start,
                "the number of rows is not that of the manifest",
            ));
        }
        Ok(pages)
    }
}

/// The table of pages, or what is wrong.
fn page_table<const N: usize>(
    metadata: &ParquetMetaData,
    footer: &Footer,
    columns: &(impl ExactSizeIterator<Item = usize> + Clone),
) -> Result<PageTable<N>, &'static str> {
    let end = footer.start;
    let checksums = metadata.file_metadata().key_value_metadata();
    let checksums = checksums.and_then(|pairs| pairs.iter().find(|pair| pair.key == PAGE_CHECKSUMS));
    let checksums = checksums.and_then(|pair| pair.value.as_deref());
    let mut checksums = checksums.ok_or("there are no checksums of pages")?.as_bytes();
    let offsets = metadata.offset_index().ok_or("there is no page index")?;
    let mut table = PageTable::empty();
    for (group, offsets) in metadata.row_groups().iter().zip(offsets) {
        let first_row = table.first_rows.pop().unwrap_or(0);
        let n_rows = u64::try_from(group.num_rows()).map_err(|_| "a number of rows is negative")?;
        let first_page = table.places.len();
        if group.num_columns() != columns.len() || offsets.len() != columns.len() {
            return Err("it has other columns");
        }
        for ((column_idx, slot), offsets) in columns.clone().enumerate().zip(offsets) {
            let pages = offsets.page_locations();
            if column_idx == 0 {
                for page in pages {
                    let row = u64::try_from(page.first_row_index).map_err(|_| "a row is negative")?;
                    table.first_rows.push(first_row + row);
                    table.places.push([PagePlace::default(); N]);
                }
            }
            let column = group.column(column_idx);
            let n_nulls = column
                .statistics()
                .and_then(parquet::file::statistics::Statistics::null_count_opt);
            let has_values = n_nulls.is_none() || n_nulls != u64::try_from(column.num_values()).ok();
            let rows = table.first_rows.get(first_page..).unwrap_or(&[]);
            let places = table.places.get_mut(first_page..).unwrap_or(&mut []);
            if pages.len() != places.len() {
                return Err("the columns have different numbers of pages");
            }
            for ((page, places), row) in pages.iter().zip(places).zip(rows) {
                let in_group = u64::try_from(page.first_row_index).ok();
                if in_group.map(|in_group| first_row + in_group) != Some(*row) {
                    return Err("the pages of its columns begin at different rows");
                }
                let place = page_place(page, &mut checksums, has_values)?;
                if place.offset + u64::from(place.n_bytes) > end {
                    return Err("a page lies behind the end");
                }
                if let Some(slot) = places.get_mut(slot) {
                    *slot = place;
                }
            }
        }
        table.first_rows.push(first_row + n_rows);
        if N == SampleColumn::ALL.len() {
            let n_pages = table.places.len() - first_page;
            let limits = timestamp_limits(group, footer, n_pages);
            table
                .limits
                .extend(limits.ok_or("the index of timestamps does not decode")?);
        }
    }
    let is_usual = |pair: &[u64]| match pair {
        [start, end] => start < end && end - start <= PAGE_ROWS_MAX as u64,
        _ => true,
    };
    if !table.first_rows.windows(2).all(is_usual) {
        return Err("a page has no row, or too many");
    }
    Ok(table)
}

/// By page of a row group, the oldest and the newest timestamp.
fn timestamp_limits(
    group: &RowGroupMetaData,
    footer: &Footer,
    n_pages: usize,
) -> Option<Vec<(TimestampMs, TimestampMs)>> {
    let column = group.columns().get(SampleColumn::Timestamp as usize)?;
    let offset = u64::try_from(column.column_index_offset()?).ok()?;
    let start = usize::try_from(offset.checked_sub(footer.start)?).ok()?;
    let length = usize::try_from(column.column_index_length()?).ok()?;
    page_limits(footer.bytes.get(start..start.checked_add(length)?)?, n_pages)
}

fn page_place(
    page: &PageLocation,
    checksums: &mut &[u8],
    has_values: bool,
) -> Result<PagePlace, &'static str> {
    let (digits, rest) = checksums
        .split_first_chunk::<8>()
        .ok_or("there are fewer checksums than pages")?;
    *checksums = rest;
    Ok(PagePlace {
        offset: u64::try_from(page.offset).map_err(|_| "a place is negative")?,
        n_bytes: u32::try_from(page.compressed_page_size).map_err(|_| "a length is negative")?,
        crc32c: parse_hex(*digits).ok_or("a checksum is no number")?,
        has_values,
    })
}

fn parse_hex(digits: [u8; 8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | digit)
    })
}

/// The end of a file as if it were all of it.
#[derive(Debug)]
struct Footer {
    start: u64,
    bytes: Bytes,
}

impl Footer {
    fn range(&self, start: u64) -> Result<Bytes, ParquetError> {
        let start = start
            .checked_sub(self.start)
            .and_then(|start| usize::try_from(start).ok());
        match start {
            Some(start) if start <= self.bytes.len() => Ok(self.bytes.slice(start..)),
            _ => Err(ParquetError::General("it points outside itself".to_owned())),
        }
    }
}

impl Length for Footer {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Footer {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(Box::new(self.range(start)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.range(start)?;
        if length > bytes.len() {
            return Err(ParquetError::General("it ends too early".to_owned()));
        }
        Ok(bytes.slice(..length))
    }
}
