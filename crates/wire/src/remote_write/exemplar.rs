//! Exemplars, alike in both protocols but for their labels.

use model::TimestampMs;

use super::labels::text;
use super::v2::Symbols;
use crate::error::{DecodeError, LabelsError};
use crate::protobuf::{Reader, WireType};

/// One exemplar of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar<'a> {
    /// Names and values in the order of the body; what is wrong with them otherwise.
    pub labels: Result<Vec<(&'a str, &'a str)>, LabelsError>,
    /// Any bits.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: TimestampMs,
}

/// Where the labels of exemplars are.
#[derive(Debug, Clone, Copy)]
pub(super) enum LabelSource<'s, 'a> {
    /// In messages of their own: remote write 1.0.
    Messages,
    /// In the symbol table: remote write 2.0.
    Symbols(&'s Symbols<'a>),
}

/// Exemplars of one series.
#[derive(Debug, Clone)]
pub struct Exemplars<'s, 'a> {
    message: Reader<'a>,
    field: u32,
    labels: LabelSource<'s, 'a>,
}

const WRONG_TYPE: &str = "field of an Exemplar with the wrong wire type";

impl<'s, 'a> Exemplars<'s, 'a> {
    /// Those in a series' message, in fields of this number. The message was walked before.
    pub(super) fn new(message: Reader<'a>, field: u32, labels: LabelSource<'s, 'a>) -> Self {
        Self {
            message,
            field,
            labels,
        }
    }

    fn read_next(&mut self) -> Result<Option<Exemplar<'a>>, DecodeError> {
        while let Some((number, wire_type)) = self.message.field()? {
            if number == self.field && wire_type == WireType::Bytes {
                let message = self.message.message()?;
                return self.read(message).map(Some);
            }
            self.message.skip(wire_type)?;
        }
        Ok(None)
    }

    fn read(&self, mut message: Reader<'a>) -> Result<Exemplar<'a>, DecodeError> {
        let mut exemplar = Exemplar {
            labels: Ok(Vec::new()),
            value: 0.0,
            timestamp_ms: 0,
        };
        let mut refs = Vec::new();
        loop {
            let before = message;
            let Some((number, wire_type)) = message.field()? else {
                break;
            };
            match (number, wire_type, self.labels) {
                (1, WireType::Bytes, LabelSource::Messages) => {
                    let label = read_label(message.message()?)?;
                    push(&mut exemplar.labels, label);
                }
                (1, WireType::Bytes, LabelSource::Symbols(_)) => {
                    let mut packed = message.message()?;
                    while !packed.is_at_end() {
                        refs.push(packed.varint()?);
                    }
                }
                (1, WireType::Varint, LabelSource::Symbols(_)) => refs.push(message.varint()?),
                (2, WireType::Fixed64, _) => exemplar.value = f64::from_bits(message.fixed64()?),
                (3, WireType::Varint, _) => exemplar.timestamp_ms = message.varint()?.cast_signed(),
                (1..=3, ..) => return Err(before.error(WRONG_TYPE)),
                _ => message.skip(wire_type)?,
            }
        }
        if let LabelSource::Symbols(symbols) = self.labels {
            exemplar.labels = labels_of(&refs, symbols);
        }
        Ok(exemplar)
    }
}

impl<'a> Iterator for Exemplars<'_, 'a> {
    type Item = Result<Exemplar<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let exemplar = self.read_next().transpose();
        if matches!(exemplar, Some(Err(_))) {
            self.message = Reader::new(&[], 0);
        }
        exemplar
    }
}

fn push<'a>(
    labels: &mut Result<Vec<(&'a str, &'a str)>, LabelsError>,
    label: Result<(&'a str, &'a str), LabelsError>,
) {
    match (&mut *labels, label) {
        (Ok(all), Ok(label)) => all.push(label),
        (Ok(_), Err(error)) => *labels = Err(error),
        (Err(_), _) => {}
    }
}

