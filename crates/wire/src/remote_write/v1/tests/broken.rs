//! Messages that no encoder makes, each with the error it has to give.

use super::{request, sample, series, up};
use crate::protobuf::raw::{bytes, fixed32, fixed64, group, varint};
use crate::remote_write::Histogram;
use crate::remote_write::v1::Entry;

/// The error that reading all of `body` ends with.
fn error(body: impl AsRef<[u8]>) -> (usize, &'static str) {
    let entries = request(body.as_ref());
    let error = match entries.last() {
        Some(Err(error)) => Some(*error),
        Some(Ok(Entry::Series(series))) => {
            let of_histograms = || {
                let mut histograms = series.histograms();
                std::iter::repeat_with(|| histograms.read_next(&mut Histogram::default()))
                    .take(series.n_histograms)
                    .find_map(Result::err)
            };
            series.samples().find_map(Result::err).or_else(of_histograms)
        }
        _ => None,
    };
    let error = error.expect("the body is broken");
    (error.offset, error.what)
}

#[test]
fn broken_framing_is_refused_with_its_place() {
    let truncated = "truncated varint";
    assert_eq!(error([0x80]), (0, truncated));
    assert_eq!(error(series(&[vec![0x0a, 200]])), (3, truncated));
    let too_long = "varint longer than 64 bits";
    assert_eq!(error([0xff; 11]), (0, too_long));
    assert_eq!(error([[0x80; 9].as_slice(), &[2]].concat()), (0, too_long));
    assert_eq!(error([0x00]), (0, "field number out of range"));
    assert_eq!(error(varint(1 << 29, 0)), (0, "field number out of range"));
    assert_eq!(error(group(9)), (0, "group (wire type 3 or 4)"));
    assert_eq!(error([0x0e]), (0, "unknown wire type"));
    let beyond = "length beyond the end of the message";
    assert_eq!(error([0x0a, 5, 1]), (1, beyond));
    assert_eq!(
        error([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        (1, beyond)
    );
    assert_eq!(error(series(&[vec![0x0a, 100]])), (3, beyond));
    assert_eq!(error([0x49, 1, 2]), (1, "truncated 64-bit value"));
    assert_eq!(error([0x4d, 1, 2]), (1, "truncated 32-bit value"));
}

#[test]
fn fields_of_a_series_with_the_wrong_type_are_refused() {
    assert_eq!(
        error(varint(1, 0)),
        (0, "field of a WriteRequest with the wrong wire type")
    );
    let wrong = "field of a TimeSeries with the wrong wire type";
    let behind_labels = 2 + up().len();
    assert_eq!(error(series(&[up(), varint(1, 0)])), (behind_labels, wrong));
    assert_eq!(error(series(&[up(), varint(2, 0)])), (behind_labels, wrong));
    assert_eq!(error(series(&[fixed64(3, 0.0)])), (2, wrong));
    assert_eq!(error(series(&[fixed32(4)])), (2, wrong));
}

#[test]
fn broken_samples_are_refused() {
    let wrong = "field of a Sample with the wrong wire type";
    assert_eq!(error(series(&[bytes(2, varint(1, 0))])), (4, wrong));
    assert_eq!(error(series(&[bytes(2, fixed64(2, 0.0))])), (4, wrong));
    assert_eq!(error(series(&[bytes(2, [0x10, 0x80])])), (5, "truncated varint"));
    assert_eq!(
        error(series(&[bytes(2, [0x10, 0x80, 0x80, 0x80, 0x80])])),
        (5, "truncated varint")
    );
    assert_eq!(
        error(series(&[bytes(2, [0x09, 0])])),
        (5, "truncated 64-bit value")
    );
}

#[test]
fn broken_exemplars_and_histograms_are_refused() {
    let wrong = |message: Vec<u8>| error(series(&[message]));
    let exemplar = "field of an Exemplar with the wrong wire type";
    assert_eq!(wrong(bytes(3, varint(2, 0))), (4, exemplar));
    let label = "field of a Label with the wrong wire type";
    assert_eq!(wrong(bytes(3, bytes(1, varint(1, 0)))), (6, label));
    let histogram = "field of a Histogram with the wrong wire type";
    assert_eq!(wrong(bytes(4, bytes(3, "x"))), (4, histogram));
    let span = "field of a BucketSpan with the wrong wire type";
    assert_eq!(wrong(bytes(4, bytes(8, fixed32(1)))), (6, span));
    assert_eq!(wrong(bytes(4, varint(8, 1))), (4, histogram));
    assert_eq!(wrong(bytes(4, varint(13, 1))), (4, histogram));
    let long = "integer longer than 32 bits";
    assert_eq!(wrong(bytes(4, varint(4, 1 << 33))), (5, long));
    let long = "length of a span longer than 32 bits";
    assert_eq!(wrong(bytes(4, bytes(8, varint(2, 1 << 32)))), (6, long));
    assert_eq!(wrong(bytes(4, bytes(9, [0x80]))), (6, "truncated varint"));
    let packed = "packed doubles that are no multiple of 8 bytes";
    assert_eq!(wrong(bytes(4, bytes(10, [0; 9]))), (6, packed));
}

#[test]
fn broken_metadata_is_refused() {
    assert_eq!(
        error(varint(3, 0)),
        (0, "field of a WriteRequest with the wrong wire type")
    );
    let wrong_type = "field of a MetricMetadata with the wrong wire type";
    assert_eq!(error(bytes(3, bytes(1, "x"))), (2, wrong_type));
    assert_eq!(error(bytes(3, varint(2, 1))), (2, wrong_type));
    let not_utf8 = "text of a MetricMetadata that is not UTF-8";
    assert_eq!(error(bytes(3, bytes(4, [0xff]))), (4, not_utf8));
}

#[test]
fn nothing_is_read_behind_an_error() {
    let body = [series(&[up()]), varint(1, 0), series(&[up()])].concat();
    let entries = request(&body);
    assert!(matches!(entries[..], [Ok(_), Err(_)]), "{entries:?}");
    let body = series(&[sample(1, 1.0), bytes(2, [0x80]), sample(2, 2.0)]);
    let samples: Vec<_> = super::only_series(&body).samples().collect();
    assert!(matches!(samples[..], [Ok(_), Err(_)]), "{samples:?}");
}
