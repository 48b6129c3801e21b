//! Classic histograms: cumulative buckets with upper bounds from the label `le`.
//!
//! Source: Prometheus 3.14 `promql/quantile.go`. Native histograms will get kernels of their own beside these.

use super::quantile::{beyond_unit_interval, nan_first};

/// One bucket: how many observations were at most `upper_bound`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Parsed `le`.
    pub upper_bound: f64,
    /// Cumulative.
    pub count: f64,
}

/// A quantile and what had to be done to get it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// The quantile; NaN if there is none.
    pub value: f64,
    /// Set when counts fell from one bucket to the next by more than rounding: an info is due.
    pub repair: Option<Repair>,
}

/// Where counts had to be raised to keep them from falling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repair {
    /// The lowest upper bound of a raised bucket.
    pub lowest_bound: f64,
    /// The highest upper bound of a raised bucket.
    pub highest_bound: f64,
    /// By how much a count was raised at most.
    pub largest_drop: f64,
}

/// Counts that differ by less than this, relative to their sum, are taken to be equal.
const COUNT_TOLERANCE: f64 = 1e-12;

/// The φ-quantile of buckets in any order, which it sorts; equal bounds are added up.
///
/// −Inf for φ < 0, +Inf for φ > 1, NaN for φ NaN (the caller annotates these); NaN without a +Inf bucket, with fewer
/// than two buckets or without observations. Buckets are left sorted and repaired, but not shortened.
#[must_use]
pub fn quantile(phi: f64, buckets: &mut [Bucket]) -> Quantile {
    if buckets.is_empty() {
        return Quantile::none();
    }
    let buckets = sort_and_coalesce(buckets);
    let bounds: Vec<f64> = buckets.iter().map(|bucket| bucket.upper_bound).collect();
    let mut counts: Vec<f64> = buckets.iter().map(|bucket| bucket.count).collect();
    let quantile = quantile_of_sorted(phi, &bounds, &mut counts);
    for (bucket, &count) in buckets.iter_mut().zip(&counts) {
        bucket.count = count;
    }
    quantile
}

/// As [`quantile`], for `bounds` that ascend strictly and the parallel `counts`, which are repaired in place. For
/// operators that know the order of buckets from the plan.
///
/// # Panics
/// If the slices are not of equal length.
#[must_use]
pub fn quantile_of_sorted(phi: f64, bounds: &[f64], counts: &mut [f64]) -> Quantile {
    assert_eq!(bounds.len(), counts.len(), "one count per bound");
    if let Some(value) = beyond_unit_interval(phi) {
        return Quantile { value, repair: None };
    }
    if phi.is_nan() || bounds.last() != Some(&f64::INFINITY) {
        return Quantile::none();
    }
    let repair = repair_counts(bounds, counts);
    Quantile {
        value: interpolate(phi, bounds, counts),
        repair,
    }
}

impl Quantile {
    fn none() -> Self {
        Self {
            value: f64::NAN,
            repair: None,
        }
    }
}

/// The quantile within repaired buckets, the last of which is +Inf.
fn interpolate(phi: f64, bounds: &[f64], counts: &[f64]) -> f64 {
    let [.., observations] = *counts else {
        return f64::NAN;
    };
    let highest_idx = bounds.len() - 1;
    if highest_idx == 0 || observations == 0.0 {
        return f64::NAN;
    }
    let rank = phi * observations;
    let bucket_idx = first_reaching(&counts[..highest_idx], rank);
    if bucket_idx == highest_idx {
        return bounds[highest_idx - 1];
    }
    let end = bounds[bucket_idx];
    let Some(below_idx) = bucket_idx.checked_sub(1) else {
        return if end <= 0.0 {
            end
        } else {
            0.0 + end * (rank / counts[0])
        };
    };
    let (start, below) = (bounds[below_idx], counts[below_idx]);
    start + (end - start) * ((rank - below) / (counts[bucket_idx] - below))
}

