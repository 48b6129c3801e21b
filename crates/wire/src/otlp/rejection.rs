//! Why a data point is not taken.

use std::fmt;

/// A reason that lies in the point itself. What the store refuses comes on top of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// Counts since the last report instead of since the start.
    Delta,
    /// A sum or histogram that does not say what its counts are relative to.
    NoTemporality,
    /// Neither an integer nor a float, nor a mark that there is none.
    NoValue,
    /// A time of 0.
    NoTime,
    /// The buckets do not fit the bounds, or the bounds are not in order.
    BrokenBuckets,
    /// An exponential histogram coarser than can be kept.
    ScaleTooLow,
    /// Nothing of the metric's name can be used.
    NoName,
    /// From an Envoy that cannot be told from another one.
    SharedInstance,
    /// A metric of no kind: nothing in it could be read.
    NoData,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delta => {
                "delta temporality is not taken (otlp.delta: convert would): set \
                 OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative in SDKs, or \
                 report_counters_as_deltas and report_histograms_as_deltas to false in Envoy"
            }
            Self::NoTemporality => "the aggregation temporality is missing",
            Self::NoValue => "the point has no value",
            Self::NoTime => "the point has no time",
            Self::BrokenBuckets => "bucket counts do not fit the bounds, or the bounds do not ascend",
            Self::ScaleTooLow => "the scale of the exponential histogram is below -4",
            Self::NoName => "nothing of the metric's name can be used",
            Self::SharedInstance => {
                "another Envoy, started later, sends from the same address, so that both would write the same series: \
                 give each of them a service.instance.id with resource_detectors in the configuration of its sink"
            }
            Self::NoData => "the metric has no data that can be read",
        })
    }
}
