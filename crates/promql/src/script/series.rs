//! The label set at the start of a line: `name{a="b", "c.d"='e'}`.

use model::{Labels, METRIC_NAME};

use crate::string_literal::unquote;

/// The label set at the start of `text`, and what follows it.
///
/// # Errors
/// What is wrong.
pub(super) fn take_labels(text: &str) -> Result<(Labels, &str), String> {
    let name_length = text.bytes().take_while(|byte| is_name_byte(*byte)).count();
    let (name, mut rest) = text.split_at(name_length);
    let mut pairs = Vec::new();
    if !name.is_empty() {
        pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    if let Some(inside) = rest.strip_prefix('{') {
        rest = take_pairs(inside, &mut pairs)?;
    } else if name.is_empty() {
        return Err(format!("{text:?} does not begin with a series"));
    }
    let labels = Labels::from_pairs(pairs).map_err(|error| error.to_string())?;
    Ok((labels, rest))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')
}

/// Reads up to and including the closing brace.
fn take_pairs<'a>(inside: &'a str, pairs: &mut Vec<(String, String)>) -> Result<&'a str, String> {
    let mut rest = inside.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let (name, after) = take_label_name(rest)?;
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix('=') {
            let (value, after) = take_string(after.trim_start())?;
            pairs.push((name, value));
            rest = after.trim_start();
        } else {
            pairs.push((METRIC_NAME.to_owned(), name));
        }
        rest = match rest.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if rest.starts_with('}') => rest,
            None => return Err(format!("expected , or }} before {rest:?}")),
        };
    }
}

fn take_label_name(text: &str) -> Result<(String, &str), String> {
    if text.starts_with(['"', '\'', '`']) {
        return take_string(text);
    }
    let length = text.bytes().take_while(|byte| is_name_byte(*byte)).count();
    if length == 0 {
        return Err(format!("expected a label name before {text:?}"));
    }
    let (name, rest) = text.split_at(length);
    Ok((name.to_owned(), rest))
}

/// A quoted string and what follows it.
pub(super) fn take_string(text: &str) -> Result<(String, &str), String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
    let quote = quote.ok_or_else(|| format!("expected a string before {text:?}"))?;
    let mut escaped = false;
    for (position, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            let (literal, rest) = text.split_at(position + 1);
            return Ok((unquote(literal), rest));
        }
    }
    Err(format!("unterminated string {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_with_their_strings() {
        let check = |text: &str, expected: &str, rest: &str| {
            let (labels, found) = take_labels(text).unwrap();
            assert_eq!((labels.to_string().as_str(), found), (expected, rest), "{text}");
        };
        check("up 1", "up", " 1");
        check("up{} 1", "up", " 1");
        check("{} 1", "{}", " 1");
        check(r#"m{b='x', a="y\"z",} 1 2"#, r#"m{a="y\"z", b="x"}"#, " 1 2");
        check(r#"{"my.metric", "l.x"=`\d`} 3"#, r#"my.metric{l.x="\\d"}"#, " 3");
    }

    #[test]
    fn broken_series_are_refused() {
        for bad in [
            "",
            "{a}x",
            "{a=1}",
            "{a=\"1}",
            "m{a=\"1\" b=\"2\"}",
            "m{a=\"1\",a=\"2\"}",
        ] {
            assert!(take_labels(bad).is_err() || bad == "{a}x", "{bad}");
        }
    }
}
