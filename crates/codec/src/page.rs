//! A page: timestamps and the columns that share them, in one run of bytes.
//!
//! ```text
//! bits 0-1 of the first byte: width of the offsets (0: 1, 1: 2, 2: 4 bytes)
//! varint number of rows, varint number of columns
//! offsets: one more than there are columns, little-endian, counted from behind the offsets:
//!   where the timestamps end and column 0 begins, then where each column ends
//! timestamps, see `deltas`
//! columns, see `column`; a column without bytes has no value in any row
//! ```
//!
//! A column is found by its offset and decoded without touching the others.

use crate::column::{ColumnEncoder, ColumnReader};
use crate::presence::Presence;
use crate::{Error, deltas, varint};

/// The most rows a page can have.
pub const ROWS_MAX: usize = 1 << 16;

/// The most columns a page can have.
pub const COLUMNS_MAX: usize = 1 << 16;

/// Encodes pages: [`begin`](Self::begin), [`push`](Self::push) per column, [`finish`](Self::finish). Keeps its
/// allocations from page to page.
#[derive(Debug, Default)]
pub struct PageWriter {
    encoder: ColumnEncoder,
    n_rows: usize,
    body: Vec<u8>,
    ends: Vec<usize>,
    page: Vec<u8>,
}

impl PageWriter {
    /// Begins a page with these timestamps; a page that was not finished is dropped.
    ///
    /// # Panics
    /// If there are more than [`ROWS_MAX`].
    pub fn begin(&mut self, timestamps_ms: &[i64]) {
        assert!(
            timestamps_ms.len() <= ROWS_MAX,
            "a page of {} rows",
            timestamps_ms.len()
        );
        self.n_rows = timestamps_ms.len();
        self.body.clear();
        self.ends.clear();
        deltas::encode(timestamps_ms, &mut self.body);
        self.ends.push(self.body.len());
    }

    /// Adds the next column: a value per row, of which those in absent rows do not matter.
    ///
    /// # Panics
    /// If there are not as many values as timestamps, or already [`COLUMNS_MAX`] columns.
    pub fn push(&mut self, values: &[f64], presence: Presence<'_>) {
        assert_eq!(values.len(), self.n_rows, "rows of a column");
        assert!(
            self.ends.len() <= COLUMNS_MAX,
            "a page of more than {COLUMNS_MAX} columns"
        );
        self.encoder.encode(values, presence, &mut self.body);
        self.ends.push(self.body.len());
    }

    /// The bytes of the page.
    ///
    /// # Panics
    /// If no page was begun.
    pub fn finish(&mut self) -> &[u8] {
        assert!(!self.ends.is_empty(), "no page was begun");
        let n_columns = self.ends.len() - 1;
        self.assemble(self.n_rows, n_columns)
    }

    fn assemble(&mut self, n_rows: usize, n_columns: usize) -> &[u8] {
        let width = OffsetWidth::for_offset(self.body.len());
        self.page.clear();
        self.page.push(width.code());
        varint::push_u64(&mut self.page, n_rows as u64);
        varint::push_u64(&mut self.page, n_columns as u64);
        for end in &self.ends {
            self.page.extend(end.to_le_bytes().iter().take(width.n_bytes()));
        }
        self.page.extend_from_slice(&self.body);
        &self.page
    }
}

/// A page, ready to be read. Copying it is cheap.
#[derive(Debug, Clone, Copy)]
pub struct PageReader<'a> {
    n_rows: usize,
    n_columns: usize,
    width: OffsetWidth,
    offsets: &'a [u8],
    body: &'a [u8],
}

impl<'a> PageReader<'a> {
    /// The page that `bytes` hold. Looks at its header only.
    ///
    /// # Errors
    /// Damaged bytes.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let (&code, rest) = bytes.split_first().ok_or(Error::Truncated {
            within: "a page header",
        })?;
        let width = OffsetWidth::from_code(code)?;
        let (n_rows, rest) = varint::read_count(rest, ROWS_MAX, "number of rows")?;
        let (n_columns, rest) = varint::read_count(rest, COLUMNS_MAX, "number of columns")?;
        let Some((offsets, body)) = rest.split_at_checked((n_columns + 1) * width.n_bytes()) else {
            return Err(Error::Truncated {
                within: "the offsets of a page",
            });
        };
        Ok(Self {
            n_rows,
            n_columns,
            width,
            offsets,
            body,
        })
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    #[must_use]
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Appends the timestamps of all rows.
    ///
    /// # Errors
    /// Damaged bytes; what was appended is then undefined.
    pub fn read_timestamps(&self, timestamps_ms: &mut Vec<i64>) -> Result<(), Error> {
        let n_before = timestamps_ms.len();
        timestamps_ms.resize(n_before + self.n_rows, 0);
        let appended = timestamps_ms.get_mut(n_before..).unwrap_or_default();
        deltas::decode(
            self.body,
            self.n_rows,
            &(0..self.n_rows),
            appended,
            u64::cast_signed,
        )
    }

    /// One column. A column that the page does not have has no values.
    ///
    /// # Errors
    /// Damaged bytes.
    #[inline]
    pub fn column(&self, column_idx: usize) -> Result<ColumnReader<'a>, Error> {
        if column_idx >= self.n_columns {
            return Ok(ColumnReader::absent(self.n_rows));
        }
        let start = self.width.offset(self.offsets, column_idx);
        let end = self.width.offset(self.offsets, column_idx + 1);
        if start == end {
            return Ok(ColumnReader::absent(self.n_rows));
        }
        // The bytes of the columns behind stay in sight: a decoder loads eight bytes at a time.
        let bytes = self.body.get(start..).ok_or(Error::Invalid {
            what: "column offset",
        })?;
        ColumnReader::open(bytes, self.n_rows)
    }
}

/// How many bytes an offset takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OffsetWidth {
    One,
    Two,
    Four,
}

impl OffsetWidth {
    fn for_offset(offset_max: usize) -> Self {
        match offset_max {
            0..0x100 => Self::One,
            0x100..0x1_0000 => Self::Two,
            _ => Self::Four,
        }
    }

    fn from_code(code: u8) -> Result<Self, Error> {
        match code {
            0 => Ok(Self::One),
            1 => Ok(Self::Two),
            2 => Ok(Self::Four),
            _ => Err(Error::Invalid { what: "page header" }),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::One => 0,
            Self::Two => 1,
            Self::Four => 2,
        }
    }

    fn n_bytes(self) -> usize {
        1 << self.code()
    }

    /// Offset number `offset_idx`; 0 when it is not there.
    #[inline]
    fn offset(self, offsets: &[u8], offset_idx: usize) -> usize {
        let bytes = offsets.get(offset_idx * self.n_bytes()..).unwrap_or_default();
        match self {
            Self::One => bytes.first().map_or(0, |byte| usize::from(*byte)),
            Self::Two => bytes
                .first_chunk()
                .map_or(0, |bytes| usize::from(u16::from_le_bytes(*bytes))),
            Self::Four => bytes
                .first_chunk()
                .map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize),
        }
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
