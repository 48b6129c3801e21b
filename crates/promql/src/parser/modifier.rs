//! What follows an operand: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use super::{Context, Parser, Result};
use crate::ast::{
    At, BinaryOp, DurationExpr, DurationKind, Expr, ExprKind, Extended, MatrixSelector, Shift, Span,
    Subquery, VectorSelector,
};
use crate::number::fixed;
use crate::token::{Keyword, Timing, Token, TokenKind};

const OFFSET: Context = Context {
    place: "offset",
    expected: "number, duration, step(), or range()",
};
const AT: Context = Context {
    place: "@",
    expected: "timestamp",
};
const RANGE: Context = Context {
    place: "subquery or range selector",
    expected: "number, duration, step(), or range()",
};
const RANGE_END: Context = Context {
    place: "subquery or range",
    expected: "\":\" or \"]\"",
};
const SUBQUERY_STEP: Context = Context {
    place: "subquery selector",
    expected: "number, duration, step(), range(), or \"]\"",
};
const SUBQUERY_END: Context = Context {
    place: "subquery selector",
    expected: "\"]\"",
};

impl Parser<'_> {
    /// `operand` with all that directly follows it.
    pub(super) fn modified(&mut self, operand: Expr) -> Result<Expr> {
        let mut expr = operand;
        loop {
            let token = self.peek()?;
            expr = match token.kind {
                TokenKind::LeftBracket => self.range_or_subquery(expr)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(expr)?,
                TokenKind::At => self.at(expr)?,
                TokenKind::Keyword(Keyword::Anchored) => self.extended(expr, Extended::Anchored)?,
                TokenKind::Keyword(Keyword::Smoothed) => self.extended(expr, Extended::Smoothed)?,
                _ => return Ok(expr),
            };
        }
    }

    fn range_or_subquery(&mut self, expr: Expr) -> Result<Expr> {
        let open = self.take()?;
        let expr_height = self.height;
        let range = self.positive_duration(RANGE)?;
        self.height = self.height.max(expr_height);
        let token = self.peek()?;
        match token.kind {
            TokenKind::RightBracket => {
                self.take()?;
                self.matrix_selector(expr, range, open)
            }
            TokenKind::Colon => {
                self.take()?;
                self.subquery(expr, range)
            }
            _ => Err(self.unexpected(token, Some(RANGE_END))),
        }
    }

    fn matrix_selector(&mut self, expr: Expr, range: DurationExpr, open: Token) -> Result<Expr> {
        let selector_span = expr.span;
        let problem = match &expr.kind {
            ExprKind::Selector(selector) if has_offset(&selector.shift) => {
                "no offset modifiers allowed before range"
            }
            ExprKind::Selector(selector) if selector.shift.at.is_some() => {
                "no @ modifiers allowed before range"
            }
            ExprKind::Selector(_) => "",
            _ => "ranges only allowed for vector selectors",
        };
        let span = selector_span.to(self.last);
        self.grow(self.height, span)?;
        match expr.kind {
            ExprKind::Selector(selector) if problem.is_empty() => Ok(Expr {
                kind: ExprKind::Range(MatrixSelector {
                    selector,
                    selector_span,
                    range,
                }),
                span,
            }),
            _ => Err(self.error(open.span.to(self.last), problem)),
        }
    }

    fn subquery(&mut self, expr: Expr, range: DurationExpr) -> Result<Expr> {
        let height = self.height;
        let mut step = None;
        if self.accept(TokenKind::RightBracket)?.is_none() {
            step = Some(self.positive_duration(SUBQUERY_STEP)?);
            self.expect(TokenKind::RightBracket, Some(SUBQUERY_END))?;
        }
        let span = expr.span.to(self.last);
        self.grow(height.max(self.height), span)?;
        Ok(Expr {
            kind: ExprKind::Subquery(Subquery {
                expr: Box::new(expr),
                range,
                step,
                shift: Shift::default(),
            }),
            span,
        })
    }

    fn offset(&mut self, mut expr: Expr) -> Result<Expr> {
        self.take()?;
        let height = self.height;
        let offset = self.offset_duration(OFFSET)?;
        self.height = self.height.max(height);
        let Some(shift) = shift_mut(&mut expr) else {
            let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            return Err(self.error(expr.span, message));
        };
        if has_offset(shift) {
            return Err(self.error(expr.span, "offset may not be set multiple times"));
        }
        shift.offset = Some(offset);
        expr.span = expr.span.to(self.last);
        Ok(expr)
    }

    fn at(&mut self, mut expr: Expr) -> Result<Expr> {
        self.take()?;
        let at = self.at_time(expr.span)?;
        let Some(shift) = shift_mut(&mut expr) else {
            let message = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            return Err(self.error(expr.span, message));
        };
        if shift.at.is_some() {
            return Err(self.error(expr.span, "@ <timestamp> may not be set multiple times"));
        }
        shift.at = Some(at);
        expr.span = expr.span.to(self.last);
        Ok(expr)
    }

    /// `1.5`, `-1`, `start()`, `end()`.
    fn at_time(&mut self, expr_span: Span) -> Result<At> {
        let mut token = self.peek()?;
        if let TokenKind::Timing(timing @ (Timing::Start | Timing::End)) = token.kind {
            self.take()?;
            self.expect(TokenKind::LeftParen, Some(AT))?;
            self.expect(TokenKind::RightParen, Some(AT))?;
            return Ok(if timing == Timing::Start {
                At::Start
            } else {
                At::End
            });
        }
        let mut sign = 1.0;
        if let TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = token.kind {
            self.take()?;
            sign = if op == BinaryOp::Sub { -1.0 } else { 1.0 };
            token = self.peek()?;
        }
        if !matches!(token.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected(token, Some(AT)));
        }
        let seconds = sign * self.number()?;
        timestamp(seconds).ok_or_else(|| {
            let message = format!("timestamp out of bounds for @ modifier: {}", fixed(seconds));
            self.error(expr_span, message)
        })
    }

    fn extended(&mut self, mut expr: Expr, extended: Extended) -> Result<Expr> {
        self.take()?;
        let span = expr.span;
        if !self.options.extended_ranges {
            return Err(self.error(
                span,
                format!("{extended} modifier is experimental and not enabled"),
            ));
        }
        let is_subquery = matches!(expr.kind, ExprKind::Subquery(_));
        let Some(selector) = selector_mut(&mut expr) else {
            let problem = if is_subquery {
                "is not supported for subqueries"
            } else {
                "not implemented"
            };
            return Err(self.error(span, format!("{extended} modifier {problem}")));
        };
        let before = selector.extended.replace(extended);
        if before.is_some_and(|before| before != extended) {
            return Err(self.error(span, "anchored and smoothed modifiers cannot be used together"));
        }
        expr.span = span.to(self.last);
        Ok(expr)
    }
}

