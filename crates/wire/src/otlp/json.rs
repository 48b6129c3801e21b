//! OTLP's JSON, written as the protobuf message it stands for.
//!
//! The body is read as a stream: at most one metric of it is in memory as a tree. Invariants:
//! - The result is a valid message. What it cannot hold is an error with its place, but for the value of a number
//!   point: one that cannot be read is left out, so that the point is rejected and counted where all points are.
//! - Fields that nobody knows are skipped, as OTLP demands.
//!
//! Leniency: 64-bit integers come as text or numbers, enumerations as numbers or by their names, floats also as
//! `"NaN"`, `"Infinity"` and `null`, which is what `JSON.stringify` makes of NaN.

mod fields;
mod metric;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use fields::{JsonError, message};

/// Writes an `ExportMetricsServiceRequest` in JSON as protobuf.
///
/// # Errors
/// What is wrong, with line and column, and the place in the document where that is known.
pub fn to_protobuf(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(body.len() / 2);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let request = Object {
        out: &mut out,
        fields: &REQUEST,
    };
    let read = request.deserialize(&mut reader).and_then(|()| reader.end());
    read.map_err(|error| format!("the body is no JSON of an export request: {error}"))?;
    Ok(out)
}

/// Appends text as a JSON string.
pub(super) fn push_json_text(out: &mut String, text: &str) {
    out.push_str(&Value::from(text).to_string());
}

/// What a field of an object is written as.
#[derive(Clone, Copy)]
enum Kind {
    /// A list of objects, read one after the other.
    Objects(&'static [Field]),
    /// A list of objects, each read as a tree and written by a function.
    Trees(Writer),
    /// One object, read as a tree.
    Tree(Writer),
}

type Writer = fn(&Value, &mut Vec<u8>) -> Result<(), JsonError>;

/// Name, number and kind.
type Field = (&'static str, u32, Kind);

const REQUEST: [Field; 1] = [("resourceMetrics", 1, Kind::Objects(&RESOURCE_METRICS))];

const RESOURCE_METRICS: [Field; 2] = [
    ("resource", 1, Kind::Tree(metric::resource)),
    ("scopeMetrics", 2, Kind::Objects(&SCOPE_METRICS)),
];

const SCOPE_METRICS: [Field; 2] = [
    ("scope", 1, Kind::Tree(metric::scope)),
    ("metrics", 2, Kind::Trees(metric::metric)),
];

/// Reads an object and writes its fields.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    fields: &'static [Field],
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let Some((name, number, kind)) = self.fields.iter().find(|(name, ..)| *name == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let within = |error: JsonError| A::Error::custom(error.within(name));
            match kind {
                Kind::Objects(_) | Kind::Trees(_) => map.next_value_seed(List {
                    out: &mut *self.out,
                    name,
                    number: *number,
                    kind: *kind,
                })?,
                Kind::Tree(write) => {
                    let tree: Value = map.next_value()?;
                    message(self.out, *number, |out| write(&tree, out)).map_err(within)?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a list of objects; each becomes a field of its own.
struct List<'o> {
    out: &'o mut Vec<u8>,
    name: &'static str,
    number: u32,
    kind: Kind,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", self.name)
    }

    /// `null` stands for an empty list.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut content = Vec::new();
        for position in 0_usize.. {
            content.clear();
            let read = match self.kind {
                Kind::Objects(fields) => items.next_element_seed(Object {
                    out: &mut content,
                    fields,
                })?,
                Kind::Trees(write) | Kind::Tree(write) => match items.next_element::<Value>()? {
                    Some(tree) => {
                        let written = write(&tree, &mut content);
                        written.map_err(|error| {
                            A::Error::custom(error.within(&format!("{}[{position}]", self.name)))
                        })?;
                        Some(())
                    }
                    None => None,
                },
            };
            if read.is_none() {
                break;
            }
            fields::push_message(self.out, self.number, &content);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
