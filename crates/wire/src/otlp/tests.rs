//! Whole requests: what they become, and that nothing in them does harm.

use std::collections::BTreeMap;

use model::{Sample, TimestampMs, is_stale_nan};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::limits::Limits;
use crate::protobuf::raw::{bytes, fixed64, unknown_fields, varint};
use crate::remote_write::{Count, Histogram};

/// Writes down what it is told.
#[derive(Debug, Default)]
struct Told {
    /// `name{labels}`, time, value.
    samples: Vec<(String, TimestampMs, f64)>,
    histograms: Vec<(String, u64, i32, Vec<i64>)>,
    rejected: Vec<(Rejection, u64)>,
    /// The number of samples before, and the value.
    exemplars: Vec<(usize, f64)>,
    keys: Vec<u128>,
    points: Vec<Option<u64>>,
    starts_ms: Vec<Option<TimestampMs>>,
}

fn text(series: &Series<'_>) -> String {
    let labels: BTreeMap<String, String> = series.labels().into_iter().collect();
    let pairs = labels.iter().filter(|(label, _)| *label != "__name__");
    let pairs: Vec<String> = pairs.map(|(label, value)| format!("{label}={value}")).collect();
    format!("{}{{{}}}", labels["__name__"], pairs.join(","))
}

impl Visitor for Told {
    fn sample(&mut self, series: &Series<'_>, sample: Sample, start_ms: Option<TimestampMs>) {
        self.keys.push(series.key);
        self.points.push(series.point);
        self.starts_ms.push(start_ms);
        self.samples
            .push((text(series), sample.timestamp_ms, sample.value));
    }

    fn histogram(&mut self, series: &Series<'_>, histogram: &Histogram) {
        self.keys.push(series.key);
        let Count::Integer(count) = histogram.count else {
            panic!("OTLP counts in integers");
        };
        let deltas = histogram.positive.deltas.clone();
        self.histograms
            .push((text(series), count, histogram.schema, deltas));
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        self.exemplars.push((self.keys.len(), exemplar.value));
    }

    fn rejected(&mut self, rejection: Rejection, n_points: u64, _: &str) {
        self.rejected.push((rejection, n_points));
    }
}

fn walk_with(settings: Settings, body: &[u8]) -> Told {
    let mut told = Told::default();
    let mut walker = Walker::new(settings, &Limits::default(), xxh3_128);
    walker.walk(body, "10.0.0.7", &mut told).unwrap();
    told
}

fn walk(body: &[u8]) -> Told {
    walk_with(Settings::default(), body)
}

fn request(resource: &[(&str, &str)], metrics: &[Vec<u8>]) -> Vec<u8> {
    let resource: Vec<u8> = resource
        .iter()
        .flat_map(|(key, value)| attribute(1, key, value))
        .collect();
    let metrics: Vec<u8> = metrics.iter().flat_map(|metric| bytes(2, metric)).collect();
    bytes(1, [bytes(1, resource), bytes(2, metrics)].concat())
}

fn attribute(field: u32, key: &str, value: &str) -> Vec<u8> {
    bytes(field, [bytes(1, key), bytes(2, bytes(1, value))].concat())
}

fn time(field: u32, nanoseconds: u64) -> Vec<u8> {
    fixed64(field, f64::from_bits(nanoseconds))
}

fn count(field: u32, count: u64) -> Vec<u8> {
    fixed64(field, f64::from_bits(count))
}

const NOW_NS: u64 = 1_795_237_702_250_210_000;
const NOW_MS: TimestampMs = 1_795_237_702_250;

fn number_point(key: &str, value: f64) -> Vec<u8> {
    [attribute(7, "zone", key), time(3, NOW_NS), fixed64(4, value)].concat()
}

fn gauge(name: &str, points: &[Vec<u8>]) -> Vec<u8> {
    let points: Vec<u8> = points.iter().flat_map(|point| bytes(1, point)).collect();
    [bytes(1, name), bytes(5, points)].concat()
}

fn sum(name: &str, temporality: u64, point: &[u8]) -> Vec<u8> {
    // What points mean may stand behind them.
    let data = [bytes(1, point), varint(2, temporality), varint(3, 1)].concat();
    [bytes(1, name), bytes(7, data)].concat()
}

fn histogram(point: &[u8]) -> Vec<u8> {
    let data = [bytes(1, point), varint(2, 2)].concat();
    [bytes(1, "http.duration"), bytes(3, "ms"), bytes(9, data)].concat()
}

fn texts(told: &Told) -> Vec<&str> {
    told.samples.iter().map(|(series, ..)| series.as_str()).collect()
}

