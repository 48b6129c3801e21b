//! Native histograms, alike in both protocols.

use model::TimestampMs;
use model::histogram::{BUCKETS_MAX, CounterResetHint, Span};

use super::plain_histogram::PlainHistogram;
use crate::error::DecodeError;
use crate::protobuf::writer::{push_bytes, push_integer, push_varint};
use crate::protobuf::{Reader, WireType};

/// The fields of one histogram as they came; nothing about them is checked. Made to be filled again and again.
///
/// Of a list that is longer than a valid histogram may have, [`BUCKETS_MAX`] + 1 are kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Milliseconds since the epoch.
    pub timestamp_ms: TimestampMs,
    /// When its counter began, in milliseconds since the epoch; 0 when not said.
    pub start_timestamp_ms: TimestampMs,
    /// What is known about a counter reset; a number without meaning is [`CounterResetHint::Unknown`].
    pub reset_hint: CounterResetHint,
    /// The number of its schema.
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// All observations. A float makes it a histogram of floats.
    pub count: Count,
    /// Observations in the zero bucket.
    pub zero_count: Count,
    /// Sum of all observations, any bits.
    pub sum: f64,
    /// Buckets above zero, or all custom ones.
    pub positive: Side,
    /// Buckets below zero.
    pub negative: Side,
    /// Upper bounds of custom buckets.
    pub custom_bounds: Vec<f64>,
}

/// A count of either kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Count {
    /// Of a histogram of integers.
    Integer(u64),
    /// Of a histogram of floats.
    Float(f64),
}

/// Buckets of one side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Side {
    /// Where they lie.
    pub spans: Vec<Span>,
    /// Of a histogram of integers: the first count, then differences.
    pub deltas: Vec<i64>,
    /// Of a histogram of floats: the counts.
    pub counts: Vec<f64>,
}

const WRONG_TYPE: &str = "field of a Histogram with the wrong wire type";

impl Default for Count {
    fn default() -> Self {
        Self::Integer(0)
    }
}

impl Side {
    fn clear(&mut self) {
        self.spans.clear();
        self.deltas.clear();
        self.counts.clear();
    }
}

impl Histogram {
    /// Empties it, memory kept.
    fn clear(&mut self) {
        self.positive.clear();
        self.negative.clear();
        self.custom_bounds.clear();
        *self = Self {
            positive: std::mem::take(&mut self.positive),
            negative: std::mem::take(&mut self.negative),
            custom_bounds: std::mem::take(&mut self.custom_bounds),
            ..Self::default()
        };
    }

    /// Reads a message in place of what it held.
    pub(super) fn read(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        self.clear();
        loop {
            let before = message;
            let Some((number, wire_type)) = message.field()? else {
                return Ok(());
            };
            match (number, wire_type) {
                (1, WireType::Varint) => self.count = Count::Integer(message.varint()?),
                (2, WireType::Fixed64) => self.count = Count::Float(double(&mut message)?),
                (3, WireType::Fixed64) => self.sum = double(&mut message)?,
                (4, WireType::Varint) => self.schema = signed_32(&mut message)?,
                (5, WireType::Fixed64) => self.zero_threshold = double(&mut message)?,
                (6, WireType::Varint) => self.zero_count = Count::Integer(message.varint()?),
                (7, WireType::Fixed64) => self.zero_count = Count::Float(double(&mut message)?),
                (8..=10, _) => {
                    read_side(&mut self.negative, number - 8, wire_type, &mut message, before)?;
                }
                (11..=13, _) => {
                    read_side(&mut self.positive, number - 11, wire_type, &mut message, before)?;
                }
                (14, WireType::Varint) => self.reset_hint = hint(message.varint()?),
                (15, WireType::Varint) => self.timestamp_ms = message.varint()?.cast_signed(),
                (16, _) => {
                    read_doubles(&mut self.custom_bounds, wire_type, &mut message, before)?;
                }
                (17, WireType::Varint) => self.start_timestamp_ms = message.varint()?.cast_signed(),
                (1..=17, _) => return Err(before.error(WRONG_TYPE)),
                _ => message.skip(wire_type)?,
            }
        }
    }
}

