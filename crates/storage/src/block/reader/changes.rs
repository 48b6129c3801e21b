//! The sums and integer counts of runs as they are stored since version 3: by what changes from histogram to histogram.

use super::super::decimals::Decimals;
use super::super::page::{PAGE_ROWS_MAX, PageError, RUN_COUNTS_MAX};
use super::histograms::ListColumn;

/// What changes in the runs of a page. All but the scales are bits of integers.
pub(super) struct Changes {
    pub(super) sum_scales: ListColumn<i64>,
    pub(super) sum_steps: ListColumn<f64>,
    pub(super) sum_corrections: ListColumn<f64>,
    /// How many counts stay as they are before each that does not.
    pub(super) gaps: ListColumn<f64>,
    pub(super) changes: ListColumn<f64>,
}

impl Changes {
    /// Appends the sums of a run of `n_rows`, of which those are `kept` that have no scale.
    pub(super) fn push_sums(
        &self,
        run: usize,
        n_rows: usize,
        kept: &[f64],
        sums: &mut Vec<f64>,
    ) -> Result<(), PageError> {
        const INVALID: PageError = PageError::Invalid("sums");
        let (steps, corrections) = (self.sum_steps.of(run), self.sum_corrections.of(run));
        let Ok(scale) = usize::try_from(self.sum_scales.one(run)?) else {
            sums.extend_from_slice(kept);
            let is_all = kept.len() == n_rows && steps.is_empty() && corrections.is_empty();
            return if is_all { Ok(()) } else { Err(INVALID) };
        };
        if steps.len() != n_rows || corrections.len() != n_rows || !kept.is_empty() {
            return Err(INVALID);
        }
        let mut decimals = Decimals::new(scale).ok_or(INVALID)?;
        let steps = steps.iter().zip(corrections);
        sums.extend(steps.map(|(digits, correction)| decimals.sum(integer(*digits), integer(*correction))));
        Ok(())
    }

    /// Appends the counts of a run of `n_rows`, those of one histogram beside each other.
    pub(super) fn push_counts(
        &self,
        run: usize,
        n_rows: usize,
        n_counts: usize,
        words: &mut Vec<u64>,
    ) -> Result<(), PageError> {
        const INVALID: PageError = PageError::Invalid("changes of counts");
        // Few bytes may stand for many counts, so that their number is looked at before there is room for them.
        let n_words = n_rows.saturating_mul(n_counts);
        let is_too_long = n_rows > 1 && n_words > RUN_COUNTS_MAX;
        if is_too_long || words.len() + n_words > PAGE_ROWS_MAX {
            return Err(PageError::Invalid("number of counts"));
        }
        let (gaps, changes) = (self.gaps.of(run), self.changes.of(run));
        if gaps.len() != changes.len() {
            return Err(INVALID);
        }
        let first_word = words.len();
        words.resize(first_word + n_words, 0);
        let mut own = words.get_mut(first_word..).unwrap_or(&mut []);
        for (gap, change) in gaps.iter().zip(changes) {
            let gap = usize::try_from(gap.to_bits()).map_err(|_| INVALID)?;
            let (place, rest) = own
                .split_at_mut_checked(gap)
                .and_then(|(_, rest)| rest.split_first_mut())
                .ok_or(INVALID)?;
            *place = change.to_bits();
            own = rest;
        }
        let own = words.get_mut(first_word..).unwrap_or(&mut []);
        add_up(own, n_counts);
        own.chunks_exact_mut(n_counts).for_each(put_all);
        Ok(())
    }
}

/// Makes counts of changes.
fn add_up(words: &mut [u64], n_counts: usize) {
    let mut before: &[u64] = &[];
    for counts in words.chunks_exact_mut(n_counts) {
        for (count, before) in counts.iter_mut().zip(before) {
            *count = count.wrapping_add(*before);
        }
        before = counts;
    }
}

/// Puts all observations in the place of those in no bucket.
fn put_all(counts: &mut [u64]) {
    let all = counts.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count));
    if let Some(first) = counts.first_mut() {
        *first = all;
    }
}

fn integer(bits: f64) -> i64 {
    bits.to_bits().cast_signed()
}
