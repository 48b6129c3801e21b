//! Results in one of the formats, piece by piece.

use std::fmt;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use query::sql::SqlStats;

use super::arrow::ArrowWriter;
use super::{csv, json};
use crate::error::{ApiError, ErrorKind};

/// How rows are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlFormat {
    /// One document: columns with types, rows as arrays.
    Json,
    /// A line of names and a line per row.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

/// Formats with what `format=` calls them and the media type they have.
const FORMATS: [(SqlFormat, &str, &str); 3] = [
    (SqlFormat::Json, "json", "application/json"),
    (SqlFormat::Csv, "csv", "text/csv"),
    (SqlFormat::Arrow, "arrow", "application/vnd.apache.arrow.stream"),
];

impl SqlFormat {
    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = FORMATS.iter().find(|(_, other, _)| *other == name);
        found.map(|(format, ..)| *format)
    }

    /// The format of this media type.
    pub(super) fn of_media_type(media_type: &str) -> Option<Self> {
        let found = FORMATS
            .iter()
            .find(|(_, _, other)| other.eq_ignore_ascii_case(media_type));
        found.map(|(format, ..)| *format)
    }

    /// What the answer's head says.
    pub(super) fn content_type(self) -> &'static str {
        let found = FORMATS.iter().find(|(format, ..)| *format == self);
        match found {
            Some((SqlFormat::Csv, ..)) => "text/csv; charset=utf-8; header=present",
            Some((_, _, media_type)) => media_type,
            None => "application/octet-stream",
        }
    }
}

/// Writes one result: [`Self::push`] for each batch, then [`Self::finish`].
pub struct SqlWriter {
    bytes: Vec<u8>,
    kind: Kind,
}

enum Kind {
    Json { is_first: bool },
    Csv,
    Arrow(Box<ArrowWriter>),
}

impl SqlWriter {
    /// For a result with these columns.
    ///
    /// # Errors
    /// A type that the format does not have.
    pub fn new(format: SqlFormat, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let mut head = String::new();
        let kind = match format {
            SqlFormat::Json => {
                json::push_head(&mut head, schema);
                Kind::Json { is_first: true }
            }
            SqlFormat::Csv => {
                csv::push_head(&mut head, schema);
                Kind::Csv
            }
            SqlFormat::Arrow => Kind::Arrow(Box::new(ArrowWriter::new(schema)?)),
        };
        Ok(Self {
            bytes: head.into_bytes(),
            kind,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A value that the format does not have.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut text = String::new();
        match &mut self.kind {
            Kind::Json { is_first } => json::push_rows(&mut text, batch, is_first)?,
            Kind::Csv => csv::push_rows(&mut text, batch)?,
            Kind::Arrow(writer) => return writer.push(batch),
        }
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Ends a result that is whole. Only JSON has a place for statistics and warnings.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(&mut self, stats: SqlStats, warnings: &[String]) -> Result<(), ArrowError> {
        match &mut self.kind {
            Kind::Json { .. } => {
                let mut tail = String::new();
                json::push_tail(&mut tail, stats, warnings);
                self.bytes.extend_from_slice(tail.as_bytes());
            }
            Kind::Csv => {}
            Kind::Arrow(writer) => writer.finish()?,
        }
        Ok(())
    }

    /// Ends a result that stopped half-way. False if the format has no way to say so: the reader has to be cut off.
    pub(super) fn fail(&mut self, error: &ApiError) -> bool {
        let Kind::Json { .. } = self.kind else {
            return false;
        };
        let mut tail = String::from("]},");
        error.push_members(&mut tail);
        tail.push_str("}\n");
        self.bytes.extend_from_slice(tail.as_bytes());
        true
    }

    /// What has been written since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        match &mut self.kind {
            Kind::Arrow(writer) => writer.take(),
            Kind::Json { .. } | Kind::Csv => std::mem::take(&mut self.bytes),
        }
    }
}

impl fmt::Debug for SqlWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlWriter").finish_non_exhaustive()
    }
}

/// A value that cannot be written down.
pub(super) fn unwritable(error: &ArrowError) -> ApiError {
    ApiError::new(
        ErrorKind::Execution,
        format!("the result cannot be written: {error}"),
    )
}
