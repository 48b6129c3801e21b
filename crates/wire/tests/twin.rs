//! Our codecs against prost's, with the schemas written down a second time: what one writes the other reads.

use model::MetricType;
use model::histogram::{CounterResetHint, Span};
use proptest::prelude::*;
use prost::Message;
use twin::messages::{
    BucketSpan, ExemplarV1, ExemplarV2, Histogram, Label, MetadataV2, MetricMetadata, RequestV2, SampleV1,
    SampleV2, TimeSeriesV1, TimeSeriesV2, WriteRequestV1,
};
use wire::Limits;
use wire::remote_write::{Count, Histograms, Side, v1, v2};

mod twin {
    pub(crate) mod messages;
}

const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

/// Any bits, with the ones that matter more often.
fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(f64::from_bits(model::STALE_NAN_BITS)),
        any::<u64>().prop_map(f64::from_bits),
        (0_u32..1_000).prop_map(f64::from),
    ]
}

fn timestamps() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(0_i64),
        1_600_000_000_000..1_900_000_000_000_i64,
        any::<i64>(),
        -9_i64..9
    ]
}

/// Label sets as the protocol wants them: `__name__` first, then sorted, without empty values.
fn label_sets() -> impl Strategy<Value = Vec<(String, String)>> {
    let rest = proptest::collection::btree_map("[a-z]{1,12}", ".{1,9}|[a-z/.-]{120,140}", 0..12);
    ("[a-z_]{1,30}", rest).prop_map(|(name, rest)| {
        let mut labels = vec![("__name__".to_owned(), name)];
        labels.extend(rest);
        labels
    })
}

fn histograms() -> impl Strategy<Value = Histogram> {
    let spans = proptest::collection::vec((any::<i32>(), any::<u32>()), 0..3);
    let deltas = proptest::collection::vec(any::<i64>(), 0..6);
    let counts = proptest::collection::vec(values(), 0..6);
    (
        any::<u64>(),
        values(),
        -53..9_i32,
        timestamps(),
        spans,
        deltas,
        counts,
    )
        .prop_map(
            |(count_int, sum, schema, timestamp, spans, negative_deltas, counts)| {
                let spans: Vec<_> = spans
                    .into_iter()
                    .map(|(offset, length)| BucketSpan { offset, length })
                    .collect();
                Histogram {
                    count_int,
                    sum,
                    schema,
                    negative_spans: spans.clone(),
                    negative_deltas,
                    positive_spans: spans,
                    positive_counts: counts.clone(),
                    timestamp,
                    custom_values: counts,
                }
            },
        )
}

/// One series of either protocol.
#[derive(Debug, Clone)]
struct Series {
    labels: Vec<(String, String)>,
    samples: Vec<(i64, f64, i64)>,
    histograms: Vec<Histogram>,
    n_exemplars: usize,
    metadata: (usize, String, String),
}

fn series() -> impl Strategy<Value = Series> {
    (
        label_sets(),
        proptest::collection::vec((timestamps(), values(), timestamps()), 0..4),
        proptest::collection::vec(histograms(), 0..2),
        0..3_usize,
        (0..8_usize, ".{0,9}", "[a-z]{0,8}"),
    )
        .prop_map(|(labels, samples, histograms, n_exemplars, metadata)| Series {
            labels,
            samples,
            histograms,
            n_exemplars,
            metadata,
        })
}

fn requests() -> impl Strategy<Value = Vec<Series>> {
    proptest::collection::vec(series(), 0..5)
}

fn prost_v1(series: &[Series]) -> WriteRequestV1 {
    let label = |(name, value): &(String, String)| Label {
        name: name.clone(),
        value: value.clone(),
    };
    let timeseries = series.iter().map(|one| TimeSeriesV1 {
        labels: one.labels.iter().map(label).collect(),
        samples: one
            .samples
            .iter()
            .map(|&(timestamp, value, _)| SampleV1 { value, timestamp })
            .collect(),
        exemplars: vec![
            ExemplarV1 {
                labels: vec![label(&("trace_id".to_owned(), "1f".to_owned()))],
                value: 3.0,
                timestamp: 5,
            };
            one.n_exemplars
        ],
        histograms: one.histograms.clone(),
    });
    let metadata = series.iter().map(|one| MetricMetadata {
        r#type: one.metadata.0 as i32,
        metric_family_name: one.labels[0].1.clone(),
        help: one.metadata.1.clone(),
        unit: one.metadata.2.clone(),
    });
    WriteRequestV1 {
        timeseries: timeseries.collect(),
        metadata: metadata.collect(),
    }
}