/// The position of the first count that is at least `rank`, the length if none is. Bisects exactly as Go's
/// `sort.Search`, which matters when a NaN makes the counts unordered.
fn first_reaching(counts: &[f64], rank: f64) -> usize {
    let (mut low, mut high) = (0, counts.len());
    while low < high {
        let middle = low.midpoint(high);
        if counts[middle] >= rank {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Raises counts that are lower than the one before. Differences as small as rounding are levelled silently, in
/// either direction.
fn repair_counts(bounds: &[f64], counts: &mut [f64]) -> Option<Repair> {
    let (&mut first, rest) = counts.split_first_mut()?;
    let mut previous = first;
    let mut repair: Option<Repair> = None;
    for (count, &bound) in rest.iter_mut().zip(&bounds[1..]) {
        if *count == previous {
            continue;
        }
        if almost_equal(previous, *count) {
            *count = previous;
        } else if *count < previous {
            let drop = previous - *count;
            *count = previous;
            repair = Some(match repair {
                None => Repair {
                    lowest_bound: bound,
                    highest_bound: bound,
                    largest_drop: drop,
                },
                Some(so_far) => Repair {
                    lowest_bound: so_far.lowest_bound.min(bound),
                    highest_bound: so_far.highest_bound.max(bound),
                    largest_drop: so_far.largest_drop.max(drop),
                },
            });
        } else {
            previous = *count;
        }
    }
    repair
}

/// True when two counts differ by less than [`COUNT_TOLERANCE`] of their sum, or are both NaN.
///
/// Source: Prometheus `util/almost`; counts are never staleness markers here.
#[inline]
fn almost_equal(left: f64, right: f64) -> bool {
    if left == right || (left.is_nan() && right.is_nan()) {
        return true;
    }
    let magnitude = left.abs() + right.abs();
    let difference = (left - right).abs();
    if left == 0.0 || right == 0.0 || magnitude < f64::MIN_POSITIVE {
        return difference < COUNT_TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / magnitude.min(f64::MAX) < COUNT_TOLERANCE
}

/// Sorts by bound and adds up buckets of equal bounds; what is returned is a prefix of `buckets`.
fn sort_and_coalesce(buckets: &mut [Bucket]) -> &mut [Bucket] {
    buckets.sort_by(|left, right| nan_first(&left.upper_bound, &right.upper_bound));
    let mut n_kept = 0;
    for position in 0..buckets.len() {
        let bucket = buckets[position];
        match buckets[..n_kept].last_mut() {
            Some(last) if last.upper_bound == bucket.upper_bound => last.count += bucket.count,
            _ => {
                buckets[n_kept] = bucket;
                n_kept += 1;
            }
        }
    }
    &mut buckets[..n_kept]
}

/// The share of observations between `lower` and `upper`, from buckets in any order, which it sorts.
///
/// NaN without a +Inf bucket, without observations or if a bound is NaN; 0 if `lower >= upper`. Counts are not
/// repaired. Nothing is interpolated inside a bucket of infinite width.
#[must_use]
pub fn fraction(lower: f64, upper: f64, buckets: &mut [Bucket]) -> f64 {
    let buckets = sort_and_coalesce(buckets);
    let Some(highest) = buckets.last() else {
        return f64::NAN;
    };
    let observations = highest.count;
    if highest.upper_bound != f64::INFINITY || observations == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let at_most = |limit: f64| match rank_of(limit, buckets) {
        Some(rank) if rank <= observations || rank.is_nan() => rank,
        _ => observations,
    };
    (at_most(upper) - at_most(lower)) / observations
}

/// How many observations lie below `limit`; `None` above all buckets.
fn rank_of(limit: f64, buckets: &[Bucket]) -> Option<f64> {
    // A positive first bound lets us assume that observations are not negative.
    let mut start = match buckets.first() {
        Some(first) if first.upper_bound <= 0.0 => f64::NEG_INFINITY,
        _ => 0.0,
    };
    let mut rank = 0.0;
    for bucket in buckets {
        let end = bucket.upper_bound;
        if start >= limit {
            return Some(rank);
        }
        if end > limit {
            return Some(if start == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (limit - start) / (end - start)
            });
        }
        rank = bucket.count;
        start = end;
    }
    None
}

/// The number of a `le` text, by the rules of Go's `ParseFloat`; `None` if it is malformed or out of range, and then a
/// warning is due.
///
/// Decimal and hexadecimal with optional underscores between digits; `Inf` and `Infinity` with optional sign and `NaN`
/// without, in any case.
#[must_use]
pub fn parse_bound(text: &str) -> Option<f64> {
    if let Some(special) = parse_special(text) {
        return Some(special);
    }
    if !text.bytes().any(|byte| byte.is_ascii_digit()) || text.contains(['n', 'N', 'y', 'Y']) {
        return None;
    }
    let plain;
    let digits = if text.contains('_') {
        plain = without_underscores(text)?;
        &plain
    } else {
        text
    };
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let value = match unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"))
    {
        Some(hexadecimal) => parse_hexadecimal(hexadecimal)?,
        None if unsigned.starts_with(['+', '-']) => return None,
        None => unsigned.parse().ok()?,
    };
    let value: f64 = if digits.starts_with('-') { -value } else { value };
    value.is_finite().then_some(value)
}

fn parse_special(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.eq_ignore_ascii_case("inf") && !unsigned.eq_ignore_ascii_case("infinity") {
        return None;
    }
    Some(if text.starts_with('-') {
        f64::NEG_INFINITY
    } else {
        f64::INFINITY
    })
}

/// Go allows an underscore between digits and after the prefix `0x`.
fn without_underscores(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_hexadecimal = unsigned.starts_with("0x") || unsigned.starts_with("0X");
    let is_digit = |byte: u8| byte.is_ascii_digit() || (is_hexadecimal && byte.is_ascii_hexdigit());
    let bytes = text.as_bytes();
    for (position, _) in bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'_') {
        let before = position.checked_sub(1).and_then(|before| bytes.get(before))?;
        let after = bytes.get(position + 1)?;
        let follows_prefix = is_hexadecimal && before.eq_ignore_ascii_case(&b'x');
        if !(is_digit(*before) || follows_prefix) || !is_digit(*after) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// What follows `0x`: digits with at most one point, then the exponent of two, which is mandatory.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    if !exponent.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut exponent = i64::from(exponent.parse::<i32>().ok()?);
    exponent -= 4 * i64::try_from(part.len()).ok()?;
    let mut digits: u64 = 0;
    let mut n_digits = 0;
    for digit in whole.chars().chain(part.chars()) {
        let digit = u64::from(digit.to_digit(16)?);
        n_digits += 1;
        if digits >> 60 == 0 {
            digits = digits << 4 | digit;
        } else {
            // Beyond the precision: only whether anything is left over matters for rounding.
            digits |= u64::from(digit != 0);
            exponent += 4;
        }
    }
    (n_digits > 0).then(|| scale_by_power_of_two(digits as f64, exponent))
}

fn scale_by_power_of_two(mut value: f64, exponent: i64) -> f64 {
    let mut left = exponent.clamp(-4000, 4000);
    while left != 0 && value != 0.0 && value.is_finite() {
        let step = left.clamp(-512, 512);
        value *= 2_f64.powi(i32::try_from(step).unwrap_or(0));
        left -= step;
    }
    value
}

#[cfg(test)]
mod tests;
