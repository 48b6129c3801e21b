//! Errors as the Prometheus API answers them: the one table of kinds, words and statuses.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use query::QueryError;

use crate::json;

/// An answer of `status: error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// What is wrong, for a person.
    pub message: String,
}

/// The kinds of errors that the API knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong.
    BadData,
    /// The query cannot be evaluated on this data, or within the limits on samples and memory.
    Execution,
    /// The client went away.
    Canceled,
    /// It took too long.
    Timeout,
    /// Our fault, or the disk's.
    Internal,
    /// Not here, or not switched on.
    Unavailable,
    /// Nothing of what was asked for is known.
    NotFound,
    /// The disk, or a full queue, does not let us. The same request may succeed later.
    NotNow,
}

/// Kind, the word in `errorType`, status. Grafana reads the JSON of 400, 422 and 503 only.
///
/// Source: Prometheus `web/api/v1`, `respondError`.
const KINDS: [(ErrorKind, &str, StatusCode); 8] = [
    (ErrorKind::BadData, "bad_data", StatusCode::BAD_REQUEST),
    (
        ErrorKind::Execution,
        "execution",
        StatusCode::UNPROCESSABLE_ENTITY,
    ),
    (ErrorKind::Canceled, "canceled", CLIENT_CLOSED_REQUEST),
    (ErrorKind::Timeout, "timeout", StatusCode::SERVICE_UNAVAILABLE),
    (ErrorKind::Internal, "internal", StatusCode::INTERNAL_SERVER_ERROR),
    (
        ErrorKind::Unavailable,
        "unavailable",
        StatusCode::INTERNAL_SERVER_ERROR,
    ),
    (ErrorKind::NotFound, "not_found", StatusCode::NOT_FOUND),
    (ErrorKind::NotNow, "unavailable", StatusCode::SERVICE_UNAVAILABLE),
];

/// nginx's number for a client that went away.
const CLIENT_CLOSED_REQUEST: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

impl ErrorKind {
    fn row(self) -> (&'static str, StatusCode) {
        let row = KINDS.iter().find(|(kind, ..)| *kind == self);
        row.map_or(
            ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            |(_, word, status)| (*word, *status),
        )
    }
}

impl ApiError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The request is wrong.
    pub fn bad_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, message)
    }

    /// One parameter is wrong.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter \"{name}\": {reason}"))
    }

    /// Appends what an answer says of it, without the braces.
    pub(crate) fn push_members(&self, json: &mut String) {
        json.push_str(r#""status":"error","errorType":"#);
        json::push_string(json, self.kind.row().0);
        json.push_str(r#","error":"#);
        json::push_string(json, &self.message);
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind.row().1
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match &error {
            QueryError::Parse { message } => return Self::parameter("query", message),
            QueryError::Execution { .. }
            | QueryError::TooManySamples { .. }
            | QueryError::ResultTooLarge { .. }
            | QueryError::Memory { .. } => ErrorKind::Execution,
            QueryError::Timeout { .. } => ErrorKind::Timeout,
            QueryError::Canceled => ErrorKind::Canceled,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<storage::Error> for ApiError {
    fn from(error: storage::Error) -> Self {
        let kind = match &error {
            storage::Error::Io { .. }
            | storage::Error::Unwritable
            | storage::Error::Overloaded { .. }
            | storage::Error::Closed => ErrorKind::NotNow,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, chain(&error))
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut body = String::from("{");
        self.push_members(&mut body);
        body.push('}');
        (status, [(header::CONTENT_TYPE, json::CONTENT_TYPE)], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_kind_has_its_word_and_its_status() {
        let check = |kind: ErrorKind, word: &str, status: u16| {
            assert_eq!(kind.row(), (word, StatusCode::from_u16(status).unwrap()));
        };
        check(ErrorKind::BadData, "bad_data", 400);
        check(ErrorKind::Execution, "execution", 422);
        check(ErrorKind::Canceled, "canceled", 499);
        check(ErrorKind::Timeout, "timeout", 503);
        check(ErrorKind::Internal, "internal", 500);
        check(ErrorKind::Unavailable, "unavailable", 500);
        check(ErrorKind::NotFound, "not_found", 404);
        check(ErrorKind::NotNow, "unavailable", 503);
    }

    #[test]
    fn what_a_disk_refuses_may_be_tried_again() {
        let source = std::io::ErrorKind::StorageFull.into();
        let path = "blocks/1/samples.parquet".into();
        let action = "write";
        let full = storage::Error::Io { action, path, source };
        assert_eq!(
            ApiError::from(full),
            ApiError::new(
                ErrorKind::NotNow,
                "cannot write blocks/1/samples.parquet: no storage space"
            )
        );
        assert_eq!(ApiError::from(storage::Error::Closed).kind, ErrorKind::NotNow);
        let what = "2^32 samples of one series";
        let ours = storage::Error::Unblockable { what };
        assert_eq!(ApiError::from(ours).kind, ErrorKind::Internal);
    }

    #[test]
    fn query_errors_map_to_the_kinds_of_prometheus() {
        let check = |error: QueryError, kind: ErrorKind, message: &str| {
            assert_eq!(ApiError::from(error), ApiError::new(kind, message));
        };
        let message = || "m".to_owned();
        check(
            QueryError::Parse { message: message() },
            ErrorKind::BadData,
            "invalid parameter \"query\": m",
        );
        check(
            QueryError::Execution { message: message() },
            ErrorKind::Execution,
            "m",
        );
        check(
            QueryError::TooManySamples { limit: 1 },
            ErrorKind::Execution,
            "query processing would load too many samples into memory in query execution",
        );
        check(
            QueryError::ResultTooLarge {
                what: "rows",
                limit: 5,
            },
            ErrorKind::Execution,
            "the result has more than 5 rows; ask for less, or add LIMIT",
        );
        check(
            QueryError::Memory { message: message() },
            ErrorKind::Execution,
            "the query needs more memory than is left for queries: m",
        );
        check(
            QueryError::Timeout {
                stage: "query queue",
                limit: Duration::ZERO,
            },
            ErrorKind::Timeout,
            "query timed out in query queue",
        );
        check(
            QueryError::Canceled,
            ErrorKind::Canceled,
            "query was canceled in expression evaluation",
        );
        check(
            QueryError::Storage(storage::Error::Closed),
            ErrorKind::Internal,
            "the store could not be read: the store is closed",
        );
    }
}
