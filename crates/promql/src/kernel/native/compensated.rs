//! A sum of histograms with a compensation for every number in it.

use model::FloatHistogram;
use model::histogram::{Buckets, BucketsBuilder, reduced_index};

use super::arithmetic::{Combined, MixedSchemas, begin, divide, multiply};
use super::bounds::{CommonBuckets, intersection};
use super::layout::{merge, n_inside_zero};
use super::zero;
use crate::kernel::sum::kahan_add;

/// A Kahan–Neumaier sum of native histograms, in the order of operations of Prometheus 3.14.
#[derive(Debug, Clone)]
pub struct Compensated {
    value: FloatHistogram,
    /// Nothing until there was something to add.
    rest: Option<Rest>,
}

/// What the numbers of a histogram have lost to rounding. The buckets are parallel to those of the histogram.
#[derive(Debug, Clone, Default)]
pub(super) struct Rest {
    pub(super) zero_count: f64,
    count: f64,
    sum: f64,
    pub(super) positive: Vec<f64>,
    pub(super) negative: Vec<f64>,
}

impl Rest {
    fn of(histogram: &FloatHistogram) -> Self {
        Self {
            positive: vec![0.0; histogram.positive.len()],
            negative: vec![0.0; histogram.negative.len()],
            ..Self::default()
        }
    }

    /// Leaves out empty buckets of the histogram whose compensation is 0 as well.
    pub(super) fn compact(&mut self, histogram: &mut FloatHistogram) {
        for (buckets, rests) in [
            (&mut histogram.positive, &mut self.positive),
            (&mut histogram.negative, &mut self.negative),
        ] {
            let mut kept = BucketsBuilder::with_capacity(buckets.len());
            let mut kept_rests = Vec::with_capacity(buckets.len());
            for ((index, count), &rest) in buckets.iter().zip(&*rests) {
                if count != 0.0 || rest != 0.0 {
                    kept.push(index, count);
                    kept_rests.push(rest);
                }
            }
            *buckets = kept.finish();
            *rests = kept_rests;
        }
    }

    /// The compensations as a histogram of the layout of theirs.
    fn of_layout(&self, histogram: &FloatHistogram) -> FloatHistogram {
        let mut rest = FloatHistogram {
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            ..histogram.clone()
        };
        rest.positive.counts_mut().copy_from_slice(&self.positive);
        rest.negative.counts_mut().copy_from_slice(&self.negative);
        rest
    }

    fn scale(&mut self, scale: impl Fn(f64) -> f64) {
        let totals = [&mut self.zero_count, &mut self.count, &mut self.sum].into_iter();
        for rest in totals.chain(&mut self.positive).chain(&mut self.negative) {
            *rest = scale(*rest);
        }
    }
}

impl Compensated {
    /// A sum of one.
    #[must_use]
    pub fn new(first: FloatHistogram) -> Self {
        Self {
            value: first,
            rest: None,
        }
    }

    /// Adds one more. Resolution, zero bucket and custom bounds become what both have, as in
    /// [`super::arithmetic::add`].
    ///
    /// # Errors
    /// If one has exponential and the other custom buckets; the sum is then unchanged.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combined, MixedSchemas> {
        let value = &mut self.value;
        let combined = begin(value, other)?;
        let rest = self.rest.get_or_insert_with(|| Rest::of(value));
        let kahan = |sum: &mut f64, rest: &mut f64, value: f64| (*sum, *rest) = kahan_add(*sum, *rest, value);
        if !value.is_custom() {
            let (zero_count, zero_rest) = zero::reconcile(value, Some(rest), other);
            kahan(&mut value.zero_count, &mut rest.zero_count, zero_count);
            kahan(&mut value.zero_count, &mut rest.zero_count, zero_rest);
        }
        kahan(&mut value.count, &mut rest.count, other.count);
        kahan(&mut value.sum, &mut rest.sum, other.sum);
        if combined.bounds_differ {
            let bounds = intersection(&value.custom_bounds, &other.custom_bounds);
            let mut common = CommonBuckets::new(&bounds);
            common.add(value, 1.0, &rest.positive);
            common.add(other, 1.0, &[]);
            (value.positive, rest.positive) = common.finish();
            value.custom_bounds = bounds;
        } else {
            add_buckets(value, rest, other);
        }
        Ok(combined)
    }

    /// Adds another sum with what it has lost to rounding.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn merge(&mut self, other: &Self) -> Result<Combined, MixedSchemas> {
        let combined = self.add(&other.value)?;
        if let Some(rest) = &other.rest {
            self.add(&rest.of_layout(&other.value))?;
        }
        Ok(combined)
    }

    /// Multiplies by a factor that is not negative.
    pub(super) fn multiply(&mut self, factor: f64) {
        multiply(&mut self.value, factor);
        if let Some(rest) = &mut self.rest {
            rest.scale(|rest| rest * factor);
        }
    }

    /// Divides by a positive divisor.
    pub(super) fn divide(&mut self, divisor: f64) {
        divide(&mut self.value, divisor);
        if let Some(rest) = &mut self.rest {
            rest.scale(|rest| rest / divisor);
        }
    }

    /// The sum without its compensation.
    pub(super) fn value(&self) -> &FloatHistogram {
        &self.value
    }

    /// The sum. It is not compacted.
    #[must_use]
    pub fn finish(mut self) -> FloatHistogram {
        let Some(rest) = &self.rest else {
            return self.value;
        };
        let value = &mut self.value;
        value.zero_count += rest.zero_count;
        value.count += rest.count;
        value.sum += rest.sum;
        let (schema, threshold) = (value.schema, value.zero_threshold);
        for (buckets, rests) in [
            (&mut value.positive, &rest.positive),
            (&mut value.negative, &rest.negative),
        ] {
            let n_ignored = n_inside_zero(schema, threshold, buckets);
            let pairs = buckets.counts_mut().iter_mut().zip(rests);
            pairs.skip(n_ignored).for_each(|(count, rest)| *count += rest);
        }
        self.value
    }
}

