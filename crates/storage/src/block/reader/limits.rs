//! The oldest and newest timestamp of each page: the column index of that column.
//!
//! Parquet's own reader decodes the indexes of all columns or of none; only this one is of use here.
//!
//! ```text
//! ColumnIndex, Thrift's compact protocol: the fields in their order
//! 0x19 | list of booleans: pages without a value
//! 0x19 | list of binaries: least values        a list: length << 4 | kind, or 0xf0 | kind and the length as varint
//! 0x19 | list of binaries: greatest values     a binary: its length as varint, its bytes
//! ```

use codec::varint;
use model::TimestampMs;

/// The next field, a list.
const LIST_FIELD: u8 = 1 << 4 | 9;
const BINARY: u8 = 8;
/// The kinds of booleans.
const BOOLEANS: [u8; 2] = [1, 2];

/// By page, the oldest and the newest timestamp; none if this is no such index of `n_pages`.
pub(super) fn page_limits(mut bytes: &[u8], n_pages: usize) -> Option<Vec<(TimestampMs, TimestampMs)>> {
    let (kind, n_booleans) = read_list(&mut bytes)?;
    bytes = bytes.get(n_booleans..)?;
    if !BOOLEANS.contains(&kind) || n_booleans != n_pages {
        return None;
    }
    let oldest = read_timestamps(&mut bytes, n_pages)?;
    let newest = read_timestamps(&mut bytes, n_pages)?;
    Some(oldest.into_iter().zip(newest).collect())
}

/// The kind and length of a list.
fn read_list(bytes: &mut &[u8]) -> Option<(u8, usize)> {
    let [field, header, rest @ ..] = bytes else {
        return None;
    };
    *bytes = rest;
    if *field != LIST_FIELD {
        return None;
    }
    let length = match header >> 4 {
        0xf => read_length(bytes)?,
        length => usize::from(length),
    };
    Some((header & 0xf, length))
}

fn read_timestamps(bytes: &mut &[u8], n_pages: usize) -> Option<Vec<TimestampMs>> {
    if read_list(bytes)? != (BINARY, n_pages) {
        return None;
    }
    let mut timestamps_ms = Vec::new();
    for _ in 0..n_pages {
        let length = read_length(bytes)?;
        let (value, rest) = bytes.split_at_checked(length)?;
        timestamps_ms.push(TimestampMs::from_le_bytes(value.try_into().ok()?));
        *bytes = rest;
    }
    Some(timestamps_ms)
}

fn read_length(bytes: &mut &[u8]) -> Option<usize> {
    let (length, rest) = varint::read_u64(bytes).ok()?;
    *bytes = rest;
    usize::try_from(length).ok()
}
