//! Durations in brackets and after `offset`.

use super::{Context, Parser, Result};
use crate::ast::{BinaryOp, DurationExpr, DurationKind, Span};
use crate::duration::DURATION_SECONDS_MAX;
use crate::token::{Timing, Token, TokenKind};

/// Binds tighter than every operator but `^`.
const SIGN_POWER: u8 = 3;

impl Parser<'_> {
    /// A duration in brackets: a plain one must be positive.
    pub(super) fn positive_duration(&mut self, context: Context) -> Result<DurationExpr> {
        let duration = self.duration(context)?;
        match duration.kind {
            DurationKind::Literal(seconds) if seconds <= 0.0 => {
                Err(self.error(duration.span, "duration must be greater than 0"))
            }
            _ => Ok(duration),
        }
    }

    /// A duration behind `offset`. Without parentheses it ends with its first number or function:
    /// `x offset -2 ^ 2` is `(x offset -2) ^ 2`.
    pub(super) fn offset_duration(&mut self, context: Context) -> Result<DurationExpr> {
        let token = self.peek()?;
        match token.kind {
            TokenKind::LeftParen => self.duration(context),
            TokenKind::Operator(sign @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.take()?;
                if sign_of(self.peek_kind()?).is_some() {
                    let signed = self.duration_operation(SIGN_POWER, context)?;
                    let left = self.duration_with_sign(token, sign, signed)?;
                    return self.duration_operators(left, 0, context);
                }
                let operand = self.duration_operand(context, token)?;
                self.duration_with_sign(token, sign, operand)
            }
            _ => self.duration_operand(context, token),
        }
    }

    fn duration(&mut self, context: Context) -> Result<DurationExpr> {
        self.duration_operation(0, context)
    }

    fn duration_operation(&mut self, power_min: u8, context: Context) -> Result<DurationExpr> {
        self.descend()?;
        let left = self.signed_duration(context)?;
        let duration = self.duration_operators(left, power_min, context)?;
        self.ascend();
        Ok(duration)
    }

    /// The operators behind `left` that bind at least as tightly as `power_min`, with their right sides.
    fn duration_operators(
        &mut self,
        mut left: DurationExpr,
        power_min: u8,
        context: Context,
    ) -> Result<DurationExpr> {
        while let TokenKind::Operator(op) = self.peek_kind()? {
            let Some(power) = power(op).filter(|power| *power >= power_min) else {
                break;
            };
            let operator = self.take()?;
            let left_height = self.height;
            let right_power_min = if op == BinaryOp::Pow { power } else { power + 1 };
            let right = self.duration_operation(right_power_min, context)?;
            self.experimental_duration(left.span)?;
            self.check_divisor(op, operator, &right)?;
            let span = left.span.to(right.span);
            self.grow(left_height.max(self.height), span)?;
            left = DurationExpr {
                kind: DurationKind::Binary(op, Box::new(left), Box::new(right)),
                span,
            };
        }
        Ok(left)
    }

    fn signed_duration(&mut self, context: Context) -> Result<DurationExpr> {
        let token = self.peek()?;
        let Some(sign) = sign_of(token.kind) else {
            return self.duration_operand(context, token);
        };
        self.take()?;
        let operand = self.duration_operation(SIGN_POWER, context)?;
        self.duration_with_sign(token, sign, operand)
    }

    fn duration_with_sign(
        &mut self,
        token: Token,
        sign: BinaryOp,
        operand: DurationExpr,
    ) -> Result<DurationExpr> {
        let span = token.span.to(operand.span);
        let kind = match (operand.kind, sign) {
            (DurationKind::Literal(seconds), BinaryOp::Sub) => DurationKind::Literal(-seconds),
            (DurationKind::Literal(seconds), _) => DurationKind::Literal(seconds),
            (kind, BinaryOp::Sub) => {
                self.grow(self.height, span)?;
                let span = operand.span;
                DurationKind::Negate(Box::new(DurationExpr { kind, span }))
            }
            (kind, _) => kind,
        };
        Ok(DurationExpr { kind, span })
    }

    /// A number, a function or a parenthesis. A number too large is reported at `start`.
    fn duration_operand(&mut self, context: Context, start: Token) -> Result<DurationExpr> {
        let token = self.peek()?;
        self.height = 1;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let seconds = self.number()?;
                if seconds.abs() > DURATION_SECONDS_MAX {
                    return Err(self.error(start.span.to(token.span), "duration out of range"));
                }
                Ok(DurationExpr {
                    kind: DurationKind::Literal(seconds),
                    span: token.span,
                })
            }
            TokenKind::LeftParen => self.parenthesized_duration(context),
            TokenKind::Timing(Timing::Step) => self.timing_call(DurationKind::Step, context),
            TokenKind::Timing(Timing::Range) => self.timing_call(DurationKind::Range, context),
            TokenKind::Timing(Timing::MinOf) => self.choice(DurationKind::MinOf, context),
            TokenKind::Timing(Timing::MaxOf) => self.choice(DurationKind::MaxOf, context),
            _ => Err(self.unexpected(token, Some(context))),
        }
    }

    fn parenthesized_duration(&mut self, context: Context) -> Result<DurationExpr> {
        let open = self.take()?;
        let inner = self.duration(context)?;
        let close = self.expect(TokenKind::RightParen, Some(context))?;
        self.experimental_duration(inner.span)?;
        let span = open.span.to(close.span);
        self.grow(self.height, span)?;
        Ok(DurationExpr {
            kind: DurationKind::Paren(Box::new(inner)),
            span,
        })
    }

    /// `step()`, `range()`.
    fn timing_call(&mut self, kind: DurationKind, context: Context) -> Result<DurationExpr> {
        let name = self.take()?;
        self.expect(TokenKind::LeftParen, Some(context))?;
        self.expect(TokenKind::RightParen, Some(context))?;
        let span = name.span.to(self.last);
        self.experimental_duration(span)?;
        Ok(DurationExpr { kind, span })
    }

    /// `min_of(a, b)`, `max_of(a, b)`.
    fn choice(
        &mut self,
        kind: fn(Box<DurationExpr>, Box<DurationExpr>) -> DurationKind,
        context: Context,
    ) -> Result<DurationExpr> {
        let name = self.take()?;
        self.expect(TokenKind::LeftParen, Some(context))?;
        let first = self.duration(context)?;
        let height = self.height;
        self.expect(TokenKind::Comma, Some(context))?;
        let second = self.duration(context)?;
        self.expect(TokenKind::RightParen, Some(context))?;
        let span = name.span.to(self.last);
        self.experimental_duration(span)?;
        self.grow(height.max(self.height), span)?;
        Ok(DurationExpr {
            kind: kind(Box::new(first), Box::new(second)),
            span,
        })
    }

    fn experimental_duration(&self, span: Span) -> Result<()> {
        if self.options.duration_expressions {
            Ok(())
        } else {
            Err(self.error(span, "experimental duration expression is not enabled"))
        }
    }

    fn check_divisor(&self, op: BinaryOp, operator: Token, divisor: &DurationExpr) -> Result<()> {
        let message = match (op, &divisor.kind) {
            (BinaryOp::Div, DurationKind::Literal(0.0)) => "division by zero",
            (BinaryOp::Mod, DurationKind::Literal(0.0)) => "modulo by zero",
            _ => return Ok(()),
        };
        Err(self.error(operator.span, message))
    }
}

fn sign_of(kind: TokenKind) -> Option<BinaryOp> {
    match kind {
        TokenKind::Operator(sign @ (BinaryOp::Add | BinaryOp::Sub)) => Some(sign),
        _ => None,
    }
}

/// How tightly an operator binds; `None` for those that durations do not know.
fn power(op: BinaryOp) -> Option<u8> {
    match op {
        BinaryOp::Add | BinaryOp::Sub => Some(1),
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => Some(2),
        BinaryOp::Pow => Some(3),
        _ => None,
    }
}
