//! Selectors: a name, matchers in braces.

use model::{METRIC_NAME, MatchOp, Matcher};

use super::{Context, Parser, Result};
use crate::ast::{BinaryOp, Expr, ExprKind, Shift, Span, VectorSelector};
use crate::string_literal::unquote;
use crate::token::{Token, TokenKind};

const LABEL_MATCHING: &str = "label matching";

impl Parser<'_> {
    /// A selector that begins with the next token, a name or a brace.
    pub(super) fn selector(&mut self) -> Result<Expr> {
        let (selector, span) = self.bare_selector()?;
        Ok(selector_expr(selector, span))
    }

    /// A selector whose name has been taken.
    pub(super) fn selector_named(&mut self, name: Token) -> Result<Expr> {
        let (selector, span) = self.bare_selector_named(name)?;
        self.height = 1;
        Ok(selector_expr(selector, span))
    }

    pub(super) fn bare_selector(&mut self) -> Result<(VectorSelector, Span)> {
        if self.peek_kind()? != TokenKind::LeftBrace {
            let name = self.take()?;
            return self.bare_selector_named(name);
        }
        let open = self.peek()?.span;
        let mut selector = VectorSelector::default();
        self.matchers(&mut selector)?;
        Ok((selector, open.to(self.last)))
    }

    fn bare_selector_named(&mut self, name: Token) -> Result<(VectorSelector, Span)> {
        let written = name.span.of(self.text);
        let mut selector = VectorSelector {
            name: Some(written.to_owned()),
            matchers: vec![Matcher::equal(METRIC_NAME, written)],
            shift: Shift::default(),
            extended: None,
        };
        if self.peek_kind()? == TokenKind::LeftBrace {
            self.matchers(&mut selector)?;
        }
        Ok((selector, name.span.to(self.last)))
    }

    /// `{a="b", "name"}`; the brace comes next.
    fn matchers(&mut self, selector: &mut VectorSelector) -> Result<()> {
        self.take()?;
        while self.accept(TokenKind::RightBrace)?.is_none() {
            self.matcher(selector)?;
            let token = self.peek()?;
            match token.kind {
                TokenKind::Comma => {
                    self.take()?;
                }
                TokenKind::RightBrace => {}
                _ => return Err(self.unexpected(token, expecting("\",\" or \"}\""))),
            }
        }
        Ok(())
    }

    fn matcher(&mut self, selector: &mut VectorSelector) -> Result<()> {
        let name = self.peek()?;
        let written = name.span.of(self.text);
        let label = match name.kind {
            TokenKind::Identifier => written.to_owned(),
            TokenKind::String => unquote(written),
            _ => return Err(self.unexpected(name, expecting("identifier or \"}\""))),
        };
        self.take()?;
        let operator = self.peek()?;
        let op = match operator.kind {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            TokenKind::MatchRegex => MatchOp::Regex,
            TokenKind::MatchNotRegex => MatchOp::NotRegex,
            _ if name.kind == TokenKind::String => {
                selector.matchers.push(Matcher::equal(METRIC_NAME, label));
                return Ok(());
            }
            _ => return Err(self.unexpected(operator, expecting("label matching operator"))),
        };
        self.take()?;
        let value = self.expect(TokenKind::String, expecting("string"))?;
        let matcher = Matcher::new(op, label, unquote(value.span.of(self.text)))
            .map_err(|error| self.error(name.span.to(value.span), error.to_string()))?;
        selector.matchers.push(matcher);
        Ok(())
    }
}

fn selector_expr(selector: VectorSelector, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Selector(selector),
        span,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what the callers hand on")]
fn expecting(expected: &'static str) -> Option<Context> {
    Some(Context {
        place: LABEL_MATCHING,
        expected,
    })
}
