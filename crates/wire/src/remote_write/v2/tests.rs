use model::MetricType;

use super::*;
use crate::protobuf::raw::{bytes, fixed32, fixed64, group, unknown_fields, varint};
use crate::remote_write::Histogram;

const UP: [&str; 5] = ["", "__name__", "up", "job", "mesh"];

fn hash(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128_with_seed(bytes, 77)
}

fn symbols(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| bytes(4, text)).collect()
}

fn series(fields: &[Vec<u8>]) -> Vec<u8> {
    bytes(5, fields.concat())
}

fn packed(refs: &[u8]) -> Vec<u8> {
    bytes(1, refs)
}

fn parse(body: &[u8]) -> Request<'_> {
    Request::parse(body, &Limits::default()).unwrap()
}

fn key(request: &Request<'_>, series: &TimeSeries<'_>) -> Result<u128, LabelsError> {
    let keys = SeriesKeys::new(hash, 256);
    let mut hashes = SymbolHashes::default();
    keys.hash_symbols(request.symbols(), &mut hashes);
    keys.key(series, &mut hashes)
}

/// Labels and key of the only series of a request with these symbols and these fields.
fn read(texts: &[&str], fields: &[Vec<u8>]) -> Result<(Vec<(String, String)>, u128), LabelsError> {
    let body = [symbols(texts), series(fields)].concat();
    let request = parse(&body);
    let series = request.series().next().unwrap().unwrap();
    let labels = series
        .labels(request.symbols(), &Limits::default())
        .map_err(|refused| refused.reason)?;
    let owned = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
    let labels = labels.as_slice().iter().map(owned).collect();
    Ok((labels, key(&request, &series)?))
}

#[test]
fn a_request_comes_back_and_its_keys_are_stable() {
    let sample = Sample {
        timestamp_ms: 1_700_000_000_000,
        value: 3.5,
        start_timestamp_ms: 12,
    };
    let mut found = Vec::new();
    for n_fillers in [0, 1, 200, 20_000] {
        let mut encoder = Encoder::default();
        for filler in 0..n_fillers {
            encoder.symbol(&format!("filler {filler}"));
        }
        let refs: Vec<u32> = UP[1..].iter().map(|text| encoder.symbol(text)).collect();
        let metadata = MetadataRefs {
            metric_type: MetricType::Counter,
            help_ref: encoder.symbol("Helps."),
            unit_ref: 0,
        };
        encoder.push_series(&refs, &[sample], Some(metadata));
        let mut body = Vec::new();
        encoder.write_body(&mut body);

        let request = parse(&body);
        assert_eq!((request.n_series(), request.symbols().len()), (1, n_fillers + 6));
        let series = request.series().next().unwrap().unwrap();
        let labels = series.labels(request.symbols(), &Limits::default()).unwrap();
        assert_eq!(labels.as_slice(), [("__name__", "up"), ("job", "mesh")]);
        assert_eq!(series.samples().map(Result::unwrap).collect::<Vec<_>>(), [sample]);
        let metadata = series.metadata(request.symbols()).unwrap().unwrap();
        assert_eq!(
            (metadata.metric_type, metadata.help, metadata.unit),
            (MetricType::Counter, "Helps.", "")
        );
        found.push(key(&request, &series).unwrap());
    }
    assert!(found.iter().all(|key| *key == found[0]), "{found:?}");
}

#[test]
fn different_labels_have_different_keys() {
    let texts = ["", "__name__", "a", "b", "c"];
    let refs: [&[u8]; 9] = [
        &[1, 2],
        &[1, 3],
        &[1, 2, 2, 3],
        &[1, 2, 3, 2],
        &[1, 2, 2, 4],
        &[1, 2, 2, 3, 3, 4],
        &[1, 2, 2, 4, 3, 3],
        &[1, 2, 2, 2, 3, 2],
        &[1, 3, 2, 2, 3, 2],
    ];
    let mut keys: Vec<u128> = refs
        .iter()
        .map(|refs| read(&texts, &[packed(refs)]).unwrap().1)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), refs.len());
}

