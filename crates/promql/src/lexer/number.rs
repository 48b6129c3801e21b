//! Numbers and durations in the text.
//!
//! The lexer only finds their end, generously; whether `1.2.3` or `5mh` is a number or a duration is decided when
//! it is converted.

use super::{Lexer, Result, is_word_byte};
use crate::string_literal::quote;
use crate::token::TokenKind;

impl Lexer<'_> {
    /// A number or a duration whose first byte has been read.
    pub(super) fn number_or_duration(&mut self) -> Result<TokenKind> {
        self.position = self.start;
        if self.skip_number() {
            return Ok(TokenKind::Number);
        }
        if self.skip_duration_units() {
            return Ok(TokenKind::Duration);
        }
        let shown = quote(self.written());
        self.fail(format!("bad number or duration syntax: {shown}"))
    }

    /// Reads a decimal or hexadecimal number with `_` between digits. False when something stands where a number
    /// cannot go on; the position is then behind it.
    fn skip_number(&mut self) -> bool {
        let hexadecimal = self.accept(b"0") && self.accept(b"xX");
        let is_digit = |byte: u8| {
            if hexadecimal {
                byte.is_ascii_hexdigit()
            } else {
                byte.is_ascii_digit()
            }
        };
        if hexadecimal {
            self.accept(b"_");
        }
        self.accept(b".");
        if self.peek_byte().is_some_and(is_digit) {
            self.position += 1;
        }
        let (mut dot_seen, mut exponent_seen) = (false, false);
        while let Some(byte) = self.peek_byte() {
            match byte {
                b'.' => {
                    self.position += 1;
                    if dot_seen || self.accept(b"_.") || hexadecimal {
                        return false;
                    }
                    dot_seen = true;
                }
                // In a hexadecimal number too: `0x1e5` is one number either way.
                b'e' | b'E' => {
                    self.position += 1;
                    if exponent_seen {
                        return false;
                    }
                    exponent_seen = true;
                    self.accept(b"+-");
                    if !self.digit_must_follow() {
                        return false;
                    }
                }
                b'_' => {
                    self.position += 1;
                    if !self.digit_must_follow() {
                        return false;
                    }
                }
                _ if is_digit(byte) => self.skip_while(is_digit),
                _ => break,
            }
        }
        !self.peek_byte().is_some_and(is_word_byte)
    }

    /// False at the end of the text, and behind a separator that comes instead of a digit.
    fn digit_must_follow(&mut self) -> bool {
        !self.accept(b"._eE") && self.peek_byte().is_some()
    }

    /// Reads `m30s` of `1m30s`: units and further numbers. False when something else follows; the position is then
    /// behind it.
    fn skip_duration_units(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        self.accept(b"s");
        while self.peek_byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.skip_while(|byte| byte.is_ascii_digit());
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        if self.peek_byte().is_some_and(is_word_byte) {
            self.position += 1;
            return false;
        }
        true
    }
}