fn prost_v2(series: &[Series]) -> RequestV2 {
    let mut symbols = vec![String::new()];
    let mut symbol = |text: &str| {
        let known = symbols.iter().position(|symbol| symbol == text);
        known.unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        }) as u32
    };
    let timeseries = series.iter().map(|one| TimeSeriesV2 {
        labels_refs: one
            .labels
            .iter()
            .flat_map(|(name, value)| [symbol(name), symbol(value)])
            .collect(),
        samples: one
            .samples
            .iter()
            .map(|&(timestamp, value, start_timestamp)| SampleV2 {
                value,
                timestamp,
                start_timestamp,
            })
            .collect(),
        histograms: one.histograms.clone(),
        exemplars: vec![
            ExemplarV2 {
                labels_refs: vec![0, 0],
                value: 3.0,
                timestamp: 5,
            };
            one.n_exemplars
        ],
        metadata: Some(MetadataV2 {
            r#type: one.metadata.0 as i32,
            help_ref: symbol(&one.metadata.1),
            unit_ref: symbol(&one.metadata.2),
        }),
    });
    let timeseries = timeseries.collect();
    RequestV2 { symbols, timeseries }
}

/// Text of everything, so that NaN bits compare.
fn bits(samples: impl Iterator<Item = (i64, f64, i64)>) -> Vec<(i64, u64, i64)> {
    samples
        .map(|(timestamp, value, start)| (timestamp, value.to_bits(), start))
        .collect()
}

#[track_caller]
fn check_histograms(mut found: Histograms<'_>, expected: &[Histogram]) {
    let mut read = wire::remote_write::Histogram::default();
    for histogram in expected {
        assert_eq!(found.read_next(&mut read), Ok(true));
        let side = |spans: &[BucketSpan], deltas: &[i64], counts: &[f64]| Side {
            spans: spans
                .iter()
                .map(|span| Span {
                    offset: span.offset,
                    length: span.length,
                })
                .collect(),
            deltas: deltas.to_vec(),
            counts: counts.to_vec(),
        };
        let wanted = wire::remote_write::Histogram {
            timestamp_ms: histogram.timestamp,
            start_timestamp_ms: 0,
            reset_hint: CounterResetHint::Unknown,
            schema: histogram.schema,
            zero_threshold: 0.0,
            count: Count::Integer(histogram.count_int),
            zero_count: Count::Integer(0),
            sum: histogram.sum,
            positive: side(&histogram.positive_spans, &[], &histogram.positive_counts),
            negative: side(&histogram.negative_spans, &histogram.negative_deltas, &[]),
            custom_bounds: histogram.custom_values.clone(),
        };
        // Text, so that NaN is equal to itself.
        assert_eq!(format!("{read:?}"), format!("{wanted:?}"));
    }
    assert_eq!(found.read_next(&mut read), Ok(false));
}

