//! Patches: what turns some bytes into others of the same number, short where few of them differ, and by little.
//!
//! ```text
//! per 64 bytes:
//!   1    which of their eight words of eight bytes differ, lowest first
//!   1    per word that differs: which of its bytes do, lowest first
//!   n/2  per byte that differs, four bits, the lower ones first: by how much it is more, -7 to 8 as the lowest four bits
//!        of that; 0: see below
//!   n    per byte of which that is 0: by how much it is more, wrapping
//! ```
//! The last word and the last 64 bytes may be shorter, and four bits be left over.
//!
//! Bytes are compared word by word, and nobody looks at what they mean: that makes a patch several times cheaper than
//! taking numbers apart and encoding how they differ.

use crate::Error;

const WORD_BYTES: usize = 8;
const GROUP_BYTES: usize = 8 * WORD_BYTES;

/// Masks, four bits per byte, and a byte per byte, of one group.
const WRITTEN_BYTES_MAX: usize = 1 + 8 + GROUP_BYTES / 2 + GROUP_BYTES;

/// Which way a patch is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To what it was made for.
    Forth,
    /// To what it was made of.
    Back,
}

/// Appends the patch that turns `before` into `after`. Returns the bits that differ in any word, the last one as if zeros
/// followed it: 0 if nothing differs.
///
/// # Panics
/// If one has more bytes than the other.
pub fn push_patch(bytes: &mut Vec<u8>, before: &[u8], after: &[u8]) -> u64 {
    assert_eq!(
        before.len(),
        after.len(),
        "a patch does not change the number of bytes"
    );
    let groups = before.chunks(GROUP_BYTES).zip(after.chunks(GROUP_BYTES));
    groups.fold(0, |any, (before, after)| any | push_group(bytes, before, after))
}

/// As [`push_patch`] for at most 64 bytes, and at least one.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the writing side: places are its own")]
fn push_group(bytes: &mut Vec<u8>, before: &[u8], after: &[u8]) -> u64 {
    let (before, after) = (Words::of(before), Words::of(after));
    let (mut any, mut words) = (0, 0_u8);
    for word_idx in 0..before.len() {
        let (before, after) = (before.get(word_idx), after.get(word_idx));
        any |= before ^ after;
        words |= u8::from(before != after) << word_idx;
    }
    let mut out = [0; WRITTEN_BYTES_MAX];
    out[0] = words;
    let mut end = 1;
    let (mut differences, mut n_differing) = ([0; GROUP_BYTES], 0);
    while words != 0 {
        let word_idx = words.trailing_zeros() as usize;
        let (before, after) = (before.get(word_idx), after.get(word_idx));
        let mut differing = nonzero_bytes(before ^ after);
        out[end] = differing;
        end += 1;
        let all = differences_of(before, after);
        while differing != 0 {
            let [difference, ..] = (all >> (8 * differing.trailing_zeros())).to_le_bytes();
            differences[n_differing] = difference;
            n_differing += 1;
            differing &= differing - 1;
        }
        words &= words - 1;
    }
    end += write_differences(&differences, n_differing, &mut out[end..]);
    bytes.extend_from_slice(&out[..end]);
    any
}

/// Writes the first `n_differing` differences, four bits each and a byte for those that need it; returns how many bytes.
#[expect(clippy::indexing_slicing, reason = "as above")]
fn write_differences(differences: &[u8; GROUP_BYTES], n_differing: usize, out: &mut [u8]) -> usize {
    let n_pairs = n_differing.div_ceil(2);
    let mut end = n_pairs;
    let (words, _) = differences.as_chunks::<WORD_BYTES>();
    for (word_idx, word) in words.iter().take(n_differing.div_ceil(WORD_BYTES)).enumerate() {
        let n_own = WORD_BYTES.min(n_differing - word_idx * WORD_BYTES);
        let mut word = u64::from_le_bytes(*word) & u64::MAX >> (64 - 8 * n_own);
        // Plus 7, what fits has no more than four bits.
        let mut long = plus_seven(word) & !LOW_FOUR;
        while long != 0 {
            let shift = long.trailing_zeros() & !7;
            let [difference, ..] = (word >> shift).to_le_bytes();
            out[end] = difference;
            end += 1;
            word &= !(0xff << shift);
            long &= !(0xff << shift);
        }
        let pairs = &mut out[word_idx * WORD_BYTES / 2..n_pairs.min((word_idx + 1) * WORD_BYTES / 2)];
        for (pair, byte) in pairs.iter_mut().zip(lower_halves(word).to_le_bytes()) {
            *pair = byte;
        }
    }
    end
}

