//! Backslashes outside classes, and those that stand for one character anywhere.

use super::{Result, Translator, error};

const INVALID_ESCAPE: &str = "invalid escape sequence";

/// ASCII, as in Go, inside brackets.
pub(super) const DIGIT: &str = "0-9";
pub(super) const SPACE: &str = r"\t\n\x0C\r ";
pub(super) const WORD: &str = "0-9A-Za-z_";

impl Translator<'_> {
    /// A backslash and what belongs to it, outside a class.
    pub(super) fn escape(&mut self) -> Result<()> {
        let rest = self.rest();
        match rest.chars().nth(1) {
            Some('Q') => {
                self.quoted();
                return Ok(());
            }
            Some('C') => return Err(error(INVALID_ESCAPE, r"\C")),
            Some('A' | 'z') => self.copy(2),
            Some('b') => self.replace(r"(?-u:\b)"),
            Some('B') => self.replace(r"(?-u:\B)"),
            Some('d') => self.replace_by_class("[", DIGIT),
            Some('D') => self.replace_by_class("[^", DIGIT),
            Some('s') => self.replace_by_class("[", SPACE),
            Some('S') => self.replace_by_class("[^", SPACE),
            Some('w') => self.replace_by_class("[", WORD),
            Some('W') => self.replace_by_class("[^", WORD),
            Some('p' | 'P') => self.unicode_class()?,
            _ => {
                let c = self.escaped_char()?;
                self.literal(c, 0);
            }
        }
        self.repeatable = true;
        Ok(())
    }

    fn replace(&mut self, rust: &str) {
        self.position += 2;
        self.rust.push_str(rust);
    }

    fn replace_by_class(&mut self, open: &str, content: &str) {
        self.replace(open);
        self.rust.push_str(content);
        self.rust.push(']');
    }

    /// `\Q…\E`, or up to the end.
    fn quoted(&mut self) {
        self.position += 2;
        let rest = self.rest();
        let (quoted, behind) = rest.split_once(r"\E").unwrap_or((rest, ""));
        for c in quoted.chars() {
            self.literal(c, 0);
        }
        self.position += rest.len() - behind.len();
    }

    /// `\pN`, `\p{Greek}`, `\P{^Greek}`. Works inside classes too.
    pub(super) fn unicode_class(&mut self) -> Result<()> {
        let rest = self.rest();
        let invalid = |part: &str| error("invalid character class range", part);
        let mut letters = rest.chars();
        let mut negative = letters.nth(1) == Some('P');
        let mut behind = letters.as_str();
        let mut name = match letters.next() {
            None => return Err(invalid(rest)),
            Some('{') => {
                let (name, after) = letters.as_str().split_once('}').ok_or_else(|| invalid(rest))?;
                behind = after;
                name
            }
            Some(c) => {
                let (name, after) = behind.split_at(c.len_utf8());
                behind = after;
                name
            }
        };
        let n_bytes = rest.len() - behind.len();
        if let Some(inverted) = name.strip_prefix('^') {
            negative = !negative;
            name = inverted;
        }
        let rust = format!("\\{}{{{name}}}", if negative { 'P' } else { 'p' });
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || regex_syntax::parse(&rust).is_err() {
            return Err(invalid(rest.get(..n_bytes).unwrap_or_default()));
        }
        self.rust.push_str(&rust);
        self.position += n_bytes;
        Ok(())
    }

    /// The character that the escape at the position stands for.
    pub(super) fn escaped_char(&mut self) -> Result<char> {
        let start = self.position;
        self.position += 1;
        let Some(c) = self.next_char() else {
            return Err(error("trailing backslash at end of expression", ""));
        };
        let code = match c {
            '0' => Some(self.octal(0)),
            // One digit alone would be a reference to a group, which there is not.
            '1'..='7' if self.rest().starts_with(|c: char| c.is_digit(8)) => {
                Some(self.octal(c.to_digit(8).unwrap_or_default()))
            }
            'x' => self.hexadecimal(),
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        code.and_then(char::from_u32)
            .ok_or_else(|| error(INVALID_ESCAPE, self.read_since(start)))
    }

    pub(super) fn next_char(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.position += c.len_utf8();
        Some(c)
    }

    /// Up to two digits more.
    fn octal(&mut self, first: u32) -> u32 {
        let mut code = first;
        for _ in 0..2 {
            let Some(digit) = self.rest().chars().next().and_then(|c| c.to_digit(8)) else {
                break;
            };
            code = code * 8 + digit;
            self.position += 1;
        }
        code
    }

    /// Two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Option<u32> {
        let first = self.next_char()?;
        if first != '{' {
            let second = self.next_char();
            return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let mut code: u32 = 0;
        let mut n_digits = 0;
        loop {
            match self.next_char()? {
                '}' if n_digits > 0 => return Some(code),
                c => code = code * 16 + c.to_digit(16)?,
            }
            if code > u32::from(char::MAX) {
                return None;
            }
            n_digits += 1;
        }
    }
}
