//! Matchers: how a selector picks series.

use std::fmt;

use regex::Regex;
use regex_syntax::hir::{Hir, HirKind};

use crate::regexp::{self, RegexpError};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// One condition on one label. An absent label has the value "".
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    pattern: Pattern,
}

/// Why a matcher is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatcherError {
    /// The regular expression does not compile, or is too large.
    #[error(transparent)]
    BadRegex(#[from] RegexpError),
}

/// What the value compares with.
#[derive(Debug, Clone)]
enum Pattern {
    /// One literal: `=` and `!=`.
    Literal,
    /// A regex that only ever matches one of these values, sorted.
    Set(Vec<String>),
    /// Any value: `.*`.
    Any,
    /// Any value but the empty one: `.+`.
    NonEmpty,
    /// Everything else; anchored at both ends.
    Regex(Box<Regex>),
}

/// Largest set that combinations like `(a|b)(c|d)` are turned into. Plain lists may be longer.
const SET_VALUES_MAX: usize = 10_000;

impl Matcher {
    /// A matcher on `name`.
    ///
    /// # Errors
    /// [`MatcherError::BadRegex`] if the operator is a regex one and `value` does not compile.
    pub fn new(op: MatchOp, name: impl Into<String>, value: impl Into<String>) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => Pattern::Literal,
            MatchOp::Regex | MatchOp::NotRegex => Pattern::compile(&value)?,
        };
        Ok(Self {
            name,
            op,
            value,
            pattern,
        })
    }

    /// `name="value"`; cannot fail.
    #[must_use]
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: MatchOp::Equal,
            value: value.into(),
            pattern: Pattern::Literal,
        }
    }

    /// The label's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operator.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The text on the right-hand side, as given.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// True when a series with this value of the label is picked. "" stands for an absent label.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        self.matches_pattern(value) != self.is_negative()
    }

    /// True when series without the label are picked.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// True for `!=` and `!~`.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// The sorted values that the pattern stands for, when it is a literal or reduces to a list of literals
    /// (`a|b|c`, also with groups and redundant anchors). With a negative operator these are the values that are
    /// *not* picked. `None`: every distinct value has to be tested with [`Self::matches`].
    #[must_use]
    pub fn set_values(&self) -> Option<&[String]> {
        match &self.pattern {
            Pattern::Literal => Some(std::slice::from_ref(&self.value)),
            Pattern::Set(values) => Some(values),
            Pattern::Any | Pattern::NonEmpty | Pattern::Regex(_) => None,
        }
    }

    /// True when every value matches, the empty one too: the matcher can be left out.
    #[must_use]
    pub fn matches_everything(&self) -> bool {
        matches!((&self.pattern, self.op), (Pattern::Any, MatchOp::Regex))
    }

    fn matches_pattern(&self, value: &str) -> bool {
        match &self.pattern {
            Pattern::Literal => self.value == value,
            Pattern::Set(values) => values
                .binary_search_by(|candidate| candidate.as_str().cmp(value))
                .is_ok(),
            Pattern::Any => true,
            Pattern::NonEmpty => !value.is_empty(),
            Pattern::Regex(regex) => regex.is_match(value),
        }
    }
}

impl Pattern {
    fn compile(text: &str) -> Result<Self, RegexpError> {
        match text {
            ".*" => return Ok(Self::Any),
            ".+" => return Ok(Self::NonEmpty),
            _ => {}
        }
        let values = match regexp::plain_alternatives(text) {
            Some(values) => Some(values),
            None => literals_of(text)?,
        };
        if let Some(mut values) = values {
            values.sort_unstable();
            values.dedup();
            return Ok(Self::Set(values));
        }
        Ok(Self::Regex(Box::new(regexp::compile(text)?)))
    }
}

/// The strings a pattern matches, when there are few.
fn literals_of(pattern: &str) -> Result<Option<Vec<String>>, RegexpError> {
    let hir = regex_syntax::ParserBuilder::new()
        .dot_matches_new_line(true)
        .nest_limit(regexp::SYNTAX_NESTING_MAX)
        .build()
        .parse(&regexp::to_rust_syntax(pattern)?);
    // What does not parse is compiled next, which tells why.
    Ok(hir.ok().as_ref().and_then(literals))
}

