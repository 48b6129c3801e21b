//! Parse errors and where in the text they stand.

use std::fmt;

use crate::ast::Span;

/// Why a text is no query. Prints as Prometheus prints it: `LINE:COLUMN: parse error: MESSAGE`.
///
/// Only the first error of a text is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}: parse error: {message}")]
pub struct ParseError {
    /// What is wrong, without the position.
    pub message: String,
    /// The bytes it is about; empty when something is missing.
    pub span: Span,
    /// The start of `span` for a reader.
    pub location: Location,
}

/// A place in a text as people count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// There is no text to point at.
    Unknown,
    /// A line and the byte in it, both counted from 1.
    At {
        /// From 1.
        line: u32,
        /// In bytes, from 1.
        column: u32,
    },
}

impl ParseError {
    /// An error about `span` of `text`.
    pub(crate) fn new(text: &str, span: Span, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span,
            location: Location::of(text, span.start),
        }
    }
}

impl Location {
    /// The place of byte `position` of `text`; a position past the end counts as the end.
    #[must_use]
    pub fn of(text: &str, position: u32) -> Self {
        if text.is_empty() {
            return Self::Unknown;
        }
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(text.len());
        let before = text.as_bytes().get(..position).unwrap_or_default();
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let n_newlines = before.iter().filter(|byte| **byte == b'\n').count();
        Self::At {
            line: count(n_newlines + 1),
            column: count(position - line_start + 1),
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown position"),
            Self::At { line, column } => write!(f, "{line}:{column}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_bytes() {
        let check = |text: &str, position: u32, expected: &str| {
            assert_eq!(
                Location::of(text, position).to_string(),
                expected,
                "{text:?} {position}"
            );
        };
        check("", 0, "unknown position");
        check("a", 0, "1:1");
        check("a", 1, "1:2");
        check("a\nbc", 2, "2:1");
        check("a\nbc", 4, "2:3");
        check("é+", 2, "1:3");
        check("a", 99, "1:2");
    }
}
