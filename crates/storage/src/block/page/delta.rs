//! `DELTA_BINARY_PACKED`: integers as bit-packed differences.
//!
//! Blocks of 128 differences, four miniblocks of 32 each: small ones, so that the jump from the last value of one
//! series to the first of the next widens few of its neighbours.
//!
//! ```text
//! block size | miniblocks | count | first value            varints, the last one zigzag
//! per block:  least difference | 4 widths | 4 miniblocks    zigzag varint, bytes, 32 × width bits each
//! ```
//!
//! Differences wrap around. The last block has only the miniblocks it needs, the last of them filled up with zeros.
//!
//! Source: Parquet format, Encodings.md, "Delta encoding".

use codec::bits::{Packed, RUN_LEN, Run};
use codec::varint;

use super::PageError;

const BLOCK_LEN: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK_LEN: usize = BLOCK_LEN / MINIBLOCKS;

/// Appends `values`.
#[expect(clippy::indexing_slicing, reason = "the writing side; the ranges are its own")]
pub(super) fn encode(values: &[i64], bytes: &mut Vec<u8>) {
    varint::push_u64(bytes, BLOCK_LEN as u64);
    varint::push_u64(bytes, MINIBLOCKS as u64);
    varint::push_u64(bytes, values.len() as u64);
    varint::push_i64(bytes, values.first().copied().unwrap_or(0));
    let mut deltas = [0_i64; BLOCK_LEN];
    let mut start = 0;
    while start + 1 < values.len() {
        let n_deltas = BLOCK_LEN.min(values.len() - 1 - start);
        let (from, to) = (&values[start..start + n_deltas], &values[start + 1..][..n_deltas]);
        for ((delta, from), to) in deltas.iter_mut().zip(from).zip(to) {
            *delta = to.wrapping_sub(*from);
        }
        encode_block(&mut deltas[..n_deltas], bytes);
        start += n_deltas;
    }
}

#[expect(clippy::indexing_slicing, reason = "the writing side; there are four widths")]
fn encode_block(deltas: &mut [i64], bytes: &mut Vec<u8>) {
    let least = deltas.iter().copied().min().unwrap_or(0);
    varint::push_i64(bytes, least);
    let widths_start = bytes.len();
    bytes.extend([0; MINIBLOCKS]);
    for (miniblock_idx, miniblock) in deltas.chunks_mut(MINIBLOCK_LEN).enumerate() {
        let mut union = 0;
        for delta in &mut *miniblock {
            *delta = delta.wrapping_sub(least);
            union |= delta.cast_unsigned();
        }
        let width = u64::BITS - union.leading_zeros();
        bytes[widths_start + miniblock_idx] = width.to_le_bytes()[0];
        pack(miniblock, width, bytes);
    }
}

/// Appends a miniblock, at most 32 values of `width` bits.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn pack(values: &[i64], width: u32, bytes: &mut Vec<u8>) {
    let n_bytes = MINIBLOCK_LEN / 8 * width as usize;
    let end = bytes.len() + n_bytes;
    let (mut held, mut n_held) = (0_u128, 0);
    for value in values {
        held |= u128::from(value.cast_unsigned()) << n_held;
        n_held += width;
        if n_held >= 64 {
            bytes.extend((held as u64).to_le_bytes());
            held >>= 64;
            n_held -= 64;
        }
    }
    bytes.extend(held.to_le_bytes());
    bytes.resize(end, 0);
}

/// Reads integers from front to back.
#[derive(Debug)]
pub(in crate::block) struct DeltaReader<'a> {
    bytes: &'a [u8],
    /// Values that were not given yet.
    n_left: usize,
    /// The value before the next miniblock; the first one itself at the beginning.
    previous: u64,
    is_first: bool,
    least: u64,
    widths: [u8; MINIBLOCKS],
    /// Of the block, the next one to unpack.
    miniblock_idx: usize,
    /// The values of the last miniblock, of which those from `position` on were not given yet.
    held: [i64; MINIBLOCK_LEN],
    position: usize,
}

