//! Strings in the text: the lexer finds their end and checks their escapes, `string_literal` reads them.

use super::{Lexer, Result};
use crate::string_literal::code_point;
use crate::token::TokenKind;

impl Lexer<'_> {
    /// A string in `mark`s, of which the first has been read.
    pub(super) fn quoted_string(&mut self, mark: char) -> Result<TokenKind> {
        loop {
            // Long patterns are most of what is read here.
            self.skip_while(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\'' | b'\\' | b'\n'));
            match self.next_char() {
                None | Some('\n') => return self.fail("unterminated quoted string"),
                Some('\\') => self.escape(mark)?,
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune"),
                Some(c) if c == mark => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    /// A string in backquotes, of which the first has been read. It has no escapes.
    pub(super) fn raw_string(&mut self) -> Result<TokenKind> {
        loop {
            match self.next_char() {
                None => return self.fail("unterminated raw string"),
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune"),
                Some('`') => return Ok(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, mark: char) -> Result<()> {
        let Some(letter) = self.next_char() else {
            return self.fail("escape sequence not terminated");
        };
        let (n_digits, radix, code_max) = match letter {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if letter == mark => return Ok(()),
            '0'..='7' => {
                self.position -= 1;
                (3, 8, 0xff)
            }
            'x' => (2, 16, 0xff),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            _ => return self.fail(format!("unknown escape sequence {}", code_point(letter))),
        };
        let mut code: u32 = 0;
        for _ in 0..n_digits {
            let Some(c) = self.next_char() else {
                return self.fail("escape sequence not terminated");
            };
            let Some(digit) = c.to_digit(radix) else {
                return self.fail(format!("illegal character {} in escape sequence", code_point(c)));
            };
            // Eight hexadecimal digits are the most there can be.
            code = code.wrapping_mul(radix).wrapping_add(digit);
        }
        if code > code_max || (0xd800..0xe000).contains(&code) {
            return self.fail("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }
}
