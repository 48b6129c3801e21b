//! `histogram_quantile` of a native histogram.

use model::FloatHistogram;
use model::histogram::Bucket;

use super::notes::{Note, Notes};
use crate::kernel::math::log2;
use crate::kernel::quantile::beyond_unit_interval;

/// The φ-quantile: interpolated on a logarithmic scale in exponential buckets, linearly in custom buckets and in the zero
/// bucket. A histogram without negative buckets is taken to have no negative observations in its zero bucket, and the
/// other way round.
///
/// −Inf for φ < 0, +Inf for φ > 1, NaN for φ NaN (the caller annotates these), NaN without observations. NaN
/// observations count as the largest; [`Note::NanQuantile`] or [`Note::SkewedQuantile`] is added where they matter.
#[must_use]
pub fn quantile(phi: f64, histogram: &FloatHistogram, notes: &mut Notes) -> f64 {
    if let Some(value) = beyond_unit_interval(phi) {
        return value;
    }
    if histogram.count == 0.0 || phi.is_nan() {
        return f64::NAN;
    }
    // NaN observations are in no bucket, so that ranks can only be counted from below.
    let has_nan_sum = histogram.sum.is_nan();
    let from_below = has_nan_sum || phi < 0.5;
    let mut ascending = histogram.buckets();
    let (rank, (mut bucket, count)) = if from_below {
        let rank = phi * histogram.count;
        (rank, reach(rank, &mut ascending))
    } else {
        let rank = (1.0 - phi) * histogram.count;
        (rank, reach(rank, &mut histogram.buckets().rev()))
    };
    if let Some(value) = clip(histogram, &mut bucket) {
        return value;
    }
    // Rounding may have made it more than there are.
    let count = if count > histogram.count {
        histogram.count
    } else {
        count
    };
    if count < rank {
        if has_nan_sum {
            notes.add(Note::NanQuantile);
            return f64::NAN;
        }
        return bucket.upper;
    }
    let rank_in_bucket = if from_below {
        rank - (count - bucket.count)
    } else {
        count - rank
    };
    if has_nan_sum {
        let mut total = count;
        for next in ascending {
            // Prometheus 3.14 goes on with the last bucket here, wherever the rank was found.
            bucket = next;
            total += next.count;
        }
        // Otherwise the sum is NaN because +Inf and −Inf were observed.
        notes.add_if(total < histogram.count, Note::SkewedQuantile);
    }
    interpolate(histogram, bucket, rank_in_bucket / bucket.count)
}

/// Goes on until the buckets together hold at least `rank` observations. Gives back the last bucket seen and how many
/// observations there were up to its end.
fn reach(rank: f64, buckets: &mut impl Iterator<Item = Bucket>) -> (Bucket, f64) {
    let mut last = Bucket::default();
    let mut count = 0.0;
    for bucket in buckets {
        last = bucket;
        if bucket.count != 0.0 {
            count += bucket.count;
            if count >= rank {
                break;
            }
        }
    }
    (last, count)
}

/// Brings in what is known of the ends of the bucket that was found, or gives back the quantile if nothing can be
/// interpolated.
fn clip(histogram: &FloatHistogram, bucket: &mut Bucket) -> Option<f64> {
    if !histogram.is_custom() {
        if bucket.lower < 0.0 && bucket.upper > 0.0 {
            clip_zero(histogram, bucket);
        }
        return None;
    }
    if bucket.lower == f64::NEG_INFINITY {
        if bucket.upper <= 0.0 {
            return Some(bucket.upper);
        }
        bucket.lower = 0.0;
        return None;
    }
    (bucket.upper == f64::INFINITY).then_some(bucket.lower)
}

/// Ends the zero bucket at 0 if all other buckets are on one side of it.
pub(super) fn clip_zero(histogram: &FloatHistogram, zero: &mut Bucket) {
    match (histogram.negative.is_empty(), histogram.positive.is_empty()) {
        (true, false) => zero.lower = 0.0,
        (false, true) => zero.upper = 0.0,
        _ => {}
    }
}

fn interpolate(histogram: &FloatHistogram, bucket: Bucket, fraction: f64) -> f64 {
    let Bucket { lower, upper, .. } = bucket;
    if histogram.is_custom() || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (log2(lower.abs()), log2(upper.abs()));
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}