impl<'a> DeltaReader<'a> {
    /// A reader of `n_values`.
    pub(super) fn new(mut bytes: &'a [u8], n_values: usize) -> Result<Self, PageError> {
        const HEADER: &str = "header of integers";
        for expected in [BLOCK_LEN, MINIBLOCKS, n_values] {
            let (found, rest) = varint::read_u64(bytes).map_err(|_| PageError::Truncated(HEADER))?;
            if found != expected as u64 {
                return Err(PageError::Invalid(HEADER));
            }
            bytes = rest;
        }
        let (first, bytes) = varint::read_i64(bytes).map_err(|_| PageError::Truncated(HEADER))?;
        Ok(Self {
            bytes,
            n_left: n_values,
            previous: first.cast_unsigned(),
            is_first: true,
            least: 0,
            widths: [0; MINIBLOCKS],
            miniblock_idx: MINIBLOCKS,
            held: [0; MINIBLOCK_LEN],
            position: MINIBLOCK_LEN,
        })
    }

    /// Fills `values` with the next ones.
    pub(in crate::block) fn read(&mut self, values: &mut [i64]) -> Result<(), PageError> {
        self.read_each(values, |value| value)
    }

    /// Fills `values` with the next ones as floats.
    pub(in crate::block) fn read_floats(&mut self, values: &mut [f64]) -> Result<(), PageError> {
        self.read_each(values, |value| value as f64)
    }

    /// Leaves out the next `n_values`.
    pub(in crate::block) fn skip(&mut self, n_values: usize) -> Result<(), PageError> {
        let is_first = self.count_off(n_values)?;
        let mut n_left = n_values - usize::from(is_first);
        let n_skipped = n_left.min(MINIBLOCK_LEN - self.position);
        self.position += n_skipped;
        n_left -= n_skipped;
        while n_left >= MINIBLOCK_LEN {
            self.pass()?;
            n_left -= MINIBLOCK_LEN;
        }
        if n_left > 0 {
            self.refill()?;
            self.position = n_left;
        }
        Ok(())
    }

    #[inline]
    fn read_each<T: Copy>(
        &mut self,
        values: &mut [T],
        map: impl Fn(i64) -> T + Copy,
    ) -> Result<(), PageError> {
        let first = self.previous;
        let is_first = self.count_off(values.len())?;
        let (firsts, rest) = values.split_at_mut(usize::from(is_first));
        firsts.fill(map(first.cast_signed()));
        let rest = self.give(rest, map);
        let (whole, rest) = rest.as_chunks_mut::<MINIBLOCK_LEN>();
        for values in whole {
            self.unpack(values, map)?;
        }
        if !rest.is_empty() {
            self.refill()?;
            self.give(rest, map);
        }
        Ok(())
    }

    /// Counts off `n_values`; true if the first one of all is among them, which stands in no miniblock.
    fn count_off(&mut self, n_values: usize) -> Result<bool, PageError> {
        self.n_left = self
            .n_left
            .checked_sub(n_values)
            .ok_or(PageError::Invalid("number of integers"))?;
        Ok(n_values > 0 && std::mem::replace(&mut self.is_first, false))
    }

