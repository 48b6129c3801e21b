//! How names and values are written that do not fit the classic character set.
//!
//! Source: prometheus/common `model` (escaping schemes) and the text format's documentation. A *classic* name is
//! `[a-zA-Z_:][a-zA-Z0-9_:]*`; the colon counts for label names too, as it does there.

use std::borrow::Cow;
use std::fmt::Write;

/// What happens to names that are not classic. Values may hold any UTF-8 in every scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Escaping {
    /// They are written in quotes; a metric name moves into the braces.
    AllowUtf8,
    /// Every character that does not fit becomes `_`. What a reader gets that does not ask.
    #[default]
    Underscores,
    /// As [`Self::Underscores`], but `.` becomes `_dot_` and `_` becomes `__`, so that dots come back.
    Dots,
    /// `U__` in front and every character that does not fit as `_<hex>_`, so that everything comes back.
    Values,
}

impl Escaping {
    /// The word of the `escaping` parameter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The scheme of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values]
            .into_iter()
            .find(|escaping| escaping.as_str() == word)
    }

    /// `name` as this scheme writes it, without quotes. Classic names are never touched.
    #[must_use]
    pub fn escape(self, name: &str) -> Cow<'_, str> {
        if self == Self::AllowUtf8 || name.is_empty() || is_classic(name) {
            return Cow::Borrowed(name);
        }
        let mut escaped = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            escaped.push_str("U__");
        }
        for (position, character) in name.char_indices() {
            match (self, character) {
                (Self::Dots, '.') => escaped.push_str("_dot_"),
                (Self::Dots | Self::Values, '_') => escaped.push_str("__"),
                _ if is_classic_character(character, position) => escaped.push(character),
                (Self::Dots, _) => escaped.push_str("__"),
                (Self::Values, _) => {
                    let written = write!(escaped, "_{:x}_", u32::from(character));
                    debug_assert!(written.is_ok(), "writing to a String cannot fail");
                }
                _ => escaped.push('_'),
            }
        }
        Cow::Owned(escaped)
    }
}

/// True for names that every reader understands.
pub(super) fn is_classic(name: &str) -> bool {
    let is_classic = |byte: u8| CLASSIC_BYTES.get(usize::from(byte)) == Some(&true);
    let starts_with_digit = name.as_bytes().first().is_some_and(u8::is_ascii_digit);
    !name.is_empty() && !starts_with_digit && name.bytes().all(is_classic)
}

pub(super) fn is_classic_character(character: char, position: usize) -> bool {
    character.is_ascii_alphanumeric() && (position > 0 || !character.is_ascii_digit())
        || matches!(character, '_' | ':')
}

/// Which bytes a classic name may have behind its first. A table, because every name of a reply is looked at.
static CLASSIC_BYTES: [bool; 256] = classic_bytes();

const fn classic_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut rest: &[u8] = b"_:0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    while let [byte, tail @ ..] = rest {
        #[expect(
            clippy::indexing_slicing,
            reason = "evaluated at compile time, and a byte is below 256"
        )]
        {
            table[*byte as usize] = true;
        }
        rest = tail;
    }
    table
}

/// Appends the inside of a quoted text: `\`, `"` and line feed are escaped.
pub(super) fn push_quoted(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(position) = memchr::memchr3(b'\\', b'"', b'\n', rest.as_bytes()) {
        let (before, tail) = rest.split_at_checked(position).unwrap_or((rest, ""));
        out.push_str(before);
        let mut characters = tail.chars();
        out.push_str(match characters.next() {
            Some('\n') => "\\n",
            Some('"') => "\\\"",
            _ => "\\\\",
        });
        rest = characters.as_str();
    }
    out.push_str(rest);
}

/// Appends the text of a HELP line: `\` and line feed are escaped.
pub(super) fn push_help(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\\' => out.push_str("\\\\"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_prometheus_does() {
        let check = |name: &str, underscores: &str, dots: &str, values: &str| {
            assert_eq!(Escaping::Underscores.escape(name), underscores, "{name}");
            assert_eq!(Escaping::Dots.escape(name), dots, "{name}");
            assert_eq!(Escaping::Values.escape(name), values, "{name}");
            assert_eq!(Escaping::AllowUtf8.escape(name), name);
        };
        check(
            "http_requests_total",
            "http_requests_total",
            "http_requests_total",
            "http_requests_total",
        );
        check(
            "federate:rate5m",
            "federate:rate5m",
            "federate:rate5m",
            "federate:rate5m",
        );
        check(
            "http.status_code",
            "http_status_code",
            "http_dot_status__code",
            "U__http_2e_status__code",
        );
        check("1st", "_st", "__st", "U___31_st");
        check("größe", "gr__e", "gr____e", "U__gr_f6__df_e");
        check("", "", "", "");
    }

    #[test]
    fn quoted_text_has_three_escapes() {
        let check = |text: &str, expected: &str| {
            let mut out = String::new();
            push_quoted(&mut out, text);
            assert_eq!(out, expected);
        };
        check("plain", "plain");
        check("a\\b\"c\nd", r#"a\\b\"c\nd"#);
        check("\n", "\\n");
        check("größe\t", "größe\t");
    }

    #[test]
    fn the_table_and_the_characters_agree() {
        for byte in 0..=127_u8 {
            let character = char::from(byte);
            assert_eq!(
                is_classic(&format!("a{character}")),
                is_classic_character(character, 1),
                "{character:?}"
            );
            assert_eq!(
                is_classic(&character.to_string()),
                is_classic_character(character, 0),
                "{character:?}"
            );
        }
        assert!(!is_classic("ö") && !is_classic(""));
    }
}
