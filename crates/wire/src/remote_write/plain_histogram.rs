//! Native histograms as nearly every sender writes them, read without copying anything.
//!
//! That is: integers, every field once, the spans of a side next to each other, differences packed. Such a message is a
//! handful of numbers and a few slices of the body; what may be the same for thousands of them, their layout, can be
//! compared as it stands. Anything else is left to [`Histogram`](super::Histogram).

use model::TimestampMs;
use model::histogram::{CounterResetHint, IntegerCounts};

use super::histogram::hint;
use crate::protobuf::{Reader, WireType};

/// See the module. Nothing about its fields is checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainHistogram<'a> {
    /// Milliseconds since the epoch.
    pub timestamp_ms: TimestampMs,
    /// When its counter began, in milliseconds since the epoch; 0 when not said.
    pub start_timestamp_ms: TimestampMs,
    /// What is known about a counter reset; a number without meaning is [`CounterResetHint::Unknown`].
    pub reset_hint: CounterResetHint,
    /// Sum of all observations, any bits.
    pub sum: f64,
    /// Its counts; there may be more or fewer buckets than the spans say.
    pub counts: IntegerCounts<'a>,
    /// Everything else.
    pub layout: PlainLayout<'a>,
}

/// What of a message makes a layout, by its bytes. Equal ones are equal layouts; unequal ones may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlainLayout<'a> {
    schema: u64,
    zero_threshold_bits: u64,
    negative_spans: &'a [u8],
    positive_spans: &'a [u8],
    custom_bounds: &'a [u8],
}

const POSITIVE_SPAN_TAG: u8 = 11 << 3 | 2;
const NEGATIVE_SPAN_TAG: u8 = 8 << 3 | 2;

impl<'a> PlainHistogram<'a> {
    /// Reads a message; none if it is not plain, which includes all that are broken.
    #[inline]
    pub(super) fn read(mut message: Reader<'a>) -> Option<Self> {
        let mut histogram = Self::default();
        let mut seen = histogram.read_in_order(&mut message)?;
        loop {
            let before = message.rest();
            let Some((number, wire_type)) = message.field().ok()? else {
                // Without a count it may be one of floats that says so by its buckets only.
                return (seen & (1 << 1) != 0).then_some(histogram);
            };
            if number > 17 || seen & (1 << number) != 0 {
                return None;
            }
            seen |= 1 << number;
            let (counts, layout) = (&mut histogram.counts, &mut histogram.layout);
            match (number, wire_type) {
                (1, WireType::Varint) => counts.count = message.varint().ok()?,
                (3, WireType::Fixed64) => histogram.sum = f64::from_bits(message.fixed64().ok()?),
                (4, WireType::Varint) => layout.schema = message.varint().ok()?,
                (5, WireType::Fixed64) => layout.zero_threshold_bits = message.fixed64().ok()?,
                (6, WireType::Varint) => counts.zero_count = message.varint().ok()?,
                (8, WireType::Bytes) => {
                    layout.negative_spans = spans(before, &mut message, NEGATIVE_SPAN_TAG)?;
                }
                (9, WireType::Bytes) => counts.negative = message.bytes().ok()?,
                (11, WireType::Bytes) => {
                    layout.positive_spans = spans(before, &mut message, POSITIVE_SPAN_TAG)?;
                }
                (12, WireType::Bytes) => counts.positive = message.bytes().ok()?,
                (14, WireType::Varint) => histogram.reset_hint = hint(message.varint().ok()?),
                (15, WireType::Varint) => histogram.timestamp_ms = message.varint().ok()?.cast_signed(),
                (16, WireType::Bytes) => layout.custom_bounds = message.bytes().ok()?,
                (17, WireType::Varint) => {
                    histogram.start_timestamp_ms = message.varint().ok()?.cast_signed();
                }
                _ => return None,
            }
        }
    }

