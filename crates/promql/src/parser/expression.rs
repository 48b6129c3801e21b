//! Expressions: operators, signs, literals, calls, parentheses.

use super::matching::BinaryModifiers;
use super::{Parser, Result};
use crate::ast::{Binary, BinaryOp, Call, Expr, ExprKind};
use crate::duration::parse_literal_seconds;
use crate::function::Function;
use crate::number::parse_number;
use crate::string_literal::unquote;
use crate::token::{Keyword, Token, TokenKind};

/// Binds tighter than every binary operator but `^`.
const SIGN_POWER: u8 = BINDS_LIKE_POW;
const BINDS_LIKE_POW: u8 = 6;

impl Parser<'_> {
    /// A whole expression, up to a token that cannot go on with it.
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.operation(0)
    }

    /// An expression of operators that bind at least as tightly as `power_min`. Every recursion comes by here.
    fn operation(&mut self, power_min: u8) -> Result<Expr> {
        self.descend()?;
        let mut left = self.signed()?;
        while let TokenKind::Operator(op) = self.peek_kind()? {
            let power = power(op);
            if power < power_min {
                break;
            }
            self.take()?;
            let left_height = self.height;
            let modifiers = self.binary_modifiers()?;
            let right = self.operation(if op == BinaryOp::Pow { power } else { power + 1 })?;
            self.height = self.height.max(left_height);
            left = self.binary(op, left, modifiers, right)?;
        }
        self.ascend();
        Ok(left)
    }

    fn binary(&mut self, op: BinaryOp, left: Expr, modifiers: BinaryModifiers, right: Expr) -> Result<Expr> {
        let span = left.span.to(right.span);
        self.grow(self.height, span)?;
        if modifiers.fills() && !self.options.fill_modifiers {
            return Err(self.error(span, "binop fill modifiers are experimental and not enabled"));
        }
        let binary = Binary {
            op,
            left,
            right,
            return_bool: modifiers.return_bool,
            matching: modifiers.matching,
        };
        Ok(Expr {
            kind: ExprKind::Binary(Box::new(binary)),
            span,
        })
    }

    /// An operand with the signs before it.
    fn signed(&mut self) -> Result<Expr> {
        let token = self.peek()?;
        if !matches!(token.kind, TokenKind::Operator(BinaryOp::Add | BinaryOp::Sub)) {
            let operand = self.operand(token)?;
            return self.modified(operand);
        }
        self.take()?;
        let operand = self.operation(SIGN_POWER)?;
        self.signed_expr(token, operand)
    }

    /// A sign before a number becomes part of the number.
    fn signed_expr(&mut self, sign: Token, operand: Expr) -> Result<Expr> {
        let span = sign.span.to(operand.span);
        let negative = sign.kind == TokenKind::Operator(BinaryOp::Sub);
        let kind = match operand.kind {
            ExprKind::Number(value) => ExprKind::Number(if negative { -value } else { value }),
            _ => {
                self.grow(self.height, span)?;
                let operand = Box::new(operand);
                if negative {
                    ExprKind::Negate(operand)
                } else {
                    ExprKind::Plus(operand)
                }
            }
        };
        Ok(Expr { kind, span })
    }

    /// A literal, selector, call, aggregation or parenthesis, without what may follow it; `token` comes next.
    fn operand(&mut self, token: Token) -> Result<Expr> {
        self.height = 1;
        match token.kind {
            TokenKind::Number | TokenKind::Duration | TokenKind::String => self.literal(),
            TokenKind::LeftParen => self.parenthesized(),
            TokenKind::Identifier | TokenKind::Timing(_) => self.call_or_selector(),
            TokenKind::Aggregate(op) => self.aggregate_or_selector(op),
            kind if kind == TokenKind::LeftBrace || kind.is_metric_name() => self.selector(),
            _ => Err(self.unexpected(token, None)),
        }
    }

    fn literal(&mut self) -> Result<Expr> {
        let token = self.peek()?;
        let kind = if token.kind == TokenKind::String {
            self.take()?;
            ExprKind::String(unquote(token.span.of(self.text)))
        } else {
            ExprKind::Number(self.number()?)
        };
        Ok(Expr {
            kind,
            span: token.span,
        })
    }

    fn parenthesized(&mut self) -> Result<Expr> {
        let open = self.take()?;
        let inner = self.expression()?;
        let close = self.expect(TokenKind::RightParen, None)?;
        let span = open.span.to(close.span);
        self.grow(self.height, span)?;
        Ok(Expr {
            kind: ExprKind::Paren(Box::new(inner)),
            span,
        })
    }

    fn call_or_selector(&mut self) -> Result<Expr> {
        let name = self.take()?;
        if self.peek_kind()? == TokenKind::LeftParen {
            self.call(name)
        } else {
            self.selector_named(name)
        }
    }

    fn call(&mut self, name: Token) -> Result<Expr> {
        let arguments = self.arguments()?;
        let span = name.span.to(self.last);
        self.grow(self.height, span)?;
        let function = self.function(name)?;
        Ok(Expr {
            kind: ExprKind::Call(Call { function, arguments }),
            span,
        })
    }

    fn function(&self, name: Token) -> Result<&'static Function> {
        let written = name.span.of(self.text);
        let Some(function) = Function::find(written) else {
            return Err(self.error(name.span, format!("unknown function with name \"{written}\"")));
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(self.error(name.span, format!("function \"{written}\" is not enabled")));
        }
        Ok(function)
    }

    /// `(a, b)`; the parenthesis comes next. The height is that of the highest argument.
    pub(super) fn arguments(&mut self) -> Result<Vec<Expr>> {
        self.take()?;
        let mut arguments = Vec::new();
        let mut height = 0;
        if self.accept(TokenKind::RightParen)?.is_none() {
            loop {
                arguments.push(self.expression()?);
                height = height.max(self.height);
                let token = self.peek()?;
                match token.kind {
                    TokenKind::RightParen => {
                        self.take()?;
                        break;
                    }
                    TokenKind::Comma => self.comma_in_arguments()?,
                    _ => return Err(self.unexpected(token, None)),
                }
            }
        }
        self.height = height;
        Ok(arguments)
    }

    fn comma_in_arguments(&mut self) -> Result<()> {
        let comma = self.take()?;
        if self.peek_kind()?.starts_expression() {
            Ok(())
        } else {
            Err(self.error(comma.span, "trailing commas not allowed in function call args"))
        }
    }

    /// The value of the number or duration that comes next, without a sign.
    pub(super) fn number(&mut self) -> Result<f64> {
        let token = self.take()?;
        let written = token.span.of(self.text);
        let value = match token.kind {
            TokenKind::Duration => parse_literal_seconds(written),
            _ => parse_number(written),
        };
        value.map_err(|message| self.error(token.span, message))
    }

    pub(super) fn accept_keyword(&mut self, keyword: Keyword) -> Result<bool> {
        Ok(self.accept(TokenKind::Keyword(keyword))?.is_some())
    }
}

/// How tightly an operator binds.
fn power(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Greater
        | BinaryOp::Less
        | BinaryOp::GreaterOrEqual
        | BinaryOp::LessOrEqual
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => BINDS_LIKE_POW,
    }
}
