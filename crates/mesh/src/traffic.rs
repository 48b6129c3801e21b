//! How the counters of one label set move.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Poisson};

use crate::histogram::{Histogram, ISTIO_LE};
use crate::scrape::Emit;

/// The names of a histogram's three kinds of series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistogramNames {
    pub(crate) bucket: &'static str,
    pub(crate) sum: &'static str,
    pub(crate) count: &'static str,
}

/// Spells out the names of a histogram's series.
macro_rules! histogram_names {
    ($base:literal) => {
        $crate::traffic::HistogramNames {
            bucket: concat!($base, "_bucket"),
            sum: concat!($base, "_sum"),
            count: concat!($base, "_count"),
        }
    };
}
pub(crate) use histogram_names;

const DURATION: HistogramNames = histogram_names!("istio_request_duration_milliseconds");
const REQUEST_BYTES: HistogramNames = histogram_names!("istio_request_bytes");
const RESPONSE_BYTES: HistogramNames = histogram_names!("istio_response_bytes");

/// One HTTP or gRPC label combination: a counter and three histograms that count the same requests.
#[derive(Debug, Clone)]
pub(crate) struct HttpTraffic {
    requests_per_second: f64,
    requests: u64,
    duration: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

/// The messages of gRPC streams; they have fewer labels than the requests.
#[derive(Debug, Clone)]
pub(crate) struct MessageTraffic {
    messages_per_second: f64,
    sent: u64,
    received: u64,
}

/// One TCP label combination.
#[derive(Debug, Clone)]
pub(crate) struct TcpTraffic {
    connections_per_second: f64,
    opened: u64,
    closed: u64,
    sent_bytes: u64,
    received_bytes: u64,
}

impl HttpTraffic {
    pub(crate) fn new(
        requests_per_second: f64,
        median_ms: f64,
        request_bytes: f64,
        response_bytes: f64,
    ) -> Self {
        Self {
            requests_per_second,
            requests: 0,
            duration: Histogram::new(median_ms, 1.0),
            request_bytes: Histogram::new(request_bytes, 0.4),
            response_bytes: Histogram::new(response_bytes, 0.8),
        }
    }

    pub(crate) fn advance(&mut self, seconds: f64, rng: &mut impl Rng) {
        let n = poisson(self.requests_per_second * seconds, rng);
        self.requests += n;
        self.duration.observe(n, rng);
        self.request_bytes.observe(n, rng);
        self.response_bytes.observe(n, rng);
    }

    pub(crate) fn reset(&mut self) {
        self.requests = 0;
        self.duration.reset();
        self.request_bytes.reset();
        self.response_bytes.reset();
    }

    pub(crate) fn emit(&self, emit: &mut Emit<'_>) {
        emit.sample("istio_requests_total", self.requests as f64);
        emit_histogram(emit, DURATION, &self.duration);
        emit_histogram(emit, REQUEST_BYTES, &self.request_bytes);
        emit_histogram(emit, RESPONSE_BYTES, &self.response_bytes);
    }
}

impl MessageTraffic {
    pub(crate) fn new(messages_per_second: f64) -> Self {
        Self {
            messages_per_second,
            sent: 0,
            received: 0,
        }
    }

    pub(crate) fn advance(&mut self, seconds: f64, rng: &mut impl Rng) {
        self.sent += poisson(self.messages_per_second * seconds, rng);
        self.received += poisson(self.messages_per_second * seconds, rng);
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.messages_per_second);
    }

    pub(crate) fn emit(&self, emit: &mut Emit<'_>) {
        emit.sample("istio_request_messages_total", self.sent as f64);
        emit.sample("istio_response_messages_total", self.received as f64);
    }
}

impl TcpTraffic {
    pub(crate) fn new(connections_per_second: f64) -> Self {
        Self {
            connections_per_second,
            opened: 0,
            closed: 0,
            sent_bytes: 0,
            received_bytes: 0,
        }
    }

    pub(crate) fn advance(&mut self, seconds: f64, rng: &mut impl Rng) {
        let n = poisson(self.connections_per_second * seconds, rng);
        self.opened += n;
        let open = self.opened - self.closed;
        self.closed += open.saturating_sub(4);
        self.sent_bytes += poisson(self.connections_per_second * seconds * 4_000.0, rng);
        self.received_bytes += poisson(self.connections_per_second * seconds * 900.0, rng);
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.connections_per_second);
    }

    pub(crate) fn emit(&self, emit: &mut Emit<'_>) {
        emit.sample("istio_tcp_connections_opened_total", self.opened as f64);
        emit.sample("istio_tcp_connections_closed_total", self.closed as f64);
        emit.sample("istio_tcp_sent_bytes_total", self.sent_bytes as f64);
        emit.sample("istio_tcp_received_bytes_total", self.received_bytes as f64);
    }
}

/// Emits the 22 series of a histogram.
pub(crate) fn emit_histogram(emit: &mut Emit<'_>, names: HistogramNames, histogram: &Histogram) {
    let cumulative = histogram.cumulative();
    for (le, count) in ISTIO_LE.into_iter().zip(cumulative) {
        emit.bucket(names.bucket, le, count);
    }
    emit.sample(names.sum, histogram.sum());
    emit.sample(names.count, cumulative[19]);
}

/// How many events of a given expectation happen.
pub(crate) fn poisson(expected: f64, rng: &mut impl Rng) -> u64 {
    if expected <= 0.0 {
        return 0;
    }
    match Poisson::new(expected) {
        Ok(events) => events.sample(rng) as u64,
        Err(_) => rng.random_range(0..=1),
    }
}
