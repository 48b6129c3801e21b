//! Regular expressions as Prometheus reads them: Go's RE2 syntax, matched with Rust's `regex`.
//!
//! The two dialects are close but not equal: in Go a `{` that begins no repetition is a literal, classes do not
//! nest and have no `&&`, `\d`, `\w`, `\s` and `\b` are ASCII, `\Q…\E` quotes, octal escapes exist, `a**` is an error.
//! A pattern is therefore read by Go's rules, errors worded as Go words them, and written in Rust's syntax.
//!
//! Accepted beyond Go: loose names in `\p{…}`, and repetitions whose product exceeds 1,000. Refused: `a(?i)*`, where
//! Go repeats what stands before the flags.
//! Limits: groups nested [`NESTING_MAX`] deep, compiled size [`COMPILED_BYTES_MAX`].

mod class;
mod escape;

use regex::Regex;

/// How deep groups may be nested. Go allows 1,000.
pub const NESTING_MAX: u32 = 200;

/// The same for Rust's parser, which counts more than groups.
pub(crate) const SYNTAX_NESTING_MAX: u32 = 4 * NESTING_MAX;

/// Bytes a compiled expression may take.
pub const COMPILED_BYTES_MAX: usize = 10 << 20;

/// The largest count in `{n,m}`.
const REPEAT_MAX: u32 = 1_000;

/// Why a text is no regular expression. Prints as Go prints it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {problem}: `{part}`")]
pub struct RegexpError {
    /// What is wrong.
    pub problem: &'static str,
    /// The part of the pattern it is about.
    pub part: String,
}

type Result<T> = std::result::Result<T, RegexpError>;

/// The compiled pattern, anchored at both ends; `.` matches line breaks too.
///
/// # Errors
/// When Go would refuse the pattern, or a limit is exceeded.
pub fn compile(pattern: &str) -> Result<Regex> {
    let translated = to_rust_syntax(pattern)?;
    regex::RegexBuilder::new(&format!("^(?s:{translated})$"))
        .size_limit(COMPILED_BYTES_MAX)
        .nest_limit(SYNTAX_NESTING_MAX)
        .build()
        .map_err(|_| error("expression too large", pattern))
}

/// The pattern in the syntax of Rust's `regex`.
pub(crate) fn to_rust_syntax(pattern: &str) -> Result<String> {
    let mut translator = Translator {
        pattern,
        position: 0,
        rust: String::with_capacity(pattern.len() + pattern.len() / 4),
        n_open_groups: 0,
        names: Vec::new(),
        repeatable: false,
        repetition: None,
    };
    translator.run()?;
    Ok(translator.rust)
}

/// The texts that the pattern stands for when it is nothing but a list of literals, `a|b\.c`, perhaps in one pair of
/// parentheses or between anchors. Far faster than looking at the compiled expression: dashboards send lists of
/// thousands of names.
pub(crate) fn plain_alternatives(pattern: &str) -> Option<Vec<String>> {
    let unanchored = pattern.strip_prefix('^').unwrap_or(pattern);
    let unanchored = match unanchored.strip_suffix('$') {
        Some(rest) if !rest.ends_with('\\') => rest,
        _ => unanchored,
    };
    let list = unanchored
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .map_or(unanchored, |inner| inner.strip_prefix("?:").unwrap_or(inner));
    let is_special = |c: char| matches!(c, '.' | '+' | '*' | '?' | '(' | ')' | '[' | '{' | '^' | '$');
    if !list.contains('\\') {
        let is_plain = !list.contains(is_special);
        return is_plain.then(|| list.split('|').map(str::to_owned).collect());
    }
    let mut alternatives = Vec::new();
    let mut current = String::new();
    let mut chars = list.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => current.push(chars.next().filter(char::is_ascii_punctuation)?),
            '|' => alternatives.push(std::mem::take(&mut current)),
            _ if is_special(c) => return None,
            _ => current.push(c),
        }
    }
    alternatives.push(current);
    Some(alternatives)
}

fn error(problem: &'static str, part: &str) -> RegexpError {
    RegexpError {
        problem,
        part: part.to_owned(),
    }
}

