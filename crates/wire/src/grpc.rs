//! gRPC over HTTP/2 as far as one call with one message each way needs it: the frame around a message, and the texts
//! of a status.
//!
//! A frame is five bytes and the message:
//!
//! ```text
//! byte 0     1 when the message is compressed as the header grpc-encoding says, else 0
//! byte 1..5  length of the message, big endian
//! byte 5..   the message
//! ```
//!
//! Invariant: a length that was only claimed costs nothing; the message is a slice of the body.
//!
//! Source: the gRPC protocol over HTTP/2 (PROTOCOL-HTTP2.md in the gRPC repository).

use crate::error::DecodeError;

/// Bytes before the message.
pub const HEADER_BYTES: usize = 5;

/// The one message of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whether `message` is compressed.
    pub is_compressed: bool,
    /// The message, as sent.
    pub message: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the body of a call that has one message.
    ///
    /// # Errors
    /// There is no message, more than one, or not all of it; or the first byte means nothing.
    pub fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let error = |offset: usize, what| DecodeError { offset, what };
        let Some((header, rest)) = body.split_first_chunk::<HEADER_BYTES>() else {
            return Err(error(body.len(), "the call ends before its message"));
        };
        let [flag, length @ ..] = *header;
        if flag > 1 {
            return Err(error(0, "a flag of compression that is neither 0 nor 1"));
        }
        let n_bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if rest.len() > n_bytes {
            return Err(error(HEADER_BYTES + n_bytes, "more than one message in the call"));
        }
        if rest.len() < n_bytes {
            return Err(error(body.len(), "the call ends within its message"));
        }
        Ok(Self {
            is_compressed: flag == 1,
            message: rest,
        })
    }
}

/// The frame of a message that is not compressed. Messages of ours have some kilobytes at most.
#[must_use]
pub fn frame(message: &[u8]) -> Vec<u8> {
    let n_bytes = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(HEADER_BYTES + message.len());
    out.push(0);
    out.extend_from_slice(&n_bytes.to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// A text as the trailer `grpc-message` carries it: what is not printable ASCII, and the percent sign, as `%XX`.
#[must_use]
pub fn message_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Bytes as a header whose name ends with `-bin` carries them: base64 without padding.
#[must_use]
pub fn binary_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    crate::base64::push(&mut text, bytes);
    text.truncate(text.trim_end_matches('=').len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_framed() {
        for message in [&b""[..], b"x", &[7; 100_000]] {
            let framed = frame(message);
            let expected = Frame {
                is_compressed: false,
                message,
            };
            assert_eq!(Frame::read(&framed), Ok(expected));
        }
        let compressed = Frame::read(&[1, 0, 0, 0, 1, 9]).unwrap();
        assert!(compressed.is_compressed);
        assert_eq!(compressed.message, [9]);
    }

    #[test]
    fn what_is_no_single_message_is_an_error_with_its_place() {
        for (body, offset) in [
            (&b""[..], 0),
            (&[0, 0, 0, 0], 4),
            (&[2, 0, 0, 0, 0], 0),
            (&[0, 0, 0, 0, 2, 1], 6),
            (&[0, 255, 255, 255, 255, 1], 6),
            (&[0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], 6),
        ] {
            assert_eq!(Frame::read(body).unwrap_err().offset, offset, "{body:?}");
        }
    }

    #[test]
    fn texts_are_escaped_as_headers_need_it() {
        assert_eq!(message_text("50 % of größe\n"), "50 %25 of gr%C3%B6%C3%9Fe%0A");
        assert_eq!(binary_text(&[0, 1, 2, 3]), "AAECAw");
        assert_eq!(binary_text(b""), "");
    }
}
