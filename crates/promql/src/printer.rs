//! The tree as text, in Prometheus' formatting. The text parses to the same tree, positions aside.

use std::fmt::{self, Display as _};

use model::{MatchOp, Matcher};

use crate::ast::{
    Aggregate, At, Binary, BinaryOp, Call, Cardinality, DurationExpr, DurationKind, Expr, ExprKind, Grouping,
    MatrixSelector, Shift, Span, Subquery, VectorMatching, VectorSelector,
};
use crate::duration::{DURATION_SECONDS_MAX, ms_to_seconds};
use crate::string_literal::quote;
use crate::token::TokenKind;

type Formatter<'a> = fmt::Formatter<'a>;

/// A node to be printed.
///
/// Without the text it was parsed from, every part is printed so that it reads back as the same tree. With it, as
/// `/api/v1/format_query` does: matchers sorted, numbers as durations where they were written so.
pub(crate) struct Printed<'a, N> {
    pub(crate) node: &'a N,
    pub(crate) text: Option<&'a str>,
}

impl<'a, N> Printed<'a, N> {
    fn with<M>(&self, node: &'a M) -> Printed<'a, M> {
        Printed {
            node,
            text: self.text,
        }
    }

    /// True when a number was written as a duration; not known without the text.
    fn is_duration(&self, span: Span) -> Option<bool> {
        self.text.map(|text| is_duration_text(span.of(text)))
    }
}

/// True when a number is written as a duration: `1h30m`, and not `5400` or `0x1d`.
#[must_use]
pub fn is_duration_text(written: &str) -> bool {
    let digits = written.trim_start_matches(['+', '-', ' ']);
    let is_hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
    !is_hexadecimal && digits.ends_with(['s', 'm', 'h', 'd', 'w', 'y'])
}

macro_rules! printed_without_text {
    ($($node:ty),*) => {$(
        impl fmt::Display for $node {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                Printed { node: self, text: None }.fmt(f)
            }
        }
    )*};
}

printed_without_text!(
    Expr,
    VectorSelector,
    MatrixSelector,
    Subquery,
    Shift,
    DurationExpr,
    Call,
    Aggregate,
    Binary
);

impl fmt::Display for Printed<'_, Expr> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.node.kind {
            ExprKind::Number(value) if self.is_duration(self.node.span) == Some(true) => duration(*value, f),
            ExprKind::Number(value) => number(*value, f),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::Selector(selector) => self.with(selector).fmt(f),
            ExprKind::Range(matrix) => self.with(matrix).fmt(f),
            ExprKind::Subquery(subquery) => self.with(subquery).fmt(f),
            ExprKind::Call(call) => self.with(call).fmt(f),
            ExprKind::Aggregate(aggregate) => self.with(aggregate).fmt(f),
            ExprKind::Binary(binary) => self.with(&**binary).fmt(f),
            ExprKind::Negate(inner) => write!(f, "-{}", self.with(&**inner)),
            ExprKind::Plus(inner) => write!(f, "+{}", self.with(&**inner)),
            ExprKind::Paren(inner) => write!(f, "({})", self.with(&**inner)),
        }
    }
}

impl fmt::Display for Printed<'_, VectorSelector> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.bare(f)?;
        self.modifiers(f)
    }
}

impl fmt::Display for Printed<'_, MatrixSelector> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let selector = self.with(&self.node.selector);
        selector.bare(f)?;
        write!(f, "[{}]", self.with(&self.node.range))?;
        selector.modifiers(f)
    }
}

impl fmt::Display for Printed<'_, Subquery> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.with(&*self.node.expr), SubqueryRange(self))
    }
}

/// The brackets of a subquery and what follows.
pub(crate) struct SubqueryRange<'a, 'b>(pub(crate) &'a Printed<'b, Subquery>);

impl fmt::Display for SubqueryRange<'_, '_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Printed { node, .. } = self.0;
        write!(f, "[{}:", self.0.with(&node.range))?;
        if let Some(step) = &node.step {
            write!(f, "{}", self.0.with(step))?;
        }
        write!(f, "]{}", self.0.with(&node.shift))
    }
}

/// ` @ start() offset 5m`, with the space in front; nothing when there is nothing.
impl fmt::Display for Printed<'_, Shift> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.node.at {
            write!(f, " @ {at}")?;
        }
        if let Some(offset) = &self.node.offset {
            let moves_nothing = matches!(offset.kind, DurationKind::Literal(0.0));
            if self.text.is_some() && moves_nothing {
                return Ok(());
            }
            // Two signs make the parser read operators too, and mean nothing.
            let signs = if reads_short(offset) { "+ +" } else { "" };
            write!(f, " offset {signs}{}", self.with(offset))?;
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

impl fmt::Display for Printed<'_, DurationExpr> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.node.kind {
            DurationKind::Literal(seconds) => literal(*seconds, f),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::MinOf(left, right) => {
                write!(f, "min_of({}, {})", self.operand(left), self.operand(right))
            }
            DurationKind::MaxOf(left, right) => {
                write!(f, "max_of({}, {})", self.operand(left), self.operand(right))
            }
            DurationKind::Negate(inner) => write!(f, "-{}", self.operand(inner)),
            DurationKind::Paren(inner) => write!(f, "({})", self.operand(inner)),
            DurationKind::Binary(op, left, right) => {
                write!(f, "{} {op} ", self.operand(left))?;
                match right.kind {
                    // `1h / 2` reads better than `1h / 2s`.
                    DurationKind::Literal(factor)
                        if self.text.is_none() && !matches!(op, BinaryOp::Add | BinaryOp::Sub) =>
                    {
                        number(factor, f)
                    }
                    _ => write!(f, "{}", self.operand(right)),
                }
            }
        }
    }
}