#[test]
fn a_resource_gives_job_instance_promoted_labels_and_its_info() {
    let resource = [
        ("service.namespace", "shop"),
        ("service.name", "checkout"),
        ("service.instance.id", "pod-1"),
        ("k8s.pod.name", "checkout-1"),
        ("team", "a"),
    ];
    let told = walk(&request(
        &resource,
        &[gauge("queue.length", &[number_point("b", 2.5)])],
    ));
    let expected = [
        "queue_length{instance=pod-1,job=shop/checkout,pod=checkout-1,zone=b}",
        "target_info{instance=pod-1,job=shop/checkout,k8s_pod_name=checkout-1,team=a}",
    ];
    assert_eq!(texts(&told), expected);
    assert_eq!(told.samples[0].1, NOW_MS);
    assert_eq!((told.samples[0].2, told.samples[1].2), (2.5, 1.0));
    assert_eq!(told.points, [Some(0), None]);
}

#[test]
fn target_info_is_never_further_away_than_a_lookback() {
    let times = |ms: &[u64]| {
        let at = |ms: &u64| [time(3, NOW_NS + ms * 1_000_000), fixed64(4, 1.0)].concat();
        let points: Vec<Vec<u8>> = ms.iter().map(at).collect();
        let resource = [("service.name", "a"), ("b", "c")];
        let told = walk(&request(&resource, &[gauge("g", &points)]));
        let infos = told
            .samples
            .iter()
            .filter(|(series, ..)| series.starts_with("target_info"));
        infos.map(|(_, time_ms, _)| time_ms - NOW_MS).collect::<Vec<_>>()
    };
    assert_eq!(times(&[0]), [0]);
    assert_eq!(times(&[300_000, 0]), [0, 150_000, 300_000]);
    assert_eq!(times(&[0, 200_000]), [0, 150_000, 200_000]);
    assert_eq!(
        times(&[0, 86_400_000]),
        [0, 86_400_000],
        "a stray time is no reason for many samples"
    );
}

#[test]
fn explicit_histograms_become_buckets_sum_and_count() {
    let counts = [2_u64, 3, 5].map(u64::to_le_bytes).concat();
    let bounds = [0.5_f64, 10.0].map(f64::to_le_bytes).concat();
    let point = [
        time(3, NOW_NS),
        count(4, 10),
        fixed64(5, 42.5),
        bytes(6, counts),
        bytes(7, bounds),
    ]
    .concat();
    let told = walk(&request(&[], &[histogram(&point)]));
    let values: Vec<_> = told
        .samples
        .iter()
        .map(|(series, _, value)| (series.as_str(), *value))
        .collect();
    assert_eq!(
        values,
        [
            ("http_duration_milliseconds_bucket{le=0.5}", 2.0),
            ("http_duration_milliseconds_bucket{le=10}", 5.0),
            ("http_duration_milliseconds_bucket{le=+Inf}", 10.0),
            ("http_duration_milliseconds_sum{}", 42.5),
            ("http_duration_milliseconds_count{}", 10.0),
        ]
    );
    let stale = [point, varint(10, 1)].concat();
    let told = walk(&request(&[], &[histogram(&stale)]));
    assert_eq!(told.samples.len(), 5);
    assert!(told.samples.iter().all(|(_, _, value)| is_stale_nan(*value)));
}

#[test]
fn counts_that_include_those_below_are_recognised() {
    let counts = [2_u64, 5, 10].map(u64::to_le_bytes).concat();
    let bounds = [0.5_f64, 10.0].map(f64::to_le_bytes).concat();
    let point = [time(3, NOW_NS), count(4, 10), bytes(6, counts), bytes(7, bounds)].concat();
    let told = walk(&request(&[], &[histogram(&point)]));
    let values: Vec<f64> = told.samples.iter().map(|(_, _, value)| *value).collect();
    assert_eq!(values, [2.0, 5.0, 10.0, 10.0]);
}

#[test]
fn exponential_histograms_become_native_ones() {
    let side = [varint(1, 3), bytes(2, [0, 4, 7])].concat();
    let point = [time(3, NOW_NS), count(4, 11), varint(6, 40), bytes(8, side)].concat();
    let data = [bytes(1, point), varint(2, 2)].concat();
    let told = walk(&request(&[], &[[bytes(1, "x"), bytes(10, data)].concat()]));
    assert_eq!(told.histograms, [("x{}".to_owned(), 11, 20, vec![4, 3])]);
}

#[test]
fn summaries_become_quantiles_sum_and_count() {
    let quantile = [fixed64(1, 0.5), fixed64(2, 7.0)].concat();
    let point = [time(3, NOW_NS), count(4, 9), fixed64(5, 3.5), bytes(6, quantile)].concat();
    let told = walk(&request(
        &[],
        &[[bytes(1, "x"), bytes(11, bytes(1, point))].concat()],
    ));
    assert_eq!(texts(&told), ["x{quantile=0.5}", "x_sum{}", "x_count{}"]);
}