    /// Reads the fields that nearly all have, as far as they stand where nearly everyone writes them: in the order of
    /// their numbers. Gives those numbers as bits. So none is looked up that can be foreseen.
    #[inline(always)]
    fn read_in_order(&mut self, message: &mut Reader<'a>) -> Option<u32> {
        let (counts, layout) = (&mut self.counts, &mut self.layout);
        let mut seen = 0;
        if message.takes(1 << 3) {
            counts.count = message.varint().ok()?;
            seen |= 1 << 1;
        }
        if message.takes(3 << 3 | 1) {
            self.sum = f64::from_bits(message.fixed64().ok()?);
            seen |= 1 << 3;
        }
        if message.takes(4 << 3) {
            layout.schema = message.varint().ok()?;
            seen |= 1 << 4;
        }
        if message.takes(5 << 3 | 1) {
            layout.zero_threshold_bits = message.fixed64().ok()?;
            seen |= 1 << 5;
        }
        if message.takes(6 << 3) {
            counts.zero_count = message.varint().ok()?;
            seen |= 1 << 6;
        }
        let before = message.rest();
        if message.takes(POSITIVE_SPAN_TAG) {
            layout.positive_spans = spans(before, message, POSITIVE_SPAN_TAG)?;
            seen |= 1 << 11;
        }
        if message.takes(12 << 3 | 2) {
            counts.positive = message.bytes().ok()?;
            seen |= 1 << 12;
        }
        if message.takes(14 << 3) {
            self.reset_hint = hint(message.varint().ok()?);
            seen |= 1 << 14;
        }
        if message.takes(15 << 3) {
            self.timestamp_ms = message.varint().ok()?.cast_signed();
            seen |= 1 << 15;
        }
        Some(seen)
    }
}

impl PlainLayout<'_> {
    /// Puts bytes that stand for it in place of what `key` holds.
    pub fn write_key(&self, key: &mut Vec<u8>) {
        key.clear();
        let n_bytes = [self.negative_spans.len() as u64, self.positive_spans.len() as u64];
        for number in [self.schema, self.zero_threshold_bits, n_bytes[0], n_bytes[1]] {
            key.extend_from_slice(&number.to_le_bytes());
        }
        // Mostly there are positive ones only, and to copy nothing costs a call.
        let slices = [self.negative_spans, self.positive_spans, self.custom_bounds];
        for bytes in slices.into_iter().filter(|bytes| !bytes.is_empty()) {
            key.extend_from_slice(bytes);
        }
    }
}

/// The bytes of the span that begins with `before`, its tag read already, and of those that follow it.
#[inline(always)]
fn spans<'a>(before: &'a [u8], message: &mut Reader<'a>, tag: u8) -> Option<&'a [u8]> {
    message.bytes().ok()?;
    message.skip_short(tag);
    before.get(..before.len() - message.rest().len())
}

#[cfg(test)]
mod tests {
    use model::histogram::Span;
    use proptest::prelude::*;

    use super::super::histogram::{Count, Histogram, Side};
    use super::*;

    fn span() -> impl Strategy<Value = Span> {
        (any::<i32>(), any::<u32>()).prop_map(|(offset, length)| Span { offset, length })
    }

    fn side() -> impl Strategy<Value = Side> {
        let spans = prop::collection::vec(span(), 0..4);
        let deltas = prop::collection::vec(any::<i64>(), 0..9);
        (spans, deltas).prop_map(|(spans, deltas)| Side {
            spans,
            deltas,
            counts: Vec::new(),
        })
    }

    prop_compose! {
        fn integers()(
            (timestamp_ms, start_timestamp_ms, schema) in any::<(i64, i64, i32)>(),
            (count, zero_count) in (1..=u64::MAX, any::<u64>()),
            (positive, negative) in (side(), side()),
            custom_bounds in prop::collection::vec(-1e9..1e9, 0..3),
        ) -> Histogram {
            Histogram {
                timestamp_ms,
                start_timestamp_ms,
                reset_hint: CounterResetHint::NotReset,
                schema,
                zero_threshold: 0.25,
                count: Count::Integer(count),
                zero_count: Count::Integer(zero_count),
                sum: 7.5,
                positive,
                negative,
                custom_bounds,
            }
        }
    }

    fn bytes(histogram: &Histogram) -> Vec<u8> {
        let mut bytes = Vec::new();
        histogram.push_to(&mut bytes);
        bytes
    }

