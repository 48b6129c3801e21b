//! Numbers, durations, strings and words in the many forms PromQL allows.

use testkit::Chance;

/// A duration of whole milliseconds, at least one, as it may stand in brackets or after `offset`.
pub(crate) fn duration(chance: &mut Chance, ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.abs());
    let text = match chance.below(10) {
        0 => format!("{ms}ms"),
        1 if ms % 1_000 == 0 => format!("{}", ms / 1_000),
        2 => format!("{}", ms as f64 / 1_000.0),
        3 if ms % 1_000 == 0 => format!("0x{:X}", ms / 1_000),
        4 if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        5 => format!("{:e}", ms as f64 / 1_000.0),
        _ => composed(ms),
    };
    format!("{sign}{text}")
}

/// About that many milliseconds, sometimes as an expression.
pub(crate) fn length(chance: &mut Chance, ms: i64) -> String {
    let part = |chance: &mut Chance, divisor: i64| duration(chance, (ms / divisor).max(1));
    match chance.below(30) {
        0 => format!("{} * 2", part(chance, 2)),
        1 => format!("({} + 30s)", part(chance, 1)),
        2 => format!("2 ^ 3 * {}", part(chance, 8)),
        3 => format!("{} - -({})", part(chance, 2), part(chance, 2)),
        4 => format!("({}) / 2 + {} % 7m", part(chance, 1), part(chance, 2)),
        5 => format!("-1m + {} + 1m", part(chance, 1)),
        6 => format!("+{}", part(chance, 1)),
        7 => format!("(({}))", part(chance, 1)),
        8 => format!("{} / 1.5 * 0x3 ^ .5", part(chance, 1)),
        _ => part(chance, 1),
    }
}

/// `1h5m30s`.
fn composed(ms: i64) -> String {
    let mut rest = ms;
    let mut text = String::new();
    for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest / length > 0 {
            text += &format!("{}{unit}", rest / length);
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A number.
pub(crate) fn number(chance: &mut Chance) -> String {
    let whole = chance.between(0, 20);
    let text = match chance.below(24) {
        0 => format!(".{whole}"),
        1 => format!("{whole}."),
        2 => format!("{whole}e{}", chance.between(-3, 3)),
        3 => format!("{whole}.5E+1"),
        4 => format!("0x{whole:x}F"),
        5 => format!("0{:o}", whole + 8),
        6 => format!("{whole}_000"),
        7 => chance.pick(&["Inf", "inf", "INF"]).to_owned(),
        8 => chance.pick(&["NaN", "nan", "NAN"]).to_owned(),
        9 => chance.pick(&["1h30m", "5m", "1d", "2w", "1y", "10ms"]).to_owned(),
        10 => chance
            .pick(&["1e300", "1e-9", "1e-300", "1e22", "0.000001", "1e21"])
            .to_owned(),
        11 => "0".to_owned(),
        12 | 13 => format!("{}.{}", whole, chance.between(0, 99)),
        _ => whole.to_string(),
    };
    match chance.below(12) {
        0 | 1 => format!("-{text}"),
        2 => format!("+{text}"),
        _ => text,
    }
}

/// A small whole number, as for `topk`.
pub(crate) fn count(chance: &mut Chance) -> String {
    chance
        .pick(&["1", "2", "3", "5", "2.9", "0", "100", "-1", "1e0", "0x2"])
        .to_owned()
}

/// A quantile or the like, mostly from 0 to 1.
pub(crate) fn ratio(chance: &mut Chance) -> String {
    let list = [
        "0", "0.1", "0.25", "0.5", ".9", "0.95", "0.99", "1", "1.", "5e-1", "-0.5", "1.5", "NaN", "0.999",
        "Inf",
    ];
    chance.pick(&list).to_owned()
}

/// `text` as a string literal.
pub(crate) fn string(chance: &mut Chance, text: &str) -> String {
    let backquoted = !text.contains(['`', '\r']);
    match chance.below(5) {
        0 if backquoted => format!("`{text}`"),
        1 => {
            let escaped = text
                .replace('\\', "\\\\")
                .replace('\'', "\\'")
                .replace('\n', "\\n");
            format!("'{escaped}'")
        }
        2 if text.is_ascii() && !text.is_empty() => {
            let coded: Vec<String> = text.bytes().map(|byte| escape(chance, byte)).collect();
            format!("\"{}\"", coded.concat())
        }
        _ => quoted(text),
    }
}

/// `text` in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

/// One byte of a string, most of them as they are, some in Go's escapes.
fn escape(chance: &mut Chance, byte: u8) -> String {
    match chance.below(8) {
        0 => format!("\\x{byte:02x}"),
        1 => format!("\\{byte:03o}"),
        2 => format!("\\u{byte:04x}"),
        3 => format!("\\U{byte:08x}"),
        _ => {
            let plain = quoted(&char::from(byte).to_string());
            plain[1..plain.len() - 1].to_owned()
        }
    }
}

/// A keyword in some mixture of cases.
pub(crate) fn keyword(chance: &mut Chance, word: &str) -> String {
    match chance.below(12) {
        0 => word.to_uppercase(),
        1 => word
            .char_indices()
            .map(|(idx, letter)| {
                if idx == 0 {
                    letter.to_ascii_uppercase()
                } else {
                    letter
                }
            })
            .collect(),
        _ => word.to_owned(),
    }
}

/// A label name as it may stand in a list: quoted when it has to be, and sometimes when not.
pub(crate) fn label(chance: &mut Chance, name: &str) -> String {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && !chance.one_in(20) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// The text with other white space and comments between its words; strings stay as they are.
pub(crate) fn spaced(chance: &mut Chance, text: &str) -> String {
    let mut result = String::new();
    let mut quote = None;
    let mut escaped = false;
    for letter in text.chars() {
        if letter == ' ' && quote.is_none() {
            result += chance.pick(&[" ", "  ", "\n", "\t", " # a comment\n", "\r\n", " "]);
            continue;
        }
        result.push(letter);
        match quote {
            None if matches!(letter, '"' | '\'' | '`') => quote = Some(letter),
            Some(open) if letter == open && !escaped => quote = None,
            _ => {}
        }
        escaped = letter == '\\' && !escaped && quote != Some('`');
    }
    result
}

#[cfg(test)]
mod tests {
    use promql::{ParseOptions, parse};

    use super::*;

    #[test]
    fn every_spelling_is_read_back_as_what_it_says() {
        let mut chance = Chance::from_seed(1);
        for _ in 0..5_000 {
            let ms = chance.between(1, 10_000_000);
            let text = format!("a[{}]", duration(&mut chance, ms));
            assert!(parse(&text, &ParseOptions::ALL).is_ok(), "{text}");
            let text = number(&mut chance);
            assert!(parse(&text, &ParseOptions::ALL).is_ok(), "{text}");
            let text = format!("a{{b={}}}", string(&mut chance, "x\"y'z\\n\nw"));
            assert!(parse(&text, &ParseOptions::ALL).is_ok(), "{text}");
        }
    }

    #[test]
    fn spacing_leaves_strings_alone() {
        let mut chance = Chance::from_seed(2);
        for _ in 0..100 {
            let text = spaced(&mut chance, r#"a{b="c d \" e"} + 1"#);
            assert!(text.contains(r#""c d \" e""#), "{text}");
        }
    }
}
