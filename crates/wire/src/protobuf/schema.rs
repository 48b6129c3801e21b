//! Structural checks of messages that are read later: exemplars.

use super::{Reader, WireType};
use crate::error::DecodeError;

/// How a known field must be written.
#[derive(Debug)]
pub(crate) enum Kind {
    /// An integer or an enum.
    Varint,
    /// A double.
    Fixed64,
    /// Text or bytes; the text is not looked at.
    Bytes,
    /// Integers, packed or one by one.
    Varints,
    /// A message.
    Message(&'static Schema),
}

/// A known field of a message.
#[derive(Debug)]
pub(crate) struct Field(pub(crate) u32, pub(crate) Kind);

/// The known fields of a message; other fields are skipped.
#[derive(Debug)]
pub(crate) struct Schema {
    /// What an error says when a known field has the wrong wire type.
    pub(crate) wrong_type: &'static str,
    pub(crate) fields: &'static [Field],
}

/// Walks a whole message and everything in it.
///
/// # Errors
/// The first place where the bytes are broken or a known field has the wrong wire type.
pub(crate) fn validate(mut message: Reader<'_>, schema: &'static Schema) -> Result<(), DecodeError> {
    loop {
        let before = message;
        let Some((number, wire_type)) = message.field()? else {
            return Ok(());
        };
        let kind = schema
            .fields
            .iter()
            .find(|field| field.0 == number)
            .map(|field| &field.1);
        match (kind, wire_type) {
            (None, _)
            | (Some(Kind::Varint | Kind::Varints), WireType::Varint)
            | (Some(Kind::Fixed64), WireType::Fixed64)
            | (Some(Kind::Bytes), WireType::Bytes) => message.skip(wire_type)?,
            (Some(Kind::Message(inner)), WireType::Bytes) => validate(message.message()?, inner)?,
            (Some(Kind::Varints), WireType::Bytes) => {
                let mut packed = message.message()?;
                while !packed.is_at_end() {
                    packed.varint()?;
                }
            }
            _ => return Err(before.error(schema.wrong_type)),
        }
    }
}