#[test]
fn order_and_packing_of_references_do_not_matter() {
    let expected = read(&UP, &[packed(&[1, 2, 3, 4])]).unwrap();
    let check = |fields: &[Vec<u8>]| assert_eq!(read(&UP, fields).unwrap(), expected);
    check(&[packed(&[3, 4, 1, 2])]);
    check(&[1, 2, 3, 4].map(|reference| varint(1, reference)));
    check(&[packed(&[1, 2]), packed(&[3, 4])]);
    check(&[packed(&[1]), varint(1, 2), varint(1, 3), packed(&[4])]);
    check(&[varint(1, 1), packed(&[2, 3, 4])]);
    check(&[
        unknown_fields(),
        packed(&[1, 0x82, 0, 3, 0x84, 0x80, 0]),
        unknown_fields(),
    ]);
}

#[test]
fn symbols_may_follow_the_series() {
    let body = [series(&[packed(&[1, 2])]), symbols(&UP)].concat();
    let request = parse(&body);
    let found = request.series().next().unwrap().unwrap();
    let labels = found.labels(request.symbols(), &Limits::default()).unwrap();
    assert_eq!(labels.metric_name(), "up");
}

#[test]
fn references_that_are_refused_say_why() {
    let check = |fields: &[Vec<u8>], expected: LabelsError| {
        let body = [symbols(&UP), series(fields)].concat();
        let request = parse(&body);
        let series = request.series().next().unwrap().unwrap();
        assert_eq!(key(&request, &series), Err(expected.clone()));
        let refused = series.labels(request.symbols(), &Limits::default()).unwrap_err();
        assert_eq!(refused.reason, expected);
        assert!(refused.series.starts_with("up"), "{refused}");
    };
    let out_of_range = |reference| LabelsError::ReferenceOutOfRange {
        reference,
        n_symbols: 5,
    };
    check(&[packed(&[1, 2, 3])], LabelsError::OddReferences { n_refs: 3 });
    check(
        &[packed(&[1, 2]), varint(1, 3)],
        LabelsError::OddReferences { n_refs: 3 },
    );
    check(&[packed(&[1, 2, 5, 2])], out_of_range(5));
    check(&[packed(&[1, 2, 3, 0xff, 1])], out_of_range(255));
    check(&[packed(&[1, 2, 3, 0x80, 0x80, 1])], out_of_range(1 << 14));
    let too_large = packed(&[1, 2, 0xff, 0xff, 0xff, 0xff, 0x1f]);
    let malformed = |offset, what| LabelsError::Malformed(DecodeError { offset, what });
    let start = symbols(&UP).len() + 2 + 2;
    check(
        &[too_large],
        malformed(start + 2, "reference longer than 32 bits"),
    );
    check(&[packed(&[1, 2, 0x80])], malformed(start + 2, "truncated varint"));
    let many = [1, 2].repeat(257);
    check(&[packed(&many)], LabelsError::TooManyLabels { limit: 256 });
}

#[test]
fn labels_that_are_refused_say_why() {
    let refused = |texts: &[&str], refs: &[u8]| read(texts, &[packed(refs)]).unwrap_err();
    assert_eq!(refused(&UP, &[]), LabelsError::MissingMetricName);
    assert_eq!(refused(&UP, &[3, 4]), LabelsError::MissingMetricName);
    assert_eq!(refused(&UP, &[1, 0]), LabelsError::MissingMetricName);
    assert_eq!(
        refused(&UP, &[1, 2, 0, 4]),
        LabelsError::EmptyName { value: "mesh".into() }
    );
    assert_eq!(
        refused(&UP, &[1, 2, 3, 4, 3, 2]),
        LabelsError::Duplicate { name: "job".into() }
    );
    assert_eq!(
        refused(&["", "__name__", "up", "job"], &[1, 2, 3, 4]),
        LabelsError::ReferenceOutOfRange {
            reference: 4,
            n_symbols: 4
        }
    );
}

