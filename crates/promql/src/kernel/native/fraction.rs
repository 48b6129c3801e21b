//! `histogram_fraction` of a native histogram.

use model::FloatHistogram;
use model::histogram::Bucket;

use super::notes::{Note, Notes};
use super::quantile::clip_zero;
use super::trim::fraction_below;

/// The share of observations between `lower` and `upper`, interpolated as [`super::quantile()`] does.
///
/// NaN without observations or if a limit is NaN, 0 if `lower >= upper`. NaN observations are in no share;
/// [`Note::NanFraction`] is added if there are any.
#[must_use]
pub fn fraction(lower: f64, upper: f64, histogram: &FloatHistogram, notes: &mut Notes) -> f64 {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (mut lower, mut upper) = (Limit::new(lower), Limit::new(upper));
    let (mut rank, mut in_buckets) = (0.0, 0.0);
    for mut bucket in histogram.buckets() {
        in_buckets += bucket.count;
        let holds_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if holds_zero {
            clip_zero(histogram, &mut bucket);
        }
        let is_linear = histogram.is_custom() || holds_zero;
        lower.look_at(bucket, rank, is_linear);
        upper.look_at(bucket, rank, is_linear);
        if lower.rank.is_some() && upper.rank.is_some() && !histogram.sum.is_nan() {
            break;
        }
        rank += bucket.count;
    }
    let observed = if histogram.sum.is_nan() {
        notes.add_if(in_buckets < histogram.count, Note::NanFraction);
        in_buckets
    } else {
        histogram.count
    };
    (upper.rank_up_to(observed) - lower.rank_up_to(observed)) / histogram.count
}

/// A limit, and how many observations lie below it once that is known.
struct Limit {
    value: f64,
    rank: Option<f64>,
}

impl Limit {
    fn new(value: f64) -> Self {
        Self { value, rank: None }
    }

    /// `rank` observations lie below the bucket.
    fn look_at(&mut self, bucket: Bucket, rank: f64, is_linear: bool) {
        if self.rank.is_some() {
            return;
        }
        if bucket.lower >= self.value {
            self.rank = Some(rank);
        } else if bucket.upper > self.value {
            self.rank = Some(if is_linear && bucket.lower == f64::NEG_INFINITY {
                // There is no middle to go by, nor in the last bucket, whose width makes the fraction 0.
                bucket.count
            } else {
                rank + bucket.count * fraction_below(bucket, self.value, is_linear)
            });
        }
    }

    fn rank_up_to(&self, observed: f64) -> f64 {
        match self.rank {
            Some(rank) if rank <= observed || rank.is_nan() => rank,
            _ => observed,
        }
    }
}
