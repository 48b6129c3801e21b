//! Bit packing: integers of one width, one behind the other, lowest bit first, without gaps.
//!
//! Eight values of width `w` fill `w` bytes exactly, so unpacking works in groups of eight, two of them at a time: a
//! *run*. The unpackers are generated per width: with the width known, a group is a handful of loads, shifts and
//! masks without a branch. They sum up on the way, while the values are in registers. A run is short so that short
//! columns do not pay for a long buffer.

use crate::Error;

/// How many values are unpacked at a time.
pub const RUN_LEN: usize = 16;

/// Values on their way out.
pub type Run = [u64; RUN_LEN];

const GROUP_LEN: usize = 8;

/// How many bytes `n_values` of `width` bits take.
pub(crate) fn packed_len(n_values: usize, width: usize) -> usize {
    (n_values * width).div_ceil(8)
}

/// Appends `values`, each less than `2^width`.
pub(crate) fn pack(values: &[u64], width: usize, bytes: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    bytes.reserve(values.len() * 8);
    let mut word = 0_u64;
    let mut n_bits = 0;
    for value in values {
        word |= value << n_bits;
        n_bits += width;
        if n_bits >= 64 {
            bytes.extend_from_slice(&word.to_le_bytes());
            n_bits -= 64;
            word = if n_bits == 0 { 0 } else { value >> (width - n_bits) };
        }
    }
    bytes.extend(word.to_le_bytes().iter().take(n_bits.div_ceil(8)));
}

/// Bit-packed values, ready to be read.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    bytes: &'a [u8],
    width: usize,
    unpacker: Unpacker,
}

impl<'a> Packed<'a> {
    /// `n_values` of `width` bits at the front of `bytes`, and the bytes behind them.
    ///
    /// # Errors
    /// A width above 64, too few bytes.
    #[inline]
    pub fn open(bytes: &'a [u8], width: usize, n_values: usize) -> Result<(Self, &'a [u8]), Error> {
        let Some(&unpacker) = UNPACKERS.get(width) else {
            return Err(Error::Invalid { what: "bit width" });
        };
        let Some((_, rest)) = bytes.split_at_checked(packed_len(n_values, width)) else {
            return Err(Error::Truncated {
                within: "packed bits",
            });
        };
        // The bytes behind stay in sight: a whole load is cheaper than a short one.
        Ok((
            Self {
                bytes,
                width,
                unpacker,
            },
            rest,
        ))
    }

    /// Replaces `run` by the running sum of `base` and the values `run_idx * RUN_LEN ..`, `step` being added to
    /// each of them. The arithmetic wraps around; what stands behind the last value is undefined.
    #[inline]
    pub fn sums(&self, run_idx: usize, base: u64, step: u64, run: &mut Run) {
        let first_byte = run_idx * self.width * (RUN_LEN / GROUP_LEN);
        (self.unpacker)(self.bytes.get(first_byte..).unwrap_or_default(), base, step, run);
    }
}

/// [`Packed::sums`] of the bytes of a run. Bytes that are missing count as zero.
type Unpacker = fn(&[u8], base: u64, step: u64, &mut Run);

macro_rules! unpackers {
    (narrow $($narrow:literal)* wide $($wide:literal)* huge $($huge:literal)*) => {
        [
            unpack_zeros,
            $(unpack_narrow::<$narrow>,)*
            $(unpack_wide::<$wide>,)*
            $(unpack_huge::<$huge>,)*
        ]
    };
}

static UNPACKERS: [Unpacker; 65] = unpackers!(
    narrow 1 2 3 4 5 6 7
    wide 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42
        43 44 45 46 47 48 49 50 51 52 53 54 55 56 57
    huge 58 59 60 61 62 63 64
);

fn unpack_zeros(_: &[u8], base: u64, step: u64, run: &mut Run) {
    let mut sum = base;
    for value in run {
        sum = sum.wrapping_add(step);
        *value = sum;
    }
}

/// A group is at most seven bytes: one load.
fn unpack_narrow<const WIDTH: usize>(bytes: &[u8], base: u64, step: u64, run: &mut Run) {
    let mut sum = base;
    for (group_idx, group) in run.as_chunks_mut::<GROUP_LEN>().0.iter_mut().enumerate() {
        let word = load(bytes, group_idx * WIDTH);
        for (value_idx, value) in group.iter_mut().enumerate() {
            let entry = (word >> (value_idx * WIDTH)) & mask(WIDTH);
            sum = sum.wrapping_add(entry.wrapping_add(step));
            *value = sum;
        }
    }
}

