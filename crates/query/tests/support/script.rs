//! The language of Prometheus' test scripts, float samples only.
//!
//! A script is a list of commands, each with the lines up to the next empty one. What cannot be expressed here (native
//! histograms, start timestamps) is kept as [`Command::Unsupported`], so that a runner can count it.

use model::Labels;
use model::duration::parse_duration_ms;

/// One command of a script.
#[derive(Debug)]
pub(crate) enum Command {
    /// Forget all samples.
    Clear,
    /// Add samples: series and values by time.
    Load(Vec<(Labels, Vec<(i64, f64)>)>),
    /// Ask and compare.
    Eval(Eval),
    /// Something this runner does not know.
    Unsupported,
}

/// A query and what it must give.
#[derive(Debug, Clone)]
pub(crate) struct Eval {
    /// Line of the script, from 1.
    pub(crate) line: usize,
    /// PromQL.
    pub(crate) query: String,
    /// Start, end and step in ms; step 0 is an instant query.
    pub(crate) times: (i64, i64, i64),
    /// What comes out.
    pub(crate) expected: Vec<Expected>,
    /// Must fail, with this text if there is one.
    pub(crate) fails: Option<Option<String>>,
    /// Annotations that must come, and whether others may: `warn`, `info`, `no_warn`, `no_info`.
    pub(crate) annotations: Vec<(String, Option<String>)>,
    /// The order matters.
    pub(crate) is_ordered: bool,
    /// The expected string.
    pub(crate) text: Option<String>,
    /// The expected points of a range vector: start, step.
    pub(crate) range_vector: Option<(i64, i64)>,
}

/// One line of a result.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    /// A lone number.
    Scalar(f64),
    /// Labels and one value per step, `None` where there must be none.
    Series(Labels, Vec<Option<f64>>),
}

/// The commands of a script.
pub(crate) fn parse(text: &str) -> Vec<Command> {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| {
            if line.trim_start().starts_with('#') {
                ""
            } else {
                line.trim()
            }
        })
        .collect();
    let mut commands = Vec::new();
    let mut position = 0;
    while position < lines.len() {
        let head = lines[position];
        let begin = position;
        position += 1;
        if head.is_empty() {
            continue;
        }
        while position < lines.len() && !lines[position].is_empty() {
            position += 1;
        }
        let block = &lines[begin + 1..position];
        let word = head.split_whitespace().next().unwrap_or_default().to_lowercase();
        let command = match word.as_str() {
            "clear" => Some(Command::Clear),
            "load" | "load_with_nhcb" => load(head, block),
            word if word.starts_with("eval") => eval(begin + 1, head, block).map(Command::Eval),
            _ => None,
        };
        if word == "clear" {
            // Stands alone whatever follows.
            position = begin + 1;
        }
        commands.push(command.unwrap_or(Command::Unsupported));
    }
    commands
}

fn load(head: &str, block: &[&str]) -> Option<Command> {
    let step_ms = duration(head.split_whitespace().nth(1)?)?;
    let mut series = Vec::new();
    for line in block {
        if line.contains("@st") {
            continue;
        }
        let (labels, points) = series_line(&without_histograms(line))?;
        let samples = (0..)
            .zip(points)
            .filter_map(|(idx, value)| Some((idx * step_ms, value?)));
        series.push((labels, samples.collect()));
    }
    Some(Command::Load(series))
}

fn eval(line: usize, head: &str, block: &[&str]) -> Option<Eval> {
    let mut words = head.splitn(3, char::is_whitespace);
    let word = words.next()?.to_lowercase();
    let kind = words.next()?;
    let rest = words.next()?.trim();
    let (times, query) = if kind == "instant" {
        match rest.strip_prefix("at ") {
            Some(rest) => {
                let (time, query) = rest.trim().split_once(char::is_whitespace)?;
                let time_ms = duration(time)?;
                ((time_ms, time_ms, 0), query)
            }
            None => ((0, 0, 0), rest),
        }
    } else {
        let rest = rest.strip_prefix("from ")?;
        let (from, rest) = rest.split_once(" to ")?;
        let (to, rest) = rest.split_once(" step ")?;
        let (step, query) = rest.trim().split_once(char::is_whitespace)?;
        (
            (duration(from.trim())?, duration(to.trim())?, duration(step)?),
            query,
        )
    };
    let mut eval = Eval {
        line,
        query: query.trim().to_owned(),
        times,
        expected: Vec::new(),
        fails: (word == "eval_fail").then_some(None),
        annotations: Vec::new(),
        is_ordered: word == "eval_ordered",
        text: None,
        range_vector: None,
    };
    match word.as_str() {
        "eval_warn" => eval.annotations.push(("warn".into(), None)),
        "eval_info" => eval.annotations.push(("info".into(), None)),
        _ => {}
    }
    for line in block {
        eval.read_line(line)?;
    }
    Some(eval)
}

