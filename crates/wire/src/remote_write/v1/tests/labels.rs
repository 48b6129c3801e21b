//! Labels of new series: parsed, or refused with a reason.

use super::{label, parse, up};
use crate::protobuf::raw::{bytes, varint};
use crate::remote_write::v1::{describe_labels, parse_labels, push_label};
use crate::{LabelsError, Limits};

#[test]
fn labels_are_sorted_and_empty_values_are_absent() {
    let unsorted = [
        label("z", "1"),
        label("__name__", "up"),
        label("a", ""),
        label("b", "ö"),
    ]
    .concat();
    let expected = [("__name__", "up"), ("b", "ö"), ("z", "1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(parse(&unsorted).unwrap(), expected);
    let twice = bytes(
        1,
        [bytes(1, "__name__"), bytes(2, "down"), bytes(2, "up")].concat(),
    );
    assert_eq!(
        parse(&twice).unwrap()[0].1,
        "up",
        "the last of a repeated field counts"
    );
}

#[test]
fn labels_that_are_refused_say_why() {
    let name = label("__name__", "up");
    let with = |more: Vec<u8>| parse(&[name.clone(), more].concat()).unwrap_err();
    assert_eq!(parse(&[]).unwrap_err(), LabelsError::MissingMetricName);
    assert_eq!(
        parse(&label("__name__", "")).unwrap_err(),
        LabelsError::MissingMetricName
    );
    assert_eq!(
        parse(&label("job", "x")).unwrap_err(),
        LabelsError::MissingMetricName
    );
    assert_eq!(with(label("", "v")), LabelsError::EmptyName { value: "v".into() });
    let duplicate = LabelsError::Duplicate { name: "a".into() };
    assert_eq!(
        with([label("a", "1"), label("b", "1"), label("a", "2")].concat()),
        duplicate
    );
    assert_eq!(with([label("a", "1"), label("a", "1")].concat()), duplicate);
    assert_eq!(with([label("a", ""), label("a", "1")].concat()), duplicate);
    let bad_text = bytes(1, [bytes(1, "a"), bytes(2, [b'x', 0xff])].concat());
    assert_eq!(
        with(bad_text),
        LabelsError::NotUtf8 {
            text: "x\u{fffd}".into()
        }
    );
    let bad_name = bytes(1, [bytes(1, [0xc3]), bytes(2, "v")].concat());
    assert!(matches!(with(bad_name), LabelsError::NotUtf8 { .. }));
    assert!(matches!(with(bytes(1, [0x0a, 9])), LabelsError::Malformed(_)));
    assert!(matches!(with(bytes(1, varint(1, 1))), LabelsError::Malformed(_)));
    assert!(matches!(with(varint(1, 1)), LabelsError::Malformed(_)));
}

#[test]
fn a_character_torn_between_name_and_value_is_not_utf8() {
    // The bytes of "ö" around what frames the texts would make valid UTF-8 of neither.
    let torn = bytes(1, [bytes(1, [b'a', 0xc3]), bytes(2, [0xb6])].concat());
    let refused = parse(&[label("__name__", "up"), torn].concat()).unwrap_err();
    assert!(matches!(refused, LabelsError::NotUtf8 { .. }), "{refused}");
}

#[test]
fn labels_beyond_a_limit_are_refused() {
    let limits = Limits {
        labels_per_series: 3,
        label_name_bytes: 10,
        label_value_bytes: 5,
        ..Limits::default()
    };
    let parse = |labels: &[(&str, &str)]| {
        let mut label_bytes = label("__name__", "up");
        labels
            .iter()
            .for_each(|(name, value)| push_label(&mut label_bytes, name, value));
        parse_labels(&label_bytes, &limits)
            .map(drop)
            .map_err(|refused| refused.reason)
    };
    assert_eq!(parse(&[("a", "12345"), ("abcdefghij", "1")]), Ok(()));
    let too_many = LabelsError::TooManyLabels { limit: 3 };
    assert_eq!(parse(&[("a", "1"), ("b", "1"), ("c", "1")]), Err(too_many));
    let too_long = LabelsError::NameTooLong {
        name: "abcdefghijk".into(),
        bytes: 11,
        limit: 10,
    };
    assert_eq!(parse(&[("abcdefghijk", "1")]), Err(too_long));
    let too_long = LabelsError::ValueTooLong {
        name: "a".into(),
        bytes: 6,
        limit: 5,
    };
    assert_eq!(parse(&[("a", "123456")]), Err(too_long));
}

#[test]
fn a_refusal_names_the_series_in_few_bytes() {
    let label_bytes = [up(), label("a", "1"), label("a", "2")].concat();
    let refused = parse_labels(&label_bytes, &Limits::default()).unwrap_err();
    assert_eq!(refused.series, r#"up{job="mesh", a="1", a="2"}"#);
    assert_eq!(
        refused.to_string(),
        r#"series up{job="mesh", a="1", a="2"}: duplicate label name "a""#
    );

    let huge = "x".repeat(10 << 20);
    let refused = parse_labels(&[up(), label("big", &huge)].concat(), &Limits::default()).unwrap_err();
    assert!(refused.to_string().len() < 1_000, "{refused}");
    let many: Vec<u8> = (0..10_000)
        .flat_map(|idx| label(&format!("label_{idx}"), &"x".repeat(200)))
        .collect();
    let refused = parse_labels(&many, &Limits::default()).unwrap_err();
    assert_eq!(refused.reason, LabelsError::TooManyLabels { limit: 256 });
    assert!(refused.to_string().len() < 1_500, "{refused}");
    assert_eq!(describe_labels(&label("__name__", "up")), "up");
    assert_eq!(
        describe_labels(&[up(), vec![0x0a, 99]].concat()),
        r#"up{job="mesh"}"#
    );
}