    fn deltas(mut packed: Reader<'_>) -> Vec<i64> {
        let mut deltas = Vec::new();
        while !packed.is_at_end() {
            deltas.push(super::super::histogram::unzigzag(packed.varint().unwrap()));
        }
        deltas
    }

    fn key(bytes: &[u8]) -> Vec<u8> {
        let mut key = vec![1, 2, 3];
        let plain = PlainHistogram::read(Reader::new(bytes, 0)).unwrap();
        plain.layout.write_key(&mut key);
        key
    }

    proptest! {
        #[test]
        fn plain_histograms_are_read_as_all_are(histogram in integers()) {
            let bytes = bytes(&histogram);
            let plain = PlainHistogram::read(Reader::new(&bytes, 0)).unwrap();
            prop_assert_eq!(plain.timestamp_ms, histogram.timestamp_ms);
            prop_assert_eq!(plain.start_timestamp_ms, histogram.start_timestamp_ms);
            prop_assert_eq!((plain.reset_hint, plain.sum), (histogram.reset_hint, histogram.sum));
            let counts = plain.counts;
            prop_assert_eq!(Count::Integer(counts.count), histogram.count);
            prop_assert_eq!(Count::Integer(counts.zero_count), histogram.zero_count);
            prop_assert_eq!(deltas(Reader::new(counts.positive, 0)), histogram.positive.deltas);
            prop_assert_eq!(deltas(Reader::new(counts.negative, 0)), histogram.negative.deltas);
        }

        #[test]
        fn keys_of_layouts_are_equal_as_their_fields_are(first in integers(), second in integers(), is_same in any::<bool>()) {
            let mut other = if is_same { first.clone() } else { second };
            other.count = Count::Integer(77);
            other.positive.deltas = vec![5];
            let is_equal = first.schema == other.schema
                && first.positive.spans == other.positive.spans
                && first.negative.spans == other.negative.spans
                && first.custom_bounds == other.custom_bounds;
            prop_assert_eq!(key(&bytes(&first)) == key(&bytes(&other)), is_equal);
        }

        #[test]
        fn broken_messages_are_not_plain(histogram in integers(), cut in any::<prop::sample::Index>()) {
            let mut bytes = bytes(&histogram);
            bytes.truncate(cut.index(bytes.len()));
            if PlainHistogram::read(Reader::new(&bytes, 0)).is_some() {
                prop_assert!(Histogram::default().read(Reader::new(&bytes, 0)).is_ok());
            }
        }
    }

    #[test]
    fn what_is_written_in_another_way_is_not_plain() {
        let spans = |length: u32| vec![Span { offset: 1, length }];
        let side = Side {
            spans: spans(1),
            deltas: vec![4],
            counts: Vec::new(),
        };
        let integers = Histogram {
            count: Count::Integer(4),
            positive: side.clone(),
            ..Histogram::default()
        };
        let is_plain = |bytes: &[u8]| PlainHistogram::read(Reader::new(bytes, 0)).is_some();
        assert!(is_plain(&bytes(&integers)));
        // The count behind the others, and the time before them.
        let mut moved = bytes(&integers);
        moved.rotate_left(2);
        let read = |bytes: &[u8]| format!("{:?}", PlainHistogram::read(Reader::new(bytes, 0)));
        assert_eq!(read(&moved), read(&bytes(&integers)));
        let first = [&[15 << 3, 77][..], &bytes(&integers)].concat();
        assert_eq!(
            PlainHistogram::read(Reader::new(&first, 0)).map(|plain| plain.timestamp_ms),
            Some(77)
        );
        let floats = Histogram {
            count: Count::Float(4.0),
            ..integers.clone()
        };
        assert!(!is_plain(&bytes(&floats)));
        let floats = Side {
            counts: vec![4.0],
            ..side
        };
        assert!(!is_plain(&bytes(&Histogram {
            positive: floats,
            ..integers.clone()
        })));
        // A field twice, a delta by itself, an unknown field.
        for more in [&[0x08, 5][..], &[0x60, 5], &[0x90, 1, 5]] {
            assert!(!is_plain(&[&bytes(&integers)[..], more].concat()));
        }
    }
}