fn as_strs(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

proptest! {
    // Debug builds make slow work of these; the fuzz targets look deeper.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn requests_of_prost_are_read_in_1_0(input in requests()) {
        let limits = Limits::default();
        let body = prost_v1(&input).encode_to_vec();
        let (mut found, mut metadata) = (Vec::new(), Vec::new());
        for entry in v1::Request::new(&body, &limits) {
            match entry.unwrap() {
                v1::Entry::Series(series) => found.push(series),
                v1::Entry::Metadata(one) => metadata.push(one),
            }
        }
        prop_assert_eq!(found.len(), input.len());
        for (found, expected) in found.iter().zip(&input) {
            let mut scratch = Vec::new();
            let labels = v1::parse_labels(found.label_bytes(&mut scratch), &limits).unwrap();
            prop_assert_eq!(labels.as_slice(), as_strs(&expected.labels));
            let samples = found.samples().map(Result::unwrap).map(|sample| (sample.timestamp_ms, sample.value, 0));
            let expected_samples = expected.samples.iter().map(|&(timestamp, value, _)| (timestamp, value, 0));
            prop_assert_eq!(bits(samples), bits(expected_samples));
            prop_assert_eq!(found.n_samples, expected.samples.len());
            prop_assert_eq!(found.n_exemplars, expected.n_exemplars);
            check_histograms(found.histograms(), &expected.histograms);
        }
        for (found, expected) in metadata.iter().zip(&input) {
            prop_assert_eq!(&found.metric_name, &expected.labels[0].1);
            prop_assert_eq!(found.metric_type, TYPES[expected.metadata.0]);
            prop_assert_eq!((&found.help, &found.unit), (&expected.metadata.1, &expected.metadata.2));
        }
    }

    #[test]
    fn prost_reads_our_requests_of_1_0(input in requests()) {
        let mut encoder = v1::Encoder::default();
        for one in &input {
            let mut label_bytes = Vec::new();
            one.labels.iter().for_each(|(name, value)| v1::push_label(&mut label_bytes, name, value));
            let samples: Vec<_> = one
                .samples
                .iter()
                .map(|&(timestamp_ms, value, _)| model::Sample { timestamp_ms, value })
                .collect();
            encoder.push_series(&label_bytes, &samples);
            encoder.push_metadata(&model::MetricMetadata {
                metric_name: one.labels[0].1.clone(),
                metric_type: TYPES[one.metadata.0],
                help: one.metadata.1.clone(),
                unit: one.metadata.2.clone(),
            });
        }
        let mut expected = prost_v1(&input);
        for series in &mut expected.timeseries {
            (series.exemplars, series.histograms) = (Vec::new(), Vec::new());
        }
        let decoded = WriteRequestV1::decode(encoder.body()).unwrap();
        // NaN is not equal to itself, but its bytes are.
        prop_assert_eq!(decoded.encode_to_vec(), expected.encode_to_vec());
    }

    #[test]
    fn requests_of_prost_are_read_in_2_0(input in requests()) {
        let limits = Limits::default();
        let body = prost_v2(&input).encode_to_vec();
        let request = v2::Request::parse(&body, &limits).unwrap();
        prop_assert_eq!(request.n_series(), input.len());
        for (found, expected) in request.series().zip(&input) {
            let found = found.unwrap();
            let labels = found.labels(request.symbols(), &limits).unwrap();
            prop_assert_eq!(labels.as_slice(), as_strs(&expected.labels));
            let samples = found.samples().map(Result::unwrap);
            let samples = samples.map(|sample| (sample.timestamp_ms, sample.value, sample.start_timestamp_ms));
            prop_assert_eq!(bits(samples), bits(expected.samples.iter().copied()));
            prop_assert_eq!(found.n_exemplars, expected.n_exemplars);
            check_histograms(found.histograms(), &expected.histograms);
            let metadata = found.metadata(request.symbols()).unwrap();
            let metadata = metadata.map_or((MetricType::Unknown, "", ""), |found| {
                (found.metric_type, found.help, found.unit)
            });
            let (metric_type, help, unit) = &expected.metadata;
            prop_assert_eq!(metadata, (TYPES[*metric_type], help.as_str(), unit.as_str()));
        }
    }

    #[test]
    fn prost_reads_our_requests_of_2_0(input in requests()) {
        let mut encoder = v2::Encoder::default();
        for one in &input {
            let refs: Vec<u32> = one
                .labels
                .iter()
                .flat_map(|(name, value)| [encoder.symbol(name), encoder.symbol(value)])
                .collect();
            let samples: Vec<_> = one
                .samples
                .iter()
                .map(|&(timestamp_ms, value, start_timestamp_ms)| v2::Sample {
                    timestamp_ms,
                    value,
                    start_timestamp_ms,
                })
                .collect();
            let metadata = v2::MetadataRefs {
                metric_type: TYPES[one.metadata.0],
                help_ref: encoder.symbol(&one.metadata.1),
                unit_ref: encoder.symbol(&one.metadata.2),
            };
            encoder.push_series(&refs, &samples, Some(metadata));
        }
        let mut expected = prost_v2(&input);
        for series in &mut expected.timeseries {
            (series.exemplars, series.histograms) = (Vec::new(), Vec::new());
        }
        let mut body = Vec::new();
        encoder.write_body(&mut body);
        let decoded = RequestV2::decode(&body[..]).unwrap();
        prop_assert_eq!(decoded.encode_to_vec(), expected.encode_to_vec());
    }
}
