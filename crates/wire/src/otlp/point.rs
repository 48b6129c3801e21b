//! Data points as they lie in a message. One type for all kinds: a point of one kind leaves what belongs to others
//! empty.

use model::TimestampMs;

use super::bounds::Bounds;
use super::exemplar::Exemplar;
use crate::error::DecodeError;
use crate::protobuf::{Reader, WireType};

/// What a metric holds, and with it the schema of its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataKind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// One point, read. Reused: its lists keep their memory.
#[derive(Debug, Default)]
pub(super) struct Point {
    /// The attributes, each behind its length: see [`super::attributes::Attributes`].
    pub(super) attributes: Vec<u8>,
    pub(super) start_ns: u64,
    pub(super) time_ns: u64,
    pub(super) has_no_recorded_value: bool,
    /// Of gauges and sums.
    pub(super) value: Option<f64>,
    /// Of histograms and summaries.
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    /// Of explicit histograms.
    pub(super) bucket_counts: Vec<u64>,
    pub(super) bounds: Bounds,
    /// Of summaries: quantile and value.
    pub(super) quantiles: Vec<(f64, f64)>,
    /// Of exponential histograms.
    pub(super) scale: i32,
    pub(super) zero_count: u64,
    pub(super) zero_threshold: f64,
    pub(super) positive: Side,
    pub(super) negative: Side,
    /// Of sums and both kinds of histograms.
    pub(super) exemplars: Vec<Exemplar>,
}

/// One side of an exponential histogram: consecutive buckets from an offset on.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) offset: i32,
    pub(super) counts: Vec<u64>,
}

const WRONG_TYPE: &str = "field of a data point with the wrong wire type";

/// Bit of the flags that says that there is no value.
const NO_RECORDED_VALUE: u64 = 1;

impl Point {
    fn clear(&mut self) {
        self.attributes.clear();
        (self.start_ns, self.time_ns, self.has_no_recorded_value) = (0, 0, false);
        (self.value, self.count, self.sum) = (None, 0, None);
        self.bucket_counts.clear();
        self.bounds.clear();
        self.quantiles.clear();
        self.exemplars.clear();
        (self.scale, self.zero_count, self.zero_threshold) = (0, 0, 0.0);
        for side in [&mut self.positive, &mut self.negative] {
            side.offset = 0;
            side.counts.clear();
        }
    }

    /// Reads a point of that kind.
    pub(super) fn read(&mut self, kind: DataKind, mut message: Reader<'_>) -> Result<(), DecodeError> {
        self.clear();
        let (attributes, flags) = match kind {
            DataKind::Gauge | DataKind::Sum | DataKind::Summary => (7, 8),
            DataKind::Histogram => (9, 10),
            DataKind::ExponentialHistogram => (1, 10),
        };
        // As in Prometheus, a gauge has none.
        let exemplars = match kind {
            DataKind::Sum => Some(5),
            DataKind::Histogram => Some(8),
            DataKind::ExponentialHistogram => Some(11),
            DataKind::Gauge | DataKind::Summary => None,
        };
        while let Some((number, wire_type)) = message.field()? {
            match (number, wire_type) {
                (number, WireType::Bytes) if number == attributes => self.push_attribute(&mut message)?,
                (number, WireType::Varint) if number == flags => {
                    self.has_no_recorded_value = message.varint()? & NO_RECORDED_VALUE != 0;
                }
                (2, WireType::Fixed64) => self.start_ns = message.fixed64()?,
                (3, WireType::Fixed64) => self.time_ns = message.fixed64()?,
                (2 | 3, _) => return Err(message.error(WRONG_TYPE)),
                (number, WireType::Bytes) if Some(number) == exemplars => {
                    self.exemplars.push(Exemplar::read(message.message()?)?);
                }
                _ => match kind {
                    DataKind::Gauge | DataKind::Sum => self.number_field(number, wire_type, &mut message)?,
                    DataKind::Histogram => self.histogram_field(number, wire_type, &mut message)?,
                    DataKind::ExponentialHistogram => {
                        self.exponential_field(number, wire_type, &mut message)?;
                    }
                    DataKind::Summary => self.summary_field(number, wire_type, &mut message)?,
                },
            }
        }
        if kind == DataKind::Histogram {
            self.bounds.finish();
        }
        Ok(())
    }

