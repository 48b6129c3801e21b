//! Keys of series that are stable from request to request, whatever the symbol tables are.

use super::{Symbols, TimeSeries};
use crate::error::LabelsError;

/// Makes 128-bit keys of series from the caller's keyed 128-bit hash.
///
/// With `a` and `b` the two words of a symbol's hash, the key of a series is, word by word and modulo 2⁶⁴, the
/// sum over its labels
///
/// ```text
/// key.a = Σ value.a · (name.b | 1) + name.a
/// key.b = Σ value.b · (name.a | 1) + name.b
/// ```
///
/// So the same labels give the same key in every request and in any order. Two different label sets give equal
/// keys only where polynomials of degree two in hashes that nobody can predict vanish in both words: a chance of
/// about 2⁻¹¹⁰ for a pair of sets, if the hash is a good keyed one. A label costs two multiplications and no look
/// at its text.
#[derive(Debug, Clone)]
pub struct SeriesKeys<H> {
    hash: H,
    labels_max: usize,
}

/// The two words of the hash of each symbol of one request, and what its last series had of them. Keep it from request to
/// request to reuse its memory.
///
/// Series beside each other mostly are the buckets of one histogram, whose labels are the same but for one. As a key is a
/// sum over labels, that of the next series is the last one's with what differs exchanged. Where neighbours have little in
/// common, as native histograms do, only now and then is a series prepared for another to be like it.
#[derive(Debug, Clone, Default)]
pub struct SymbolHashes {
    words: Vec<(u64, u64)>,
    anchor: Anchor,
    /// Series that were like the anchor.
    n_alike: u32,
    /// How many anchors in a row few were like.
    n_vain: u32,
    /// Series whose keys are made without one.
    n_left_out: u32,
}

/// Series that have to be like an anchor: to prepare one costs as much as they save.
const ALIKE_MIN: u32 = 3;

/// So many anchors in vain, and there is none for a while.
const VAIN_MAX: u32 = 4;

/// For so many series.
const LEFT_OUT_LEN: u32 = 16;

/// A series whose key was made label by label.
#[derive(Debug, Clone, Default)]
struct Anchor {
    /// Its packed references.
    refs: Vec<u8>,
    /// Where each label ends, and the key so far; before them the empty key. None if there is no such series.
    steps: Vec<Step>,
    /// For each place in the references, its end included, how many steps end before it. To look it up is a fraction of
    /// the cost of a search.
    steps_before: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    end: usize,
    key: Key,
}

impl<H: Fn(&[u8]) -> u128> SeriesKeys<H> {
    /// Keys made with `hash`, for series of up to `labels_max` labels (see `Limits::labels_per_series`).
    #[must_use]
    pub fn new(hash: H, labels_max: usize) -> Self {
        Self { hash, labels_max }
    }

    /// Hashes every symbol of a request into `hashes`, whatever that held before.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves are what is wanted"
    )]
    pub fn hash_symbols(&self, symbols: &Symbols<'_>, hashes: &mut SymbolHashes) {
        hashes.anchor.steps.clear();
        hashes.words.clear();
        hashes.words.extend(symbols.iter_bytes().map(|symbol| {
            let hash = (self.hash)(symbol);
            (hash as u64, (hash >> 64) as u64)
        }));
    }

    /// The key of `series`, whose request's symbols `hashes` were made of. Labels that would be refused for their
    /// text have keys too: a key is worth remembering only after [`TimeSeries::labels`] has passed.
    ///
    /// # Errors
    /// The reason, when the references are broken, odd in number, more than allowed or out of range.
    #[inline]
    pub fn key(&self, series: &TimeSeries<'_>, hashes: &mut SymbolHashes) -> Result<u128, LabelsError> {
        // A label takes two bytes at least, so a list this short need not be counted.
        let packed = series
            .packed_refs()
            .filter(|refs| refs.len() / 2 <= self.labels_max);
        match packed.and_then(|refs| hashes.key_of_packed(refs)) {
            Some(key) => Ok(key.finish()),
            None => self.key_of_any(series, hashes),
        }
    }

    #[cold]
    fn key_of_any(&self, series: &TimeSeries<'_>, hashes: &SymbolHashes) -> Result<u128, LabelsError> {
        let mut key = Key::default();
        let (mut name, mut n_labels) = (None, 0);
        series.for_each_ref(|reference| {
            let words = hashes.words.get(reference as usize);
            let words = *words.ok_or(LabelsError::ReferenceOutOfRange {
                reference,
                n_symbols: hashes.words.len(),
            })?;
            match name.take() {
                None => name = Some(words),
                Some(_) if n_labels == self.labels_max => {
                    return Err(LabelsError::TooManyLabels {
                        limit: self.labels_max,
                    });
                }
                Some(name) => {
                    key.add(name, words);
                    n_labels += 1;
                }
            }
            Ok(())
        })?;
        match name {
            None => Ok(key.finish()),
            Some(_) => Err(LabelsError::OddReferences {
                n_refs: 2 * n_labels + 1,
            }),
        }
    }
}

