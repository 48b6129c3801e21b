//! What is answered: an `ExportMetricsServiceResponse` or a `google.rpc.Status`, in the request's encoding.

use super::json::push_json_text;
use crate::protobuf::writer::{push_bytes, push_integer, push_varint};

/// How request and answer are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// Longest message of an answer, in bytes: clients log it.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// The answer to a request that was taken. With neither rejected points nor a message, nothing is in it.
#[must_use]
pub fn success(encoding: Encoding, n_rejected: u64, message: &str) -> Vec<u8> {
    let message = cut(message);
    let is_whole = n_rejected == 0 && message.is_empty();
    match encoding {
        Encoding::Protobuf if is_whole => Vec::new(),
        Encoding::Protobuf => {
            let mut partial = Vec::new();
            push_integer(&mut partial, 1 << 3, n_rejected);
            push_bytes(&mut partial, 2 << 3 | 2, message.as_bytes());
            let mut out = Vec::new();
            push_bytes(&mut out, 1 << 3 | 2, &partial);
            out
        }
        Encoding::Json if is_whole => b"{}".to_vec(),
        Encoding::Json => {
            let mut text =
                format!(r#"{{"partialSuccess":{{"rejectedDataPoints":"{n_rejected}","errorMessage":"#);
            push_json_text(&mut text, message);
            text.push_str("}}");
            text.into_bytes()
        }
    }
}

/// The answer to a request that was refused; `code` is gRPC's.
#[must_use]
pub fn status(encoding: Encoding, code: u32, message: &str) -> Vec<u8> {
    let message = cut(message);
    match encoding {
        Encoding::Protobuf => {
            let mut out = vec![1 << 3];
            push_varint(&mut out, u64::from(code));
            push_bytes(&mut out, 2 << 3 | 2, message.as_bytes());
            out
        }
        Encoding::Json => {
            let mut text = format!(r#"{{"code":{code},"message":"#);
            push_json_text(&mut text, message);
            text.push('}');
            text.into_bytes()
        }
    }
}

fn cut(message: &str) -> &str {
    match message.char_indices().find(|(at, _)| *at > MESSAGE_BYTES_MAX) {
        Some((at, _)) => message.get(..at).unwrap_or(message),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::raw::{bytes, varint};

    #[test]
    fn a_whole_success_is_empty() {
        assert_eq!(success(Encoding::Protobuf, 0, ""), b"");
        assert_eq!(success(Encoding::Json, 0, ""), b"{}");
    }

    #[test]
    fn rejected_points_are_counted_in_both_encodings() {
        let expected = bytes(1, [varint(1, 69), bytes(2, "delta")].concat());
        assert_eq!(success(Encoding::Protobuf, 69, "delta"), expected);
        let json = success(Encoding::Json, 69, "a \"b\"");
        let expected = r#"{"partialSuccess":{"rejectedDataPoints":"69","errorMessage":"a \"b\""}}"#;
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }

    #[test]
    fn a_status_has_code_and_message() {
        let expected = [varint(1, 3), bytes(2, "bad")].concat();
        assert_eq!(status(Encoding::Protobuf, 3, "bad"), expected);
        assert_eq!(status(Encoding::Json, 3, "bad"), br#"{"code":3,"message":"bad"}"#);
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let long = "é".repeat(5_000);
        let text = status(Encoding::Json, 3, &long);
        assert!(String::from_utf8(text).is_ok_and(|text| text.len() < 5_000));
    }
}