/// A group is 8 to 57 bytes, and each of its values lies within one load that starts at its first byte, or, near
/// the end, eight bytes before the end of the group.
fn unpack_wide<const WIDTH: usize>(bytes: &[u8], base: u64, step: u64, run: &mut Run) {
    let mut sum = base;
    for (group_idx, group) in run.as_chunks_mut::<GROUP_LEN>().0.iter_mut().enumerate() {
        let tail = bytes.get(group_idx * WIDTH..).unwrap_or_default();
        let padded: [u8; WIDTH];
        let packed = match tail.first_chunk::<WIDTH>() {
            Some(packed) => packed,
            None => {
                padded = pad(tail);
                &padded
            }
        };
        for (value_idx, value) in group.iter_mut().enumerate() {
            let byte_idx = (value_idx * WIDTH / 8).min(WIDTH - 8);
            let shift = value_idx * WIDTH - byte_idx * 8;
            let entry = (load(packed, byte_idx) >> shift) & mask(WIDTH);
            sum = sum.wrapping_add(entry.wrapping_add(step));
            *value = sum;
        }
    }
}

/// A value may lie across nine bytes.
fn unpack_huge<const WIDTH: usize>(bytes: &[u8], base: u64, step: u64, run: &mut Run) {
    let mut sum = base;
    for (value_idx, value) in run.iter_mut().enumerate() {
        let bit_idx = value_idx * WIDTH;
        let (byte_idx, shift) = (bit_idx / 8, bit_idx % 8);
        let low = load(bytes, byte_idx) >> shift;
        let ninth = bytes.get(byte_idx + 8).copied().unwrap_or_default();
        let high = u64::from(ninth) << (63 - shift) << 1;
        let entry = (low | high) & mask(WIDTH);
        sum = sum.wrapping_add(entry.wrapping_add(step));
        *value = sum;
    }
}

const fn mask(width: usize) -> u64 {
    u64::MAX >> (64 - width)
}

/// Eight bytes from `byte_idx` on.
#[inline(always)]
fn load(bytes: &[u8], byte_idx: usize) -> u64 {
    let tail = bytes.get(byte_idx..).unwrap_or_default();
    match tail.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => u64::from_le_bytes(pad(tail)),
    }
}

/// The first bytes of `bytes`, followed by zeros when there are too few.
#[cold]
fn pad<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    let mut padded = [0; LEN];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lowest_bits_come_first() {
        let mut bytes = Vec::new();
        pack(&[1, 2, 3, 4, 5, 6, 7, 0, 1], 3, &mut bytes);
        assert_eq!(bytes, [0b1101_0001, 0b0101_1000, 0b0001_1111, 0b001]);
    }

    #[test]
    fn missing_bytes_and_impossible_widths_are_errors() {
        let error = |bytes, width, n_values| Packed::open(bytes, width, n_values).map(drop).unwrap_err();
        assert_eq!(
            error(&[0; 7], 8, 8),
            Error::Truncated {
                within: "packed bits"
            }
        );
        assert_eq!(error(&[], 65, 1), Error::Invalid { what: "bit width" });
    }

    proptest! {
        #[test]
        fn values_of_every_width_come_back(
            width in 0_usize..=64,
            values in prop::collection::vec(any::<u64>(), 0..=64),
            tail in prop::collection::vec(any::<u8>(), 0..20),
            step in any::<u64>(),
        ) {
            let cut = |value: &u64| if width == 0 { 0 } else { value >> (64 - width) };
            let values: Vec<u64> = values.iter().map(cut).collect();
            let mut bytes = Vec::new();
            pack(&values, width, &mut bytes);
            prop_assert_eq!(bytes.len(), packed_len(values.len(), width));
            bytes.extend(&tail);
            let (packed, rest) = Packed::open(&bytes, width, values.len()).unwrap();
            prop_assert_eq!(rest, &tail);
            for (run_idx, values) in values.chunks(RUN_LEN).enumerate() {
                let sums = values.iter().scan(7_u64, |sum, value| {
                    *sum = sum.wrapping_add(*value).wrapping_add(step);
                    Some(*sum)
                });
                let mut run = [0; RUN_LEN];
                packed.sums(run_idx, 7, step, &mut run);
                prop_assert_eq!(&run[..values.len()], sums.collect::<Vec<u64>>());
            }
        }
    }
}
