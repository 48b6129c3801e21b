//! Base64 in the standard alphabet, one way.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends bytes, padded.
pub(crate) fn push(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let at = |idx: usize| u32::from(chunk.get(idx).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for position in 0..4 {
            let digit = (word >> (18 - 6 * position) & 63) as usize;
            let is_padding = position > chunk.len();
            let byte = ALPHABET.get(digit).copied().unwrap_or(b'=');
            text.push(if is_padding { '=' } else { char::from(byte) });
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_remainder_is_padded() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (&[255, 254, 253, 252], "//79/A=="),
        ] {
            let mut text = String::new();
            super::push(&mut text, bytes);
            assert_eq!(text, expected);
        }
    }
}
