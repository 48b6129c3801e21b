//! Lines to commands.

use model::Labels;
use model::duration::parse_duration_ms;

use super::command::{
    Annotation, Command, CommandKind, Eval, Expected, ExpectedSeries, Load, LoadSeries, Times, Words,
};
use super::points::{parse_offsets, parse_points, take_float};
use super::series::{take_labels, take_string};
use super::{Script, ScriptError};

/// The commands of a script.
///
/// # Errors
/// The first line that is none of the language.
pub fn parse_script(text: &str) -> Result<Script, ScriptError> {
    // A comment ends a block as an empty line does.
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut position = 0;
    while let Some(line) = lines.get(position) {
        if line.is_empty() {
            position += 1;
            continue;
        }
        let n_block = lines
            .iter()
            .skip(position)
            .take_while(|line| !line.is_empty())
            .count();
        let block = lines.get(position + 1..position + n_block).unwrap_or_default();
        let error = |offset: usize, reason: String| ScriptError {
            line: position + offset + 1,
            reason,
        };
        let word = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let (kind, n_lines) = match word.as_str() {
            "clear" => (CommandKind::Clear, 1),
            "load" | "load_with_nhcb" => (
                parse_load(line, block).map_err(|(at, why)| error(at, why))?,
                n_block,
            ),
            "eval" | "eval_fail" | "eval_warn" | "eval_info" | "eval_ordered" => (
                parse_eval(&word, line, block).map_err(|(at, why)| error(at, why))?,
                n_block,
            ),
            _ => return Err(error(0, format!("{word:?} is no command"))),
        };
        commands.push(Command {
            line: position + 1,
            kind,
        });
        position += n_lines;
    }
    Ok(commands)
}

/// The line within the block, 0 for the command itself, and what is wrong there.
type BlockError = (usize, String);

fn parse_load(line: &str, block: &[&str]) -> Result<CommandKind, BlockError> {
    let mut words = line.split_whitespace();
    let with_nhcb = words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("load_with_nhcb"));
    let step_ms = words
        .next()
        .and_then(parse_duration_ms)
        .ok_or((0, "load needs a step".to_owned()))?;
    let mut series: Vec<LoadSeries> = Vec::new();
    // A line of start timestamps, waiting for the line of points it is about.
    let mut starts: Option<(usize, Labels, Vec<Option<i64>>)> = None;
    for (position, line) in block.iter().enumerate() {
        let at = |reason| (position + 1, reason);
        let (labels, rest) = take_labels(line).map_err(at)?;
        if let Some(offsets) = rest.strip_prefix("@st") {
            if let Some((before, ..)) = starts {
                return Err((before, "no points follow the start timestamps".to_owned()));
            }
            starts = Some((position + 1, labels, parse_offsets(offsets).map_err(at)?));
            continue;
        }
        let points = parse_points(rest).map_err(at)?;
        let start_offsets_ms = match starts.take() {
            None => Vec::new(),
            Some((_, of, offsets)) if of == labels && offsets.len() == points.len() => offsets,
            Some((before, ..)) => {
                return Err((
                    before,
                    "start timestamps do not fit the points that follow".to_owned(),
                ));
            }
        };
        series.push(LoadSeries {
            labels,
            points,
            start_offsets_ms,
        });
    }
    if let Some((before, ..)) = starts {
        return Err((before, "no points follow the start timestamps".to_owned()));
    }
    Ok(CommandKind::Load(Load {
        step_ms,
        with_nhcb,
        series,
    }))
}

fn parse_eval(word: &str, line: &str, block: &[&str]) -> Result<CommandKind, BlockError> {
    let (times, query) =
        parse_eval_line(line).ok_or((0, "expected: eval instant|range … query".to_owned()))?;
    let mut eval = Eval {
        query: query.to_owned(),
        times,
        ordered: word == "eval_ordered",
        fail: (word == "eval_fail").then_some(Words::Any),
        annotations: Vec::new(),
        expected: Expected::Series(Vec::new()),
    };
    for level in ["eval_warn", "eval_info"] {
        if word == level {
            eval.annotations.push(Annotation {
                is_warning: level == "eval_warn",
                words: Some(Words::Any),
            });
        }
    }
    for (position, line) in block.iter().enumerate() {
        parse_expectation(line, &mut eval).map_err(|reason| (position + 1, reason))?;
    }
    Ok(CommandKind::Eval(Box::new(eval)))
}