impl Eval {
    fn read_line(&mut self, line: &str) -> Option<()> {
        if let Some(rest) = line.strip_prefix("expect ") {
            return self.read_expectation(rest.trim());
        }
        if let Some(message) = line.strip_prefix("expected_fail_message ") {
            self.fails = Some(Some(message.trim().to_owned()));
            return Some(());
        }
        if line.starts_with("expected_fail_regexp") {
            return Some(());
        }
        if line.contains("{{") {
            return None;
        }
        if let Some(number) = number(line) {
            self.expected.push(Expected::Scalar(number));
            return Some(());
        }
        let (labels, points) = series_line(line)?;
        self.expected.push(Expected::Series(labels, points));
        Some(())
    }

    fn read_expectation(&mut self, text: &str) -> Option<()> {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let message = rest
            .trim()
            .strip_prefix("msg:")
            .map(|message| message.trim().to_owned());
        match word {
            "fail" => self.fails = Some(message),
            "ordered" => self.is_ordered = true,
            "string" => {
                let quoted = promql::parse(rest, &promql::ParseOptions::ALL).ok()?;
                let promql::ast::ExprKind::String(text) = quoted.kind else {
                    return None;
                };
                self.text = Some(text);
            }
            "range" => {
                let mut words = rest.split_whitespace().skip(2);
                let from = duration(words.next()?)?;
                let step = duration(words.nth(3)?)?;
                self.range_vector = Some((from, step));
            }
            _ => self.annotations.push((word.to_owned(), message)),
        }
        Some(())
    }
}

/// A duration, or a number of seconds.
fn duration(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let seconds = || {
        text.parse::<f64>()
            .ok()
            .map(|seconds| (seconds * 1000.0).round() as i64)
    };
    Some(sign * parse_duration_ms(text).or_else(seconds)?)
}

/// Stands for a native histogram.
const HISTOGRAM: char = '#';

/// The line with every native histogram as one character: no sample to this runner.
fn without_histograms(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        text.push(HISTOGRAM);
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

/// Labels and points of a line like `metric{a="b"} 1 2 _`.
fn series_line(line: &str) -> Option<(Labels, Vec<Option<f64>>)> {
    let end = selector_end(line);
    let (selector, points) = line.split_at(end);
    let selector = selector.trim();
    let pairs: Vec<(String, String)> = if selector == "{}" {
        Vec::new()
    } else {
        let matchers = promql::parse_selector(selector).ok()?;
        let pairs = matchers
            .iter()
            .map(|matcher| (matcher.name().to_owned(), matcher.value().to_owned()));
        pairs.collect()
    };
    let mut values = Vec::new();
    for token in points.split_whitespace() {
        push_points(token, &mut values)?;
    }
    Some((Labels::from_pairs(pairs).ok()?, values))
}

fn selector_end(line: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    let mut in_braces = false;
    for (position, c) in line.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => in_braces = true,
            (None, '}') => return position + 1,
            (None, c) if c.is_whitespace() && !in_braces => {
                // Braces may follow after a space.
                if line[position..].trim_start().starts_with('{') {
                    continue;
                }
                return position;
            }
            _ => {}
        }
    }
    line.len()
}

fn push_points(token: &str, values: &mut Vec<Option<f64>>) -> Option<()> {
    if token == "stale" {
        values.push(Some(model::stale_nan()));
        return Some(());
    }
    if token.starts_with(HISTOGRAM) {
        let n = token.rsplit_once('x').map_or(Some(0), |(_, n)| n.parse().ok())?;
        values.extend(std::iter::repeat_n(None, n + 1));
        return Some(());
    }
    if let Some(rest) = token.strip_prefix('_') {
        let n = rest.strip_prefix('x').map_or(Some(1), |n| n.parse().ok())?;
        values.extend(std::iter::repeat_n(None, n));
        return Some(());
    }
    if let Some(number) = number(token) {
        values.push(Some(number));
        return Some(());
    }
    let (base, count) = token.rsplit_once('x')?;
    let count: usize = count.parse().ok()?;
    let (start, increment) = match number(base) {
        Some(start) => (start, 0.0),
        None => split_increment(base)?,
    };
    let mut value = start;
    for _ in 0..=count {
        values.push(Some(value));
        value += increment;
    }
    Some(())
}

/// `0+10` or `1e3-2`: the last sign that is not part of an exponent.
fn split_increment(text: &str) -> Option<(f64, f64)> {
    for (position, c) in text.char_indices().skip(1) {
        if matches!(c, '+' | '-') {
            let (start, increment) = text.split_at(position);
            if let (Some(start), Some(increment)) = (number(start), number(increment)) {
                return Some((start, increment));
            }
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if text.len() > unsigned.len() + 1 {
        return None;
    }
    let value = match unsigned.to_lowercase().as_str() {
        "nan" => f64::NAN,
        "inf" => f64::INFINITY,
        lower if lower.starts_with("0x") => i64::from_str_radix(&lower[2..], 16).ok()? as f64,
        lower if lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') => lower.parse().ok()?,
        _ => return None,
    };
    Some(if text.starts_with('-') { -value } else { value })
}
