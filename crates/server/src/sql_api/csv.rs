//! Rows as CSV (RFC 4180): a line of names, then a line per row. NULL is an empty cell, an empty text is `""`.

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, SchemaRef};

const FORMAT: FormatOptions<'static> = FormatOptions::new();

/// Appends the line of names.
pub(super) fn push_head(csv: &mut String, schema: &SchemaRef) {
    for (position, field) in schema.fields().iter().enumerate() {
        if position > 0 {
            csv.push(',');
        }
        push_cell(csv, field.name());
    }
    csv.push_str("\r\n");
}

/// Appends the rows of a batch.
///
/// # Errors
/// A value that cannot be shown.
pub(super) fn push_rows(csv: &mut String, batch: &RecordBatch) -> Result<(), ArrowError> {
    let columns: Result<Vec<_>, ArrowError> = batch
        .columns()
        .iter()
        .map(|column| {
            let is_text = matches!(
                column.data_type(),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            );
            Ok((column, is_text, ArrayFormatter::try_new(&**column, &FORMAT)?))
        })
        .collect();
    let columns = columns?;
    for row in 0..batch.num_rows() {
        for (position, (column, is_text, shown)) in columns.iter().enumerate() {
            if position > 0 {
                csv.push(',');
            }
            if column.is_null(row) {
                continue;
            }
            let cell = shown.value(row).try_to_string()?;
            if *is_text && cell.is_empty() {
                csv.push_str("\"\"");
            } else {
                push_cell(csv, &cell);
            }
        }
        csv.push_str("\r\n");
    }
    Ok(())
}

fn push_cell(csv: &mut String, text: &str) {
    let is_plain = !text.contains(['"', ',', '\n', '\r']);
    if is_plain {
        csv.push_str(text);
        return;
    }
    csv.push('"');
    csv.push_str(&text.replace('"', "\"\""));
    csv.push('"');
}
