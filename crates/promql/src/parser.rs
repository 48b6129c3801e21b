//! Tokens to tree: recursive descent, with operator precedence for binary operators.
//!
//! One pass, one token ahead. The first error ends it; its wording follows Prometheus, whose messages name the
//! innermost construct that was being read ("unexpected … in aggregation, expected …").
//!
//! Limits: [`TEXT_BYTES_MAX`] of text, constructs nested [`NESTING_MAX`] deep, trees [`HEIGHT_MAX`] high. They
//! keep everything that walks a tree by recursion, this parser included, within an ordinary stack.

mod aggregate;
mod duration;
mod expression;
mod matching;
mod modifier;
mod selector;

use crate::ast::{Expr, Span};
use crate::error::ParseError;
use crate::lexer::Lexer;
use crate::options::ParseOptions;
use crate::token::{Token, TokenKind};
use crate::typecheck;

use model::Matcher;

/// Bytes of the longest query.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// How deep parentheses, calls, aggregations, signs and powers may be nested.
pub const NESTING_MAX: usize = 150;

/// Nodes from the root of the highest tree to its farthest leaf. A chain `a or b or c …` is a tree as high as it has
/// operators.
pub const HEIGHT_MAX: usize = 500;

type Result<T> = std::result::Result<T, ParseError>;

/// The checked tree of a query.
///
/// # Errors
/// The first thing wrong with `text`: a token that cannot stand where it does, a type that does not fit, or a limit.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Expr> {
    let mut parser = Parser::new(text, *options)?;
    if parser.peek()?.kind == TokenKind::End {
        return Err(parser.error(Span::default(), "no expression found in input"));
    }
    let mut expr = parser.expression()?;
    parser.expect_end()?;
    typecheck::check(text, &mut expr)?;
    Ok(expr)
}

/// The matchers of a series selector, `name{label="value"}`, as `match[]` parameters hold it. Unlike in a query it
/// may match everything.
///
/// # Errors
/// As [`parse`].
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>> {
    let mut parser = Parser::new(text, ParseOptions::default())?;
    let token = parser.peek()?;
    if !(token.kind.is_metric_name() || token.kind == TokenKind::LeftBrace) {
        return Err(parser.unexpected(token, None));
    }
    let (selector, _) = parser.bare_selector()?;
    parser.expect_end()?;
    Ok(selector.matchers)
}

/// One text being parsed.
#[derive(Debug)]
struct Parser<'a> {
    text: &'a str,
    options: ParseOptions,
    lexer: Lexer<'a>,
    lookahead: Option<Token>,
    /// The last token taken.
    last: Span,
    /// Aggregations begun and not yet ended.
    n_open_aggregations: usize,
    /// Constructs begun and not yet ended.
    nesting: usize,
    /// Height of the tree returned last by any of the methods that return one.
    height: usize,
}

/// What "unexpected …" adds: where it is, and what could stand there.
#[derive(Debug, Clone, Copy)]
struct Context {
    place: &'static str,
    expected: &'static str,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: ParseOptions) -> Result<Self> {
        let parser = Self {
            text,
            options,
            lexer: Lexer::new(text),
            lookahead: None,
            last: Span::default(),
            n_open_aggregations: 0,
            nesting: 0,
            height: 0,
        };
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("query of {} bytes is longer than {TEXT_BYTES_MAX}", text.len());
            return Err(parser.error(Span::default(), message));
        }
        Ok(parser)
    }

    /// The next token, not taken.
    fn peek(&mut self) -> Result<Token> {
        match self.lookahead {
            Some(token) => Ok(token),
            None => {
                let token = self.lexer.next_token()?;
                self.lookahead = Some(token);
                Ok(token)
            }
        }
    }

    fn peek_kind(&mut self) -> Result<TokenKind> {
        Ok(self.peek()?.kind)
    }

    fn take(&mut self) -> Result<Token> {
        let token = self.peek()?;
        self.lookahead = None;
        self.last = token.span;
        Ok(token)
    }

    /// Takes the next token if it is of this kind.
    fn accept(&mut self, kind: TokenKind) -> Result<Option<Token>> {
        if self.peek_kind()? == kind {
            self.take().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Takes the next token, which must be of this kind.
    fn expect(&mut self, kind: TokenKind, context: Option<Context>) -> Result<Token> {
        let token = self.peek()?;
        if token.kind == kind {
            self.take()
        } else {
            Err(self.unexpected(token, context))
        }
    }

    fn expect_end(&mut self) -> Result<()> {
        self.expect(TokenKind::End, None).map(|_| ())
    }

    /// Begins a construct that can hold another one of its kind; ends with [`Self::ascend`]. After an error nobody
    /// asks for the depth any more.
    fn descend(&mut self) -> Result<()> {
        if self.nesting == NESTING_MAX {
            let here = self.peek()?.span;
            return Err(self.error(here, format!("query is nested deeper than {NESTING_MAX} levels")));
        }
        self.nesting += 1;
        Ok(())
    }

    fn ascend(&mut self) {
        self.nesting -= 1;
    }

    /// Notes that a node over trees of at most `height` has been made.
    fn grow(&mut self, height: usize, span: Span) -> Result<()> {
        if height >= HEIGHT_MAX {
            let message = format!("query has chains of operations longer than {HEIGHT_MAX}");
            return Err(self.error(span, message));
        }
        self.height = height + 1;
        Ok(())
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span, message)
    }

    /// `token` cannot stand where it does. Without a context of its own the error is the innermost open
    /// aggregation's.
    fn unexpected(&self, token: Token, context: Option<Context>) -> ParseError {
        let mut message = format!("unexpected {}", token.describe(self.text));
        match context {
            Some(Context { place, expected }) => {
                message.push_str(" in ");
                message.push_str(place);
                message.push_str(", expected ");
                message.push_str(expected);
            }
            None if self.n_open_aggregations > 0 => message.push_str(" in aggregation"),
            None => {}
        }
        self.error(token.span, message)
    }
}
