//! One column of the row group under way: its pages, encoded, and what the footer says of them.

use codec::checksum::crc32c;
use parquet::basic::{BoundaryOrder, Compression, Encoding as ParquetEncoding, Type};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::super::page::{EncodedPage, Encoding};

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
    pub(super) checksums: Vec<u32>,
}

/// The least and greatest values, by page and of all.
struct Limits {
    index: ColumnIndexBuilder,
    all: Option<(i64, i64)>,
    is_ascending: bool,
}

const ENCODINGS: [(Encoding, ParquetEncoding); 3] = [
    (Encoding::Plain, ParquetEncoding::PLAIN),
    (Encoding::Delta, ParquetEncoding::DELTA_BINARY_PACKED),
    (Encoding::Split, ParquetEncoding::BYTE_STREAM_SPLIT),
];

impl ColumnChunk {
    /// A chunk without a page, and with limits if it is a column of integers that is to have them.
    pub(super) fn new(column: ColumnDescPtr, has_limits: bool) -> Self {
        let limits = has_limits.then(|| Limits {
            index: ColumnIndexBuilder::new(column.physical_type()),
            all: None,
            is_ascending: true,
        });
        Self {
            column,
            bytes: Vec::new(),
            uncompressed_bytes: 0,
            n_rows: 0,
            n_entries: 0,
            n_nulls: 0,
            has_encoding: [false; ENCODINGS.len()],
            offsets: OffsetIndexBuilder::new(),
            limits,
            checksums: Vec::new(),
        }
    }

    /// Notes the page that now stands at the end of [`Self::bytes`], whose values are `integers` if it has limits.
    pub(super) fn note_page(&mut self, page: EncodedPage, integers: &[i64]) -> Result<(), ParquetError> {
        let start = self.bytes.len() - page.n_bytes;
        let n_bytes = i32::try_from(page.n_bytes)
            .map_err(|_| ParquetError::General("a page has more than 2 GiB".to_owned()))?;
        self.offsets.append_row_count(page.n_rows as i64);
        self.offsets.append_offset_and_size(start as i64, n_bytes);
        self.checksums
            .push(crc32c(self.bytes.get(start..).unwrap_or(&[])));
        self.uncompressed_bytes += page.uncompressed_bytes;
        for (has, (encoding, _)) in self.has_encoding.iter_mut().zip(ENCODINGS) {
            *has |= encoding == page.encoding;
        }
        self.n_rows += page.n_rows;
        self.n_entries += page.n_entries;
        self.n_nulls += page.n_nulls;
        let is_narrow = self.column.physical_type() == Type::INT32;
        if let Some(limits) = &mut self.limits {
            limits.note_page(integers, page.n_nulls, is_narrow);
        }
        Ok(())
    }

    /// What Parquet's writer needs to take the chunk over, and the chunk's bytes.
    pub(super) fn close(self) -> Result<(Vec<u8>, ColumnCloseResult), ParquetError> {
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
            column_index = Some(limits.build()?);
        }
        let result = ColumnCloseResult {
            bytes_written: self.bytes.len() as u64,
            rows_written: self.n_rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index,
            offset_index: Some(self.offsets.build()),
        };
        Ok((self.bytes, result))
    }
}

impl Limits {
    fn note_page(&mut self, values: &[i64], n_nulls: usize, is_narrow: bool) {
        let limits = values.iter().min().zip(values.iter().max());
        let Some((&least, &greatest)) = limits else {
            self.index.append(true, Vec::new(), Vec::new(), n_nulls as i64);
            return;
        };
        let bytes = |value: i64| {
            let bytes = value.to_le_bytes();
            bytes
                .get(..if is_narrow { 4 } else { 8 })
                .unwrap_or(&bytes)
                .to_vec()
        };
        self.index
            .append(false, bytes(least), bytes(greatest), n_nulls as i64);
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

    fn build(mut self) -> Result<parquet::file::page_index::column_index::ColumnIndexMetaData, ParquetError> {
        if self.is_ascending && self.all.is_some() {
            self.index.set_boundary_order(BoundaryOrder::ASCENDING);
        }
        self.index.build()
    }
}