fn selector_mut(expr: &mut Expr) -> Option<&mut VectorSelector> {
    match &mut expr.kind {
        ExprKind::Selector(selector) => Some(selector),
        ExprKind::Range(matrix) => Some(&mut matrix.selector),
        _ => None,
    }
}

fn shift_mut(expr: &mut Expr) -> Option<&mut Shift> {
    match &mut expr.kind {
        ExprKind::Selector(selector) => Some(&mut selector.shift),
        ExprKind::Range(matrix) => Some(&mut matrix.selector.shift),
        ExprKind::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    }
}

/// True when there is an offset that moves anything. Like Prometheus, one of 0 counts as none.
fn has_offset(shift: &Shift) -> bool {
    match shift.offset.as_ref().map(|offset| &offset.kind) {
        Some(DurationKind::Literal(seconds)) => (seconds * 1e9).round() != 0.0,
        Some(_) => true,
        None => false,
    }
}

/// `None` when it does not fit into milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "the range has been checked")]
fn timestamp(seconds: f64) -> Option<At> {
    const SECONDS_END: f64 = (1_u64 << 63) as f64;
    let fits = seconds > -SECONDS_END && seconds < SECONDS_END;
    fits.then(|| At::Timestamp((seconds * 1000.0).round() as i64))
}
