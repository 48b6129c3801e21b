//! Prometheus' test scripts (`.test`): data to load, queries, and what they must answer.
//!
//! A [`Script`] is a list of [`Command`]s in order. Parsing is strict: a line that means nothing is an error with
//! its number.
//!
//! Source: Prometheus `promql/promqltest/README.md`.

mod command;
pub(crate) mod histogram;
mod nhcb;
mod parse;
mod points;
mod series;

pub use command::{
    Annotation, Command, CommandKind, Eval, Expected, ExpectedSeries, Load, LoadSeries, Times, Words,
};
pub use histogram::histogram_literal;
pub use nhcb::{NhcbError, nhcb_series};
pub use parse::parse_script;
pub use points::Point;

/// All commands of one file.
pub type Script = Vec<Command>;

/// A line that is none of the language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ScriptError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}
