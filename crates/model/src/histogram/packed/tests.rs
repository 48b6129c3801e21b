use proptest::prelude::*;

use super::walk::read_long_varint;
use super::*;
use crate::histogram::{Bounds, Span};

fn layout(form: CountForm, n_positive: u32, n_negative: u32) -> Arc<HistogramLayout> {
    let spans = |length: u32| [Span { offset: -3, length }];
    let made = HistogramLayout::new(form, Bounds::default(), &spans(n_positive), &spans(n_negative));
    Arc::new(made.unwrap())
}

fn histogram<'a>(layout: &'a Arc<HistogramLayout>, sum: f64, counts: &'a [u64]) -> NativeHistogram<'a> {
    NativeHistogram {
        layout,
        hint: CounterResetHint::Unknown,
        sum,
        counts,
    }
}

fn packed(layout: &Arc<HistogramLayout>, counts: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    pack(&histogram(layout, 0.0, counts), &mut bytes);
    bytes
}

/// Differences as a message may have them, with so many needless bytes each.
fn message(differences: &[(i64, usize)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (difference, n_needless) in differences {
        push_varint(&mut bytes, zigzag(*difference));
        let n_needless = *n_needless;
        if n_needless > 0 && bytes.len() + n_needless <= 10 {
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.extend(std::iter::repeat_n(0x80, n_needless - 1));
            bytes.push(0);
        }
    }
    bytes
}

/// As `IntegerCounts::are_sound`, without any shortcut.
fn are_sound(counts: &IntegerCounts<'_>, layout: &Arc<HistogramLayout>, sum: f64) -> bool {
    let (n_positive, n_negative) = layout.n_buckets();
    let mut words = vec![counts.count, counts.zero_count];
    for (mut bytes, n_buckets) in [(counts.positive, n_positive), (counts.negative, n_negative)] {
        let mut count = 0_u64;
        for _ in 0..n_buckets {
            let Some((zigzag, rest)) = read_long_varint(bytes) else {
                return false;
            };
            let difference = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            let Some(next) = count.checked_add_signed(difference) else {
                return false;
            };
            (count, bytes) = (next, rest);
            words.push(count);
        }
        if !bytes.is_empty() {
            return false;
        }
    }
    histogram(layout, sum, &words).validate_counts().is_ok()
}

fn counts() -> impl Strategy<Value = Vec<u64>> {
    let count = (any::<u64>(), 0_u32..64).prop_map(|(bits, shift)| bits >> shift);
    prop::collection::vec(count, 2..120)
}

/// Differences, each with so many needless bytes: few of any length, or many of which nearly all are short.
fn differences() -> impl Strategy<Value = Vec<(i64, usize)>> {
    let any_length = prop_oneof![4 => -40_i64..60, 2 => -300_i64..9_000, 1 => any::<i64>()];
    let short = prop_oneof![60 => -40_i64..60, 30 => -300_i64..8_000, 1 => 9_000_i64..1 << 40];
    let n_needless = prop_oneof![60 => Just(0), 1 => 0_usize..4];
    prop_oneof![
        prop::collection::vec((any_length, 0_usize..4), 0..60),
        prop::collection::vec((short, n_needless), 50..160),
    ]
}

#[test]
fn what_ends_too_early_or_too_late_is_nothing() {
    let layout = layout(CountForm::Integer, 20, 9);
    let counts: Vec<u64> = (0..31).map(|n| n * n * 50).collect();
    let bytes = packed(&layout, &counts);
    let mut words = Vec::new();
    assert_eq!(unpack(&layout, &bytes, &mut words), Some(()));
    assert_eq!(words, counts);
    for end in 0..bytes.len() {
        assert_eq!(unpack(&layout, &bytes[..end], &mut words), None, "{end}");
    }
    assert_eq!(unpack(&layout, &[&bytes[..], &[0]].concat(), &mut words), None);
}

#[test]
fn a_varint_longer_than_64_bits_is_nothing() {
    let layout = layout(CountForm::Integer, 8, 0);
    let mut bytes = vec![9, 0];
    bytes.extend([0xff; 9]);
    bytes.extend([2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(unpack(&layout, &bytes, &mut Vec::new()), None);
    bytes[11] = 1;
    assert_eq!(unpack(&layout, &bytes, &mut Vec::new()), Some(()));
}

proptest! {
    #[test]
    fn counts_come_back(counts in counts(), share in 0_usize..=100) {
        let n_buckets = counts.len() - 2;
        let n_positive = n_buckets * share / 100;
        for form in [CountForm::Integer, CountForm::Float] {
            let layout = layout(form, n_positive as u32, (n_buckets - n_positive) as u32);
            let bytes = packed(&layout, &counts);
            let mut words = vec![7; 3];
            prop_assert_eq!(unpack(&layout, &bytes, &mut words), Some(()));
            prop_assert_eq!(&words, &counts);
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..60), n_positive in 0_u32..40) {
        let layout = layout(CountForm::Integer, n_positive, 3);
        let mut words = Vec::new();
        if unpack(&layout, &bytes, &mut words).is_some() {
            prop_assert_eq!(words.len(), n_positive as usize + 5);
        }
    }

    #[test]
    fn counts_of_a_message_are_judged_as_words_are(
        differences in differences(),
        n_negative in 0_usize..20,
        zero_count in prop_oneof![0_u64..9, any::<u64>()],
        (off, n_more, is_nan) in (-1_i64..2, 0_u32..2, any::<bool>()),
    ) {
        let n_negative = n_negative.min(differences.len());
        let (positive, negative) = differences.split_at(differences.len() - n_negative);
        let (positive, negative) = (message(positive), message(negative));
        let layout = layout(CountForm::Integer, (differences.len() - n_negative) as u32 + n_more, n_negative as u32);
        let mut words = Vec::new();
        let mut bytes = vec![0, 0];
        bytes.extend(positive.iter().chain(&negative));
        // The count that fits, and those beside it.
        let in_buckets = match unpack(&layout, &bytes, &mut words) {
            Some(()) => words[2..].iter().fold(zero_count, |sum, count| sum.wrapping_add(*count)),
            None => zero_count,
        };
        let counts = IntegerCounts {
            count: in_buckets.wrapping_add_signed(off),
            zero_count,
            positive: &positive,
            negative: &negative,
        };
        let sum = if is_nan { f64::NAN } else { 1.0 };
        let expected = are_sound(&counts, &layout, sum);
        let found = counts.are_sound(&layout, sum);
        prop_assert!(!found || expected);
        // Only large counts need a closer look.
        let is_large = words.iter().any(|count| *count >= 1 << 44) || zero_count >= 1 << 60;
        prop_assert!(found == expected || is_large);
    }
}
