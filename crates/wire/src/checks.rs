//! What has to hold for any bytes whatsoever, as functions that panic when it does not.
//!
//! The fuzz targets in `fuzz/` call these with what libFuzzer makes up; `tests/mutations.rs` calls them with damaged
//! valid input, so that the same checks run wherever the tests run. Nothing else uses them.

use std::collections::BTreeSet;

use model::{METRIC_NAME, Sample, TimestampMs};

use crate::error::{DecodeError, LabelsError};
use crate::exposition::{Dialect, Escaping, Event, Parser, SampleLine, text};
use crate::grpc::{Frame, HEADER_BYTES, frame};
use crate::limits::Limits;
use crate::otlp::{Exemplar, Rejection, Series, Settings, Visitor, Walker, json};
use crate::remote_write::{Count, Exemplars, Histogram, Histograms, PlainHistogram, SeriesLabels, v1, v2};
use crate::snappy::{Compressor, decompress};

/// Decompressing stays within the limit, and what comes out can be compressed and comes out again.
///
/// # Panics
/// When that does not hold.
pub fn snappy(bytes: &[u8]) {
    const LIMIT_BYTES: usize = 1 << 20;
    let (mut output, mut again, mut compressed) = (Vec::new(), Vec::new(), Vec::new());
    let Ok(output) = decompress(bytes, LIMIT_BYTES, &mut output) else {
        assert!(output.capacity() <= LIMIT_BYTES);
        return;
    };
    assert!(output.len() <= LIMIT_BYTES);
    let compressed = Compressor::default()
        .compress(output, &mut compressed)
        .unwrap_or_default();
    assert_eq!(decompress(compressed, LIMIT_BYTES, &mut again), Ok(output));
}

/// A request of remote write 1.0 is read to its end or to one error inside it; labels that pass keep their
/// invariants, and sent by us they are the same again.
///
/// # Panics
/// When that does not hold.
pub fn remote_write_v1(body: &[u8]) {
    let limits = Limits::default();
    let mut scratch = Vec::new();
    let mut entries = v1::Request::new(body, &limits);
    for entry in &mut entries {
        let series = match entry {
            Ok(v1::Entry::Series(series)) => series,
            Ok(v1::Entry::Metadata(_)) => continue,
            Err(error) => return check_offset(error, body),
        };
        check_samples(series.samples(), series.n_samples, body);
        check_histograms(series.histograms(), series.n_histograms, body);
        check_exemplars(series.exemplars(), series.n_exemplars);
        let label_bytes = series.label_bytes(&mut scratch);
        assert!(label_bytes.len() <= body.len());
        check_text(&v1::describe_labels(label_bytes));
        match v1::parse_labels(label_bytes, &limits) {
            Ok(labels) => {
                check_labels(&labels, &limits);
                let mut again = Vec::new();
                for (name, value) in labels.as_slice() {
                    v1::push_label(&mut again, name, value);
                }
                assert_eq!(v1::parse_labels(&again, &limits).as_ref(), Ok(&labels));
            }
            Err(refused) => check_text(&refused.to_string()),
        }
    }
    assert!(entries.next().is_none());
}

/// A request of remote write 2.0 is read to its end or to one error inside it; whatever has labels has a key, and
/// sent by us, the same labels are the same again and have one key whatever the symbol table.
///
/// # Panics
/// When that does not hold.
pub fn remote_write_v2(body: &[u8]) {
    let limits = Limits::default();
    let request = match v2::Request::parse(body, &limits) {
        Ok(request) => request,
        Err(error) => return check_offset(error, body),
    };
    let mut n_series = 0;
    for series in request.series() {
        let series = match series {
            Ok(series) => series,
            Err(error) => return check_offset(error, body),
        };
        n_series += 1;
        check_samples(series.samples(), series.n_samples, body);
        check_histograms(series.histograms(), series.n_histograms, body);
        check_exemplars(series.exemplars(request.symbols()), series.n_exemplars);
        check_text(&series.describe(request.symbols()));
        if let Err(refused) = series.metadata(request.symbols()) {
            check_text(&refused.to_string());
        }
        match series.labels(request.symbols(), &limits) {
            Ok(labels) => {
                check_labels(&labels, &limits);
                assert!(key(&request, &series).is_ok());
                assert_eq!(send_v2(&labels, 0), send_v2(&labels, 300));
            }
            Err(refused) => check_text(&refused.to_string()),
        }
    }
    assert_eq!(n_series, request.n_series());
}

