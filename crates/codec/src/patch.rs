//! Patches: what turns some bytes into others of the same number, and back; short where few of them differ.
//!
//! ```text
//! per 64 bytes:
//!   1    per eight of them, or fewer at the end: which differ, lowest first
//!   1    per byte that differs: the bits that do
//! ```
//! Bytes are compared word by word, and nobody looks at what they mean: that makes a patch several times cheaper than
//! taking numbers apart and encoding how they differ. What differs a little takes a byte like all else: to have less of it
//! would take as long as everything else here.

use crate::Error;

const WORD_BYTES: usize = 8;
const GROUP_BYTES: usize = WORD_BYTES * WORD_BYTES;

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
    let mut differences = [[0; WORD_BYTES]; WORD_BYTES];
    let (mut any, mut differing) = (0, 0_u64);
    for (word_idx, own) in differences.iter_mut().enumerate().take(before.len()) {
        let difference = before.get(word_idx) ^ after.get(word_idx);
        any |= difference;
        differing |= u64::from(nonzero_bytes(difference)) << (WORD_BYTES * word_idx);
        *own = difference.to_le_bytes();
    }
    let mut out = [0; WORD_BYTES + GROUP_BYTES];
    out[..WORD_BYTES].copy_from_slice(&differing.to_le_bytes());
    let mut end = before.len();
    // One loop for all, so that its end is a surprise to the processor once.
    while differing != 0 {
        out[end] = differences.as_flattened()[differing.trailing_zeros() as usize];
        end += 1;
        differing &= differing - 1;
    }
    bytes.extend_from_slice(&out[..end]);
    any
}

/// Turns `bytes` into what the patch at the front of `patch` was made for, or back into what it was made of; gives what is
/// behind it.
///
/// # Errors
/// [`Error::Truncated`]; `bytes` are of no meaning then.
pub fn apply_patch<'a>(bytes: &mut [u8], patch: &'a [u8]) -> Result<&'a [u8], Error> {
    let mut rest = patch;
    for group in bytes.chunks_mut(GROUP_BYTES) {
        let masks;
        (masks, rest) = rest
            .split_at_checked(group.len().div_ceil(WORD_BYTES))
            .ok_or(TRUNCATED)?;
        for (word, mask) in group.chunks_mut(WORD_BYTES).zip(masks) {
            let mut differing = *mask;
            while differing != 0 {
                let byte = word
                    .get_mut(differing.trailing_zeros() as usize)
                    .ok_or(TRUNCATED)?;
                let difference;
                (difference, rest) = rest.split_first().ok_or(TRUNCATED)?;
                *byte ^= difference;
                differing &= differing - 1;
            }
        }
    }
    Ok(rest)
}

const TRUNCATED: Error = Error::Truncated { within: "a patch" };

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

/// For each byte, lowest first, a bit that is set if it is not zero.
#[inline]
fn nonzero_bytes(word: u64) -> u8 {
    let tops = (((word & LOW_SEVEN) + LOW_SEVEN) | word) & !LOW_SEVEN;
    // Byte i has a bit at 8 i, which the term 2^(56 - 7 i) of the factor leads to 56 + i; no two meet.
    let [.., bits] = (tops >> 7).wrapping_mul(0x0102_0408_1020_4080).to_le_bytes();
    bits
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
        assert_eq!(patch, [0; 15]);
        patch.clear();
        (after[9], after[10], after[118]) = (0, 6, 0x87); // Bytes 1 and 2 of word 1, byte 6 of word 14.
        assert_eq!(push_patch(&mut patch, &before, &after), 0x0080_0000_0001_0700);
        assert_eq!(
            patch,
            [0, 0b110, 0, 0, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0, 1 << 6, 0x80]
        );
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
            prop_assert_eq!(apply_patch(&mut bytes, &patch[2..]).unwrap(), &behind);
            prop_assert_eq!(&bytes, &after);
            apply_patch(&mut bytes, &patch[2..]).unwrap();
            prop_assert_eq!(bytes, before);
        }

        #[test]
        fn any_bytes_are_a_patch_or_an_error(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            patch in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let n_bytes = bytes.len();
            if let Ok(rest) = apply_patch(&mut bytes, &patch) {
                prop_assert!(patch.ends_with(rest));
            }
            prop_assert_eq!(bytes.len(), n_bytes);
        }
    }
}
