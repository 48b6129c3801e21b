//! The running total of an exponential histogram that is sent as differences.
//!
//! Differences of any scale add up: the total has the coarsest scale that was seen, and never more than
//! [`BUCKETS_KEPT_MAX`] buckets. A zero bucket of another width begins a new total, because what lies in the old one
//! cannot be told apart; queries see that as the reset of a counter.

use std::collections::BTreeMap;

use model::histogram::{CounterResetHint, Schema, Span, reduced_index};
use model::{FloatHistogram, TimestampMs};
use wire::remote_write::{Count, Histogram, Side};

/// Buckets of one total; SDKs send 160 per side at most.
const BUCKETS_KEPT_MAX: usize = 320;

/// Counts by index.
type Buckets = BTreeMap<i32, u64>;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HistogramTotal {
    schema: i32,
    zero_threshold: f64,
    count: u64,
    zero_count: u64,
    sum: f64,
    positive: Buckets,
    negative: Buckets,
}

impl HistogramTotal {
    /// A total of nothing, with the buckets of that histogram.
    fn like(histogram: &Histogram) -> Self {
        Self {
            schema: histogram.schema.min(Schema::HIGHEST.number()),
            zero_threshold: histogram.zero_threshold,
            ..Self::default()
        }
    }

    /// A total as it was stored; none for custom buckets, which OTLP does not have.
    pub(super) fn stored(histogram: &FloatHistogram) -> Option<Self> {
        if histogram.schema.is_custom() {
            return None;
        }
        let buckets = |side: &model::histogram::Buckets| {
            let counts = side.iter().map(|(index, count)| (index, whole(count)));
            counts.collect::<Buckets>()
        };
        Some(Self {
            schema: histogram.schema.number(),
            zero_threshold: histogram.zero_threshold,
            count: whole(histogram.count),
            zero_count: whole(histogram.zero_count),
            sum: histogram.sum,
            positive: buckets(&histogram.positive),
            negative: buckets(&histogram.negative),
        })
    }

    /// Adds a difference.
    pub(super) fn add(&mut self, difference: &Histogram) {
        if self.zero_threshold.to_bits() != difference.zero_threshold.to_bits() {
            *self = Self::like(difference);
        }
        self.coarsen_to(difference.schema);
        self.count = self.count.saturating_add(integer(difference.count));
        self.zero_count = self.zero_count.saturating_add(integer(difference.zero_count));
        self.sum += difference.sum;
        let halvings = difference.schema.abs_diff(self.schema);
        for (total, side) in [
            (&mut self.positive, &difference.positive),
            (&mut self.negative, &difference.negative),
        ] {
            for (index, count) in indexed(side) {
                let slot = total.entry(reduced_index(index, halvings)).or_default();
                *slot = slot.saturating_add(count);
            }
        }
        while self.positive.len() + self.negative.len() > BUCKETS_KEPT_MAX
            && self.schema > Schema::LOWEST.number()
        {
            self.coarsen_to(self.schema - 1);
        }
    }

    fn coarsen_to(&mut self, schema: i32) {
        if schema >= self.schema {
            return;
        }
        let halvings = self.schema.abs_diff(schema);
        for side in [&mut self.positive, &mut self.negative] {
            let mut reduced = Buckets::new();
            for (index, count) in std::mem::take(side) {
                let slot = reduced.entry(reduced_index(index, halvings)).or_default();
                *slot = slot.saturating_add(count);
            }
            *side = reduced;
        }
        self.schema = schema;
    }

    /// The total as a sample of that time.
    pub(super) fn histogram(&self, timestamp_ms: TimestampMs) -> Histogram {
        Histogram {
            timestamp_ms,
            start_timestamp_ms: 0,
            reset_hint: CounterResetHint::Unknown,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            count: Count::Integer(self.count),
            zero_count: Count::Integer(self.zero_count),
            sum: self.sum,
            positive: side(&self.positive),
            negative: side(&self.negative),
            custom_bounds: Vec::new(),
        }
    }
}

