//! A file of pages: row groups are gathered in memory, column by column, and written one after the other.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;

use super::super::manifest::FileSummary;
use super::super::schema::{self, PAGE_CHECKSUMS};
use super::chunk::ColumnChunk;
use super::sink::CheckedSink;

/// A Parquet file whose pages are made elsewhere.
pub(super) struct PagedFile<W: Write + Send> {
    file: SerializedFileWriter<CheckedSink<W>>,
    /// By column, whether limits of its pages are kept.
    has_limits: Vec<bool>,
    /// The columns of the row group under way.
    pub(super) chunks: Vec<ColumnChunk>,
    /// Of all pages of closed row groups: by row group, column, page; eight hexadecimal digits each.
    checksums: String,
}

impl<W: Write + Send> PagedFile<W> {
    /// A file without rows, which come sorted by some columns.
    pub(super) fn new(
        sink: W,
        schema: TypePtr,
        sorted_by: &[i32],
        has_limits: Vec<bool>,
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
            has_limits,
            chunks: Vec::new(),
            checksums: String::new(),
        };
        paged.chunks = paged.new_chunks();
        Ok(paged)
    }

    /// Writes the row group under way, which has a page.
    pub(super) fn end_row_group(&mut self) -> Result<(), ParquetError> {
        let next = self.new_chunks();
        let chunks = std::mem::replace(&mut self.chunks, next);
        let mut row_group = self.file.next_row_group()?;
        for chunk in chunks {
            self.checksums
                .extend(chunk.checksums.iter().map(|checksum| format!("{checksum:08x}")));
            let (bytes, close) = chunk.close()?;
            row_group.append_column(&Bytes::from(bytes), close)?;
        }
        row_group.close()?;
        Ok(())
    }

    /// Writes the footer.
    pub(super) fn finish(mut self) -> Result<(W, FileSummary), ParquetError> {
        self.file.append_key_value_metadata(KeyValue {
            key: PAGE_CHECKSUMS.to_owned(),
            value: Some(self.checksums),
        });
        self.file.flush()?;
        self.file.inner_mut().begin_footer();
        Ok(self.file.into_inner()?.into_parts())
    }

    fn new_chunks(&self) -> Vec<ColumnChunk> {
        let columns = self.file.schema_descr().columns().iter();
        columns
            .zip(&self.has_limits)
            .map(|(column, has_limits)| ColumnChunk::new(Arc::clone(column), *has_limits))
            .collect()
    }
}
