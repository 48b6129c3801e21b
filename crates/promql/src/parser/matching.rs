//! What stands between a binary operator and its right operand, and lists of label names.

use super::{Context, Parser, Result};
use crate::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::string_literal::unquote_utf8;
use crate::token::{Keyword, TokenKind};

/// `bool on (a) group_left (b) fill (0)`.
#[derive(Debug)]
pub(super) struct BinaryModifiers {
    pub(super) return_bool: bool,
    /// Always there; the type check decides whether it may be.
    pub(super) matching: Option<VectorMatching>,
}

impl BinaryModifiers {
    pub(super) fn fills(&self) -> bool {
        let matching = self.matching.as_ref();
        matching.is_some_and(|matching| matching.fill_left.is_some() || matching.fill_right.is_some())
    }
}

impl Parser<'_> {
    pub(super) fn binary_modifiers(&mut self) -> Result<BinaryModifiers> {
        let return_bool = self.accept_keyword(Keyword::Bool)?;
        let mut matching = VectorMatching::default();
        let on = self.accept_keyword(Keyword::On)?;
        if on || self.accept_keyword(Keyword::Ignoring)? {
            matching.on = on;
            matching.labels = self.label_names()?;
            self.group_side(&mut matching)?;
        }
        self.fill_values(&mut matching)?;
        Ok(BinaryModifiers {
            return_bool,
            matching: Some(matching),
        })
    }

    fn group_side(&mut self, matching: &mut VectorMatching) -> Result<()> {
        matching.cardinality = if self.accept_keyword(Keyword::GroupLeft)? {
            Cardinality::ManyToOne
        } else if self.accept_keyword(Keyword::GroupRight)? {
            Cardinality::OneToMany
        } else {
            return Ok(());
        };
        let token = self.peek()?;
        if token.kind == TokenKind::LeftParen {
            matching.include = self.label_names()?;
        } else if !token.kind.starts_expression() {
            return Err(self.unexpected(token, expecting("\"(\"")));
        }
        Ok(())
    }

    /// `fill (x)`, or `fill_left (x)` and `fill_right (y)` in either order.
    fn fill_values(&mut self, matching: &mut VectorMatching) -> Result<()> {
        if self.accept_keyword(Keyword::Fill)? {
            let value = self.fill_value()?;
            matching.fill_left = Some(value);
            matching.fill_right = Some(value);
        } else if self.accept_keyword(Keyword::FillLeft)? {
            matching.fill_left = Some(self.fill_value()?);
            if self.accept_keyword(Keyword::FillRight)? {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.accept_keyword(Keyword::FillRight)? {
            matching.fill_right = Some(self.fill_value()?);
            if self.accept_keyword(Keyword::FillLeft)? {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Result<f64> {
        self.expect(TokenKind::LeftParen, None)?;
        let mut sign = 1.0;
        if let TokenKind::Operator(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek_kind()? {
            self.take()?;
            sign = if op == BinaryOp::Sub { -1.0 } else { 1.0 };
        }
        let token = self.peek()?;
        if !matches!(token.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected(token, None));
        }
        let value = self.number()?;
        self.expect(TokenKind::RightParen, None)?;
        Ok(sign * value)
    }

    /// `(a, "b", c)`; may be empty and may end with a comma.
    pub(super) fn label_names(&mut self) -> Result<Vec<String>> {
        self.expect(TokenKind::LeftParen, expecting("\"(\""))?;
        let mut labels = Vec::new();
        while self.accept(TokenKind::RightParen)?.is_none() {
            let token = self.peek()?;
            let written = token.span.of(self.text);
            let label = match token.kind {
                TokenKind::String => unquote_utf8(written),
                kind if kind.is_label_name() => Some(written.to_owned()),
                _ => return Err(self.unexpected(token, expecting("label"))),
            };
            self.take()?;
            let Some(label) = label.filter(|label| !label.is_empty()) else {
                let message = format!("invalid label name for grouping: {written}");
                return Err(self.error(token.span, message));
            };
            labels.push(label);
            let token = self.peek()?;
            match token.kind {
                TokenKind::Comma => {
                    self.take()?;
                }
                TokenKind::RightParen => {}
                _ => return Err(self.unexpected(token, expecting("\",\" or \")\""))),
            }
        }
        Ok(labels)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what the callers hand on")]
fn expecting(expected: &'static str) -> Option<Context> {
    Some(Context {
        place: "grouping opts",
        expected,
    })
}
