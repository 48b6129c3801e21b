//! Rows as a table for people.

use std::io::{self, Write};

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, SchemaRef};

/// A cell longer than this is cut: labels of a mesh are long, and screens are not.
const CELL_CHARS_MAX: usize = 60;

/// Rows that are kept to find out how wide the columns are; later rows have to fit.
const SAMPLED_ROWS: usize = 1000;

const FORMAT: FormatOptions<'static> = FormatOptions::new();

/// Writes a table. The widths of its columns follow from its first rows.
#[derive(Debug)]
pub(super) struct TableWriter {
    names: Vec<String>,
    is_number: Vec<bool>,
    kept: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
    n_rows: usize,
}

impl TableWriter {
    /// A table with these columns.
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self {
            names: schema.fields().iter().map(|field| cell(field.name())).collect(),
            is_number: schema
                .fields()
                .iter()
                .map(|field| field.data_type().is_numeric())
                .collect(),
            kept: Vec::new(),
            widths: None,
            n_rows: 0,
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A value that cannot be shown, or nobody to write to.
    pub(super) fn push(&mut self, batch: &RecordBatch, out: &mut impl Write) -> anyhow::Result<()> {
        let columns: Result<Vec<_>, ArrowError> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(&**column, &FORMAT))
            .collect();
        let columns = columns?;
        for row in 0..batch.num_rows() {
            let cells: Result<Vec<String>, ArrowError> = columns
                .iter()
                .map(|column| Ok(cell(&column.value(row).try_to_string()?)))
                .collect();
            self.n_rows += 1;
            match &self.widths {
                Some(widths) => self.write_row(&cells?, widths, out)?,
                None => {
                    self.kept.push(cells?);
                    if self.kept.len() == SAMPLED_ROWS {
                        self.write_kept(out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what is left, and how many rows it were.
    ///
    /// # Errors
    /// Nobody to write to.
    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.widths.is_none() {
            self.write_kept(out)?;
        }
        let rows = if self.n_rows == 1 { "row" } else { "rows" };
        writeln!(out, "({} {rows})", self.n_rows)
    }

    fn write_kept(&mut self, out: &mut impl Write) -> io::Result<()> {
        let widths = (0..self.names.len()).map(|column| {
            let cells = self.kept.iter().map(|row| &row[column]);
            let widths = cells
                .chain([&self.names[column]])
                .map(|cell| cell.chars().count());
            widths.max().unwrap_or(0)
        });
        let widths: Vec<usize> = widths.collect();
        self.write_row(&self.names, &widths, out)?;
        let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        writeln!(out, "{}", rules.join("-+-"))?;
        for row in std::mem::take(&mut self.kept) {
            self.write_row(&row, &widths, out)?;
        }
        self.widths = Some(widths);
        Ok(())
    }

    fn write_row(&self, cells: &[String], widths: &[usize], out: &mut impl Write) -> io::Result<()> {
        let mut line = String::new();
        for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
            if column > 0 {
                line.push_str(" | ");
            }
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            if self.is_number[column] {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
        }
        writeln!(out, "{}", line.trim_end())
    }
}

/// A text on one line that is not too long.
fn cell(text: &str) -> String {
    let visible = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char });
    if text.chars().count() <= CELL_CHARS_MAX {
        return visible.collect();
    }
    visible.take(CELL_CHARS_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn a_table_is_aligned_and_says_how_long_it_is() {
        let metric: ArrayRef = Arc::new(StringArray::from(vec!["up", "a\nb", &"x".repeat(100)]));
        let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(300)]));
        let batch = RecordBatch::try_from_iter([("metric", metric), ("n", n)]).unwrap();
        let mut table = TableWriter::new(&batch.schema());
        let mut out = Vec::new();
        table.push(&batch, &mut out).unwrap();
        table.finish(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("metric{} |   n", " ".repeat(54)));
        assert_eq!(lines[2], format!("up{} |   1", " ".repeat(58)));
        assert_eq!(lines[3], format!("a b{} |", " ".repeat(57)));
        assert!(lines[4].starts_with("xxx") && lines[4].ends_with("x… | 300"));
        assert_eq!(lines[5], "(3 rows)");
    }
}
