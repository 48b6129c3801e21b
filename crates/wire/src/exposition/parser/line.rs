//! One line of a text exposition.

use std::borrow::Cow;

use model::{MetricType, TimestampMs};

use super::super::escape::is_classic_character;
use super::{Dialect, Event, SampleLine};

/// The NaN that Prometheus stores for a scraped NaN, so that no scrape can forge a staleness marker.
///
/// Source: Prometheus `model/value`, `NormalNaN`.
const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

type Result<T> = std::result::Result<T, &'static str>;

/// Names and values of the labels of a line.
type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// What is left of a line.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    /// What the line says; nothing when it is empty or a comment.
    pub(super) fn event(mut self, dialect: Dialect) -> Result<Option<Event<'a>>> {
        self.skip_blanks();
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.take('#') {
            return self.comment();
        }
        self.sample(dialect).map(|sample| Some(Event::Sample(sample)))
    }

    fn comment(&mut self) -> Result<Option<Event<'a>>> {
        self.skip_blanks();
        let keyword = self.word();
        if !matches!(keyword, "HELP" | "TYPE" | "UNIT") {
            return Ok(None);
        }
        self.skip_blanks();
        let metric_name = if self.rest.starts_with('"') {
            self.quoted()?
        } else {
            Cow::Borrowed(self.name()?)
        };
        if metric_name.is_empty() {
            return Err("metadata without a metric name");
        }
        self.skip_blanks();
        let content = self.rest;
        Ok(Some(match keyword {
            "HELP" => Event::Help {
                metric_name,
                help: unescape(content)?,
            },
            "TYPE" => Event::Type {
                metric_name,
                metric_type: metric_type(content.trim_end_matches([' ', '\t']))?,
            },
            _ => Event::Unit {
                metric_name,
                unit: content,
            },
        }))
    }

    fn sample(&mut self, dialect: Dialect) -> Result<SampleLine<'a>> {
        let mut metric_name = Cow::Borrowed(self.name()?);
        let mut labels = Vec::new();
        self.skip_blanks();
        if self.take('{') {
            self.labels(&mut metric_name, &mut labels)?;
            self.skip_blanks();
        }
        if metric_name.is_empty() {
            return Err("sample without a metric name");
        }
        let value = parse_value(self.word())?;
        self.skip_blanks();
        let timestamp_ms = match self.rest.chars().next() {
            None | Some('#') => None,
            Some(_) => Some(parse_timestamp(self.word(), dialect)?),
        };
        self.skip_blanks();
        let has_exemplar = self.take('#');
        if has_exemplar {
            self.exemplar(dialect)?;
        }
        if !self.rest.is_empty() {
            return Err("text after the end of the sample");
        }
        Ok(SampleLine {
            metric_name,
            labels,
            value,
            timestamp_ms,
            has_exemplar,
        })
    }

    fn exemplar(&mut self, dialect: Dialect) -> Result<()> {
        self.skip_blanks();
        if !self.take('{') {
            return Err("exemplar without labels");
        }
        self.labels(&mut Cow::Borrowed("exemplar"), &mut Vec::new())?;
        self.skip_blanks();
        parse_value(self.word())?;
        self.skip_blanks();
        if !self.rest.is_empty() {
            parse_timestamp(self.word(), dialect)?;
            self.skip_blanks();
        }
        Ok(())
    }

    /// Reads what stands between the braces, the closing one included. A quoted text without `=` is the metric
    /// name, which must not have been given before the braces.
    fn labels(&mut self, metric_name: &mut Cow<'a, str>, labels: &mut Pairs<'a>) -> Result<()> {
        loop {
            self.skip_blanks();
            if self.take('}') {
                return Ok(());
            }
            let is_quoted = self.rest.starts_with('"');
            let name = if is_quoted {
                self.quoted()?
            } else {
                Cow::Borrowed(self.name()?)
            };
            if name.is_empty() {
                return Err("label without a name");
            }
            self.skip_blanks();
            if self.take('=') {
                self.skip_blanks();
                labels.push((name, self.quoted()?));
            } else if is_quoted && metric_name.is_empty() {
                *metric_name = name;
            } else {
                return Err("label without a value");
            }
            self.skip_blanks();
            if !self.take(',') && !self.rest.starts_with('}') {
                return Err("labels without a comma between them, or without an end");
            }
        }
    }

    /// A classic name; empty when there is none.
    fn name(&mut self) -> Result<&'a str> {
        let mut characters = self.rest.char_indices();
        let end = characters.find(|(position, character)| !is_classic_character(*character, *position));
        let name = self.split(end.map_or(self.rest.len(), |(position, _)| position));
        match self.rest.chars().next() {
            None | Some(' ' | '\t' | '{' | '}' | '=' | ',') => Ok(name),
            Some(_) => Err("character that no name may have without quotes"),
        }
    }

    /// A text in quotes, unescaped.
    fn quoted(&mut self) -> Result<Cow<'a, str>> {
        if !self.take('"') {
            return Err("text without quotes");
        }
        let mut from = 0;
        loop {
            let tail = self.rest.as_bytes().get(from..).unwrap_or_default();
            let position = memchr::memchr2(b'"', b'\\', tail).ok_or("quotes without an end")?;
            if tail.get(position) == Some(&b'"') {
                let content = self.split(from + position);
                self.take('"');
                return unescape(content);
            }
            from += position + 2;
        }
    }

    /// Everything up to a blank or the end.
    fn word(&mut self) -> &'a str {
        let end = self.rest.find([' ', '\t']).unwrap_or(self.rest.len());
        self.split(end)
    }

    fn take(&mut self, character: char) -> bool {
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// Takes the first `n_bytes`, which end between two characters.
    fn split(&mut self, n_bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(n_bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

/// Text with `\\`, `\n` and `\"` resolved. Other escapes stay as they are, as Prometheus leaves them.
fn unescape(text: &str) -> Result<Cow<'_, str>> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            unescaped.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => unescaped.push('\n'),
            Some(escaped @ ('\\' | '"')) => unescaped.push(escaped),
            Some(other) => unescaped.extend(['\\', other]),
            None => return Err("backslash at the end of a text"),
        }
    }
    Ok(Cow::Owned(unescaped))
}

fn metric_type(word: &str) -> Result<MetricType> {
    Ok(match word {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        "unknown" | "untyped" => MetricType::Unknown,
        _ => return Err("unknown metric type"),
    })
}

fn parse_value(word: &str) -> Result<f64> {
    let value: f64 = word.parse().map_err(|_| "value that is no number")?;
    Ok(if value.is_nan() {
        f64::from_bits(NORMAL_NAN_BITS)
    } else {
        value
    })
}

fn parse_timestamp(word: &str, dialect: Dialect) -> Result<TimestampMs> {
    const WRONG: &str = "timestamp that is no time";
    match dialect {
        Dialect::Text => word.parse().map_err(|_| WRONG),
        Dialect::OpenMetrics => {
            let seconds: f64 = word.parse().map_err(|_| WRONG)?;
            let milliseconds = (seconds * 1000.0).round();
            if !(-9e18..=9e18).contains(&milliseconds) {
                return Err(WRONG);
            }
            #[expect(clippy::cast_possible_truncation, reason = "a whole number within the range")]
            Ok(milliseconds as TimestampMs)
        }
    }
}
