//! One column of the row group under way: its pages, encoded, and what the footer says of them.

use codec::checksum::crc32c;
use parquet::basic::{BoundaryOrder, Compression, Encoding as ParquetEncoding, Type};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::super::page::{EncodedPage, Encoding, Levels, PAGE_ROWS_MAX, PageEncoder, Runs};
use super::super::page_table::{PagePiece, PageRange};

/// Pages of one column.
pub(super) struct ColumnChunk {
    column: ColumnDescPtr,
    pub(super) bytes: Vec<u8>,
    uncompressed_bytes: usize,
    n_rows: usize,
    n_entries: usize,
    n_nulls: usize,
    has_encoding: [bool; ENCODINGS.len()],
    offsets: OffsetIndexBuilder,
    /// Of columns whose order is of use to anybody.
    limits: Option<Limits>,
    /// Rows of pages without any value that are not written yet, as there may be none at all in the row group.
    held: Vec<usize>,
    /// By page, if they begin at the same rows as those of other columns.
    pieces: Vec<PagePiece>,
}

/// Of which parts of a column the least and the greatest value are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitsKept {
    None,
    OfRowGroups,
    OfPages,
}

/// The least and greatest values, by page if that is wanted, and of all.
struct Limits {
    index: Option<ColumnIndexBuilder>,
    pages: Vec<PageRange>,
    all: Option<(i64, i64)>,
    is_ascending: bool,
}

const ENCODINGS: [(Encoding, ParquetEncoding); 3] = [
    (Encoding::Plain, ParquetEncoding::PLAIN),
    (Encoding::Delta, ParquetEncoding::DELTA_BINARY_PACKED),
    (Encoding::Split, ParquetEncoding::BYTE_STREAM_SPLIT),
];