    /// Keeps an attribute after a look at its fields, so that nobody has to expect broken ones later.
    fn push_attribute(&mut self, message: &mut Reader<'_>) -> Result<(), DecodeError> {
        let before = message.rest();
        let attribute = message.message()?;
        super::attributes::Attribute::read(attribute)?;
        let n_bytes = before.len() - message.rest().len();
        self.attributes
            .extend_from_slice(before.get(..n_bytes).unwrap_or_default());
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a sample is a float")]
    fn number_field(
        &mut self,
        number: u32,
        wire_type: WireType,
        message: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        match (number, wire_type) {
            (4, WireType::Fixed64) => self.value = Some(f64::from_bits(message.fixed64()?)),
            (6, WireType::Fixed64) => self.value = Some(message.fixed64()?.cast_signed() as f64),
            (4 | 6, _) => return Err(message.error(WRONG_TYPE)),
            _ => message.skip(wire_type)?,
        }
        Ok(())
    }

    fn histogram_field(
        &mut self,
        number: u32,
        wire_type: WireType,
        message: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        match (number, wire_type) {
            (4, WireType::Fixed64) => self.count = message.fixed64()?,
            (5, WireType::Fixed64) => self.sum = Some(f64::from_bits(message.fixed64()?)),
            (6, _) => fixed64s(wire_type, message, &mut self.bucket_counts)?,
            (7, WireType::Bytes) => self.bounds.read_packed(message.message()?)?,
            (7, WireType::Fixed64) => self.bounds.push(f64::from_bits(message.fixed64()?)),
            (7, _) => return Err(message.error(WRONG_TYPE)),
            (4 | 5, _) => return Err(message.error(WRONG_TYPE)),
            _ => message.skip(wire_type)?,
        }
        Ok(())
    }

    fn exponential_field(
        &mut self,
        number: u32,
        wire_type: WireType,
        message: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        match (number, wire_type) {
            (4, WireType::Fixed64) => self.count = message.fixed64()?,
            (5, WireType::Fixed64) => self.sum = Some(f64::from_bits(message.fixed64()?)),
            (6, WireType::Varint) => self.scale = zigzag(message)?,
            (7, WireType::Fixed64) => self.zero_count = message.fixed64()?,
            (8, WireType::Bytes) => self.positive.read(message.message()?)?,
            (9, WireType::Bytes) => self.negative.read(message.message()?)?,
            (14, WireType::Fixed64) => self.zero_threshold = f64::from_bits(message.fixed64()?),
            (4..=9 | 14, _) => return Err(message.error(WRONG_TYPE)),
            _ => message.skip(wire_type)?,
        }
        Ok(())
    }

    fn summary_field(
        &mut self,
        number: u32,
        wire_type: WireType,
        message: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        match (number, wire_type) {
            (4, WireType::Fixed64) => self.count = message.fixed64()?,
            (5, WireType::Fixed64) => self.sum = Some(f64::from_bits(message.fixed64()?)),
            (6, WireType::Bytes) => {
                let mut value_at = message.message()?;
                let (mut quantile, mut value) = (0.0, 0.0);
                while let Some((number, wire_type)) = value_at.field()? {
                    match (number, wire_type) {
                        (1, WireType::Fixed64) => quantile = f64::from_bits(value_at.fixed64()?),
                        (2, WireType::Fixed64) => value = f64::from_bits(value_at.fixed64()?),
                        (1 | 2, _) => return Err(value_at.error(WRONG_TYPE)),
                        _ => value_at.skip(wire_type)?,
                    }
                }
                self.quantiles.push((quantile, value));
            }
            (4..=6, _) => return Err(message.error(WRONG_TYPE)),
            _ => message.skip(wire_type)?,
        }
        Ok(())
    }

    /// The point's time; `None` when it has none.
    pub(super) fn time_ms(&self) -> Option<TimestampMs> {
        if self.time_ns == 0 {
            return None;
        }
        TimestampMs::try_from(self.time_ns / 1_000_000).ok()
    }

    /// When its counter began, if that can be believed.
    ///
    /// Envoy 1.40 sends microseconds instead of nanoseconds. So a start that lies more than ten years back is read
    /// as that, and left out if it is no better then.
    pub(super) fn start_ms(&self) -> Option<TimestampMs> {
        const BELIEVED_NS: u64 = 10 * 366 * 86_400 * 1_000_000_000;
        if self.start_ns == 0 {
            return None;
        }
        let candidates = [Some(self.start_ns), self.start_ns.checked_mul(1_000)];
        let believed = candidates.into_iter().flatten().find(|start| {
            self.time_ns
                .checked_sub(*start)
                .is_some_and(|age| age <= BELIEVED_NS)
        })?;
        TimestampMs::try_from(believed / 1_000_000).ok()
    }
}

impl Side {
    fn read(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        while let Some((number, wire_type)) = message.field()? {
            match (number, wire_type) {
                (1, WireType::Varint) => self.offset = zigzag(&mut message)?,
                (2, WireType::Varint) => self.counts.push(message.varint()?),
                (2, WireType::Bytes) => {
                    let mut packed = message.message()?;
                    while !packed.is_at_end() {
                        self.counts.push(packed.varint()?);
                    }
                }
                (1 | 2, _) => return Err(message.error("field of Buckets with the wrong wire type")),
                _ => message.skip(wire_type)?,
            }
        }
        Ok(())
    }
}

/// A repeated field of 64 bits, packed or not.
fn fixed64s(wire_type: WireType, message: &mut Reader<'_>, words: &mut Vec<u64>) -> Result<(), DecodeError> {
    match wire_type {
        WireType::Fixed64 => words.push(message.fixed64()?),
        WireType::Bytes => words.extend(message.message()?.fixed64s()?),
        WireType::Varint | WireType::Fixed32 => return Err(message.error(WRONG_TYPE)),
    }
    Ok(())
}

/// A signed integer of 32 bits in zigzag coding.
fn zigzag(message: &mut Reader<'_>) -> Result<i32, DecodeError> {
    let before = *message;
    let raw = message.varint()?;
    let value = (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed();
    i32::try_from(value).map_err(|_| before.error("integer of more than 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(start_ns: u64, time_ns: u64) -> Point {
        Point {
            start_ns,
            time_ns,
            ..Point::default()
        }
    }

    #[test]
    fn a_start_is_believed_when_it_lies_within_ten_years_before() {
        let now_ns = 1_795_237_702_250_210_000;
        assert_eq!(
            point(now_ns - 5_000_000, now_ns).start_ms(),
            Some(1_795_237_702_245)
        );
        // As Envoy sends it: microseconds.
        assert_eq!(
            point(1_795_237_600_250_210, now_ns).start_ms(),
            Some(1_795_237_600_250)
        );
        assert_eq!(point(0, now_ns).start_ms(), None);
        assert_eq!(point(now_ns + 1, now_ns).start_ms(), None);
        assert_eq!(point(12_345, now_ns).start_ms(), None);
    }

    #[test]
    fn times_are_cut_to_milliseconds() {
        assert_eq!(point(0, 1_999_999).time_ms(), Some(1));
        assert_eq!(point(0, 0).time_ms(), None);
    }
}
