//! How much of everything a request may carry.

/// Upper bounds for one request. A request beyond them is refused, never cut.
///
/// The size limits stop a request before memory is spent on it. The label limits refuse single series, and are
/// looked at only when a series is new: for a known one its bytes have passed already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the body as sent. Default 32 MiB, as in Prometheus.
    pub compressed_bytes: usize,
    /// Bytes of the body after decompression. Default 32 MiB, as in Prometheus.
    pub decompressed_bytes: usize,
    /// Bytes of an OTLP body after decompression. Default 64 MiB, as the protocol recommends.
    pub otlp_bytes: usize,
    /// Series, or metadata messages, in one request. Default 1,000,000; Prometheus sends about 2,000.
    pub series_per_request: usize,
    /// Samples in one request, native histograms included. A sample of 16 bytes can be written in 2, so the size alone would let 16 million
    /// through. Default 2,000,000, about what fits in 32 MiB when every sample has a time and a value.
    pub samples_per_request: usize,
    /// Buckets of all native histograms in one request; each costs 8 bytes of working memory and can be written in one.
    /// Default 4,194,304.
    pub buckets_per_request: usize,
    /// Symbols in one remote-write 2.0 request; each costs 40 bytes of working memory. Default 1,000,000.
    pub symbols_per_request: usize,
    /// Labels of one series, the metric name included. Default 256; Istio's have about 36.
    pub labels_per_series: usize,
    /// Bytes of one label name. Default 1,024.
    pub label_name_bytes: usize,
    /// Bytes of one label value. Default 16,384.
    pub label_value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            compressed_bytes: 32 << 20,
            decompressed_bytes: 32 << 20,
            otlp_bytes: 64 << 20,
            series_per_request: 1_000_000,
            samples_per_request: 2_000_000,
            buckets_per_request: 4 << 20,
            symbols_per_request: 1_000_000,
            labels_per_series: 256,
            label_name_bytes: 1_024,
            label_value_bytes: 16_384,
        }
    }
}