#[test]
fn what_cannot_be_taken_is_counted_and_costs_nothing_else() {
    let good = number_point("a", 1.0);
    let without_time = fixed64(4, 1.0);
    let without_value = time(3, NOW_NS);
    let bounds = [2.0_f64, 1.0].map(f64::to_le_bytes).concat();
    let disordered = [time(3, NOW_NS), bytes(7, bounds)].concat();
    let metrics = [
        gauge("a", &[without_time, good.clone(), without_value]),
        sum("b", 1, &good),
        sum("c", 0, &good),
        gauge("@#$%", std::slice::from_ref(&good)),
        bytes(1, "kindless"),
        histogram(&disordered),
        sum("d", 2, &good),
    ];
    let told = walk(&request(&[], &metrics));
    assert_eq!(texts(&told), ["a{zone=a}", "d_total{zone=a}"]);
    assert_eq!(told.points, [Some(1), Some(8)]);
    let expected = [
        (Rejection::NoTime, 1),
        (Rejection::NoValue, 1),
        (Rejection::Delta, 1),
        (Rejection::NoTemporality, 1),
        (Rejection::NoName, 1),
        (Rejection::NoData, 1),
        (Rejection::BrokenBuckets, 1),
    ];
    assert_eq!(told.rejected, expected);
}

#[test]
fn an_envoy_keeps_the_names_of_its_own_page_and_gets_an_instance() {
    let envoy = [("telemetry.sdk.name", "envoy")];
    let point = [
        attribute(7, "envoy.cluster_name", "a"),
        time(3, NOW_NS),
        // Envoy sends microseconds here.
        time(2, 1_795_237_600_250_210),
        fixed64(4, 1.0),
    ]
    .concat();
    let metrics = [
        sum("cluster.upstream_rq", 2, &point),
        sum("cluster.upstream_rq_total", 2, &point),
        sum("istiocustom.istio_requests_total", 2, &point),
    ];
    let told = walk(&request(&envoy, &metrics));
    assert_eq!(
        texts(&told),
        [
            "envoy_cluster_upstream_rq{envoy_cluster_name=a,instance=10.0.0.7}",
            "envoy_cluster_upstream_rq_total{envoy_cluster_name=a,instance=10.0.0.7}",
            "istio_requests_total{envoy_cluster_name=a,instance=10.0.0.7}",
        ]
    );
    assert_eq!(told.starts_ms[0], Some(1_795_237_600_250));
}

#[test]
fn keys_differ_where_series_do() {
    let body = |resource: &str, metric: &str, zone: &str| {
        let resource = [("service.name", resource), ("x", "y")];
        request(&resource, &[sum(metric, 2, &number_point(zone, 1.0))])
    };
    let keys = |body: Vec<u8>| walk(&body).keys;
    let all = [
        keys(body("r", "m", "z")),
        keys(body("s", "m", "z")),
        keys(body("r", "n", "z")),
        keys(body("r", "m", "y")),
    ];
    assert_eq!(all[0], keys(body("r", "m", "z")));
    let mut distinct: Vec<u128> = all.iter().map(|keys| keys[0]).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 4);
    assert_eq!(all[0][1], all[2][1], "target_info is of the resource");
}

#[test]
fn attributes_cannot_name_the_metric_and_equal_labels_are_joined() {
    let point = [
        attribute(7, "__name__", "other"),
        attribute(7, "b_c", "2"),
        attribute(7, "b.c", "1"),
        time(3, NOW_NS),
        fixed64(4, 1.0),
    ]
    .concat();
    let told = walk(&request(&[], &[gauge("a", &[point])]));
    assert_eq!(texts(&told), ["a{b_c=1;2}"]);
}

#[test]
fn scopes_are_labels_when_asked_for() {
    let scope = [bytes(1, "lib"), bytes(2, "1.0"), attribute(3, "k", "v")].concat();
    let metric = bytes(2, gauge("a", &[number_point("z", 1.0)]));
    let body = bytes(1, bytes(2, [metric, bytes(1, scope)].concat()));
    let settings = Settings {
        promotes_scope: true,
        ..Settings::default()
    };
    assert_eq!(texts(&walk(&body)), ["a{zone=z}"]);
    assert_eq!(
        texts(&walk_with(settings, &body)),
        ["a{otel_scope_k=v,otel_scope_name=lib,otel_scope_version=1.0,zone=z}"]
    );
}

