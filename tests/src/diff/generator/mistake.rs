//! Queries with something wrong: types, words, labels, parameters. Status, kind of error and mostly its text must
//! agree. Some turn out to be valid after all; then the answers must agree.

use testkit::Chance;

use super::Family;
use super::wrong::TEXTS;
use super::{Generator, evaluation, stable_expr};
use crate::diff::case::{Case, Evaluation, Window, Wording};
use crate::diff::metric::Repertoire;
use crate::diff::query::Expr;
use crate::diff::spelling;
use crate::diff::stability::ranks;

pub(super) fn case(chance: &mut Chance, window: Window) -> Case {
    let instant = |chance: &mut Chance| Evaluation::Instant {
        time_ms: chance.between(window.start_ms, window.end_ms),
        lookback: None,
    };
    match chance.below(10) {
        0..3 => {
            let mut expr = plain_expr(chance, window);
            swap_types(chance, window, &mut expr);
            let mut evaluation = evaluation(chance, window, &expr);
            if chance.one_in(6) {
                evaluation = range(window);
            }
            spoilt(expr.to_string(), evaluation)
        }
        3..6 => {
            let expr = plain_expr(chance, window);
            spoilt(spoilt_words(chance, &expr.to_string()), instant(chance))
        }
        6 | 7 => {
            let evaluation = if chance.percent(50) {
                instant(chance)
            } else {
                range(window)
            };
            spoilt(spoilt_labels(chance), evaluation)
        }
        8 => spoilt(chance.pick(TEXTS).to_owned(), instant(chance)),
        _ => bad_parameters(chance, window),
    }
}

fn spoilt(text: String, evaluation: Evaluation) -> Case {
    Case {
        text,
        expr: None,
        evaluation,
        wording: Wording::default(),
    }
}

fn range(window: Window) -> Evaluation {
    Evaluation::Range {
        start_ms: window.start_ms + 600_000,
        end_ms: window.start_ms + 1_200_000,
        step_ms: 60_000,
        lookback: None,
    }
}

/// A query whose answer is one for sure, whatever part of it is taken away.
fn plain_expr(chance: &mut Chance, window: Window) -> Expr {
    loop {
        let expr = stable_expr(chance, window, Repertoire::Floats);
        if !ranks(&expr) && expr.n_nodes() < 15 {
            return expr;
        }
    }
}

/// Puts an expression of another type in some place.
fn swap_types(chance: &mut Chance, window: Window, expr: &mut Expr) {
    let n_nodes = expr.n_nodes();
    let mut position = chance.index(n_nodes);
    let mut generator = Generator {
        chance,
        window,
        family: Family::Jobs,
        repertoire: Repertoire::Floats,
    };
    let other = match generator.chance.below(5) {
        0 => generator.text("text"),
        1 => generator.number(),
        2 => generator.matrix(0),
        3 => Expr::Call("time".to_owned(), Vec::new()),
        _ => generator.vector(0),
    };
    replace(expr, &mut position, &other);
}

/// Replaces the node at that position, counted from the root.
fn replace(expr: &mut Expr, position: &mut usize, other: &Expr) -> bool {
    if *position == 0 {
        *expr = other.clone();
        return true;
    }
    *position -= 1;
    expr.children_mut()
        .into_iter()
        .any(|child| replace(child, position, other))
}

/// Drops, doubles, inserts or swaps words of the text.
fn spoilt_words(chance: &mut Chance, text: &str) -> String {
    let mut words = words(text);
    for _ in 0..chance.between(1, 2) {
        let position = chance.index(words.len());
        match chance.below(4) {
            0 if words.len() > 1 => drop(words.remove(position)),
            1 => words.insert(position, words[position].clone()),
            2 => {
                let foreign = [
                    "(",
                    ")",
                    "[",
                    "]",
                    "{",
                    "}",
                    ",",
                    "=",
                    "by",
                    "on",
                    "bool",
                    "offset",
                    "@",
                    "5m",
                    "-",
                    "\"x\"",
                    "sum",
                    "and",
                    "!",
                    "=~",
                    "1",
                    "group_left",
                    "ignoring",
                    ":",
                    "'",
                    "$",
                    "~",
                    "nan",
                    "foo(",
                    "ſ",
                    "☃",
                    "\n",
                    "# \n",
                    "==",
                    "^",
                    "start()",
                    "unless",
                    "quantile",
                    "NaN",
                    "1h",
                    "0x",
                    "#",
                    "`",
                    "\\",
                    "rate",
                    "atan2",
                    "without",
                ];
                words.insert(position, chance.pick(&foreign).to_owned());
            }
            _ => {
                let other = chance.index(words.len());
                words.swap(position, other);
            }
        }
    }
    words.concat()
}