/// Carries out the patch at the front of `patch`; gives what is behind it.
///
/// # Errors
/// [`Error::Truncated`]; `bytes` are of no meaning then.
pub fn apply_patch<'a>(bytes: &mut [u8], patch: &'a [u8], direction: Direction) -> Result<&'a [u8], Error> {
    let mut rest = patch;
    for group in bytes.chunks_mut(GROUP_BYTES) {
        rest = apply_to_group(group, rest, direction)?;
    }
    Ok(rest)
}

#[expect(clippy::cast_possible_truncation, reason = "places are below 64")]
fn apply_to_group<'a>(group: &mut [u8], patch: &'a [u8], direction: Direction) -> Result<&'a [u8], Error> {
    let mut rest = patch;
    let mut words = take(&mut rest)?;
    let (mut places, mut n_differing) = ([0_u8; GROUP_BYTES], 0);
    while words != 0 {
        let first = words.trailing_zeros() as u8 * 8;
        let mut differing = take(&mut rest)?;
        while differing != 0 {
            let place = places.get_mut(n_differing).ok_or(TRUNCATED)?;
            *place = first + differing.trailing_zeros() as u8;
            n_differing += 1;
            differing &= differing - 1;
        }
        words &= words - 1;
    }
    let (places, _) = places.split_at_checked(n_differing).ok_or(TRUNCATED)?;
    let pairs = rest.split_at_checked(n_differing.div_ceil(2));
    let (pairs, mut long) = pairs.ok_or(TRUNCATED)?;
    for (places, pair) in places.chunks(2).zip(pairs) {
        let mut codes = *pair;
        for place in places {
            let byte = group.get_mut(usize::from(*place)).ok_or(TRUNCATED)?;
            let difference = match codes & 15 {
                0 => take(&mut long)?,
                more @ 1..=8 => more,
                less => less | 0xf0,
            };
            *byte = match direction {
                Direction::Forth => byte.wrapping_add(difference),
                Direction::Back => byte.wrapping_sub(difference),
            };
            codes >>= 4;
        }
    }
    Ok(long)
}

const TRUNCATED: Error = Error::Truncated { within: "a patch" };

#[inline]
fn take(bytes: &mut &[u8]) -> Result<u8, Error> {
    let (first, rest) = bytes.split_first().ok_or(TRUNCATED)?;
    *bytes = rest;
    Ok(*first)
}

/// Some bytes word by word, as if zeros followed them.
struct Words<'a> {
    whole: &'a [[u8; WORD_BYTES]],
    /// The last one, if it is not whole.
    last: Option<u64>,
}

impl<'a> Words<'a> {
    #[inline]
    fn of(bytes: &'a [u8]) -> Self {
        let (whole, rest) = bytes.as_chunks();
        let last = (!rest.is_empty()).then(|| match bytes.last_chunk() {
            // The bytes before it come along, and are shifted out.
            Some(last) => u64::from_le_bytes(*last) >> (8 * (WORD_BYTES - rest.len())),
            None => rest
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte)),
        });
        Self { whole, last }
    }

    #[inline]
    fn len(&self) -> usize {
        self.whole.len() + usize::from(self.last.is_some())
    }

    #[inline]
    fn get(&self, word_idx: usize) -> u64 {
        match self.whole.get(word_idx) {
            Some(word) => u64::from_le_bytes(*word),
            None => self.last.unwrap_or_default(),
        }
    }
}

