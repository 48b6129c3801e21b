//! One query with its time: what is sent to both servers.

use std::fmt;

use super::query::Expr;
use super::stability::{Stability, stability};

/// The time that the data covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First sample, milliseconds since the epoch.
    pub start_ms: i64,
    /// Just after the last sample.
    pub end_ms: i64,
}

/// A query under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The query as sent.
    pub text: String,
    /// Its tree; none where the text is spoilt.
    pub expr: Option<Expr>,
    /// When it is evaluated.
    pub evaluation: Evaluation,
}

/// When a query is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evaluation {
    /// At one time.
    Instant {
        /// Milliseconds since the epoch.
        time_ms: i64,
        /// The parameter `lookback_delta`.
        lookback: Option<String>,
    },
    /// At many.
    Range {
        /// First time.
        start_ms: i64,
        /// No time after this.
        end_ms: i64,
        /// Distance of times.
        step_ms: i64,
        /// The parameter `lookback_delta`.
        lookback: Option<String>,
    },
    /// Parameters as they are, the query among them; some are wrong.
    Raw {
        /// Path of the API.
        path: &'static str,
        /// Form fields.
        fields: Vec<(String, String)>,
    },
}

impl Case {
    /// The same evaluation of another expression.
    #[must_use]
    pub fn with_expr(&self, expr: Expr) -> Self {
        Self {
            text: expr.to_string(),
            expr: Some(expr),
            evaluation: self.evaluation.clone(),
        }
    }

    /// How far its answer is laid down; without a tree, it is known to be wholly.
    #[must_use]
    pub fn stability(&self) -> Stability {
        self.expr.as_ref().map_or(Stability::Exact, stability)
    }

    /// Path and form fields of the request.
    #[must_use]
    pub fn request(&self) -> (&'static str, Vec<(String, String)>) {
        let field = |name: &str, value: String| (name.to_owned(), value);
        let mut fields = vec![field("query", self.text.clone())];
        let (path, lookback) = match &self.evaluation {
            Evaluation::Instant { time_ms, lookback } => {
                fields.push(field("time", seconds(*time_ms)));
                ("/api/v1/query", lookback)
            }
            Evaluation::Range {
                start_ms,
                end_ms,
                step_ms,
                lookback,
            } => {
                fields.push(field("start", seconds(*start_ms)));
                fields.push(field("end", seconds(*end_ms)));
                fields.push(field("step", seconds(*step_ms)));
                ("/api/v1/query_range", lookback)
            }
            Evaluation::Raw { path, fields } => return (path, fields.clone()),
        };
        fields.extend(lookback.iter().map(|text| field("lookback_delta", text.clone())));
        (path, fields)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, fields) = self.request();
        write!(f, "{path}")?;
        for (name, value) in fields {
            write!(f, "\n    {name}={value}")?;
        }
        Ok(())
    }
}

/// Milliseconds as the API takes them.
fn seconds(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.abs());
    let (whole, rest) = (ms / 1_000, ms % 1_000);
    if rest == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{rest:03}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sent_to_the_millisecond() {
        assert_eq!(seconds(1_500), "1.500");
        assert_eq!(seconds(-2_000), "-2");
        assert_eq!(seconds(61_007), "61.007");
    }
}
