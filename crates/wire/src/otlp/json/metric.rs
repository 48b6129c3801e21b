//! The messages below a scope.

use serde_json::Value;

use super::fields::{Fields, JsonError, float, message, push_fixed64, push_integer, push_message, signed};

type Written = Result<(), JsonError>;

pub(super) fn resource(value: &Value, out: &mut Vec<u8>) -> Written {
    Fields::of(value)?.messages("attributes", 1, out, key_value)
}

pub(super) fn scope(value: &Value, out: &mut Vec<u8>) -> Written {
    let fields = Fields::of(value)?;
    fields.text("name", 1, out)?;
    fields.text("version", 2, out)?;
    fields.messages("attributes", 3, out, key_value)
}

pub(super) fn metric(value: &Value, out: &mut Vec<u8>) -> Written {
    let fields = Fields::of(value)?;
    fields.text("name", 1, out)?;
    fields.text("description", 2, out)?;
    fields.text("unit", 3, out)?;
    fields.message("gauge", 5, out, |value, out| {
        Fields::of(value)?.messages("dataPoints", 1, out, number_point)
    })?;
    fields.message("sum", 7, out, |value, out| {
        let fields = Fields::of(value)?;
        fields.messages("dataPoints", 1, out, number_point)?;
        temporality(fields, out)?;
        fields.boolean("isMonotonic", 3, out)
    })?;
    fields.message("histogram", 9, out, |value, out| {
        let fields = Fields::of(value)?;
        fields.messages("dataPoints", 1, out, histogram_point)?;
        temporality(fields, out)
    })?;
    fields.message("exponentialHistogram", 10, out, |value, out| {
        let fields = Fields::of(value)?;
        fields.messages("dataPoints", 1, out, exponential_point)?;
        temporality(fields, out)
    })?;
    fields.message("summary", 11, out, |value, out| {
        Fields::of(value)?.messages("dataPoints", 1, out, summary_point)
    })
}

/// By number, as OTLP demands, or by name, as other JSON of protobuf has it.
fn temporality(fields: Fields<'_>, out: &mut Vec<u8>) -> Written {
    const NAME: &str = "aggregationTemporality";
    let number = match fields.get(NAME) {
        Some(Value::String(name)) => match name.as_str() {
            "AGGREGATION_TEMPORALITY_DELTA" => 1,
            "AGGREGATION_TEMPORALITY_CUMULATIVE" => 2,
            _ => 0,
        },
        _ => return fields.varint(NAME, 2, out),
    };
    push_integer(out, 2, number);
    Ok(())
}

fn times(fields: Fields<'_>, out: &mut Vec<u8>) -> Written {
    fields.fixed64("startTimeUnixNano", 2, out)?;
    fields.fixed64("timeUnixNano", 3, out)
}

fn number_point(value: &Value, out: &mut Vec<u8>) -> Written {
    let fields = Fields::of(value)?;
    fields.messages("attributes", 7, out, key_value)?;
    times(fields, out)?;
    fields.varint("flags", 8, out)?;
    fields.messages("exemplars", 5, out, exemplar)?;
    // What cannot be read is left out: the point is then rejected for having no value.
    if let Some(value) = fields.get_or_null("asDouble").and_then(float) {
        push_fixed64(out, 4, value.to_bits());
    } else if let Some(value) = fields.get("asInt").and_then(signed) {
        push_fixed64(out, 6, value.cast_unsigned());
    }
    Ok(())
}

fn histogram_point(value: &Value, out: &mut Vec<u8>) -> Written {
    let fields = Fields::of(value)?;
    fields.messages("attributes", 9, out, key_value)?;
    times(fields, out)?;
    fields.fixed64("count", 4, out)?;
    fields.double("sum", 5, out)?;
    fields.fixed64s("bucketCounts", 6, out)?;
    fields.doubles("explicitBounds", 7, out)?;
    fields.messages("exemplars", 8, out, exemplar)?;
    fields.varint("flags", 10, out)
}

fn exponential_point(value: &Value, out: &mut Vec<u8>) -> Written {
    let fields = Fields::of(value)?;
    fields.messages("attributes", 1, out, key_value)?;
    times(fields, out)?;
    fields.fixed64("count", 4, out)?;
    fields.double("sum", 5, out)?;
    fields.zigzag("scale", 6, out)?;
    fields.fixed64("zeroCount", 7, out)?;
    for (name, number) in [("positive", 8), ("negative", 9)] {
        fields.message(name, number, out, |value, out| {
            let fields = Fields::of(value)?;
            fields.zigzag("offset", 1, out)?;
            fields.varints("bucketCounts", 2, out)
        })?;
    }
    fields.varint("flags", 10, out)?;
    fields.messages("exemplars", 11, out, exemplar)?;
    fields.double("zeroThreshold", 14, out)
}

fn summary_point(value: &Value, out: &mut Vec<u8>) -> Written {
    let fields = Fields::of(value)?;
    fields.messages("attributes", 7, out, key_value)?;
    times(fields, out)?;
    fields.fixed64("count", 4, out)?;
    fields.double("sum", 5, out)?;
    fields.messages("quantileValues", 6, out, |value, out| {
        let fields = Fields::of(value)?;
        fields.double("quantile", 1, out)?;
        fields.double("value", 2, out)
    })?;
    fields.varint("flags", 8, out)
}

fn exemplar(value: &Value, out: &mut Vec<u8>) -> Written {
    let fields = Fields::of(value)?;
    fields.fixed64("timeUnixNano", 2, out)?;
    if let Some(value) = fields.get_or_null("asDouble").and_then(float) {
        push_fixed64(out, 3, value.to_bits());
    } else if let Some(value) = fields.get("asInt").and_then(signed) {
        push_fixed64(out, 6, value.cast_unsigned());
    }
    fields.hexadecimal("spanId", 4, out)?;
    fields.hexadecimal("traceId", 5, out)?;
    fields.messages("filteredAttributes", 7, out, key_value)
}

fn key_value(value: &Value, out: &mut Vec<u8>) -> Written {
    let fields = Fields::of(value)?;
    fields.text("key", 1, out)?;
    fields.message("value", 2, out, any_value)
}

/// Nesting is bounded by the JSON reader, which refuses more than 128 levels.
fn any_value(value: &Value, out: &mut Vec<u8>) -> Written {
    let fields = Fields::of(value)?;
    if let Some(Value::String(text)) = fields.get("stringValue") {
        push_message(out, 1, text.as_bytes());
    } else if let Some(Value::Bool(value)) = fields.get("boolValue") {
        push_integer(out, 2, u64::from(*value));
    } else if let Some(value) = fields.get("intValue").and_then(signed) {
        push_integer(out, 3, value.cast_unsigned());
    } else if let Some(value) = fields.get_or_null("doubleValue").and_then(float) {
        push_fixed64(out, 4, value.to_bits());
    } else if let Some(list) = fields.get("arrayValue") {
        let list = Fields::of(list).map_err(|error| error.within("arrayValue"))?;
        message(out, 5, |out| list.messages("values", 1, out, any_value))?;
    } else if let Some(list) = fields.get("kvlistValue") {
        let list = Fields::of(list).map_err(|error| error.within("kvlistValue"))?;
        message(out, 6, |out| list.messages("values", 1, out, key_value))?;
    } else if let Some(Value::String(text)) = fields.get("bytesValue") {
        // Base64 here, and base64 again where it becomes a label: as text it is what both want.
        push_message(out, 1, text.as_bytes());
    }
    Ok(())
}
