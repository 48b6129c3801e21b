//! The counts of a histogram, packed, and what turns them into those of the next one.
//!
//! ```text
//! patch    as codec::patch has it; as many bytes as before
//! aligned  varint how many places, for each:
//!            varint its position, times 2, plus 1 if a byte comes in behind it and not one goes; in it the top bit turns
//!          a patch of what that gives
//! whole    varint how many bytes, the bytes
//! ```
//! Counts are varints of differences, as they came: nobody takes them apart to compare them. Mostly each has as many bytes
//! as before. One that grows or shrinks moves those behind it, and a place says where, so that they are compared with
//! themselves again.

use codec::varint::{push_u64, read_count, read_u64};
use codec::{apply_patch, push_patch};
use model::histogram::CountForm;

use super::DAMAGED;

/// What stands for counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// They are those of the histogram before.
    None,
    Patch,
    Aligned,
    Whole,
}

/// With more of them, the bytes themselves are shorter.
const PLACES_MAX: usize = 8;

/// Set on all bytes of a varint but its last.
const TOP_BIT: u8 = 0x80;
const TOP_BITS: u64 = 0x8080_8080_8080_8080;

/// Appends what turns `image` into `after`, which it becomes.
pub(super) fn push_change(image: &mut Vec<u8>, form: CountForm, after: &[u8], bytes: &mut Vec<u8>) -> Change {
    let start = bytes.len();
    let mut change = Change::Whole;
    if image.len() == after.len() {
        let any = push_patch(bytes, image, after);
        if any == 0 {
            bytes.truncate(start);
            return Change::None;
        }
        if form == CountForm::Float || any & TOP_BITS == 0 {
            image.copy_from_slice(after);
            return Change::Patch;
        }
        bytes.truncate(start);
    }
    if form == CountForm::Integer && push_places(image, after, bytes).is_some() {
        push_patch(bytes, image, after);
        change = Change::Aligned;
    }
    if change == Change::Whole {
        bytes.truncate(start);
        push_u64(bytes, after.len() as u64);
        bytes.extend_from_slice(after);
    }
    image.clear();
    image.extend_from_slice(after);
    change
}

/// Moves bytes of `image` until its varints have as many bytes as those of `after`, and appends the places. Nothing if
/// those are too many; the image is of no meaning then.
fn push_places(image: &mut Vec<u8>, after: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    if image.is_empty() {
        return None;
    }
    let (mut places, mut n_places) = ([0; PLACES_MAX], 0);
    for (at, byte) in after.iter().enumerate() {
        let own = *image.get(at)?;
        if (own ^ byte) & TOP_BIT == 0 {
            continue;
        }
        let is_longer = own < TOP_BIT;
        *places.get_mut(n_places)? = (at as u64) << 1 | u64::from(is_longer);
        n_places += 1;
        align(image, at, is_longer)?;
    }
    if image.len() != after.len() {
        return None;
    }
    push_u64(bytes, n_places as u64);
    places[..n_places]
        .iter()
        .for_each(|place| push_u64(bytes, *place));
    Some(())
}

/// Makes the varint of which a byte is there one longer or shorter behind it.
fn align(image: &mut Vec<u8>, at: usize, is_longer: bool) -> Option<()> {
    *image.get_mut(at)? ^= TOP_BIT;
    if is_longer {
        image.insert(at + 1, 0);
    } else if at + 1 < image.len() {
        image.remove(at + 1);
    } else {
        return None;
    }
    Some(())
}

/// Turns `image` into what a change at the front of `bytes` says; gives what is behind it.
///
/// # Errors
/// Damaged bytes.
pub(super) fn apply_change<'a>(
    image: &mut Vec<u8>,
    change: Change,
    bytes: &'a [u8],
) -> Result<&'a [u8], codec::Error> {
    match change {
        Change::None => Ok(bytes),
        Change::Patch => apply_patch(image, bytes),
        Change::Aligned => {
            let (n_places, mut rest) = read_count(bytes, PLACES_MAX, "places in a histogram")?;
            for _ in 0..n_places {
                let (place, behind) = read_u64(rest)?;
                let at = usize::try_from(place >> 1).map_err(|_| DAMAGED)?;
                align(image, at, place & 1 == 1).ok_or(DAMAGED)?;
                rest = behind;
            }
            apply_patch(image, rest)
        }
        Change::Whole => {
            let (n_bytes, rest) = read_count(bytes, bytes.len(), "length of a histogram")?;
            let (own, behind) = rest.split_at_checked(n_bytes).ok_or(DAMAGED)?;
            image.clear();
            image.extend_from_slice(own);
            Ok(behind)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(counts: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        counts.iter().for_each(|count| push_u64(&mut bytes, *count));
        bytes
    }

    #[track_caller]
    fn check(before: &[u8], after: &[u8], form: CountForm) -> (Change, usize) {
        let (mut image, mut bytes) = (before.to_vec(), vec![9]);
        let change = push_change(&mut image, form, after, &mut bytes);
        assert_eq!(image, after);
        let n_bytes = bytes.len() - 1;
        bytes.push(77);
        let mut read = before.to_vec();
        assert_eq!(apply_change(&mut read, change, &bytes[1..]).unwrap(), [77]);
        assert_eq!(read, after);
        (change, n_bytes)
    }

    #[test]
    fn what_grows_does_not_change_what_is_behind_it() {
        let mut counts = [1_u64; 50];
        let first = packed(&counts);
        assert_eq!(check(&first, &first, CountForm::Integer), (Change::None, 0));
        counts[7] = 127;
        let second = packed(&counts);
        assert_eq!(check(&first, &second, CountForm::Integer), (Change::Patch, 8));
        counts[7] = 128;
        let third = packed(&counts);
        assert_eq!(check(&second, &third, CountForm::Integer), (Change::Aligned, 11));
        assert_eq!(check(&third, &second, CountForm::Integer), (Change::Aligned, 10));
        // One grows, one shrinks.
        (counts[7], counts[30]) = (127, 1 << 20);
        let fourth = packed(&counts);
        let (change, n_bytes) = check(&third, &fourth, CountForm::Integer);
        assert!(change == Change::Aligned && n_bytes < 20, "{n_bytes}");
        assert_eq!(check(&[], &second, CountForm::Integer), (Change::Whole, 51));
        counts = [300; 50];
        assert_eq!(
            check(&first, &packed(&counts), CountForm::Integer).0,
            Change::Whole
        );
    }

    proptest! {
        #[test]
        fn counts_are_what_they_become(
            before in prop::collection::vec(0..u64::MAX, 1..80),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..64), 0..12),
            is_float in any::<bool>(),
        ) {
            let small: Vec<u64> = before.iter().map(|count| count >> (40 + count % 24)).collect();
            let mut after = small.clone();
            for (place, shift) in changes {
                *place.get_mut(&mut after) ^= 1_u64 << shift;
            }
            if is_float {
                let words = |counts: &[u64]| counts.iter().flat_map(|count| count.to_le_bytes()).collect::<Vec<_>>();
                check(&words(&small), &words(&after), CountForm::Float);
            } else {
                check(&packed(&small), &packed(&after), CountForm::Integer);
            }
        }

        #[test]
        fn any_bytes_are_a_change_or_an_error(
            mut image in prop::collection::vec(any::<u8>(), 0..100),
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            for change in [Change::Patch, Change::Aligned, Change::Whole] {
                if let Ok(rest) = apply_change(&mut image, change, &bytes) {
                    prop_assert!(bytes.ends_with(rest));
                }
                prop_assert!(image.len() <= 100 + bytes.len());
            }
        }
    }
}