/// The key of `labels` in a request that has so many other symbols before them.
fn send_v2(labels: &SeriesLabels<'_>, n_fillers: u32) -> Result<u128, LabelsError> {
    let limits = Limits::default();
    let mut encoder = v2::Encoder::default();
    for filler in 0..n_fillers {
        encoder.symbol(&filler.to_string());
    }
    let texts = labels.as_slice().iter().flat_map(|(name, value)| [name, value]);
    let refs: Vec<u32> = texts.map(|text| encoder.symbol(text)).collect();
    encoder.push_series(&refs, &[], None);
    let mut body = Vec::new();
    encoder.write_body(&mut body);
    let request = v2::Request::parse(&body, &limits)?;
    let series = request.series().next();
    assert!(matches!(series, Some(Ok(_))));
    series.map_or(Ok(0), |series| {
        let series = series?;
        let again = series.labels(request.symbols(), &limits);
        assert_eq!(again.as_ref(), Ok(labels));
        key(&request, &series)
    })
}

fn key(request: &v2::Request<'_>, series: &v2::TimeSeries<'_>) -> Result<u128, LabelsError> {
    let hash = |symbol: &[u8]| xxhash_rust::xxh3::xxh3_128_with_seed(symbol, 1);
    let keys = v2::SeriesKeys::new(hash, Limits::default().labels_per_series);
    let mut hashes = v2::SymbolHashes::default();
    keys.hash_symbols(request.symbols(), &mut hashes);
    keys.key(series, &mut hashes)
}

/// An OTLP request is walked to its end or to one error inside it; every data point is told of or rejected, never both
/// and never neither; whatever is told has a name, and a second walk tells the same.
///
/// # Panics
/// When that does not hold.
pub fn otlp(body: &[u8]) {
    let limits = Limits::default();
    for settings in [Settings::default(), everything_promoted()] {
        let mut walker = Walker::new(settings, &limits, xxhash_rust::xxh3::xxh3_128);
        let mut told = Told::default();
        match walker.walk(body, "10.0.0.7", &mut told) {
            Ok(n_points) => assert_eq!(told.points.len() as u64 + told.n_rejected, n_points),
            Err(error) => return check_offset(error, body),
        }
        let mut again = Told::default();
        assert!(walker.walk(body, "10.0.0.7", &mut again).is_ok());
        assert_eq!(told.keys, again.keys);
    }
}

fn everything_promoted() -> Settings {
    Settings {
        promotes_all: true,
        promotes_scope: true,
        keeps_identifying: true,
        nesting_max: 1,
        ..Settings::default()
    }
}

/// What an OTLP request was walked into.
#[derive(Debug, Default)]
struct Told {
    keys: Vec<u128>,
    points: BTreeSet<u64>,
    n_rejected: u64,
}

impl Told {
    fn note(&mut self, series: &Series<'_>) {
        self.keys.push(series.key);
        self.points.extend(series.point);
        let labels = series.labels();
        let mut names = labels.iter().filter(|(name, _)| name == METRIC_NAME);
        assert!(names.next().is_some_and(|(_, name)| !name.is_empty()));
        assert!(names.next().is_none());
        assert!(!series.metadata().metric_name.is_empty());
    }
}

impl Visitor for Told {
    fn sample(&mut self, series: &Series<'_>, _: Sample, _: Option<TimestampMs>) {
        self.note(series);
    }

    fn histogram(&mut self, series: &Series<'_>, _: &Histogram) {
        self.note(series);
    }

    fn exemplar(&mut self, _: &Exemplar) {
        assert!(!self.keys.is_empty(), "an exemplar belongs to a series");
    }

    fn rejected(&mut self, rejection: Rejection, n_points: u64, _: &str) {
        self.n_rejected += n_points;
        check_text(&rejection.to_string());
    }
}

