use super::*;

fn error_of(text: &str) -> String {
    to_protobuf(text.as_bytes()).unwrap_err()
}

fn in_metric(metric: &str) -> String {
    format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#)
}

#[test]
fn nothing_is_an_empty_request() {
    assert_eq!(to_protobuf(b"{}"), Ok(Vec::new()));
    assert_eq!(
        to_protobuf(br#"{"resourceMetrics":null,"other":[{"x":1}]}"#),
        Ok(Vec::new())
    );
}

#[test]
fn errors_say_where() {
    assert!(error_of("{").contains("EOF"), "{}", error_of("{"));
    assert!(error_of("[]").contains("an object"), "{}", error_of("[]"));
    assert!(error_of("{} x").contains("trailing"), "{}", error_of("{} x"));
    let text = in_metric(r#"{"histogram":{"dataPoints":[{"bucketCounts":["1","x"]}]}}"#);
    let expected = r#"metrics[0].histogram.dataPoints[0].bucketCounts[1]: this value cannot be read: "x""#;
    assert!(error_of(&text).contains(expected), "{}", error_of(&text));
    let deep = format!("{}{}", r#"{"resourceMetrics":"#, "[".repeat(200));
    assert!(error_of(&deep).contains("an object"), "{}", error_of(&deep));
}

#[test]
fn nesting_without_end_is_refused() {
    let value = format!(
        "{}{}",
        r#"{"arrayValue":{"values":["#.repeat(100),
        "]}}".repeat(100)
    );
    let attribute = format!(r#"{{"attributes":[{{"key":"x","value":{value}}}],"asInt":1}}"#);
    let text = in_metric(&format!(r#"{{"gauge":{{"dataPoints":[{attribute}]}}}}"#));
    assert!(error_of(&text).contains("recursion"), "{}", error_of(&text));
}
