use proptest::prelude::*;

use super::super::FloatHistogram;
use super::*;

fn buckets(spans: &[(i32, u32)], counts: &[f64]) -> Buckets {
    let spans: Vec<Span> = spans
        .iter()
        .map(|&(offset, length)| Span { offset, length })
        .collect();
    Buckets::new(&spans, counts.to_vec()).unwrap()
}

/// Counts 1, 2, … of buckets at these indices.
fn counted(indices: &[i32]) -> Buckets {
    let mut builder = BucketsBuilder::default();
    for (position, &index) in indices.iter().enumerate() {
        builder.push(index, (position + 1) as f64);
    }
    builder.finish()
}

fn indexed(buckets: &Buckets) -> Vec<(i32, f64)> {
    buckets.iter().collect()
}

#[test]
fn spans_say_which_indices_there_are() {
    let sides = buckets(&[(-2, 2), (0, 0), (3, 1), (0, 1)], &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(indexed(&sides), [(-2, 1.0), (-1, 2.0), (3, 3.0), (4, 4.0)]);
    let mut backwards: Vec<_> = sides.iter().rev().collect();
    backwards.reverse();
    assert_eq!(backwards, indexed(&sides));
    // Both ends meet in the middle.
    let mut both = sides.iter();
    assert_eq!((both.next(), both.next_back()), (Some((-2, 1.0)), Some((4, 4.0))));
    assert_eq!((both.next_back(), both.next()), (Some((3, 3.0)), Some((-1, 2.0))));
    assert_eq!((both.next(), both.next_back()), (None, None));
}

#[test]
fn empty_spans_leave_only_their_offset() {
    let sides = buckets(&[(1, 0), (2, 1), (1, 0), (0, 0), (1, 1), (9, 0)], &[1.0, 2.0]);
    assert_eq!(
        sides.spans(),
        [Span { offset: 3, length: 1 }, Span { offset: 2, length: 1 }]
    );
    assert_eq!(buckets(&[(5, 0)], &[]), Buckets::default());
}

#[test]
fn impossible_spans_are_refused() {
    let check = |spans: &[(i32, u32)], n_counts: usize, expected: HistogramError| {
        let spans: Vec<Span> = spans
            .iter()
            .map(|&(offset, length)| Span { offset, length })
            .collect();
        assert_eq!(Buckets::new(&spans, vec![1.0; n_counts]).unwrap_err(), expected);
    };
    check(
        &[(0, 1), (-1, 1)],
        2,
        HistogramError::NegativeOffset { span: 1, offset: -1 },
    );
    check(
        &[(0, 3)],
        2,
        HistogramError::SpansMismatch {
            n_spanned: 3,
            n_buckets: 2,
        },
    );
    check(
        &[],
        1,
        HistogramError::SpansMismatch {
            n_spanned: 0,
            n_buckets: 1,
        },
    );
    check(&[(i32::MAX, 1)], 1, HistogramError::IndexRange);
    check(&[(i32::MIN, 1)], 1, HistogramError::IndexRange);
    check(&[(0, 1), (i32::MAX, 1)], 2, HistogramError::IndexRange);
    check(
        &[(0, 0), (i32::MAX, 0), (i32::MAX, 1)],
        1,
        HistogramError::IndexRange,
    );
    check(
        &[(0, u32::MAX), (0, u32::MAX), (0, 2)],
        0,
        HistogramError::IndexRange,
    );
}

#[test]
fn touching_spans_stay_apart_until_compacted() {
    let mut touching = buckets(&[(0, 1), (0, 1)], &[1.0, 2.0]);
    assert_ne!(touching, counted(&[0, 1]));
    touching.compact(0);
    assert_eq!(touching, counted(&[0, 1]));
    let mut builder = BucketsBuilder::default();
    builder.push(0, 1.0);
    builder.split();
    builder.push(1, 2.0);
    assert_eq!(builder.finish(), buckets(&[(0, 1), (0, 1)], &[1.0, 2.0]));
}

#[test]
fn compaction_leaves_out_empty_buckets_except_short_gaps() {
    let sparse = buckets(
        &[(-1, 3), (2, 5), (1, 2)],
        &[0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 0.0, 4.0],
    );
    let compacted = |max_empty: u32| {
        let mut sparse = sparse.clone();
        sparse.compact(max_empty);
        sparse
    };
    assert_eq!(
        compacted(0),
        buckets(&[(0, 1), (3, 1), (2, 1), (3, 1)], &[1.0, 2.0, 3.0, 4.0])
    );
    assert_eq!(
        compacted(2),
        buckets(&[(0, 1), (3, 4), (3, 1)], &[1.0, 2.0, 0.0, 0.0, 3.0, 4.0])
    );
    assert_eq!(
        compacted(u32::MAX).spans(),
        [Span {
            offset: 0,
            length: 12
        }]
    );
    let mut empty = buckets(&[(7, 2)], &[0.0, -0.0]);
    empty.compact(3);
    assert_eq!(empty, Buckets::default());
}

#[test]
fn drops_are_found_wherever_they_are() {
    let drop = |current: &[(i32, f64)], previous: &[(i32, f64)]| {
        any_drop(current.iter().copied(), previous.iter().copied())
    };
    assert!(!drop(&[], &[]) && !drop(&[(0, 1.0)], &[]) && !drop(&[], &[(3, 0.0)]));
    assert!(
        drop(&[], &[(3, 0.0), (4, 1.0)]) && drop(&[(3, 1.0)], &[(3, 2.0)]) && drop(&[(4, 9.0)], &[(3, 1.0)])
    );
    assert!(!drop(
        &[(1, 0.0), (3, 2.0), (5, 1.0)],
        &[(2, 0.0), (3, 2.0), (4, 0.0), (6, 0.0)]
    ));
    assert!(drop(
        &[(1, 0.0), (3, 2.0), (5, 1.0)],
        &[(3, 2.0), (5, 1.0), (6, 0.5)]
    ));
}

/// Buckets with gaps, empty buckets and touching spans.
fn any_buckets() -> impl Strategy<Value = Buckets> {
    let bucket = (
        0_u32..4,
        any::<bool>(),
        prop_oneof![Just(0.0), 1.0_f64..9.0, Just(1.0)],
    );
    (-20_i32..20, prop::collection::vec(bucket, 0..12)).prop_map(|(first, steps)| {
        let mut builder = BucketsBuilder::default();
        let mut index = first;
        for (gap, splits, count) in steps {
            if splits {
                builder.split();
            }
            index += i32::try_from(gap).unwrap();
            builder.push(index, count);
            index += 1;
        }
        builder.finish()
    })
}

proptest! {
    #[test]
    fn built_buckets_are_valid_and_walk_alike_from_both_ends(buckets in any_buckets(), from_front in prop::collection::vec(any::<bool>(), 12)) {
        prop_assert_eq!(&Buckets::new(buckets.spans(), buckets.counts().to_vec()).unwrap(), &buckets);
        let (mut walk, mut front, mut back) = (buckets.iter(), Vec::new(), Vec::new());
        for from_front in from_front {
            if from_front { front.extend(walk.next()) } else { back.extend(walk.next_back()) }
        }
        front.extend(back.into_iter().rev());
        prop_assert_eq!(front, indexed(&buckets));
    }

    #[test]
    fn compaction_keeps_meaning_and_is_final(buckets in any_buckets(), max_empty in 0_u32..4) {
        let populated = |buckets: &Buckets| buckets.iter().filter(|&(_, count)| count != 0.0).collect::<Vec<_>>();
        let mut compacted = buckets.clone();
        compacted.compact(max_empty);
        prop_assert_eq!(populated(&compacted), populated(&buckets));
        let mut again = compacted.clone();
        again.compact(max_empty);
        prop_assert_eq!(&again, &compacted);
        for span in compacted.spans().iter().skip(1) {
            prop_assert!(i64::from(span.offset) > i64::from(max_empty));
        }
        compacted.compact(0);
        prop_assert_eq!(compacted.len(), populated(&buckets).len());
    }

    #[test]
    fn reduction_keeps_the_sum_and_steps_can_be_taken_at_once(buckets in any_buckets(), halvings in 1_u32..5) {
        let reduced = buckets.reduced(halvings);
        let sum = |buckets: &Buckets| buckets.counts().iter().sum::<f64>();
        prop_assert!((sum(&reduced) - sum(&buckets)).abs() < 1e-9);
        let indices = |buckets: &Buckets| buckets.iter().map(|(index, _)| index).collect::<Vec<_>>();
        let stepwise = (0..halvings).fold(buckets, |buckets, _| buckets.reduced(1));
        prop_assert_eq!(indices(&stepwise), indices(&reduced));
    }

    #[test]
    fn random_spans_never_panic(spans in prop::collection::vec((any::<i32>(), any::<u32>()), 0..4), n in 0_usize..4) {
        let spans: Vec<Span> = spans.into_iter().map(|(offset, length)| Span { offset, length: length % 3 }).collect();
        if let Ok(mut buckets) = Buckets::new(&spans, vec![1.0; n]) {
            prop_assert!(buckets.reduced(40).len() <= 2);
            buckets.compact(0);
            let histogram = FloatHistogram { positive: buckets, ..FloatHistogram::default() };
            prop_assert!(!histogram.to_string().is_empty());
        }
    }
}
