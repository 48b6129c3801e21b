//! Classes in brackets.

use std::fmt::Write;

use super::escape::{DIGIT, SPACE, WORD};
use super::{Result, Translator, error};

/// The names in `[[:alpha:]]`; the same in both dialects.
const POSIX_NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

impl Translator<'_> {
    /// `[…]`; the bracket comes next.
    pub(super) fn class(&mut self) -> Result<()> {
        let start = self.position;
        self.copy(1);
        if self.rest().starts_with('^') {
            self.copy(1);
        }
        // A bracket closes the class everywhere but at its start.
        let mut first = true;
        while first || !self.rest().starts_with(']') {
            first = false;
            self.class_item(start)?;
        }
        self.copy(1);
        self.repeatable = true;
        Ok(())
    }

    fn class_item(&mut self, class_start: usize) -> Result<()> {
        let rest = self.rest();
        if rest.starts_with("[:") && self.posix_class()? {
            return Ok(());
        }
        if rest.starts_with(r"\p") || rest.starts_with(r"\P") {
            return self.unicode_class();
        }
        let (negative, members) = match rest.get(..2) {
            Some(r"\d") => (false, DIGIT),
            Some(r"\D") => (true, DIGIT),
            Some(r"\s") => (false, SPACE),
            Some(r"\S") => (true, SPACE),
            Some(r"\w") => (false, WORD),
            Some(r"\W") => (true, WORD),
            _ => return self.class_range(class_start),
        };
        self.position += 2;
        self.rust.push_str(if negative { "[^" } else { "" });
        self.rust.push_str(members);
        self.rust.push_str(if negative { "]" } else { "" });
        Ok(())
    }

    /// `[:alpha:]`, `[:^alpha:]`. False when it is none after all: the bracket is a literal then.
    fn posix_class(&mut self) -> Result<bool> {
        let rest = self.rest();
        let Some((open, _)) = rest.get(2..).and_then(|inner| inner.split_once(":]")) else {
            return Ok(false);
        };
        let n_bytes = open.len() + 4;
        let name = open.strip_prefix('^').unwrap_or(open);
        if !POSIX_NAMES.contains(&name) {
            let written = rest.get(..n_bytes).unwrap_or_default();
            return Err(error("invalid character class range", written));
        }
        self.copy(n_bytes);
        Ok(true)
    }

    /// `a` or `a-z`.
    fn class_range(&mut self, class_start: usize) -> Result<()> {
        let start = self.position;
        let low = self.class_char(class_start)?;
        let mut high = low;
        let follows = self.rest().strip_prefix('-');
        if follows.is_some_and(|behind| !behind.is_empty() && !behind.starts_with(']')) {
            self.position += 1;
            high = self.class_char(class_start)?;
            if high < low {
                let written = self.read_since(start);
                return Err(error("invalid character class range", written));
            }
        }
        push_class_char(low, &mut self.rust);
        if high != low {
            self.rust.push('-');
            push_class_char(high, &mut self.rust);
        }
        Ok(())
    }

    fn class_char(&mut self, class_start: usize) -> Result<char> {
        if self.rest().starts_with('\\') {
            return self.escaped_char();
        }
        self.next_char().ok_or_else(|| {
            let class = self.pattern.get(class_start..).unwrap_or_default();
            error("missing closing ]", class)
        })
    }
}

/// Rust gives more characters a meaning in classes than Go.
fn push_class_char(c: char, rust: &mut String) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        rust.push(c);
    } else {
        write!(rust, "\\x{:02X}", u32::from(c)).expect("writing to a String cannot fail");
    }
}
