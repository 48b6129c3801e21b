//! What can go wrong with a query.

use std::time::Duration;

use datafusion_common::DataFusionError;

/// An error of a query, by whose fault it is. `server` maps the variants to HTTP codes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is no query (`bad_data`). The message begins with `line:column: parse error: `, or, about a duration that
    /// has no value, with the first and the last byte of it.
    #[error("{message}")]
    Parse {
        /// What is wrong, and where.
        message: String,
    },
    /// The query cannot be evaluated on this data (`execution`).
    #[error("{message}")]
    Execution {
        /// Prometheus' text where Prometheus has one.
        message: String,
    },
    /// A limit: it took too long (`timeout`).
    #[error("query timed out in {stage}")]
    Timeout {
        /// What it was doing: "query queue", "query execution" or "expression evaluation".
        stage: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The client went away (`canceled`).
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// A limit: too many samples (`execution`).
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples {
        /// The limit.
        limit: u64,
    },
    /// A limit: the result is too large (`execution`).
    #[error("the result has more than {limit} {what}; ask for less, or add LIMIT")]
    ResultTooLarge {
        /// Of what: "rows".
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A limit: not enough memory is left for queries (`execution`).
    #[error("the query needs more memory than is left for queries: {message}")]
    Memory {
        /// What wanted how much.
        message: String,
    },
    /// The environment or the stored data: the store could not be read (`internal`).
    #[error("the store could not be read")]
    Storage(#[from] storage::Error),
    /// Our bug (`internal`).
    #[error("internal error: {message}")]
    Internal {
        /// What was found.
        message: String,
    },
}

impl QueryError {
    /// An [`Self::Execution`] with this text.
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::Execution {
            message: message.into(),
        }
    }

    /// An [`Self::Internal`] with this text.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Internal {
            message: message.into(),
        }
    }
}

/// Operators speak DataFusion's errors; ours travel inside.
impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::internal(other.to_string()),
            },
            DataFusionError::ResourcesExhausted(message) => Self::Memory { message },
            other => Self::internal(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_errors_survive_the_way_through_datafusion() {
        let error = DataFusionError::from(QueryError::TooManySamples { limit: 5 });
        assert!(matches!(
            QueryError::from(error),
            QueryError::TooManySamples { limit: 5 }
        ));
        let memory = DataFusionError::ResourcesExhausted("x".into());
        assert!(matches!(QueryError::from(memory), QueryError::Memory { .. }));
    }
}