/// Adds the buckets of `other`, which has the same zero threshold and custom bounds.
fn add_buckets(value: &mut FloatHistogram, rest: &mut Rest, other: &FloatHistogram) {
    if let Some(halvings) = value.schema.halvings_to(other.schema) {
        (value.positive, rest.positive) = reduced(&value.positive, &rest.positive, halvings);
        (value.negative, rest.negative) = reduced(&value.negative, &rest.negative, halvings);
        value.schema = other.schema;
    }
    let (schema, threshold) = (value.schema, value.zero_threshold);
    let halvings = other.schema.halvings_to(schema);
    for (buckets, rests, others) in [
        (&mut value.positive, &mut rest.positive, &other.positive),
        (&mut value.negative, &mut rest.negative, &other.negative),
    ] {
        // Buckets brought to a lower resolution are compensated sums themselves.
        let coarse = halvings.map(|halvings| reduced(others, &vec![0.0; others.len()], halvings));
        let (others, other_rests) = match &coarse {
            Some((others, rests)) => (others, rests.as_slice()),
            None => (others, &[][..]),
        };
        let n_ignored = n_inside_zero(schema, threshold, others);
        add_side(buckets, rests, others, other_rests, n_ignored);
    }
}

/// Adds one side but for its first `n_ignored` buckets. `other_rests` are parallel to the buckets of `others` or empty.
fn add_side(
    buckets: &mut Buckets,
    rests: &mut Vec<f64>,
    others: &Buckets,
    other_rests: &[f64],
    n_ignored: usize,
) {
    let other = |position: usize| {
        let rest = other_rests.get(position).copied().unwrap_or(0.0);
        (others.counts()[position], rest)
    };
    let add = |(count, rest): (f64, f64), (other, other_rest): (f64, f64)| {
        let (count, rest) = kahan_add(count, rest, other);
        if other_rest == 0.0 {
            (count, rest)
        } else {
            kahan_add(count, rest, other_rest)
        }
    };
    if n_ignored == 0 && buckets.has_layout_of(others) {
        let pairs = buckets.counts_mut().iter_mut().zip(rests);
        for (position, (count, rest)) in pairs.enumerate() {
            (*count, *rest) = add((*count, *rest), other(position));
        }
        return;
    }
    let mut merged_rests = Vec::with_capacity(rests.len());
    let own = |position: usize| (buckets.counts()[position], rests[position]);
    let merged = merge(buckets, others, n_ignored, |left, right| {
        let (count, rest) = match (left, right) {
            (Some(left), Some(right)) => add(own(left), other(right)),
            (Some(left), None) => own(left),
            (None, right) => right.map(other).unwrap_or_default(),
        };
        merged_rests.push(rest);
        count
    });
    *buckets = merged;
    *rests = merged_rests;
}

/// As [`Buckets::reduced`], compensated.
fn reduced(buckets: &Buckets, rests: &[f64], halvings: u32) -> (Buckets, Vec<f64>) {
    let mut merged: Vec<(i32, f64, f64)> = Vec::with_capacity(buckets.len());
    for ((index, count), &rest) in buckets.iter().zip(rests) {
        let index = reduced_index(index, halvings);
        match merged.last_mut() {
            Some((last, sum, sum_rest)) if *last == index => {
                (*sum, *sum_rest) = kahan_add(*sum, *sum_rest, count);
                (*sum, *sum_rest) = kahan_add(*sum, *sum_rest, rest);
            }
            _ => merged.push((index, count, rest)),
        }
    }
    let mut reduced = BucketsBuilder::with_capacity(merged.len());
    merged
        .iter()
        .for_each(|&(index, count, _)| reduced.push(index, count));
    (
        reduced.finish(),
        merged.iter().map(|&(_, _, rest)| rest).collect(),
    )
}