/// `eval instant [at TIME] QUERY` or `eval range from TIME to TIME step DURATION QUERY`.
fn parse_eval_line(line: &str) -> Option<(Times, &str)> {
    let rest = next_word(line)?.1;
    let (kind, rest) = next_word(rest)?;
    match kind {
        "instant" => match next_word(rest)? {
            ("at", rest) => {
                let (time, query) = next_word(rest)?;
                Some((
                    Times::Instant {
                        time_ms: parse_time_ms(time)?,
                    },
                    query,
                ))
            }
            _ => Some((Times::Instant { time_ms: 0 }, rest)),
        },
        "range" => {
            let (start_ms, end_ms, step_ms, query) = parse_range(rest)?;
            Some((
                Times::Range {
                    start_ms,
                    end_ms,
                    step_ms,
                },
                query,
            ))
        }
        _ => None,
    }
}

/// `from TIME to TIME step DURATION`, and what follows.
fn parse_range(text: &str) -> Option<(i64, i64, i64, &str)> {
    let mut rest = text;
    let mut values = [0; 3];
    for (keyword, value) in ["from", "to", "step"].into_iter().zip(&mut values) {
        let (word, after) = next_word(rest)?;
        let (time, after) = next_word(after)?;
        if word != keyword {
            return None;
        }
        *value = parse_time_ms(time)?;
        rest = after;
    }
    Some((values[0], values[1], values[2], rest))
}

fn next_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (!word.is_empty()).then(|| (word, rest.trim_start()))
}

fn parse_time_ms(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(positive) => parse_duration_ms(positive).map(|time_ms| -time_ms),
        None => parse_duration_ms(text),
    }
}

fn parse_expectation(line: &str, eval: &mut Eval) -> Result<(), String> {
    if let Some(("expect", rest)) = next_word(line) {
        return parse_expect(rest, eval);
    }
    if let Some((value, "")) = take_float(line).map(|(value, rest)| (value, rest.trim())) {
        eval.expected = Expected::Scalar(value);
        return Ok(());
    }
    let (labels, rest) = take_labels(line)?;
    let one = ExpectedSeries {
        labels,
        points: parse_points(rest)?,
    };
    match &mut eval.expected {
        Expected::Series(series) | Expected::RangeVector { series, .. } => series.push(one),
        Expected::Scalar(_) | Expected::String(_) => return Err("series after a scalar or string".to_owned()),
    }
    Ok(())
}

fn parse_expect(text: &str, eval: &mut Eval) -> Result<(), String> {
    let (word, rest) = next_word(text).ok_or("expect what?")?;
    match word {
        "ordered" => eval.ordered = true,
        "fail" => eval.fail = Some(parse_words(rest)?),
        "warn" => eval.annotations.push(Annotation {
            is_warning: true,
            words: Some(parse_words(rest)?),
        }),
        "info" => eval.annotations.push(Annotation {
            is_warning: false,
            words: Some(parse_words(rest)?),
        }),
        "no_warn" => eval.annotations.push(Annotation {
            is_warning: true,
            words: None,
        }),
        "no_info" => eval.annotations.push(Annotation {
            is_warning: false,
            words: None,
        }),
        "string" => eval.expected = Expected::String(take_string(rest)?.0),
        "range" => {
            let range = rest.strip_prefix("vector").and_then(parse_range);
            let (start_ms, _, step_ms, _) = range.ok_or("expected: range vector from … to … step …")?;
            eval.expected = Expected::RangeVector {
                start_ms,
                step_ms,
                series: Vec::new(),
            };
        }
        _ => return Err(format!("{word:?} cannot be expected")),
    }
    Ok(())
}

