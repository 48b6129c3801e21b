//! Damaged requests and expositions, some thousand of each: nothing panics, and what `wire::checks` promises holds.
//!
//! The seeds are fixed. `MESHTIDE_MUTATIONS` sets how many are tried per input, 500 if unset.

use model::{MetricMetadata, MetricType, Sample};
use testkit::{Chance, keep_seeds, mutate};
use wire::checks;
use wire::otlp::encoder::{Buckets, Encoder, NumberKind, PointHead, Temporality};
use wire::remote_write::{v1, v2};
use wire::snappy::Compressor;

const LABELS: [(&str, &str); 6] = [
    ("__name__", "istio_request_duration_milliseconds_bucket"),
    ("destination_service", "reviews.bookinfo.svc.cluster.local"),
    ("le", "+Inf"),
    ("reporter", "source"),
    ("source_workload", "größe-v1"),
    ("version", ""),
];

fn n_mutations() -> u64 {
    let setting = std::env::var("MESHTIDE_MUTATIONS").ok();
    setting.map_or(500, |text| text.parse().expect("MESHTIDE_MUTATIONS is a number"))
}

/// Runs `check` on each input, whole and damaged.
fn check_damaged(inputs: &[Vec<u8>], check: impl Fn(&[u8])) {
    for (idx, input) in inputs.iter().enumerate() {
        check(input);
        for seed in 0..n_mutations() {
            let mut chance = Chance::from_seed(seed << 8 | idx as u64);
            let mut damaged = input.clone();
            mutate(&mut damaged, &mut chance);
            check(&damaged);
        }
    }
}

fn requests_v1() -> Vec<Vec<u8>> {
    let mut label_bytes = Vec::new();
    for (name, value) in LABELS {
        v1::push_label(&mut label_bytes, name, value);
    }
    let sample = |timestamp_ms, value| Sample { timestamp_ms, value };
    let mut series = v1::Encoder::default();
    series.push_series(&label_bytes, &[sample(1_795_238_213_618, 310.0)]);
    series.push_series(&label_bytes, &[sample(0, -0.0), sample(-1, f64::NAN)]);
    let mut metadata = v1::Encoder::default();
    metadata.push_metadata(&MetricMetadata {
        metric_name: "istio_requests_total".to_owned(),
        metric_type: MetricType::Counter,
        help: "Requests.".to_owned(),
        unit: String::new(),
    });
    // A series with an exemplar and a native histogram, fields 3 and 4.
    let rest = b"\x1a\x15\x0a\x0a\x0a\x01a\x12\x05trace\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\
                 \x22\x15\x08\x03\x19\x00\x00\x00\x00\x00\x00\x08\x40\x42\x04\x08\x01\x10\x02\x4a\x02\x02\x04";
    let mut all_fields = vec![0x0a];
    all_fields.extend(u8::try_from(rest.len() + 9));
    all_fields.extend(b"\x0a\x07\x0a\x01b\x12\x02up");
    all_fields.extend(rest);
    vec![series.body().to_vec(), metadata.body().to_vec(), all_fields]
}

fn requests_v2() -> Vec<Vec<u8>> {
    let mut encoder = v2::Encoder::default();
    let refs: Vec<u32> = LABELS
        .iter()
        .flat_map(|(name, value)| [encoder.symbol(name), encoder.symbol(value)])
        .collect();
    let sample = |timestamp_ms, value, start_timestamp_ms| v2::Sample {
        timestamp_ms,
        value,
        start_timestamp_ms,
    };
    let metadata = v2::MetadataRefs {
        metric_type: MetricType::Histogram,
        help_ref: encoder.symbol("Durations."),
        unit_ref: encoder.symbol("ms"),
    };
    encoder.push_series(
        &refs,
        &[sample(1_795_238_213_618, 310.0, 1_795_000_000_000)],
        Some(metadata),
    );
    encoder.push_series(&refs[..4], &[], None);
    let mut body = Vec::new();
    encoder.write_body(&mut body);
    let mut scattered = body.clone();
    // A series with its references one by one, and symbols after it.
    scattered.extend(b"\x2a\x08\x08\x01\x08\x02\x0a\x02\x03\x04\x22\x01x");
    vec![body, scattered]
}

#[test]
fn damaged_requests_of_1_0_are_answered() {
    keep_seeds("remote_write_v1", requests_v1());
    check_damaged(&requests_v1(), checks::remote_write_v1);
}

#[test]
fn damaged_requests_of_2_0_are_answered() {
    keep_seeds("remote_write_v2", requests_v2());
    check_damaged(&requests_v2(), checks::remote_write_v2);
}

#[test]
fn requests_of_the_other_protocol_are_answered() {
    check_damaged(&requests_v1(), checks::remote_write_v2);
    check_damaged(&requests_v2(), checks::remote_write_v1);
}

