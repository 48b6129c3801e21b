//! What can go wrong.

/// Why a series was not registered, or a definition not applied. The catalog is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The labels name no metric.
    #[error("missing metric name (label \"__name__\")")]
    MissingMetricName,
    /// A series has too many labels.
    #[error("{actual} labels, more than the limit of {limit}")]
    TooManyLabels {
        /// Labels of the series, `__name__` included.
        actual: usize,
        /// [`crate::CatalogLimits::labels_per_series_max`].
        limit: usize,
    },
    /// A label name is too long.
    #[error("label name of {actual} bytes ({start:?}…), more than the limit of {limit}")]
    LabelNameTooLong {
        /// The first characters of the name.
        start: String,
        /// Bytes of the name.
        actual: usize,
        /// [`crate::CatalogLimits::label_name_bytes_max`].
        limit: usize,
    },
    /// A label value is too long.
    #[error("value of label {name:?} has {actual} bytes, more than the limit of {limit}")]
    LabelValueTooLong {
        /// The label.
        name: String,
        /// Bytes of the value.
        actual: usize,
        /// [`crate::CatalogLimits::label_value_bytes_max`].
        limit: usize,
    },
    /// There are as many entities as there may be.
    #[error("limit of {limit} label sets reached")]
    TooManyEntities {
        /// [`crate::CatalogLimits::entities_max`].
        limit: u32,
    },
    /// There are as many streams as there may be.
    #[error("limit of {limit} streams (metrics of label sets) reached")]
    TooManyStreams {
        /// [`crate::CatalogLimits::streams_max`].
        limit: u32,
    },
    /// One histogram has as many buckets as it may have.
    #[error("metric {base:?} has reached the limit of {limit} series for one label set")]
    TooManyLanes {
        /// The base metric name.
        base: String,
        /// [`crate::CatalogLimits::lanes_per_stream_max`].
        limit: u16,
    },
    /// There are as many series as numbers for them.
    #[error("limit of {limit} series reached")]
    TooManySeries {
        /// The largest possible number of series.
        limit: u32,
    },
    /// A stored definition leaves out ids before it.
    #[error("{kind} {id} is defined where {expected} comes next")]
    OutOfOrder {
        /// "entity", "stream" or "lane".
        kind: &'static str,
        /// The id of the definition.
        id: u32,
        /// The next free id.
        expected: u32,
    },
    /// A stored definition says something else than an earlier one.
    #[error("{kind} {id} contradicts an earlier definition")]
    Contradiction {
        /// "entity", "stream" or "lane".
        kind: &'static str,
        /// The id of the definition.
        id: u32,
    },
    /// A stored definition refers to something undefined.
    #[error("{kind} {id} is not defined")]
    Undefined {
        /// "entity" or "stream".
        kind: &'static str,
        /// The id referred to.
        id: u32,
    },
    /// A stored definition cannot come from any series.
    #[error("{kind} {id} is impossible: {reason}")]
    Impossible {
        /// "entity", "stream" or "lane".
        kind: &'static str,
        /// The id of the definition.
        id: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
}
