//! How the engine is set up, and what it is asked.

use std::time::Duration;

use model::TimestampMs;

use crate::sql::SqlOptions;

/// Settings of an [`Engine`](crate::Engine). The defaults are those of Prometheus, as far as it has them.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How far an instant selector reaches back, in milliseconds.
    pub lookback_ms: i64,
    /// Longest time of a query, waiting included.
    pub timeout: Duration,
    /// Most samples one query may hold: what its selectors and functions of ranges give, summed over steps, and the samples
    /// of one stream.
    pub max_samples: u64,
    /// How many queries run at once; others wait.
    pub max_concurrent: usize,
    /// Bytes that all queries together may hold.
    pub memory_bytes: usize,
    /// The step of `expr[1h:]`, in milliseconds.
    pub default_subquery_step_ms: i64,
    /// Accept experimental functions and modifiers.
    pub experimental: bool,
    /// Keep the metric name until the end of the query, so that an outer `by (__name__)` still sees it
    /// (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Counters begin anew where start timestamps say so, and `start_timestamp()` gives something
    /// (`use-start-timestamps`).
    pub use_start_timestamps: bool,
    /// Selectors of one metric find a histogram in the form they ask for, classic or native, also where the other one is
    /// stored.
    pub either_histogram_form: bool,
    /// Threads that evaluate queries.
    pub threads: usize,
    /// Further limits of SQL.
    pub sql: SqlOptions,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            timeout: Duration::from_secs(120),
            max_samples: 50_000_000,
            max_concurrent: 20,
            memory_bytes: 1 << 30,
            default_subquery_step_ms: 60_000,
            experimental: false,
            delayed_name_removal: false,
            use_start_timestamps: false,
            either_histogram_form: false,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            sql: SqlOptions::default(),
        }
    }
}

/// At which times a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryTimes {
    /// Once.
    Instant {
        /// When.
        time_ms: TimestampMs,
    },
    /// At `start_ms`, `start_ms + step_ms`, … up to and including `end_ms`.
    Range {
        /// The first time.
        start_ms: TimestampMs,
        /// The last time, if a step falls on it.
        end_ms: TimestampMs,
        /// The distance; positive.
        step_ms: i64,
    },
}

/// A query to be answered.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// PromQL.
    pub text: String,
    /// When.
    pub times: QueryTimes,
    /// Instead of [`EngineOptions::lookback_ms`].
    pub lookback_ms: Option<i64>,
    /// Instead of [`EngineOptions::timeout`], if shorter.
    pub timeout: Option<Duration>,
    /// Give back at most so many series, with a warning when there are more.
    pub limit: Option<usize>,
    /// Count samples by step.
    pub per_step_stats: bool,
    /// Tell what the operators did.
    pub explain: bool,
}

impl QueryRequest {
    /// A query at one time, with the engine's settings.
    pub fn instant(text: impl Into<String>, time_ms: TimestampMs) -> Self {
        Self::new(text, QueryTimes::Instant { time_ms })
    }

    /// A query over a range of times, with the engine's settings.
    pub fn range(text: impl Into<String>, start_ms: TimestampMs, end_ms: TimestampMs, step_ms: i64) -> Self {
        Self::new(
            text,
            QueryTimes::Range {
                start_ms,
                end_ms,
                step_ms,
            },
        )
    }

    fn new(text: impl Into<String>, times: QueryTimes) -> Self {
        Self {
            text: text.into(),
            times,
            lookback_ms: None,
            timeout: None,
            limit: None,
            per_step_stats: false,
            explain: false,
        }
    }
}
