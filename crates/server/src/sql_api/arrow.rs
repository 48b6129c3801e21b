//! Rows as a stream of Arrow IPC. Texts are plain `Utf8` in it, which every reader of Arrow knows.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};

/// Writes one stream.
pub(super) struct ArrowWriter {
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowWriter {
    /// A stream of batches with this schema.
    ///
    /// # Errors
    /// A type that the format does not have.
    pub(super) fn new(schema: &SchemaRef) -> Result<Self, ArrowError> {
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .map(|field| Field::new(field.name(), plain(field.data_type()), field.is_nullable()))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Self {
            writer: StreamWriter::try_new(Vec::new(), &schema)?,
            schema,
        })
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns: Result<Vec<ArrayRef>, ArrowError> = columns
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    return Ok(Arc::clone(column));
                }
                cast(column, field.data_type())
            })
            .collect();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns?, &options)?;
        self.writer.write(&batch)
    }

    /// Says that there is no more.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn finish(&mut self) -> Result<(), ArrowError> {
        self.writer.finish()
    }

    /// What has been written since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }
}

/// The type with views replaced by what they look at.
fn plain(data_type: &DataType) -> DataType {
    let inside = |field: &Field| field.clone().with_data_type(plain(field.data_type()));
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) => DataType::List(Arc::new(inside(field))),
        DataType::LargeList(field) => DataType::LargeList(Arc::new(inside(field))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| inside(field)).collect::<Fields>())
        }
        other => other.clone(),
    }
}
