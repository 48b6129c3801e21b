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

/// What a status says for machines, next to its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// `google.rpc.BadRequest`: the request will never be taken. The message says why.
    BadRequest,
    /// `google.rpc.RetryInfo`: it may be sent again after so many seconds.
    RetryAfter(u32),
}

const BAD_REQUEST_TYPE: &str = "type.googleapis.com/google.rpc.BadRequest";

const RETRY_INFO_TYPE: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The answer to a request that was refused: a `google.rpc.Status`; `code` is gRPC's.
#[must_use]
pub fn status(encoding: Encoding, code: u32, message: &str, detail: Option<Detail>) -> Vec<u8> {
    let message = cut(message);
    match encoding {
        Encoding::Protobuf => {
            let mut out = vec![1 << 3];
            push_varint(&mut out, u64::from(code));
            push_bytes(&mut out, 2 << 3 | 2, message.as_bytes());
            if let Some(detail) = detail {
                push_bytes(&mut out, 3 << 3 | 2, &detail.any(message));
            }
            out
        }
        Encoding::Json => {
            let mut text = format!(r#"{{"code":{code},"message":"#);
            push_json_text(&mut text, message);
            if let Some(detail) = detail {
                text.push_str(r#","details":["#);
                detail.push_json(&mut text, message);
                text.push(']');
            }
            text.push('}');
            text.into_bytes()
        }
    }
}

impl Detail {
    /// The `google.protobuf.Any` that holds it.
    fn any(self, message: &str) -> Vec<u8> {
        let (kind, content) = match self {
            Self::BadRequest => {
                let mut violation = Vec::new();
                push_bytes(&mut violation, 2 << 3 | 2, message.as_bytes());
                (BAD_REQUEST_TYPE, violation)
            }
            Self::RetryAfter(seconds) => {
                let mut duration = Vec::new();
                push_integer(&mut duration, 1 << 3, u64::from(seconds));
                (RETRY_INFO_TYPE, duration)
            }
        };
        // Both messages hold theirs in field 1.
        let mut detail = Vec::new();
        push_bytes(&mut detail, 1 << 3 | 2, &content);
        let mut any = Vec::new();
        push_bytes(&mut any, 1 << 3 | 2, kind.as_bytes());
        push_bytes(&mut any, 2 << 3 | 2, &detail);
        any
    }

    fn push_json(self, text: &mut String, message: &str) {
        match self {
            Self::BadRequest => {
                text.push_str(&format!(
                    r#"{{"@type":"{BAD_REQUEST_TYPE}","fieldViolations":[{{"description":"#
                ));
                push_json_text(text, message);
                text.push_str("}]}");
            }
            Self::RetryAfter(seconds) => text.push_str(&format!(
                r#"{{"@type":"{RETRY_INFO_TYPE}","retryDelay":"{seconds}s"}}"#
            )),
        }
    }
}

fn cut(message: &str) -> &str {
    cut_to(message, MESSAGE_BYTES_MAX)
}

/// The beginning of a message, at most so many bytes and the rest of a character.
#[must_use]
pub fn cut_to(message: &str, bytes_max: usize) -> &str {
    match message.char_indices().find(|(at, _)| *at >= bytes_max) {
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
        assert_eq!(status(Encoding::Protobuf, 3, "bad", None), expected);
        assert_eq!(
            status(Encoding::Json, 3, "bad", None),
            br#"{"code":3,"message":"bad"}"#
        );
    }

    #[test]
    fn details_tell_machines_whether_to_come_again() {
        let any = |kind: &str, content: Vec<u8>| {
            let kind = format!("type.googleapis.com/google.rpc.{kind}");
            bytes(3, [bytes(1, kind), bytes(2, bytes(1, content))].concat())
        };
        let expected = [varint(1, 14), bytes(2, "full"), any("RetryInfo", varint(1, 7))].concat();
        let found = status(Encoding::Protobuf, 14, "full", Some(Detail::RetryAfter(7)));
        assert_eq!(found, expected);
        let expected = [varint(1, 3), bytes(2, "bad"), any("BadRequest", bytes(2, "bad"))].concat();
        let found = status(Encoding::Protobuf, 3, "bad", Some(Detail::BadRequest));
        assert_eq!(found, expected);
        for (detail, expected) in [
            (Detail::RetryAfter(7), r#""retryDelay":"7s""#),
            (
                Detail::BadRequest,
                r#""fieldViolations":[{"description":"a \"b\""}]"#,
            ),
        ] {
            let text = String::from_utf8(status(Encoding::Json, 3, "a \"b\"", Some(detail))).unwrap();
            assert!(text.contains(expected), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let long = "é".repeat(5_000);
        let text = status(Encoding::Json, 3, &long, None);
        assert!(String::from_utf8(text).is_ok_and(|text| text.len() < 5_000));
    }
}
