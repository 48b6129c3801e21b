//! Units of measure (UCUM) as the words that end a metric's name.

/// The words of a unit; empty where there are none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct UnitWords {
    /// What stands before the slash.
    pub(super) main: String,
    /// What stands behind it, without `per`.
    pub(super) per: String,
}

/// The words of a unit such as `By/s`.
pub(super) fn words(unit: &str) -> UnitWords {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |unit: &str, known: fn(&str) -> Option<&'static str>| {
        let unit = unit.trim();
        // An annotation such as `{requests}` says what is counted and is no unit.
        if unit.contains(['{', '}']) {
            return String::new();
        }
        known(unit).map_or_else(|| cleaned(unit), str::to_owned)
    };
    UnitWords {
        main: word(main, main_word),
        per: word(per, per_word),
    }
}

/// A unit as metadata names it: `bytes`, `bytes_per_second`.
pub(super) fn name(unit: &str) -> String {
    let UnitWords { main, per } = words(unit);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    let separator = if main.is_empty() || per.is_empty() {
        ""
    } else {
        "_"
    };
    format!("{main}{separator}{per}")
}

fn main_word(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "" | "1" => "",
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" | "kBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "%" => "percent",
        _ => return None,
    })
}

fn per_word(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "" => "",
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ => return None,
    })
}

/// An unknown unit: letters, digits and colons; anything else between them as one `_`.
fn cleaned(unit: &str) -> String {
    let parts = unit.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_words_before_and_behind_its_slash() {
        let of = |unit| {
            let words = words(unit);
            (words.main, words.per)
        };
        assert_eq!(of("By/s"), ("bytes".into(), "second".into()));
        assert_eq!(of("{requests}/s"), (String::new(), "second".into()));
        assert_eq!(of("1"), (String::new(), String::new()));
        assert_eq!(of("foo bar"), ("foo_bar".into(), String::new()));
        let names = ["By/s", "{requests}/s", "1", "ms"].map(name);
        assert_eq!(names, ["bytes_per_second", "per_second", "", "milliseconds"]);
    }
}
