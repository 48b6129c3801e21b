//! Note records: what other parts of the program want to find again after a restart.
//!
//! | column | type | |
//! |---|---|---|
//! | `name` | Utf8 | |
//! | `text` | Utf8 | empty: there is no such note any more |

use std::sync::{Arc, LazyLock};

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use super::columns::column;
use super::ipc;
use super::record::{Payload, RecordEncoder, RecordKind};

/// Notes of one record: a few hundred bytes each at most.
const NOTES_MAX: usize = 4 << 10;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, false),
    ]))
});

/// Name and text of a note.
pub type Note = (String, String);

/// Encodes notes as records.
///
/// # Errors
/// If Arrow refuses a batch.
pub(crate) fn encode_notes(notes: &[Note], encoder: &mut RecordEncoder) -> Result<Vec<Payload>, ArrowError> {
    let encode = |notes: &[Note]| {
        let names = StringArray::from_iter_values(notes.iter().map(|(name, _)| name));
        let texts = StringArray::from_iter_values(notes.iter().map(|(_, text)| text));
        let columns: Vec<arrow_array::ArrayRef> = vec![Arc::new(names), Arc::new(texts)];
        let batch = RecordBatch::try_new(SchemaRef::clone(&SCHEMA), columns)?;
        encoder.encode(RecordKind::Notes, &batch)
    };
    notes.chunks(NOTES_MAX).map(encode).collect()
}

/// Reads a note record.
pub(crate) fn decode_notes(payload: &[u8]) -> Result<Vec<Note>, String> {
    let batch = ipc::decode(payload, &SCHEMA)?;
    let names = column::<StringArray>(&batch, 0)?.iter();
    let texts = column::<StringArray>(&batch, 1)?.iter();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Ok(names
        .zip(texts)
        .map(|(name, content)| (text(name), text(content)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_back_in_as_many_records_as_it_takes() {
        let notes: Vec<Note> = (0..NOTES_MAX + 1)
            .map(|number| (format!("note {number}"), "x".repeat(number % 300)))
            .collect();
        let mut encoder = RecordEncoder::new().unwrap();
        let payloads = encode_notes(&notes, &mut encoder).unwrap();
        assert_eq!(payloads.len(), 2);
        let read = payloads
            .iter()
            .flat_map(|payload| decode_notes(payload.bytes()).unwrap());
        assert_eq!(read.collect::<Vec<_>>(), notes);
        assert!(encode_notes(&[], &mut encoder).unwrap().is_empty());
    }
}
