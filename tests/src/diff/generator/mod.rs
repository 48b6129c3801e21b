//! Random queries over the grammar of Prometheus 3.5.
//!
//! Generated queries are valid; `mistake` spoils some of them. Their answers must not depend on what Prometheus
//! leaves open, which [`stability`](super::stability) checks: a query that fails it is drawn again.
//!
//! Not generated, because Prometheus 3.5 lacks it: `fill`, `smoothed`, `anchored`, `</`, `>/`, `first_over_time`,
//! `ts_of_first_over_time`, `histogram_quantiles`, `max_of`, `min_of`, `range()`, `step()`, `start()` and `end()`
//! as functions. `info` is generated beside native histograms only, because much of both was mended after 3.5.

mod aggregate;
mod binary;
mod call;
mod mistake;
mod selector;
mod wrong;

pub(super) use mistake::words;

use testkit::Chance;

use super::case::{Case, Evaluation, Method, StepForm, TimeForm, Window, Wording};
use super::metric::Repertoire;
use super::query::Expr;
use super::spelling;
use super::stability::{Stability, stability};

/// Of a hundred queries, how many are spoilt.
const MISTAKES_PERCENT: u64 = 12;

/// Label sets that belong together: most of a query is drawn from one, so that its parts match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// `source` and `destination`.
    Mesh,
    /// `job` and `instance`.
    Jobs,
    /// Everything.
    Any,
}

/// Draws one query.
#[derive(Debug)]
struct Generator<'a> {
    chance: &'a mut Chance,
    window: Window,
    family: Family,
    repertoire: Repertoire,
}

/// The `number`-th query of `seed` over data in `window`; the same for the same arguments.
#[must_use]
pub fn case(seed: u64, number: u64, window: Window, repertoire: Repertoire) -> Case {
    let mut chance = Chance::from_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
    if chance.percent(MISTAKES_PERCENT) {
        return mistake::case(&mut chance, window);
    }
    let (expr, is_spaced) = (stable_expr(&mut chance, window, repertoire), chance.one_in(30));
    let evaluation = evaluation(&mut chance, window, &expr);
    let text = expr.to_string();
    let text = if is_spaced {
        spelling::spaced(&mut chance, &text)
    } else {
        text
    };
    Case {
        text,
        expr: Some(expr),
        evaluation,
        wording: wording(&mut chance),
    }
}

/// Mostly the plain one.
fn wording(chance: &mut Chance) -> Wording {
    let plain = (Method::Post, TimeForm::Seconds, StepForm::Seconds);
    let mut form = || chance.one_in(8);
    let (other_method, other_time, other_step) = (form(), form(), form());
    let times = [
        TimeForm::Exponent,
        TimeForm::Finer,
        TimeForm::Date,
        TimeForm::ZonedDate,
    ];
    Wording {
        method: if other_method {
            chance.pick(&[Method::Get, Method::Both])
        } else {
            plain.0
        },
        time: if other_time { chance.pick(&times) } else { plain.1 },
        step: if other_step {
            chance.pick(&[StepForm::Duration, StepForm::Exponent])
        } else {
            plain.2
        },
    }
}

fn stable_expr(chance: &mut Chance, window: Window, repertoire: Repertoire) -> Expr {
    loop {
        let family = chance.pick(&[Family::Mesh, Family::Jobs, Family::Jobs, Family::Any]);
        let depth = chance.pick(&[0, 1, 1, 2, 2, 2, 3, 3, 4]);
        let mut generator = Generator {
            chance,
            window,
            family,
            repertoire,
        };
        let expr = generator.query(depth);
        if stability(&expr) != Stability::Lost && expr.n_nodes() < 60 {
            return expr;
        }
    }
}