#[test]
fn a_symbol_that_is_not_utf8_harms_only_its_series() {
    let body = [
        symbols(&UP),
        bytes(4, [b'x', 0xff]),
        series(&[packed(&[1, 2, 3, 5])]),
        series(&[packed(&[1, 2, 3, 4])]),
    ];
    let body = body.concat();
    let request = parse(&body);
    let found: Vec<_> = request
        .series()
        .map(|series| series.unwrap().labels(request.symbols(), &Limits::default()))
        .collect();
    let refused = found[0].as_ref().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "series up{job=\"x\u{fffd}\"}: label text \"x\u{fffd}\" is not valid UTF-8"
    );
    assert!(found[1].is_ok());
}

#[test]
fn a_series_may_have_everything_but_samples() {
    let exemplar = bytes(4, [packed(&[3, 4]), fixed64(2, 1.0), varint(3, 5)].concat());
    let histogram = bytes(
        3,
        [
            fixed64(2, 3.0),
            bytes(11, varint(2, 2)),
            bytes(16, [0; 8]),
            varint(17, 1),
        ]
        .concat(),
    );
    let old_created_timestamp = varint(6, 5);
    let body = [
        symbols(&UP),
        series(&[packed(&[1, 2]), exemplar, histogram, old_created_timestamp]),
    ]
    .concat();
    let request = parse(&body);
    let found = request.series().next().unwrap().unwrap();
    assert_eq!(
        (found.n_samples, found.n_exemplars, found.n_histograms),
        (0, 1, 1)
    );
    assert_eq!(found.samples().count(), 0);
    assert_eq!(found.metadata(request.symbols()), Ok(None));
}

#[test]
fn metadata_that_says_nothing_is_none() {
    let metadata = |message: Vec<u8>| {
        let body = [symbols(&UP), series(&[packed(&[1, 2]), bytes(5, message)])].concat();
        let request = parse(&body);
        let found = request.series().next().unwrap().unwrap();
        let metadata = found
            .metadata(request.symbols())
            .map_err(|refused| refused.reason)?;
        Ok(metadata.map(|found| (found.metric_type, found.help.to_owned(), found.unit.to_owned())))
    };
    assert_eq!(metadata(vec![]), Ok(None));
    assert_eq!(
        metadata([varint(1, 0), varint(3, 0), unknown_fields()].concat()),
        Ok(None)
    );
    assert_eq!(
        metadata(varint(1, 7)),
        Ok(Some((MetricType::StateSet, String::new(), String::new())))
    );
    assert_eq!(
        metadata(varint(4, 4)),
        Ok(Some((MetricType::Unknown, String::new(), "mesh".into())))
    );
    let out_of_range = LabelsError::ReferenceOutOfRange {
        reference: 9,
        n_symbols: 5,
    };
    assert_eq!(metadata(varint(3, 9)), Err(out_of_range));
    assert!(matches!(metadata(bytes(3, "x")), Err(LabelsError::Malformed(_))));
    assert!(matches!(metadata(vec![0x18]), Err(LabelsError::Malformed(_))));
}

#[test]
fn samples_can_be_changed_in_place() {
    let mut encoder = Encoder::default();
    let refs: Vec<u32> = UP[1..].iter().map(|text| encoder.symbol(text)).collect();
    let sample = |timestamp_ms, value| Sample {
        timestamp_ms,
        value,
        start_timestamp_ms: 99,
    };
    encoder.push_series(
        &refs,
        &[sample(1_700_000_000_000, 1.0), sample(1_700_000_000_001, 2.0)],
        None,
    );
    assert!(encoder.rewrite_sample(1, 1_800_000_000_000, 4.0));
    assert!(!encoder.rewrite_sample(2, 1_800_000_000_000, 4.0));
    let mut body = b"left over".to_vec();
    encoder.write_body(&mut body);
    let found = parse(&body).series().next().unwrap().unwrap();
    let samples: Vec<_> = found.samples().map(Result::unwrap).collect();
    assert_eq!(
        samples,
        [sample(1_700_000_000_000, 1.0), sample(1_800_000_000_000, 4.0)]
    );
    encoder.clear();
    encoder.write_body(&mut body);
    assert_eq!(body, symbols(&[""]));
}

