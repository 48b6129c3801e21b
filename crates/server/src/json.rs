//! JSON as the Prometheus API writes it, straight into text.

use std::fmt::Write;

use model::number::push_api_float;
use model::{FloatHistogram, TimestampMs};

/// The content type of every answer of the API.
pub(crate) const CONTENT_TYPE: &str = "application/json";

/// Appends a string with its quotes.
pub(crate) fn push_string(json: &mut String, text: &str) {
    json.push('"');
    // Nearly no text has anything to escape, and without an early exit the compiler looks at many bytes at once.
    if !text.bytes().fold(false, |found, byte| found | needs_escape(byte)) {
        json.push_str(text);
        json.push('"');
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.bytes().position(needs_escape) {
        json.push_str(&rest[..at]);
        push_escape(json, rest.as_bytes()[at]);
        rest = &rest[at + 1..];
    }
    json.push_str(rest);
    json.push('"');
}

/// All of these are ASCII, so cutting before and behind them keeps UTF-8 whole.
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_escape(json: &mut String, byte: u8) {
    match byte {
        b'"' => json.push_str("\\\""),
        b'\\' => json.push_str("\\\\"),
        b'\n' => json.push_str("\\n"),
        b'\r' => json.push_str("\\r"),
        b'\t' => json.push_str("\\t"),
        other => write!(json, "\\u{other:04x}").expect("writing to a String cannot fail"),
    }
}

/// Appends an array of strings.
pub(crate) fn push_strings<T: AsRef<str>>(json: &mut String, texts: impl IntoIterator<Item = T>) {
    json.push('[');
    for (position, text) in texts.into_iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        push_string(json, text.as_ref());
    }
    json.push(']');
}

/// Appends a label set as an object, in the order given.
pub(crate) fn push_labels<'a>(json: &mut String, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    json.push('{');
    for (position, (name, value)) in labels.enumerate() {
        if position > 0 {
            json.push(',');
        }
        push_string(json, name);
        json.push(':');
        push_string(json, value);
    }
    json.push('}');
}

/// Appends a time as seconds, with three decimals unless they are zero.
pub(crate) fn push_timestamp(json: &mut String, timestamp_ms: TimestampMs) {
    if timestamp_ms < 0 {
        json.push('-');
    }
    let (seconds, ms) = (
        timestamp_ms.unsigned_abs() / 1000,
        timestamp_ms.unsigned_abs() % 1000,
    );
    let written = if ms == 0 {
        write!(json, "{seconds}")
    } else {
        write!(json, "{seconds}.{ms:03}")
    };
    written.expect("writing to a String cannot fail");
}

/// Appends `[time,"value"]`.
pub(crate) fn push_point(json: &mut String, timestamp_ms: TimestampMs, value: f64) {
    json.push('[');
    push_timestamp(json, timestamp_ms);
    json.push_str(",\"");
    push_api_float(json, value);
    json.push_str("\"]");
}

/// Appends `[time,{"count":"…","sum":"…","buckets":[[rule,"lower","upper","count"],…]}]`. Buckets ascend; empty ones are
/// left out. The rule says which bounds belong to the bucket: 0 the upper one, 1 the lower one, 2 none, 3 both.
pub(crate) fn push_histogram_point(json: &mut String, timestamp_ms: TimestampMs, histogram: &FloatHistogram) {
    json.push('[');
    push_timestamp(json, timestamp_ms);
    json.push_str(r#",{"count":""#);
    push_api_float(json, histogram.count);
    json.push_str(r#"","sum":""#);
    push_api_float(json, histogram.sum);
    json.push('"');
    let mut start = r#","buckets":["#;
    for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        json.push_str(start);
        start = ",";
        json.push_str(match (bucket.includes_lower, bucket.includes_upper) {
            (false, true) => "[0",
            (true, false) => "[1",
            (false, false) => "[2",
            (true, true) => "[3",
        });
        for number in [bucket.lower, bucket.upper, bucket.count] {
            json.push_str(",\"");
            push_api_float(json, number);
            json.push('"');
        }
        json.push(']');
    }
    json.push_str(if start == "," { "]}]" } else { "}]" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn timestamps_are_seconds_with_milliseconds() {
        for (ms, expected) in [
            (0, "0"),
            (4_000, "4"),
            (1_435_781_451_781, "1435781451.781"),
            (1_500, "1.500"),
            (5, "0.005"),
            (-1, "-0.001"),
            (-62_135_596_800_000, "-62135596800"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            let mut json = String::new();
            push_timestamp(&mut json, ms);
            assert_eq!(json, expected);
        }
    }

    #[test]
    fn a_point_is_a_number_and_a_string() {
        let mut json = String::new();
        push_point(&mut json, 1_000, f64::NEG_INFINITY);
        assert_eq!(json, r#"[1,"-Inf"]"#);
    }

    proptest! {
        #[test]
        fn any_string_reads_back(text in "\\PC*|[\\x00-\\x7f]*", other in "[a\"\\\\\\n\u{e4}]*") {
            let mut json = String::new();
            push_strings(&mut json, [&text, &other]);
            let read: Vec<String> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, vec![text, other]);
        }
    }
}
