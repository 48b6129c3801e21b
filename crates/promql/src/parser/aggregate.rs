//! Aggregations.

use super::{Parser, Result};
use crate::ast::{Aggregate, AggregateOp, Expr, ExprKind, Grouping, Span};
use crate::token::{Keyword, TokenKind};

impl Parser<'_> {
    /// `sum by (a) (x)`, `sum(x) by (a)`, `sum(x)`; or a metric of that name.
    pub(super) fn aggregate_or_selector(&mut self, op: AggregateOp) -> Result<Expr> {
        let name = self.take()?;
        let follows = self.peek_kind()?;
        let is_aggregate = matches!(
            follows,
            TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without)
        );
        if !is_aggregate {
            return self.selector_named(name);
        }
        self.n_open_aggregations += 1;
        let mut grouping = self.grouping()?;
        let open = self.peek()?;
        if open.kind != TokenKind::LeftParen {
            return Err(self.unexpected(open, None));
        }
        let arguments = self.arguments()?;
        let height = self.height;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        self.n_open_aggregations -= 1;
        let span = name.span.to(self.last);
        self.grow(height, span)?;
        let aggregate = self.checked_aggregate(op, grouping.unwrap_or_default(), arguments, span)?;
        Ok(Expr {
            kind: ExprKind::Aggregate(aggregate),
            span,
        })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>> {
        let without = self.accept_keyword(Keyword::Without)?;
        if !without && !self.accept_keyword(Keyword::By)? {
            return Ok(None);
        }
        let labels = self.label_names()?;
        Ok(Some(Grouping { without, labels }))
    }

    fn checked_aggregate(
        &self,
        op: AggregateOp,
        grouping: Grouping,
        arguments: Vec<Expr>,
        span: Span,
    ) -> Result<Aggregate> {
        let n_arguments = arguments.len();
        if n_arguments == 0 {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let message = format!(
                "{op}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
            );
            return Err(self.error(span, message));
        }
        let mut arguments = arguments.into_iter();
        let parameter = if op.has_parameter() {
            arguments.next()
        } else {
            None
        };
        match (arguments.next(), arguments.next()) {
            (Some(expr), None) => Ok(Aggregate {
                op,
                expr: Box::new(expr),
                parameter: parameter.map(Box::new),
                grouping,
            }),
            _ => {
                let n_wanted = 1 + usize::from(op.has_parameter());
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, expected {n_wanted}, got {n_arguments}"
                );
                Err(self.error(span, message))
            }
        }
    }
}
