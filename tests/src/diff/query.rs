//! The tree of a query under test, as it is written: spellings of numbers, durations and keywords are kept as text.
//!
//! It is deliberately not the tree of the `promql` crate, whose printer and parser are under test themselves.
//! Operands that are operations themselves are written without parentheses unless a [`Expr::Paren`] is there, so
//! the tree of a query need not be the one that a parser finds: the text is what counts.

use std::fmt;

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// A number as written.
    Number(String),
    /// A string as written, quotes included.
    Text(String),
    /// An instant selector.
    Selector(Selector),
    /// `selector[range]`.
    Range(Selector, String),
    /// `expr[range:step]`.
    Subquery(Box<Subquery>),
    /// `function(arguments)`.
    Call(String, Vec<Self>),
    /// `op by (labels) (parameter, expr)`.
    Aggregate(Box<Aggregate>),
    /// `left op right`.
    Binary(Box<Binary>),
    /// `-expr` or `+expr`.
    Sign(char, Box<Self>),
    /// `(expr)`.
    Paren(Box<Self>),
}

/// `metric{matchers} offset … @ …`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// The name before the braces.
    pub metric: Option<String>,
    /// What stands in the braces, each as written.
    pub matchers: Vec<String>,
    /// `offset` and `@`.
    pub shift: Shift,
}

/// `offset` and `@`, each as written after the word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shift {
    /// After `offset`.
    pub offset: Option<String>,
    /// After `@`.
    pub at: Option<String>,
    /// `@` is written before `offset`.
    pub at_first: bool,
}

/// `inner[range:step]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subquery {
    /// What is evaluated.
    pub inner: Expr,
    /// The window.
    pub range: String,
    /// The step; empty for the default.
    pub step: String,
    /// `offset` and `@`.
    pub shift: Shift,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// `sum`, in any case.
    pub op: String,
    /// `by` or `without`.
    pub grouping: Option<Grouping>,
    /// The parameter of `topk` and the like.
    pub parameter: Option<Expr>,
    /// What is aggregated.
    pub inner: Expr,
}

/// `by (labels)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// `by` or `without`, in any case.
    pub word: String,
    /// The labels as written.
    pub labels: Vec<String>,
    /// Written after the argument.
    pub is_last: bool,
}

/// A binary operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// The operator, in any case.
    pub op: String,
    /// `bool` is written.
    pub return_bool: bool,
    /// `on (…)` or `ignoring (…)`.
    pub matching: Option<Matching>,
    /// Left operand.
    pub left: Expr,
    /// Right operand.
    pub right: Expr,
}

/// `on (labels) group_left (include)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    /// `on` or `ignoring`, in any case.
    pub word: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// `group_left` or `group_right` and the labels taken over.
    pub group: Option<(String, Vec<String>)>,
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One number.
    Scalar,
    /// A string.
    Text,
    /// An instant vector.
    Vector,
    /// A range vector.
    Matrix,
}

