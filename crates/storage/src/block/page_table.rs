//! The table of pages that stands in a file behind its last row group: for those who want a few pages of many.
//!
//! Parquet's own index of pages comes by column, as a whole, and without checksums. Here what is known of a page stands
//! in one place for all columns, in sections of a few pages that are read, and checked, one by one.
//!
//! ```text
//! page table: the sections, then the directory; the manifest says where
//! directory:  by section   varint pages, varint rows, varint bytes, u32 CRC-32C of its bytes
//! section:    by column    varint offset of its first page + 1, or 0: none has a page here
//!             by page      varint rows, zigzag oldest timestamp (from that of the page before), varint newest - oldest
//!               by column that has pages   varint bytes, u32 CRC-32C of page and header
//! ```
//!
//! Pages of a column lie one after the other in a section: none goes over the end of a row group. Numbers of four bytes
//! are little-endian.

use codec::checksum::crc32c;
use codec::varint;
use model::TimestampMs;
use parquet::errors::ParquetError;

use super::manifest::PageTableSummary;
use super::page::PAGE_ROWS_MAX;

/// Pages of a section at most: whoever wants one page reads what is known of so many.
const SECTION_PAGES: usize = 24;

/// A page of one column: bytes with its header, and their CRC-32C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PagePiece {
    pub(super) n_bytes: u32,
    pub(super) crc32c: u32,
}

/// The pages of one column in a row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnPieces {
    /// Where the first one is.
    pub(super) offset: u64,
    /// By page; empty if no row of the row group has a value.
    pub(super) pieces: Vec<PagePiece>,
}

/// What all columns have in common of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageRange {
    pub(super) n_rows: u64,
    pub(super) oldest_ms: TimestampMs,
    pub(super) newest_ms: TimestampMs,
}

/// Puts the table of a file together.
#[derive(Debug, Default)]
pub(super) struct PageTableWriter {
    sections: Vec<u8>,
    directory: Vec<u8>,
}

impl PageTableWriter {
    /// Adds the pages of a row group.
    pub(super) fn push_row_group(&mut self, pages: &[PageRange], columns: &[ColumnPieces]) {
        for (section_idx, of_section) in pages.chunks(SECTION_PAGES).enumerate() {
            let first_page = section_idx * SECTION_PAGES;
            let start = self.sections.len();
            self.push_section(of_section, first_page, columns);
            let section = self.sections.get(start..).unwrap_or(&[]);
            varint::push_u64(&mut self.directory, of_section.len() as u64);
            let n_rows: u64 = of_section.iter().map(|page| page.n_rows).sum();
            varint::push_u64(&mut self.directory, n_rows);
            varint::push_u64(&mut self.directory, section.len() as u64);
            self.directory.extend(crc32c(section).to_le_bytes());
        }
    }

    fn push_section(&mut self, pages: &[PageRange], first_page: usize, columns: &[ColumnPieces]) {
        let bytes = &mut self.sections;
        for column in columns {
            let before = column.pieces.get(..first_page).unwrap_or(&[]);
            let n_before: u64 = before.iter().map(|piece| u64::from(piece.n_bytes)).sum();
            let offset = (!column.pieces.is_empty()).then(|| column.offset + n_before + 1);
            varint::push_u64(bytes, offset.unwrap_or(0));
        }
        let mut before_ms: TimestampMs = 0;
        for (page_idx, page) in (first_page..).zip(pages) {
            varint::push_u64(bytes, page.n_rows);
            varint::push_i64(bytes, page.oldest_ms.wrapping_sub(before_ms));
            varint::push_u64(bytes, page.newest_ms.wrapping_sub(page.oldest_ms).cast_unsigned());
            before_ms = page.oldest_ms;
            for piece in columns.iter().filter_map(|column| column.pieces.get(page_idx)) {
                varint::push_u64(bytes, u64::from(piece.n_bytes));
                bytes.extend(piece.crc32c.to_le_bytes());
            }
        }
    }