impl Histogram {
    /// Appends the message.
    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        match self.count {
            Count::Integer(count) => push_integer(out, 1 << 3, count),
            Count::Float(count) => push_double(out, 2, count),
        }
        push_double(out, 3, self.sum);
        push_integer(out, 4 << 3, zigzag(self.schema.into()));
        push_double(out, 5, self.zero_threshold);
        match self.zero_count {
            Count::Integer(count) => push_integer(out, 6 << 3, count),
            Count::Float(count) => push_double(out, 7, count),
        }
        self.negative.push_to(out, 8);
        self.positive.push_to(out, 11);
        push_integer(out, 14 << 3, hint_number(self.reset_hint));
        push_integer(out, 15 << 3, self.timestamp_ms.cast_unsigned());
        if !self.custom_bounds.is_empty() {
            push_varint(out, 16 << 3 | 2);
            push_varint(out, 8 * self.custom_bounds.len() as u64);
            for bound in &self.custom_bounds {
                out.extend_from_slice(&bound.to_bits().to_le_bytes());
            }
        }
        if self.start_timestamp_ms != 0 {
            push_varint(out, 17 << 3);
            push_varint(out, self.start_timestamp_ms.cast_unsigned());
        }
    }
}

impl Side {
    /// Appends the three fields of a side, of which the spans have this number.
    fn push_to(&self, out: &mut Vec<u8>, number: u8) {
        let mut message = Vec::new();
        for span in &self.spans {
            message.clear();
            push_integer(&mut message, 1 << 3, zigzag(span.offset.into()));
            push_integer(&mut message, 2 << 3, span.length.into());
            push_bytes(out, number << 3 | 2, &message);
        }
        if !self.deltas.is_empty() {
            message.clear();
            for delta in &self.deltas {
                push_varint(&mut message, zigzag(*delta));
            }
            push_bytes(out, (number + 1) << 3 | 2, &message);
        }
        if !self.counts.is_empty() {
            message.clear();
            for count in &self.counts {
                message.extend_from_slice(&count.to_bits().to_le_bytes());
            }
            push_bytes(out, (number + 2) << 3 | 2, &message);
        }
    }
}

fn push_double(out: &mut Vec<u8>, number: u8, value: f64) {
    out.push(number << 3 | 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// The native histograms of one series. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Histograms<'a> {
    reader: Reader<'a>,
    field_number: u32,
    n_left: usize,
}

impl<'a> Histograms<'a> {
    /// The `n_left` fields of this number from `reader` on.
    pub(super) fn new(reader: Reader<'a>, field_number: u32, n_left: usize) -> Self {
        Self {
            reader,
            field_number,
            n_left,
        }
    }

    /// Position in the body behind what was read.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.reader.offset()
    }

    /// The next one; none when there is none.
    ///
    /// # Errors
    /// Where the bytes are broken.
    pub fn next_message(&mut self) -> Result<Option<HistogramMessage<'a>>, DecodeError> {
        let Some(n_left) = self.n_left.checked_sub(1) else {
            return Ok(None);
        };
        self.n_left = 0;
        while let Some((number, wire_type)) = self.reader.field()? {
            if number == self.field_number {
                let message = self.reader.message()?;
                self.n_left = n_left;
                return Ok(Some(HistogramMessage(message)));
            }
            self.reader.skip(wire_type)?;
        }
        Err(self.reader.error("TimeSeries with fewer histograms than counted"))
    }

    /// Reads the next one into `histogram`; false when there is none.
    ///
    /// # Errors
    /// Where the bytes are broken.
    pub fn read_next(&mut self, histogram: &mut Histogram) -> Result<bool, DecodeError> {
        match self.next_message()? {
            Some(message) => message.read(histogram).map(|()| true),
            None => Ok(false),
        }
    }
}

/// A native histogram that has not been read.
#[derive(Debug, Clone, Copy)]
pub struct HistogramMessage<'a>(Reader<'a>);

impl<'a> HistogramMessage<'a> {
    /// The same as far as it is written plainly; otherwise, and when it is broken, none.
    #[inline]
    #[must_use]
    pub fn plain(&self) -> Option<PlainHistogram<'a>> {
        PlainHistogram::read(self.0)
    }

    /// Reads it in place of what `histogram` held.
    ///
    /// # Errors
    /// Where the bytes are broken.
    pub fn read(&self, histogram: &mut Histogram) -> Result<(), DecodeError> {
        histogram.read(self.0)
    }
}