#[test]
fn damaged_snappy_bodies_are_answered() {
    let mut inputs = [requests_v1(), requests_v2(), vec![vec![0; 100_000]]].concat();
    for input in &mut inputs {
        let mut compressed = Vec::new();
        *input = Compressor::default()
            .compress(input, &mut compressed)
            .expect("small")
            .to_vec();
    }
    keep_seeds("snappy", &inputs);
    check_damaged(&inputs, checks::snappy);
}

#[test]
fn damaged_expositions_are_answered() {
    let texts = [
        "# HELP x_total Says \\\\ and\\nmore.\n# TYPE x_total counter\nx_total{a=\"b\",c=\"\\\"d\\n\"} 1.5e3 1795238213618\n",
        "{\"my.metric\",\"http.code\"=\"größe\",} NaN\nup 1\nup{} -0\n# UNIT up bytes\n# EOF\n",
        "x_bucket{le=\"+Inf\"} 3 1520879607.789 # {trace_id=\"1f\"} 0.67 1520879607.1\r\n",
    ];
    keep_seeds("exposition", texts);
    let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    check_damaged(&texts, |bytes| {
        checks::exposition(&String::from_utf8_lossy(bytes));
    });
}

#[test]
fn the_inputs_are_valid_before_they_are_damaged() {
    let limits = wire::Limits::default();
    for body in requests_v1() {
        assert!(
            v1::Request::new(&body, &limits).all(|entry| entry.is_ok()),
            "{body:x?}"
        );
    }
    for body in requests_v2() {
        let request = v2::Request::parse(&body, &limits).expect("valid");
        for series in request.series() {
            assert!(series.expect("valid").labels(request.symbols(), &limits).is_ok());
        }
    }
}

fn otlp_requests() -> Vec<Vec<u8>> {
    let resource = [
        ("service.name", "checkout"),
        ("service.instance.id", "größe-1"),
        ("k8s.pod.name", "checkout-1"),
    ];
    let envoy = [("telemetry.sdk.name", "envoy")];
    let head = PointHead {
        name: "http.server.duration",
        attributes: &[("http.method", "GET"), ("_", ""), ("1st", "x")],
        start_ns: 1_795_237_702_250_210,
        time_ns: 1_795_237_702_250_210_000,
    };
    let buckets = Buckets {
        bounds: &[0.5, 1.0, f64::INFINITY],
        counts: &[1, 0, 2, 0],
        sum: -0.0,
    };
    let of = |resource: &[(&str, &str)], temporality| {
        let mut encoder = Encoder::new(resource);
        encoder.push_number(NumberKind::Gauge, &head, u64::MAX);
        encoder.push_number(NumberKind::Counter(temporality), &head, 7);
        encoder.push_histogram(temporality, &head, &buckets);
        let mut body = Vec::new();
        encoder.finish(&mut body);
        body
    };
    let kinds = wire::otlp::json::to_protobuf(JSON_OF_ALL_KINDS.as_bytes()).unwrap();
    vec![
        of(&resource, Temporality::Cumulative),
        of(&envoy, Temporality::Delta),
        kinds,
    ]
}

const JSON_OF_ALL_KINDS: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[
{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"},{"kvlistValue":{"values":[{"key":"b","value":{"boolValue":true}}]}}]}}},
{"key":"c","value":{"bytesValue":"AAEC"}}]},
"scopeMetrics":[{"scope":{"name":"s","version":"1","attributes":[{"key":"k","value":{"doubleValue":1.5}}]},"metrics":[
{"name":"g","unit":"1","gauge":{"dataPoints":[{"timeUnixNano":"1795238616829000000","asDouble":null},{"timeUnixNano":1,"flags":1}]}},
{"name":"s","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"timeUnixNano":"1795238616829000000","asInt":"-3"}]}},
{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1795238616829000000","count":3,"sum":1.5,"bucketCounts":[1,2],"explicitBounds":[0.5]}]}},
{"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1795238616829000000","count":3,"sum":4.5,"scale":20,"zeroCount":"1","positive":{"offset":-5,"bucketCounts":["1","2"]},"negative":{"offset":1,"bucketCounts":[]}}]}},
{"name":"q","summary":{"dataPoints":[{"timeUnixNano":"1795238616829000000","count":3,"sum":1.5,"quantileValues":[{"quantile":0.5,"value":1}]}]}}
]}]}]}"#;

#[test]
fn damaged_otlp_requests_do_no_harm() {
    keep_seeds("otlp", otlp_requests());
    check_damaged(&otlp_requests(), checks::otlp);
}

#[test]
fn damaged_otlp_json_does_no_harm() {
    keep_seeds("otlp_json", [JSON_OF_ALL_KINDS]);
    check_damaged(&[JSON_OF_ALL_KINDS.as_bytes().to_vec()], checks::otlp_json);
}

#[test]
fn damaged_frames_do_no_harm() {
    let frames = [wire::grpc::frame(b""), wire::grpc::frame(b"abc")];
    keep_seeds("grpc_frame", &frames);
    check_damaged(&frames, checks::grpc_frame);
}
