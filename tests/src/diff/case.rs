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
    /// How the request is worded.
    pub wording: Wording,
}

/// How a request says what it asks: the same thing in many ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wording {
    /// Where the parameters stand.
    pub method: Method,
    /// How times are written.
    pub time: TimeForm,
    /// How the step is written.
    pub step: StepForm,
}

/// Where the parameters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// In the body of a POST.
    #[default]
    Post,
    /// In the URL of a GET.
    Get,
    /// The query in the body of a POST, all else in its URL.
    Both,
}

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeForm {
    /// `1600000000.5`
    #[default]
    Seconds,
    /// `1.6000000005e+09`
    Exponent,
    /// With digits below the millisecond.
    Finer,
    /// `2020-09-13T12:26:40.5Z`
    Date,
    /// The same in a zone of its own: `2020-09-13T14:56:40.500+02:30`.
    ZonedDate,
}

/// How the step is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepForm {
    /// `90.5`
    #[default]
    Seconds,
    /// `1m30s500ms`
    Duration,
    /// `9.05e1`
    Exponent,
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
            wording: self.wording,
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
        let time = |ms: i64| self.wording.time.write(ms);
        let mut fields = vec![field("query", self.text.clone())];
        let (path, lookback) = match &self.evaluation {
            Evaluation::Instant { time_ms, lookback } => {
                fields.push(field("time", time(*time_ms)));
                ("/api/v1/query", lookback)
            }
            Evaluation::Range {
                start_ms,
                end_ms,
                step_ms,
                lookback,
            } => {
                fields.push(field("start", time(*start_ms)));
                fields.push(field("end", time(*end_ms)));
                fields.push(field("step", self.wording.step.write(*step_ms)));
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
        if self.wording.method == Method::Post {
            write!(f, "{path}")?;
        } else {
            write!(f, "{:?} {path}", self.wording.method)?;
        }
        for (name, value) in fields {
            write!(f, "\n    {name}={value}")?;
        }
        Ok(())
    }
}

impl TimeForm {
    fn write(self, ms: i64) -> String {
        match self {
            Self::Seconds => seconds(ms),
            Self::Exponent => format!("{:e}", ms as f64 / 1_000.0),
            Self::Finer => format!("{}{}", thousandths(ms), "4"),
            Self::Date => date(ms, 0),
            Self::ZonedDate => date(ms, 150),
        }
    }
}

impl StepForm {
    fn write(self, ms: i64) -> String {
        match self {
            Self::Seconds => seconds(ms),
            Self::Duration => {
                let parts = [(ms / 60_000, "m"), (ms / 1_000 % 60, "s"), (ms % 1_000, "ms")];
                let parts = parts.iter().filter(|(count, _)| *count > 0);
                parts.map(|(count, unit)| format!("{count}{unit}")).collect()
            }
            Self::Exponent => format!("{:e}", ms as f64 / 1_000.0),
        }
    }
}

/// RFC 3339, so many minutes east of Greenwich.
fn date(ms: i64, offset_minutes: i64) -> String {
    let local_ms = ms + offset_minutes * 60_000;
    let (days, ms_of_day) = (local_ms.div_euclid(86_400_000), local_ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute, rest_ms) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60, ms_of_day % 60_000);
    let zone = if offset_minutes == 0 {
        "Z".to_owned()
    } else {
        format!("+{:02}:{:02}", offset_minutes / 60, offset_minutes % 60)
    };
    let (second, fraction) = (rest_ms / 1_000, rest_ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}{zone}")
}

/// Year, month and day of a day after 1970, counted year by year.
fn civil(mut days: i64) -> (i64, i64, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + i64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// Milliseconds as seconds with three digits after the point.
fn thousandths(ms: i64) -> String {
    format!(
        "{}{}.{:03}",
        if ms < 0 { "-" } else { "" },
        ms.abs() / 1_000,
        ms.abs() % 1_000
    )
}

/// Milliseconds as the API takes them.
fn seconds(ms: i64) -> String {
    if ms % 1_000 == 0 {
        (ms / 1_000).to_string()
    } else {
        thousandths(ms)
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

    #[test]
    fn times_have_many_forms() {
        let ms = 1_709_164_799_500;
        assert_eq!(TimeForm::Date.write(ms), "2024-02-28T23:59:59.500Z");
        assert_eq!(TimeForm::ZonedDate.write(ms), "2024-02-29T02:29:59.500+02:30");
        assert_eq!(TimeForm::Exponent.write(ms), "1.7091647995e9");
        assert_eq!(TimeForm::Finer.write(ms), "1709164799.5004");
        assert_eq!(StepForm::Duration.write(90_500), "1m30s500ms");
        assert_eq!(StepForm::Exponent.write(90_500), "9.05e1");
    }
}
