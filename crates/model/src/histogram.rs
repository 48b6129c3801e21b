//! Native histograms as values.
//!
//! A [`FloatHistogram`] counts observations in buckets whose bounds follow from its [`Schema`]:
//!
//! - *exponential*, schema `n` from −4 to 8: bucket `i` of the positive side holds what is greater than
//!   `2^((i-1)/2^n)` and at most `2^(i/2^n)`. The negative side is its mirror image. The *zero bucket* holds what lies
//!   within the zero threshold of 0.
//! - *custom* (schema −53, "NHCB"): bucket `i` ends, inclusively, at the `i`-th custom bound, and the last one at
//!   +Inf. There is neither a negative side nor a zero bucket.
//!
//! Bucket counts are per bucket, not cumulative, and only runs of buckets that matter are kept: [`Span`]s.
//!
//! Invariants: those of [`Buckets`] hold for every value of that type. What relates the fields of a histogram to each
//! other is checked once, where one comes in from outside ([`FloatHistogram::validate`]); the result of arithmetic may
//! break it (a difference has negative counts), so that code which computes must not rely on it.
//!
//! Limits: [`BUCKETS_MAX`] buckets per side of a valid histogram; bucket indices are 32 bits wide.
//!
//! Source: Prometheus 3.14 `model/histogram`. Read in this order: `schema`, `buckets`, `bucket` (with bounds), then
//! what is done with them: `compact`, `equality`, `hint`, `validate`, `integer` (the form of the wire), `text`;
//! `layout`, `packed` and `columns` are the form in which histograms are taken in and kept.

mod bound;
mod bucket;
mod buckets;
mod columns;
mod compact;
mod equality;
mod hint;
mod integer;
mod layout;
pub mod packed;
mod schema;
mod text;
mod validate;

use std::sync::Arc;

pub use bound::exponential_bound;
pub use bucket::Bucket;
pub use buckets::{Buckets, BucketsBuilder, IndexedCounts, Span, any_drop, reduced_index};
pub use columns::{HistogramColumns, LayoutIdx};
pub use hint::CounterResetHint;
pub use integer::IntegerHistogram;
pub use layout::{Bounds, CountForm, HistogramLayout, N_TOTALS, NativeHistogram};
pub use packed::{IntegerCounts, PackedHistogram};
pub use schema::Schema;
pub use validate::{BUCKETS_MAX, HistogramError};

use crate::sample::{is_stale_nan, stale_nan};

/// A native histogram with float counts. The default has no observations and schema 0.
#[derive(Debug, Clone, Default)]
pub struct FloatHistogram {
    /// What is known about a counter reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// Where the bounds of its buckets lie.
    pub schema: Schema,
    /// Half the width of the zero bucket; not used by custom buckets.
    pub zero_threshold: f64,
    /// Observations in the zero bucket; not used by custom buckets.
    pub zero_count: f64,
    /// All observations. NaN is counted here but in no bucket.
    pub count: f64,
    /// Sum of all observations, or the staleness marker.
    pub sum: f64,
    /// Buckets above zero, or all custom ones.
    pub positive: Buckets,
    /// Buckets below zero, indexed by distance from zero; not used by custom buckets.
    pub negative: Buckets,
    /// Upper bounds of custom buckets without the last one, +Inf; empty for exponential buckets. Shared by all
    /// samples of a series.
    pub custom_bounds: Arc<[f64]>,
}

impl FloatHistogram {
    /// The staleness marker of a series of histograms.
    #[must_use]
    pub fn stale() -> Self {
        Self {
            sum: stale_nan(),
            ..Self::default()
        }
    }

    /// True when it ends its series instead of being a value.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        is_stale_nan(self.sum)
    }

    /// True when its buckets have custom bounds.
    #[inline]
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.schema.is_custom()
    }

    /// Brings exponential buckets to a lower resolution by adding up neighbours. Does nothing if `schema` is not a
    /// lower exponential one.
    pub fn reduce_to(&mut self, schema: Schema) {
        if let Some(halvings) = self.schema.halvings_to(schema) {
            self.positive = self.positive.reduced(halvings);
            self.negative = self.negative.reduced(halvings);
            self.schema = schema;
        }
    }

    /// Bytes it takes in memory, custom bounds left out because they are shared.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.positive.heap_bytes() + self.negative.heap_bytes()
    }
}

#[cfg(test)]
mod tests;
