//! Leaves: selectors, alone or under a function of a range.

use std::sync::Arc;

use model::{METRIC_NAME, MatchOp, TimeRange};
use promql::ast::{Call, Expr, ExprKind, MatrixSelector, Span, VectorSelector};
use promql::function::FunctionId;
use storage::Selection;

use super::vector::{Marked, without_names};
use super::{Frame, Planner, Vector, unsupported};
use crate::QueryError;
use crate::exec::lane::{LaneFunction, LaneFunctionKind};
use crate::exec::leaf::Leaf;
use crate::exec::merge_duplicates::Overlap;
use crate::exec::notes::NoteSink;
use crate::exec::scan::Scan;
use crate::labels::SeriesTable;

/// A leaf that has not become an operator yet: it may be scanned, or folded into groups while it is scanned.
#[derive(Debug)]
pub(crate) struct PlannedLeaf {
    /// What to read.
    pub(crate) leaf: Leaf,
    /// Its series under the labels they have in the result. Not necessarily distinct.
    pub(crate) table: SeriesTable,
    /// Whose names are to be dropped in the end.
    pub(crate) marked: Marked,
    /// What series with the same labels may have in common.
    pub(crate) overlap: Overlap,
}

impl Planner {
    /// The leaf that an expression is; `None` if it is something else.
    pub(crate) async fn leaf(&self, expr: &Expr, frame: &Frame) -> Result<Option<PlannedLeaf>, QueryError> {
        match &expr.kind {
            ExprKind::Selector(selector) => self
                .instant_leaf(selector, LaneFunctionKind::Newest, frame)
                .map(Some),
            ExprKind::Paren(inner) => Box::pin(self.leaf(inner, frame)).await,
            ExprKind::Call(call) => self.call_leaf(call, frame).await,
            _ => Ok(None),
        }
    }

    async fn call_leaf(&self, call: &Call, frame: &Frame) -> Result<Option<PlannedLeaf>, QueryError> {
        if call.function.id == FunctionId::Timestamp {
            let argument = call.arguments.first().map(Expr::unparenthesized);
            let Some(ExprKind::Selector(selector)) = argument.map(|argument| &argument.kind) else {
                return Ok(None);
            };
            let leaf = self.instant_leaf(selector, LaneFunctionKind::NewestTime, frame)?;
            return Ok(Some(self.drop_leaf_names(leaf)));
        }
        if call.function.id == FunctionId::AbsentOverTime {
            return Ok(None);
        }
        self.window_leaf(call, frame).await
    }

    /// The leaf that a function of a range selector is; `None` if its argument is something else.
    pub(crate) async fn window_leaf(
        &self,
        call: &Call,
        frame: &Frame,
    ) -> Result<Option<PlannedLeaf>, QueryError> {
        let range = call
            .arguments
            .iter()
            .find_map(|argument| match &argument.unparenthesized().kind {
                ExprKind::Range(range) => Some((range, argument.unparenthesized().span)),
                _ => None,
            });
        let Some((range, span)) = range else {
            return Ok(None);
        };
        let kind = self.window_function(call, frame).await?;
        let keeps_names = keeps_names(call.function.id);
        let mut leaf = self.range_leaf(range, kind, frame)?;
        leaf.overlap = Overlap::Nothing;
        leaf.leaf.watch = self.watch(call, &leaf.leaf.function.kind, &leaf.table, span);
        leaf.leaf.notes = NoteSink::new(&self.annotations, span, &leaf.table);
        Ok(Some(if keeps_names {
            leaf
        } else {
            self.drop_leaf_names(leaf)
        }))
    }

    fn instant_leaf(
        &self,
        selector: &VectorSelector,
        kind: LaneFunctionKind,
        frame: &Frame,
    ) -> Result<PlannedLeaf, QueryError> {
        let function = LaneFunction {
            kind,
            window_ms: self.lookback_ms,
            evaluation: frame.steps,
            times: self.shifted(frame.steps, &selector.shift)?,
            skips_buckets: frame.histograms.skips_buckets(),
        };
        self.leaf_of(selector, function)
    }

