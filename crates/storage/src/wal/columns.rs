//! Typed access to the columns of a decoded batch.

use arrow_array::{Array, RecordBatch};

/// Column `idx` of the batch, as the schema promises it.
pub(crate) fn column<A: Array + 'static>(batch: &RecordBatch, idx: usize) -> Result<&A, String> {
    let column = batch.columns().get(idx);
    column
        .and_then(|column| column.as_any().downcast_ref())
        .ok_or_else(|| format!("column {idx} is missing or of another type"))
}