/// What OTLP's JSON is written as is a valid message.
///
/// # Panics
/// When that does not hold.
pub fn otlp_json(body: &[u8]) {
    match json::to_protobuf(body) {
        Ok(message) => {
            let mut walker = Walker::new(
                Settings::default(),
                &Limits::default(),
                xxhash_rust::xxh3::xxh3_128,
            );
            let walked = walker.walk(&message, "", &mut Told::default());
            assert!(walked.is_ok(), "{walked:?}");
            otlp(&message);
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}

/// A frame of gRPC is the whole body or an error inside it, and framed by us it is the same again.
///
/// # Panics
/// When that does not hold.
pub fn grpc_frame(body: &[u8]) {
    match Frame::read(body) {
        Ok(read) => {
            assert_eq!(read.message.len() + HEADER_BYTES, body.len());
            let again = frame(read.message);
            let expected = Frame {
                is_compressed: false,
                ..read
            };
            assert_eq!(Frame::read(&again), Ok(expected));
        }
        Err(error) => check_offset(error, body),
    }
}

/// A text exposition is read to its end; every sample, written by us, is read as the same sample.
///
/// # Panics
/// When that does not hold.
pub fn exposition(text: &str) {
    for dialect in [Dialect::Text, Dialect::OpenMetrics] {
        let n_lines = text.split('\n').count();
        let mut n_events = 0;
        for event in Parser::new(text, dialect) {
            n_events += 1;
            match event {
                Ok(Event::Sample(sample)) => check_written_sample(&sample),
                Ok(_) => {}
                Err(error) => assert!((1..=n_lines).contains(&error.line)),
            }
        }
        assert!(n_events <= n_lines);
    }
}

fn check_written_sample(sample: &SampleLine<'_>) {
    let labels = sample
        .labels
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_ref()));
    let labels = labels.filter(|(name, value)| *name != METRIC_NAME && !value.is_empty());
    let mut line = String::new();
    text::push_sample(
        &mut line,
        Escaping::AllowUtf8,
        &sample.metric_name,
        labels.clone(),
        sample.value,
        sample.timestamp_ms,
    );
    let mut again = Parser::new(&line, Dialect::Text);
    let event = again.next();
    assert!(again.next().is_none(), "{line:?}");
    let Some(Ok(Event::Sample(again))) = event else {
        unreachable!("{line:?} is read as {event:?}");
    };
    assert_eq!(again.metric_name, sample.metric_name);
    assert!(
        again
            .labels
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
            .eq(labels)
    );
    // Negative zero is written as zero.
    assert!(again.value.to_bits() == sample.value.to_bits() || sample.value == 0.0);
    assert_eq!(again.timestamp_ms, sample.timestamp_ms);
}

fn check_labels(labels: &SeriesLabels<'_>, limits: &Limits) {
    let pairs = labels.as_slice();
    assert!(pairs.len() <= limits.labels_per_series);
    assert!(pairs.is_sorted_by(|a, b| a.0 < b.0));
    assert!(
        pairs
            .iter()
            .all(|(name, value)| !name.is_empty() && !value.is_empty())
    );
    assert!(!labels.metric_name().is_empty());
    check_text(&labels.to_string());
}

fn check_samples<S>(samples: impl Iterator<Item = Result<S, DecodeError>>, n_samples: usize, body: &[u8]) {
    let mut n_found = 0;
    for sample in samples {
        match sample {
            Ok(_) => n_found += 1,
            Err(error) => return check_offset(error, body),
        }
    }
    assert_eq!(n_found, n_samples);
}

/// Their structure was checked when the series was read, so all of them can be read.
fn check_exemplars(exemplars: Exemplars<'_, '_>, n_exemplars: usize) {
    let mut n_found = 0;
    for exemplar in exemplars {
        assert!(exemplar.is_ok(), "{exemplar:?}");
        n_found += 1;
    }
    assert_eq!(n_found, n_exemplars);
}

fn check_histograms(mut histograms: Histograms<'_>, n_histograms: usize, body: &[u8]) {
    let mut histogram = Histogram::default();
    for _ in 0..n_histograms {
        let plain = histograms.clone().next_message();
        match histograms.read_next(&mut histogram) {
            Ok(is_read) => assert!(is_read),
            Err(error) => return check_offset(error, body),
        }
        if let Ok(Some(plain)) = plain.map(|message| message?.plain()) {
            check_plain(&plain, &histogram);
        }
        let sides = [&histogram.positive, &histogram.negative];
        let n_words = sides.map(|side| side.spans.len() + side.deltas.len() + side.counts.len());
        assert!(n_words.iter().sum::<usize>() + histogram.custom_bounds.len() <= body.len());
    }
    assert_eq!(histograms.read_next(&mut histogram), Ok(false));
}

/// What is read plainly is what is read in any case.
fn check_plain(plain: &PlainHistogram<'_>, histogram: &Histogram) {
    assert_eq!(
        (plain.timestamp_ms, plain.start_timestamp_ms, plain.sum.to_bits()),
        (
            histogram.timestamp_ms,
            histogram.start_timestamp_ms,
            histogram.sum.to_bits()
        )
    );
    assert_eq!(plain.reset_hint, histogram.reset_hint);
    assert_eq!(Count::Integer(plain.counts.count), histogram.count);
    assert_eq!(Count::Integer(plain.counts.zero_count), histogram.zero_count);
    let sides = [
        (plain.counts.positive, &histogram.positive),
        (plain.counts.negative, &histogram.negative),
    ];
    for (packed, side) in sides {
        assert!(side.counts.is_empty() && side.deltas.len() <= packed.len());
    }
}

fn check_offset(error: DecodeError, body: &[u8]) {
    assert!(error.offset <= body.len(), "{error} in {} bytes", body.len());
}

/// Texts for people stay short however long their subject is.
fn check_text(text: &str) {
    assert!(text.len() < 4_096, "{} bytes", text.len());
}
