//! The header of a page: `PageHeader` with a `DataPageHeaderV2`, in Thrift's compact protocol.
//!
//! Its fields always stand in the same order, so that one walk writes it and another reads it. Statistics stand in
//! the page index, and the checksum of a page in the page table, where it covers the header too.

use codec::varint;

use super::PageError;

/// What stands before the levels and values of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// Bytes of levels, and of values before compression.
    pub(super) uncompressed_bytes: u32,
    /// Bytes that follow: levels and values as stored.
    pub(super) stored_bytes: u32,
    pub(super) n_rows: u32,
    /// Values and what is missing of them: as many as rows, but in a column of lists.
    pub(super) n_entries: u32,
    /// Entries without a value.
    pub(super) n_nulls: u32,
    pub(super) encoding: Encoding,
    /// Of definition levels, which stand behind those of repetition.
    pub(super) level_bytes: u32,
    /// Of repetition levels.
    pub(super) repetition_bytes: u32,
    pub(super) is_compressed: bool,
}

/// How the values of a page are encoded, by Parquet's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::block) enum Encoding {
    Plain = 0,
    Delta = 5,
    Split = 9,
}

const I32: u8 = 5;
const STRUCT: u8 = 12;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const STOP: u8 = 0;

const DATA_PAGE_V2: u32 = 3;

impl PageHeader {
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let mut number = |value: u32| {
            bytes.push(1 << 4 | I32);
            varint::push_i64(bytes, i64::from(value));
        };
        number(DATA_PAGE_V2);
        number(self.uncompressed_bytes);
        number(self.stored_bytes);
        bytes.push(5 << 4 | STRUCT);
        let mut number = |value: u32| {
            bytes.push(1 << 4 | I32);
            varint::push_i64(bytes, i64::from(value));
        };
        number(self.n_entries);
        number(self.n_nulls);
        number(self.n_rows);
        number(self.encoding as u32);
        number(self.level_bytes);
        number(self.repetition_bytes);
        let kind = if self.is_compressed { TRUE } else { FALSE };
        bytes.extend([1 << 4 | kind, STOP, STOP]);
    }

    /// The header at the front of `bytes`, and what follows it.
    pub(super) fn decode(mut bytes: &[u8]) -> Result<(Self, &[u8]), PageError> {
        let reader = &mut bytes;
        if read_number(reader)? != DATA_PAGE_V2 {
            return Err(INVALID);
        }
        let uncompressed_bytes = read_number(reader)?;
        let stored_bytes = read_number(reader)?;
        expect(reader, 5 << 4 | STRUCT)?;
        let n_entries = read_number(reader)?;
        let n_nulls = read_number(reader)?;
        let n_rows = read_number(reader)?;
        let encoding = Encoding::of_number(read_number(reader)?).ok_or(INVALID)?;
        let level_bytes = read_number(reader)?;
        let repetition_bytes = read_number(reader)?;
        let is_compressed = match take(reader)? {
            kind if kind == 1 << 4 | TRUE => true,
            kind if kind == 1 << 4 | FALSE => false,
            _ => return Err(INVALID),
        };
        expect(reader, STOP)?;
        expect(reader, STOP)?;
        if n_nulls > n_entries || n_rows > n_entries {
            return Err(INVALID);
        }
        let header = Self {
            uncompressed_bytes,
            stored_bytes,
            n_rows,
            n_entries,
            n_nulls,
            encoding,
            level_bytes,
            repetition_bytes,
            is_compressed,
        };
        Ok((header, bytes))
    }
}

impl Encoding {
    fn of_number(number: u32) -> Option<Self> {
        [Self::Plain, Self::Delta, Self::Split]
            .into_iter()
            .find(|encoding| *encoding as u32 == number)
    }
}

const INVALID: PageError = PageError::Invalid("header");

fn take(bytes: &mut &[u8]) -> Result<u8, PageError> {
    let (first, rest) = bytes.split_first().ok_or(PageError::Truncated("header"))?;
    *bytes = rest;
    Ok(*first)
}

fn expect(bytes: &mut &[u8], expected: u8) -> Result<(), PageError> {
    if take(bytes)? == expected {
        Ok(())
    } else {
        Err(INVALID)
    }
}

fn read_number(bytes: &mut &[u8]) -> Result<u32, PageError> {
    expect(bytes, 1 << 4 | I32)?;
    let (number, rest) = varint::read_i64(bytes).map_err(|_| PageError::Truncated("header"))?;
    *bytes = rest;
    u32::try_from(number).map_err(|_| INVALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_and_cut_ones_are_errors() {
        let header = PageHeader {
            uncompressed_bytes: 70_000,
            stored_bytes: 300,
            n_rows: 8_192,
            n_entries: 9_000,
            n_nulls: 3,
            encoding: Encoding::Split,
            level_bytes: 12,
            repetition_bytes: 7,
            is_compressed: false,
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        bytes.push(77);
        assert_eq!(PageHeader::decode(&bytes), Ok((header, &[77][..])));
        for n_bytes in 0..bytes.len() - 1 {
            assert!(PageHeader::decode(&bytes[..n_bytes]).is_err(), "{n_bytes}");
        }
    }
}
