//! Appends protobuf to a buffer.

/// The bytes that `value` takes as a varint.
pub(crate) fn varint_len(value: u64) -> usize {
    let n_bits = 64 - (value | 1).leading_zeros();
    n_bits.div_ceil(7) as usize
}

/// Appends `value` as a varint.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Overwrites `slot` with `value` as a varint of exactly that length; false, and nothing done, when it has another.
pub(crate) fn rewrite_varint(slot: &mut [u8], mut value: u64) -> bool {
    if varint_len(value) != slot.len() {
        return false;
    }
    for byte in &mut *slot {
        *byte = low_byte(value) | 0x80;
        value >>= 7;
    }
    if let Some(last) = slot.last_mut() {
        *last &= 0x7f;
    }
    true
}

/// Appends a field of bytes or text. `tag` is the field's first byte.
pub(crate) fn push_bytes(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    push_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Appends an integer field unless it is 0, which is the same as absent.
pub(crate) fn push_integer(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.push(tag);
        push_varint(out, value);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low byte is what is wanted")]
fn low_byte(value: u64) -> u8 {
    value as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Reader;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back_and_have_the_length_foretold(shift in 0..64_u32, bits: u64) {
            let value = bits >> shift;
            let mut out = Vec::new();
            push_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            prop_assert_eq!(Reader::new(&out, 0).varint(), Ok(value));
            let mut slot = vec![0; out.len()];
            prop_assert!(rewrite_varint(&mut slot, value));
            prop_assert_eq!(&slot, &out);
            let mut longer = vec![0; out.len() + 1];
            prop_assert!(!rewrite_varint(&mut longer, value));
        }
    }
}
