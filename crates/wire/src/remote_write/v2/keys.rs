//! Keys of series that are stable from request to request, whatever the symbol tables are.

use super::{Symbols, TimeSeries};
use crate::error::LabelsError;

/// Makes 128-bit keys of series.
///
/// With `h` the caller's keyed 128-bit hash of a symbol, split in two words, the key of the references
/// `r₀, r₁, …` is, word by word and modulo 2⁶⁴,
///
/// ```text
/// key = Σ h(symbol[rᵢ]) · mᵢ          mᵢ odd, different for each position i and each word, made with h
/// ```
///
/// Two different sequences of symbols give equal keys only if a linear combination of hashes that nobody can
/// predict is zero in both words: about 2⁻¹²⁰ per pair when `h` is a good keyed hash. The sums have no
/// dependency but the addition, so a reference costs about a nanosecond. Labels in another order give another
/// key.
#[derive(Debug, Clone)]
pub struct SeriesKeys<H> {
    hash: H,
    /// One per position of a reference; also the most references a series may have.
    multipliers: Vec<(u64, u64)>,
}

/// The hash of each symbol of one request. Keep it from request to request to reuse its memory.
#[derive(Debug, Clone, Default)]
pub struct SymbolHashes(Vec<(u64, u64)>);

impl<H: Fn(&[u8]) -> u128> SeriesKeys<H> {
    /// Keys made with `hash`, for series of up to `labels_max` labels (see `Limits::labels_per_series`).
    #[must_use]
    pub fn new(hash: H, labels_max: usize) -> Self {
        let multipliers = (0..labels_max.saturating_mul(2))
            .map(|position| {
                let mut seed = *b"multiplier........";
                let (_, tail) = seed.split_at_mut(10);
                tail.copy_from_slice(&(position as u64).to_le_bytes());
                let (low, high) = words(hash(&seed));
                (low | 1, high | 1)
            })
            .collect();
        Self { hash, multipliers }
    }

    /// Hashes every symbol of a request into `hashes`, whatever that held before.
    pub fn hash_symbols(&self, symbols: &Symbols<'_>, hashes: &mut SymbolHashes) {
        hashes.0.clear();
        hashes
            .0
            .extend(symbols.iter_bytes().map(|symbol| words((self.hash)(symbol))));
    }

    /// The key of `series`, whose request's symbols `hashes` were made of.
    ///
    /// # Errors
    /// The reason, when the references are broken, odd in number, more than allowed or out of range.
    #[inline]
    pub fn key(&self, series: &TimeSeries<'_>, hashes: &SymbolHashes) -> Result<u128, LabelsError> {
        let (mut low, mut high) = (0_u64, 0_u64);
        let mut multipliers = self.multipliers.iter();
        series.for_each_ref(|reference| {
            let Some(&(low_word, high_word)) = hashes.0.get(reference as usize) else {
                return Err(LabelsError::ReferenceOutOfRange {
                    reference,
                    n_symbols: hashes.0.len(),
                });
            };
            let Some(&(low_multiplier, high_multiplier)) = multipliers.next() else {
                return Err(LabelsError::TooManyLabels {
                    limit: self.multipliers.len() / 2,
                });
            };
            low = low.wrapping_add(low_word.wrapping_mul(low_multiplier));
            high = high.wrapping_add(high_word.wrapping_mul(high_multiplier));
            Ok(())
        })?;
        let n_refs = self.multipliers.len() - multipliers.len();
        if n_refs % 2 == 1 {
            return Err(LabelsError::OddReferences { n_refs });
        }
        Ok((u128::from(high) << 64) | u128::from(low))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves are what is wanted"
)]
fn words(hash: u128) -> (u64, u64) {
    (hash as u64, (hash >> 64) as u64)
}
