//! Integers of variable length: seven bits per byte, lowest first, the top bit set on all bytes but the last
//! (LEB128, as in Protocol Buffers). Signed ones are zigzag-mapped first, so that small magnitudes are short.

use crate::Error;

/// The longest form of a 64-bit integer.
pub const VARINT_BYTES_MAX: usize = 10;

/// Appends `value`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "seven bits at a time are what is wanted"
)]
pub fn push_u64(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Appends all of `values`, one after the other: faster than one by one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "seven bits at a time are what is wanted"
)]
pub fn push_all_u64(bytes: &mut Vec<u8>, values: &[u64]) {
    const CHUNK_LEN: usize = 16;
    for chunk in values.chunks(CHUNK_LEN) {
        let mut written = [0; CHUNK_LEN * VARINT_BYTES_MAX];
        let mut free = written.iter_mut();
        for value in chunk {
            let mut value = *value;
            while value >= 0x80 {
                if let Some(slot) = free.next() {
                    *slot = value as u8 | 0x80;
                }
                value >>= 7;
            }
            if let Some(slot) = free.next() {
                *slot = value as u8;
            }
        }
        let n_free = free.len();
        bytes.extend_from_slice(written.get(..written.len() - n_free).unwrap_or_default());
    }
}

/// Appends `value`, zigzag-mapped.
pub fn push_i64(bytes: &mut Vec<u8>, value: i64) {
    push_u64(bytes, zigzag(value));
}

/// The integer at the front of `bytes`, and the bytes behind it.
///
/// # Errors
/// [`Error::Truncated`], or [`Error::Invalid`] when it does not fit into 64 bits. Forms with needless zero bytes
/// at the end are read.
#[inline]
pub fn read_u64(bytes: &[u8]) -> Result<(u64, &[u8]), Error> {
    match bytes.split_first() {
        Some((&byte, rest)) if byte < 0x80 => Ok((u64::from(byte), rest)),
        _ => read_long(bytes),
    }
}

/// The zigzag-mapped integer at the front of `bytes`, and the bytes behind it.
///
/// # Errors
/// As [`read_u64`].
#[inline]
pub fn read_i64(bytes: &[u8]) -> Result<(i64, &[u8]), Error> {
    let (value, rest) = read_u64(bytes)?;
    Ok((unzigzag(value), rest))
}

/// As [`read_u64`], for counts and positions: more than `max` is refused.
///
/// # Errors
/// As [`read_u64`], and [`Error::Invalid`] above `max`.
pub fn read_count<'a>(bytes: &'a [u8], max: usize, what: &'static str) -> Result<(usize, &'a [u8]), Error> {
    let (value, rest) = read_u64(bytes)?;
    match usize::try_from(value) {
        Ok(count) if count <= max => Ok((count, rest)),
        _ => Err(Error::Invalid { what }),
    }
}

/// 0, -1, 1, -2 … as 0, 1, 2, 3 …
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Forms of up to eight bytes without a loop: find the last byte, cut behind it, close the gaps of the top bits.
#[inline]
fn read_long(bytes: &[u8]) -> Result<(u64, &[u8]), Error> {
    let Some(word) = bytes.first_chunk() else {
        return read_by_byte(bytes);
    };
    let word = u64::from_le_bytes(*word);
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return read_by_byte(bytes);
    }
    let n_bytes = ends.trailing_zeros() / 8 + 1;
    let sevens = word & (ends ^ (ends - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = (sevens & 0x007f_007f_007f_007f) | ((sevens & 0x7f00_7f00_7f00_7f00) >> 1);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    let value = (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4);
    Ok((value, bytes.get(n_bytes as usize..).unwrap_or_default()))
}

#[cold]
fn read_by_byte(bytes: &[u8]) -> Result<(u64, &[u8]), Error> {
    let mut value = 0_u64;
    let mut rest = bytes;
    for byte_idx in 0..VARINT_BYTES_MAX {
        let Some((&byte, after)) = rest.split_first() else {
            return Err(Error::Truncated { within: "a varint" });
        };
        rest = after;
        if byte_idx == VARINT_BYTES_MAX - 1 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * byte_idx);
        if byte < 0x80 {
            return Ok((value, rest));
        }
    }
    Err(Error::Invalid { what: "varint" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_into_64_bits_is_refused() {
        let mut bytes = vec![0xff; 9];
        bytes.push(0x01);
        assert_eq!(read_u64(&bytes), Ok((u64::MAX, &[][..])));
        bytes[9] = 0x02;
        assert_eq!(read_u64(&bytes), Err(Error::Invalid { what: "varint" }));
        bytes[9] = 0x81;
        bytes.push(0);
        assert_eq!(read_u64(&bytes), Err(Error::Invalid { what: "varint" }));
    }

    #[test]
    fn a_missing_end_is_an_error() {
        for n_bytes in 0..10 {
            let bytes = vec![0x80; n_bytes];
            assert_eq!(read_u64(&bytes), Err(Error::Truncated { within: "a varint" }));
        }
    }

    #[test]
    fn a_count_above_its_limit_is_refused() {
        assert_eq!(read_count(&[7], 7, "rows"), Ok((7, &[][..])));
        assert_eq!(read_count(&[8], 7, "rows"), Err(Error::Invalid { what: "rows" }));
    }

    proptest! {
        #[test]
        fn many_at_once_are_the_same_as_one_by_one(values in prop::collection::vec((any::<u64>(), 0_u32..64), 0..50)) {
            let values: Vec<u64> = values.into_iter().map(|(value, shift)| value >> shift).collect();
            let (mut at_once, mut one_by_one) = (vec![9], vec![9]);
            push_all_u64(&mut at_once, &values);
            values.iter().for_each(|value| push_u64(&mut one_by_one, *value));
            prop_assert_eq!(at_once, one_by_one);
        }

        #[test]
        fn every_integer_comes_back(value in any::<i64>(), shift in 0_u32..64, tail in prop::collection::vec(any::<u8>(), 0..12)) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            push_i64(&mut bytes, value);
            prop_assert!(bytes.len() <= VARINT_BYTES_MAX);
            bytes.extend(&tail);
            prop_assert_eq!(read_i64(&bytes), Ok((value, &tail[..])));
        }
    }
}
