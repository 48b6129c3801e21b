//! String literals: Go's escapes, read and written.

use std::fmt::Write;

/// The text of a literal that the lexer has accepted, quotes included. Raw strings (backquotes) stand for
/// themselves. Bytes written as `\xff` or `\377` that are no UTF-8 become U+FFFD, one each: that is also what
/// Prometheus' JSON shows for them.
pub(crate) fn unquote(literal: &str) -> String {
    String::from_utf8(unquote_bytes(literal)).unwrap_or_else(|error| from_utf8_bytewise(error.as_bytes()))
}

/// As [`unquote`], but `None` when the text is no UTF-8.
pub(crate) fn unquote_utf8(literal: &str) -> Option<String> {
    String::from_utf8(unquote_bytes(literal)).ok()
}

/// A literal, quotes included, as Go's `%q` writes what it stands for, if that is no UTF-8: no label can have such a name.
#[must_use]
pub fn quoted_if_no_utf8(literal: &str) -> Option<String> {
    let bytes = unquote_bytes(literal);
    if std::str::from_utf8(&bytes).is_ok() {
        return None;
    }
    let mut quoted = String::from('"');
    for chunk in bytes.utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|c| push_quoted(c, '"', &mut quoted));
        for byte in chunk.invalid() {
            write!(quoted, "\\x{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    quoted.push('"');
    Some(quoted)
}

fn unquote_bytes(literal: &str) -> Vec<u8> {
    let mut chars = literal.chars();
    let (Some(quote), Some(_)) = (chars.next(), chars.next_back()) else {
        return Vec::new();
    };
    let mut rest = chars.as_str();
    if quote == '`' {
        return rest.into();
    }
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some(backslash) = rest.find('\\') {
        let (plain, escape) = rest.split_at(backslash);
        bytes.extend_from_slice(plain.as_bytes());
        rest = unescape(escape.strip_prefix('\\').unwrap_or_default(), &mut bytes);
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Appends what the escape at the start of `escape` (behind its backslash) stands for; gives back the rest.
fn unescape<'a>(escape: &'a str, bytes: &mut Vec<u8>) -> &'a str {
    let mut chars = escape.chars();
    let Some(letter) = chars.next() else {
        return "";
    };
    let (n_digits, radix, skipped) = match letter {
        'x' => (2, 16, 1),
        'u' => (4, 16, 1),
        'U' => (8, 16, 1),
        '0'..='7' => (3, 8, 0),
        _ => {
            let plain = match letter {
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                other => other,
            };
            push_char(plain, bytes);
            return chars.as_str();
        }
    };
    let digits = escape.get(skipped..skipped + n_digits).unwrap_or_default();
    let code = u32::from_str_radix(digits, radix).unwrap_or_default();
    match (letter, u8::try_from(code)) {
        ('x' | '0'..='7', Ok(byte)) => bytes.push(byte),
        _ => push_char(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), bytes),
    }
    escape.get(skipped + n_digits..).unwrap_or_default()
}

fn push_char(c: char, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn from_utf8_bytewise(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// `text` in double quotes, as Go's `%q` writes it; reads back to the same text.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_quoted(c, '"', &mut quoted);
    }
    quoted.push('"');
    quoted
}

/// `c` in single quotes, as Go's `%q` writes it.
pub(crate) fn quote_char(c: char) -> String {
    let mut quoted = String::from('\'');
    push_quoted(c, '\'', &mut quoted);
    quoted.push('\'');
    quoted
}

/// `U+0078 'x'`, as Go's `%#U` writes it; without the character when it is not printable.
pub(crate) fn code_point(c: char) -> String {
    let code = u32::from(c);
    if is_printable(c) {
        format!("U+{code:04X} '{c}'")
    } else {
        format!("U+{code:04X}")
    }
}

fn push_quoted(c: char, mark: char, quoted: &mut String) {
    match c {
        '\\' => quoted.push_str("\\\\"),
        _ if c == mark => {
            quoted.push('\\');
            quoted.push(c);
        }
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        _ if is_printable(c) => quoted.push(c),
        _ => push_code(u32::from(c), quoted),
    }
}

fn push_code(code: u32, quoted: &mut String) {
    let written = match code {
        0..=0x7f => write!(quoted, "\\x{code:02x}"),
        0x80..=0xffff => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
    written.expect("writing to a String cannot fail");
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space. U+FFFD is left out, because a literal must
/// not contain it as such.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library escapes what is not printable, and combining marks only at the start of a text.
    c != char::REPLACEMENT_CHARACTER && !format!("a{c}").escape_debug().any(|shown| shown == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_read_as_go_reads_them() {
        let check = |literal: &str, expected: &str| assert_eq!(unquote(literal), expected, "{literal}");
        check(r#""a""#, "a");
        check(r#"'a"b'"#, "a\"b");
        check(r"'\'\\\n\t\a'", "'\\\n\t\x07");
        check(r"`\n`", r"\n");
        check(r#""\x41\101\u00e9\U0001F600""#, "AAé😀");
        check(r#""\xc3\xa9""#, "é");
        check(r#""\xff\xfe!""#, "\u{fffd}\u{fffd}!");
        check(r#""é\\""#, "é\\");
        check(r#""""#, "");
    }

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        let check = |text: &str, expected: &str| assert_eq!(quote(text), expected);
        check("a\"b\\", r#""a\"b\\""#);
        check("\u{1}\n\u{7f}", r#""\x01\n\x7f""#);
        check("é😀", "\"é😀\"");
        check("e\u{301}", "\"e\u{301}\"");
        check("\u{a0}\u{200b}\u{e0001}", r#""\u00a0\u200b\U000e0001""#);
        check("\u{fffd}", r#""\ufffd""#);
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
        assert_eq!(code_point('x'), "U+0078 'x'");
        assert_eq!(code_point('\n'), "U+000A");
    }

    #[test]
    fn quoted_texts_read_back() {
        for text in ["", "a", "\u{fffd}", "\\n", "\u{85}\u{1f600}\u{10ffff}", "'\"`"] {
            assert_eq!(unquote(&quote(text)), text);
        }
    }
}