/// Identifiers, numbers, strings, white space and single characters.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quote = None;
    let mut escaped = false;
    let is_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.');
    for letter in text.chars() {
        let continues = quote.is_some()
            || words
                .last()
                .and_then(|word| word.chars().last())
                .is_some_and(|last| (is_word(last) && is_word(letter)) || (last == ' ' && letter == ' '));
        match words.last_mut() {
            Some(word) if continues => word.push(letter),
            _ => words.push(letter.to_string()),
        }
        match quote {
            None if matches!(letter, '"' | '\'' | '`') => quote = Some(letter),
            Some(open) if letter == open && !escaped => quote = None,
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
    }
    words
}

/// Fails while it runs: labels that collide, do not match, or cannot be.
fn spoilt_labels(chance: &mut Chance) -> String {
    let metric = chance.pick(&[
        "up",
        "temperature",
        "memory_bytes",
        "mesh_requests_total",
        "nothing",
    ]);
    let other = chance.pick(&["up", "limit_bytes", "build_info", "distinct"]);
    let op = chance.pick(&["+", "-", "/", "==", "> bool", "%", "^", "atan2", ">="]);
    let set = chance.pick(&["and", "or", "unless"]);
    match chance.below(16) {
        0 => format!("{metric} {op} on (job) {other}"),
        1 => format!("{metric} {op} on (job) group_left {other}"),
        2 => format!("{metric} {op} on () group_right () {other}"),
        3 => format!("{{job=\"api\"}} {op} 1"),
        4 => "-{job=~\"api|web\"}".to_owned(),
        5 => "rate({__name__=~\"up|temperature\"}[5m])".to_owned(),
        6 => format!("label_replace({metric}, \"instance\", \"same\", \"\", \"\")"),
        7 => format!("label_join({metric}, \"job\", \"\", \"missing\")"),
        8 => format!("label_replace({metric}, \"bad label\", \"$1\", \"job\", \"(.*)\")"),
        9 => format!(
            "label_replace({metric}, \"new\", \"$1\", \"job\", \"({}\")",
            chance.pick(&["", "[", "a{2,1}", "*"])
        ),
        10 => format!("count_values(\"\", {metric})"),
        11 => format!("{metric} {set} on (job) group_left {other}"),
        12 => format!("{metric} {op} ignoring (job) group_left (job) {other}"),
        13 => format!("{metric} {op} on (job) group_left (job) {other}"),
        14 => format!("{metric} * on (job) group_left (instance) {other}"),
        _ => format!("sum by (job) ({metric}) {op} on (missing) {other}"),
    }
}

fn bad_parameters(chance: &mut Chance, window: Window) -> Case {
    let seconds = |ms: i64| (ms / 1_000).to_string();
    let (start, end) = (seconds(window.start_ms), seconds(window.end_ms));
    let mut fields = vec![
        ("query", "up"),
        ("start", &*start),
        ("end", &*end),
        ("step", "60"),
    ];
    let position = chance.below(4);
    let odd = chance.pick(&[
        "",
        "0",
        "-1",
        "x",
        "1e30",
        "NaN",
        "Inf",
        "0.0001",
        "5m",
        "1s",
        "0s",
        "5x",
        "-5m",
        "1",
        "2030-01-01T00:00:00Z",
        "2030-01-01",
        "1e-9",
        "9223372036854775807",
        "0.1",
        "-62135596800",
        "99999999999999",
    ]);
    if chance.percent(15) {
        fields.remove(usize::try_from(position).unwrap_or(0));
    } else {
        match position {
            0 => fields[3] = ("step", odd),
            1 => fields[1] = ("start", odd),
            2 => fields[2] = ("end", odd),
            _ => fields.push(("lookback_delta", odd)),
        }
    }
    let fields: Vec<(String, String)> = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut path = "/api/v1/query_range";
    let mut fields = fields;
    if chance.percent(30) {
        path = "/api/v1/query";
        fields = vec![
            ("query".to_owned(), spelling::keyword(chance, "up")),
            ("time".to_owned(), odd.to_owned()),
        ];
        if chance.percent(30) {
            // Long enough not to be a race.
            let odd = chance.pick(&["x", "5x", "5m", "1m0s", "1e30", "2h 5m", "60", "1.5h"]);
            fields.push(("timeout".to_owned(), odd.to_owned()));
            fields[1].1 = end;
        }
    }
    spoilt("up".to_owned(), Evaluation::Raw { path, fields })
}
