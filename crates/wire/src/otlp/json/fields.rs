//! Fields of a JSON tree as fields of a message.

use std::fmt;

use serde_json::{Map, Value};

use crate::protobuf::writer::push_varint;

/// What is wrong with a tree, and where in it.
#[derive(Debug)]
pub(super) struct JsonError {
    path: String,
    what: String,
}

impl JsonError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            what: what.into(),
        }
    }

    /// The same error, seen from the field or item that holds it.
    pub(super) fn within(self, part: &str) -> Self {
        let path = match self.path.as_str() {
            "" => part.to_owned(),
            path => format!("{part}.{path}"),
        };
        Self { path, ..self }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.what),
            path => write!(f, "{path}: {}", self.what),
        }
    }
}

type Written = Result<(), JsonError>;

/// The fields of an object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value) -> Result<Self, JsonError> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            other => Err(JsonError::new(format!(
                "an object is expected, not {}",
                kind(other)
            ))),
        }
    }

    /// A field that is there and not null.
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A field that is there, maybe null.
    pub(super) fn get_or_null(self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }

    /// Text.
    pub(super) fn text(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        match self.get(name) {
            None => Ok(()),
            Some(Value::String(text)) => {
                push_message(out, number, text.as_bytes());
                Ok(())
            }
            Some(other) => {
                let what = format!("text is expected, not {}", kind(other));
                Err(JsonError::new(what).within(name))
            }
        }
    }

    /// Bytes as hexadecimal digits, which is how OTLP writes ids.
    pub(super) fn hexadecimal(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        self.convert(name, bytes_of_digits, |bytes| push_message(out, number, &bytes))
    }

    /// An unsigned integer in 8 bytes.
    pub(super) fn fixed64(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        self.convert(name, unsigned, |value| push_fixed64(out, number, value))
    }

    /// A float.
    pub(super) fn double(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        self.convert(name, float, |value| push_fixed64(out, number, value.to_bits()))
    }

    /// A small unsigned integer.
    pub(super) fn varint(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        self.convert(name, unsigned, |value| push_integer(out, number, value))
    }

    /// A signed integer in zigzag coding.
    pub(super) fn zigzag(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        self.convert(name, signed, |value| {
            push_integer(out, number, ((value << 1) ^ (value >> 63)).cast_unsigned());
        })
    }

    /// True or false.
    pub(super) fn boolean(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        self.convert(name, Value::as_bool, |value| {
            push_integer(out, number, u64::from(value));
        })
    }

    /// A list of unsigned integers, packed in 8 bytes each.
    pub(super) fn fixed64s(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        self.packed(name, number, out, unsigned, |content, value| {
            content.extend_from_slice(&value.to_le_bytes());
        })
    }

    /// A list of floats, packed.
    pub(super) fn doubles(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        self.packed(name, number, out, float, |content, value| {
            content.extend_from_slice(&value.to_bits().to_le_bytes());
        })
    }

    /// A list of unsigned integers, packed as varints.
    pub(super) fn varints(self, name: &str, number: u32, out: &mut Vec<u8>) -> Written {
        self.packed(name, number, out, unsigned, push_varint)
    }

    /// A list of objects; each becomes a message of that number.
    pub(super) fn messages(
        self,
        name: &str,
        number: u32,
        out: &mut Vec<u8>,
        write: impl Fn(&Value, &mut Vec<u8>) -> Written,
    ) -> Written {
        for (position, item) in self.list(name)?.iter().enumerate() {
            message(out, number, |out| write(item, out))
                .map_err(|error| error.within(&format!("{name}[{position}]")))?;
        }
        Ok(())
    }

    /// One object.
    pub(super) fn message(
        self,
        name: &str,
        number: u32,
        out: &mut Vec<u8>,
        write: impl Fn(&Value, &mut Vec<u8>) -> Written,
    ) -> Written {
        match self.get(name) {
            None => Ok(()),
            Some(value) => message(out, number, |out| write(value, out)).map_err(|error| error.within(name)),
        }
    }

    fn list(self, name: &str) -> Result<&'a [Value], JsonError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => {
                let what = format!("a list is expected, not {}", kind(other));
                Err(JsonError::new(what).within(name))
            }
        }
    }

    fn convert<T>(self, name: &str, read: fn(&Value) -> Option<T>, push: impl FnOnce(T)) -> Written {
        let Some(value) = self.get(name) else {
            return Ok(());
        };
        let read = read(value).ok_or_else(|| unreadable(value).within(name))?;
        push(read);
        Ok(())
    }

    fn packed<T>(
        self,
        name: &str,
        number: u32,
        out: &mut Vec<u8>,
        read: fn(&Value) -> Option<T>,
        push: impl Fn(&mut Vec<u8>, T),
    ) -> Written {
        let mut content = Vec::new();
        for (position, item) in self.list(name)?.iter().enumerate() {
            let value = read(item).ok_or_else(|| unreadable(item).within(&format!("{name}[{position}]")))?;
            push(&mut content, value);
        }
        if !content.is_empty() {
            push_message(out, number, &content);
        }
        Ok(())
    }
}

/// The bytes of pairs of hexadecimal digits.
fn bytes_of_digits(value: &Value) -> Option<Vec<u8>> {
    let digits = value.as_str()?.as_bytes();
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// An unsigned integer, as a number or as text.
pub(super) fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A signed integer, as a number or as text.
pub(super) fn signed(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A float, as a number or as text; `null` is NaN.
pub(super) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Null => Some(f64::NAN),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        _ => None,
    }
}

/// Appends a message that `write` makes.
pub(super) fn message(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut content = Vec::new();
    write(&mut content)?;
    push_message(out, number, &content);
    Ok(())
}

/// Appends a message, text or bytes.
pub(super) fn push_message(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    push_varint(out, u64::from(number) << 3 | 2);
    push_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Appends an integer, also 0: a oneof says by it which of its fields is set.
pub(super) fn push_integer(out: &mut Vec<u8>, number: u32, value: u64) {
    push_varint(out, u64::from(number) << 3);
    push_varint(out, value);
}

/// Appends 8 bytes.
pub(super) fn push_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    push_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn unreadable(value: &Value) -> JsonError {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(40) {
        text.truncate(end);
        text.push('…');
    }
    JsonError::new(format!("this value cannot be read: {text}"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
