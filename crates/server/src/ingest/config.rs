//! Settings of ingest.

use wire::Limits;

/// How samples are taken in.
#[derive(Debug, Clone)]
pub struct Config {
    /// Threads that decode requests and resolve their series.
    pub threads: usize,
    /// Requests that may be under way at once, from their head to their answer.
    pub requests_max: usize,
    /// Bytes of all bodies under way together, as sent.
    pub bodies_bytes_max: usize,
    /// How far in the future a sample may be, in milliseconds.
    pub future_max_ms: i64,
    /// How old a sample may be, in milliseconds; `None` for any age.
    pub retention_ms: Option<i64>,
    /// Limits on one request.
    pub limits: Limits,
    /// How OTLP becomes series.
    pub otlp: wire::otlp::Settings,
    /// Which of several identical Prometheus servers are listened to.
    pub ha: crate::ha::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            requests_max: 256,
            bodies_bytes_max: 64 << 20,
            future_max_ms: 600_000,
            retention_ms: None,
            limits: Limits::default(),
            otlp: wire::otlp::Settings::default(),
            ha: crate::ha::Config::default(),
        }
    }
}
