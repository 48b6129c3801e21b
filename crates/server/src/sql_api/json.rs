//! Rows as JSON: columns with their types once, then rows as arrays.
//!
//! ```json
//! {"data":{"columns":[{"name":"metric","type":"text"},{"name":"n","type":"integer"}],
//!          "rows":[["up",3],["go_goroutines",7]]},
//!  "stats":{"seriesSelected":10,"streamsSelected":10,"streamsRead":10,"samplesRead":2400},
//!  "status":"success"}
//! ```
//!
//! Times are RFC 3339, numbers that JSON does not have are `"NaN"`, `"+Inf"` and `"-Inf"` as elsewhere in the API,
//! integers are written out whatever their size. The status comes last: a statement may fail when rows have been
//! sent already.

use std::fmt::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use query::sql::SqlStats;

use crate::json::{push_string, push_strings};

/// Appends everything up to the first row.
pub(super) fn push_head(json: &mut String, schema: &SchemaRef) {
    json.push_str(r#"{"data":{"columns":["#);
    for (position, field) in schema.fields().iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        json.push_str(r#"{"name":"#);
        push_string(json, field.name());
        json.push_str(r#","type":"#);
        push_string(json, type_name(field.data_type()));
        json.push('}');
    }
    json.push_str(r#"],"rows":["#);
}

/// Appends the rows of a batch. `is_first` says that there is no row yet.
///
/// # Errors
/// A value that cannot be shown.
pub(super) fn push_rows(
    json: &mut String,
    batch: &RecordBatch,
    is_first: &mut bool,
) -> Result<(), ArrowError> {
    let columns: Result<Vec<Cells<'_>>, ArrowError> = batch
        .columns()
        .iter()
        .map(|column| Cells::of(&**column))
        .collect();
    let columns = columns?;
    for row in 0..batch.num_rows() {
        json.push_str(if *is_first { "\n[" } else { ",\n[" });
        *is_first = false;
        for (position, column) in columns.iter().enumerate() {
            if position > 0 {
                json.push(',');
            }
            column.push(json, row)?;
        }
        json.push(']');
    }
    Ok(())
}

/// Appends everything after the last row.
pub(super) fn push_tail(json: &mut String, stats: SqlStats, warnings: &[String]) {
    json.push_str(&format!(
        "]}},\"stats\":{{\"seriesSelected\":{},\"streamsSelected\":{},\"streamsRead\":{},\"samplesRead\":{}}},",
        stats.series_selected, stats.streams_selected, stats.streams_read, stats.samples_read
    ));
    if !warnings.is_empty() {
        json.push_str("\"warnings\":");
        push_strings(json, warnings);
        json.push(',');
    }
    json.push_str("\"status\":\"success\"}\n");
}

/// What a type is called for people.
fn type_name(data_type: &DataType) -> &'static str {
    use DataType as T;
    match data_type {
        T::Null => "null",
        T::Boolean => "boolean",
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => "integer",
        T::Float16 | T::Float32 | T::Float64 => "double",
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) => "decimal",
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "text",
        T::Timestamp(..) => "timestamp",
        T::Date32 | T::Date64 => "date",
        T::Time32(_) | T::Time64(_) => "time",
        T::Duration(_) | T::Interval(_) => "interval",
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => "binary",
        T::List(_) | T::LargeList(_) | T::FixedSizeList(..) | T::ListView(_) | T::LargeListView(_) => "list",
        T::Struct(_) => "struct",
        T::Map(..) => "map",
        T::Dictionary(_, values) => type_name(values),
        T::RunEndEncoded(_, values) => type_name(values.data_type()),
        T::Union(..) => "union",
    }
}

/// Values of one column, ready to be written one by one.
struct Cells<'a> {
    array: &'a dyn Array,
    kind: Kind<'a>,
}

