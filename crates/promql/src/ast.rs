//! The tree of a parsed query. Every node knows where it stands in the text.
//!
//! Built by the parser, which has already checked types: a tree that exists is well typed. Names follow
//! Prometheus' `promql/parser/ast.go`.

use std::fmt;

use model::{Matcher, TimestampMs};

/// Bytes of the query text, half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// Both in bytes. The parser refuses texts whose positions do not fit.
    pub(crate) fn of_bytes(start: usize, end: usize) -> Self {
        let narrow = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
        Self {
            start: narrow(start),
            end: narrow(end),
        }
    }

    /// From the start of this to the end of `last`.
    #[must_use]
    pub fn to(self, last: Self) -> Self {
        Self {
            start: self.start,
            end: last.end,
        }
    }

    /// The part of `text` it stands for; empty when it lies outside.
    #[must_use]
    pub fn of(self, text: &str) -> &str {
        let widen = |position: u32| usize::try_from(position).unwrap_or(usize::MAX);
        text.get(widen(self.start)..widen(self.end)).unwrap_or_default()
    }
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// A text.
    String,
    /// At most one sample per series and step.
    Vector,
    /// A window of samples per series and step.
    Matrix,
}

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `1`, `0x1f`, `Inf`, `1h30m`.
    Number(f64),
    /// `"text"`.
    String(String),
    /// `metric{label="value"} offset 5m @ 0`.
    Selector(VectorSelector),
    /// `selector[5m]`.
    Range(MatrixSelector),
    /// `expr[1h:5m]`.
    Subquery(Subquery),
    /// `function(arguments)`.
    Call(Call),
    /// `sum by (label) (expr)`.
    Aggregate(Aggregate),
    /// `left op right`.
    Binary(Box<Binary>),
    /// `-expr`; a minus before a number is part of the number.
    Negate(Box<Expr>),
    /// `+expr`: the same values, but no plain selector any more for functions that look for one.
    Plus(Box<Expr>),
    /// `(expr)`; kept, so that positions and printing are right.
    Paren(Box<Expr>),
}

/// An instant vector selector, or the inner part of a range selector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorSelector {
    /// The metric name when it was written before the braces; also the first of `matchers`. A quoted name inside the
    /// braces, `{"name"}`, is only a matcher.
    pub name: Option<String>,
    /// All matchers, that on `__name__` included, in order of writing.
    pub matchers: Vec<Matcher>,
    /// `offset` and `@`.
    pub shift: Shift,
    /// `anchored` or `smoothed`.
    pub extended: Option<Extended>,
}

/// The experimental range modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extended {
    /// Uses the sample before the window as it is.
    Anchored,
    /// Interpolates at the window's ends.
    Smoothed,
}

/// When a selector or subquery is evaluated, relative to the step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shift {
    /// `offset`; negative looks ahead.
    pub offset: Option<DurationExpr>,
    /// `@`.
    pub at: Option<At>,
}

/// The time after `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// A fixed time.
    Timestamp(TimestampMs),
    /// `start()`: the first step of the query.
    Start,
    /// `end()`: the last step of the query.
    End,
}

/// A duration, plain or computed. `step()` and `range()` are known only when the query is run.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of duration expression. All values are in seconds until [`DurationExpr::evaluate_ms`].
#[derive(Debug, Clone, PartialEq)]
pub enum DurationKind {
    /// Seconds: `5m`, `300`, `-1.5`.
    Literal(f64),
    /// The step of the query; 0 in an instant query.
    Step,
    /// The length of the query, end − start.
    Range,
    /// The smaller of two.
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// The larger of two.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `-d`.
    Negate(Box<DurationExpr>),
    /// `(d)`.
    Paren(Box<DurationExpr>),
    /// `left op right`; only arithmetic operators.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
}

/// `selector[range]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// The selector; carries offset and `@`.
    pub selector: VectorSelector,
    /// Where the selector stands, without the brackets.
    pub selector_span: Span,
    /// The length of the window.
    pub range: DurationExpr,
}

/// `expr[range:step]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Box<Expr>,
    /// The length of the window.
    pub range: DurationExpr,
    /// The distance of evaluations; the engine's default if absent.
    pub step: Option<DurationExpr>,
    /// `offset` and `@`.
    pub shift: Shift,
}

/// A function call. The number and types of arguments have been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static crate::function::Function,
    /// Its arguments, as written.
    pub arguments: Vec<Expr>,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which one.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Box<Expr>,
    /// The parameter of topk, bottomk, quantile, count_values, limitk, limit_ratio.
    pub parameter: Option<Box<Expr>>,
    /// How series are grouped.
    pub grouping: Grouping,
}

/// `by (labels)` or `without (labels)`. No clause at all is `by ()`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grouping {
    /// `without` instead of `by`.
    pub without: bool,
    /// The labels, as written.
    pub labels: Vec<String>,
}

/// The aggregations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are PromQL's own")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

/// A binary operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub left: Expr,
    /// Right operand.
    pub right: Expr,
    /// `bool` was written: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How series of two vectors find each other; `None` unless both operands are vectors.
    pub matching: Option<VectorMatching>,
}

/// The binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are PromQL's own")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    And,
    Or,
    Unless,
    /// `</`: keep the part of a histogram below.
    TrimUpper,
    /// `>/`: keep the part of a histogram above.
    TrimLower,
}

/// How the series of two vectors are matched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorMatching {
    /// One-to-one, many-to-one (`group_left`), one-to-many (`group_right`), many-to-many (set operators).
    pub cardinality: Cardinality,
    /// `on` instead of `ignoring`.
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// The labels in `group_left(…)` or `group_right(…)`.
    pub include: Vec<String>,
    /// `fill` or `fill_left`: the value for a missing left side.
    pub fill_left: Option<f64>,
    /// `fill` or `fill_right`: the value for a missing right side.
    pub fill_right: Option<f64>,
}

/// How many series of each side may match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(missing_docs, reason = "the names are PromQL's own")]
pub enum Cardinality {
    #[default]
    OneToOne,
    ManyToOne,
    OneToMany,
    ManyToMany,
}

impl ValueType {
    /// The word Prometheus uses in its messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }
}

impl Expr {
    /// What the expression evaluates to.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Range(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => inner.value_type(),
            ExprKind::Binary(binary) => match (binary.left.value_type(), binary.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
        }
    }

    /// The expression inside any parentheses around it.
    #[must_use]
    pub fn unparenthesized(&self) -> &Self {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }
}

impl BinaryOp {
    /// `== != > < >= <=`.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(
            self,
            Equal | NotEqual | Greater | Less | GreaterOrEqual | LessOrEqual
        )
    }

    /// `and or unless`.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// As written in a query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterOrEqual => ">=",
            Self::LessOrEqual => "<=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }
}

impl AggregateOp {
    /// True when a parameter stands before the expression.
    #[must_use]
    pub fn has_parameter(self) -> bool {
        use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Quantile, Topk};
        matches!(
            self,
            Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio
        )
    }

    /// Only with experimental functions enabled.
    #[must_use]
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }

    /// As written in a query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        })
    }
}

impl fmt::Display for BinaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for AggregateOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