/// Of a series, at most one of so many bytes of references may differ from those of the anchor, or it is the next anchor.
const SAME_SHARE: usize = 4;

impl SymbolHashes {
    /// The two words of the hash of a symbol.
    pub(super) fn words_of(&self, reference: u32) -> Option<(u64, u64)> {
        self.words.get(reference as usize).copied()
    }

    /// The key of what every known sender writes; `None` for everything that needs a closer look.
    #[inline]
    fn key_of_packed(&mut self, refs: &[u8]) -> Option<Key> {
        if self.n_left_out > 0 {
            self.n_left_out -= 1;
            return self.key_by_itself(refs);
        }
        if let Some(key) = self.anchor.key_of(refs, &self.words) {
            self.n_alike += 1;
            return Some(key);
        }
        if !self.anchor.is_none() {
            let is_vain = self.n_alike < ALIKE_MIN;
            self.n_vain = if is_vain { self.n_vain + 1 } else { 0 };
            if self.n_vain >= VAIN_MAX {
                // The next anchor shows whether the one after it is in vain, too.
                self.n_vain = VAIN_MAX - 1;
                self.n_left_out = LEFT_OUT_LEN;
                self.anchor.steps.clear();
                return self.key_by_itself(refs);
            }
        }
        self.n_alike = 0;
        self.anchor.move_to(refs, &self.words)
    }

    /// As [`Self::key_of_packed`] without an anchor.
    fn key_by_itself(&self, refs: &[u8]) -> Option<Key> {
        let (mut key, mut rest) = (Key::default(), refs);
        while !rest.is_empty() {
            key.add_label(&mut rest, &self.words)?;
        }
        Some(key)
    }
}

impl Anchor {
    /// True if there is no such series.
    fn is_none(&self) -> bool {
        self.steps.is_empty()
    }

    /// The key of a series that differs little.
    #[inline]
    fn key_of(&self, refs: &[u8], words: &[(u64, u64)]) -> Option<Key> {
        let whole = self.steps.last()?;
        let n_same_before = common_prefix(&self.refs, refs);
        let before = self.last_step_up_to(n_same_before)?;
        let n_same_behind = common_suffix(self.refs.get(before.end..)?, refs.get(before.end..)?);
        let behind = self.first_step_from(self.refs.len() - n_same_behind)?;
        let other_end = refs.len().checked_sub(self.refs.len() - behind.end)?;
        let mut other = refs.get(before.end..other_end)?;
        if other.len() > refs.len() / SAME_SHARE {
            return None;
        }
        let mut key = before.key;
        while !other.is_empty() {
            key.add_label(&mut other, words)?;
        }
        Some(key.plus(whole.key).minus(behind.key))
    }

    /// The last step that ends at a place or before it.
    #[inline]
    fn last_step_up_to(&self, place: usize) -> Option<&Step> {
        let first = *self.steps_before.get(place)? as usize;
        let at_place = self.steps.get(first).filter(|step| step.end == place);
        at_place.or_else(|| self.steps.get(first.checked_sub(1)?))
    }

