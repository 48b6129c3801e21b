//! The tree as text, in Prometheus' formatting. The text parses to the same tree, positions aside.

use std::fmt;

use model::{MatchOp, Matcher};

use crate::ast::{
    Aggregate, At, Binary, BinaryOp, Call, Cardinality, DurationExpr, DurationKind, Expr, ExprKind, Grouping,
    MatrixSelector, Shift, Subquery, VectorMatching, VectorSelector,
};
use crate::duration::{DURATION_SECONDS_MAX, ms_to_seconds};
use crate::string_literal::quote;
use crate::token::TokenKind;

type Formatter<'a> = fmt::Formatter<'a>;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(value) => number(*value, f),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::Selector(selector) => write!(f, "{selector}"),
            ExprKind::Range(matrix) => write!(f, "{matrix}"),
            ExprKind::Subquery(subquery) => write!(f, "{subquery}"),
            ExprKind::Call(call) => write!(f, "{call}"),
            ExprKind::Aggregate(aggregate) => write!(f, "{aggregate}"),
            ExprKind::Binary(binary) => write!(f, "{binary}"),
            ExprKind::Negate(inner) => write!(f, "-{inner}"),
            ExprKind::Plus(inner) => write!(f, "+{inner}"),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl fmt::Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        bare_selector(self, f)?;
        selector_modifiers(self, f)
    }
}

impl fmt::Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        bare_selector(&self.selector, f)?;
        write!(f, "[{}]", self.range)?;
        selector_modifiers(&self.selector, f)
    }
}

impl fmt::Display for Subquery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}:", self.expr, self.range)?;
        if let Some(step) = &self.step {
            write!(f, "{step}")?;
        }
        write!(f, "]{}", self.shift)
    }
}

/// ` @ start() offset 5m`, with the space in front; nothing when there is nothing.
impl fmt::Display for Shift {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, " @ {at}")?;
        }
        if let Some(offset) = &self.offset {
            // Two signs make the parser read operators too, and mean nothing.
            let signs = if reads_short(offset) { "+ +" } else { "" };
            write!(f, " offset {signs}{offset}")?;
        }
        Ok(())
    }
}

/// True when the parser would stop reading this behind its first operand: an operation behind `offset` that does not
/// begin with a parenthesis.
fn reads_short(offset: &DurationExpr) -> bool {
    let mut first = offset;
    if let DurationKind::Negate(inner) = &offset.kind {
        return matches!(inner.kind, DurationKind::Binary(..));
    }
    while let DurationKind::Binary(_, left, _) = &first.kind {
        first = left;
    }
    matches!(offset.kind, DurationKind::Binary(..)) && !matches!(first.kind, DurationKind::Paren(_))
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timestamp(ms) => {
                let (sign, ms) = (if *ms < 0 { "-" } else { "" }, ms.unsigned_abs());
                write!(f, "{sign}{}.{:03}", ms / 1000, ms % 1000)
            }
            Self::Start => f.write_str("start()"),
            Self::End => f.write_str("end()"),
        }
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Literal(seconds) => literal(*seconds, f),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::MinOf(left, right) => write!(f, "min_of({left}, {right})"),
            DurationKind::MaxOf(left, right) => write!(f, "max_of({left}, {right})"),
            DurationKind::Negate(inner) => write!(f, "-{inner}"),
            DurationKind::Paren(inner) => write!(f, "({inner})"),
            DurationKind::Binary(op, left, right) => {
                write!(f, "{left} {op} ")?;
                match right.kind {
                    // `1h / 2` reads better than `1h / 2s`.
                    DurationKind::Literal(factor) if !matches!(op, BinaryOp::Add | BinaryOp::Sub) => {
                        number(factor, f)
                    }
                    _ => write!(f, "{right}"),
                }
            }
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name)?;
        for (position, argument) in self.arguments.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{argument}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}(", self.op, self.grouping)?;
        if let Some(parameter) = &self.parameter {
            write!(f, "{parameter}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

/// ` by (a, b) `, with its spaces; nothing for an empty `by`.
impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = match (self.without, self.labels.is_empty()) {
            (true, _) => "without",
            (false, false) => "by",
            (false, true) => return Ok(()),
        };
        write!(f, " {word} ({}) ", LabelNames(&self.labels))
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let modifier = if self.return_bool { " bool" } else { "" };
        write!(f, "{} {}{modifier}", self.left, self.op)?;
        if let Some(matching) = &self.matching {
            write!(f, "{matching}")?;
        }
        write!(f, " {}", self.right)
    }
}

/// ` on (a) group_left (b)`, with the space in front; nothing when nothing has been said.
impl fmt::Display for VectorMatching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some("left"),
            Cardinality::OneToMany => Some("right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if self.on || !self.labels.is_empty() || group.is_some() {
            let word = if self.on { "on" } else { "ignoring" };
            write!(f, " {word} ({})", LabelNames(&self.labels))?;
        }
        if let Some(side) = group {
            write!(f, " group_{side} ({})", LabelNames(&self.include))?;
        }
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => fill("fill", left, f),
            (left, right) => {
                left.map_or(Ok(()), |value| fill("fill_left", value, f))?;
                right.map_or(Ok(()), |value| fill("fill_right", value, f))
            }
        }
    }
}

