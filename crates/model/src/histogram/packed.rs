//! Counts as bytes: the form in which a histogram travels from a message to the log and into the head.
//!
//! ```text
//! integers: varint   all observations
//!           varint   those in the zero bucket
//!           varint   per positive bucket, zigzag: the first count, then the difference of each to the one before
//!           varint   per negative bucket, likewise from its first one on
//! floats:   8        the bits of each count, little endian, in the same order
//! ```
//! Buckets of integers are as remote write has them, so that they are copied from a message and not taken apart; a bucket
//! is a byte or two, a sixth of a word. Varints are LEB128, seven bits per byte; forms longer than needed are read.
//!
//! Nothing here trusts its bytes: what is not as many counts as the layout says, each of 64 bits, gives nothing.

use std::sync::Arc;

mod walk;

use walk::{read_varint, sum_of_buckets, unpack_buckets, walk};

use super::{CountForm, CounterResetHint, FloatHistogram, HistogramLayout, NativeHistogram};

/// A histogram whose counts are bytes, and whose layout lies elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct PackedHistogram<'a> {
    /// Shared with others.
    pub layout: &'a Arc<HistogramLayout>,
    /// As it came.
    pub hint: CounterResetHint,
    /// As [`FloatHistogram::sum`](super::FloatHistogram::sum).
    pub sum: f64,
    /// Its counts.
    pub bytes: &'a [u8],
}

/// The counts of a histogram of integers as they stand in a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct IntegerCounts<'a> {
    /// All observations.
    pub count: u64,
    /// Those in the zero bucket.
    pub zero_count: u64,
    /// Zigzag varints of the positive buckets.
    pub positive: &'a [u8],
    /// Those of the negative buckets.
    pub negative: &'a [u8],
}

impl<'a> PackedHistogram<'a> {
    /// The same with words for counts, which take the place of what `words` holds; nothing if the bytes are not the counts
    /// of the layout.
    #[must_use]
    pub fn unpack<'w>(&self, words: &'w mut Vec<u64>) -> Option<NativeHistogram<'w>>
    where
        'a: 'w,
    {
        unpack(self.layout, self.bytes, words)?;
        Some(NativeHistogram {
            layout: self.layout,
            hint: self.hint,
            sum: self.sum,
            counts: words,
        })
    }

    /// The same with float counts; nothing if the bytes are not the counts of the layout.
    #[must_use]
    pub fn to_float(&self) -> Option<FloatHistogram> {
        let mut words = Vec::new();
        Some(self.unpack(&mut words)?.to_float())
    }
}

impl IntegerCounts<'_> {
    /// True when the buckets are as many as the layout has, none of them is below zero, and their sum fits the count: what
    /// [`NativeHistogram::validate_counts`] checks of valid ones. False means that one has to look closer, for some of
    /// those with more than 2^44 observations in a bucket are right.
    pub(super) fn are_sound(&self, layout: &HistogramLayout, sum: f64) -> bool {
        let (n_positive, n_negative) = layout.n_buckets();
        let (Some(positive), Some(negative)) = (
            sum_of_buckets(self.positive, n_positive),
            sum_of_buckets(self.negative, n_negative),
        ) else {
            return false;
        };
        if layout.form() != CountForm::Integer || self.zero_count != 0 && layout.schema().is_custom() {
            return false;
        }
        // Both are below 2^61.
        let in_buckets = self.zero_count.checked_add(positive + negative);
        // A NaN is observed without falling into any bucket.
        match sum.is_nan() {
            true => in_buckets.is_some_and(|in_buckets| in_buckets <= self.count),
            false => in_buckets == Some(self.count),
        }
    }

    /// Appends them.
    pub(super) fn push_to(&self, bytes: &mut Vec<u8>) {
        push_varint(bytes, self.count);
        push_varint(bytes, self.zero_count);
        for buckets in [self.positive, self.negative] {
            // To copy nothing costs a call.
            if !buckets.is_empty() {
                bytes.extend_from_slice(buckets);
            }
        }
    }
}

/// Appends the counts of a histogram.
///
/// # Panics
/// If there are fewer than its layout says.
pub fn pack(histogram: &NativeHistogram<'_>, bytes: &mut Vec<u8>) {
    if histogram.layout.form() == CountForm::Float {
        let words = histogram.counts.iter();
        return words.for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    }
    let (n_positive, n_negative) = histogram.layout.n_buckets();
    let (totals, buckets) = histogram
        .counts
        .split_at(histogram.counts.len() - n_positive - n_negative);
    let (positive, negative) = buckets.split_at(n_positive);
    bytes.reserve(2 * histogram.counts.len());
    totals.iter().for_each(|total| push_varint(bytes, *total));
    for side in [positive, negative] {
        let mut before = 0;
        for count in side {
            push_varint(bytes, zigzag(count.wrapping_sub(before).cast_signed()));
            before = *count;
        }
    }
}

/// Puts the words of the counts of that layout in place of what `words` holds; nothing if the bytes are something else.
/// Then the words are of no meaning.
#[must_use]
pub fn unpack(layout: &HistogramLayout, bytes: &[u8], words: &mut Vec<u64>) -> Option<()> {
    let n_counts = layout.n_counts();
    // Each takes a byte or more, so that few bytes cannot ask for much memory.
    if bytes.len() < n_counts {
        return None;
    }
    if words.len() != n_counts {
        words.clear();
        words.resize(n_counts, 0);
    }
    if layout.form() == CountForm::Float {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*chunk);
        }
        return (chunks.len() == n_counts && rest.is_empty()).then_some(());
    }
    let (count, rest) = read_varint(bytes)?;
    let (zero_count, rest) = read_varint(rest)?;
    let (totals, buckets) = words.split_first_chunk_mut::<2>()?;
    *totals = [count, zero_count];
    let (n_positive, n_negative) = layout.n_buckets();
    let (positive, negative) = buckets.split_at_mut_checked(n_positive)?;
    let rest = match n_negative {
        0 => unpack_buckets(rest, positive)?,
        _ => unpack_buckets(unpack_buckets(rest, positive)?, negative)?,
    };
    rest.is_empty().then_some(())
}

/// True when [`unpack`] gives something.
pub(super) fn is_sound(layout: &HistogramLayout, bytes: &[u8]) -> bool {
    if layout.form() == CountForm::Float {
        return bytes.len() == 8 * layout.n_counts();
    }
    let (n_positive, n_negative) = layout.n_buckets();
    let totals = read_varint(bytes).and_then(|(_, rest)| read_varint(rest));
    let behind = totals
        .and_then(|(_, rest)| walk(rest, n_positive, |_| {}))
        .and_then(|rest| walk(rest, n_negative, |_| {}));
    behind.is_some_and(<[u8]>::is_empty)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "seven bits at a time are what is wanted"
)]
fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn zigzag(difference: i64) -> u64 {
    (difference << 1 ^ difference >> 63).cast_unsigned()
}

#[cfg(test)]
mod tests;
