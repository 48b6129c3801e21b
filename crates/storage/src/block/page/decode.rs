//! Reading pages.

use std::cell::RefCell;

use super::delta::DeltaReader;
use super::header::{Encoding, PageHeader};
use super::levels::Runs;
use super::lists::Lists;
use super::{PAGE_ROWS_MAX, PageError, floats};

thread_local! {
    /// By thread, because making one takes as long as unpacking a page does.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A page whose bytes were unpacked, but whose values were not decoded yet.
#[derive(Debug)]
pub(in crate::block) struct Page {
    encoding: Encoding,
    n_values: usize,
    runs: Option<Runs>,
    lists: Option<Lists>,
    values: Vec<u8>,
}

/// What the rows of a column have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::block) enum RowKind {
    /// A value each.
    Required,
    /// A value or none.
    Optional,
    /// A list of values each.
    List,
}

impl Page {
    /// The page that `bytes` are, which is to have `n_rows`.
    pub(in crate::block) fn parse(bytes: &[u8], n_rows: usize, kind: RowKind) -> Result<Self, PageError> {
        const WITHIN: PageError = PageError::Truncated("values");
        let (header, rest) = PageHeader::decode(bytes)?;
        let n_entries = header.n_entries as usize;
        if header.n_rows as usize != n_rows || n_entries > PAGE_ROWS_MAX {
            return Err(PageError::Invalid("number of rows"));
        }
        if kind != RowKind::List && (n_entries != n_rows || header.repetition_bytes != 0) {
            return Err(PageError::Invalid("number of values"));
        }
        if header.stored_bytes as usize != rest.len() {
            return Err(PageError::Invalid("length"));
        }
        let n_repetition = header.repetition_bytes as usize;
        let (repetition, rest) = rest.split_at_checked(n_repetition).ok_or(WITHIN)?;
        let (levels, stored) = rest.split_at_checked(header.level_bytes as usize).ok_or(WITHIN)?;
        let n_values = n_entries - header.n_nulls as usize;
        let (mut runs, mut lists) = (None, None);
        let n_expected = match kind {
            RowKind::Required => n_rows,
            RowKind::Optional => {
                let runs = runs.insert(Runs::default());
                runs.decode(levels, n_rows)?;
                runs.n_present()
            }
            RowKind::List => lists
                .insert(Lists::decode(repetition, levels, n_entries, n_rows)?)
                .n_values(),
        };
        if n_expected != n_values {
            return Err(PageError::Invalid("number of values"));
        }
        let value_bytes = header
            .uncompressed_bytes
            .checked_sub(header.level_bytes)
            .and_then(|n_bytes| n_bytes.checked_sub(header.repetition_bytes))
            .ok_or(WITHIN)?;
        let values = unpack(stored, value_bytes as usize, n_values, header.is_compressed)?;
        Ok(Self {
            encoding: header.encoding,
            n_values,
            runs,
            lists,
            values,
        })
    }

    /// A page of rows without a value.
    pub(in crate::block) fn without_values(n_rows: usize) -> Self {
        let mut runs = Runs::default();
        runs.push(n_rows, false);
        Self {
            encoding: Encoding::Plain,
            n_values: 0,
            runs: Some(runs),
            lists: None,
            values: Vec::new(),
        }
    }

    /// Which rows have a value; `None` if all have.
    pub(in crate::block) fn runs(&self) -> Option<&Runs> {
        self.runs.as_ref()
    }

    /// The lists of its rows; `None` if it is no column of lists.
    pub(in crate::block) fn lists(&self) -> Option<&Lists> {
        self.lists.as_ref()
    }

    /// Number of values.
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
        let levels = self.runs.as_ref().map_or(0, Runs::heap_bytes);
        let lists = self.lists.as_ref().map_or(0, Lists::heap_bytes);
        size_of::<Self>() + self.values.capacity() + levels + lists
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
    let unpacked = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(made) => made,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress(stored, n_bytes)
    });
    let values = unpacked.map_err(|_| INVALID)?;
    if values.len() == n_bytes {
        Ok(values)
    } else {
        Err(INVALID)
    }
}
