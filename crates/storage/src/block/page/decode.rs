//! Reading pages.

use super::delta::DeltaReader;
use super::header::{Encoding, PageHeader};
use super::levels::Runs;
use super::{PAGE_ROWS_MAX, PageError, floats};

/// A page whose bytes were unpacked, but whose values were not decoded yet.
#[derive(Debug)]
pub(in crate::block) struct Page {
    encoding: Encoding,
    n_values: usize,
    runs: Option<Runs>,
    values: Vec<u8>,
}

impl Page {
    /// The page that `bytes` are, which is to have `n_rows`; of a column whose rows may lack a value if
    /// `is_optional`.
    pub(in crate::block) fn parse(bytes: &[u8], n_rows: usize, is_optional: bool) -> Result<Self, PageError> {
        const WITHIN: PageError = PageError::Truncated("values");
        let (header, rest) = PageHeader::decode(bytes)?;
        if header.n_rows as usize != n_rows || n_rows > PAGE_ROWS_MAX {
            return Err(PageError::Invalid("number of rows"));
        }
        if header.stored_bytes as usize != rest.len() {
            return Err(PageError::Invalid("length"));
        }
        let (levels, stored) = rest.split_at_checked(header.level_bytes as usize).ok_or(WITHIN)?;
        let n_values = n_rows - header.n_nulls as usize;
        let runs = if is_optional {
            let mut runs = Runs::default();
            runs.decode(levels, n_rows)?;
            Some(runs)
        } else {
            None
        };
        if runs.as_ref().map_or(n_rows, Runs::n_present) != n_values {
            return Err(PageError::Invalid("number of values"));
        }
        let value_bytes = header
            .uncompressed_bytes
            .checked_sub(header.level_bytes)
            .ok_or(WITHIN)?;
        let values = unpack(stored, value_bytes as usize, n_values, header.is_compressed)?;
        Ok(Self {
            encoding: header.encoding,
            n_values,
            runs,
            values,
        })
    }

    /// Which rows have a value; `None` if all have.
    pub(in crate::block) fn runs(&self) -> Option<&Runs> {
        self.runs.as_ref()
    }

    /// Number of rows with a value.
    pub(in crate::block) fn n_values(&self) -> usize {
        self.n_values
    }

    /// A reader of its integers.
    pub(in crate::block) fn integers(&self) -> Result<DeltaReader<'_>, PageError> {
        match self.encoding {
            Encoding::Delta => DeltaReader::new(&self.values, self.n_values),
            _ => Err(PageError::Invalid("encoding")),
        }
    }

    /// Fills `values` with the floats from the `start`-th on.
    pub(in crate::block) fn read_floats(&self, start: usize, values: &mut [f64]) -> Result<(), PageError> {
        match self.encoding {
            Encoding::Plain => floats::decode_plain(&self.values, start, values),
            Encoding::Split => floats::decode_split(&self.values, self.n_values, start, values),
            Encoding::Delta => Err(PageError::Invalid("encoding")),
        }
    }

    /// Bytes it takes in memory.
    pub(in crate::block) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.values.capacity() + self.runs.as_ref().map_or(0, Runs::heap_bytes)
    }
}

/// The values of a page as they were before compression.
fn unpack(stored: &[u8], n_bytes: usize, n_values: usize, is_compressed: bool) -> Result<Vec<u8>, PageError> {
    const INVALID: PageError = PageError::Invalid("compressed data");
    if !is_compressed {
        return if stored.len() == n_bytes {
            Ok(stored.to_vec())
        } else {
            Err(INVALID)
        };
    }
    // Integers of the worst kind take their own eight bytes, a ninth for the headers of blocks, and the last
    // miniblock is filled up.
    if n_bytes > (n_values + 128) * 9 {
        return Err(INVALID);
    }
    let values = zstd::bulk::decompress(stored, n_bytes).map_err(|_| INVALID)?;
    if values.len() == n_bytes {
        Ok(values)
    } else {
        Err(INVALID)
    }
}
