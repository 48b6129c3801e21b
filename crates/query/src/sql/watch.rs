//! Watching a plan while it runs.
//!
//! DataFusion sees to it that leaves make pauses, but a join may work for minutes on what it has read: without pauses
//! neither its deadline nor a client that goes away would end it. And memory is reserved by what keeps rows, not by
//! what computes them: a text that each of many projections doubles is not seen by anybody.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::TryStreamExt;

use super::usage::Usage;

/// The plan, watched wherever few rows may become many, or small ones large. No batch may have more than `batch_bytes_max`.
pub(super) fn watched(
    plan: Arc<dyn ExecutionPlan>,
    usage: &Usage,
    batch_bytes_max: usize,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let watched = plan.transform_up(|node| {
        let multiplies = node.children().len() > 1 || node.name() == "UnnestExec";
        Ok(if multiplies || node.name() == "ProjectionExec" {
            Transformed::yes(Arc::new(WatchedExec {
                input: node,
                usage: usage.clone(),
                batch_bytes_max,
            }) as Arc<dyn ExecutionPlan>)
        } else {
            Transformed::no(node)
        })
    });
    watched.data()
}

/// Hands batches on, with a look at the clock and at their size.
#[derive(Debug, Clone)]
struct WatchedExec {
    input: Arc<dyn ExecutionPlan>,
    usage: Usage,
    batch_bytes_max: usize,
}

impl WatchedExec {
    fn check(&self, batch: &RecordBatch) -> DataFusionResult<()> {
        self.usage.check()?;
        let n_bytes = batch.get_array_memory_size();
        if n_bytes > self.batch_bytes_max {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{n_bytes} bytes for {} rows are beyond the {} that one query may have",
                batch.num_rows(),
                self.batch_bytes_max
            )));
        }
        Ok(())
    }
}

impl DisplayAs for WatchedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchedExec")
    }
}

impl ExecutionPlan for WatchedExec {
    fn name(&self) -> &'static str {
        "WatchedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else {
            return Err(DataFusionError::Internal("WatchedExec needs an input".to_owned()));
        };
        Ok(Arc::new(Self {
            input,
            ..Self::clone(&self)
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let batches = make_cooperative(self.input.execute(partition, task)?);
        let watch = self.clone();
        let checked = batches.and_then(move |batch| std::future::ready(watch.check(&batch).map(|()| batch)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.input.schema(),
            checked,
        )))
    }
}