/// Reads a pattern by Go's rules and writes it by Rust's.
struct Translator<'a> {
    pattern: &'a str,
    /// The next byte to read; always between two characters.
    position: usize,
    rust: String,
    n_open_groups: u32,
    /// The names of the groups so far.
    names: Vec<&'a str>,
    /// Something stands before the position that can be repeated.
    repeatable: bool,
    /// Where the repetition directly before the position begins.
    repetition: Option<usize>,
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<()> {
        while let Some(c) = self.rest().chars().next() {
            let repetition = self.repetition.take();
            match c {
                '(' => self.open_group()?,
                ')' => self.close_group()?,
                '|' => {
                    self.copy(1);
                    self.repeatable = false;
                }
                '^' | '$' | '.' => {
                    self.copy(1);
                    self.repeatable = true;
                }
                '[' => self.class()?,
                '*' | '+' | '?' => self.repeat(1, repetition)?,
                '{' => match self.counted_repetition()? {
                    Some(n_bytes) => self.repeat(n_bytes, repetition)?,
                    None => self.literal('{', 1),
                },
                '\\' => self.escape()?,
                _ => self.literal(c, c.len_utf8()),
            }
        }
        if self.n_open_groups > 0 {
            return Err(error("missing closing )", self.pattern));
        }
        Ok(())
    }

    fn rest(&self) -> &'a str {
        self.pattern.get(self.position..).unwrap_or_default()
    }

    /// What has been read since `start`.
    fn read_since(&self, start: usize) -> &'a str {
        self.pattern.get(start..self.position).unwrap_or_default()
    }

    /// Means the same in both dialects.
    fn copy(&mut self, n_bytes: usize) {
        self.rust.push_str(self.rest().get(..n_bytes).unwrap_or_default());
        self.position += n_bytes;
    }

    /// A character that stands for itself, written with `n_bytes`.
    fn literal(&mut self, c: char, n_bytes: usize) {
        push_literal(c, &mut self.rust);
        self.position += n_bytes;
        self.repeatable = true;
    }

    fn close_group(&mut self) -> Result<()> {
        self.n_open_groups = match self.n_open_groups.checked_sub(1) {
            Some(n_open_groups) => n_open_groups,
            None => return Err(error("unexpected )", self.pattern)),
        };
        self.copy(1);
        self.repeatable = true;
        Ok(())
    }

    fn open_group(&mut self) -> Result<()> {
        let rest = self.rest();
        let named = rest.strip_prefix("(?P<").or_else(|| rest.strip_prefix("(?<"));
        if rest.starts_with("(?") {
            match named {
                Some(name) if !name.is_empty() => self.open_named_group(name)?,
                _ => return self.flags(),
            }
        } else {
            self.copy(1);
        }
        self.begin_group()
    }

    fn begin_group(&mut self) -> Result<()> {
        if self.n_open_groups == NESTING_MAX {
            return Err(error("expression nests too deeply", self.pattern));
        }
        self.n_open_groups += 1;
        self.repeatable = false;
        Ok(())
    }

    /// `(?P<name>` or `(?<name>`; `name` begins behind the angle bracket. Rust wants names to be unique and to begin
    /// with a letter: others become plain groups, which keep their number.
    fn open_named_group(&mut self, name: &'a str) -> Result<()> {
        let rest = self.rest();
        let Some((name, behind)) = name.split_once('>') else {
            return Err(error("invalid named capture", rest));
        };
        let n_bytes = rest.len() - behind.len();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(error(
                "invalid named capture",
                rest.get(..n_bytes).unwrap_or_default(),
            ));
        }
        self.position += n_bytes;
        if name.starts_with(|c: char| c.is_ascii_digit()) || self.names.contains(&name) {
            self.rust.push('(');
        } else {
            self.rust.push_str("(?P<");
            self.rust.push_str(name);
            self.rust.push('>');
            self.names.push(name);
        }
        Ok(())
    }

    /// `(?i)`, `(?s-m:` and the like.
    fn flags(&mut self) -> Result<()> {
        let start = self.position;
        let (mut negative, mut flag_seen) = (false, false);
        let mut n_bytes = 2;
        for c in self.rest().chars().skip(2) {
            n_bytes += c.len_utf8();
            match c {
                'i' | 'm' | 's' | 'U' => flag_seen = true,
                '-' if !negative => {
                    negative = true;
                    flag_seen = false;
                }
                ':' | ')' if !negative || flag_seen => {
                    // Rust knows no `(?)`.
                    if n_bytes == 3 && c == ')' {
                        self.position += n_bytes;
                    } else {
                        self.copy(n_bytes);
                    }
                    self.repeatable = false;
                    return if c == ':' { self.begin_group() } else { Ok(()) };
                }
                _ => break,
            }
        }
        self.position += n_bytes;
        Err(error(
            "invalid or unsupported Perl syntax",
            self.read_since(start),
        ))
    }

    /// A repetition of `n_bytes`, with the `?` that may follow it.
    fn repeat(&mut self, n_bytes: usize, before: Option<usize>) -> Result<()> {
        let start = self.position;
        self.copy(n_bytes);
        if self.rest().starts_with('?') {
            self.copy(1);
        }
        if let Some(before) = before {
            let both = self.read_since(before);
            return Err(error("invalid nested repetition operator", both));
        }
        if !self.repeatable {
            let argument = self.read_since(start);
            return Err(error("missing argument to repetition operator", argument));
        }
        self.repetition = Some(start);
        Ok(())
    }

    /// The bytes of `{n}`, `{n,}` or `{n,m}` at the position; `None` when the brace begins no repetition.
    fn counted_repetition(&self) -> Result<Option<usize>> {
        let Some((counts, _)) = self.rest().split_once('}') else {
            return Ok(None);
        };
        let n_bytes = counts.len() + 1;
        let counts = counts.strip_prefix('{').unwrap_or_default();
        let (least, most) = match counts.split_once(',') {
            Some((least, "")) => (least, None),
            Some((least, most)) => (least, Some(most)),
            None => (counts, None),
        };
        if !is_count(least) || !most.is_none_or(is_count) {
            return Ok(None);
        }
        let value = |count: &str| count.parse().unwrap_or(u32::MAX);
        let (least, most) = (value(least), most.map(value));
        if least > REPEAT_MAX || most.is_some_and(|most| most > REPEAT_MAX || most < least) {
            let written = self.rest().get(..n_bytes).unwrap_or_default();
            return Err(error("invalid repeat count", written));
        }
        Ok(Some(n_bytes))
    }
}

/// Digits without a leading zero.
fn is_count(text: &str) -> bool {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits && (text.len() == 1 || !text.starts_with('0'))
}

/// A character that stands for itself outside a class.
fn push_literal(c: char, rust: &mut String) {
    if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
        rust.push('\\');
    }
    rust.push(c);
}

#[cfg(test)]
mod tests;