/// When and how it is evaluated. Range queries are for scalars and instant vectors only.
fn evaluation(chance: &mut Chance, window: Window, expr: &Expr) -> Evaluation {
    use super::query::Kind;
    let is_range = matches!(expr.kind(), Kind::Scalar | Kind::Vector) && chance.percent(55);
    let mut moment = || {
        let ms = chance.between(window.start_ms - 360_000, window.end_ms + 360_000);
        match chance.below(4) {
            0 => ms,
            1 => ms - ms.rem_euclid(1_000),
            _ => ms - ms.rem_euclid(15_000),
        }
    };
    let lookback = |chance: &mut Chance| {
        chance
            .one_in(25)
            .then(|| chance.pick(&["1m", "30", "10m", "15.5", "1s"]).to_owned())
    };
    let start_ms = moment();
    if !is_range {
        return Evaluation::Instant {
            time_ms: start_ms,
            lookback: lookback(chance),
        };
    }
    let step_ms = chance.pick(&[
        1_000, 7_000, 15_000, 15_000, 30_000, 60_000, 60_000, 61_500, 150_000, 300_000, 500,
    ]);
    let n_steps = chance.between(0, 45);
    let ragged_ms = if chance.one_in(3) {
        chance.between(0, step_ms - 1)
    } else {
        0
    };
    Evaluation::Range {
        start_ms,
        end_ms: start_ms + n_steps * step_ms + ragged_ms,
        step_ms,
        lookback: lookback(chance),
    }
}

impl Generator<'_> {
    /// A whole query: mostly an instant vector.
    fn query(&mut self, depth: u32) -> Expr {
        match self.chance.below(40) {
            0 | 1 => self.scalar(depth),
            2 => self.matrix(depth),
            3 if self.chance.percent(20) => self.text("some \"text\"\n☃"),
            _ => self.vector(depth),
        }
    }

    /// An instant vector whose tree is about `depth` high.
    fn vector(&mut self, depth: u32) -> Expr {
        if depth == 0 {
            return match self.chance.below(20) {
                0 => Expr::Call("vector".to_owned(), vec![self.number()]),
                _ => Expr::Selector(self.selector()),
            };
        }
        if self.repertoire == Repertoire::Natives && self.chance.one_in(16) {
            return self.info(depth);
        }
        let expr = match self.chance.below(100) {
            0..28 => self.range_call(depth),
            28..40 => self.instant_call(depth),
            40..48 => self.label_call(depth),
            48..54 => self.histogram_call(depth),
            54..74 => self.aggregate(depth),
            74..95 => self.binary(depth),
            95..98 => {
                let sign = self.chance.pick(&['-', '-', '+']);
                Expr::Sign(sign, Box::new(self.operand(depth - 1)))
            }
            _ => Expr::Paren(Box::new(self.vector(depth - 1))),
        };
        if self.chance.one_in(25) {
            Expr::Paren(Box::new(expr))
        } else {
            expr
        }
    }

    /// A vector as operand: operations mostly in parentheses.
    fn operand(&mut self, depth: u32) -> Expr {
        let expr = self.vector(depth);
        self.enclosed(expr)
    }

    fn enclosed(&mut self, expr: Expr) -> Expr {
        let is_loose = matches!(expr, Expr::Binary(_) | Expr::Sign(..));
        if is_loose && self.chance.percent(75) {
            Expr::Paren(Box::new(expr))
        } else {
            expr
        }
    }

    fn scalar(&mut self, depth: u32) -> Expr {
        let call = |function: &str, arguments| Expr::Call(function.to_owned(), arguments);
        match self.chance.below(if depth == 0 { 6 } else { 10 }) {
            0..5 => self.number(),
            5 => call(self.chance.pick(&["time", "pi"]), Vec::new()),
            6 | 7 => call("scalar", vec![self.vector(depth - 1)]),
            8 => Expr::Paren(Box::new(self.scalar(depth - 1))),
            _ => self.scalar_binary(depth),
        }
    }

    fn number(&mut self) -> Expr {
        Expr::Number(spelling::number(self.chance))
    }

    fn text(&mut self, text: &str) -> Expr {
        Expr::Text(spelling::string(self.chance, text))
    }
}
