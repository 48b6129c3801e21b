use model::histogram::Span;

use super::*;
use crate::protobuf::raw::{bytes, fixed64, unknown_fields, varint};
use crate::remote_write::{Count, Histogram};

mod broken;
mod labels;

fn request(body: &[u8]) -> Vec<Result<Entry<'_>, DecodeError>> {
    Request::new(body, &Limits::default()).collect()
}

fn only_series(body: &[u8]) -> TimeSeries<'_> {
    match request(body)[..] {
        [Ok(Entry::Series(series))] => series,
        ref other => panic!("{other:?}"),
    }
}

fn label(name: &str, value: &str) -> Vec<u8> {
    bytes(1, [bytes(1, name), bytes(2, value)].concat())
}

fn sample(timestamp_ms: i64, value: f64) -> Vec<u8> {
    bytes(
        2,
        [fixed64(1, value), varint(2, timestamp_ms.cast_unsigned())].concat(),
    )
}

fn series(fields: &[Vec<u8>]) -> Vec<u8> {
    bytes(1, fields.concat())
}

fn up() -> Vec<u8> {
    [label("__name__", "up"), label("job", "mesh")].concat()
}

fn parse(label_bytes: &[u8]) -> Result<Vec<(String, String)>, LabelsError> {
    let labels = parse_labels(label_bytes, &Limits::default()).map_err(|refused| refused.reason)?;
    let owned = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
    Ok(labels.as_slice().iter().map(owned).collect())
}

#[test]
fn a_request_comes_back() {
    let mut label_bytes = Vec::new();
    push_label(&mut label_bytes, "__name__", "up");
    push_label(&mut label_bytes, "job", "mesh");
    let samples = [(1_700_000_000_000, 0.0), (-5, -0.0), (0, f64::INFINITY)];
    let samples = samples.map(|(timestamp_ms, value)| Sample { timestamp_ms, value });
    let mut encoder = Encoder::default();
    encoder.push_series(&label_bytes, &samples);
    let series = only_series(encoder.body());
    assert_eq!(series.label_bytes(&mut Vec::new()), label_bytes);
    let labels = parse_labels(&label_bytes, &Limits::default()).unwrap();
    assert_eq!(labels.as_slice(), [("__name__", "up"), ("job", "mesh")]);
    assert_eq!(labels.metric_name(), "up");
    assert_eq!(series.n_samples, 3);
    let decoded: Vec<Sample> = series.samples().map(Result::unwrap).collect();
    assert_eq!(decoded, samples);
    assert!(decoded[1].value.is_sign_negative());
}

#[test]
fn a_sample_can_be_changed_in_place() {
    let mut encoder = Encoder::default();
    for timestamp_ms in [1_700_000_000_000, 5] {
        encoder.push_series(
            &up(),
            &[Sample {
                timestamp_ms,
                value: 1.0,
            }],
        );
    }
    assert!(encoder.rewrite_sample(0, 1_800_000_000_000, f64::NAN));
    assert!(
        !encoder.rewrite_sample(1, 1_800_000_000_000, 3.0),
        "5 has a shorter varint"
    );
    assert!(!encoder.rewrite_sample(2, 0, 0.0), "there are two samples");
    let body = encoder.body().to_vec();
    let samples: Vec<Sample> = request(&body)
        .into_iter()
        .flat_map(|entry| match entry.unwrap() {
            Entry::Series(series) => series.samples(),
            Entry::Metadata(_) => panic!("there is none"),
        })
        .map(Result::unwrap)
        .collect();
    assert_eq!(samples[0].timestamp_ms, 1_800_000_000_000);
    assert!(samples[0].value.is_nan());
    assert_eq!(
        samples[1],
        Sample {
            timestamp_ms: 5,
            value: 1.0
        }
    );
}

#[test]
fn metadata_is_told_apart_from_series() {
    let metadata = MetricMetadata {
        metric_name: "x_total".to_owned(),
        metric_type: MetricType::GaugeHistogram,
        help: "Helps.\nA lot.".to_owned(),
        unit: "bytes".to_owned(),
    };
    let mut encoder = Encoder::default();
    encoder.push_metadata(&metadata);
    encoder.push_series(&up(), &[]);
    let entries = request(encoder.body());
    let [Ok(Entry::Metadata(found)), Ok(Entry::Series(series))] = &entries[..] else {
        panic!("{entries:?}");
    };
    assert_eq!(*found, metadata);
    assert_eq!(series.n_samples, 0);
    let from_the_future = bytes(3, [varint(1, 99), bytes(2, "x")].concat());
    let Entry::Metadata(found) = request(&from_the_future).remove(0).unwrap() else {
        panic!("metadata expected");
    };
    assert_eq!(found.metric_type, MetricType::Unknown);
}

#[test]
fn an_empty_request_has_no_entries() {
    assert!(request(&[]).is_empty());
    assert!(request(&unknown_fields()).is_empty());
}

#[test]
fn fields_that_are_absent_are_zero() {
    let body = series(&[
        up(),
        bytes(2, []),
        bytes(2, varint(2, 7)),
        bytes(2, fixed64(1, 3.0)),
    ]);
    let samples: Vec<_> = only_series(&body)
        .samples()
        .map(Result::unwrap)
        .map(|s| (s.timestamp_ms, s.value))
        .collect();
    assert_eq!(samples, [(0, 0.0), (7, 0.0), (0, 3.0)]);
}

