//! `label_replace` and `label_join`, on strings. A caller with dictionary-coded labels applies them once per distinct
//! value.

use regex::{Captures, Regex};

/// Why a label function cannot be applied; fails the query. The texts are Prometheus'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelFunctionError {
    /// The pattern does not compile.
    #[error("invalid regular expression in label_replace(): {0}")]
    BadRegex(String),
    /// The destination is no label name.
    #[error("invalid destination label name in {function}(): {name}")]
    BadDestination {
        /// Which of the two.
        function: &'static str,
        /// As written.
        name: String,
    },
    /// A source of `label_join` is no label name.
    #[error("invalid source label name in label_join(): {0}")]
    BadSource(String),
}

/// `label_replace(v, destination, replacement, source, regex)`, compiled.
#[derive(Debug, Clone)]
pub struct LabelReplace {
    /// The label that is written. An empty new value deletes it.
    pub destination: String,
    /// The label that is read, empty when absent.
    pub source: String,
    regex: Regex,
    template: Vec<Piece>,
}

/// A part of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Index(usize),
    Name(String),
}

impl LabelReplace {
    /// Checks the arguments, in the order of the function's.
    ///
    /// # Errors
    /// [`LabelFunctionError::BadRegex`] and [`LabelFunctionError::BadDestination`].
    pub fn new(
        destination: &str,
        replacement: &str,
        source: &str,
        regex: &str,
    ) -> Result<Self, LabelFunctionError> {
        let compiled =
            model::regexp::compile(regex).map_err(|_| LabelFunctionError::BadRegex(regex.to_owned()))?;
        check_destination("label_replace", destination)?;
        Ok(Self {
            destination: destination.to_owned(),
            source: source.to_owned(),
            regex: compiled,
            template: parse_template(replacement),
        })
    }

    /// The new value of the destination for a value of the source; `None` leaves the series as it is.
    #[must_use]
    pub fn apply(&self, source_value: &str) -> Option<String> {
        let captures = self.regex.captures(source_value)?;
        let mut text = String::new();
        for piece in &self.template {
            text.push_str(piece.resolve(&captures));
        }
        Some(text)
    }
}

impl Piece {
    /// A group that does not exist or took no part in the match is empty.
    fn resolve<'a>(&'a self, captures: &Captures<'a>) -> &'a str {
        let group = match self {
            Self::Text(text) => return text,
            Self::Index(index) => captures.get(*index),
            Self::Name(name) => captures.name(name),
        };
        group.map_or("", |group| group.as_str())
    }
}

/// Splits a replacement by the rules of Go's `regexp.Expand`: `$name` with the longest name of letters, digits and
/// underscores, `${name}`, `$$` for a dollar sign; a dollar sign that starts none of these stands for itself.
fn parse_template(replacement: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = parse_reference(rest) {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(reference(name));
            rest = after;
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// The name after a dollar sign, and what follows it.
fn parse_reference(text: &str) -> Option<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let braced = text.strip_prefix('{');
    let name_on = braced.unwrap_or(text);
    let end = name_on.find(|c| !is_word(c)).unwrap_or(name_on.len());
    let (name, rest) = name_on.split_at(end);
    if name.is_empty() {
        return None;
    }
    match braced {
        Some(_) => Some((name, rest.strip_prefix('}')?)),
        None => Some((name, rest)),
    }
}

/// Digits without a leading zero are a position, anything else is a name.
fn reference(name: &str) -> Piece {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    match name.parse() {
        Ok(index) if is_number => Piece::Index(index),
        _ => Piece::Name(name.to_owned()),
    }
}

/// `label_join(v, destination, separator, sources…)`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelJoin {
    /// The label that is written, always. An empty new value deletes it.
    pub destination: String,
    /// Stands between values, those of absent labels included.
    pub separator: String,
    /// The labels that are read; may be none.
    pub sources: Vec<String>,
}

