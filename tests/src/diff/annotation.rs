//! Warnings and infos of two replies.

use std::collections::BTreeSet;

use super::reply::Reply;

/// What warnings and infos differ: those of the expected reply with `-`, those of the other with `+`.
pub(super) fn annotation_differences(query: &str, expected: &Reply, actual: &Reply) -> Vec<String> {
    let mut lines = Vec::new();
    for (kind, expected, actual) in [
        ("warning", &expected.warnings, &actual.warnings),
        ("info", &expected.infos, &actual.infos),
    ] {
        // Beyond ten, the choice is Prometheus' own.
        let is_cut = |list: &[String]| list.iter().any(|text| text.ends_with("annotations omitted"));
        if is_cut(expected) || is_cut(actual) {
            continue;
        }
        let texts = |list: &[String]| {
            list.iter()
                .filter_map(|text| comparable_annotation(query, text))
                .collect()
        };
        let (expected, actual): (BTreeSet<_>, BTreeSet<_>) = (texts(expected), texts(actual));
        lines.extend(
            expected
                .difference(&actual)
                .map(|(text, place)| format!("-{kind}: {text} (byte {place})")),
        );
        lines.extend(
            actual
                .difference(&expected)
                .map(|(text, place)| format!("+{kind}: {text} (byte {place})")),
        );
    }
    lines
}

/// An annotation without what 3.14 added or left out; `None` for those that 3.5 does not have. Its place is where the
/// argument it is about begins inside its parentheses, as in 3.14; 3.5 takes now the outside, now the inside.
pub(super) fn comparable_annotation(query: &str, text: &str) -> Option<(String, usize)> {
    if text.contains("is ineffective for range queries") {
        return None;
    }
    let (text, place) = text.rsplit_once(" (")?;
    let cuts = [" for metric name ", " needed to be fixed for monotonicity"];
    let text = cuts
        .iter()
        .fold(text, |text, cut| text.split(cut).next().unwrap_or(text));
    let rest = &query[offset_of(query, place.trim_end_matches(')'))?..];
    let inside = rest.trim_start_matches(|letter: char| letter == '(' || letter.is_whitespace());
    Some((text.to_owned(), query.len() - inside.len()))
}

/// The byte at which `line:column` stands in the query.
fn offset_of(query: &str, place: &str) -> Option<usize> {
    let (line, column) = place.split_once(':')?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let before: usize = query
        .split_inclusive('\n')
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let offset = before + column.checked_sub(1)?;
    query.is_char_boundary(offset).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_compared_without_what_changed() {
        let annotated = |warnings: &[&str], infos: &[&str]| Reply {
            status: 200,
            error_type: String::new(),
            error: String::new(),
            result_type: "vector".to_owned(),
            series: Vec::new(),
            warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
            infos: infos.iter().map(|text| (*text).to_owned()).collect(),
        };
        let one = annotated(&["a (1:1)", "b for metric name \"\" (1:2)"], &["c (1:1)"]);
        let same = annotated(&["b (1:2)", "a (1:1)"], &["c (1:1)"]);
        assert!(annotation_differences("ab", &one, &same).is_empty());
        let other = annotated(&["b (1:2)"], &["a (1:1)", "c (1:1)"]);
        assert_eq!(
            annotation_differences("ab", &one, &other),
            ["-warning: a (byte 0)", "+info: a (byte 0)"]
        );
    }

    #[test]
    fn the_place_of_an_argument_is_inside_its_parentheses() {
        for place in ["1:2", "2:2", "2:4"] {
            let found = comparable_annotation("f(\n ((2)", &format!("a ({place})"));
            assert_eq!(found, Some(("a".to_owned(), 6)), "{place}");
        }
    }
}
