//! A file of pages: row groups are gathered in memory, column by column, and written one after the other.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;

use super::super::manifest::FileSummary;
use super::super::page_table::{ColumnPieces, PagePiece, PageTableWriter, misplaced};
use super::super::schema;
use super::chunk::{ColumnChunk, LimitsKept};
use super::sink::{CheckedSink, emptied};

/// A Parquet file whose pages are made elsewhere.
pub(super) struct PagedFile<W: Write + Send> {
    file: SerializedFileWriter<CheckedSink<W>>,
    /// By column.
    limits: Vec<LimitsKept>,
    /// The columns of the row group under way.
    pub(super) chunks: Vec<ColumnChunk>,
    /// Which column has the timestamps.
    timestamps_idx: usize,
    /// Of closed row groups.
    table: PageTableWriter,
}

impl<W: Write + Send> PagedFile<W> {
    /// A file without rows, which come sorted by some columns. Limits of pages are kept of some columns, among them that
    /// of timestamps.
    pub(super) fn new(
        sink: W,
        schema: TypePtr,
        sorted_by: &[i32],
        limits: Vec<LimitsKept>,
        timestamps_idx: usize,
    ) -> Result<Self, ParquetError> {
        let sorting = sorted_by.iter().map(|column_idx| SortingColumn {
            column_idx: *column_idx,
            descending: false,
            nulls_first: false,
        });
        let properties = WriterProperties::builder()
            .set_created_by(schema::CREATED_BY.to_owned())
            .set_sorting_columns(Some(sorting.collect()))
            .build();
        let file = SerializedFileWriter::new(CheckedSink::new(sink), schema, Arc::new(properties))?;
        let mut paged = Self {
            file,
            limits,
            chunks: Vec::new(),
            timestamps_idx,
            table: PageTableWriter::default(),
        };
        paged.chunks = paged.new_chunks(Vec::new());
        Ok(paged)
    }

    /// Writes the row group under way, which has a page.
    pub(super) fn end_row_group(&mut self) -> Result<(), ParquetError> {
        let chunks = std::mem::take(&mut self.chunks);
        let mut buffers = Vec::with_capacity(chunks.len());
        let ranges = chunks.get(self.timestamps_idx).map(ColumnChunk::page_ranges);
        let mut row_group = self.file.next_row_group()?;
        let mut pieces = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let (bytes, of_column, close) = chunk.close()?;
            pieces.push(of_column);
            let bytes = Bytes::from(bytes);
            row_group.append_column(&bytes, close)?;
            buffers.push(emptied(bytes));
        }
        let written = row_group.close()?;
        let place = |(pieces, column): (Vec<PagePiece>, &ColumnChunkMetaData)| {
            let offset = u64::try_from(column.data_page_offset()).map_err(|_| misplaced())?;
            Ok(ColumnPieces { offset, pieces })
        };
        let columns: Result<Vec<ColumnPieces>, ParquetError> =
            pieces.into_iter().zip(written.columns()).map(place).collect();
        self.table.push_row_group(&ranges.unwrap_or_default(), &columns?);
        self.chunks = self.new_chunks(buffers);
        Ok(())
    }

    /// Writes the page table and the footer.
    pub(super) fn finish(mut self) -> Result<(W, FileSummary), ParquetError> {
        let (table, page_table) = self.table.finish(self.file.bytes_written() as u64);
        self.file.write_all(&table)?;
        self.file.flush()?;
        self.file.inner_mut().begin_footer();
        let (sink, summary) = self.file.into_inner()?.into_parts();
        let page_table = Some(page_table);
        Ok((
            sink,
            FileSummary {
                page_table,
                ..summary
            },
        ))
    }

    /// Chunks without a page, which take over the buffers of those before if there are any.
    fn new_chunks(&self, buffers: Vec<Vec<u8>>) -> Vec<ColumnChunk> {
        let columns = self.file.schema_descr().columns().iter();
        let buffers = buffers.into_iter().chain(std::iter::repeat_with(Vec::new));
        columns
            .zip(&self.limits)
            .zip(buffers)
            .map(|((column, limits), buffer)| ColumnChunk::new(Arc::clone(column), *limits, buffer))
            .collect()
    }
}
