//! A Parquet file of a single row group that is written one column after the other.
//!
//! A column under way costs its writer about a megabyte: buffers of the page under way, the dictionary, the state of
//! the compression. A table of forty labels has them one at a time, not all at once.

use std::io::Write;
use std::sync::Arc;
use std::vec;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnPath;

use super::super::schema::{self, SeriesColumn};

/// Rows that are turned into a column at a time, and rows of a page.
pub(super) const BATCH_ROWS: usize = 16_384;

/// Room for the distinct values of a label: no column is to fall back to repeating them.
const DICTIONARY_BYTES_MAX: usize = 1 << 30;

/// The file, without a row yet.
pub(super) struct ColumnsFile<W: Write + Send> {
    file: SerializedFileWriter<W>,
    schema: SchemaRef,
}

/// Its row group under way.
pub(super) struct ColumnsWriter<'a, W: Write + Send> {
    row_group: SerializedRowGroupWriter<'a, W>,
    /// Of columns that are not written yet.
    writers: vec::IntoIter<ArrowColumnWriter>,
    schema: SchemaRef,
}

impl<W: Write + Send> ColumnsFile<W> {
    /// A file of the columns of `series.parquet` with labels of these names.
    pub(super) fn new(sink: W, label_names: &[String]) -> Result<Self, ParquetError> {
        let schema = Arc::new(series_schema(label_names));
        let mut properties = properties();
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let converter = ArrowSchemaConverter::new().with_coerce_types(properties.coerce_types());
        let of_file = converter.convert(&schema)?.root_schema_ptr();
        Ok(Self {
            file: SerializedFileWriter::new(sink, of_file, Arc::new(properties))?,
            schema,
        })
    }

    /// Begins the row group.
    pub(super) fn begin(&mut self) -> Result<ColumnsWriter<'_, W>, ParquetError> {
        let factory = ArrowRowGroupWriterFactory::new(&self.file, Arc::clone(&self.schema));
        Ok(ColumnsWriter {
            writers: factory.create_column_writers(0)?.into_iter(),
            row_group: self.file.next_row_group()?,
            schema: Arc::clone(&self.schema),
        })
    }

    /// Writes the footer.
    pub(super) fn close(self) -> Result<(), ParquetError> {
        self.file.close().map(drop)
    }
}

impl<W: Write + Send> ColumnsWriter<'_, W> {
    /// Writes the next column, which has these values.
    pub(super) fn push<T>(
        &mut self,
        mut values: impl Iterator<Item = T>,
        to_array: impl Fn(Vec<T>) -> ArrayRef,
    ) -> Result<(), ParquetError> {
        let field = self.schema.fields().len() - self.writers.len();
        let (Some(mut writer), Some(field)) = (self.writers.next(), self.schema.fields().get(field)) else {
            return Err(ParquetError::General("there is no such column".to_owned()));
        };
        loop {
            let batch: Vec<T> = values.by_ref().take(BATCH_ROWS).collect();
            if batch.is_empty() {
                break;
            }
            for leaf in compute_leaves(field, &to_array(batch))? {
                writer.write(&leaf)?;
            }
        }
        writer.close()?.append_to_row_group(&mut self.row_group)
    }

    /// Ends the row group, all of whose columns are written.
    pub(super) fn finish(self) -> Result<(), ParquetError> {
        self.row_group.close().map(drop)
    }
}

fn series_schema(label_names: &[String]) -> Schema {
    let own = SeriesColumn::ALL.into_iter().map(|column| {
        let kind = match column {
            SeriesColumn::SeriesId | SeriesColumn::EntityId => DataType::Int32,
            SeriesColumn::FirstRow | SeriesColumn::NRows | SeriesColumn::FirstRun | SeriesColumn::NRuns => {
                DataType::Int64
            }
            SeriesColumn::SameTimestamps => DataType::Boolean,
        };
        Field::new(column.name(), kind, false)
    });
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let labels = schema::label_columns(label_names.iter().map(String::as_str))
        .into_iter()
        .map(|name| Field::new(name, dictionary.clone(), true));
    Schema::new(own.chain(labels).collect::<Vec<Field>>())
}

fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(schema::CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(usize::MAX))
        .set_data_page_row_count_limit(BATCH_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX);
    for column in SeriesColumn::ALL {
        let path = ColumnPath::from(column.name());
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        if column != SeriesColumn::SameTimestamps {
            properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties.build()
}