#[test]
fn broken_messages_are_refused_with_their_place() {
    let check = |body: &[u8], offset: usize, what: &str| {
        let error = match Request::parse(body, &Limits::default()) {
            Err(error) => error,
            Ok(request) => match request.series().last() {
                Some(Err(error)) => error,
                Some(Ok(series)) => {
                    let of_histogram = || series.histograms().read_next(&mut Histogram::default()).err();
                    let of_samples = series.samples().find_map(Result::err);
                    of_samples.or_else(of_histogram).expect("an error in a sample")
                }
                None => panic!("{what}: no error"),
            },
        };
        assert_eq!((error.what, error.offset), (what, offset));
    };
    check(&[0x80], 0, "truncated varint");
    check(&group(4), 0, "group (wire type 3 or 4)");
    check(&varint(4, 0), 0, "field of a Request with the wrong wire type");
    check(&fixed64(5, 0.0), 0, "field of a Request with the wrong wire type");
    check(&[0x2a, 9], 1, "length beyond the end of the message");
    check(&[0x22, 9], 1, "length beyond the end of the message");
    for number in 1..=5 {
        check(
            &series(&[fixed32(number)]),
            2,
            "field of a TimeSeries with the wrong wire type",
        );
    }
    check(
        &series(&[varint(2, 0)]),
        2,
        "field of a TimeSeries with the wrong wire type",
    );
    check(
        &series(&[bytes(2, bytes(1, "x"))]),
        4,
        "field of a Sample with the wrong wire type",
    );
    check(
        &series(&[bytes(2, fixed64(3, 0.0))]),
        4,
        "field of a Sample with the wrong wire type",
    );
    check(&series(&[bytes(2, [0x18, 0x80])]), 5, "truncated varint");
    check(
        &series(&[bytes(3, fixed64(4, 0.0))]),
        4,
        "field of a Histogram with the wrong wire type",
    );
    check(
        &series(&[bytes(4, fixed64(3, 0.0))]),
        4,
        "field of an Exemplar with the wrong wire type",
    );
    check(&series(&[bytes(4, packed(&[0x80]))]), 6, "truncated varint");
}

#[test]
fn more_of_anything_than_allowed_is_refused() {
    let limits = Limits {
        symbols_per_request: 5,
        series_per_request: 1,
        samples_per_request: 3,
        ..Limits::default()
    };
    let one = [symbols(&UP), series(&[packed(&[1, 2])])].concat();
    assert!(Request::parse(&one, &limits).is_ok());
    let refused = |more: Vec<u8>| {
        Request::parse(&[one.clone(), more].concat(), &limits)
            .unwrap_err()
            .what
    };
    assert_eq!(refused(symbols(&["x"])), "more symbols than one request may have");
    assert_eq!(refused(series(&[])), "more series than one request may have");
    let samples = [symbols(&UP), series(&[packed(&[1, 2]), bytes(2, []).repeat(4)])].concat();
    let request = Request::parse(&samples, &limits).unwrap();
    let refused = request.series().next().unwrap().unwrap_err();
    assert_eq!(refused.what, "more samples than one request may have");
}

#[test]
fn a_message_of_version_1_is_not_taken_for_an_empty_one() {
    let of_version_1 = bytes(1, bytes(1, ""));
    let error = Request::parse(&of_version_1, &Limits::default()).unwrap_err();
    assert!(error.what.contains("remote write 1.0"), "{error}");
    let behind_a_symbol = [bytes(4, ""), of_version_1].concat();
    assert!(Request::parse(&behind_a_symbol, &Limits::default()).is_ok());
}