    /// The bytes of the table, and what the manifest says of it when it begins at `offset`.
    pub(super) fn finish(mut self, offset: u64) -> (Vec<u8>, PageTableSummary) {
        let summary = PageTableSummary {
            offset,
            sections_bytes: self.sections.len() as u64,
            directory_bytes: self.directory.len() as u64,
            directory_crc32c: crc32c(&self.directory),
        };
        self.sections.append(&mut self.directory);
        (self.sections, summary)
    }
}

/// A section, as the directory says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SectionPlace {
    pub(super) n_pages: usize,
    pub(super) n_rows: u64,
    pub(super) offset: u64,
    pub(super) n_bytes: usize,
    pub(super) crc32c: u32,
}

/// What bytes are that are no page table.
pub(super) type Wrong = &'static str;

/// The sections of a table, in their order.
///
/// # Errors
/// What is wrong with `directory`.
pub(super) fn read_directory(
    mut directory: &[u8],
    summary: PageTableSummary,
) -> Result<Vec<SectionPlace>, Wrong> {
    const ROWS_MAX: u64 = (SECTION_PAGES * PAGE_ROWS_MAX) as u64;
    let mut sections = Vec::new();
    let mut n_bytes_before: u64 = 0;
    while !directory.is_empty() {
        let n_pages = read_below(&mut directory, SECTION_PAGES as u64)?;
        let n_rows = read_below(&mut directory, ROWS_MAX)?;
        let n_bytes = read_below(&mut directory, summary.sections_bytes - n_bytes_before)?;
        sections.push(SectionPlace {
            n_pages: usize::try_from(n_pages).map_err(|_| TOO_MUCH)?,
            n_rows,
            offset: summary.offset.checked_add(n_bytes_before).ok_or(TOO_MUCH)?,
            n_bytes: usize::try_from(n_bytes).map_err(|_| TOO_MUCH)?,
            crc32c: read_crc(&mut directory)?,
        });
        n_bytes_before += n_bytes;
    }
    if n_bytes_before != summary.sections_bytes {
        return Err("the directory of pages does not cover its sections");
    }
    Ok(sections)
}

/// Calls `push` with each page of a section and the places of its columns (offset, piece), or none where no row has a
/// value.
///
/// # Errors
/// What is wrong with `bytes`.
pub(super) fn read_section(
    mut bytes: &[u8],
    place: SectionPlace,
    n_columns: usize,
    mut push: impl FnMut(PageRange, &[Option<(u64, PagePiece)>]),
) -> Result<(), Wrong> {
    let mut offsets: Vec<Option<u64>> = Vec::with_capacity(n_columns);
    for _ in 0..n_columns {
        offsets.push(read(&mut bytes)?.checked_sub(1));
    }
    let mut places = Vec::with_capacity(n_columns);
    let (mut before_ms, mut n_rows): (TimestampMs, u64) = (0, 0);
    for _ in 0..place.n_pages {
        let n_page_rows = read_below(&mut bytes, PAGE_ROWS_MAX as u64)?;
        let (delta_ms, rest) = varint::read_i64(bytes).map_err(|_| CUT)?;
        bytes = rest;
        let oldest_ms = before_ms.wrapping_add(delta_ms);
        let newest_ms = oldest_ms.wrapping_add(read(&mut bytes)?.cast_signed());
        before_ms = oldest_ms;
        if n_page_rows == 0 || newest_ms < oldest_ms {
            return Err("a page has no row, or ends before it begins");
        }
        n_rows += n_page_rows;
        places.clear();
        for offset in &mut offsets {
            let Some(offset) = offset else {
                places.push(None);
                continue;
            };
            let n_bytes = u32::try_from(read(&mut bytes)?).map_err(|_| TOO_MUCH)?;
            let crc32c = read_crc(&mut bytes)?;
            places.push(Some((*offset, PagePiece { n_bytes, crc32c })));
            *offset = offset.checked_add(u64::from(n_bytes)).ok_or(TOO_MUCH)?;
        }
        let range = PageRange {
            n_rows: n_page_rows,
            oldest_ms,
            newest_ms,
        };
        push(range, &places);
    }
    if n_rows != place.n_rows || !bytes.is_empty() {
        return Err("a section of the page table is not what the directory says");
    }
    Ok(())
}

