//! Attributes: key and value pairs, as they lie in a message, and as labels.

use std::fmt::Write;

use model::METRIC_NAME;
use model::number::push_plain_float;

use super::json::push_json_text;
use crate::base64;
use crate::error::DecodeError;
use crate::protobuf::{Reader, WireType};

/// The attributes of something: `KeyValue` messages, one after the other, each behind its length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

/// One attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) key: &'a [u8],
    value: Reader<'a>,
}

impl<'a> Attributes<'a> {
    /// Each attribute; ends at the first that is broken, which the walk of the request has excluded.
    pub(super) fn iter(self) -> impl Iterator<Item = Attribute<'a>> {
        let mut reader = Reader::new(self.0, 0);
        std::iter::from_fn(move || {
            if reader.is_at_end() {
                return None;
            }
            reader.message().and_then(Attribute::read).ok()
        })
    }

    /// Those that can be labels, by key.
    pub(super) fn sorted_labels(self) -> Vec<Attribute<'a>> {
        let mut found: Vec<_> = self.iter().filter(Attribute::is_label).collect();
        found.sort_by_key(|attribute| attribute.key);
        found
    }

    /// The text of the first attribute with this key, if it has one.
    pub(super) fn text_of(self, key: &str, nesting_max: usize) -> Option<String> {
        let found = self.iter().find(|attribute| attribute.key == key.as_bytes())?;
        Some(found.text(nesting_max))
    }
}

impl<'a> Attribute<'a> {
    #[inline]
    pub(super) fn read(mut message: Reader<'a>) -> Result<Self, DecodeError> {
        let mut attribute = Self {
            key: b"",
            value: Reader::new(b"", message.offset()),
        };
        while let Some((number, wire_type)) = message.field()? {
            match (number, wire_type) {
                (1, WireType::Bytes) => attribute.key = message.bytes()?,
                (2, WireType::Bytes) => attribute.value = message.message()?,
                (1 | 2, _) => return Err(message.error("field of a KeyValue with the wrong wire type")),
                _ => message.skip(wire_type)?,
            }
        }
        Ok(attribute)
    }

    /// The value as a label has it: text as it is, all else as JSON.
    pub(super) fn text(&self, nesting_max: usize) -> String {
        let mut text = String::new();
        match string_of(self.value) {
            Some(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
            None => push_value(&mut text, self.value, nesting_max),
        }
        text
    }

    /// True when key and value can be labels: UTF-8, and no attempt to be the metric's name.
    pub(super) fn is_label(&self) -> bool {
        self.key != METRIC_NAME.as_bytes() && !self.key.is_empty()
    }
}

/// The text of a value that is a string.
fn string_of(mut value: Reader<'_>) -> Option<&[u8]> {
    match value.field() {
        Ok(Some((1, WireType::Bytes))) => value.bytes().ok(),
        _ => None,
    }
}

/// Appends a value as JSON; what is not there, broken or nested too deep leaves no more than a mark.
fn push_value(text: &mut String, mut value: Reader<'_>, nesting_left: usize) {
    let Ok(Some((number, wire_type))) = value.field() else {
        return;
    };
    match (number, wire_type) {
        (1, WireType::Bytes) => push_json_string(text, value.bytes().unwrap_or_default()),
        (2, WireType::Varint) => text.push_str(match value.varint() {
            Ok(0) | Err(_) => "false",
            Ok(_) => "true",
        }),
        (3, WireType::Varint) => {
            let integer = value.varint().unwrap_or_default().cast_signed();
            let written = write!(text, "{integer}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        (4, WireType::Fixed64) => push_plain_float(text, f64::from_bits(value.fixed64().unwrap_or_default())),
        (5 | 6, WireType::Bytes) if nesting_left == 0 => text.push('…'),
        (5, WireType::Bytes) => push_list(text, ('[', ']'), &value, |text, item| {
            push_value(text, item, nesting_left - 1);
        }),
        (6, WireType::Bytes) => push_list(text, ('{', '}'), &value, |text, item| {
            if let Ok(pair) = Attribute::read(item) {
                push_json_string(text, pair.key);
                text.push(':');
                push_value(text, pair.value, nesting_left - 1);
            }
        }),
        (7, WireType::Bytes) => base64::push(text, value.bytes().unwrap_or_default()),
        _ => {}
    }
}

/// Appends the items of an `ArrayValue` or a `KeyValueList`, both of which hold them in field 1.
fn push_list(
    text: &mut String,
    (open, close): (char, char),
    list: &Reader<'_>,
    mut push_item: impl FnMut(&mut String, Reader<'_>),
) {
    text.push(open);
    let mut is_first = true;
    let mut list = *list;
    if let Ok(mut items) = list.message() {
        while let Ok(Some((1, WireType::Bytes))) = items.field() {
            let Ok(item) = items.message() else {
                break;
            };
            if !std::mem::take(&mut is_first) {
                text.push(',');
            }
            push_item(text, item);
        }
    }
    text.push(close);
}

fn push_json_string(text: &mut String, bytes: &[u8]) {
    push_json_text(text, &String::from_utf8_lossy(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::raw::{bytes, fixed64, varint};

    fn text_of(value: Vec<u8>) -> String {
        let pair = [bytes(1, "key"), bytes(2, value)].concat();
        Attribute::read(Reader::new(&pair, 0)).unwrap().text(2)
    }

    #[test]
    fn values_are_text_or_json() {
        assert_eq!(text_of(bytes(1, "a\"b")), "a\"b");
        assert_eq!(text_of(varint(2, 1)), "true");
        assert_eq!(text_of(varint(3, u64::MAX)), "-1");
        assert_eq!(text_of(fixed64(4, 0.5)), "0.5");
        assert_eq!(text_of(bytes(7, [0, 1, 2, 3])), "AAECAw==");
        assert_eq!(text_of(Vec::new()), "");
        let list = [bytes(1, bytes(1, "x\n")), bytes(1, varint(3, 7))].concat();
        assert_eq!(text_of(bytes(5, list)), r#"["x\n",7]"#);
        let map = bytes(1, [bytes(1, "k"), bytes(2, varint(2, 0))].concat());
        assert_eq!(text_of(bytes(6, map)), r#"{"k":false}"#);
    }

    #[test]
    fn nesting_ends_where_it_has_to() {
        let mut value = varint(3, 1);
        for _ in 0..50 {
            value = bytes(5, bytes(1, value));
        }
        assert_eq!(text_of(value), "[[…]]");
    }
}
