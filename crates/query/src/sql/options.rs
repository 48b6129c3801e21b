//! Settings of SQL, and what it is asked.

use std::time::Duration;

use model::TimestampMs;

/// Limits of SQL. Those of time and of all memory together are the engine's.
#[derive(Debug, Clone)]
pub struct SqlOptions {
    /// Statements that run at once; others wait.
    pub max_concurrent: usize,
    /// Bytes that one statement may hold, out of those of all queries.
    pub memory_bytes: usize,
    /// Rows that a statement may give; more is an error, never a part.
    pub result_rows_max: usize,
    /// Bytes of a result as it is written down; the writer has to see to it.
    pub result_bytes_max: usize,
    /// Bytes of the text of a statement.
    pub text_bytes_max: usize,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self {
            max_concurrent: 4,
            memory_bytes: 256 << 20,
            result_rows_max: 1_000_000,
            result_bytes_max: 256 << 20,
            text_bytes_max: 64 << 10,
        }
    }
}

/// A statement to be answered.
#[derive(Debug, Clone)]
pub struct SqlRequest {
    /// One statement.
    pub text: String,
    /// What `now()` is.
    pub now_ms: TimestampMs,
    /// Instead of the engine's timeout, if shorter.
    pub timeout: Option<Duration>,
}
