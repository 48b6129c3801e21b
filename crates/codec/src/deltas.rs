//! Integers as bit-packed differences.
//!
//! ```text
//! first value: varint (zigzag)
//! then, for each 64 further values:
//!   header: one byte    bits 0-6: width w, 0..=64; bit 7: a smallest difference follows
//!   smallest difference: varint (zigzag), otherwise it is 0
//!   differences less the smallest one, w bits each
//! ```
//!
//! The arithmetic wraps around, so every sequence of 64-bit integers has a form. Equal steps take no bits, whatever
//! the step: a regular column of timestamps is a few bytes.

use std::ops::Range;

use crate::Error;
use crate::bits::{self, Packed, RUN_LEN, Run};
use crate::varint;

/// How many differences share a header.
const BLOCK_LEN: usize = 64;

const HAS_SMALLEST: u8 = 0x80;

/// Appends `values`. None of them takes no byte.
pub(crate) fn encode(values: &[i64], bytes: &mut Vec<u8>) {
    let Some((&first, rest)) = values.split_first() else {
        return;
    };
    varint::push_i64(bytes, first);
    let mut previous = first;
    for chunk in rest.chunks(BLOCK_LEN) {
        previous = encode_block(previous, chunk, bytes);
    }
}

/// Decodes the values `wanted` of `n_values` that were encoded, each through `map`, into `out`, which has one place
/// per wanted value.
///
/// # Errors
/// Bytes that [`encode`] did not write.
#[inline]
pub(crate) fn decode<T>(
    bytes: &[u8],
    n_values: usize,
    wanted: &Range<usize>,
    out: &mut [T],
    map: impl Fn(u64) -> T,
) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let (first, mut rest) = varint::read_i64(bytes)?;
    let mut value = first.cast_unsigned();
    if wanted.start == 0
        && let Some(place) = out.first_mut()
    {
        *place = map(value);
    }
    let mut run = [0; RUN_LEN];
    let mut position = 1;
    while position < wanted.end {
        let n_block = (n_values - position).min(BLOCK_LEN);
        let block = read_header(rest)?;
        let (packed, behind) = Packed::open(block.packed, block.width, n_block)?;
        rest = behind;
        let n_needed = n_block.min(wanted.end - position);
        for run_idx in 0..n_needed.div_ceil(RUN_LEN) {
            packed.sums(run_idx, value, block.smallest, &mut run);
            value = run[RUN_LEN - 1];
            put(&run, position + run_idx * RUN_LEN, wanted, out, &map);
        }
        position += n_block;
    }
    Ok(())
}

/// Stores what is wanted of a run that begins at `position`.
#[inline]
fn put<T>(run: &Run, position: usize, wanted: &Range<usize>, out: &mut [T], map: impl Fn(u64) -> T) {
    let n_before = wanted.start.saturating_sub(position).min(RUN_LEN);
    let place = position.saturating_sub(wanted.start);
    let places = out.get_mut(place..).unwrap_or_default();
    if n_before == 0
        && let Some(places) = places.first_chunk_mut::<RUN_LEN>()
    {
        for (place, integer) in places.iter_mut().zip(run) {
            *place = map(*integer);
        }
        return;
    }
    for (place, integer) in places.iter_mut().zip(run.iter().skip(n_before)) {
        *place = map(*integer);
    }
}

/// A header and what follows it.
struct BlockHeader<'a> {
    width: usize,
    smallest: u64,
    packed: &'a [u8],
}

#[inline]
fn read_header(bytes: &[u8]) -> Result<BlockHeader<'_>, Error> {
    let Some((&header, packed)) = bytes.split_first() else {
        return Err(Error::Truncated {
            within: "a block header",
        });
    };
    let width = usize::from(header & !HAS_SMALLEST);
    if header & HAS_SMALLEST == 0 {
        return Ok(BlockHeader {
            width,
            smallest: 0,
            packed,
        });
    }
    let (smallest, packed) = varint::read_i64(packed)?;
    Ok(BlockHeader {
        width,
        smallest: smallest.cast_unsigned(),
        packed,
    })
}

/// Appends the differences between `previous` and `values`, at most [`BLOCK_LEN`]; returns the last value.
fn encode_block(previous: i64, values: &[i64], bytes: &mut Vec<u8>) -> i64 {
    let mut block = [0; BLOCK_LEN];
    let mut last = previous;
    let (mut smallest, mut largest) = (i64::MAX, i64::MIN);
    for (difference, value) in block.iter_mut().zip(values) {
        let step = value.wrapping_sub(last);
        smallest = smallest.min(step);
        largest = largest.max(step);
        *difference = step.cast_unsigned();
        last = *value;
    }
    // Counters step by small positive numbers: subtracting the smallest of them often saves less than the byte it
    // is written with.
    let width_of = |smallest: i64| 64 - largest.wrapping_sub(smallest).cast_unsigned().leading_zeros();
    if smallest > 0 && (width_of(0) - width_of(smallest)) as usize * values.len() <= 8 {
        smallest = 0;
    }
    let width = width_of(smallest);
    let has_smallest = if smallest == 0 { 0 } else { HAS_SMALLEST };
    bytes.push(width.to_le_bytes()[0] | has_smallest);
    if smallest != 0 {
        varint::push_i64(bytes, smallest);
    }
    let differences = block.get_mut(..values.len()).unwrap_or_default();
    for difference in &mut *differences {
        *difference = difference.wrapping_sub(smallest.cast_unsigned());
    }
    bits::pack(differences, width as usize, bytes);
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(values: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        bytes
    }

    fn decoded(bytes: &[u8], n_values: usize, wanted: Range<usize>) -> Result<Vec<i64>, Error> {
        let mut values = vec![0; wanted.len()];
        decode(bytes, n_values, &wanted, &mut values, u64::cast_signed)?;
        Ok(values)
    }

    #[test]
    fn equal_steps_take_no_bits() {
        let values: Vec<i64> = (0..256).map(|row| 1_700_000_000_000 + row * 15_000).collect();
        assert_eq!(encoded(&values).len(), 6 + 4 * 4);
        assert_eq!(encoded(&[5; 65]), [10, 0]);
    }

    #[test]
    fn a_smallest_step_that_saves_nothing_is_not_written() {
        assert_eq!(encoded(&[0, 1, 4]), [0, 2, 0b1101]);
        assert_eq!(encoded(&[0, 7, 15, 22, 30]), [0, 1 | HAS_SMALLEST, 14, 0b1010]);
    }

    #[test]
    fn any_truncation_is_an_error() {
        let bytes = encoded(&[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]);
        for n_bytes in 0..bytes.len() {
            decoded(&bytes[..n_bytes], 11, 0..11).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn all_sequences_come_back(
            values in prop::collection::vec(any::<i64>(), 1..200),
            shift in 0_u32..64,
            (from, to) in (0_usize..200, 0_usize..200),
        ) {
            let values: Vec<i64> = values.iter().map(|value| value >> shift).collect();
            let wanted = from.min(to).min(values.len())..from.max(to).min(values.len());
            let got = decoded(&encoded(&values), values.len(), wanted.clone()).unwrap();
            prop_assert_eq!(&got[..], &values[wanted]);
        }

        #[test]
        fn any_bytes_are_values_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), n in 0_usize..300) {
            if let Ok(values) = decoded(&bytes, n, 0..n) {
                prop_assert_eq!(values.len(), n);
            }
        }
    }
}
