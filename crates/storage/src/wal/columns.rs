//! Typed access to the columns of a decoded batch.

use std::sync::Arc;

use arrow_array::{Array, ListArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};

/// Column `idx` of the batch, as the schema promises it.
pub(crate) fn column<A: Array + 'static>(batch: &RecordBatch, idx: usize) -> Result<&A, String> {
    let column = batch.columns().get(idx);
    column
        .and_then(|column| column.as_any().downcast_ref())
        .ok_or_else(|| format!("column {idx} is missing or of another type"))
}

/// The field of what a list of texts holds.
pub(super) fn text_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Utf8, false))
}

/// A column of lists of texts.
pub(super) struct TextLists<'a> {
    offsets: &'a [i32],
    texts: &'a StringArray,
}

impl<'a> TextLists<'a> {
    pub(super) fn of(batch: &'a RecordBatch, idx: usize) -> Result<Self, String> {
        let lists = column::<ListArray>(batch, idx)?;
        let texts = lists.values().as_any().downcast_ref();
        Ok(Self {
            offsets: lists.value_offsets(),
            texts: texts.ok_or_else(|| format!("column {idx} holds no texts"))?,
        })
    }

    /// The texts of one row.
    pub(super) fn row(&self, row: usize) -> Result<Vec<&'a str>, String> {
        let bounds = self.offsets.get(row..).and_then(|rest| rest.get(..2));
        let Some([start, end]) = bounds else {
            return Err("a list is cut off".to_owned());
        };
        let range = usize::try_from(*start).ok().zip(usize::try_from(*end).ok());
        range
            .filter(|(start, end)| start <= end && *end <= self.texts.len())
            .map(|(start, end)| (start..end).map(|idx| self.texts.value(idx)).collect())
            .ok_or_else(|| "a list lies outside of its texts".to_owned())
    }
}
