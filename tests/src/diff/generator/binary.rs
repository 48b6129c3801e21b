//! Binary operations and how vectors match.

use super::{Family, Generator};
use crate::diff::query::{Aggregate, Binary, Expr, Grouping, Matching, Selector, Shift};
use crate::diff::spelling;

const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
const SETS: &[&str] = &["and", "or", "unless"];

impl Generator<'_> {
    /// Any operation with a vector in it.
    pub(super) fn binary(&mut self, depth: u32) -> Expr {
        match self.chance.below(10) {
            0..3 => self.with_scalar(depth),
            3 | 4 => self.set_operation(depth),
            5 | 6 => self.aggregated_sides(depth),
            7 => self.many_to_one(depth),
            _ => self.any_sides(depth),
        }
    }

    pub(super) fn scalar_binary(&mut self, depth: u32) -> Expr {
        let is_comparison = self.chance.percent(30);
        let ops = if is_comparison { COMPARISONS } else { ARITHMETIC };
        let op = self.chance.pick(ops);
        let (left, right) = (self.scalar(depth - 1), self.scalar(depth - 1));
        let (left, right) = (self.enclosed(left), self.enclosed(right));
        // Without parentheses `1 > bool 2 + 3 > bool 1` would be read as a chain; any reading is fine.
        self.operation(op, is_comparison, None, left, right)
    }

    fn with_scalar(&mut self, depth: u32) -> Expr {
        let (op, return_bool) = self.operator();
        let vector = self.operand(depth - 1);
        let scalar = self.scalar(depth - 1);
        let scalar = self.enclosed(scalar);
        if self.chance.percent(70) {
            self.operation(op, return_bool, None, vector, scalar)
        } else {
            self.operation(op, return_bool, None, scalar, vector)
        }
    }

    fn set_operation(&mut self, depth: u32) -> Expr {
        let op = self.chance.pick(SETS);
        let matching = self.chance.percent(60).then(|| self.matching());
        let (left, right) = (self.operand(depth - 1), self.operand(depth - 1));
        self.operation(op, false, matching, left, right)
    }

    /// Both sides summed by the same labels: one-to-one for sure.
    fn aggregated_sides(&mut self, depth: u32) -> Expr {
        let (op, return_bool) = self.operator();
        let labels = self.some_labels(2);
        let mut side = || {
            let inner = self.vector(depth - 1);
            let op = self.chance.pick(&["sum", "max", "count", "avg", "min"]);
            Expr::Aggregate(Box::new(Aggregate {
                op: op.to_owned(),
                grouping: Some(Grouping {
                    word: "by".to_owned(),
                    labels: labels.clone(),
                    is_last: false,
                }),
                parameter: None,
                inner,
            }))
        };
        let (left, right) = (side(), side());
        let matching = self.chance.percent(40).then(|| Matching {
            word: "on".to_owned(),
            labels,
            group: None,
        });
        self.operation(op, return_bool, matching, left, right)
    }

    /// Detailed series with the few of a summary, `group_left` or `group_right`.
    fn many_to_one(&mut self, depth: u32) -> Expr {
        let (op, return_bool) = self.operator();
        let label = match self.family {
            Family::Mesh => self.chance.pick(&["source", "destination"]),
            Family::Jobs | Family::Any => "job",
        };
        let many = self.operand(depth - 1);
        let one = if label == "job" && self.chance.percent(50) {
            Expr::Selector(Selector {
                metric: Some("limit_bytes".to_owned()),
                ..Selector::default()
            })
        } else {
            let grouping = Grouping {
                word: "by".to_owned(),
                labels: vec![label.to_owned()],
                is_last: true,
            };
            let inner = self.vector(depth - 1);
            self.sum(Some(grouping), inner)
        };
        let include = if self.chance.percent(60) {
            Vec::new()
        } else {
            self.some_labels(2)
        };
        let is_left = self.chance.percent(60);
        let word = if is_left { "group_left" } else { "group_right" };
        let matching = Some(Matching {
            word: spelling::keyword(self.chance, "on"),
            labels: vec![label.to_owned()],
            group: Some((spelling::keyword(self.chance, word), include)),
        });
        let (left, right) = if is_left { (many, one) } else { (one, many) };
        self.operation(op, return_bool, matching, left, right)
    }

    /// Two vectors that may or may not match, with any matching; some of these are errors.
    fn any_sides(&mut self, depth: u32) -> Expr {
        let (op, return_bool) = self.operator();
        let left = self.operand(depth - 1);
        let right = if self.chance.percent(35) {
            left.clone()
        } else {
            self.operand(depth - 1)
        };
        let matching = self.chance.percent(60).then(|| {
            let mut matching = self.matching();
            if self.chance.percent(30) {
                let word = self.chance.pick(&["group_left", "group_right"]);
                let include = self.some_labels(2);
                let clashes = |label: &String| {
                    matching.word.eq_ignore_ascii_case("on") && matching.labels.contains(label)
                };
                let include = include.into_iter().filter(|label| !clashes(label)).collect();
                matching.group = Some((spelling::keyword(self.chance, word), include));
            }
            matching
        });
        self.operation(op, return_bool, matching, left, right)
    }

    fn matching(&mut self) -> Matching {
        let word = self.chance.pick(&["on", "on", "ignoring"]);
        Matching {
            word: spelling::keyword(self.chance, word),
            labels: self.some_labels(3),
            group: None,
        }
    }

    /// Arithmetic or comparison, and whether `bool` is written.
    fn operator(&mut self) -> (&'static str, bool) {
        if self.chance.percent(55) {
            (self.chance.pick(ARITHMETIC), false)
        } else {
            (self.chance.pick(COMPARISONS), self.chance.percent(40))
        }
    }

    fn operation(
        &mut self,
        op: &str,
        return_bool: bool,
        matching: Option<Matching>,
        left: Expr,
        right: Expr,
    ) -> Expr {
        // Prometheus 3.5 takes what follows such an offset for a part of it.
        let left = if ends_in_offset_expression(&left) {
            Expr::Paren(Box::new(left))
        } else {
            left
        };
        Expr::Binary(Box::new(Binary {
            op: spelling::keyword(self.chance, op),
            return_bool,
            matching,
            left,
            right,
        }))
    }
}

/// True for `a offset (1m + 1m)` and what ends with it.
fn ends_in_offset_expression(expr: &Expr) -> bool {
    let of_shift = |shift: &Shift| {
        let is_last = shift.at.is_none() || shift.at_first;
        is_last && shift.offset.as_ref().is_some_and(|offset| offset.contains('('))
    };
    match expr {
        Expr::Selector(selector) | Expr::Range(selector, _) => of_shift(&selector.shift),
        Expr::Subquery(subquery) => of_shift(&subquery.shift),
        Expr::Sign(_, inner) => ends_in_offset_expression(inner),
        Expr::Binary(binary) => ends_in_offset_expression(&binary.right),
        _ => false,
    }
}
