//! Leaves: selectors, alone or under a function of a range.

use std::sync::Arc;

use model::{METRIC_NAME, MatchOp, Matcher};
use promql::ast::{Call, Expr, ExprKind, Extended, MatrixSelector, Span, VectorSelector};
use promql::function::FunctionId;
use promql::kernel::native::Extension;
use storage::Selection;

use super::vector::{Marked, without_names};
use super::{Frame, Planner, Vector};
use crate::QueryError;
use crate::exec::lane::{Beyond, LaneFunction, LaneFunctionKind};
use crate::exec::leaf::Leaf;
use crate::exec::merge_duplicates::Overlap;
use crate::exec::notes::NoteSink;
use crate::exec::operator::Plan;
use crate::exec::samples::Samples;
use crate::exec::scan::Scan;
use crate::explain::Counted;
use crate::forms::{self, Budget};
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
            ExprKind::Selector(selector) if selector.extended == Some(Extended::Smoothed) => {
                self.smoothed_leaf(selector, expr.span, frame).await.map(Some)
            }
            ExprKind::Selector(selector) => self
                .instant_leaf(selector, LaneFunctionKind::Newest, frame)
                .await
                .map(Some),
            ExprKind::Paren(inner) => Box::pin(self.leaf(inner, frame)).await,
            ExprKind::Call(call) => self.call_leaf(call, frame).await,
            _ => Ok(None),
        }
    }

    async fn call_leaf(&self, call: &Call, frame: &Frame) -> Result<Option<PlannedLeaf>, QueryError> {
        let of_selector = match call.function.id {
            FunctionId::Timestamp => Some(LaneFunctionKind::NewestTime),
            FunctionId::StartTimestamp if self.shared.options.use_start_timestamps => {
                Some(LaneFunctionKind::NewestStart)
            }
            FunctionId::StartTimestamp | FunctionId::AbsentOverTime => return Ok(None),
            _ => None,
        };
        if let Some(kind) = of_selector {
            let argument = call.arguments.first().map(Expr::unparenthesized);
            let Some(ExprKind::Selector(selector)) = argument.map(|argument| &argument.kind) else {
                return Ok(None);
            };
            let leaf = self.instant_leaf(selector, kind, frame).await?;
            return Ok(Some(self.drop_leaf_names(leaf)));
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
        check_extended(call, &range.selector)?;
        let keeps_names = keeps_names(call.function.id);
        let uses_starts = self.uses_starts(call.function.id);
        let mut leaf = self.range_leaf(range, kind, uses_starts, frame).await?;
        leaf.overlap = Overlap::Nothing;
        leaf.leaf.watch = self.watch(call, &leaf.leaf.function.kind, &leaf.table, span);
        leaf.leaf.notes = NoteSink::new(&self.annotations, notes_span(call, span), &leaf.table);
        Ok(Some(if keeps_names {
            leaf
        } else {
            self.drop_leaf_names(leaf)
        }))
    }

    async fn instant_leaf(
        &self,
        selector: &VectorSelector,
        kind: LaneFunctionKind,
        frame: &Frame,
    ) -> Result<PlannedLeaf, QueryError> {
        let function = LaneFunction {
            uses_starts: matches!(kind, LaneFunctionKind::NewestStart),
            kind,
            window_ms: self.lookback_ms,
            evaluation: frame.steps,
            times: self.shifted(frame.steps, &selector.shift)?,
            beyond: None,
            skips_buckets: frame.histograms.skips_buckets(),
        };
        self.leaf_of(selector, function, frame).await
    }

    /// A smoothed selector: it looks at the samples around each step.
    async fn smoothed_leaf(
        &self,
        selector: &VectorSelector,
        span: Span,
        frame: &Frame,
    ) -> Result<PlannedLeaf, QueryError> {
        let function = LaneFunction {
            kind: LaneFunctionKind::Smoothed,
            window_ms: 0,
            evaluation: frame.steps,
            times: self.shifted(frame.steps, &selector.shift)?,
            beyond: self.beyond(selector),
            uses_starts: false,
            skips_buckets: false,
        };
        let mut leaf = self.leaf_of(selector, function, frame).await?;
        leaf.leaf.notes = NoteSink::new(&self.annotations, span, &leaf.table);
        Ok(leaf)
    }

    fn beyond(&self, selector: &VectorSelector) -> Option<Beyond> {
        let before_ms = self.lookback_ms;
        Some(match selector.extended? {
            Extended::Anchored => Beyond {
                extension: Extension::Anchored,
                before_ms,
                after_ms: 0,
            },
            Extended::Smoothed => Beyond {
                extension: Extension::Smoothed,
                before_ms,
                after_ms: before_ms,
            },
        })
    }

    /// True for the functions that look at start timestamps, if they are to be used.
    fn uses_starts(&self, id: FunctionId) -> bool {
        use FunctionId::{Increase, Irate, Rate, Resets};
        self.shared.options.use_start_timestamps && matches!(id, Rate | Irate | Increase | Resets)
    }

    async fn range_leaf(
        &self,
        range: &MatrixSelector,
        kind: LaneFunctionKind,
        uses_starts: bool,
        frame: &Frame,
    ) -> Result<PlannedLeaf, QueryError> {
        let beyond = self.beyond(&range.selector);
        let window_ms = range
            .range
            .evaluate_positive_ms(self.timing)
            .map_err(super::frame::duration_error)?;
        let function = LaneFunction {
            kind,
            window_ms,
            evaluation: frame.steps,
            times: self.shifted(frame.steps, &range.selector.shift)?,
            // An extended range looks at buckets to see what goes together.
            skips_buckets: frame.histograms.skips_buckets() && beyond.is_none(),
            beyond,
            uses_starts,
        };
        self.leaf_of(&range.selector, function, frame).await
    }

    async fn leaf_of(
        &self,
        selector: &VectorSelector,
        function: LaneFunction,
        frame: &Frame,
    ) -> Result<PlannedLeaf, QueryError> {
        let selection = self.select(&selector.matchers, &function).await?;
        let tally = self.tally(frame);
        let table = self.table_of(selector, &selection);
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
                tally,
                counted: Counted::default(),
            },
            marked: Marked::Nothing,
            overlap: Overlap::OtherSteps,
        })
    }

    /// The table of a selection, with the metric name known to be one if a matcher says so.
    fn table_of(&self, selector: &VectorSelector, selection: &Arc<dyn Selection>) -> SeriesTable {
        let name = selector.matchers.iter().find_map(|matcher| {
            let is_one = matcher.name() == METRIC_NAME
                && matcher.op() == MatchOp::Equal
                && !matcher.value().is_empty();
            is_one.then(|| matcher.value())
        });
        SeriesTable::of_selection(Arc::clone(selection), name, &self.ledger)
    }

    /// The series of a range selector that is a whole query, and their samples.
    pub(crate) async fn samples(
        &self,
        range: &MatrixSelector,
        frame: &Frame,
    ) -> Result<(Arc<dyn Selection>, Plan), QueryError> {
        let Leaf {
            selection, function, ..
        } = self
            .range_leaf(range, LaneFunctionKind::Newest, false, frame)
            .await?
            .leaf;
        let seen = function.range();
        let extended = function
            .beyond
            .map(|Beyond { extension, .. }| (extension, function.times.covered(function.window_ms)));
        let tally = self.tally(frame);
        let plan = Samples::plan(
            Arc::clone(&selection),
            seen,
            extended,
            (self.limits.clone(), tally),
        );
        Ok((selection, plan))
    }

    /// The series that `matchers` pick, for `function`.
    pub(crate) async fn select(
        &self,
        matchers: &[Matcher],
        function: &LaneFunction,
    ) -> Result<Arc<dyn Selection>, QueryError> {
        /// What scrapers write, mostly; only for guessing.
        const SCRAPE_INTERVAL_MS: i64 = 15_000;
        self.limits.check()?;
        let (source, range) = (&self.shared.source, function.range());
        let converts = self.shared.options.either_histogram_form;
        if converts || !source.is_quick(matchers, range) {
            self.limits.leave_caller().await;
        }
        let budget = Budget {
            limits: &self.limits,
            ledger: &self.ledger,
        };
        let selection = match converts {
            true => forms::select(&**source, matchers, range, budget)?,
            false => source.select(matchers, range)?,
        };
        self.annotations.watch(&selection);
        let n_samples = match function.is_single_newest() {
            true => 0,
            false => range.end_ms.saturating_sub(range.start_ms) / SCRAPE_INTERVAL_MS,
        };
        let n_samples = usize::try_from(n_samples).unwrap_or(usize::MAX);
        let n_values = n_samples.saturating_add(function.evaluation.n_steps + 8);
        self.limits
            .weigh(selection.n_series().saturating_mul(n_values))
            .await;
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

/// Fails if a function does not go with an extended range.
fn check_extended(call: &Call, selector: &VectorSelector) -> Result<(), QueryError> {
    use FunctionId::{Changes, Delta, Increase, Rate, Resets};
    let (allowed, names): (&[FunctionId], _) = match selector.extended {
        None => return Ok(()),
        Some(Extended::Anchored) => (
            &[Changes, Delta, Increase, Rate, Resets],
            "changes, delta, increase, rate, resets",
        ),
        Some(Extended::Smoothed) => (&[Delta, Increase, Rate], "delta, increase, rate"),
    };
    let word = selector
        .extended
        .map_or(String::new(), |extended| extended.to_string());
    if allowed.contains(&call.function.id) {
        return Ok(());
    }
    Err(QueryError::execution(format!(
        "{word} modifier can only be used with: {names} - not with {}",
        call.function.name
    )))
}

/// Where notes on the samples of a range at `span` are shown: at the first argument, whichever it is.
pub(crate) fn notes_span(call: &Call, span: Span) -> Span {
    match call.arguments.first() {
        Some(phi) if call.function.id == FunctionId::QuantileOverTime => phi.unparenthesized().span,
        _ => span,
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
