//! Annotations: what a query says about its result beside the result.
//!
//! The texts are those of Prometheus 3.14, because people search for them and dashboards show them. An annotation here
//! has no position; the evaluator appends ` (line:col)` from the span of the expression it concerns.
//!
//! Invariant: two annotations of equal [`Annotation::key`] are the same to the user and are shown once, merged by
//! [`Annotation::merge`].

mod text;

use model::TimestampMs;

use crate::kernel::histogram::Repair;

/// How serious an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The result is probably not what was asked for.
    Warning,
    /// The result may surprise.
    Info,
}

/// Which operation on native histograms an annotation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

/// One annotation. Metric names are empty when the name has been dropped already, and then left out of the text.
#[derive(Debug, Clone, PartialEq)]
pub enum Annotation {
    /// φ outside of 0 to 1 or NaN.
    InvalidQuantile(f64),
    /// The ratio of limit_ratio outside of −1 to 1.
    InvalidRatio {
        /// As given.
        ratio: f64,
        /// What it was taken for.
        capped: f64,
    },
    /// A series given to a histogram function has no usable `le`.
    BadBucketLabel {
        /// Metric name, may be empty.
        metric: String,
        /// The value of `le`, empty if absent.
        value: String,
    },
    /// Floats and native histograms in one window.
    MixedFloatsHistograms {
        /// Metric name.
        metric: String,
    },
    /// Floats and native histograms in one group of an aggregation.
    MixedFloatsHistogramsAggregation,
    /// Classic buckets and a native histogram under one label set.
    MixedClassicNative {
        /// Metric name, may be empty.
        metric: String,
    },
    /// A rate of a native gauge histogram.
    NativeHistogramNotCounter {
        /// Metric name.
        metric: String,
    },
    /// A delta of a native counter histogram.
    NativeHistogramNotGauge {
        /// Metric name.
        metric: String,
    },
    /// Native histograms of both kinds of schema together.
    MixedExponentialCustom {
        /// Metric name.
        metric: String,
    },
    /// Two native histograms whose buckets cannot be combined.
    IncompatibleBucketLayout {
        /// The operator.
        operator: String,
    },
    /// sort or sort_desc in a range query.
    SortInRangeQuery,
    /// Counter resets that contradict each other.
    CounterResetCollision(HistogramOperation),
    /// A start time before the previous sample.
    StartTimeOverlap {
        /// Metric name.
        metric: String,
        /// How often, counted by merging.
        n_occurrences: u32,
    },
    /// A rate of something whose name is not that of a counter.
    PossibleNonCounter {
        /// Metric name.
        metric: String,
    },
    /// A rate of something whose `__type__` is not that of a counter.
    PossibleNonCounterType {
        /// Metric name.
        metric: String,
        /// The value of `__type__`.
        metric_type: String,
    },
    /// Bucket counts had to be raised.
    ForcedMonotonicity {
        /// Metric name, may be empty.
        metric: String,
        /// Where and by how much, widened by merging.
        repair: Repair,
        /// The first and the last evaluation time.
        from_ms: TimestampMs,
        /// See `from_ms`.
        to_ms: TimestampMs,
        /// How often, counted by merging.
        n_samples: u32,
    },
    /// A binary operation between a float and a native histogram that has no result.
    IncompatibleTypes {
        /// `float` or `histogram`.
        left: &'static str,
        /// The operator.
        operator: &'static str,
        /// `float` or `histogram`.
        right: &'static str,
    },
    /// A native histogram left out of an aggregation.
    HistogramIgnoredInAggregation {
        /// The aggregation.
        aggregation: &'static str,
    },
    /// Native histograms left out of a window that also holds floats.
    HistogramIgnoredInMixedRange {
        /// Metric name.
        metric: String,
    },
    /// Buckets of native histograms with custom bounds were brought together.
    MismatchedCustomBuckets(HistogramOperation),
    /// A quantile of a native histogram with NaN observations has no value.
    NanObservationsQuantileNan {
        /// Metric name, may be empty.
        metric: String,
    },
    /// A quantile of a native histogram with NaN observations is too high.
    NanObservationsQuantileSkewed {
        /// Metric name, may be empty.
        metric: String,
    },
    /// A fraction of a native histogram with NaN observations.
    NanObservationsFraction {
        /// Metric name, may be empty.
        metric: String,
    },
}

impl Annotation {
    /// The annotation of one repaired histogram at one step.
    #[must_use]
    pub fn forced_monotonicity(metric: impl Into<String>, at_ms: TimestampMs, repair: Repair) -> Self {
        Self::ForcedMonotonicity {
            metric: metric.into(),
            repair,
            from_ms: at_ms,
            to_ms: at_ms,
            n_samples: 1,
        }
    }

    /// Whether the metric's name rules out a counter, which rate and increase then annotate; the empty name says
    /// nothing.
    #[must_use]
    pub fn for_rate_of(metric: &str) -> Option<Self> {
        let is_fine = metric.is_empty()
            || ["_total", "_sum", "_count", "_bucket"]
                .iter()
                .any(|suffix| metric.ends_with(suffix));
        (!is_fine).then(|| Self::PossibleNonCounter {
            metric: metric.to_owned(),
        })
    }

    /// How serious it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::PossibleNonCounter { .. }
            | Self::PossibleNonCounterType { .. }
            | Self::ForcedMonotonicity { .. }
            | Self::IncompatibleTypes { .. }
            | Self::HistogramIgnoredInAggregation { .. }
            | Self::HistogramIgnoredInMixedRange { .. }
            | Self::MismatchedCustomBuckets(_)
            | Self::NanObservationsQuantileNan { .. }
            | Self::NanObservationsQuantileSkewed { .. }
            | Self::NanObservationsFraction { .. } => Level::Info,
            _ => Level::Warning,
        }
    }

    /// Takes in another of equal key.
    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (
                Self::ForcedMonotonicity {
                    repair,
                    from_ms,
                    to_ms,
                    n_samples,
                    ..
                },
                Self::ForcedMonotonicity {
                    repair: other_repair,
                    from_ms: other_from_ms,
                    to_ms: other_to_ms,
                    n_samples: n_others,
                    ..
                },
            ) => {
                repair.lowest_bound = repair.lowest_bound.min(other_repair.lowest_bound);
                repair.highest_bound = repair.highest_bound.max(other_repair.highest_bound);
                repair.largest_drop = repair.largest_drop.max(other_repair.largest_drop);
                *from_ms = (*from_ms).min(*other_from_ms);
                *to_ms = (*to_ms).max(*other_to_ms);
                *n_samples = n_samples.saturating_add(*n_others);
            }
            (
                Self::StartTimeOverlap { n_occurrences, .. },
                Self::StartTimeOverlap {
                    n_occurrences: n_others,
                    ..
                },
            ) => *n_occurrences = n_occurrences.saturating_add(*n_others),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