pub(super) fn hint(number: u64) -> CounterResetHint {
    match number {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn hint_number(hint: CounterResetHint) -> u64 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

/// Field 0 of a side are its spans, 1 the deltas, 2 the counts.
fn read_side(
    side: &mut Side,
    number: u32,
    wire_type: WireType,
    message: &mut Reader<'_>,
    before: Reader<'_>,
) -> Result<(), DecodeError> {
    match (number, wire_type) {
        (0, WireType::Bytes) => {
            let span = read_span(message.message()?)?;
            push(&mut side.spans, span);
        }
        (1, WireType::Bytes) => {
            let mut packed = message.message()?;
            while !packed.is_at_end() {
                push(&mut side.deltas, unzigzag(packed.varint()?));
            }
        }
        (1, WireType::Varint) => push(&mut side.deltas, unzigzag(message.varint()?)),
        (2, _) => read_doubles(&mut side.counts, wire_type, message, before)?,
        _ => return Err(before.error(WRONG_TYPE)),
    }
    Ok(())
}

fn read_doubles(
    doubles: &mut Vec<f64>,
    wire_type: WireType,
    message: &mut Reader<'_>,
    before: Reader<'_>,
) -> Result<(), DecodeError> {
    match wire_type {
        WireType::Fixed64 => push(doubles, double(message)?),
        WireType::Bytes => {
            let mut packed = message.message()?;
            if packed.rest().len() % 8 != 0 {
                return Err(packed.error("packed doubles that are no multiple of 8 bytes"));
            }
            while !packed.is_at_end() {
                push(doubles, double(&mut packed)?);
            }
        }
        _ => return Err(before.error(WRONG_TYPE)),
    }
    Ok(())
}

#[inline]
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() <= BUCKETS_MAX {
        list.push(item);
    }
}

fn read_span(mut message: Reader<'_>) -> Result<Span, DecodeError> {
    let mut span = Span { offset: 0, length: 0 };
    loop {
        let before = message;
        let Some((number, wire_type)) = message.field()? else {
            return Ok(span);
        };
        match (number, wire_type) {
            (1, WireType::Varint) => span.offset = signed_32(&mut message)?,
            (2, WireType::Varint) => {
                let length = u32::try_from(message.varint()?);
                span.length = length.map_err(|_| before.error("length of a span longer than 32 bits"))?;
            }
            (1 | 2, _) => return Err(before.error("field of a BucketSpan with the wrong wire type")),
            _ => message.skip(wire_type)?,
        }
    }
}

fn double(message: &mut Reader<'_>) -> Result<f64, DecodeError> {
    Ok(f64::from_bits(message.fixed64()?))
}

fn signed_32(message: &mut Reader<'_>) -> Result<i32, DecodeError> {
    let before = *message;
    let value = unzigzag(message.varint()?);
    i32::try_from(value).map_err(|_| before.error("integer longer than 32 bits"))
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count() -> impl Strategy<Value = Count> {
        let float = any::<u64>().prop_map(|bits| Count::Float(f64::from_bits(bits & !(0x7ff << 52))));
        prop_oneof![any::<u64>().prop_map(Count::Integer), float]
    }

    fn doubles() -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec(-1e9..1e9, 0..4)
    }

    fn side() -> impl Strategy<Value = Side> {
        let span = any::<(i32, u32)>().prop_map(|(offset, length)| Span { offset, length });
        let spans = proptest::collection::vec(span, 0..4);
        let deltas = proptest::collection::vec(any::<i64>(), 0..9);
        (spans, deltas, doubles()).prop_map(|(spans, deltas, counts)| Side {
            spans,
            deltas,
            counts,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (timestamp_ms, start_timestamp_ms, schema, hint_idx) in any::<(i64, i64, i32, u64)>(),
            (count, zero_count) in (count(), count()),
            (positive, negative) in (side(), side()),
            custom_bounds in doubles(),
        ) {
            let written = Histogram {
                timestamp_ms,
                start_timestamp_ms,
                reset_hint: hint(hint_idx % 4),
                schema,
                zero_threshold: 0.5,
                count,
                zero_count,
                sum: -1.5,
                positive,
                negative,
                custom_bounds,
            };
            let mut bytes = Vec::new();
            written.push_to(&mut bytes);
            let mut read = Histogram::default();
            read.read(Reader::new(&bytes, 0)).unwrap();
            prop_assert_eq!(read, written);
        }
    }
}
