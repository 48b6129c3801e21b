//! Two API replies to one query: the same answer or not.

use std::collections::BTreeMap;

use serde_json::Value;

/// How far two values of one sample may lie apart, relative to the larger.
pub const RELATIVE_TOLERANCE: f64 = 1e-9;

/// The first difference between the `data` of two successful query replies, in words; `None` when they agree: same
/// type, same series, same timestamps, values within [`RELATIVE_TOLERANCE`].
#[must_use]
pub fn difference(expected: &Value, actual: &Value) -> Option<String> {
    if expected["resultType"] != actual["resultType"] {
        return Some(format!(
            "type {} instead of {}",
            actual["resultType"], expected["resultType"]
        ));
    }
    if !matches!(expected["resultType"].as_str(), Some("vector" | "matrix")) {
        return sample_difference(&expected["result"], &actual["result"]);
    }
    let (expected, actual) = (by_labels(&expected["result"]), by_labels(&actual["result"]));
    for (labels, series) in &expected {
        let Some(other) = actual.get(labels) else {
            return Some(format!(
                "{labels} is missing ({} series instead of {})",
                actual.len(),
                expected.len()
            ));
        };
        if let Some(difference) = series_difference(series, other) {
            return Some(format!("{labels}: {difference}"));
        }
    }
    let extra = actual.keys().find(|labels| !expected.contains_key(*labels));
    extra.map(|labels| {
        format!(
            "{labels} is too much ({} series instead of {})",
            actual.len(),
            expected.len()
        )
    })
}

fn by_labels(result: &Value) -> BTreeMap<String, &Value> {
    let series = result.as_array().map(Vec::as_slice).unwrap_or_default();
    let key = |one: &Value| {
        let labels: BTreeMap<&String, &Value> = one["metric"].as_object().into_iter().flatten().collect();
        serde_json::to_string(&labels).unwrap_or_default()
    };
    series.iter().map(|one| (key(one), one)).collect()
}

fn series_difference(expected: &Value, actual: &Value) -> Option<String> {
    let (Some(expected_values), Some(actual_values)) =
        (expected["values"].as_array(), actual["values"].as_array())
    else {
        return sample_difference(&expected["value"], &actual["value"]);
    };
    if expected_values.len() != actual_values.len() {
        let times = |values: &[Value]| {
            values
                .iter()
                .map(|pair| pair[0].to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        return Some(format!(
            "samples at {} instead of {}",
            times(actual_values),
            times(expected_values)
        ));
    }
    expected_values
        .iter()
        .zip(actual_values)
        .find_map(|(expected, actual)| sample_difference(expected, actual))
}

fn sample_difference(expected: &Value, actual: &Value) -> Option<String> {
    let same_time = expected[0].as_f64() == actual[0].as_f64();
    let number = |sample: &Value| sample[1].as_str().and_then(|text| text.parse::<f64>().ok());
    let same_value = match (number(expected), number(actual)) {
        (Some(expected), Some(actual)) => close(expected, actual),
        _ => expected[1] == actual[1],
    };
    (!same_time || !same_value).then(|| format!("{actual} instead of {expected}"))
}

/// True when two values are one: equal, both NaN, or within [`RELATIVE_TOLERANCE`].
#[must_use]
pub fn close(expected: f64, actual: f64) -> bool {
    close_within(RELATIVE_TOLERANCE, expected, actual)
}

/// The same with another tolerance.
#[must_use]
pub fn close_within(tolerance: f64, expected: f64, actual: f64) -> bool {
    if expected.is_nan() || actual.is_nan() || expected.is_infinite() || actual.is_infinite() {
        return expected.to_bits() == actual.to_bits() || (expected.is_nan() && actual.is_nan());
    }
    (expected - actual).abs() <= tolerance * expected.abs().max(actual.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vector(value: &str) -> Value {
        json!({"resultType": "vector", "result": [{"metric": {"a": "1", "b": "2"}, "value": [1.5, value]}]})
    }

    #[test]
    fn rounding_is_no_difference_but_everything_else_is() {
        assert_eq!(difference(&vector("1"), &vector("1.0000000001")), None);
        assert_eq!(difference(&vector("NaN"), &vector("NaN")), None);
        assert!(difference(&vector("1"), &vector("1.00001")).is_some());
        assert!(difference(&vector("1"), &vector("NaN")).is_some());
        assert!(difference(&vector("+Inf"), &vector("-Inf")).is_some());
        let empty = json!({"resultType": "vector", "result": []});
        assert!(difference(&vector("1"), &empty).is_some_and(|text| text.contains("missing")));
        assert!(difference(&empty, &vector("1")).is_some_and(|text| text.contains("too much")));
    }

    #[test]
    fn the_order_of_labels_does_not_matter() {
        let other = json!({"resultType": "vector", "result": [{"metric": {"b": "2", "a": "1"}, "value": [1.5, "1"]}]});
        assert_eq!(difference(&vector("1"), &other), None);
    }
}
