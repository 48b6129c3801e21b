//! Types: which expression may stand where.
//!
//! Runs over a tree without syntax errors, children mostly before parents, in the order in which Prometheus checks,
//! because only the first error is reported. On the way it settles vector matching: none where an operand is a
//! scalar, many-to-many for set operators.

use model::METRIC_NAME;

use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Span, ValueType,
    VectorMatching, VectorSelector,
};
use crate::error::ParseError;
use crate::function::{Function, FunctionId};
use crate::string_literal::quote;

type Result<T> = std::result::Result<T, ParseError>;

/// Checks `expr`, which was read from `text`.
///
/// # Errors
/// The first type that does not fit.
pub(crate) fn check(text: &str, expr: &mut Expr) -> Result<ValueType> {
    Checker { text }.expr(expr)
}

struct Checker<'a> {
    text: &'a str,
}

impl Checker<'_> {
    /// The only recursion: what it calls for a node is over before the node's parts are checked, or comes after.
    fn expr(&self, expr: &mut Expr) -> Result<ValueType> {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number(_) => Ok(ValueType::Scalar),
            ExprKind::String(_) => Ok(ValueType::String),
            ExprKind::Selector(selector) => self.selector(selector, span),
            ExprKind::Range(matrix) => {
                self.selector(&matrix.selector, matrix.selector_span)?;
                Ok(ValueType::Matrix)
            }
            ExprKind::Subquery(subquery) => {
                let found = self.expr(&mut subquery.expr)?;
                self.subquery(found, span)
            }
            ExprKind::Call(call) => self.call(call, span),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Binary(binary) => {
                let left = self.expr(&mut binary.left)?;
                let right = self.expr(&mut binary.right)?;
                self.binary(binary, left, right, span)
            }
            ExprKind::Negate(inner) | ExprKind::Plus(inner) => {
                let found = self.expr(inner)?;
                self.sign(found, span)
            }
            ExprKind::Paren(inner) => self.expr(inner),
        }
    }

    fn subquery(&self, found: ValueType, span: Span) -> Result<ValueType> {
        if found == ValueType::Vector {
            return Ok(ValueType::Matrix);
        }
        let found = bare_name(found);
        self.fail(
            span,
            format!("subquery is only allowed on instant vector, got {found} instead"),
        )
    }

    fn sign(&self, found: ValueType, span: Span) -> Result<ValueType> {
        if matches!(found, ValueType::Scalar | ValueType::Vector) {
            return Ok(found);
        }
        let message = "unary expression only allowed on expressions of type scalar or instant vector";
        self.fail(span, format!("{message}, got \"{found}\""))
    }

    fn selector(&self, selector: &VectorSelector, span: Span) -> Result<ValueType> {
        let Some(name) = &selector.name else {
            if selector.matchers.iter().all(model::Matcher::matches_empty) {
                return self.fail(
                    span,
                    "vector selector must contain at least one non-empty matcher",
                );
            }
            return Ok(ValueType::Vector);
        };
        let mut inside = selector.matchers.iter().skip(1);
        if let Some(second) = inside.find(|matcher| matcher.name() == METRIC_NAME) {
            let (first, second) = (quote(name), quote(second.value()));
            return self.fail(
                span,
                format!("metric name must not be set twice: {first} or {second}"),
            );
        }
        Ok(ValueType::Vector)
    }

    fn aggregate(&self, aggregate: &mut Aggregate) -> Result<ValueType> {
        let found = self.expr(&mut aggregate.expr)?;
        self.expect(
            ValueType::Vector,
            found,
            aggregate.expr.span,
            "aggregation expression",
        )?;
        let wanted = match aggregate.op {
            AggregateOp::CountValues => ValueType::String,
            _ => ValueType::Scalar,
        };
        if let Some(parameter) = &mut aggregate.parameter {
            let found = self.expr(parameter)?;
            self.expect(wanted, found, parameter.span, "aggregation parameter")?;
        }
        Ok(ValueType::Vector)
    }

    fn call(&self, call: &mut Call, span: Span) -> Result<ValueType> {
        let function = call.function;
        self.argument_count(call, span)?;
        let mut filter_position = usize::MAX;
        if function.id == FunctionId::Info
            && let Some(filter) = call.arguments.get(1)
        {
            self.info_filter(filter, span)?;
            filter_position = 1;
        }
        for (position, argument) in call.arguments.iter_mut().enumerate() {
            if position != filter_position {
                let found = self.expr(argument)?;
                self.argument(function, position, found, argument.span)?;
            }
        }
        Ok(function.returns)
    }

    fn argument(&self, function: &Function, position: usize, found: ValueType, span: Span) -> Result<()> {
        match function.arguments.get(position).or(function.arguments.last()) {
            Some(wanted) if *wanted != found => {
                let name = function.name;
                let message = format!("expected type {wanted} in call to function \"{name}\", got {found}");
                self.fail(span, message)
            }
            _ => Ok(()),
        }
    }

    fn argument_count(&self, call: &Call, span: Span) -> Result<()> {
        let function = call.function;
        let (n_named, n_given) = (function.arguments.len(), call.arguments.len());
        let n_min = if function.variadic == 0 {
            n_named
        } else {
            n_named.saturating_sub(1)
        };
        let n_max = match usize::try_from(function.variadic) {
            Ok(0) => n_named,
            Ok(n_more) => n_min + n_more,
            Err(_) => usize::MAX,
        };
        let (relation, n_wanted) = match n_given {
            _ if (n_min..=n_max).contains(&n_given) => return Ok(()),
            _ if n_min == n_max => ("", n_named),
            _ if n_given < n_min => ("at least ", n_min),
            _ => ("at most ", n_max),
        };
        let name = function.name;
        let message =
            format!("expected {relation}{n_wanted} argument(s) in call to \"{name}\", got {n_given}");
        self.fail(span, message)
    }

    /// The second argument of `info()` does not select series but filters labels: it has no name in front and may
    /// match everything.
    fn info_filter(&self, filter: &Expr, call_span: Span) -> Result<()> {
        let found = filter.value_type();
        if found != ValueType::Vector {
            let wanted = ValueType::Vector;
            let message = format!("expected type {wanted} in call to function \"info\", got {found}");
            return self.fail(call_span, message);
        }
        match &filter.kind {
            ExprKind::Selector(selector) if selector.name.is_none() => Ok(()),
            ExprKind::Selector(_) => self.fail(
                filter.span,
                "expected label selectors only, got vector selector instead",
            ),
            _ => self.fail(filter.span, "expected label selectors only"),
        }
    }

    fn binary(
        &self,
        binary: &mut Binary,
        left: ValueType,
        right: ValueType,
        span: Span,
    ) -> Result<ValueType> {
        let op = binary.op;
        let both_scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if binary.return_bool && !op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            return self.fail(self.behind(binary.left.span), message);
        }
        if op.is_comparison() && !binary.return_bool && both_scalars {
            let message = "comparisons between scalars must use BOOL modifier";
            return self.fail(self.behind(binary.left.span), message);
        }
        let matching = binary.matching.get_or_insert_default();
        if op.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        let mut on = matching.labels.iter().filter(|_| matching.on);
        if let Some(label) = on.find(|label| matching.include.contains(label)) {
            let label = quote(label);
            let message = format!("label {label} must not occur in ON and GROUP clause at once");
            return self.fail(self.behind(binary.left.span), message);
        }
        for (found, operand) in [(left, &binary.left), (right, &binary.right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.fail(operand.span, message);
            }
        }
        let both_vectors = left == ValueType::Vector && right == ValueType::Vector;
        if let Some(problem) = matching_problem(op, matching, both_vectors) {
            return self.fail(span, problem);
        }
        if !both_vectors {
            if op.is_set() {
                let message = format!("set operator \"{op}\" not allowed in binary scalar expression");
                return self.fail(span, message);
            }
            binary.matching = None;
        }
        Ok(if both_scalars {
            ValueType::Scalar
        } else {
            ValueType::Vector
        })
    }

    fn expect(&self, wanted: ValueType, found: ValueType, span: Span, context: &str) -> Result<()> {
        if found == wanted {
            return Ok(());
        }
        self.fail(span, format!("expected type {wanted} in {context}, got {found}"))
    }

    /// The operator behind a left operand.
    fn behind(&self, left: Span) -> Span {
        let start = usize::try_from(left.end).unwrap_or(usize::MAX);
        let rest = self.text.get(start..).unwrap_or_default();
        let n_blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        let start = left
            .end
            .saturating_add(u32::try_from(n_blanks).unwrap_or(u32::MAX));
        Span { start, end: start }
    }

    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T> {
        Err(ParseError::new(self.text, span, message))
    }
}

/// What is wrong with how the operands are matched.
fn matching_problem(op: BinaryOp, matching: &VectorMatching, both_vectors: bool) -> Option<String> {
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let groups = matches!(
        matching.cardinality,
        Cardinality::ManyToOne | Cardinality::OneToMany
    );
    let problem = match both_vectors {
        false if !matching.labels.is_empty() => "vector matching only allowed between instant vectors",
        false if fills => "filling in missing series only allowed between instant vectors",
        true if op.is_set() && groups => return Some(format!("no grouping allowed for \"{op}\" operation")),
        true if op.is_set() && fills => "filling in missing series not allowed for set operators",
        _ => return None,
    };
    Some(problem.to_owned())
}

/// Prometheus' own word for a type, which slips into one message.
fn bare_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        other => other.as_str(),
    }
}
