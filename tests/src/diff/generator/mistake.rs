//! Queries with something wrong: types, words, labels, parameters. Status, kind of error and mostly its text must
//! agree. Some turn out to be valid after all; then the answers must agree.

use testkit::Chance;

use super::Family;
use super::{Generator, evaluation, stable_expr};
use crate::diff::case::{Case, Evaluation, Window};
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
            Case {
                text: expr.to_string(),
                expr: None,
                evaluation,
            }
        }
        3..6 => {
            let expr = plain_expr(chance, window);
            Case {
                text: spoilt_words(chance, &expr.to_string()),
                expr: None,
                evaluation: instant(chance),
            }
        }
        6 | 7 => Case {
            text: spoilt_labels(chance),
            expr: None,
            evaluation: if chance.percent(50) {
                instant(chance)
            } else {
                range(window)
            },
        },
        8 => Case {
            text: chance.pick(SYNTAX).to_owned(),
            expr: None,
            evaluation: instant(chance),
        },
        _ => bad_parameters(chance, window),
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
        let expr = stable_expr(chance, window);
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

/// Texts that are wrong in a way of their own.
const SYNTAX: &[&str] = &[
    "",
    "   ",
    "# nothing",
    "(",
    "up{",
    "up{job",
    "up{job=",
    "up{job=}",
    "up{job=\"api\"",
    "up{job=\"api\" instance=\"a\"}",
    "up{job=~\"(\"}",
    "up{job=~\"*\"}",
    "up{}[5m",
    "up[5m][5m]",
    "up[5]m",
    "up[0]",
    "up[-5m]",
    "up[5x]",
    "up[5m5h]",
    "up[1.5m]",
    "up offset",
    "up offset 5m offset 5m",
    "up @ 1 @ 2",
    "up @ \"x\"",
    "up @ Inf",
    "up @ NaN",
    "up @ end",
    "1 offset 5m",
    "sum(up) offset 5m",
    "sum(up)[5m]",
    "up[5m:1m:1m]",
    "up[5m:0]",
    "rate(up[5m:])[5m]",
    "rate(sum(up))",
    "rate(up[5m], 1)",
    "rate()",
    "nosuch(up)",
    "Rate(up[5m])",
    "sum by job (up)",
    "sum by (job (up)",
    "sum by (1) (up)",
    "sum(up, up)",
    "sum()",
    "topk(up)",
    "topk(\"1\", up)",
    "count_values(1, up)",
    "quantile(up, up)",
    "1 == 1",
    "1 and 1",
    "up and 1",
    "up == bool on 1",
    "up + bool up",
    "up and bool up",
    "up + on (a) 1",
    "up + on (a) group_left (a) up",
    "up or on (a) group_left up",
    "up + group_left up",
    "up + ignoring (a",
    "{}",
    "{job=\"\"}",
    "{job=~\".*\"}",
    "{job!=\"api\"}",
    "up{__name__=\"up\"}",
    "up{\"up\"}",
    "{\"up\", \"down\"}",
    "{\"up\"=\"x\"}",
    "\"text",
    "'text\"",
    "\"\\q\"",
    "\"\\xff\"",
    "`a\\`",
    "1 +",
    "+",
    "--1",
    "!up",
    "up ! up",
    "up = up",
    "1.2.3",
    "1e",
    "0x",
    "0xg",
    "08",
    "1_",
    "1__0",
    "1m1m",
    "5m30",
    "99999999999y",
    "up[99999999999y]",
    "up offset 99999999999y",
    "up;",
    "up \u{a0} up",
    "☃",
    "label_replace(up, \"a\", \"b\")",
    "label_join(up)",
    "vector(up)",
    "scalar(1)",
    "time(1)",
    "round(up, 1, 2)",
    "day_of_month(1)",
    "absent(1)",
    "clamp(up, 1)",
    "histogram_quantile(up, 0.5)",
    "quantile_over_time(up[5m], 0.5)",
    "sort_by_label(up, 1)",
    "bool",
    "on",
    "up{on=\"x\"}",
    "sum by (bool) (up)",
    "offset 5m",
    "up[5m] + 1",
    "up[5m] and up",
    "-up[5m]",
    "-\"a\"",
    "\"a\" == \"a\"",
    "(up[5m])",
    "sum(up[5m])",
    "up[5m] offset -1h @ 0",
    "up{job=\"api\",,}",
    "up{,}",
    "sum by (,) (up)",
    "sum by (job,,) (up)",
];

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
    Case {
        text: "up".to_owned(),
        expr: None,
        evaluation: Evaluation::Raw { path, fields },
    }
}