    fn range_leaf(
        &self,
        range: &MatrixSelector,
        kind: LaneFunctionKind,
        frame: &Frame,
    ) -> Result<PlannedLeaf, QueryError> {
        let window_ms = range
            .range
            .evaluate_positive_ms(self.timing)
            .map_err(super::frame::duration_error)?;
        let function = LaneFunction {
            kind,
            window_ms,
            evaluation: frame.steps,
            times: self.shifted(frame.steps, &range.selector.shift)?,
            skips_buckets: frame.histograms.skips_buckets(),
        };
        self.leaf_of(&range.selector, function)
    }

    fn leaf_of(&self, selector: &VectorSelector, function: LaneFunction) -> Result<PlannedLeaf, QueryError> {
        let selection = self.select(selector, &function)?;
        let table = table_of(selector, &selection);
        // Only functions of a range note anything; they set where it stands.
        let notes = NoteSink::new(&self.annotations, Span::default(), &table);
        Ok(PlannedLeaf {
            table,
            leaf: Leaf {
                selection,
                function,
                watch: None,
                notes,
                limits: self.limits.clone(),
            },
            marked: Marked::Nothing,
            overlap: Overlap::OtherSteps,
        })
    }

    /// The series of a range selector that is a whole query, and the window it asks for.
    pub(crate) fn range_selection(
        &self,
        range: &MatrixSelector,
        frame: &Frame,
    ) -> Result<(Arc<dyn Selection>, TimeRange), QueryError> {
        let leaf = self.range_leaf(range, LaneFunctionKind::Newest, frame)?.leaf;
        Ok((leaf.selection, leaf.function.range()))
    }

    fn select(
        &self,
        selector: &VectorSelector,
        function: &LaneFunction,
    ) -> Result<Arc<dyn Selection>, QueryError> {
        if selector.extended.is_some() {
            return Err(unsupported("anchored or smoothed"));
        }
        self.limits.check()?;
        let selection = self.shared.source.select(&selector.matchers, function.range())?;
        self.annotations.watch(&selection);
        Ok(selection)
    }

    fn drop_leaf_names(&self, leaf: PlannedLeaf) -> PlannedLeaf {
        if self.shared.options.delayed_name_removal {
            return PlannedLeaf {
                marked: Marked::Everything,
                ..leaf
            };
        }
        PlannedLeaf {
            table: without_names(&leaf.table),
            ..leaf
        }
    }

    /// A leaf as an operator of its own.
    pub(crate) fn scan(&self, leaf: PlannedLeaf, frame: &Frame) -> Vector {
        if leaf.table.n_series() == 0 {
            return Vector::empty(frame);
        }
        let n_parts = Self::n_parts(leaf.table.n_series(), frame);
        let vector = Vector {
            table: leaf.table.clone(),
            plan: Scan::plan(leaf.leaf, &frame.schema, n_parts),
            marked: leaf.marked,
        };
        vector.with_table(&leaf.table, leaf.overlap, frame)
    }
}

/// Functions of a range whose result is a sample of the series and so keeps its name; and `absent_over_time`, which
/// wants to know of any sample, so that series without their names must not collide.
pub(crate) fn keeps_names(id: FunctionId) -> bool {
    matches!(
        id,
        FunctionId::LastOverTime | FunctionId::FirstOverTime | FunctionId::AbsentOverTime
    )
}

/// The table of a selection, with the metric name known to be one if a matcher says so.
fn table_of(selector: &VectorSelector, selection: &Arc<dyn Selection>) -> SeriesTable {
    let name = selector.matchers.iter().find_map(|matcher| {
        let is_one =
            matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && !matcher.value().is_empty();
        is_one.then(|| matcher.value())
    });
    SeriesTable::of_selection(Arc::clone(selection), name)
}