    /// Gives what is held, as far as there is room; the room that is left.
    #[inline]
    fn give<'b, T>(&mut self, values: &'b mut [T], map: impl Fn(i64) -> T) -> &'b mut [T] {
        let held = self.held.get(self.position..).unwrap_or(&[]);
        let n_given = held.len().min(values.len());
        let (now, later) = values.split_at_mut(n_given);
        for (place, value) in now.iter_mut().zip(held) {
            *place = map(*value);
        }
        self.position += n_given;
        later
    }

    fn refill(&mut self) -> Result<(), PageError> {
        let mut held = [0; MINIBLOCK_LEN];
        self.unpack(&mut held, |value| value)?;
        self.held = held;
        self.position = 0;
        Ok(())
    }

    /// The width of the next miniblock.
    #[inline]
    fn next_width(&mut self) -> Result<usize, PageError> {
        const WITHIN: PageError = PageError::Truncated("integers");
        if self.miniblock_idx == MINIBLOCKS {
            let (least, rest) = varint::read_i64(self.bytes).map_err(|_| WITHIN)?;
            let (widths, rest) = rest.split_first_chunk().ok_or(WITHIN)?;
            self.least = least.cast_unsigned();
            self.widths = *widths;
            self.bytes = rest;
            self.miniblock_idx = 0;
        }
        let width = self.widths.get(self.miniblock_idx).copied().unwrap_or(0);
        self.miniblock_idx += 1;
        Ok(usize::from(width))
    }

    /// Passes the next miniblock.
    fn pass(&mut self) -> Result<(), PageError> {
        let width = self.next_width()?;
        let mut run = [0; RUN_LEN];
        if width == 0 {
            let steps = self.least.wrapping_mul(MINIBLOCK_LEN as u64);
            self.previous = self.previous.wrapping_add(steps);
            return Ok(());
        }
        let packed = self.take_packed(width)?;
        for run_idx in 0..MINIBLOCK_LEN / RUN_LEN {
            self.sum_up(packed, run_idx, &mut run);
        }
        Ok(())
    }

    /// Unpacks the next miniblock, each value through `map`.
    #[inline]
    fn unpack<T: Copy>(
        &mut self,
        values: &mut [T; MINIBLOCK_LEN],
        map: impl Fn(i64) -> T,
    ) -> Result<(), PageError> {
        let width = self.next_width()?;
        if width == 0 && self.least == 0 {
            values.fill(map(self.previous.cast_signed()));
            return Ok(());
        }
        let packed = self.take_packed(width)?;
        let mut run = [0; RUN_LEN];
        for (run_idx, values) in values.as_chunks_mut::<RUN_LEN>().0.iter_mut().enumerate() {
            self.sum_up(packed, run_idx, &mut run);
            for (place, value) in values.iter_mut().zip(run) {
                *place = map(value.cast_signed());
            }
        }
        Ok(())
    }

    #[inline]
    fn take_packed(&mut self, width: usize) -> Result<Packed<'a>, PageError> {
        let opened = Packed::open(self.bytes, width, MINIBLOCK_LEN);
        let (packed, rest) = opened.map_err(|error| match error {
            codec::Error::Truncated { .. } => PageError::Truncated("integers"),
            _ => PageError::Invalid("width of integers"),
        })?;
        self.bytes = rest;
        Ok(packed)
    }

    /// Replaces a run by its values.
    #[inline]
    fn sum_up(&mut self, packed: Packed<'a>, run_idx: usize, run: &mut Run) {
        packed.sums(run_idx, self.previous, self.least, run);
        let [.., last] = *run;
        self.previous = last;
    }
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

    #[test]
    fn a_steady_counter_takes_six_bytes_per_block() {
        let values: Vec<i64> = (0..1_281).map(|value| value * 15_000).collect();
        assert_eq!(encoded(&values).len(), 6 + 10 * (3 + 4));
    }

    #[test]
    fn bytes_that_end_early_are_an_error() {
        let values: Vec<i64> = (0..300).map(|value| value * value).collect();
        let bytes = encoded(&values);
        for n_bytes in 0..bytes.len() {
            let mut decoded = vec![0; values.len()];
            let result = DeltaReader::new(&bytes[..n_bytes], values.len())
                .and_then(|mut reader| reader.read(&mut decoded));
            assert!(result.is_err(), "{n_bytes}");
        }
    }

    fn any_values() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![8 => 0..5_i64, 2 => -1_000..1_000_i64, 1 => any::<i64>()];
        proptest::collection::vec(step, 0..600).prop_map(|steps| {
            let sums = steps.into_iter().scan(0_i64, |sum, step| {
                *sum = sum.wrapping_add(step);
                Some(*sum)
            });
            sums.collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(values in any_values(), parts in proptest::collection::vec((0..70_usize, any::<bool>()), 0..40)) {
            let bytes = encoded(&values);
            let mut reader = DeltaReader::new(&bytes, values.len()).unwrap();
            let mut rest = &values[..];
            for (n_values, is_skipped) in parts {
                let (now, later) = rest.split_at(n_values.min(rest.len()));
                if is_skipped {
                    reader.skip(now.len()).unwrap();
                } else {
                    let mut decoded = vec![0; now.len()];
                    reader.read(&mut decoded).unwrap();
                    prop_assert_eq!(&decoded, now);
                }
                rest = later;
            }
            let mut decoded = vec![0; rest.len()];
            reader.read(&mut decoded).unwrap();
            prop_assert_eq!(&decoded, rest);
            prop_assert!(reader.read(&mut [0]).is_err());
        }

        #[test]
        fn any_bytes_are_values_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), n_values in 0..300_usize) {
            let mut decoded = vec![0; n_values];
            let result = DeltaReader::new(&bytes, n_values).and_then(|mut reader| reader.read(&mut decoded));
            prop_assert!(result.is_ok() || result.is_err());
        }
    }
}