enum Kind<'a> {
    /// A column of nothing.
    Null,
    /// What is shown is JSON already: integers and booleans.
    Bare(ArrayFormatter<'a>),
    /// What is shown needs quotes.
    Quoted(ArrayFormatter<'a>),
    Text,
    Double,
    Float,
    /// Lists, maps and structs.
    Nested(Box<dyn Fn(usize) -> Result<String, ArrowError> + 'a>),
}

/// Times as RFC 3339, everything else as arrow shows it.
const FORMAT: FormatOptions<'static> = FormatOptions::new();

impl<'a> Cells<'a> {
    fn of(array: &'a dyn Array) -> Result<Self, ArrowError> {
        use DataType as T;
        let shown = || ArrayFormatter::try_new(array, &FORMAT);
        let kind = match array.data_type() {
            T::Null => Kind::Null,
            T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 => Kind::Bare(shown()?),
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Kind::Bare(shown()?),
            T::Utf8 | T::LargeUtf8 | T::Utf8View => Kind::Text,
            T::Float64 => Kind::Double,
            T::Float32 => Kind::Float,
            T::List(_) => Kind::Nested(Box::new(move |row| list(&*array.as_list::<i32>().value(row)))),
            T::LargeList(_) => Kind::Nested(Box::new(move |row| list(&*array.as_list::<i64>().value(row)))),
            T::FixedSizeList(..) => {
                Kind::Nested(Box::new(move |row| list(&*array.as_fixed_size_list().value(row))))
            }
            T::Map(..) => Kind::Nested(Box::new(move |row| map(array, row))),
            T::Struct(_) => Kind::Nested(Box::new(move |row| structure(array, row))),
            _ => Kind::Quoted(shown()?),
        };
        Ok(Self { array, kind })
    }

    fn push(&self, json: &mut String, row: usize) -> Result<(), ArrowError> {
        if self.array.is_null(row) {
            json.push_str("null");
            return Ok(());
        }
        match &self.kind {
            Kind::Null => json.push_str("null"),
            Kind::Bare(shown) => json.push_str(&shown.value(row).try_to_string()?),
            Kind::Quoted(shown) => push_string(json, &shown.value(row).try_to_string()?),
            Kind::Text => push_string(json, text(self.array, row)),
            Kind::Double => push_float(json, self.array.as_primitive::<Float64Type>().value(row)),
            Kind::Float => push_float(
                json,
                f64::from(self.array.as_primitive::<Float32Type>().value(row)),
            ),
            Kind::Nested(value) => json.push_str(&value(row)?),
        }
        Ok(())
    }
}

fn text(array: &dyn Array, row: usize) -> &str {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row),
        _ => array.as_string_view().value(row),
    }
}

fn push_float(json: &mut String, value: f64) {
    if value.is_nan() {
        json.push_str("\"NaN\"");
    } else if value.is_infinite() {
        json.push_str(if value > 0.0 { "\"+Inf\"" } else { "\"-Inf\"" });
    } else {
        write!(json, "{value:?}").expect("writing to a String cannot fail");
    }
}

fn list(values: &dyn Array) -> Result<String, ArrowError> {
    let cells = Cells::of(values)?;
    let mut json = String::from("[");
    for row in 0..values.len() {
        if row > 0 {
            json.push(',');
        }
        cells.push(&mut json, row)?;
    }
    json.push(']');
    Ok(json)
}

fn structure(array: &dyn Array, row: usize) -> Result<String, ArrowError> {
    let array = array.as_struct();
    let mut json = String::from("{");
    for (position, (field, values)) in array.fields().iter().zip(array.columns()).enumerate() {
        if position > 0 {
            json.push(',');
        }
        push_string(&mut json, field.name());
        json.push(':');
        Cells::of(&**values)?.push(&mut json, row)?;
    }
    json.push('}');
    Ok(json)
}

fn map(array: &dyn Array, row: usize) -> Result<String, ArrowError> {
    let entries = array.as_map().value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    let shown = ArrayFormatter::try_new(&**keys, &FORMAT)?;
    let cells = Cells::of(&**values)?;
    let mut json = String::from("{");
    for entry in 0..entries.len() {
        if entry > 0 {
            json.push(',');
        }
        push_string(&mut json, &shown.value(entry).try_to_string()?);
        json.push(':');
        cells.push(&mut json, entry)?;
    }
    json.push('}');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_stand_before_the_status() {
        let mut json = String::from(r#"{"data":{"rows":["#);
        push_tail(&mut json, SqlStats::default(), &["a \"b\"".to_owned()]);
        let end = r#","warnings":["a \"b\""],"status":"success"}"#;
        assert!(json.trim_end().ends_with(end), "{json}");
        let mut json = String::new();
        push_tail(&mut json, SqlStats::default(), &[]);
        assert!(!json.contains("warnings"), "{json}");
    }
}