impl LabelJoin {
    /// Checks the arguments, in the order of the function's.
    ///
    /// # Errors
    /// [`LabelFunctionError::BadSource`] and [`LabelFunctionError::BadDestination`].
    pub fn new<S: Into<String>>(
        destination: &str,
        separator: &str,
        sources: impl IntoIterator<Item = S>,
    ) -> Result<Self, LabelFunctionError> {
        let sources: Vec<String> = sources.into_iter().map(Into::into).collect();
        if let Some(bad) = sources.iter().find(|source| !is_label_name(source)) {
            return Err(LabelFunctionError::BadSource(bad.clone()));
        }
        check_destination("label_join", destination)?;
        Ok(Self {
            destination: destination.to_owned(),
            separator: separator.to_owned(),
            sources,
        })
    }

    /// The new value of the destination; `values` are those of the sources, in their order, empty when absent.
    pub fn apply<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> String {
        let mut joined = String::new();
        for (position, value) in values.into_iter().enumerate() {
            if position > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(value);
        }
        joined
    }
}

/// Any text but the empty one is a label name since Prometheus 3.0; that it is UTF-8 is given here.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    !name.is_empty()
}

fn check_destination(function: &'static str, name: &str) -> Result<(), LabelFunctionError> {
    if is_label_name(name) {
        return Ok(());
    }
    Err(LabelFunctionError::BadDestination {
        function,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(replacement: &str, regex: &str, source: &str, expected: Option<&str>) {
        let replace = LabelReplace::new("dst", replacement, "src", regex).unwrap();
        assert_eq!(replace.apply(source).as_deref(), expected);
    }

    #[test]
    fn the_whole_value_has_to_match() {
        check(
            "destination-value-$1",
            "source-value-(.*)",
            "source-value-10",
            Some("destination-value-10"),
        );
        check("destination-value-$1", "value-(.*)", "source-value-10", None);
        check(
            "$1-value-$2",
            "(.*)-value-(.*)",
            "source-value-20",
            Some("source-value-20"),
        );
        check("value-$1", "source-value-(.*)", "", None);
        check("value-$1", "(.*)", "", Some("value-"));
        check("", ".*", "anything", Some(""));
        check("x", "a|b", "ab", None);
        check("$1", "(.*)", "two\nlines", Some("two\nlines"));
    }

    #[test]
    fn replacements_expand_as_in_go() {
        let on_word = |replacement: &str, expected: &str| {
            check(
                replacement,
                "(?P<first>[a-z]+)-(?<second>[a-z]+)(?:-(x))?",
                "ab-cd",
                Some(expected),
            );
        };
        on_word("$0", "ab-cd");
        on_word("${1}x$2", "abxcd");
        on_word("$1x", "");
        on_word("$first.$second", "ab.cd");
        on_word("${second}_${first}", "cd_ab");
        on_word("$first_", "");
        on_word("[$3][$9][$01][$nobody]", "[][][][]");
        on_word("$$1 $", "$1 $");
        on_word("${1 ${} $- $", "${1 ${} $- $");
        on_word("${1", "${1");
        on_word("$99999999999999999999999", "");
        on_word("größe$2größe", "größe");
    }

    #[test]
    fn bad_arguments_are_named() {
        let error = |destination: &str, regex: &str| {
            LabelReplace::new(destination, "", "src", regex)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("dst", "(.*"),
            "invalid regular expression in label_replace(): (.*"
        );
        assert_eq!(
            error("", ".*"),
            "invalid destination label name in label_replace(): "
        );
        let join = |destination: &str, source: &str| {
            LabelJoin::new(destination, "-", [source])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(join("", "a"), "invalid destination label name in label_join(): ");
        assert_eq!(join("a", ""), "invalid source label name in label_join(): ");
        assert!(LabelJoin::new("a b", "", ["ünïcode"]).is_ok());
    }

    #[test]
    fn joining_keeps_the_place_of_absent_labels() {
        let join = LabelJoin::new("dst", "-", ["src", "src3", "src1"]).unwrap();
        assert_eq!(join.apply(["a", "", "b"]), "a--b");
        assert_eq!(join.apply([]), "");
        assert_eq!(LabelJoin::new("dst", "", ["a", "b"]).unwrap().apply(["", ""]), "");
    }
}
