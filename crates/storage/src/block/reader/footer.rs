//! What Parquet's footer says of pages: all there was before version 4, and what other readers go by.

use std::io::Read;

use bytes::{Buf, Bytes};
use codec::checksum::crc32c;
use model::TimestampMs;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length};

use super::super::manifest::FileSummary;
use super::super::page::PAGE_ROWS_MAX;
use super::super::range_read::RangeRead;
use super::super::schema::{PAGE_CHECKSUMS, SampleColumn};
use super::limits::page_limits;
use super::table::{PagePlace, PageTable, TablePage};
use super::{damaged, read_error};
use crate::Error;

impl<const N: usize> PageTable<N> {
    /// The pages of a file of an older version with these columns, by their positions in the table: reads its footer.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn of_footer(
        file: &dyn RangeRead,
        summary: FileSummary,
        columns: &[usize],
    ) -> Result<Self, Error> {
        let footer = Footer::read(file, summary)?;
        let damaged = |what: &dyn std::fmt::Display| damaged(file, footer.start, what);
        let metadata = footer.metadata().map_err(|error| damaged(&error))?;
        page_table(&metadata, &footer, columns).map_err(|what| damaged(&what))
    }

    /// Compares what the footer says of the pages with what this table says, all of which is known.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn check_footer(
        &self,
        file: &dyn RangeRead,
        summary: FileSummary,
        columns: &[usize],
    ) -> Result<(), Error> {
        let footer = Footer::read(file, summary)?;
        let damaged = |what: &dyn std::fmt::Display| damaged(file, footer.start, what);
        let metadata = footer.metadata().map_err(|error| damaged(&error))?;
        let same = self.is_of(&metadata, columns);
        match same {
            Some(true) => Ok(()),
            Some(false) | None => Err(damaged(&"the footer has other pages than the page table")),
        }
    }

    /// True if the pages of these columns are the same; none if there is no page index.
    fn is_of(&self, metadata: &ParquetMetaData, columns: &[usize]) -> Option<bool> {
        let mut known = self.pages().peekable();
        let mut first_row = 0;
        for (group, offsets) in metadata.row_groups().iter().zip(metadata.offset_index()?) {
            let end_row = first_row + u64::try_from(group.num_rows()).ok()?;
            let mut of_group = Vec::new();
            while let Some(page) = known.next_if(|page| page.first_row < end_row) {
                of_group.push(page);
            }
            for (column, offsets) in columns.iter().zip(offsets) {
                let places = of_group.iter().filter_map(|page| {
                    let place = page.places.get(*column).filter(|place| place.has_values)?;
                    Some((page.first_row, place.offset, place.n_bytes))
                });
                let found = offsets.page_locations().iter().map(|page| {
                    let row = u64::try_from(page.first_row_index).ok()?;
                    let n_bytes = u32::try_from(page.compressed_page_size).ok()?;
                    Some((first_row + row, u64::try_from(page.offset).ok()?, n_bytes))
                });
                let has_values = places.clone().next().is_some();
                if has_values && !places.map(Some).eq(found) {
                    return Some(false);
                }
            }
            first_row = end_row;
        }
        Some(first_row == self.n_rows() && known.next().is_none())
    }
}

/// The table of pages, or what is wrong.
fn page_table<const N: usize>(
    metadata: &ParquetMetaData,
    footer: &Footer,
    columns: &[usize],
) -> Result<PageTable<N>, &'static str> {
    let checksums = metadata.file_metadata().key_value_metadata();
    let checksums = checksums.and_then(|pairs| pairs.iter().find(|pair| pair.key == PAGE_CHECKSUMS));
    let checksums = checksums.and_then(|pair| pair.value.as_deref());
    let mut checksums = checksums.ok_or("there are no checksums of pages")?.as_bytes();
    let offsets = metadata.offset_index().ok_or("there is no page index")?;
    let (mut pages, mut n_rows) = (Vec::new(), 0);
    for (group, offsets) in metadata.row_groups().iter().zip(offsets) {
        if group.num_columns() != columns.len() || offsets.len() != columns.len() {
            return Err("it has other columns");
        }
        let locations = offsets.iter().map(|offsets| offsets.page_locations().as_slice());
        let mut of_group: Vec<TablePage<N>> = first_column(group, locations.clone().next(), footer, n_rows)?;
        for ((column_idx, slot), locations) in columns.iter().enumerate().zip(locations) {
            let column = group.column(column_idx);
            let n_nulls = column
                .statistics()
                .and_then(parquet::file::statistics::Statistics::null_count_opt);
            let has_values = n_nulls.is_none() || n_nulls != u64::try_from(column.num_values()).ok();
            if locations.len() != of_group.len() {
                return Err("the columns have different numbers of pages");
            }
            for (location, page) in locations.iter().zip(&mut of_group) {
                let in_group = u64::try_from(location.first_row_index).ok();
                if in_group.map(|in_group| n_rows + in_group) != Some(page.first_row) {
                    return Err("the pages of its columns begin at different rows");
                }
                let place = page_place(location, &mut checksums, has_values)?;
                if place.offset.saturating_add(u64::from(place.n_bytes)) > footer.start {
                    return Err("a page lies behind the end");
                }
                if let Some(slot) = page.places.get_mut(*slot) {
                    *slot = place;
                }
            }
        }
        n_rows += u64::try_from(group.num_rows()).map_err(|_| "a number of rows is negative")?;
        pages.append(&mut of_group);
    }
    let rows = pages.iter().map(|page| page.first_row);
    let ends = rows.clone().skip(1).chain([n_rows]);
    let is_usual = |(start, end): (u64, u64)| start < end && end - start <= PAGE_ROWS_MAX as u64;
    if !rows.zip(ends).all(is_usual) {
        return Err("a page has no row, or too many");
    }
    Ok(PageTable::of_pages(pages, n_rows))
}

/// The pages of a row group, whose first column has these: their rows and times, not yet their places.
fn first_column<const N: usize>(
    group: &RowGroupMetaData,
    locations: Option<&[PageLocation]>,
    footer: &Footer,
    first_row: u64,
) -> Result<Vec<TablePage<N>>, &'static str> {
    let locations = locations.unwrap_or(&[]);
    let limits = if N == SampleColumn::ALL.len() {
        timestamp_limits(group, footer, locations.len()).ok_or("the index of timestamps does not decode")?
    } else {
        vec![(TimestampMs::MIN, TimestampMs::MAX); locations.len()]
    };
    let pages = locations
        .iter()
        .zip(limits)
        .map(|(location, (oldest_ms, newest_ms))| {
            let row = u64::try_from(location.first_row_index).map_err(|_| "a row is negative")?;
            Ok(TablePage {
                first_row: first_row + row,
                oldest_ms,
                newest_ms,
                places: [PagePlace::default(); N],
            })
        });
    pages.collect()
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
    /// Reads the footer of a file.
    fn read(file: &dyn RangeRead, summary: FileSummary) -> Result<Self, Error> {
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
        Ok(Self { start, bytes })
    }

    fn metadata(&self) -> Result<ParquetMetaData, ParquetError> {
        ParquetMetaDataReader::new()
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Required)
            .parse_and_finish(self)
    }

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
