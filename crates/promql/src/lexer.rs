//! Text to tokens.
//!
//! PromQL's tokens depend on where they stand: inside braces every word is a label name, inside brackets words are
//! functions of durations. The lexer keeps track of that itself, as Prometheus' does, so that bad text gives the
//! same message at the same place. It stops for good at its first error.

mod number;
mod quoted;

use crate::ast::{BinaryOp, Span};
use crate::error::ParseError;
use crate::string_literal::quote_char;
use crate::token::{Keyword, Token, TokenKind};

/// Reads one text. Positions are bytes; the text is shorter than 4 GiB.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    /// First byte of the token being read.
    start: usize,
    /// The next byte to read; always between two characters.
    position: usize,
    state: State,
    /// Open parentheses.
    n_open_parens: usize,
    in_brackets: bool,
    /// A colon has been seen in these brackets.
    colon_seen: bool,
    /// Some number or duration has directly followed an opening bracket, an operator or a colon in brackets.
    duration_seen: bool,
}

/// Which tokens come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Expression,
    /// Behind `[`, until the first number.
    Duration,
    Braces,
}

type Result<T> = std::result::Result<T, ParseError>;

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            start: 0,
            position: 0,
            state: State::Expression,
            n_open_parens: 0,
            in_brackets: false,
            colon_seen: false,
            duration_seen: false,
        }
    }

    /// The next token; [`TokenKind::End`] again and again at the end.
    pub(crate) fn next_token(&mut self) -> Result<Token> {
        self.skip_blanks();
        self.start = self.position;
        let kind = match self.state {
            State::Expression => self.expression_token()?,
            State::Duration => self.duration_token()?,
            State::Braces => self.braces_token()?,
        };
        Ok(Token {
            kind,
            span: self.span(),
        })
    }

    /// Skips space and, except at the start of brackets, comments.
    fn skip_blanks(&mut self) {
        while let Some(byte) = self.peek_byte() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.position += 1,
                b'#' if self.state != State::Duration => {
                    let rest = self.rest().bytes();
                    self.position += rest.take_while(|byte| !matches!(byte, b'\n' | b'\r')).count();
                }
                _ => return,
            }
        }
    }

    fn expression_token(&mut self) -> Result<TokenKind> {
        let Some(c) = self.next_char() else {
            return self.end_of_text();
        };
        Ok(match c {
            ',' => TokenKind::Comma,
            '@' => TokenKind::At,
            '=' => self.equals_sign()?,
            '!' => self.exclamation_mark()?,
            '<' => TokenKind::Operator(match self.accept_one(b"=/") {
                Some(b'=') => BinaryOp::LessOrEqual,
                Some(_) => BinaryOp::TrimUpper,
                None => BinaryOp::Less,
            }),
            '>' => TokenKind::Operator(match self.accept_one(b"=/") {
                Some(b'=') => BinaryOp::GreaterOrEqual,
                Some(_) => BinaryOp::TrimLower,
                None => BinaryOp::Greater,
            }),
            '"' | '\'' => self.quoted_string(c)?,
            '`' => self.raw_string()?,
            '(' | ')' => self.parenthesis(c)?,
            '{' => {
                self.state = State::Braces;
                TokenKind::LeftBrace
            }
            '[' | ']' => self.bracket(c)?,
            '0'..='9' => self.number_or_duration()?,
            '.' if self.peek_byte().is_some_and(|byte| byte.is_ascii_digit()) => self.number_or_duration()?,
            'a'..='z' | 'A'..='Z' | '_' | ':' if self.in_brackets => self.word_in_brackets(c)?,
            'a'..='z' | 'A'..='Z' | '_' | ':' => self.word(),
            _ => match arithmetic(c) {
                Some(op) => TokenKind::Operator(op),
                None => return self.fail(format!("unexpected character: {}", quote_char(c))),
            },
        })
    }

    /// Tokens behind `[` up to the first number: no words but `step`, `range`, `min_of` and `max_of`.
    fn duration_token(&mut self) -> Result<TokenKind> {
        let Some(c) = self.next_char() else {
            return self.fail("unexpected end of input in duration expression");
        };
        Ok(match c {
            ',' => TokenKind::Comma,
            ':' => self.colon_in_duration()?,
            '(' | ')' => self.parenthesis(c)?,
            ']' => self.bracket(c)?,
            '0'..='9' => self.first_number()?,
            '.' if self.peek_byte().is_some_and(|byte| byte.is_ascii_digit()) => self.first_number()?,
            _ => {
                let kind = arithmetic(c)
                    .map(TokenKind::Operator)
                    .or_else(|| self.duration_word(c));
                match kind {
                    Some(kind) => kind,
                    None => {
                        let shown = quote_char(c);
                        return self.fail(format!("unexpected character in duration expression: {shown}"));
                    }
                }
            }
        })
    }

    /// Tokens between braces: every word is a label name.
    fn braces_token(&mut self) -> Result<TokenKind> {
        let Some(c) = self.next_char() else {
            return self.fail("unexpected end of input inside braces");
        };
        Ok(match c {
            ',' => TokenKind::Comma,
            '=' if self.accept(b"~") => TokenKind::MatchRegex,
            '=' => TokenKind::Assign,
            '!' => match self.next_char() {
                Some('=') => TokenKind::Operator(BinaryOp::NotEqual),
                Some('~') => TokenKind::MatchNotRegex,
                other => {
                    let shown = quote_next(other);
                    return self.fail(format!("unexpected character after '!' inside braces: {shown}"));
                }
            },
            '"' | '\'' => self.quoted_string(c)?,
            '`' => self.raw_string()?,
            '}' => {
                self.state = State::Expression;
                TokenKind::RightBrace
            }
            '{' => return self.fail("unexpected left brace '{'"),
            'a'..='z' | 'A'..='Z' | '_' => {
                self.skip_while(is_word_byte);
                TokenKind::Identifier
            }
            _ => return self.fail(format!("unexpected character inside braces: {}", quote_char(c))),
        })
    }

    fn end_of_text(&self) -> Result<TokenKind> {
        if self.n_open_parens > 0 {
            self.fail("unclosed left parenthesis")
        } else if self.in_brackets {
            self.fail("unclosed left bracket")
        } else {
            Ok(TokenKind::End)
        }
    }

    fn equals_sign(&mut self) -> Result<TokenKind> {
        match self.peek_byte() {
            Some(b'=') => {
                self.position += 1;
                Ok(TokenKind::Operator(BinaryOp::Equal))
            }
            Some(b'~') => self.fail("unexpected character after '=': '~'"),
            _ => Ok(TokenKind::Assign),
        }
    }

    fn exclamation_mark(&mut self) -> Result<TokenKind> {
        match self.next_char() {
            Some('=') => Ok(TokenKind::Operator(BinaryOp::NotEqual)),
            other => self.fail(format!("unexpected character after '!': {}", quote_next(other))),
        }
    }

    fn parenthesis(&mut self, c: char) -> Result<TokenKind> {
        if c == '(' {
            self.n_open_parens += 1;
            return Ok(TokenKind::LeftParen);
        }
        match self.n_open_parens.checked_sub(1) {
            Some(n_open_parens) => {
                self.n_open_parens = n_open_parens;
                Ok(TokenKind::RightParen)
            }
            None => self.fail_behind("unexpected right parenthesis ')'"),
        }
    }

    fn bracket(&mut self, c: char) -> Result<TokenKind> {
        match (c, self.in_brackets) {
            ('[', false) => {
                self.in_brackets = true;
                self.colon_seen = false;
                self.state = State::Duration;
                Ok(TokenKind::LeftBracket)
            }
            ('[', true) => self.fail("unexpected left bracket '['"),
            (_, true) => {
                self.in_brackets = false;
                self.state = State::Expression;
                Ok(TokenKind::RightBracket)
            }
            (_, false) => self.fail("unexpected right bracket ']'"),
        }
    }

    fn first_number(&mut self) -> Result<TokenKind> {
        self.duration_seen = true;
        self.state = State::Expression;
        self.number_or_duration()
    }

    /// A colon before the first number of these brackets.
    fn colon_in_duration(&mut self) -> Result<TokenKind> {
        if !self.duration_seen {
            return self.fail_behind("unexpected colon before duration in duration expression");
        }
        if self.colon_seen {
            return self.fail_behind("unexpected repeated colon in duration expression");
        }
        self.colon_seen = true;
        Ok(TokenKind::Colon)
    }

    /// A word or a colon behind the first number of these brackets.
    fn word_in_brackets(&mut self, c: char) -> Result<TokenKind> {
        if c == ':' {
            if self.colon_seen {
                return self.fail("unexpected colon ':'");
            }
            self.colon_seen = true;
            return Ok(TokenKind::Colon);
        }
        match self.duration_word(c) {
            Some(kind) => Ok(kind),
            None => self.fail(format!("unexpected character: {}, expected ':'", quote_char(c))),
        }
    }

    fn duration_word(&mut self, first: char) -> Option<TokenKind> {
        if !first.is_ascii_alphabetic() {
            return None;
        }
        self.skip_while(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        TokenKind::duration_word(self.written())
    }

    fn word(&mut self) -> TokenKind {
        self.skip_while(|byte| is_word_byte(byte) || byte == b':');
        let kind = TokenKind::of_word(self.written());
        // These came late to the language: without a parenthesis they stay what they were, names.
        if matches!(
            kind,
            TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)
        ) {
            let rest = self.rest().trim_start_matches([' ', '\t', '\n', '\r']);
            if !rest.starts_with('(') {
                return TokenKind::Identifier;
            }
        }
        kind
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn peek_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    /// What has been read of the token so far.
    fn written(&self) -> &'a str {
        self.text.get(self.start..self.position).unwrap_or_default()
    }

    /// Reads the next byte if it is one of `bytes`, which are ASCII.
    fn accept_one(&mut self, bytes: &[u8]) -> Option<u8> {
        let byte = self.peek_byte().filter(|byte| bytes.contains(byte))?;
        self.position += 1;
        Some(byte)
    }

    fn accept(&mut self, bytes: &[u8]) -> bool {
        self.accept_one(bytes).is_some()
    }

    /// Reads on while `wanted` holds; it is false for bytes that are not ASCII.
    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.text.as_bytes().get(self.position..).unwrap_or_default();
        self.position += rest.iter().take_while(|byte| wanted(**byte)).count();
    }

    fn span(&self) -> Span {
        Span::of_bytes(self.start, self.position)
    }

    /// An error at the start of the token being read.
    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        let span = Span::of_bytes(self.start, self.text.len());
        Err(ParseError::new(self.text, span, message))
    }

    /// An error behind the token just read, where Prometheus reports brackets and colons out of place.
    fn fail_behind<T>(&self, message: &str) -> Result<T> {
        let span = Span::of_bytes(self.position, self.text.len());
        Err(ParseError::new(self.text, span, message))
    }
}

fn arithmetic(c: char) -> Option<BinaryOp> {
    Some(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '^' => BinaryOp::Pow,
        _ => return None,
    })
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The next character as messages show it. Prometheus shows the end of the text as U+FFFD.
fn quote_next(next: Option<char>) -> String {
    next.map_or_else(|| "'\u{fffd}'".to_owned(), quote_char)
}
