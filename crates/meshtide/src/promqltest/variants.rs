//! One eval, asked in several ways that must agree.

use anyhow::{Context, Result, ensure};
use promql::ParseOptions;
use promql::ast::{At, DurationExpr, DurationKind, Expr, ExprKind, Shift, VectorSelector};
use promql::function::FunctionId;
use promql::script::{Eval, Expected, Times};
use query::{QueryRequest, Value};

use super::compare::{self, Answered};
use super::world::World;

const MINUTE_MS: i64 = 60_000;

/// Asks the eval, and an instant one in every other way too.
pub(super) async fn check(world: &World, eval: &Eval) -> Result<()> {
    let request = match eval.times {
        Times::Instant { time_ms } => QueryRequest::instant(&eval.query, time_ms),
        Times::Range {
            start_ms,
            end_ms,
            step_ms,
        } => QueryRequest::range(&eval.query, start_ms, end_ms, step_ms),
    };
    let answer = world.ask(request).await;
    compare::check(eval, &answer)?;
    let Times::Instant { time_ms } = eval.times else {
        return Ok(());
    };
    if eval.fail.is_some() {
        return Ok(());
    }
    let mut expr =
        promql::parse(&eval.query, &ParseOptions::ALL).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut about = About::default();
    about.fix_times(&mut expr, time_ms);
    if !about.depends_on_time {
        check_at_other_times(world, eval, &expr.to_string(), time_ms).await?;
    }
    if !about.asks_for_range && !eval.ordered {
        check_as_range(world, eval, time_ms)
            .await
            .context("as a range query")?;
    }
    Ok(())
}

/// The query with its time fixed gives the same whenever it is asked.
async fn check_at_other_times(world: &World, eval: &Eval, query: &str, time_ms: i64) -> Result<()> {
    let times = if time_ms == 0 {
        [-1_000, 0, 1_000, 0, 0]
    } else {
        [-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms]
    };
    for at_ms in times {
        let answer = world.ask(QueryRequest::instant(query, at_ms)).await;
        let result = answer.with_context(|| format!("{query} at {at_ms} ms"))?;
        compare::check_value(eval, &result.value).with_context(|| format!("{query} at {at_ms} ms"))?;
    }
    Ok(())
}

/// The middle step of a range query gives the same.
async fn check_as_range(world: &World, eval: &Eval, time_ms: i64) -> Result<()> {
    let Expected::Series(expected) = &eval.expected else {
        return Ok(());
    };
    let request = QueryRequest::range(&eval.query, time_ms - MINUTE_MS, time_ms + MINUTE_MS, MINUTE_MS);
    let result = world.ask(request).await?;
    let Value::Matrix(set) = &result.value else {
        anyhow::bail!("a range query gave {:?}", result.value)
    };
    let answer = compare::answered(set)?;
    ensure!(
        answer.is_sorted_by(|a, b| a.labels <= b.labels),
        "the series are not sorted by their labels"
    );
    let middle: Vec<Answered> = answer
        .into_iter()
        .filter_map(|one| {
            let point = one.points.iter().find(|(at_ms, _)| *at_ms == time_ms).cloned()?;
            Some(Answered {
                labels: one.labels,
                points: vec![point],
            })
        })
        .collect();
    compare::check_vector(expected, &middle, false)
}

/// What the calls in a query forbid.
#[derive(Debug, Default)]
struct About {
    /// The value changes with the time of asking, even if all selectors are fixed.
    depends_on_time: bool,
    /// `start()`, `end()`, `range()` or `step()`: a range query is another question.
    asks_for_range: bool,
}

impl About {
    /// Fixes every selector and subquery that has no time of its own. Inside a fixed subquery nothing is changed.
    fn fix_times(&mut self, expr: &mut Expr, time_ms: i64) {
        match &mut expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) => {}
            ExprKind::Selector(selector) => self.fix_selector(selector, time_ms),
            ExprKind::Range(range) => {
                self.note_duration(&range.range);
                self.fix_selector(&mut range.selector, time_ms);
            }
            ExprKind::Subquery(subquery) => {
                self.note_duration(&subquery.range);
                subquery.step.iter().for_each(|step| self.note_duration(step));
                self.fix_shift(&mut subquery.shift, time_ms);
                self.look_only(&subquery.expr);
            }
            ExprKind::Call(call) => {
                self.note(call.function.id);
                for argument in &mut call.arguments {
                    self.fix_times(argument, time_ms);
                }
            }
            ExprKind::Aggregate(aggregate) => {
                self.fix_times(&mut aggregate.expr, time_ms);
                if let Some(parameter) = &mut aggregate.parameter {
                    self.fix_times(parameter, time_ms);
                }
            }
            ExprKind::Binary(binary) => {
                self.fix_times(&mut binary.left, time_ms);
                self.fix_times(&mut binary.right, time_ms);
            }
            ExprKind::Negate(inner) | ExprKind::Plus(inner) | ExprKind::Paren(inner) => {
                self.fix_times(inner, time_ms);
            }
        }
    }

    fn fix_selector(&mut self, selector: &mut VectorSelector, time_ms: i64) {
        self.fix_shift(&mut selector.shift, time_ms);
    }

    fn fix_shift(&mut self, shift: &mut Shift, time_ms: i64) {
        shift.offset.iter().for_each(|offset| self.note_duration(offset));
        if matches!(shift.at, Some(At::Start | At::End)) {
            self.asks_for_range = true;
        }
        shift.at.get_or_insert(At::Timestamp(time_ms));
    }

    /// `step()` and `range()` stand in durations too.
    fn note_duration(&mut self, duration: &DurationExpr) {
        match &duration.kind {
            DurationKind::Literal(_) => {}
            DurationKind::Step | DurationKind::Range => {
                self.asks_for_range = true;
                self.depends_on_time = true;
            }
            DurationKind::Negate(inner) | DurationKind::Paren(inner) => self.note_duration(inner),
            DurationKind::MinOf(left, right)
            | DurationKind::MaxOf(left, right)
            | DurationKind::Binary(_, left, right) => {
                self.note_duration(left);
                self.note_duration(right);
            }
        }
    }

    /// Notes the calls inside a fixed subquery. A copy is changed, so the expression stays as it is.
    fn look_only(&mut self, expr: &Expr) {
        let mut copy = expr.clone();
        self.fix_times(&mut copy, 0);
    }

    fn note(&mut self, function: FunctionId) {
        use FunctionId::{
            DayOfMonth, DayOfWeek, DayOfYear, DaysInMonth, End, Hour, Minute, Month, PredictLinear, Range,
            Start, Step, Time, Timestamp, Year,
        };
        let asks = matches!(function, Start | End | Range | Step);
        self.asks_for_range |= asks;
        self.depends_on_time |=
            asks || matches!(
                function,
                DayOfMonth | DayOfWeek | DayOfYear | DaysInMonth | Hour | Minute | Month | Year
            ) || matches!(function, PredictLinear | Time | Timestamp);
    }
}
