//! What a metric says about itself.

/// The type of a metric, as Prometheus names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Not said.
    #[default]
    Unknown,
    /// Only grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
    /// Counts in buckets that may shrink.
    GaugeHistogram,
    /// Quantiles computed by the source.
    Summary,
    /// Facts in labels.
    Info,
    /// One state of several.
    StateSet,
}

impl MetricType {
    /// The word of the Prometheus API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// Type, help and unit of one metric family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct MetricMetadata {
    /// The family's name.
    pub metric_name: String,
    /// Its type.
    pub metric_type: MetricType,
    /// Its help text; may be empty.
    pub help: String,
    /// Its unit; may be empty.
    pub unit: String,
}