/// A part of a duration expression, where numbers stay numbers.
struct Operand<'a>(Printed<'a, DurationExpr>);

impl<'a> Printed<'a, DurationExpr> {
    fn operand(&self, node: &'a DurationExpr) -> Operand<'a> {
        Operand(self.with(node))
    }
}

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.node.kind {
            DurationKind::Literal(seconds) => match self.0.is_duration(self.0.node.span) {
                Some(true) => duration(seconds, f),
                Some(false) => number(seconds, f),
                None => self.0.fmt(f),
            },
            _ => self.0.fmt(f),
        }
    }
}

impl fmt::Display for Printed<'_, Call> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.node.function.name)?;
        for (position, argument) in self.node.arguments.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{}", self.with(argument))?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Printed<'_, Aggregate> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Aggregate {
            op,
            expr,
            parameter,
            grouping,
        } = self.node;
        write!(f, "{op}{}(", self.with(grouping))?;
        if let Some(parameter) = parameter {
            write!(f, "{}, ", self.with(&**parameter))?;
        }
        write!(f, "{})", self.with(&**expr))
    }
}

/// ` by (a, b) `, with its spaces; nothing for an empty `by`.
impl fmt::Display for Printed<'_, Grouping> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Grouping { without, labels } = self.node;
        let word = match (without, labels.is_empty()) {
            (true, _) => "without",
            (false, false) => "by",
            (false, true) => return Ok(()),
        };
        write!(f, " {word} ({}) ", self.names(labels))
    }
}

impl fmt::Display for Printed<'_, Binary> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Binary { left, right, .. } = self.node;
        write!(f, "{} {} {}", self.with(left), Operator(self), self.with(right))
    }
}

/// An operator with all that follows it.
pub(crate) struct Operator<'a, 'b>(pub(crate) &'a Printed<'b, Binary>);

impl fmt::Display for Operator<'_, '_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Binary {
            op,
            return_bool,
            matching,
            ..
        } = self.0.node;
        write!(f, "{op}{}", if *return_bool { " bool" } else { "" })?;
        matching
            .as_ref()
            .map_or(Ok(()), |matching| self.0.with(matching).fmt(f))
    }
}

/// ` on (a) group_left (b)`, with the space in front; nothing when nothing has been said.
impl fmt::Display for Printed<'_, VectorMatching> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let matching = self.node;
        let group = match matching.cardinality {
            Cardinality::ManyToOne => Some("left"),
            Cardinality::OneToMany => Some("right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if matching.on || !matching.labels.is_empty() || group.is_some() {
            let word = if matching.on { "on" } else { "ignoring" };
            write!(f, " {word} ({})", self.names(&matching.labels))?;
        }
        if let Some(side) = group {
            write!(f, " group_{side} ({})", self.names(&matching.include))?;
        }
        match (matching.fill_left, matching.fill_right) {
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

impl Printed<'_, VectorSelector> {
    /// A selector without range and modifiers.
    fn bare(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.node.name.as_deref();
        f.write_str(name.unwrap_or_default())?;
        let n_printed = usize::from(name.is_some());
        let in_braces = self.node.matchers.get(n_printed..).unwrap_or_default();
        if in_braces.is_empty() && (name.is_some() || self.text.is_some()) {
            return Ok(());
        }
        let mut matchers: Vec<String> = in_braces.iter().map(matcher_text).collect();
        if self.text.is_some() {
            matchers.sort_unstable();
        }
        write!(f, "{{{}}}", matchers.join(","))
    }

    fn modifiers(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(extended) = self.node.extended {
            write!(f, " {extended}")?;
        }
        self.with(&self.node.shift).fmt(f)
    }
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

fn matcher_text(matcher: &Matcher) -> String {
    let op = match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    let name = matcher.name();
    let value = quote(matcher.value());
    if is_plain_label_name(name) {
        format!("{name}{op}{value}")
    } else {
        format!("{}{op}{value}", quote(name))
    }
}

impl<'a, N> Printed<'a, N> {
    fn names(&self, names: &'a [String]) -> LabelNames<'a> {
        LabelNames {
            names,
            quotes_keywords: self.text.is_none(),
        }
    }
}

/// Label names as lists hold them.
struct LabelNames<'a> {
    names: &'a [String],
    quotes_keywords: bool,
}

impl fmt::Display for LabelNames<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, name) in self.names.iter().enumerate() {
            f.write_str(if position == 0 { "" } else { ", " })?;
            let is_keyword = self.quotes_keywords && !TokenKind::of_word(name).is_label_name();
            if is_plain_label_name(name) && !is_keyword {
                f.write_str(name)?;
            } else {
                f.write_str(&quote(name))?;
            }
        }
        Ok(())
    }
}

/// Seconds as a duration, cut to milliseconds.
fn duration(seconds: f64, f: &mut Formatter<'_>) -> fmt::Result {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let text = model::duration::format_duration_ms(milliseconds(seconds.abs()));
    write!(f, "{sign}{text}")
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