fn parse_words(text: &str) -> Result<Words, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Words::Any);
    }
    match text.split_once(':') {
        Some(("msg", message)) => Ok(Words::Message(message.trim().to_owned())),
        Some(("regex", regex)) => Ok(Words::Regex(regex.trim().to_owned())),
        _ => Err(format!("expected msg: or regex: before {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::points::Point;
    use super::*;

    #[test]
    fn a_script_is_a_list_of_commands() {
        let text = "# a comment\nload 1m\n  up{a=\"1\"} 0+1x2\n\nclear\neval range from 0 to 2m step 30s up\n  \
                    expect no_warn\n  expect info msg: so it is\n  up{a=\"1\"} 0 0 1 _ 2\n\neval instant at 1m 1+1\n  2\n";
        let script = parse_script(text).unwrap();
        assert_eq!(
            script.iter().map(|command| command.line).collect::<Vec<_>>(),
            [2, 5, 6, 11]
        );
        let CommandKind::Eval(eval) = &script[2].kind else {
            panic!("an eval")
        };
        assert_eq!(eval.query, "up");
        assert_eq!(
            eval.times,
            Times::Range {
                start_ms: 0,
                end_ms: 120_000,
                step_ms: 30_000
            }
        );
        assert_eq!(eval.annotations.len(), 2);
        let Expected::Series(series) = &eval.expected else {
            panic!("series")
        };
        assert_eq!(series[0].points[3], Point::Gap);
        let CommandKind::Eval(eval) = &script[3].kind else {
            panic!("an eval")
        };
        assert_eq!(eval.expected, Expected::Scalar(2.0));
    }

    #[test]
    fn start_timestamps_stand_before_their_points() {
        let text = "load 1m\n  a@st _ -30s-1mx2 0 _x2 +1ms\n  a 1x7\n  b 1\n";
        let CommandKind::Load(load) = &parse_script(text).unwrap()[0].kind else {
            panic!("a load")
        };
        let offsets = [
            None,
            Some(-30_000),
            Some(-90_000),
            Some(-150_000),
            Some(0),
            None,
            None,
            Some(1),
        ];
        assert_eq!(load.series[0].start_offsets_ms, offsets);
        assert_eq!(load.series[1].start_offsets_ms, []);
        for bad in [
            "a@st 0\n  b 1",
            "a@st 0\n  a 1 2",
            "a@st 0",
            "a@st 0\n  a@st 0\n  a 1",
            "a@st x\n  a 1",
        ] {
            assert_eq!(
                parse_script(&format!("load 1m\n  {bad}\n")).unwrap_err().line,
                2,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_comment_ends_a_block() {
        let script = parse_script("load 1m\n  a 1\n# no more\nload 1m\n  b 1\n").unwrap();
        assert_eq!(script.len(), 2);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        assert_eq!(parse_script("\nload 1m\n  up 1\n  up{ 1\n").unwrap_err().line, 4);
        assert_eq!(parse_script("evil").unwrap_err().line, 1);
        assert_eq!(parse_script("eval instant at 5 up\n").unwrap_err().line, 1);
    }

    #[test]
    fn all_scripts_of_prometheus_are_read() {
        let folder = [
            "../shared",
            "../../shared",
            "../../../shared",
            "../../../../shared",
        ]
        .map(|place| {
            std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(place)
                .join("conformance/promqltest")
        })
        .into_iter()
        .find(|folder| folder.is_dir());
        let Some(folder) = folder else {
            eprintln!("SKIPPED: there is no folder with Prometheus' scripts");
            return;
        };
        let mut n_evals = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let script = parse_script(&std::fs::read_to_string(&path).unwrap());
            let script = script.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            n_evals += script
                .iter()
                .filter(|command| matches!(command.kind, CommandKind::Eval(_)))
                .count();
        }
        assert_eq!(n_evals, 2_214);
    }
}
