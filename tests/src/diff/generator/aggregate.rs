//! Aggregations.

use super::Generator;
use crate::diff::query::{Aggregate, Binary, Expr, Grouping};
use crate::diff::spelling;

impl Generator<'_> {
    pub(super) fn aggregate(&mut self, depth: u32) -> Expr {
        match self.chance.below(20) {
            0..13 => {
                let ops = [
                    "sum", "sum", "avg", "count", "min", "max", "group", "stddev", "stdvar",
                ];
                let op = self.chance.pick(&ops);
                let grouping = self.maybe_grouping();
                let inner = self.vector(depth - 1);
                self.aggregate_of(op, grouping, None, inner)
            }
            13 | 14 => {
                let (grouping, ratio) = (self.maybe_grouping(), self.ratio());
                let inner = self.vector(depth - 1);
                self.aggregate_of("quantile", grouping, Some(ratio), inner)
            }
            15 => self.count_values(),
            16 => self.limit_ratio(depth),
            _ => self.ranked(depth),
        }
    }

    pub(super) fn sum(&mut self, grouping: Option<Grouping>, inner: Expr) -> Expr {
        self.aggregate_of("sum", grouping, None, inner)
    }

    fn aggregate_of(
        &mut self,
        op: &str,
        grouping: Option<Grouping>,
        parameter: Option<Expr>,
        inner: Expr,
    ) -> Expr {
        Expr::Aggregate(Box::new(Aggregate {
            op: spelling::keyword(self.chance, op),
            grouping,
            parameter,
            inner,
        }))
    }

    pub(super) fn grouping(&mut self, without: bool) -> Grouping {
        let word = if without { "without" } else { "by" };
        Grouping {
            word: spelling::keyword(self.chance, word),
            labels: self.some_labels(3),
            is_last: self.chance.percent(30),
        }
    }

    fn maybe_grouping(&mut self) -> Option<Grouping> {
        match self.chance.below(10) {
            0..3 => None,
            3..8 => Some(self.grouping(false)),
            _ => Some(self.grouping(true)),
        }
    }

    /// Values become label text, so they must not depend on the last bit of a sum.
    fn count_values(&mut self) -> Expr {
        let vector = Expr::Selector(self.selector());
        let function = self.chance.pick(&["", "", "floor", "sgn", "ceil"]);
        let inner = if function.is_empty() {
            vector
        } else {
            Expr::Call(function.to_owned(), vec![vector])
        };
        let label = self.chance.pick(&["value", "value", "job", "the value", "le"]);
        let (grouping, label) = (self.maybe_grouping(), self.text(label));
        self.aggregate_of("count_values", grouping, Some(label), inner)
    }

    /// Which series `limit_ratio` takes is Prometheus' secret; both halves together are all of them.
    fn limit_ratio(&mut self, depth: u32) -> Expr {
        let whole = self.chance.pick(&["0", "1", "-1", "1.5", "-3"]);
        let vector = self.vector(depth - 1);
        if self.chance.percent(40) {
            let grouping = self.maybe_grouping();
            return self.aggregate_of(
                "limit_ratio",
                grouping,
                Some(Expr::Number(whole.to_owned())),
                vector,
            );
        }
        let grouping = Some(self.grouping(false));
        let inner = self.sum(grouping, vector);
        let (part, rest) = self
            .chance
            .pick(&[("0.3", "-0.7"), ("0.5", "-.5"), ("-0.25", "0.75")]);
        let mut half = |ratio: &str| {
            self.aggregate_of(
                "limit_ratio",
                None,
                Some(Expr::Number(ratio.to_owned())),
                inner.clone(),
            )
        };
        let (left, right) = (half(part), half(rest));
        Expr::Paren(Box::new(Expr::Binary(Box::new(Binary {
            op: "or".to_owned(),
            return_bool: false,
            matching: None,
            left,
            right,
        }))))
    }

    /// `topk` and the like, where ties do not matter: over values that never tie, at the top of the query, or below
    /// an aggregation of the same groups.
    fn ranked(&mut self, depth: u32) -> Expr {
        let op = self
            .chance
            .pick(&["topk", "bottomk", "topk", "bottomk", "limitk"]);
        let parameter = if self.chance.one_in(10) {
            self.scalar(1)
        } else {
            Expr::Number(spelling::count(self.chance))
        };
        let grouping = self.maybe_grouping();
        if op != "limitk" && self.chance.percent(50) {
            let mut selector = self.selector();
            selector.metric = Some("distinct".to_owned());
            selector.matchers.clear();
            return self.aggregate_of(op, grouping, Some(parameter), Expr::Selector(selector));
        }
        let inner = self.vector(depth - 1);
        let ranked = self.aggregate_of(op, grouping.clone(), Some(parameter), inner);
        if self.chance.percent(20) {
            return ranked;
        }
        let outer = if op == "limitk" {
            &["count", "group"][..]
        } else {
            &["sum", "count", "max", "min", "avg"]
        };
        let outer = self.chance.pick(outer);
        self.aggregate_of(outer, grouping, None, ranked)
    }
}
