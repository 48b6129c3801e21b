//! What one Envoy sends by its OTLP sink: a report of some hundred points, every few seconds.
//!
//! Shapes follow a capture of Envoy 1.40: nearly half gauges, nearly half counters, some histograms of 19 bounds; one
//! metric per point; attributes such as `envoy.cluster_name`; a resource that says nothing but `telemetry.sdk.name`;
//! starts in microseconds where nanoseconds belong.

use wire::otlp::encoder::{Buckets, Encoder, NumberKind, PointHead, Temporality};

/// Upper bounds of Envoy's histograms.
const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

const COUNTERS: [&str; 12] = [
    "cluster.upstream_rq_total",
    "cluster.upstream_rq_completed",
    "cluster.upstream_cx_total",
    "cluster.upstream_cx_rx_bytes_total",
    "cluster.upstream_cx_tx_bytes_total",
    "cluster.upstream_cx_connect_fail",
    "cluster.upstream_rq_timeout",
    "cluster.upstream_rq_retry",
    "cluster.membership_change",
    "cluster.update_success",
    "cluster.lb_healthy_panic",
    "cluster.http2.tx_reset",
];

const GAUGES: [&str; 10] = [
    "cluster.upstream_cx_active",
    "cluster.upstream_rq_active",
    "cluster.upstream_rq_pending_active",
    "cluster.membership_total",
    "cluster.membership_healthy",
    "cluster.max_host_weight",
    "cluster.version",
    "cluster.circuit_breakers.default.cx_open",
    "cluster.circuit_breakers.default.rq_open",
    "cluster.circuit_breakers.high.cx_open",
];

const HISTOGRAMS: [&str; 2] = ["cluster.upstream_rq_time", "cluster.upstream_cx_connect_ms"];

/// One Envoy.
#[derive(Debug)]
pub struct Envoy {
    encoder: Encoder,
    clusters: Vec<String>,
    temporality: Temporality,
    start_ms: u64,
    n_reports: u64,
}

impl Envoy {
    /// An Envoy with that many clusters, started at that time. Its address, which tells it from others, is given by
    /// the connection.
    #[must_use]
    pub fn new(n_clusters: usize, temporality: Temporality, start_ms: u64) -> Self {
        let resource = [
            ("telemetry.sdk.language", "cpp"),
            ("telemetry.sdk.name", "envoy"),
            ("telemetry.sdk.version", "1.40.0"),
        ];
        Self {
            encoder: Encoder::new(&resource),
            clusters: (0..n_clusters)
                .map(|number| format!("outbound|9080||service-{number}.shop.svc.cluster.local"))
                .collect(),
            temporality,
            start_ms,
            n_reports: 0,
        }
    }

    /// Data points of one report.
    #[must_use]
    pub fn n_points(&self) -> usize {
        // Requests are also counted by class of response.
        self.clusters.len() * (COUNTERS.len() + 2 + GAUGES.len() + HISTOGRAMS.len())
    }

    /// Appends the next report, made at that time, to `out`.
    pub fn report(&mut self, time_ms: u64, out: &mut Vec<u8>) {
        self.n_reports += 1;
        for cluster_idx in 0..self.clusters.len() {
            self.push_cluster(cluster_idx, time_ms);
        }
        self.encoder.finish(out);
    }

    fn push_cluster(&mut self, cluster_idx: usize, time_ms: u64) {
        let Self {
            encoder,
            clusters,
            temporality,
            start_ms,
            n_reports,
        } = self;
        let cluster = clusters[cluster_idx].as_str();
        let by_cluster = [("envoy.cluster_name", cluster)];
        let head = |name| PointHead {
            name,
            attributes: &by_cluster,
            start_ns: *start_ms * 1_000,
            time_ns: time_ms * 1_000_000,
        };
        let counter = NumberKind::Counter(*temporality);
        let speed = cluster_idx as u64 + 1;
        let count = |per_report: u64| match temporality {
            Temporality::Delta => per_report,
            Temporality::Cumulative => per_report * *n_reports,
        };
        for (idx, name) in COUNTERS.into_iter().enumerate() {
            // Most counters of an Envoy stand still.
            let per_report = if idx < 5 { speed * (idx as u64 + 1) } else { 0 };
            encoder.push_number(counter, &head(name), count(per_report));
        }
        for (class, per_report) in [("2", speed), ("5", speed % 2)] {
            let attributes = [by_cluster[0], ("envoy.response_code_class", class)];
            let head = PointHead {
                attributes: &attributes,
                ..head("cluster.upstream_rq_xx")
            };
            encoder.push_number(counter, &head, count(per_report));
        }
        for (idx, name) in GAUGES.into_iter().enumerate() {
            let head = PointHead {
                start_ns: 0,
                ..head(name)
            };
            encoder.push_number(NumberKind::Gauge, &head, (*n_reports + idx as u64) % 7);
        }
        let mut counts = [0; BOUNDS.len() + 1];
        for (idx, slot) in counts.iter_mut().enumerate().take(6).skip(1) {
            *slot = count(speed / idx as u64);
        }
        let buckets = Buckets {
            bounds: &BOUNDS,
            counts: &counts,
            sum: count(speed) as f64 * 7.25,
        };
        for name in HISTOGRAMS {
            encoder.push_histogram(*temporality, &head(name), &buckets);
        }
    }
}
