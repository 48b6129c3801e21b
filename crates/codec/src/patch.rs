//! Patches: what turns some bytes into others of the same number, short where few of them differ, and by little.
//!
//! ```text
//! per 64 bytes:
//!   1    which of their eight words of eight bytes differ, lowest first
//!   1    per word that differs: which of its bytes do, lowest first
//! n/2    per byte that differs, four bits, the lower ones first: by how much it is more, -7 to 8 as the lowest four bits
//!        of that; 0: see below
//! n      per byte of which that is 0: by how much it is more, wrapping
//! ```
//! The last word and the last 64 bytes may be shorter, and four bits be left over.
//!
//! Bytes are compared word by word, and nobody looks at what they mean: that makes a patch several times cheaper than
//! taking numbers apart and encoding how they differ.

use crate::Error;

const WORD_BYTES: usize = 8;
const GROUP_BYTES: usize = 8 * WORD_BYTES;

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
#[expect(clippy::indexing_slicing, reason = "the writing side: places are its own")]
pub fn push_patch(bytes: &mut Vec<u8>, before: &[u8], after: &[u8]) -> u64 {
    assert_eq!(
        before.len(),
        after.len(),
        "a patch does not change the number of bytes"
    );
    let n_words = before.len().div_ceil(WORD_BYTES);
    // Room for what is written, and behind it for the differences meanwhile, and a byte more that does not count.
    let n_masks_max = n_words.div_ceil(8) + n_words;
    let n_differing_max = n_words * WORD_BYTES;
    let n_written_max = n_masks_max + n_differing_max / 2 + n_differing_max + 1;
    let start = bytes.len();
    bytes.resize(start + n_written_max + n_differing_max + 1, 0);
    let (out, differences) = bytes[start..].split_at_mut(n_written_max);
    let (mut end, mut n_differing, mut any) = (0, 0, 0);
    for (before, after) in before.chunks(GROUP_BYTES).zip(after.chunks(GROUP_BYTES)) {
        let words_at = end;
        let mut words = 0_u8;
        end += 1;
        let mut push = |word_idx: usize, before: u64, after: u64| {
            if before == after {
                return;
            }
            any |= before ^ after;
            words |= 1 << word_idx;
            let differing = nonzero_bytes(before ^ after);
            out[end] = differing;
            end += 1;
            for (byte_idx, byte) in differences_of(before, after).into_iter().enumerate() {
                differences[n_differing] = byte;
                n_differing += usize::from(differing >> byte_idx & 1);
            }
        };
        let (before_words, before_rest) = before.as_chunks::<WORD_BYTES>();
        let (after_words, after_rest) = after.as_chunks::<WORD_BYTES>();
        for (word_idx, (before, after)) in before_words.iter().zip(after_words).enumerate() {
            push(word_idx, u64::from_le_bytes(*before), u64::from_le_bytes(*after));
        }
        if !after_rest.is_empty() {
            push(after_words.len(), short_word(before_rest), short_word(after_rest));
        }
        out[words_at] = words;
    }
    end += write_differences(&differences[..n_differing], &mut out[end..]);
    bytes.truncate(start + end);
    any
}

/// Writes differences, four bits each and a byte for those that need it; returns how many bytes. One byte more is
/// written, which does not count.
#[expect(clippy::indexing_slicing, reason = "as above")]
fn write_differences(differences: &[u8], out: &mut [u8]) -> usize {
    let (pairs, long) = out.split_at_mut(differences.len().div_ceil(2));
    let mut n_long = 0;
    let mut code = |difference: u8| {
        let is_long = difference.wrapping_add(7) > 15;
        long[n_long] = difference;
        n_long += usize::from(is_long);
        if is_long { 0 } else { difference & 15 }
    };
    for (pair, differences) in pairs.iter_mut().zip(differences.chunks(2)) {
        let low = code(differences[0]);
        let high = differences.get(1).map_or(0, |second| code(*second));
        *pair = low | high << 4;
    }
    pairs.len() + n_long
}

/// Carries out the patch at the front of `patch`; gives what is behind it.
///
/// # Errors
/// [`Error::Truncated`]; `bytes` are of no meaning then.
pub fn apply_patch<'a>(bytes: &mut [u8], patch: &'a [u8], direction: Direction) -> Result<&'a [u8], Error> {
    let n_differing = count_differing(bytes.len(), patch)?;
    let (masks, rest) = patch.split_at_checked(n_differing.mask_bytes).ok_or(TRUNCATED)?;
    let (pairs, mut long) = rest
        .split_at_checked(n_differing.bytes.div_ceil(2))
        .ok_or(TRUNCATED)?;
    let mut codes = pairs.iter().flat_map(|pair| [pair & 15, pair >> 4]);
    let mut masks = masks.iter();
    for group in bytes.chunks_mut(GROUP_BYTES) {
        let mut words = *masks.next().ok_or(TRUNCATED)?;
        while words != 0 {
            let word = group.get_mut(words.trailing_zeros() as usize * WORD_BYTES..);
            let word = word.ok_or(TRUNCATED)?;
            let mut differing = *masks.next().ok_or(TRUNCATED)?;
            while differing != 0 {
                let byte = word.get_mut(differing.trailing_zeros() as usize);
                let byte = byte.ok_or(TRUNCATED)?;
                let difference = match codes.next().ok_or(TRUNCATED)? {
                    0 => take(&mut long)?,
                    more @ 1..=8 => more,
                    less => less.wrapping_sub(16),
                };
                *byte = match direction {
                    Direction::Forth => byte.wrapping_add(difference),
                    Direction::Back => byte.wrapping_sub(difference),
                };
                differing &= differing - 1;
            }
            words &= words - 1;
        }
    }
    Ok(long)
}

/// What the masks of a patch say.
struct Differing {
    mask_bytes: usize,
    bytes: usize,
}

/// Reads the masks of a patch of so many bytes.
fn count_differing(n_bytes: usize, patch: &[u8]) -> Result<Differing, Error> {
    let (mut rest, mut n_differing) = (patch, 0);
    for _ in 0..n_bytes.div_ceil(GROUP_BYTES) {
        let n_words = take(&mut rest)?.count_ones() as usize;
        let (words, behind) = rest.split_at_checked(n_words).ok_or(TRUNCATED)?;
        let counts = words.iter().map(|differing| differing.count_ones() as usize);
        n_differing += counts.sum::<usize>();
        rest = behind;
    }
    Ok(Differing {
        mask_bytes: patch.len() - rest.len(),
        bytes: n_differing,
    })
}

const TRUNCATED: Error = Error::Truncated { within: "a patch" };

#[inline]
fn take(bytes: &mut &[u8]) -> Result<u8, Error> {
    let (first, rest) = bytes.split_first().ok_or(TRUNCATED)?;
    *bytes = rest;
    Ok(*first)
}

/// Fewer than eight bytes, as if zeros followed them.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    let mut word = 0;
    for byte in bytes.iter().rev() {
        word = word << 8 | u64::from(*byte);
    }
    word
}

const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;

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
fn differences_of(before: u64, after: u64) -> [u8; WORD_BYTES] {
    // With its top bit set, a byte borrows nothing from the next one; then the top bits are put right.
    let lower = (after | !LOW_SEVEN) - (before & LOW_SEVEN);
    (lower ^ (after ^ !before) & !LOW_SEVEN).to_le_bytes()
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
        assert_eq!(patch, [1 << 1, 0b110, 1 << 6, 1 << 6, 0xf << 4 | 9, 0, 0x80]);
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