    /// The first step that ends at a place or behind it.
    #[inline]
    fn first_step_from(&self, place: usize) -> Option<&Step> {
        self.steps.get(*self.steps_before.get(place)? as usize)
    }

    /// The key of the next anchor.
    fn move_to(&mut self, refs: &[u8], words: &[(u64, u64)]) -> Option<Key> {
        self.steps.clear();
        self.steps_before.clear();
        self.refs.clear();
        self.refs.extend_from_slice(refs);
        let (mut key, mut rest) = (Key::default(), refs);
        self.steps.push(Step { end: 0, key });
        self.steps_before.push(0);
        while !rest.is_empty() {
            if key.add_label(&mut rest, words).is_none() {
                self.steps.clear();
                return None;
            }
            let end = refs.len() - rest.len();
            // References have less than 4 GiB.
            let n_steps = u32::try_from(self.steps.len()).ok()?;
            self.steps_before.resize(end + 1, n_steps);
            self.steps.push(Step { end, key });
        }
        Some(key)
    }
}

/// How many bytes both begin with.
#[inline]
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let (one_words, _) = one.as_chunks::<8>();
    let (other_words, _) = other.as_chunks::<8>();
    let mut n_same = 0;
    for (one, other) in one_words.iter().zip(other_words) {
        let difference = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if difference != 0 {
            return n_same + difference.trailing_zeros() as usize / 8;
        }
        n_same += 8;
    }
    let rest = one.iter().zip(other).skip(n_same);
    n_same + rest.take_while(|(one, other)| one == other).count()
}

/// How many bytes both end with.
#[inline]
fn common_suffix(one: &[u8], other: &[u8]) -> usize {
    let (_, one_words) = one.as_rchunks::<8>();
    let (_, other_words) = other.as_rchunks::<8>();
    let mut n_same = 0;
    for (one, other) in one_words.iter().rev().zip(other_words.iter().rev()) {
        let difference = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if difference != 0 {
            return n_same + difference.leading_zeros() as usize / 8;
        }
        n_same += 8;
    }
    let rest = one.iter().rev().zip(other.iter().rev()).skip(n_same);
    n_same + rest.take_while(|(one, other)| one == other).count()
}

/// A key under construction.
#[derive(Debug, Clone, Copy, Default)]
struct Key {
    a: u64,
    b: u64,
}

impl Key {
    #[inline(always)]
    fn add(&mut self, name: (u64, u64), value: (u64, u64)) {
        self.a = self
            .a
            .wrapping_add(value.0.wrapping_mul(name.1 | 1))
            .wrapping_add(name.0);
        self.b = self
            .b
            .wrapping_add(value.1.wrapping_mul(name.0 | 1))
            .wrapping_add(name.1);
    }

    /// Adds the label whose references `refs` begins with, and takes them off.
    #[inline(always)]
    fn add_label(&mut self, refs: &mut &[u8], words: &[(u64, u64)]) -> Option<()> {
        let (name, value) = match refs {
            [name @ 0..0x80, value @ 0..0x80, rest @ ..] => {
                let found = (usize::from(*name), usize::from(*value));
                *refs = rest;
                found
            }
            [name @ 0..0x80, low, high @ 0..0x80, rest @ ..] => {
                let found = (
                    usize::from(*name),
                    usize::from(*low & 0x7f) | usize::from(*high) << 7,
                );
                *refs = rest;
                found
            }
            _ => (take_short_ref(refs)?, take_short_ref(refs)?),
        };
        self.add(*words.get(name)?, *words.get(value)?);
        Some(())
    }

    fn plus(self, other: Self) -> Self {
        Self {
            a: self.a.wrapping_add(other.a),
            b: self.b.wrapping_add(other.b),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            a: self.a.wrapping_sub(other.a),
            b: self.b.wrapping_sub(other.b),
        }
    }

    fn finish(&self) -> u128 {
        (u128::from(self.b) << 64) | u128::from(self.a)
    }
}

