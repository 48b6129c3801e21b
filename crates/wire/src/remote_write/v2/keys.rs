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

/// The two words of the hash of each symbol of one request. Keep it from request to request to reuse its memory.
#[derive(Debug, Clone, Default)]
pub struct SymbolHashes(Vec<(u64, u64)>);

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
        hashes.0.clear();
        hashes.0.extend(symbols.iter_bytes().map(|symbol| {
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
    pub fn key(&self, series: &TimeSeries<'_>, hashes: &SymbolHashes) -> Result<u128, LabelsError> {
        // A label takes two bytes at least, so a list this short need not be counted.
        let packed = series
            .packed_refs()
            .filter(|refs| refs.len() / 2 <= self.labels_max);
        match packed.and_then(|refs| key_of_packed(refs, &hashes.0)) {
            Some(key) => Ok(key),
            None => self.key_of_any(series, hashes),
        }
    }

    #[cold]
    fn key_of_any(&self, series: &TimeSeries<'_>, hashes: &SymbolHashes) -> Result<u128, LabelsError> {
        let mut key = Key::default();
        let (mut name, mut n_labels) = (None, 0);
        series.for_each_ref(|reference| {
            let words = hashes.0.get(reference as usize);
            let words = *words.ok_or(LabelsError::ReferenceOutOfRange {
                reference,
                n_symbols: hashes.0.len(),
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

/// The key of what every known sender writes; `None` for everything that needs a closer look.
#[inline]
fn key_of_packed(mut refs: &[u8], hashes: &[(u64, u64)]) -> Option<u128> {
    let mut key = Key::default();
    while !refs.is_empty() {
        let (name, value) = match refs {
            [name @ 0..0x80, value @ 0..0x80, rest @ ..] => {
                refs = rest;
                (usize::from(*name), usize::from(*value))
            }
            [name @ 0..0x80, low, high @ 0..0x80, rest @ ..] => {
                refs = rest;
                (
                    usize::from(*name),
                    usize::from(*low & 0x7f) | usize::from(*high) << 7,
                )
            }
            _ => (take_short_ref(&mut refs)?, take_short_ref(&mut refs)?),
        };
        key.add(*hashes.get(name)?, *hashes.get(value)?);
    }
    Some(key.finish())
}

/// A key under construction.
#[derive(Debug, Default)]
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
