//! Reading samples as rows: the node of the plan.
//!
//! Streams are read one after the other and lane by lane, so rows come series by series, each in order of time.
//! Staleness markers are left out. A native histogram has no single value: its row has NULL.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_common::config::ConfigOptions;
use datafusion_common::stats::Precision;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result as DataFusionResult, Statistics};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion_physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion_physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion_physical_plan::statistics::StatisticsArgs;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use model::{Matcher, TimeRange};
use parking_lot::Mutex;
use storage::Selection;

use super::columns::{LoadedColumns, SeriesColumn, TableColumn};
use super::scan_stream::{ScanStream, SharedColumns};
use super::series_filter::SeriesFilter;
use super::usage::Usage;
use crate::exec::collect::reserve;
use crate::exec::leaf::split_streams;

/// What to read, and what of it to give.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub(crate) selection: Arc<dyn Selection>,
    /// What the selection was made with; for EXPLAIN.
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
    /// What is given, in order.
    pub(crate) columns: Vec<TableColumn>,
    /// Of [`Self::columns`].
    pub(crate) schema: SchemaRef,
    /// Series that fail it are not read.
    pub(crate) filter: SeriesFilter,
    /// More rows are not needed.
    pub(crate) limit: Option<usize>,
    pub(crate) usage: Usage,
}

/// Reads samples as rows, in several partitions.
#[derive(Debug)]
pub(crate) struct ScanExec {
    scan: Arc<Scan>,
    /// The streams of each partition.
    parts: Vec<Range<usize>>,
    loaded: SharedColumns,
    properties: Arc<PlanProperties>,
}

/// Fewer series are read by one task.
const SERIES_PER_PARTITION_MIN: usize = 64;

/// Samples of a series that nobody knows the number of: an hour of scrapes. Only the order of joins follows from it.
const SAMPLES_PER_SERIES: usize = 240;

impl ScanExec {
    /// A node of at most `n_partitions_max` partitions.
    pub(crate) fn new(scan: Scan, n_partitions_max: usize) -> Self {
        let n_wanted = scan.selection.n_series() / SERIES_PER_PARTITION_MIN;
        let n_partitions = n_wanted.clamp(1, n_partitions_max.max(1));
        let parts = split_streams(&*scan.selection, n_partitions);
        Self::of_parts(scan, parts)
    }

    fn of_parts(scan: Scan, parts: Vec<Range<usize>>) -> Self {
        Self {
            properties: properties(&scan.schema, parts.len()),
            loaded: Arc::new(Mutex::new(None)),
            scan: Arc::new(scan),
            parts,
        }
    }
}

/// What every scan promises.
pub(super) fn properties(schema: &SchemaRef, n_partitions: usize) -> Arc<PlanProperties> {
    let properties = PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(n_partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    );
    Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative))
}

impl Scan {
    /// The series columns that have to be loaded: first those given, then those tested.
    pub(super) fn series_columns(&self) -> Vec<SeriesColumn> {
        let given = self.columns.iter().filter_map(TableColumn::of_series);
        given.chain(self.filter.columns()).cloned().collect()
    }

    /// How many of [`Self::series_columns`] are given.
    pub(super) fn n_given(&self) -> usize {
        self.columns.iter().filter_map(TableColumn::of_series).count()
    }

    /// With the conditions that joins make while they run, as far as they look at series.
    fn with_dynamic_filters(
        &self,
        pushed: &ChildPushdownResult,
    ) -> DataFusionResult<(Vec<PushedDown>, Option<Self>)> {
        let mut filter = self.filter.clone();
        let mut outcomes = Vec::with_capacity(pushed.parent_filters.len());
        let mut is_changed = false;
        for offered in &pushed.parent_filters {
            let condition = &offered.filter;
            let is_dynamic = condition.downcast_ref::<DynamicFilterPhysicalExpr>().is_some();
            if is_dynamic && SeriesFilter::takes(&self.columns, condition) {
                filter = filter.and(&self.columns, Arc::clone(condition))?;
                is_changed = true;
                outcomes.push(PushedDown::Yes);
            } else {
                outcomes.push(PushedDown::No);
            }
        }
        let changed = is_changed.then(|| Self {
            filter,
            ..self.clone()
        });
        Ok((outcomes, changed))
    }
}

impl fmt::Display for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
        write!(
            f,
            "series={}, streams={}, matchers=[{}]",
            self.selection.n_series(),
            self.selection.streams().len(),
            matchers.join(", ")
        )?;
        if self.range.start_ms != i64::MIN {
            write!(f, ", after={}", self.range.start_ms)?;
        }
        if self.range.end_ms != i64::MAX {
            write!(f, ", until={}", self.range.end_ms)?;
        }
        if !self.filter.is_empty() {
            write!(f, ", conditions on series={}", self.filter.conditions().len())?;
        }
        if let Some(limit) = self.limit {
            write!(f, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SampleScanExec: {}", self.scan)
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &'static str {
        "SampleScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        visit_all(&self.scan, visit)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let state = ScanStream::new(
            Arc::clone(&self.scan),
            self.parts[partition].clone(),
            Arc::clone(&self.loaded),
            &task,
        );
        let batches = futures::stream::try_unfold(state, |mut state| async move {
            let batch = state.next().await?;
            tokio::task::coop::consume_budget().await;
            Ok(batch.map(|batch| (batch, state)))
        });
        let schema = Arc::clone(&self.scan.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> DataFusionResult<Arc<Statistics>> {
        let n_series = self.scan.selection.n_series() / args.partition().map_or(1, |_| self.parts.len());
        let mut statistics = Statistics::new_unknown(&self.scan.schema);
        statistics.num_rows = Precision::Inexact(n_series.saturating_mul(SAMPLES_PER_SERIES));
        Ok(Arc::new(statistics))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> DataFusionResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let (outcomes, changed) = self.scan.with_dynamic_filters(&pushed)?;
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(outcomes);
        Ok(match changed {
            Some(scan) => propagation.with_updated_node(Arc::new(Self::of_parts(scan, self.parts.clone()))),
            None => propagation,
        })
    }
}

/// Shows all conditions of a scan to a visitor.
pub(super) fn visit_all(
    scan: &Scan,
    visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
) -> DataFusionResult<TreeNodeRecursion> {
    for condition in scan.filter.conditions() {
        if visit(condition)? == TreeNodeRecursion::Stop {
            return Ok(TreeNodeRecursion::Stop);
        }
    }
    Ok(TreeNodeRecursion::Continue)
}

/// The series columns of a scan, with the memory they take reserved.
pub(super) fn load(scan: &Scan, task: &TaskContext) -> DataFusionResult<super::scan_stream::Reserved> {
    let columns = scan.series_columns();
    let reservation = reserve(task, "labels of series");
    reservation.try_grow(LoadedColumns::bytes(&columns, &*scan.selection))?;
    Ok((
        Arc::new(LoadedColumns::load(&*scan.selection, &columns)),
        reservation,
    ))
}
