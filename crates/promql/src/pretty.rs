//! Queries laid out on several lines, as `/api/v1/format_query` gives them.
//!
//! A part that fits into [`LINE_BYTES`] stays on one line. A longer one has its parts on lines of their own, two spaces
//! further in; the two sides of an operator stand above and below it.
//!
//! Source: Prometheus 3.14 `promql/parser/prettier.go`.

use crate::ast::{Aggregate, Binary, Call, Expr, ExprKind};
use crate::printer::{Operator, Printed, SubqueryRange};

/// Longer parts are split.
const LINE_BYTES: usize = 100;

/// A query, which was parsed from `text`, laid out.
///
/// ```
/// let text = "sum  by(a)(rate( x [5m] ))";
/// let expr = promql::parse(text, &promql::ParseOptions::default()).unwrap();
/// assert_eq!(promql::pretty(&expr, text), "sum by (a) (rate(x[5m]))");
/// ```
#[must_use]
pub fn pretty(expr: &Expr, text: &str) -> String {
    Pretty { text }.expr(expr, 0)
}

struct Pretty<'a> {
    text: &'a str,
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

impl<'a> Pretty<'a> {
    fn printed<N>(&self, node: &'a N) -> Printed<'a, N> {
        Printed {
            node,
            text: Some(self.text),
        }
    }

    fn expr(&self, expr: &'a Expr, level: usize) -> String {
        // A sign stands before the first line of what it is for.
        let signed = |sign: &str, inner: &'a Expr| {
            format!("{}{sign}{}", indent(level), self.expr(inner, level).trim())
        };
        match &expr.kind {
            ExprKind::Negate(inner) => return signed("-", inner),
            ExprKind::Plus(inner) => return signed("+", inner),
            _ => {}
        }
        let line = self.printed(expr).to_string();
        let is_short = line.len() <= LINE_BYTES;
        match &expr.kind {
            ExprKind::Subquery(subquery) => {
                if is_short {
                    return line;
                }
                let printed = self.printed(subquery);
                format!("{}{}", self.expr(&subquery.expr, level), SubqueryRange(&printed))
            }
            ExprKind::Aggregate(aggregate) if !is_short => self.aggregate(aggregate, level),
            ExprKind::Binary(binary) if !is_short => self.binary(binary, level),
            ExprKind::Call(call) if !is_short => self.call(call, level),
            ExprKind::Paren(inner) if !is_short => {
                let indent = indent(level);
                format!("{indent}(\n{}\n{indent})", self.expr(inner, level + 1))
            }
            _ => format!("{}{line}", indent(level)),
        }
    }

    fn aggregate(&self, aggregate: &'a Aggregate, level: usize) -> String {
        let indent = indent(level);
        let head = format!("{}{}", aggregate.op, self.printed(&aggregate.grouping));
        let parameter = aggregate
            .parameter
            .as_deref()
            .map_or(String::new(), |parameter| self.expr(parameter, level + 1) + ",\n");
        let of = self.expr(&aggregate.expr, level + 1);
        format!("{indent}{head}(\n{parameter}{of}\n{indent})")
    }

    fn binary(&self, binary: &'a Binary, level: usize) -> String {
        let left = self.expr(&binary.left, level + 1);
        let right = self.expr(&binary.right, level + 1);
        let printed = self.printed(binary);
        format!("{left}\n{}{}\n{right}", indent(level), Operator(&printed))
    }

    fn call(&self, call: &'a Call, level: usize) -> String {
        let indent = indent(level);
        let arguments = call
            .arguments
            .iter()
            .map(|argument| self.expr(argument, level + 1));
        let arguments = arguments.collect::<Vec<_>>().join(",\n");
        format!("{indent}{}(\n{arguments}\n{indent})", call.function.name)
    }
}