const CUT: Wrong = "the page table ends too early";
const TOO_MUCH: Wrong = "the page table has an impossible number";

fn read(bytes: &mut &[u8]) -> Result<u64, Wrong> {
    let (value, rest) = varint::read_u64(bytes).map_err(|_| CUT)?;
    *bytes = rest;
    Ok(value)
}

fn read_below(bytes: &mut &[u8], max: u64) -> Result<u64, Wrong> {
    let value = read(bytes)?;
    if value > max { Err(TOO_MUCH) } else { Ok(value) }
}

fn read_crc(bytes: &mut &[u8]) -> Result<u32, Wrong> {
    let (crc, rest) = bytes.split_first_chunk::<4>().ok_or(CUT)?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*crc))
}

/// A row group that Parquet's writer has put somewhere it cannot be.
pub(super) fn misplaced() -> ParquetError {
    ParquetError::General("a row group has no place".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Group = (Vec<PageRange>, Vec<ColumnPieces>);

    fn group() -> impl Strategy<Value = Group> {
        let page =
            (1..=PAGE_ROWS_MAX as u64, any::<i64>(), any::<i64>()).prop_map(|(n_rows, a, b)| PageRange {
                n_rows,
                oldest_ms: a.min(b),
                newest_ms: a.max(b),
            });
        let piece = (any::<u32>(), any::<u32>());
        let column = (any::<bool>(), 0..1_u64 << 40, prop::collection::vec(piece, 70));
        let columns = prop::collection::vec(column, 3);
        (prop::collection::vec(page, 1..70), columns).prop_map(|(pages, columns)| {
            let columns = columns.into_iter().map(|(has_values, offset, pieces)| {
                let n_pieces = if has_values { pages.len() } else { 0 };
                let pieces = pieces.into_iter().take(n_pieces);
                let pieces = pieces.map(|(n_bytes, crc32c)| PagePiece { n_bytes, crc32c });
                ColumnPieces {
                    offset,
                    pieces: pieces.collect(),
                }
            });
            let columns = columns.collect();
            (pages, columns)
        })
    }

    proptest! {
        #[test]
        fn a_table_comes_back_section_by_section(groups in prop::collection::vec(group(), 0..4)) {
            let mut writer = PageTableWriter::default();
            for (pages, columns) in &groups {
                writer.push_row_group(pages, columns);
            }
            let (bytes, summary) = writer.finish(100);
            let (sections, directory) = bytes.split_at(summary.sections_bytes as usize);
            prop_assert_eq!(crc32c(directory), summary.directory_crc32c);
            let mut found = Vec::new();
            for place in read_directory(directory, summary).unwrap() {
                let start = (place.offset - 100) as usize;
                let section = &sections[start..start + place.n_bytes];
                prop_assert_eq!(crc32c(section), place.crc32c);
                let n_before = found.len();
                read_section(section, place, 3, |page, places| found.push((page, places.to_vec()))).unwrap();
                prop_assert_eq!(found.len() - n_before, place.n_pages);
            }
            let mut expected = Vec::new();
            for (pages, columns) in &groups {
                let mut offsets: Vec<u64> = columns.iter().map(|column| column.offset).collect();
                for (page_idx, page) in pages.iter().enumerate() {
                    let places = columns.iter().zip(&mut offsets).map(|(column, offset)| {
                        let piece = *column.pieces.get(page_idx)?;
                        let place = *offset;
                        *offset += u64::from(piece.n_bytes);
                        Some((place, piece))
                    });
                    expected.push((*page, places.collect::<Vec<_>>()));
                }
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_bytes_are_a_table_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), n_pages in 0..25_usize) {
            let summary = PageTableSummary {
                offset: 4,
                sections_bytes: 1_000,
                directory_bytes: bytes.len() as u64,
                directory_crc32c: 0,
            };
            drop(read_directory(&bytes, summary));
            let place = SectionPlace { n_pages, n_rows: 7, offset: 4, n_bytes: bytes.len(), crc32c: 0 };
            let is_read = read_section(&bytes, place, 5, |_, _| {}).is_ok();
            prop_assert!(!is_read || bytes.len() >= 5);
        }
    }
}