/// Index and count of each bucket of a message.
fn indexed(side: &Side) -> impl Iterator<Item = (i32, u64)> {
    let mut next = 0_i32;
    let indices = side.spans.iter().flat_map(move |span| {
        let first = next.wrapping_add(span.offset);
        next = first.wrapping_add_unsigned(span.length);
        (0..span.length).map(move |step| first.wrapping_add_unsigned(step))
    });
    let counts = side.deltas.iter().scan(0_u64, |count, delta| {
        *count = count.saturating_add_signed(*delta);
        Some(*count)
    });
    indices.zip(counts)
}

fn side(buckets: &Buckets) -> Side {
    let mut side = Side::default();
    let (mut next, mut before) = (0_i32, 0_i64);
    for (index, count) in buckets {
        match side.spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            Some(_) => side.spans.push(Span {
                offset: index.wrapping_sub(next),
                length: 1,
            }),
            None => side.spans.push(Span {
                offset: *index,
                length: 1,
            }),
        }
        next = index.wrapping_add(1);
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        side.deltas.push(count - before);
        before = count;
    }
    side
}

fn integer(count: Count) -> u64 {
    match count {
        Count::Integer(count) => count,
        Count::Float(count) => whole(count),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "totals are whole and not negative; beyond 2^64 they stay there"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A histogram with one observation in each of these buckets.
    fn difference(schema: i32, indices: &[i32]) -> Histogram {
        let buckets: Buckets = indices.iter().map(|index| (*index, 1)).collect();
        HistogramTotal {
            schema,
            zero_threshold: 1e-128,
            count: indices.len() as u64,
            sum: 1.5,
            positive: buckets,
            ..HistogramTotal::default()
        }
        .histogram(1)
    }

    fn total(differences: &[Histogram]) -> HistogramTotal {
        let mut total = HistogramTotal::default();
        for difference in differences {
            total.add(difference);
        }
        total
    }

    #[test]
    fn differences_of_one_scale_add_up_bucket_by_bucket() {
        let total = total(&[difference(3, &[-5, -4, 7]), difference(3, &[-4, 8])]);
        assert_eq!(total.positive, Buckets::from([(-5, 1), (-4, 2), (7, 1), (8, 1)]));
        assert_eq!((total.count, total.sum, total.schema), (5, 3.0, 3));
        let sample = total.histogram(9);
        let spans = [(-5, 2), (10, 2)].map(|(offset, length)| Span { offset, length });
        assert_eq!(sample.positive.spans, spans);
        assert_eq!(sample.positive.deltas, [1, 1, -1, 0]);
        assert!(indexed(&sample.positive).eq([(-5, 1), (-4, 2), (7, 1), (8, 1)]));
    }

    #[test]
    fn the_coarser_scale_wins_whichever_comes_first() {
        let (fine, coarse) = (difference(2, &[1, 2, 3, 4, 5]), difference(0, &[1, 2]));
        let expected = Buckets::from([(1, 5), (2, 2)]);
        for order in [[&fine, &coarse], [&coarse, &fine]] {
            let total = total(&order.map(Clone::clone));
            assert_eq!((total.schema, &total.positive), (0, &expected));
        }
    }

    #[test]
    fn scales_beyond_the_highest_come_down_and_many_buckets_too() {
        let total = total(&[difference(20, &[3_820_861])]);
        assert_eq!(total.schema, 8);
        let indices: Vec<i32> = (0..1_000).collect();
        let many = self::total(&[difference(8, &indices)]);
        assert!(many.positive.len() <= BUCKETS_KEPT_MAX && many.schema == 6);
        assert_eq!(many.positive.values().sum::<u64>(), 1_000);
    }

    #[test]
    fn another_zero_bucket_begins_anew() {
        let mut wide = difference(3, &[1]);
        wide.zero_threshold = 0.5;
        let total = total(&[difference(3, &[1, 2]), wide]);
        assert_eq!((total.count, total.zero_threshold), (1, 0.5));
    }
}