/// The strings this expression matches when there are few and each is a literal; `None` otherwise. Matchers are
/// anchored, so `^` at the very start and `$` at the very end add nothing.
fn literals(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![String::from_utf8(literal.0.to_vec()).ok()?]),
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Class(class) => class_literals(class),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(literals(part)?);
                if all.len() > SET_VALUES_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => concat_literals(strip_anchors(parts)),
        HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

fn strip_anchors(parts: &[Hir]) -> &[Hir] {
    use regex_syntax::hir::Look;
    let is = |hir: &Hir, look: Look| matches!(hir.kind(), HirKind::Look(found) if *found == look);
    let mut parts = parts;
    while let [first, rest @ ..] = parts
        && is(first, Look::Start)
    {
        parts = rest;
    }
    while let [rest @ .., last] = parts
        && is(last, Look::End)
    {
        parts = rest;
    }
    parts
}

/// Every combination of the parts' literals, while that stays small.
fn concat_literals(parts: &[Hir]) -> Option<Vec<String>> {
    let mut prefixes = vec![String::new()];
    for part in parts {
        // Inside a concatenation an anchor is not redundant.
        if matches!(part.kind(), HirKind::Look(_)) || contains_look(part) {
            return None;
        }
        let suffixes = literals(part)?;
        if prefixes.len().checked_mul(suffixes.len())? > SET_VALUES_MAX {
            return None;
        }
        prefixes = prefixes
            .iter()
            .flat_map(|prefix| suffixes.iter().map(move |suffix| format!("{prefix}{suffix}")))
            .collect();
    }
    Some(prefixes)
}

fn contains_look(hir: &Hir) -> bool {
    !hir.properties().look_set().is_empty()
}

fn class_literals(class: &regex_syntax::hir::Class) -> Option<Vec<String>> {
    let regex_syntax::hir::Class::Unicode(class) = class else {
        return None;
    };
    let n_chars: usize = class
        .ranges()
        .iter()
        .map(regex_syntax::hir::ClassUnicodeRange::len)
        .sum();
    if n_chars > 16 {
        return None;
    }
    let chars = class
        .ranges()
        .iter()
        .flat_map(|range| range.start()..=range.end());
    Some(chars.map(String::from).collect())
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

/// `name=~"value"`, the value in Go's quoting.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write!(f, "{}{}{:?}", self.name, op, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str) -> Matcher {
        Matcher::new(MatchOp::Regex, "l", pattern).unwrap()
    }

    #[test]
    fn alternations_of_literals_become_sets() {
        let check = |pattern: &str, expected: &[&str]| {
            let matcher = regex(pattern);
            assert_eq!(matcher.set_values().unwrap(), expected, "{pattern}");
        };
        check("a|b|c", &["a", "b", "c"]);
        check("^(?:b|a)$", &["a", "b"]);
        check("(a|b)c", &["ac", "bc"]);
        check("source|waypoint", &["source", "waypoint"]);
        check(r"reviews\.bookinfo\.svc", &["reviews.bookinfo.svc"]);
        check("", &[""]);
        check("a|", &["", "a"]);
        check("^0$", &["0"]);
    }

    #[test]
    fn other_patterns_are_tested_value_by_value() {
        for pattern in ["a.*", "5..", "a^b", "(^a)b", "a+", r"^0$|^[4-5]\d\d$"] {
            assert!(regex(pattern).set_values().is_none(), "{pattern}");
        }
        assert!(regex("5..").matches("503") && !regex("5..").matches("5031"));
        assert!(!regex("a^b").matches("ab"));
        assert!(regex(r"^0$|^[4-5]\d\d$").matches("404"));
        assert!(regex("a.b").matches("a\nb"));
        assert!(regex("a$|b").matches("a") && !regex("a$|b").matches("ab"));
    }

    #[test]
    fn absent_labels_are_empty() {
        assert!(regex(".*").matches_empty() && regex(".*").matches_everything());
        assert!(!regex(".+").matches_empty());
        assert!(Matcher::new(MatchOp::NotEqual, "l", "x").unwrap().matches_empty());
        assert!(!Matcher::new(MatchOp::NotRegex, "l", "").unwrap().matches_empty());
    }

    #[test]
    fn a_bad_regex_says_what_is_wrong() {
        let error = Matcher::new(MatchOp::Regex, "l", "a(").unwrap_err();
        assert_eq!(error.to_string(), "error parsing regexp: missing closing ): `a(`");
    }
}
