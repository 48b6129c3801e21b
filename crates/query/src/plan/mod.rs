//! From the tree of a query to operators.
//!
//! Planning goes bottom-up: a node first knows its series ([`Vector::table`]), then its plan. Everything about labels is
//! decided here, so that the running plan moves numbers only. Two things need values before the node above them can be
//! planned, and are evaluated on the spot: scalars made of a vector (`scalar(v)`), which are parameters of what uses
//! them, and `count_values`, whose labels are values.
//!
//! - [`frame`]: at which steps a part of the query is evaluated, and what does not depend on the step.
//! - [`vector`]: a planned vector, and what happens to metric names.
//! - [`selector`], [`window`]: leaves and functions of a range.
//! - [`call`], [`scalar`], [`labels`], [`sort`], [`histogram`], [`info`], [`aggregate`], [`binary`], [`meetings`]: everything else.

mod aggregate;
mod binary;
mod call;
mod frame;
mod histogram;
mod info;
mod labels;
mod meetings;
mod scalar;
mod selector;
mod sort;
mod vector;
mod window;

use std::sync::Arc;

use datafusion_execution::TaskContext;
use futures::future::BoxFuture;
use model::TimestampMs;
use promql::QueryTiming;
use promql::ast::{Expr, ExprKind};

pub(crate) use frame::{Frame, steps_between};
pub(crate) use vector::Vector;

use crate::QueryError;
use crate::annotations::Annotations;
use crate::context::Limits;
use crate::engine::Shared;
use crate::exec::map::{Map, Mapping};
use crate::exec::merge_duplicates::Overlap;
use crate::exec::repeat::Repeat;
use crate::exec::tally::StepCounts;
use crate::memory::Ledger;

/// A plan that is not there yet.
pub(crate) type Planning<'a, T> = BoxFuture<'a, Result<T, QueryError>>;

/// Plans the parts of one query.
#[derive(Debug)]
pub(crate) struct Planner {
    /// The query.
    pub(crate) text: Arc<str>,
    /// The source and the settings.
    pub(crate) shared: Arc<Shared>,
    /// What operators run with; carries the memory pool.
    pub(crate) task: Arc<TaskContext>,
    /// Memory that planning takes.
    pub(crate) ledger: Ledger,
    /// Time and samples.
    pub(crate) limits: Limits,
    /// Samples by step, if they are asked for.
    pub(crate) step_counts: Option<Arc<StepCounts>>,
    /// What the query says beside its result.
    pub(crate) annotations: Annotations,
    /// How far instant selectors reach back.
    pub(crate) lookback_ms: i64,
    /// What `@ start()` means.
    pub(crate) start_ms: TimestampMs,
    /// What `@ end()` means.
    pub(crate) end_ms: TimestampMs,
    /// What `step()` and `range()` mean.
    pub(crate) timing: QueryTiming,
}

impl Planner {
    /// Plans an expression that is an instant vector.
    pub(crate) fn vector<'a>(&'a self, expr: &'a Expr, frame: &'a Frame) -> Planning<'a, Vector> {
        Box::pin(async move {
            if frame.steps.n_steps == 0 {
                return Ok(Vector::empty(frame));
            }
            /// Rows that an operator works with, beside its batches.
            const ROWS_AT_WORK: usize = 4;
            self.limits.weigh(frame.steps.n_steps).await;
            self.ledger
                .try_add_values::<[f64; ROWS_AT_WORK]>(frame.steps.n_steps)?;
            let vector = if frame.steps.n_steps > 1 && frame::is_step_invariant(expr) {
                let once = frame.first_step();
                let vector = self.vector_of_kind(expr, &once).await?;
                vector.map_plan(|plan| Repeat::plan(plan, frame.steps.n_steps, &frame.schema))
            } else {
                self.vector_of_kind(expr, frame).await?
            };
            self.ledger.check()?;
            Ok(vector)
        })
    }

    async fn vector_of_kind(&self, expr: &Expr, frame: &Frame) -> Result<Vector, QueryError> {
        if let Some(leaf) = self.leaf(expr, frame).await? {
            return Ok(self.scan(leaf, frame));
        }
        match &expr.kind {
            ExprKind::Call(call) => self.call(call, expr.span, frame).await,
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, frame).await,
            ExprKind::Binary(operation) => self.binary(operation, expr.span, frame).await,
            ExprKind::Negate(inner) => {
                let vector = self.vector(inner, frame).await?;
                let vector = vector.map_plan(|plan| Map::plan(plan, Mapping::Negate, &frame.schema));
                Ok(self.drop_names(vector, Overlap::OtherSteps, frame))
            }
            ExprKind::Plus(inner) | ExprKind::Paren(inner) => self.vector(inner, frame).await,
            ExprKind::Selector(_)
            | ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Range(_)
            | ExprKind::Subquery(_) => Err(QueryError::internal("an expression that is no instant vector")),
        }
    }

    /// In how many parts so many series are read. Follows from the work and not from the threads there are: what is
    /// summed part by part then has the same bits everywhere.
    fn n_parts(n_series: usize, frame: &Frame) -> usize {
        /// For fewer, starting another task costs more than it saves: about 50 µs of work.
        const PART_VALUES: usize = 1 << 14;
        const PARTS_MAX: usize = 16;
        let n_values = n_series.saturating_mul(frame.steps.n_steps + 8);
        PARTS_MAX.min(1 + n_values / PART_VALUES)
    }

    /// How many parts are under way at the same time.
    fn n_workers(&self) -> usize {
        self.shared.options.threads.max(1)
    }
}

/// The error for parts of the language that parse but are not evaluated.
fn unsupported(what: &str) -> QueryError {
    QueryError::execution(format!("{what} is not supported yet"))
}