fn fill(word: &str, value: f64, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, " {word} (")?;
    number(value, f)?;
    f.write_str(")")
}

/// A selector without range and modifiers.
fn bare_selector(selector: &VectorSelector, f: &mut Formatter<'_>) -> fmt::Result {
    let name = selector.name.as_deref();
    f.write_str(name.unwrap_or_default())?;
    let n_printed = usize::from(name.is_some());
    let in_braces = selector.matchers.get(n_printed..).unwrap_or_default();
    if name.is_some() && in_braces.is_empty() {
        return Ok(());
    }
    f.write_str("{")?;
    for (position, matcher) in in_braces.iter().enumerate() {
        f.write_str(if position == 0 { "" } else { "," })?;
        write_matcher(matcher, f)?;
    }
    f.write_str("}")
}

/// A label set as Prometheus writes it in messages; labels come in the order given.
///
/// ```
/// let labels = [("__name__", "up"), ("net.peer", "x\n")];
/// assert_eq!(promql::label_set(labels), r#"{__name__="up", "net.peer"="x\n"}"#);
/// ```
#[must_use]
pub fn label_set<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let labels = labels.into_iter().map(|(name, value)| {
        let value = quote(value);
        if is_plain_label_name(name) {
            format!("{name}={value}")
        } else {
            format!("{}={value}", quote(name))
        }
    });
    format!("{{{}}}", labels.collect::<Vec<_>>().join(", "))
}

/// True when `name` needs no quotes as a label.
fn is_plain_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn write_matcher(matcher: &Matcher, f: &mut Formatter<'_>) -> fmt::Result {
    let op = match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    let name = matcher.name();
    if is_plain_label_name(name) {
        f.write_str(name)?;
    } else {
        f.write_str(&quote(name))?;
    }
    write!(f, "{op}{}", quote(matcher.value()))
}

fn selector_modifiers(selector: &VectorSelector, f: &mut Formatter<'_>) -> fmt::Result {
    if let Some(extended) = selector.extended {
        write!(f, " {extended}")?;
    }
    write!(f, "{}", selector.shift)
}

/// Label names as lists hold them.
struct LabelNames<'a>(&'a [String]);

impl fmt::Display for LabelNames<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, name) in self.0.iter().enumerate() {
            f.write_str(if position == 0 { "" } else { ", " })?;
            let is_word = is_plain_label_name(name) && TokenKind::of_word(name).is_label_name();
            if is_word {
                f.write_str(name)?;
            } else {
                f.write_str(&quote(name))?;
            }
        }
        Ok(())
    }
}

fn number(value: f64, f: &mut Formatter<'_>) -> fmt::Result {
    let mut text = String::new();
    model::number::push_plain_float(&mut text, value);
    f.write_str(&text)
}

/// Seconds as a duration like `1m30s` when that says it exactly, else as a number.
fn literal(seconds: f64, f: &mut Formatter<'_>) -> fmt::Result {
    let magnitude = seconds.abs();
    if magnitude <= DURATION_SECONDS_MAX {
        let ms = milliseconds(magnitude);
        if ms > 0 && ms_to_seconds(ms.unsigned_abs()).to_bits() == magnitude.to_bits() {
            let sign = if seconds < 0.0 { "-" } else { "" };
            return write!(f, "{sign}{}", model::duration::format_duration_ms(ms));
        }
    }
    number(seconds, f)
}

#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