/// Name and value of a label message; the inner error if they are not UTF-8.
fn read_label<'a>(mut message: Reader<'a>) -> Result<Result<(&'a str, &'a str), LabelsError>, DecodeError> {
    let (mut name, mut value) = (Ok(""), Ok(""));
    loop {
        let before = message;
        let Some((number, wire_type)) = message.field()? else {
            return Ok(name.and_then(|name| Ok((name, value?))));
        };
        match (number, wire_type) {
            (1, WireType::Bytes) => name = text(message.bytes()?),
            (2, WireType::Bytes) => value = text(message.bytes()?),
            (1 | 2, _) => return Err(before.error("field of a Label with the wrong wire type")),
            _ => message.skip(wire_type)?,
        }
    }
}

fn labels_of<'a>(refs: &[u64], symbols: &Symbols<'a>) -> Result<Vec<(&'a str, &'a str)>, LabelsError> {
    let text = |reference: u64| {
        // No symbol has so high a number.
        symbols.text(u32::try_from(reference).unwrap_or(u32::MAX))
    };
    let pairs = refs.chunks(2).map(|pair| match pair {
        [name, value] => Ok((text(*name)?, text(*value)?)),
        _ => Err(LabelsError::OddReferences { n_refs: refs.len() }),
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::raw::{bytes, fixed64, unknown_fields, varint};

    fn read<'a>(body: &'a [u8], labels: LabelSource<'_, 'a>) -> Vec<Result<Exemplar<'a>, DecodeError>> {
        Exemplars::new(Reader::new(body, 0), 3, labels).collect()
    }

    fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
        bytes(1, [bytes(1, name), bytes(2, value)].concat())
    }

    #[test]
    fn exemplars_lie_anywhere_in_their_series() {
        let one = [
            label(b"trace_id", b"a"),
            label(b"", b""),
            fixed64(2, 0.5),
            varint(3, 7),
        ]
        .concat();
        let body = [unknown_fields(), bytes(3, one), varint(3, 1), bytes(3, "")].concat();
        let found = read(&body, LabelSource::Messages);
        let expected = [
            Ok(Exemplar {
                labels: Ok(vec![("trace_id", "a"), ("", "")]),
                value: 0.5,
                timestamp_ms: 7,
            }),
            Ok(Exemplar {
                labels: Ok(vec![]),
                value: 0.0,
                timestamp_ms: 0,
            }),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn references_are_texts_of_the_symbol_table() {
        let mut symbols = Symbols::default();
        for text in ["", "trace_id", "a"] {
            symbols.push(text.as_bytes());
        }
        let check = |refs: Vec<u8>, expected: Result<Vec<(&str, &str)>, LabelsError>| {
            let body = bytes(3, refs);
            let found = read(&body, LabelSource::Symbols(&symbols));
            assert_eq!(found[0].as_ref().unwrap().labels, expected);
        };
        check(bytes(1, [1, 2]), Ok(vec![("trace_id", "a")]));
        check([varint(1, 1), varint(1, 2)].concat(), Ok(vec![("trace_id", "a")]));
        check(bytes(1, [1]), Err(LabelsError::OddReferences { n_refs: 1 }));
        for reference in [3, 1 << 33] {
            let out_of_range = |refs: Vec<u8>| {
                let body = bytes(3, refs);
                let found = read(&body, LabelSource::Symbols(&symbols));
                found[0].as_ref().unwrap().labels.is_err()
            };
            assert!(out_of_range([varint(1, 1), varint(1, reference)].concat()));
        }
    }

    #[test]
    fn text_that_is_none_harms_its_exemplar_only() {
        let bad = bytes(3, label(b"a", b"\xff"));
        let good = bytes(3, label(b"a", b"b"));
        let body = [bad, good].concat();
        let found = read(&body, LabelSource::Messages);
        assert!(matches!(
            found[0].as_ref().unwrap().labels,
            Err(LabelsError::NotUtf8 { .. })
        ));
        assert_eq!(found[1].as_ref().unwrap().labels, Ok(vec![("a", "b")]));
    }

    #[test]
    fn fields_of_the_wrong_type_end_the_series() {
        for broken in [
            varint(2, 1),
            fixed64(3, 1.0),
            varint(1, 1),
            bytes(1, varint(1, 1)),
        ] {
            let body = [bytes(3, broken), bytes(3, "")].concat();
            let found = read(&body, LabelSource::Messages);
            assert!(matches!(found[..], [Err(_)]), "{found:?}");
        }
    }
}
