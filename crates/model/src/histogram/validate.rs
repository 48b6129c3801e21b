//! Whether the fields of a histogram fit each other.

use super::{Buckets, CountForm, FloatHistogram, HistogramLayout, N_TOTALS, NativeHistogram, Schema, Span};

/// Buckets that one side of a valid histogram may have, empty ones included, and custom bounds.
///
/// Client libraries stop at a few hundred. All of 64-bit floats in the highest schema would be 524,544 per side.
pub const BUCKETS_MAX: usize = 1 << 16;

/// What is wrong with a histogram that came in. All variants are the sender's fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// Not one of the valid schemas.
    #[error(
        "schema {0} of a native histogram is not supported: exponential ones are -4 to 8, custom buckets have -53"
    )]
    Schema(i32),
    /// Only the first span may begin below the one before.
    #[error("span {span} of a native histogram goes back by {offset} buckets")]
    NegativeOffset {
        /// Its position, from 0.
        span: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans and buckets do not fit.
    #[error("spans of a native histogram cover {n_spanned} buckets, but there are {n_buckets}")]
    SpansMismatch {
        /// Sum of the spans' lengths.
        n_spanned: u64,
        /// Number of counts.
        n_buckets: usize,
    },
    /// A bucket lies far outside of what floats can be.
    #[error("a bucket index of a native histogram is out of range")]
    IndexRange,
    /// More than [`BUCKETS_MAX`].
    #[error("a native histogram has {0} buckets or bounds, the limit is {BUCKETS_MAX}")]
    TooManyBuckets(usize),
    /// Fewer than no observations.
    #[error("a native histogram has a negative count of {0}")]
    NegativeCount(f64),
    /// The zero bucket is of negative or unknown width.
    #[error("the zero threshold of a native histogram is {0}")]
    ZeroThreshold(f64),
    /// There is a NaN among the bounds, two of them do not ascend, or the last is infinite.
    #[error("custom bounds of a native histogram do not ascend or are not finite at position {0}")]
    CustomBounds(usize),
    /// A custom bucket lies beyond the last bound.
    #[error("a native histogram has bucket {index}, but only {n_bounds} custom bounds")]
    TooFewCustomBounds {
        /// The last index, or the first one if that is negative.
        index: i32,
        /// Number of bounds.
        n_bounds: usize,
    },
    /// Custom buckets have neither a zero bucket nor a negative side, exponential ones have no custom bounds.
    #[error("a native histogram of schema {schema} must not have {what}")]
    Misplaced {
        /// The number of the schema.
        schema: i32,
        /// What it has.
        what: &'static str,
    },
    /// The buckets hold more than all observations, or, without a NaN in the sum, not exactly as many.
    #[error("a native histogram counts {count} observations, but {in_buckets} in its buckets")]
    CountMismatch {
        /// All observations.
        count: u64,
        /// Sum of the buckets.
        in_buckets: u128,
    },
}

impl FloatHistogram {
    /// Checks that the fields fit each other. As counts are floats, their sum is not compared with the count.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), HistogramError> {
        for n_buckets in [self.positive.len(), self.negative.len(), self.custom_bounds.len()] {
            if n_buckets > BUCKETS_MAX {
                return Err(HistogramError::TooManyBuckets(n_buckets));
            }
        }
        if self.is_custom() {
            self.validate_custom()?;
        } else if !self.custom_bounds.is_empty() {
            return Err(self.misplaced("custom bounds"));
        }
        if self.zero_threshold.is_nan() || self.zero_threshold < 0.0 {
            return Err(HistogramError::ZeroThreshold(self.zero_threshold));
        }
        let counts = [self.count, self.zero_count].into_iter();
        let counts = counts
            .chain(counts_of(&self.negative))
            .chain(counts_of(&self.positive));
        match counts.into_iter().find(|&count| count < 0.0) {
            Some(count) => Err(HistogramError::NegativeCount(count)),
            None => Ok(()),
        }
    }

    fn validate_custom(&self) -> Result<(), HistogramError> {
        if self.zero_count != 0.0 || self.zero_threshold != 0.0 {
            return Err(self.misplaced("a zero bucket"));
        }
        if !self.negative.is_empty() {
            return Err(self.misplaced("negative buckets"));
        }
        validate_bounds(&self.custom_bounds)?;
        let n_bounds = self.custom_bounds.len();
        let mut indices = self.positive.iter().map(|(index, _)| index);
        let first = indices.next().into_iter();
        // With the bound +Inf that is not written there is one bucket more than bounds.
        match first
            .chain(indices.next_back())
            .find(|&index| usize::try_from(index).map_or(true, |i| i > n_bounds))
        {
            Some(index) => Err(HistogramError::TooFewCustomBounds { index, n_bounds }),
            None => Ok(()),
        }
    }

    fn misplaced(&self, what: &'static str) -> HistogramError {
        HistogramError::Misplaced {
            schema: self.schema.number(),
            what,
        }
    }
}