impl Expr {
    /// What it evaluates to.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Scalar,
            Self::Text(_) => Kind::Text,
            Self::Range(..) | Self::Subquery(_) => Kind::Matrix,
            Self::Call(function, _) if matches!(function.as_str(), "scalar" | "time" | "pi") => Kind::Scalar,
            Self::Selector(_) | Self::Call(..) | Self::Aggregate(_) => Kind::Vector,
            Self::Binary(binary) if binary.left.kind() == Kind::Scalar => binary.right.kind(),
            Self::Binary(_) => Kind::Vector,
            Self::Sign(_, inner) | Self::Paren(inner) => inner.kind(),
        }
    }

    /// The expression inside any parentheses around it.
    #[must_use]
    pub fn unparenthesized(&self) -> &Self {
        match self {
            Self::Paren(inner) => inner.unparenthesized(),
            other => other,
        }
    }

    /// The expressions directly below.
    #[must_use]
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Selector(_) | Self::Range(..) => Vec::new(),
            Self::Subquery(subquery) => vec![&subquery.inner],
            Self::Call(_, arguments) => arguments.iter().collect(),
            Self::Aggregate(aggregate) => aggregate.parameter.iter().chain([&aggregate.inner]).collect(),
            Self::Binary(binary) => vec![&binary.left, &binary.right],
            Self::Sign(_, inner) | Self::Paren(inner) => vec![inner],
        }
    }

    /// As [`children`](Self::children), to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Selector(_) | Self::Range(..) => Vec::new(),
            Self::Subquery(subquery) => vec![&mut subquery.inner],
            Self::Call(_, arguments) => arguments.iter_mut().collect(),
            Self::Aggregate(aggregate) => {
                let parameter = aggregate.parameter.iter_mut();
                parameter.chain([&mut aggregate.inner]).collect()
            }
            Self::Binary(binary) => vec![&mut binary.left, &mut binary.right],
            Self::Sign(_, inner) | Self::Paren(inner) => vec![inner],
        }
    }

    /// Number of expressions in it, itself included.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        1 + self.children().into_iter().map(Self::n_nodes).sum::<usize>()
    }

    /// True if `test` holds for it or anything below.
    pub fn any(&self, test: &mut impl FnMut(&Self) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }

    /// True where a postfix (`[…]`) or prefix would bind to a part of it only.
    fn is_loose(&self) -> bool {
        matches!(self, Self::Binary(_) | Self::Sign(..))
            || matches!(self, Self::Number(text) if text.starts_with(['-', '+']))
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(text) | Self::Text(text) => f.write_str(text),
            Self::Selector(selector) => write!(f, "{}{}", selector.bare(), selector.shift),
            Self::Range(selector, range) => write!(f, "{}[{range}]{}", selector.bare(), selector.shift),
            Self::Subquery(subquery) => {
                let Subquery {
                    inner,
                    range,
                    step,
                    shift,
                } = &**subquery;
                if inner.is_loose() {
                    write!(f, "({inner})[{range}:{step}]{shift}")
                } else {
                    write!(f, "{inner}[{range}:{step}]{shift}")
                }
            }
            Self::Call(function, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(Self::to_string).collect();
                write!(f, "{function}({})", arguments.join(", "))
            }
            Self::Aggregate(aggregate) => write!(f, "{aggregate}"),
            Self::Binary(binary) => write!(f, "{binary}"),
            Self::Sign(sign, inner) if matches!(**inner, Self::Sign(..)) => write!(f, "{sign}({inner})"),
            Self::Sign(sign, inner) => write!(f, "{sign}{inner}"),
            Self::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Selector {
    /// Without `offset` and `@`.
    fn bare(&self) -> String {
        let metric = self.metric.as_deref().unwrap_or_default();
        if self.matchers.is_empty() && self.metric.is_some() {
            metric.to_owned()
        } else {
            format!("{metric}{{{}}}", self.matchers.join(","))
        }
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset.as_ref().map(|offset| format!(" offset {offset}"));
        let at = self.at.as_ref().map(|at| format!(" @ {at}"));
        let (first, second) = if self.at_first { (at, offset) } else { (offset, at) };
        write!(f, "{}{}", first.unwrap_or_default(), second.unwrap_or_default())
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.word, self.labels.join(", "))
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameter = self.parameter.as_ref().map(|parameter| format!("{parameter}, "));
        let argument = format!("({}{})", parameter.unwrap_or_default(), self.inner);
        match &self.grouping {
            None => write!(f, "{}{argument}", self.op),
            Some(grouping) if grouping.is_last => write!(f, "{}{argument} {grouping}", self.op),
            Some(grouping) => write!(f, "{} {grouping} {argument}", self.op),
        }
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.left, self.op)?;
        if self.return_bool {
            f.write_str(" bool")?;
        }
        if let Some(matching) = &self.matching {
            write!(f, " {matching}")?;
        }
        write!(f, " {}", self.right)
    }
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.word, self.labels.join(", "))?;
        match &self.group {
            None => Ok(()),
            Some((word, labels)) => write!(f, " {word} ({})", labels.join(", ")),
        }
    }
}
