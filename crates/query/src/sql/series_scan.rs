//! Listing series as rows.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion_common::stats::Precision;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Result as DataFusionResult, Statistics};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_plan::statistics::StatisticsArgs;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

use super::scan::{Scan, load, properties, visit_all};
use super::scan_stream::Reserved;

/// Gives a row for each series of a scan that passes its filter. No samples are read.
#[derive(Debug)]
pub(crate) struct SeriesScanExec {
    scan: Arc<Scan>,
    properties: Arc<PlanProperties>,
}

/// Series per batch. Their labels are a kilobyte each.
const BATCH_SERIES: usize = 1024;

impl SeriesScanExec {
    /// A node of one partition.
    pub(crate) fn new(scan: Scan) -> Self {
        Self {
            properties: properties(&scan.schema, 1),
            scan: Arc::new(scan),
        }
    }
}

struct SeriesStream {
    scan: Arc<Scan>,
    columns: Reserved,
    next_series: u32,
    n_given: usize,
}

impl SeriesStream {
    fn next(&mut self) -> DataFusionResult<Option<RecordBatch>> {
        let n_series = self.scan.selection.n_series() as u32;
        let limit = self.scan.limit.unwrap_or(usize::MAX);
        while self.next_series < n_series && self.n_given < limit {
            self.scan.usage.check()?;
            let end = n_series.min(self.next_series + BATCH_SERIES as u32);
            let tested: Vec<u32> = (self.next_series..end).collect();
            self.next_series = end;
            let columns = &self.columns.0;
            let passed = self.scan.filter.test(columns, self.scan.n_given(), &tested)?;
            let kept = tested.into_iter().zip(passed).filter(|(_, passed)| *passed);
            let series: Vec<u32> = kept.map(|(series, _)| series).collect();
            if !series.is_empty() {
                self.n_given += series.len();
                return Ok(Some(columns.batch(0, &self.scan.schema, &series)?));
            }
        }
        Ok(None)
    }
}

impl DisplayAs for SeriesScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeriesScanExec: {}", self.scan)
    }
}

impl ExecutionPlan for SeriesScanExec {
    fn name(&self) -> &'static str {
        "SeriesScanExec"
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

    fn execute(&self, _: usize, task: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let state = SeriesStream {
            columns: load(&self.scan, &task)?,
            scan: Arc::clone(&self.scan),
            next_series: 0,
            n_given: 0,
        };
        let batches = futures::stream::try_unfold(state, |mut state| async move {
            let batch = state.next()?;
            tokio::task::coop::consume_budget().await;
            Ok(batch.map(|batch| (batch, state)))
        });
        let schema = Arc::clone(&self.scan.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> DataFusionResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.scan.schema);
        let n_series = self.scan.selection.n_series();
        statistics.num_rows = if self.scan.filter.is_empty() && self.scan.limit.is_none() {
            Precision::Exact(n_series)
        } else {
            Precision::Inexact(n_series)
        };
        Ok(Arc::new(statistics))
    }
}