impl HistogramLayout {
    /// Checks that the fields fit each other: what [`FloatHistogram::validate`] checks, except for counts.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let schema = self.schema();
        let misplaced = |what: &'static str| HistogramError::Misplaced {
            schema: schema.number(),
            what,
        };
        let (zero_threshold, bounds) = (self.zero_threshold(), self.custom_bounds());
        if !schema.is_custom() {
            if !bounds.is_empty() {
                return Err(misplaced("custom bounds"));
            }
            return match zero_threshold >= 0.0 {
                true => Ok(()),
                false => Err(HistogramError::ZeroThreshold(zero_threshold)),
            };
        }
        if zero_threshold != 0.0 {
            return Err(misplaced("a zero bucket"));
        }
        if !self.negative().is_empty() {
            return Err(misplaced("negative buckets"));
        }
        validate_bounds(bounds)?;
        let n_bounds = bounds.len();
        match ends(self.positive()).find(|index| usize::try_from(*index).map_or(true, |i| i > n_bounds)) {
            Some(index) => Err(HistogramError::TooFewCustomBounds { index, n_bounds }),
            None => Ok(()),
        }
    }
}

/// The first and the last index of spans, if there is any.
fn ends(spans: &[Span]) -> impl Iterator<Item = i32> {
    let end: i64 = spans
        .iter()
        .map(|span| i64::from(span.offset) + i64::from(span.length))
        .sum();
    let first = spans.first().map(|span| span.offset);
    // Indices of a layout fit.
    let last = first.and_then(|_| i32::try_from(end - 1).ok());
    first.into_iter().chain(last)
}

impl NativeHistogram<'_> {
    /// Checks the counts of a histogram whose layout is valid, as [`FloatHistogram::validate`] does; integers must also
    /// add up to the count, or to less if a NaN was observed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate_counts(&self) -> Result<(), HistogramError> {
        let (totals, buckets) = self.counts.split_at(N_TOTALS);
        let has_zero_bucket = match self.layout.form() {
            CountForm::Integer => totals[1] != 0,
            CountForm::Float => f64::from_bits(totals[1]) != 0.0,
        };
        if has_zero_bucket && self.layout.schema().is_custom() {
            return Err(HistogramError::Misplaced {
                schema: self.layout.schema().number(),
                what: "a zero bucket",
            });
        }
        if self.layout.form() == CountForm::Float {
            let mut counts = self.counts.iter().map(|bits| f64::from_bits(*bits));
            return counts
                .find(|count| *count < 0.0)
                .map_or(Ok(()), |count| Err(HistogramError::NegativeCount(count)));
        }
        let in_buckets = u128::from(totals[1]) + buckets.iter().map(|count| u128::from(*count)).sum::<u128>();
        let count = totals[0];
        // A NaN is observed without falling into any bucket.
        let fits = match self.sum.is_nan() {
            true => in_buckets <= u128::from(count),
            false => in_buckets == u128::from(count),
        };
        match fits {
            true => Ok(()),
            false => Err(HistogramError::CountMismatch { count, in_buckets }),
        }
    }
}

/// The schema of that number.
pub(super) fn valid_schema(number: i32) -> Result<Schema, HistogramError> {
    Schema::new(number).ok_or(HistogramError::Schema(number))
}

fn counts_of(buckets: &Buckets) -> impl Iterator<Item = f64> + '_ {
    buckets.counts().iter().copied()
}

fn validate_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    let mut previous = f64::NEG_INFINITY;
    for (position, &bound) in bounds.iter().enumerate() {
        // −Inf may come first: the bucket below it is always empty.
        let ascends = bound > previous || position == 0;
        if bound.is_nan() || bound == f64::INFINITY || !ascends {
            return Err(HistogramError::CustomBounds(position));
        }
        previous = bound;
    }
    Ok(())
}
