//! Samples inside an encoded request, written so that they can be changed in place.
//!
//! A load generator sends the same series again and again with other times and values. The value has 8 bytes
//! always; a timestamp keeps its length from 1971 to 2109. So a request is encoded once and then only patched.

use model::TimestampMs;

use crate::protobuf::writer::{push_varint, rewrite_varint, varint_len};

/// Where one sample lies in an encoded request.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleSlot {
    /// First byte of the value; the timestamp's tag and varint follow it.
    value: usize,
    timestamp_bytes: u8,
}

/// Tags of a sample's value and timestamp, alike in both protocols.
pub(super) const VALUE_TAG: u8 = 0x09;
pub(super) const TIMESTAMP_TAG: u8 = 0x10;

impl SampleSlot {
    /// The bytes that [`Self::push`] adds after the field's own tag and length.
    pub(super) fn encoded_len(timestamp_ms: TimestampMs) -> usize {
        1 + 8 + 1 + varint_len(timestamp_ms.cast_unsigned())
    }

    /// Appends value and timestamp. Unlike most encoders it writes zeros too, so that they can be changed later.
    pub(super) fn push(out: &mut Vec<u8>, timestamp_ms: TimestampMs, value: f64) -> Self {
        out.push(VALUE_TAG);
        let slot = out.len();
        out.extend_from_slice(&value.to_bits().to_le_bytes());
        out.push(TIMESTAMP_TAG);
        let start = out.len();
        push_varint(out, timestamp_ms.cast_unsigned());
        Self {
            value: slot,
            timestamp_bytes: u8::try_from(out.len() - start).unwrap_or_default(),
        }
    }

    /// Changes the sample in place; false, and nothing done, when the timestamp needs another number of bytes.
    pub(super) fn rewrite(self, out: &mut [u8], timestamp_ms: TimestampMs, value: f64) -> bool {
        let timestamp = self.value + 9;
        let end = timestamp + usize::from(self.timestamp_bytes);
        let rewritten = out
            .get_mut(timestamp..end)
            .is_some_and(|slot| rewrite_varint(slot, timestamp_ms.cast_unsigned()));
        if let Some(slot) = out.get_mut(self.value..self.value + 8)
            && rewritten
        {
            slot.copy_from_slice(&value.to_bits().to_le_bytes());
        }
        rewritten
    }
}