#[test]
fn json_means_what_protobuf_means() {
    let text = r#"{"resourceMetrics":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"web"}},{"key":"n","value":{"intValue":"7"}}]},
      "scopeMetrics":[{"scope":{"name":"s"},"metrics":[
        {"name":"g","unit":"1","gauge":{"dataPoints":[
          {"attributes":[],"timeUnixNano":"1795237702250210000","asDouble":null},
          {"timeUnixNano":1795237702250210000,"asInt":"5","attributes":[{"key":"k","value":{"boolValue":true}}]},
          {"timeUnixNano":"1795237702250210000","asInt":"five"}]}},
        {"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[
          {"timeUnixNano":"1795237702250210000","count":3,"sum":4.5,"bucketCounts":[1,"2"],"explicitBounds":[1]}]}},
        {"name":"e","exponentialHistogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[
          {"timeUnixNano":"1795237702250210000","count":2,"scale":20,"positive":{"offset":-1,"bucketCounts":["2"]}}]}}
      ]}]}]}"#;
    let told = walk(&json::to_protobuf(text.as_bytes()).unwrap());
    assert_eq!(
        texts(&told),
        [
            "g_ratio{job=web}",
            "g_ratio{job=web,k=true}",
            "h_bucket{job=web,le=1}",
            "h_bucket{job=web,le=+Inf}",
            "h_sum{job=web}",
            "h_count{job=web}",
            "target_info{job=web,n=7}",
        ]
    );
    assert!(told.samples[0].2.is_nan() && !is_stale_nan(told.samples[0].2));
    assert_eq!(told.samples[1].2, 5.0);
    assert_eq!(told.rejected, [(Rejection::NoValue, 1)]);
    assert_eq!(told.histograms, [("e{job=web}".to_owned(), 2, 20, vec![2])]);
}

#[test]
fn unknown_fields_are_skipped() {
    let point = [number_point("a", 1.0), unknown_fields()].concat();
    let metric = [gauge("a", &[point]), unknown_fields()].concat();
    let body = [request(&[], &[metric]), unknown_fields()].concat();
    assert_eq!(texts(&walk(&body)), ["a{zone=a}"]);
}

#[test]
fn more_points_than_allowed_are_refused() {
    let limits = Limits {
        samples_per_request: 2,
        ..Limits::default()
    };
    let walk = |n_points: usize| {
        let points = vec![number_point("a", 1.0); n_points];
        let body = request(&[], &[gauge("a", &points)]);
        Walker::new(Settings::default(), &limits, xxh3_128).walk(&body, "", &mut Told::default())
    };
    assert_eq!(walk(2), Ok(2));
    assert!(walk(3).is_err());
}

proptest! {
    #[test]
    fn no_bytes_do_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let counts = [2_u64, 3].map(u64::to_le_bytes).concat();
        let point = [time(3, NOW_NS), count(4, 5), bytes(6, counts), bytes(7, 1.0_f64.to_le_bytes())].concat();
        let resource = [("service.name", "x"), ("telemetry.sdk.name", "envoy")];
        let metrics = [histogram(&point), gauge("g", &[number_point("a", 1.0)])];
        let mut body = request(&resource, &metrics);
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let mut told = Told::default();
        let mut walker = Walker::new(Settings::default(), &Limits::default(), xxh3_128);
        let first = walker.walk(&body, "", &mut told);
        let mut again = Told::default();
        prop_assert_eq!(first, walker.walk(&body, "", &mut again));
        prop_assert_eq!(told.keys, again.keys);
    }

    #[test]
    fn no_json_does_harm(text in "[\\[\\]{}\",:a-z0-9. ]{0,60}") {
        drop(json::to_protobuf(text.as_bytes()));
        drop(json::to_protobuf(format!(r#"{{"resourceMetrics":[{text}]}}"#).as_bytes()));
    }
}

#[test]
fn exemplars_belong_to_the_bucket_they_fall_into_and_to_no_gauge() {
    let exemplar = |field: u32, nanoseconds: u64, value: f64| {
        bytes(field, [time(2, nanoseconds), fixed64(3, value)].concat())
    };
    let exemplars: Vec<u8> = [(4, 9.0), (3, 2.0), (2, 1.0), (1, f64::NAN)]
        .into_iter()
        .flat_map(|(nanoseconds, value)| exemplar(8, nanoseconds, value))
        .collect();
    let buckets = [bytes(
        6,
        [count_bytes(1), count_bytes(2), count_bytes(1)].concat(),
    )]
    .concat();
    let bounds = bytes(7, [1.0_f64.to_le_bytes(), 2.0_f64.to_le_bytes()].concat());
    let point = [time(3, NOW_NS), count(4, 4), buckets, bounds, exemplars].concat();
    let gauge = gauge("g", &[[number_point("a", 1.0), exemplar(5, 1, 1.0)].concat()]);
    let told = walk(&request(&[], &[gauge, histogram(&point)]));
    assert_eq!(told.exemplars, [(2, 1.0), (3, 2.0), (4, 9.0)]);
}

fn count_bytes(count: u64) -> [u8; 8] {
    count.to_le_bytes()
}
