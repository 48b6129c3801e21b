//! Bringing two bucket layouts together.

use model::histogram::{Buckets, BucketsBuilder, Schema, exponential_bound};

/// How many buckets, from zero outwards, lie inside of the zero bucket with all of their width.
pub(super) fn n_inside_zero(schema: Schema, threshold: f64, buckets: &Buckets) -> usize {
    if schema.is_custom() {
        return 0;
    }
    buckets
        .iter()
        .take_while(|&(index, _)| exponential_bound(schema, index) <= threshold)
        .count()
}

/// The buckets of both sides without the first `n_ignored` of the right one. `combine` makes each count of the positions
/// in `left` and `right`, at least one of which there is.
///
/// Spans come out as if the right buckets had been put into the left spans one by one: one that follows a span directly
/// makes it longer, otherwise one that stands directly before a span is put to its front, otherwise it begins a span.
/// Spans of the left that touch each other stay apart.
pub(super) fn merge(
    left: &Buckets,
    right: &Buckets,
    n_ignored: usize,
    mut combine: impl FnMut(Option<usize>, Option<usize>) -> f64,
) -> Buckets {
    let mut merged = Merged {
        buckets: BucketsBuilder::with_capacity(left.len().max(right.len())),
        alone: None,
    };
    let mut others = right.iter().enumerate().skip(n_ignored).peekable();
    let mut own = left.iter().map(|(index, _)| index).enumerate();
    for span in left.spans() {
        for (in_span, (position, index)) in own.by_ref().take(span.length as usize).enumerate() {
            while let Some((other, (other_index, _))) = others.next_if(|&(_, (other, _))| other < index) {
                merged.add(other_index, combine(None, Some(other)));
            }
            let same = others.next_if(|&(_, (other, _))| other == index);
            let count = combine(Some(position), same.map(|(other, _)| other));
            merged.keep(index, count, in_span == 0);
        }
    }
    for (other, (index, _)) in others {
        merged.add(index, combine(None, Some(other)));
    }
    merged.buckets.finish()
}

struct Merged {
    buckets: BucketsBuilder,
    /// The last index, if it is that of an added bucket that began a span.
    alone: Option<i32>,
}

impl Merged {
    /// A bucket that the left side does not have.
    fn add(&mut self, index: i32, count: f64) {
        let follows = self.buckets.last().is_some_and(|(last, _)| last + 1 == index);
        self.alone = (!follows).then_some(index);
        self.buckets.push(index, count);
    }

    /// A bucket of the left side.
    fn keep(&mut self, index: i32, count: f64, begins_span: bool) {
        let follows_alone = self.alone.take().is_some_and(|alone| alone + 1 == index);
        if begins_span && !follows_alone {
            self.buckets.split();
        }
        self.buckets.push(index, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(indices: &[i32]) -> Buckets {
        let mut builder = BucketsBuilder::default();
        indices.iter().for_each(|&index| builder.push(index, 1.0));
        builder.finish()
    }

    /// Spans as (first index, length).
    fn merged(left: &Buckets, right: &[i32]) -> Vec<(i32, u32)> {
        let merged = merge(left, &buckets(right), 0, |left, right| {
            f64::from(u8::from(left.is_some()) + u8::from(right.is_some()))
        });
        let mut end = 0;
        let mut spans = Vec::new();
        for span in merged.spans() {
            spans.push((end + span.offset, span.length));
            end += span.offset + i32::try_from(span.length).unwrap();
        }
        spans
    }

    #[test]
    fn added_buckets_join_the_span_before_else_the_span_behind() {
        let left = buckets(&[0, 1, 4, 8]);
        assert_eq!(merged(&left, &[2]), [(0, 3), (4, 1), (8, 1)]);
        assert_eq!(merged(&left, &[3]), [(0, 2), (3, 2), (8, 1)]);
        assert_eq!(merged(&left, &[6]), [(0, 2), (4, 1), (6, 1), (8, 1)]);
        assert_eq!(merged(&left, &[6, 7]), [(0, 2), (4, 1), (6, 2), (8, 1)]);
        assert_eq!(merged(&left, &[2, 3]), [(0, 4), (4, 1), (8, 1)]);
        assert_eq!(merged(&left, &[-1, 9]), [(-1, 3), (4, 1), (8, 2)]);
        assert_eq!(merged(&left, &[-3, -2, -1]), [(-3, 3), (0, 2), (4, 1), (8, 1)]);
        assert_eq!(merged(&left, &[0, 4, 8]), [(0, 2), (4, 1), (8, 1)]);
        assert_eq!(merged(&buckets(&[]), &[1, 2, 5]), [(1, 2), (5, 1)]);
        assert_eq!(merged(&left, &[]), [(0, 2), (4, 1), (8, 1)]);
    }

    #[test]
    fn buckets_within_the_zero_bucket_are_counted_from_zero_on() {
        let schema = Schema::default();
        assert_eq!(n_inside_zero(schema, 0.5, &buckets(&[-3, -1, 0])), 2);
        assert_eq!(n_inside_zero(schema, 0.6, &buckets(&[-3, -1, 0])), 2);
        assert_eq!(n_inside_zero(schema, 1e9, &buckets(&[-3, -1])), 2);
        assert_eq!(n_inside_zero(schema, 0.0, &buckets(&[-3])), 0);
        assert_eq!(n_inside_zero(Schema::CUSTOM, 1.0, &buckets(&[0])), 0);
    }
}
