//! The operators `</` and `>/`: the part of a histogram on one side of a value.

use model::FloatHistogram;
use model::histogram::Bucket;

/// Which part is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// What was at most the limit: `</`.
    Below,
    /// What was at least the limit: `>/`.
    Above,
}

/// Keeps one part of a histogram. A bucket that holds the limit is divided, on a logarithmic scale if it is exponential,
/// but one of infinite width is dropped. If anything was dropped, count and sum are computed anew, the sum from the
/// middle of each bucket, and the histogram is compacted; otherwise nothing changes.
pub fn trim(histogram: &mut FloatHistogram, limit: f64, kept: Kept) {
    let mut trim = Trim {
        limit,
        kept,
        is_linear: histogram.is_custom(),
        count: 0.0,
        sum: 0.0,
        dropped: false,
    };
    let positive = trim.side(histogram.positive_buckets(), false);
    let negative = trim.side(histogram.negative_buckets(), true);
    let mut zero_count = histogram.zero_count;
    if let Some(mut zero) = histogram.zero_bucket().filter(|zero| zero.count > 0.0) {
        let (has_positive, has_negative) = (!positive.is_empty(), !negative.is_empty());
        if has_negative && !has_positive {
            zero.upper = 0.0;
        }
        if has_positive && !has_negative {
            zero.lower = 0.0;
        }
        zero_count = trim.keep(zero.count, trim.part_of_zero(zero));
    }
    if !trim.dropped {
        return;
    }
    for (position, count) in positive {
        histogram.positive.counts_mut()[position] = count;
    }
    for (position, count) in negative {
        histogram.negative.counts_mut()[position] = count;
    }
    histogram.zero_count = zero_count;
    histogram.count = trim.count;
    histogram.sum = trim.sum;
    histogram.compact(0);
}

/// What is left of a bucket: how much, and where its middle lies.
type Part = (f64, f64);

struct Trim {
    limit: f64,
    kept: Kept,
    is_linear: bool,
    count: f64,
    sum: f64,
    dropped: bool,
}

impl Trim {
    /// The positions of buckets that hold something, and what is left of them.
    fn side(&mut self, buckets: impl Iterator<Item = Bucket>, is_negative: bool) -> Vec<(usize, f64)> {
        let populated = buckets.enumerate().filter(|(_, bucket)| bucket.count != 0.0);
        populated
            .map(|(position, bucket)| {
                (
                    position,
                    self.keep(bucket.count, self.part_of(bucket, is_negative)),
                )
            })
            .collect()
    }

    fn keep(&mut self, before: f64, part: Option<Part>) -> f64 {
        let count = part.map_or(0.0, |(count, _)| count);
        if let Some((count, middle)) = part {
            self.count += count;
            self.sum += middle * count;
        }
        self.dropped |= count != before;
        count
    }

    /// `None` if the bucket lies on the other side of the limit.
    fn part_of(&self, bucket: Bucket, is_negative: bool) -> Option<Part> {
        let Bucket {
            lower, upper, count, ..
        } = bucket;
        let limit = self.limit;
        let (is_whole, is_part) = match self.kept {
            Kept::Below => (upper <= limit, lower < limit),
            Kept::Above => (lower >= limit, upper > limit),
        };
        if is_whole {
            return Some((count, self.middle(lower, upper, is_negative)));
        }
        if !is_part {
            return None;
        }
        if lower == f64::NEG_INFINITY || upper == f64::INFINITY {
            return Some(self.part_of_infinite(bucket));
        }
        let below = count * fraction_below(bucket, limit, self.is_linear);
        Some(match self.kept {
            Kept::Below => (below, self.middle(lower, limit, is_negative)),
            Kept::Above => (count - below, self.middle(limit, upper, is_negative)),
        })
    }

    /// Where the values lie in a bucket without end is not known, so that they are kept or dropped together. But a first
    /// custom bucket with a positive bound is taken to begin at 0.
    fn part_of_infinite(&self, bucket: Bucket) -> Part {
        let Bucket {
            lower, upper, count, ..
        } = bucket;
        let limit = self.limit;
        match self.kept {
            Kept::Below if lower > f64::NEG_INFINITY => (0.0, lower),
            Kept::Above if lower > f64::NEG_INFINITY => (count, limit),
            _ if upper == f64::INFINITY => (0.0, 0.0),
            Kept::Below if upper <= 0.0 => (count, limit),
            Kept::Below if limit > 0.0 => (count * limit / upper, limit / 2.0),
            Kept::Above if limit >= 0.0 => (count * (1.0 - limit / upper), (limit + upper) / 2.0),
            _ => (0.0, upper),
        }
    }

    /// The zero bucket is divided evenly.
    fn part_of_zero(&self, zero: Bucket) -> Option<Part> {
        let Bucket {
            lower, upper, count, ..
        } = zero;
        let limit = self.limit;
        let width = upper - lower;
        let whole = (count, (lower + upper) / 2.0);
        match self.kept {
            Kept::Below if limit <= lower => None,
            Kept::Below if limit >= upper => Some(whole),
            Kept::Below => Some((count * ((limit - lower) / width), (lower + limit) / 2.0)),
            Kept::Above if limit <= lower => Some(whole),
            Kept::Above if limit >= upper => None,
            Kept::Above => Some((count * ((upper - limit) / width), (limit + upper) / 2.0)),
        }
    }

    /// The arithmetic mean of custom bounds, the geometric one of exponential bounds.
    fn middle(&self, lower: f64, upper: f64, is_negative: bool) -> f64 {
        match (lower.is_infinite(), upper.is_infinite()) {
            (true, true) => 0.0,
            (true, false) if upper > 0.0 => upper / 2.0,
            (true, false) => upper,
            (false, true) => lower,
            (false, false) if self.is_linear => (lower + upper) / 2.0,
            (false, false) => {
                let mean = (lower * upper).abs().sqrt();
                if is_negative { -mean } else { mean }
            }
        }
    }
}

/// Which part of a bucket of finite width lies below a value inside of it, on a linear or a logarithmic scale.
pub(super) fn fraction_below(bucket: Bucket, value: f64, is_linear: bool) -> f64 {
    use crate::kernel::math::log2;
    let Bucket { lower, upper, .. } = bucket;
    if is_linear {
        return (value - lower) / (upper - lower);
    }
    let (log_lower, log_upper, log_value) = (log2(lower.abs()), log2(upper.abs()), log2(value.abs()));
    if value > 0.0 {
        (log_value - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - (log_value - log_upper) / (log_lower - log_upper)
    }
}
