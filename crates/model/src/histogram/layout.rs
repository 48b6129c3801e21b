//! A histogram with its layout apart from its counts: how it is taken in and kept.
//!
//! The samples of one series nearly always share their layout, and what changes are the counts alone. They are words,
//! so that integers stay integers and floats keep their bits.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::buckets::kept_spans;
use super::{BUCKETS_MAX, Buckets, CounterResetHint, FloatHistogram, HistogramError, Schema, Span};

/// What a word of a histogram's counts is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CountForm {
    /// The count.
    #[default]
    Integer,
    /// The bits of the count as a float.
    Float,
}

/// Everything about a histogram that is neither count nor sum. Equal bit for bit, or not equal.
///
/// Invariants: those of [`Buckets`] hold for both sides, and neither has more than [`BUCKETS_MAX`].
#[derive(Debug, Clone, Default)]
pub struct HistogramLayout {
    form: CountForm,
    schema: Schema,
    zero_threshold: f64,
    positive: Box<[Span]>,
    negative: Box<[Span]>,
    n_positive: u32,
    n_negative: u32,
    custom_bounds: Arc<[f64]>,
}

/// The bounds of a histogram: what a [`HistogramLayout`] is made of, besides its spans.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// See [`FloatHistogram::schema`].
    pub schema: Schema,
    /// See [`FloatHistogram::zero_threshold`].
    pub zero_threshold: f64,
    /// See [`FloatHistogram::custom_bounds`].
    pub custom_bounds: Arc<[f64]>,
}

/// Words of a histogram before those of its buckets: all observations, and those in the zero bucket.
pub const N_TOTALS: usize = 2;

impl HistogramLayout {
    /// The layout of these spans. Empty ones are allowed and left out.
    ///
    /// # Errors
    /// As [`Buckets::new`], and [`HistogramError::TooManyBuckets`].
    pub fn new(
        form: CountForm,
        bounds: Bounds,
        positive: &[Span],
        negative: &[Span],
    ) -> Result<Self, HistogramError> {
        let (positive, n_positive) = checked_spans(positive)?;
        let (negative, n_negative) = checked_spans(negative)?;
        if bounds.custom_bounds.len() > BUCKETS_MAX {
            return Err(HistogramError::TooManyBuckets(bounds.custom_bounds.len()));
        }
        Ok(Self {
            form,
            schema: bounds.schema,
            zero_threshold: bounds.zero_threshold,
            positive: positive.into(),
            negative: negative.into(),
            n_positive,
            n_negative,
            custom_bounds: bounds.custom_bounds,
        })
    }

    /// What the words of its counts are.
    #[must_use]
    pub fn form(&self) -> CountForm {
        self.form
    }

    /// Where its bounds lie.
    #[must_use]
    pub fn schema(&self) -> Schema {
        self.schema
    }

    /// Half the width of its zero bucket.
    #[must_use]
    pub fn zero_threshold(&self) -> f64 {
        self.zero_threshold
    }

    /// Bounds of custom buckets.
    #[must_use]
    pub fn custom_bounds(&self) -> &Arc<[f64]> {
        &self.custom_bounds
    }

    /// Where the positive buckets lie.
    #[must_use]
    pub fn positive(&self) -> &[Span] {
        &self.positive
    }

    /// Where the negative buckets lie.
    #[must_use]
    pub fn negative(&self) -> &[Span] {
        &self.negative
    }

    /// Words that the counts of such a histogram have: [`N_TOTALS`], then one per positive bucket and one per negative
    /// bucket.
    #[must_use]
    pub fn n_counts(&self) -> usize {
        N_TOTALS + self.n_positive as usize + self.n_negative as usize
    }

    /// How many buckets the positive side has, and the negative one.
    #[inline]
    #[must_use]
    pub fn n_buckets(&self) -> (usize, usize) {
        (self.n_positive as usize, self.n_negative as usize)
    }

    /// Bytes it takes in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.positive)
            + size_of_val(&*self.negative)
            + size_of_val(&*self.custom_bounds)
    }
}

fn checked_spans(spans: &[Span]) -> Result<(Vec<Span>, u32), HistogramError> {
    let (spans, n_spanned) = kept_spans(spans)?;
    let n_buckets = u32::try_from(n_spanned)
        .ok()
        .filter(|n| *n as usize <= BUCKETS_MAX);
    let too_many = || HistogramError::TooManyBuckets(usize::try_from(n_spanned).unwrap_or(usize::MAX));
    Ok((spans, n_buckets.ok_or_else(too_many)?))
}

impl PartialEq for HistogramLayout {
    fn eq(&self, other: &Self) -> bool {
        self.form == other.form
            && self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive == other.positive
            && self.negative == other.negative
            && bits(&self.custom_bounds).eq(bits(&other.custom_bounds))
    }
}

impl Eq for HistogramLayout {}

impl Hash for HistogramLayout {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.form.hash(state);
        self.schema.hash(state);
        self.zero_threshold.to_bits().hash(state);
        self.positive.hash(state);
        self.negative.hash(state);
        bits(&self.custom_bounds).for_each(|bits| bits.hash(state));
    }
}

fn bits(values: &[f64]) -> impl Iterator<Item = u64> + '_ {
    values.iter().map(|value| value.to_bits())
}

/// A histogram whose layout lies elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct NativeHistogram<'a> {
    /// Shared with others.
    pub layout: &'a Arc<HistogramLayout>,
    /// As it came.
    pub hint: CounterResetHint,
    /// As [`FloatHistogram::sum`].
    pub sum: f64,
    /// As many as [`HistogramLayout::n_counts`] says, in that order.
    pub counts: &'a [u64],
}

