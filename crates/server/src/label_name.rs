//! Label names in a path: `U__my_2e_label` is `my.label`.

/// The name that `escaped` stands for; `escaped` itself when it is not, or not properly, escaped.
///
/// `U__`, then `__` for an underscore, `_hex_` for the character with that number, everything else as it is.
///
/// Source: Prometheus' UTF-8 guide, "values encoding"; prometheus/common `model.UnescapeName`.
pub(crate) fn unescape(escaped: &str) -> String {
    escaped
        .strip_prefix("U__")
        .and_then(unescape_values)
        .unwrap_or_else(|| escaped.to_owned())
}

fn unescape_values(mut rest: &str) -> Option<String> {
    const HEX_DIGITS_MAX: usize = 6;
    let mut name = String::with_capacity(rest.len());
    while let Some((plain, behind)) = rest.split_once('_') {
        name.push_str(plain);
        let (number, behind) = behind.split_once('_')?;
        if number.is_empty() {
            name.push('_');
        } else {
            let hex = number.len() <= HEX_DIGITS_MAX && number.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = u32::from_str_radix(number, 16).ok().filter(|_| hex)?;
            name.push(char::from_u32(code)?);
        }
        rest = behind;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read_and_others_left_alone() {
        for (escaped, expected) in [
            ("job", "job"),
            ("U__my_2e_label", "my.label"),
            ("U__a__b", "a_b"),
            ("U__", ""),
            ("U___e4__1F600_", "\u{e4}\u{1f600}"),
            ("U__a_zz_b", "U__a_zz_b"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_", "U__a_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_0000041_", "U__a_0000041_"),
            ("U__a_+41_", "U__a_+41_"),
        ] {
            assert_eq!(unescape(escaped), expected, "{escaped}");
        }
    }
}
