//! Fields written by hand, for tests that need messages no encoder would make.

use super::writer::push_varint;

fn tag(number: u32, wire_type: u64) -> Vec<u8> {
    let mut out = Vec::new();
    push_varint(&mut out, u64::from(number) << 3 | wire_type);
    out
}

pub(crate) fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut out = tag(number, 0);
    push_varint(&mut out, value);
    out
}

pub(crate) fn fixed64(number: u32, value: f64) -> Vec<u8> {
    let mut out = tag(number, 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
    out
}

pub(crate) fn fixed32(number: u32) -> Vec<u8> {
    let mut out = tag(number, 5);
    out.extend_from_slice(&[1, 2, 3, 4]);
    out
}

pub(crate) fn bytes(number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut out = tag(number, 2);
    push_varint(&mut out, content.len() as u64);
    out.extend_from_slice(content);
    out
}

/// A group's start and end, which nobody writes any more.
pub(crate) fn group(number: u32) -> Vec<u8> {
    [tag(number, 3), tag(number, 4)].concat()
}

/// Fields with numbers no schema has, of every wire type.
pub(crate) fn unknown_fields() -> Vec<u8> {
    [
        varint(100, u64::MAX),
        fixed64(101, 1.0),
        bytes(102, "x"),
        fixed32(103),
    ]
    .concat()
}
