//! Histograms as client libraries and wire formats have them: integer counts, each bucket as the difference to the one
//! before it.

use std::sync::Arc;

use super::validate::valid_schema;
use super::{BUCKETS_MAX, Buckets, CounterResetHint, FloatHistogram, HistogramError, Schema, Span};
use crate::sample::is_stale_nan;

/// A histogram of integers, as it lies in a message.
#[derive(Debug, Clone, Default)]
pub struct IntegerHistogram<'a> {
    /// What is known about a counter reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// The number of a valid schema, or of a higher exponential one up to 52, which is brought down to 8.
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Sum of all observations, or the staleness marker.
    pub sum: f64,
    /// Where the positive buckets lie.
    pub positive_spans: &'a [Span],
    /// The first positive count, then the differences of each to the one before.
    pub positive_deltas: &'a [i64],
    /// Where the negative buckets lie.
    pub negative_spans: &'a [Span],
    /// As `positive_deltas`.
    pub negative_deltas: &'a [i64],
    /// See [`FloatHistogram::custom_bounds`].
    pub custom_bounds: Arc<[f64]>,
}

impl IntegerHistogram<'_> {
    /// The same histogram with float counts, validated. A staleness marker is not looked at any further.
    ///
    /// Counts above 2^53 are rounded.
    ///
    /// # Errors
    /// What [`FloatHistogram::validate`] refuses, and [`HistogramError::CountMismatch`].
    pub fn to_float(&self) -> Result<FloatHistogram, HistogramError> {
        let hint = self.counter_reset_hint;
        if is_stale_nan(self.sum) {
            return Ok(FloatHistogram {
                counter_reset_hint: hint,
                ..FloatHistogram::stale()
            });
        }
        let (positive, n_positive) = buckets(self.positive_spans, self.positive_deltas)?;
        let (negative, n_negative) = buckets(self.negative_spans, self.negative_deltas)?;
        let (schema, positive, negative) = FloatHistogram::supported(self.schema, positive, negative)?;
        let histogram = FloatHistogram {
            counter_reset_hint: hint,
            schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive,
            negative,
            custom_bounds: Arc::clone(&self.custom_bounds),
        };
        histogram.validate()?;
        let in_buckets = n_positive + n_negative + u128::from(self.zero_count);
        // A NaN is observed without falling into any bucket.
        let fits = if self.sum.is_nan() {
            in_buckets <= u128::from(self.count)
        } else {
            in_buckets == u128::from(self.count)
        };
        if fits {
            Ok(histogram)
        } else {
            Err(HistogramError::CountMismatch {
                count: self.count,
                in_buckets,
            })
        }
    }
}

impl FloatHistogram {
    /// The schema of that number with these buckets. Known exponential schemas above the valid ones are brought down to
    /// [`Schema::HIGHEST`].
    ///
    /// # Errors
    /// [`HistogramError::Schema`].
    pub fn supported(
        number: i32,
        positive: Buckets,
        negative: Buckets,
    ) -> Result<(Schema, Buckets, Buckets), HistogramError> {
        let highest = Schema::HIGHEST.number();
        if !(highest + 1..=Schema::RESERVED_MAX).contains(&number) {
            return Ok((valid_schema(number)?, positive, negative));
        }
        let halvings = number.abs_diff(highest);
        Ok((
            Schema::HIGHEST,
            positive.reduced(halvings),
            negative.reduced(halvings),
        ))
    }
}

/// The buckets of one side and their sum.
fn buckets(spans: &[Span], deltas: &[i64]) -> Result<(Buckets, u128), HistogramError> {
    if deltas.len() > BUCKETS_MAX {
        return Err(HistogramError::TooManyBuckets(deltas.len()));
    }
    let mut counts = Vec::with_capacity(deltas.len());
    // 2^16 differences of 64 bits fit easily.
    let (mut count, mut sum) = (0_i128, 0_u128);
    for &delta in deltas {
        count += i128::from(delta);
        sum += u128::try_from(count).map_err(|_| HistogramError::NegativeCount(count as f64))?;
        counts.push(count as f64);
    }
    Ok((Buckets::new(spans, counts)?, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: [Span; 2] = [Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }];

    fn integer() -> IntegerHistogram<'static> {
        IntegerHistogram {
            count: 9,
            sum: 18.5,
            zero_count: 1,
            zero_threshold: 0.001,
            positive_spans: &SPANS,
            positive_deltas: &[2, 1, -2],
            negative_spans: &SPANS[1..],
            negative_deltas: &[2],
            ..IntegerHistogram::default()
        }
    }

    #[track_caller]
    fn refused(histogram: &IntegerHistogram<'_>, expected: &HistogramError) {
        assert_eq!(histogram.to_float().unwrap_err(), *expected);
    }

    #[test]
    fn buckets_are_written_as_differences() {
        let float = integer().to_float().unwrap();
        assert_eq!(
            float.positive.iter().collect::<Vec<_>>(),
            [(0, 2.0), (1, 3.0), (3, 1.0)]
        );
        assert_eq!(float.negative.iter().collect::<Vec<_>>(), [(1, 2.0)]);
        assert_eq!((float.count, float.zero_count, float.sum), (9.0, 1.0, 18.5));
    }

    #[test]
    fn a_resolution_that_is_too_high_is_brought_down() {
        let fine = IntegerHistogram {
            schema: 10,
            ..integer()
        };
        let reduced = fine.to_float().unwrap();
        assert_eq!(reduced.schema, Schema::HIGHEST);
        assert_eq!(reduced.positive.iter().collect::<Vec<_>>(), [(0, 2.0), (1, 4.0)]);
        for schema in [-5, 53, -54, i32::MIN, i32::MAX] {
            refused(
                &IntegerHistogram { schema, ..integer() },
                &HistogramError::Schema(schema),
            );
        }
    }

    #[test]
    fn the_count_must_fit_exactly_unless_a_nan_was_observed() {
        let mismatch = |count: u64| HistogramError::CountMismatch { count, in_buckets: 9 };
        let more = IntegerHistogram {
            count: 10,
            ..integer()
        };
        refused(&more, &mismatch(10));
        assert!(
            IntegerHistogram {
                sum: f64::NAN,
                ..more
            }
            .to_float()
            .is_ok()
        );
        refused(
            &IntegerHistogram {
                count: 8,
                sum: f64::NAN,
                ..integer()
            },
            &mismatch(8),
        );
    }

    #[test]
    fn impossible_counts_are_refused_without_overflow() {
        let negative = IntegerHistogram {
            positive_deltas: &[2, -3, 1],
            ..integer()
        };
        refused(&negative, &HistogramError::NegativeCount(-1.0));
        let extreme = IntegerHistogram {
            positive_deltas: &[i64::MAX, i64::MAX, i64::MIN],
            ..integer()
        };
        assert!(matches!(
            extreme.to_float(),
            Err(HistogramError::CountMismatch { .. })
        ));
    }

    #[test]
    fn a_staleness_marker_is_not_looked_at() {
        let stale = IntegerHistogram {
            sum: crate::stale_nan(),
            count: 77,
            ..integer()
        };
        assert!(stale.to_float().unwrap().is_stale());
    }
}