/// Takes a reference of one or two bytes off the front of packed references; `None` when there is none.
#[inline(always)]
fn take_short_ref(refs: &mut &[u8]) -> Option<usize> {
    match refs {
        [byte @ 0..0x80, rest @ ..] => {
            *refs = rest;
            Some(usize::from(*byte))
        }
        [first, second @ 0..0x80, rest @ ..] => {
            *refs = rest;
            Some(usize::from(*first & 0x7f) | usize::from(*second) << 7)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one_by_one(mut refs: &[u8], words: &[(u64, u64)]) -> Option<u128> {
        let mut key = Key::default();
        while !refs.is_empty() {
            key.add_label(&mut refs, words)?;
        }
        Some(key.finish())
    }

    fn refs_of(labels: &[(u16, u16)]) -> Vec<u8> {
        let mut refs = Vec::new();
        for reference in labels.iter().flat_map(|(name, value)| [*name, *value]) {
            crate::protobuf::writer::push_varint(&mut refs, u64::from(reference));
        }
        refs
    }

    #[test]
    fn a_bucket_differs_by_one_label_only() {
        let mut hashes = SymbolHashes {
            words: (0..600).map(|number| (number * 7, number * 11)).collect(),
            ..SymbolHashes::default()
        };
        let labels = |bound: u16| -> Vec<(u16, u16)> {
            (0..32)
                .map(|name| (name, if name == 12 { bound } else { 300 - name }))
                .collect()
        };
        for bound in [400, 401, 90, 599, 300] {
            let refs = refs_of(&labels(bound));
            let key = hashes.key_of_packed(&refs).map(|key| key.finish());
            assert_eq!(key, one_by_one(&refs, &hashes.words));
            assert_eq!(hashes.anchor.refs, refs_of(&labels(400)));
        }
        assert!(hashes.key_of_packed(&refs_of(&[(1, 600)])).is_none());
    }

    #[test]
    fn series_that_share_nothing_are_not_prepared_for_others_like_them() {
        let mut hashes = SymbolHashes {
            words: (0..600).map(|number| (number * 7, number * 11)).collect(),
            ..SymbolHashes::default()
        };
        let other = |number: u16| refs_of(&[(number, 300 - number), (number + 1, number)]);
        let mut n_moves = 0;
        for number in 0..200 {
            let refs = other(number);
            let key = hashes.key_of_packed(&refs).map(|key| key.finish());
            assert_eq!(key, one_by_one(&refs, &hashes.words));
            n_moves += u16::from(hashes.anchor.refs == refs);
        }
        assert!(n_moves < 20, "{n_moves}");
        // It does not take long to see that neighbours are alike again.
        let alike = |value: u16| {
            refs_of(
                &(0..32)
                    .map(|name| (name, if name == 5 { value } else { 7 }))
                    .collect::<Vec<_>>(),
            )
        };
        for value in 0..40 {
            hashes.key_of_packed(&alike(value)).unwrap();
        }
        assert!(hashes.n_alike > 20, "{}", hashes.n_alike);
    }

    proptest! {
        #[test]
        fn keys_do_not_depend_on_what_was_before(
            first in proptest::collection::vec((0..300_u16, 0..300_u16), 0..30),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8, 0..310_u16), 0..60),
            broken in any::<bool>(),
        ) {
            let word = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut hashes = SymbolHashes {
                words: (0..300).map(|number| (word(number), word(number ^ 1 << 40))).collect(),
                ..SymbolHashes::default()
            };
            let mut labels = first;
            for (place, action, value) in changes {
                match action {
                    0 => labels.insert(place.index(labels.len() + 1), (value, 299 - value.min(299))),
                    1 if !labels.is_empty() => drop(labels.remove(place.index(labels.len()))),
                    _ if !labels.is_empty() => {
                        let place = place.index(labels.len());
                        labels[place].1 = value;
                    }
                    _ => {}
                }
                let mut refs = refs_of(&labels);
                if broken && value % 7 == 0 {
                    refs.truncate(place.index(refs.len() + 1));
                }
                let key = hashes.key_of_packed(&refs).map(|key| key.finish());
                prop_assert_eq!(key, one_by_one(&refs, &hashes.words));
            }
        }
    }
}