impl ColumnChunk {
    /// A chunk without a page, whose bytes go into `bytes`, which is empty. Limits are for columns of integers.
    pub(super) fn new(column: ColumnDescPtr, kept: LimitsKept, bytes: Vec<u8>) -> Self {
        let of_pages = || ColumnIndexBuilder::new(column.physical_type());
        let limits = (kept != LimitsKept::None).then(|| Limits {
            index: (kept == LimitsKept::OfPages).then(of_pages),
            pages: Vec::new(),
            all: None,
            is_ascending: true,
        });
        Self {
            column,
            bytes,
            uncompressed_bytes: 0,
            n_rows: 0,
            n_entries: 0,
            n_nulls: 0,
            has_encoding: [false; ENCODINGS.len()],
            offsets: OffsetIndexBuilder::new(),
            limits,
            held: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// Notes a page of rows without a value.
    pub(super) fn hold_nulls(&mut self, n_rows: usize) {
        self.held.push(n_rows);
    }

    /// Writes the pages without a value that were held, because one with values follows, or the row group has some.
    pub(super) fn write_nulls(&mut self, encoder: &mut PageEncoder) -> Result<(), ParquetError> {
        for n_rows in std::mem::take(&mut self.held) {
            self.write_null_page(n_rows, encoder)?;
        }
        Ok(())
    }

    /// Says that the row group ends. If it has no value at all, that is said in as few pages as possible, which nobody
    /// looks up.
    pub(super) fn end_nulls(&mut self, encoder: &mut PageEncoder) -> Result<(), ParquetError> {
        if !self.pieces.is_empty() {
            return self.write_nulls(encoder);
        }
        let mut n_left: usize = std::mem::take(&mut self.held).into_iter().sum();
        while n_left > 0 {
            let n_rows = n_left.min(PAGE_ROWS_MAX);
            self.write_null_page(n_rows, encoder)?;
            n_left -= n_rows;
        }
        self.pieces.clear();
        Ok(())
    }

    fn write_null_page(&mut self, n_rows: usize, encoder: &mut PageEncoder) -> Result<(), ParquetError> {
        let mut runs = Runs::default();
        runs.push(n_rows, false);
        let page = encoder.push_integers(&[], Levels::Some(&runs), &mut self.bytes)?;
        self.note_page(page, &[])
    }

    /// What there is to say of each page, if limits of its timestamps are kept.
    pub(super) fn page_ranges(&self) -> Vec<PageRange> {
        self.limits
            .as_ref()
            .map_or_else(Vec::new, |limits| limits.pages.clone())
    }

    /// Notes the page that now stands at the end of [`Self::bytes`], whose values are `integers` if it has limits.
    pub(super) fn note_page(&mut self, page: EncodedPage, integers: &[i64]) -> Result<(), ParquetError> {
        let start = self.bytes.len() - page.n_bytes;
        let n_bytes = i32::try_from(page.n_bytes)
            .map_err(|_| ParquetError::General("a page has more than 2 GiB".to_owned()))?;
        self.offsets.append_row_count(page.n_rows as i64);
        self.offsets.append_offset_and_size(start as i64, n_bytes);
        self.pieces.push(PagePiece {
            n_bytes: n_bytes.cast_unsigned(),
            crc32c: crc32c(self.bytes.get(start..).unwrap_or(&[])),
        });
        self.uncompressed_bytes += page.uncompressed_bytes;
        for (has, (encoding, _)) in self.has_encoding.iter_mut().zip(ENCODINGS) {
            *has |= encoding == page.encoding;
        }
        self.n_rows += page.n_rows;
        self.n_entries += page.n_entries;
        self.n_nulls += page.n_nulls;
        let is_narrow = self.column.physical_type() == Type::INT32;
        if let Some(limits) = &mut self.limits {
            limits.note_page(integers, &page, is_narrow);
        }
        Ok(())
    }

    /// The chunk's bytes, its pages, and what Parquet's writer needs to take it over.
    pub(super) fn close(self) -> Result<(Vec<u8>, Vec<PagePiece>, ColumnCloseResult), ParquetError> {
        let encodings = ENCODINGS.iter().zip(self.has_encoding);
        let mut encodings: Vec<ParquetEncoding> = encodings
            .filter(|(_, has)| *has)
            .map(|((_, encoding), _)| *encoding)
            .collect();
        encodings.push(ParquetEncoding::RLE);
        let mut metadata = ColumnChunkMetaData::builder(std::sync::Arc::clone(&self.column))
            .set_compression(Compression::ZSTD(Default::default()))
            .set_encodings(encodings)
            .set_total_compressed_size(self.bytes.len() as i64)
            .set_total_uncompressed_size(self.uncompressed_bytes as i64)
            .set_num_values(self.n_entries as i64)
            .set_data_page_offset(0);
        let mut column_index = None;
        if let Some(limits) = self.limits {
            metadata =
                metadata.set_statistics(limits.statistics(self.column.physical_type(), self.n_nulls as u64));
            column_index = limits.build().transpose()?;
        }
        let result = ColumnCloseResult {
            bytes_written: self.bytes.len() as u64,
            rows_written: self.n_rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index,
            offset_index: Some(self.offsets.build()),
        };
        Ok((self.bytes, self.pieces, result))
    }
}

impl Limits {
    fn note_page(&mut self, values: &[i64], page: &EncodedPage, is_narrow: bool) {
        let limits = values.iter().min().zip(values.iter().max());
        let Some((&least, &greatest)) = limits else {
            if let Some(index) = &mut self.index {
                index.append(true, Vec::new(), Vec::new(), page.n_nulls as i64);
            }
            return;
        };
        let bytes = |value: i64| {
            let bytes = value.to_le_bytes();
            bytes
                .get(..if is_narrow { 4 } else { 8 })
                .unwrap_or(&bytes)
                .to_vec()
        };
        if let Some(index) = &mut self.index {
            index.append(false, bytes(least), bytes(greatest), page.n_nulls as i64);
            self.pages.push(PageRange {
                n_rows: page.n_rows as u64,
                oldest_ms: least,
                newest_ms: greatest,
            });
        }
        self.is_ascending &= self.all.is_none_or(|(_, before)| before <= least);
        let (all_least, all_greatest) = self.all.unwrap_or((least, greatest));
        self.all = Some((all_least.min(least), all_greatest.max(greatest)));
    }

    fn statistics(&self, physical: Type, n_nulls: u64) -> Statistics {
        let (least, greatest) = self.all.unzip();
        if physical == Type::INT32 {
            // Series ids, which are that narrow.
            let narrow = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
            return Statistics::int32(narrow(least), narrow(greatest), None, Some(n_nulls), false);
        }
        Statistics::int64(least, greatest, None, Some(n_nulls), false)
    }

    fn build(self) -> Option<Result<ColumnIndexMetaData, ParquetError>> {
        let mut index = self.index?;
        if self.is_ascending && self.all.is_some() {
            index.set_boundary_order(BoundaryOrder::ASCENDING);
        }
        Some(index.build())
    }
}