impl NativeHistogram<'_> {
    /// The same with float counts; integers above 2^53 are rounded.
    ///
    /// # Panics
    /// If there are fewer counts than the layout says.
    #[must_use]
    pub fn to_float(&self) -> FloatHistogram {
        let layout = self.layout;
        let (totals, buckets) = self.counts.split_at(N_TOTALS);
        let (positive, negative) = buckets.split_at(layout.n_positive as usize);
        let side = |spans: &[Span], words: &[u64]| {
            let counts = words.iter().map(|word| count(layout.form, *word));
            Buckets::of_spans(spans.to_vec(), counts.collect())
        };
        FloatHistogram {
            counter_reset_hint: self.hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: count(layout.form, totals[1]),
            count: count(layout.form, totals[0]),
            sum: self.sum,
            positive: side(&layout.positive, positive),
            negative: side(&layout.negative, negative),
            custom_bounds: Arc::clone(&layout.custom_bounds),
        }
    }

    /// True when both have the same layout and counts; neither hint nor sum is compared.
    #[must_use]
    pub fn has_counts_of(&self, other: &Self) -> bool {
        self.has_layout_of(other) && self.counts == other.counts
    }

    /// True when both have the same layout.
    #[inline]
    #[must_use]
    pub fn has_layout_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.layout, other.layout) || self.layout == other.layout
    }
}

#[inline]
fn count(form: CountForm, word: u64) -> f64 {
    match form {
        CountForm::Integer => word as f64,
        CountForm::Float => f64::from_bits(word),
    }
}

impl FloatHistogram {
    /// Its layout, of floats.
    ///
    /// # Errors
    /// [`HistogramError::TooManyBuckets`].
    pub fn layout(&self) -> Result<HistogramLayout, HistogramError> {
        let bounds = Bounds {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            custom_bounds: Arc::clone(&self.custom_bounds),
        };
        HistogramLayout::new(
            CountForm::Float,
            bounds,
            self.positive.spans(),
            self.negative.spans(),
        )
    }

    /// Appends the words of its counts: count, zero count, positive and negative buckets.
    pub fn push_counts(&self, words: &mut Vec<u64>) {
        words.extend(bits(&[self.count, self.zero_count]));
        words.extend(bits(self.positive.counts()).chain(bits(self.negative.counts())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: [Span; 3] = [
        Span {
            offset: -3,
            length: 2,
        },
        Span { offset: 4, length: 0 },
        Span { offset: 0, length: 1 },
    ];

    fn layout(form: CountForm) -> Arc<HistogramLayout> {
        let bounds = Bounds {
            zero_threshold: 0.5,
            ..Bounds::default()
        };
        Arc::new(HistogramLayout::new(form, bounds, &SPANS, &SPANS[..1]).unwrap())
    }

    fn histogram<'a>(layout: &'a Arc<HistogramLayout>, counts: &'a [u64]) -> NativeHistogram<'a> {
        NativeHistogram {
            layout,
            hint: CounterResetHint::Reset,
            sum: 7.5,
            counts,
        }
    }

    #[test]
    fn integers_become_floats_in_the_same_buckets() {
        let layout = layout(CountForm::Integer);
        assert_eq!(layout.n_counts(), 7);
        let float = histogram(&layout, &[10, 1, 2, 3, 4, 0, 5]).to_float();
        assert_eq!((float.count, float.zero_count, float.sum), (10.0, 1.0, 7.5));
        let positive: Vec<_> = float.positive.iter().collect();
        assert_eq!(positive, [(-3, 2.0), (-2, 3.0), (3, 4.0)]);
        let negative: Vec<_> = float.negative.iter().collect();
        assert_eq!(negative, [(-3, 0.0), (-2, 5.0)]);
        assert_eq!(float.counter_reset_hint, CounterResetHint::Reset);
    }

    #[test]
    fn floats_are_the_same_again() {
        let odd = f64::from_bits(0x7ff8_0000_0000_beef);
        let shape = layout(CountForm::Float);
        let words = [1.5, -0.0, odd, 1.0, 2.0, 3.0, 4.0].map(f64::to_bits);
        let float = histogram(&shape, &words).to_float();
        let again = Arc::new(float.layout().unwrap());
        assert_eq!(again, shape);
        let mut counts = Vec::new();
        float.push_counts(&mut counts);
        assert_eq!(counts, words);
        assert_eq!(histogram(&again, &counts).to_float(), float);
    }

    #[test]
    fn layouts_differ_by_form_and_bits() {
        assert_ne!(layout(CountForm::Integer), layout(CountForm::Float));
        let of = |zero_threshold: f64| {
            let bounds = Bounds {
                zero_threshold,
                ..Bounds::default()
            };
            HistogramLayout::new(CountForm::Float, bounds, &[], &[]).unwrap()
        };
        assert_ne!(of(0.0), of(-0.0));
        assert_eq!(of(f64::NAN), of(f64::NAN));
    }

    #[test]
    fn spans_of_too_many_buckets_are_refused() {
        let spans = [Span {
            offset: 0,
            length: BUCKETS_MAX as u32 + 1,
        }];
        let refused = HistogramLayout::new(CountForm::Float, Bounds::default(), &spans, &[]);
        assert_eq!(
            refused.unwrap_err(),
            HistogramError::TooManyBuckets(BUCKETS_MAX + 1)
        );
    }
}
