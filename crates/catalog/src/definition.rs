//! What the write-ahead log carries so that a restart gives the same ids.

use std::sync::Arc;

use model::{EntityId, Labels, LaneIdx, LaneKind, StreamId};

/// The birth of an entity, a stream or a lane. Everything it refers to is defined before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    /// A label set.
    Entity {
        /// Its row.
        id: EntityId,
        /// Without `__name__`, and without `le` when its first series was a bucket.
        labels: Labels,
    },
    /// An entity under a base metric name.
    Stream {
        /// Its number.
        id: StreamId,
        /// Whose stream.
        entity: EntityId,
        /// The metric name without `_bucket`, `_sum` or `_count`.
        base: Arc<str>,
    },
    /// A series.
    Lane {
        /// Its stream.
        stream: StreamId,
        /// Its position in the stream.
        lane: LaneIdx,
        /// Which part of the stream.
        name: LaneName,
    },
}

/// A [`LaneKind`] that owns its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LaneName {
    /// The metric itself.
    Value,
    /// `<base>_sum`.
    Sum,
    /// `<base>_count`.
    Count,
    /// `<base>_bucket`, with the text of `le`.
    Bucket(Arc<str>),
}

impl LaneName {
    /// The borrowed form.
    #[must_use]
    pub fn kind(&self) -> LaneKind<'_> {
        match self {
            Self::Value => LaneKind::Value,
            Self::Sum => LaneKind::Sum,
            Self::Count => LaneKind::Count,
            Self::Bucket(le) => LaneKind::Bucket(le),
        }
    }
}

impl From<LaneKind<'_>> for LaneName {
    fn from(kind: LaneKind<'_>) -> Self {
        match kind {
            LaneKind::Value => Self::Value,
            LaneKind::Sum => Self::Sum,
            LaneKind::Count => Self::Count,
            LaneKind::Bucket(le) => Self::Bucket(Arc::from(le)),
        }
    }
}
