//! Exemplars of data points.

use std::fmt::Write;

use model::TimestampMs;

use super::attributes::Attribute;
use crate::error::DecodeError;
use crate::protobuf::{Reader, WireType};

/// An exemplar as its series gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Milliseconds since the epoch.
    pub timestamp_ms: TimestampMs,
    /// What was observed.
    pub value: f64,
    /// `trace_id` and `span_id` if they are there; and the attributes that the metric does not have, if everything
    /// together has no more than 128 characters.
    pub labels: Vec<(String, String)>,
}

const WRONG_TYPE: &str = "field of an Exemplar with the wrong wire type";

/// Characters of labels that an exemplar may have: OpenMetrics' limit.
const CHARACTERS_MAX: usize = 128;

/// Lists within lists of an attribute's text.
const NESTING_MAX: usize = 4;

impl Exemplar {
    #[cold]
    pub(super) fn read(mut message: Reader<'_>) -> Result<Self, DecodeError> {
        let mut exemplar = Self {
            timestamp_ms: 0,
            value: 0.0,
            labels: Vec::new(),
        };
        let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
        let mut attributes = Vec::new();
        while let Some((number, wire_type)) = message.field()? {
            match (number, wire_type) {
                (2, WireType::Fixed64) => {
                    exemplar.timestamp_ms =
                        TimestampMs::try_from(message.fixed64()? / 1_000_000).unwrap_or(TimestampMs::MAX);
                }
                (3, WireType::Fixed64) => exemplar.value = f64::from_bits(message.fixed64()?),
                (4, WireType::Bytes) => span_id = message.bytes()?,
                (5, WireType::Bytes) => trace_id = message.bytes()?,
                (6, WireType::Fixed64) => exemplar.value = integer(message.fixed64()?),
                (7, WireType::Bytes) => attributes.push(Attribute::read(message.message()?)?),
                (2..=7, _) => return Err(message.error(WRONG_TYPE)),
                _ => message.skip(wire_type)?,
            }
        }
        exemplar.push_id("trace_id", trace_id);
        exemplar.push_id("span_id", span_id);
        exemplar.push_attributes(&attributes);
        Ok(exemplar)
    }

    /// Adds an id in hexadecimal digits; one of nothing but zeros is none.
    fn push_id(&mut self, name: &str, id: &[u8]) {
        if id.iter().all(|byte| *byte == 0) {
            return;
        }
        let mut text = String::new();
        for byte in id {
            let written = write!(text, "{byte:02x}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        self.labels.push((name.to_owned(), text));
    }

    fn push_attributes(&mut self, attributes: &[Attribute<'_>]) {
        let pairs = attributes
            .iter()
            .filter(|attribute| attribute.is_label())
            .map(|attribute| {
                let name = String::from_utf8_lossy(attribute.key).into_owned();
                (name, attribute.text(NESTING_MAX))
            });
        let n_before = self.labels.len();
        self.labels.extend(pairs);
        let texts = self.labels.iter().flat_map(|(name, value)| [name, value]);
        let n_characters: usize = texts.map(|text| text.chars().count()).sum();
        if n_characters > CHARACTERS_MAX {
            self.labels.truncate(n_before);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sample is a float")]
fn integer(bits: u64) -> f64 {
    bits.cast_signed() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::raw::{bytes, fixed64, varint};

    fn fixed(number: u32, value: u64) -> Vec<u8> {
        fixed64(number, f64::from_bits(value))
    }

    fn attribute(key: &str, value: &str) -> Vec<u8> {
        bytes(7, [bytes(1, key), bytes(2, bytes(1, value))].concat())
    }

    fn read(body: &[u8]) -> Result<Exemplar, DecodeError> {
        Exemplar::read(Reader::new(body, 0))
    }

    #[test]
    fn ids_become_labels_with_the_attributes_that_fit() {
        let body = [
            fixed(2, 1_700_000_000_123_999_999),
            fixed64(3, 0.25),
            bytes(4, [0xab; 8]),
            bytes(5, [0x01; 16]),
            attribute("user", "x"),
        ];
        let exemplar = read(&body.concat()).unwrap();
        assert_eq!((exemplar.timestamp_ms, exemplar.value), (1_700_000_000_123, 0.25));
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let ids = [
            label("trace_id", &"01".repeat(16)),
            label("span_id", &"ab".repeat(8)),
        ];
        assert_eq!(exemplar.labels[..2], ids);
        assert_eq!(exemplar.labels[2..], [label("user", "x")]);
        let long = [body.concat(), attribute("text", &"y".repeat(100))].concat();
        assert_eq!(read(&long).unwrap().labels, ids);
    }

    #[test]
    fn ids_of_zeros_are_none_and_values_may_be_integers() {
        let body = [
            bytes(5, [0; 16]),
            bytes(4, ""),
            fixed(6, (-3_i64).cast_unsigned()),
        ];
        let exemplar = read(&body.concat()).unwrap();
        assert_eq!((exemplar.value, exemplar.labels.len()), (-3.0, 0));
    }

    #[test]
    fn fields_of_the_wrong_type_are_broken() {
        for broken in [varint(2, 1), bytes(3, "x"), fixed64(5, 1.0), varint(7, 1)] {
            assert!(read(&broken).is_err());
        }
    }
}
