//! What a script can say.

use model::{Labels, TimestampMs};

use super::Point;

/// One command and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its first line, counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: CommandKind,
}

/// The kinds of command.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandKind {
    /// Empties the storage.
    Clear,
    /// Adds samples.
    Load(Load),
    /// Asks, and says what must come back.
    Eval(Box<Eval>),
}

/// Samples to add.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Distance of two points; the first is at 0.
    pub step_ms: i64,
    /// Add a native histogram with custom buckets for every classic one, too.
    pub with_nhcb: bool,
    /// The series.
    pub series: Vec<LoadSeries>,
}

/// Samples of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSeries {
    /// Its labels, name included.
    pub labels: Labels,
    /// One point per step, gaps included.
    pub points: Vec<Point>,
    /// Start timestamps, as milliseconds from the point they belong to, parallel to `points`; `None` where there is none.
    /// Empty without a line `name{…}@st …` before it.
    pub start_offsets_ms: Vec<Option<i64>>,
}

/// A query and its expectations.
#[derive(Debug, Clone, PartialEq)]
pub struct Eval {
    /// PromQL.
    pub query: String,
    /// When it is evaluated.
    pub times: Times,
    /// Series must come in the order of the lines.
    pub ordered: bool,
    /// It must fail, with these words if some are given.
    pub fail: Option<Words>,
    /// Annotations that must or must not come.
    pub annotations: Vec<Annotation>,
    /// The result.
    pub expected: Expected,
}

/// When a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once.
    Instant {
        /// Then.
        time_ms: TimestampMs,
    },
    /// At every step.
    Range {
        /// First step.
        start_ms: TimestampMs,
        /// Not after this.
        end_ms: TimestampMs,
        /// Distance.
        step_ms: i64,
    },
}

/// Which text a message must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// Anything.
    Any,
    /// Exactly this.
    Message(String),
    /// This regular expression somewhere in it.
    Regex(String),
}

/// An expectation on warnings or infos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// A warning; else an info.
    pub is_warning: bool,
    /// The words it must have; `None`: there must be no annotation of that level.
    pub words: Option<Words>,
}

/// What a query must answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// One number.
    Scalar(f64),
    /// A text.
    String(String),
    /// Series: one point each for an instant query, one per step for a range.
    Series(Vec<ExpectedSeries>),
    /// Series of an instant query that answers with a range vector: points from `start_ms` on, `step_ms` apart.
    RangeVector {
        /// Time of the first point.
        start_ms: TimestampMs,
        /// Distance of the points.
        step_ms: i64,
        /// The series.
        series: Vec<ExpectedSeries>,
    },
}

/// One series of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedSeries {
    /// Its labels, name included.
    pub labels: Labels,
    /// Its points, gaps included.
    pub points: Vec<Point>,
}