const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const LOW_FOUR: u64 = 0x0f0f_0f0f_0f0f_0f0f;

/// Each byte and seven, wrapping.
#[inline]
fn plus_seven(word: u64) -> u64 {
    ((word & LOW_SEVEN) + 0x0707_0707_0707_0707) ^ (word & !LOW_SEVEN)
}

/// The lower four bits of eight bytes, in four.
#[inline]
fn lower_halves(word: u64) -> u64 {
    let fours = word & LOW_FOUR;
    let pairs = (fours | fours >> 4) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    (quads | quads >> 16) & 0xffff_ffff
}

/// For each byte, lowest first, a bit that is set if it is not zero.
#[inline]
fn nonzero_bytes(word: u64) -> u8 {
    let tops = (((word & LOW_SEVEN) + LOW_SEVEN) | word) & !LOW_SEVEN;
    // Byte i has a bit at 8 i, which the term 2^(56 - 7 i) of the factor leads to 56 + i; no two meet.
    let [.., bits] = (tops >> 7).wrapping_mul(0x0102_0408_1020_4080).to_le_bytes();
    bits
}

/// By how much each byte is more, wrapping.
#[inline]
fn differences_of(before: u64, after: u64) -> u64 {
    // With its top bit set, a byte borrows nothing from the next one; then the top bits are put right.
    let lower = (after | !LOW_SEVEN) - (before & LOW_SEVEN);
    lower ^ (after ^ !before) & !LOW_SEVEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_differences_take_few_bytes() {
        let before = [7; 119];
        let mut after = before;
        let mut patch = Vec::new();
        assert_eq!(push_patch(&mut patch, &before, &after), 0);
        assert_eq!(patch, [0, 0]);
        patch.clear();
        (after[9], after[10], after[118]) = (0, 6, 0x87); // Bytes 1 and 2 of word 1, byte 6 of word 14.
        assert_eq!(push_patch(&mut patch, &before, &after), 0x0080_0000_0001_0700);
        // Two differences and one that needs a byte.
        assert_eq!(patch, [1 << 1, 0b110, 0xf << 4 | 9, 1 << 6, 1 << 6, 0, 0x80]);
    }

    fn difference() -> impl Strategy<Value = u8> {
        prop_oneof![4 => Just(0), 1 => any::<u8>(), 1 => (-9_i8..10).prop_map(i8::cast_unsigned)]
    }

    proptest! {
        #[test]
        fn patches_lead_there_and_back(
            pairs in prop::collection::vec((any::<u8>(), difference()), 0..300),
            behind in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            let before: Vec<u8> = pairs.iter().map(|(byte, _)| *byte).collect();
            let after: Vec<u8> = pairs.iter().map(|(byte, difference)| byte.wrapping_add(*difference)).collect();
            let mut patch = vec![1, 2];
            let any_bits = push_patch(&mut patch, &before, &after);
            prop_assert_eq!(any_bits == 0, before == after);
            patch.extend_from_slice(&behind);
            let mut bytes = before.clone();
            prop_assert_eq!(apply_patch(&mut bytes, &patch[2..], Direction::Forth).unwrap(), &behind);
            prop_assert_eq!(&bytes, &after);
            apply_patch(&mut bytes, &patch[2..], Direction::Back).unwrap();
            prop_assert_eq!(bytes, before);
        }

        #[test]
        fn any_bytes_are_a_patch_or_an_error(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            patch in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let n_bytes = bytes.len();
            if let Ok(rest) = apply_patch(&mut bytes, &patch, Direction::Forth) {
                prop_assert!(patch.ends_with(rest));
            }
            prop_assert_eq!(bytes.len(), n_bytes);
        }
    }
}
