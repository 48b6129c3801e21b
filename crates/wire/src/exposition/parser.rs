//! Reads text expositions line by line: Prometheus text 0.0.4 and what OpenMetrics adds to it.
//!
//! Made for expositions as they are found, so it takes what Prometheus takes and a little more: Envoy's `name{}`,
//! no HELP, no `# EOF`, spaces where they do no harm, a trailing comma in the braces, quoted UTF-8 names. The
//! parser borrows; only text with escapes is copied. A line that cannot be read gives one [`ParseError`] and the
//! next line is tried.

use std::borrow::Cow;

use model::{MetricType, TimestampMs};

mod line;
#[cfg(test)]
mod tests;

use line::Cursor;

/// What the two formats disagree about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// Timestamps are integers in milliseconds; `# EOF` is a comment like others.
    #[default]
    Text,
    /// Timestamps are seconds with decimals; `# EOF` ends the text.
    OpenMetrics,
}

/// What one line says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// `# HELP name text`.
    Help {
        /// The metric family.
        metric_name: Cow<'a, str>,
        /// Its help, unescaped.
        help: Cow<'a, str>,
    },
    /// `# TYPE name type`.
    Type {
        /// The metric family.
        metric_name: Cow<'a, str>,
        /// Its type.
        metric_type: MetricType,
    },
    /// `# UNIT name unit`.
    Unit {
        /// The metric family.
        metric_name: Cow<'a, str>,
        /// Its unit.
        unit: &'a str,
    },
    /// A sample.
    Sample(SampleLine<'a>),
}

/// One sample of a text exposition.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleLine<'a> {
    /// The metric name, never empty.
    pub metric_name: Cow<'a, str>,
    /// Names and values in the order of the line, unescaped; values may be empty, names may repeat.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The value. Any spelling of NaN gives the bits that Prometheus stores for it, `0x7ff8000000000001`.
    pub value: f64,
    /// Milliseconds since the epoch, if the line says so.
    pub timestamp_ms: Option<TimestampMs>,
    /// True when an exemplar follows, which is skipped.
    pub has_exemplar: bool,
}

/// A line that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The events of a text, in order.
#[derive(Debug, Clone)]
pub struct Parser<'a> {
    rest: &'a str,
    dialect: Dialect,
    n_lines: usize,
}

impl<'a> Parser<'a> {
    /// Reads `text`.
    #[must_use]
    pub fn new(text: &'a str, dialect: Dialect) -> Self {
        Self {
            rest: text,
            dialect,
            n_lines: 0,
        }
    }

    fn next_line(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.n_lines += 1;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Event<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.next_line()?;
            if self.dialect == Dialect::OpenMetrics && line == "# EOF" {
                self.rest = "";
                return None;
            }
            let event = Cursor::new(line).event(self.dialect);
            match event {
                Ok(Some(event)) => return Some(Ok(event)),
                Ok(None) => {}
                Err(what) => {
                    return Some(Err(ParseError {
                        line: self.n_lines,
                        what,
                    }));
                }
            }
        }
    }
}