#[test]
fn unknown_fields_are_skipped_everywhere() {
    let odd_label = bytes(
        1,
        [
            unknown_fields(),
            bytes(1, "job"),
            unknown_fields(),
            bytes(2, "mesh"),
        ]
        .concat(),
    );
    let odd_sample = bytes(
        2,
        [unknown_fields(), varint(2, 9), unknown_fields(), fixed64(1, 4.0)].concat(),
    );
    let fields = [
        unknown_fields(),
        label("__name__", "up"),
        odd_label,
        odd_sample,
        unknown_fields(),
    ];
    let body = [unknown_fields(), series(&fields), unknown_fields()].concat();
    let series = only_series(&body);
    let labels = parse(series.label_bytes(&mut Vec::new())).unwrap();
    assert_eq!(labels, parse(&up()).unwrap());
    assert_eq!(
        series.samples().next(),
        Some(Ok(Sample {
            timestamp_ms: 9,
            value: 4.0
        }))
    );
}

#[test]
fn labels_lying_apart_are_gathered() {
    let (name, job) = (label("__name__", "up"), label("job", "mesh"));
    let orders = [
        vec![name.clone(), sample(1, 2.0), job.clone()],
        vec![sample(1, 2.0), name.clone(), job.clone()],
        vec![name, unknown_fields(), job, sample(1, 2.0)],
    ];
    for fields in orders {
        let body = series(&fields);
        let found = only_series(&body);
        let mut scratch = b"left over".to_vec();
        assert_eq!(found.label_bytes(&mut scratch), up());
        assert_eq!(found.samples().map(Result::unwrap).count(), 1);
    }
}

#[test]
fn labels_longer_than_the_fast_path_are_read() {
    let long = "x".repeat(300);
    let label_bytes = [label("__name__", "up"), label("a", &long), label("b", "1")].concat();
    let body = series(&[label_bytes.clone(), sample(1, 1.0)]);
    assert_eq!(only_series(&body).label_bytes(&mut Vec::new()), label_bytes);
    assert_eq!(parse(&label_bytes).unwrap()[1].1, long);
}

#[test]
fn exemplars_are_counted_and_histograms_read() {
    let exemplar = bytes(
        3,
        [label("trace_id", "1"), fixed64(2, 1.0), varint(3, 5)].concat(),
    );
    let span = bytes(8, [varint(1, 1), varint(2, 2)].concat());
    let deltas = bytes(9, [1, 0x80, 1]);
    let counts = bytes(10, [0; 16]);
    let histogram = bytes(
        4,
        [
            varint(1, 3),
            fixed64(3, 9.0),
            span,
            deltas,
            counts,
            varint(9, 1),
            varint(15, 7),
        ]
        .concat(),
    );
    let body = series(&[up(), exemplar.clone(), histogram.clone(), histogram, exemplar]);
    let found = only_series(&body);
    assert_eq!(
        (found.n_samples, found.n_exemplars, found.n_histograms),
        (0, 2, 2)
    );
    let mut histograms = found.histograms();
    let mut read = Histogram::default();
    for _ in 0..2 {
        assert_eq!(histograms.read_next(&mut read), Ok(true));
        let mut expected = Histogram {
            count: Count::Integer(3),
            sum: 9.0,
            timestamp_ms: 7,
            ..Histogram::default()
        };
        expected.negative.spans.push(Span {
            offset: -1,
            length: 2,
        });
        expected.negative.deltas = vec![-1, 64, -1];
        expected.negative.counts = vec![0.0, 0.0];
        assert_eq!(read, expected);
    }
    assert_eq!(histograms.read_next(&mut read), Ok(false));
}

#[test]
fn more_of_anything_than_allowed_ends_the_request() {
    let limits = Limits {
        series_per_request: 2,
        samples_per_request: 3,
        ..Limits::default()
    };
    let last_error = |body: Vec<u8>| {
        let entries = Request::new(&body, &limits);
        entries.last().unwrap().map(drop).map_err(|error| error.what)
    };
    let one = series(&[up()]);
    let metadata = bytes(3, bytes(2, "x"));
    let too_many = Err("more series or metadata than one request may have");
    assert_eq!(last_error(one.repeat(2)), Ok(()));
    assert_eq!(last_error(one.repeat(3)), too_many);
    assert_eq!(last_error([one.clone(), metadata.clone()].concat()), Ok(()));
    assert_eq!(last_error([one, metadata.repeat(2)].concat()), too_many);
    let too_many = Err("more samples than one request may have");
    assert_eq!(last_error(series(&[up(), sample(1, 1.0).repeat(3)])), Ok(()));
    assert_eq!(last_error(series(&[up(), bytes(2, []).repeat(4)])), too_many);
    assert_eq!(
        last_error(series(&[up(), bytes(2, []).repeat(2)]).repeat(2)),
        too_many
    );
}

#[test]
fn a_message_of_version_2_is_not_taken_for_an_empty_one() {
    let of_version_2 = [bytes(4, ""), bytes(4, "__name__"), bytes(5, [])].concat();
    let errors = |body: Vec<u8>| {
        let entries = Request::new(&body, &Limits::default());
        entries
            .filter_map(Result::err)
            .map(|error| (error.offset, error.what))
            .collect::<Vec<_>>()
    };
    let found = errors(of_version_2.clone());
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("remote write 2.0"), "{found:?}");
    assert_eq!(errors([series(&[up()]), of_version_2].concat()), []);
}
