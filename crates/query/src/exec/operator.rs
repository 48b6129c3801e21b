//! From an operator to a DataFusion plan node.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DataFusionError, Result as DataFusionResult};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt, TryStreamExt};

use crate::QueryError;
use crate::rows::{ABSENT, RowsBuilder};

/// A node of the running plan.
pub(crate) type Plan = Arc<dyn ExecutionPlan>;

/// What one operator does. It is immutable; what changes while it runs lives in the stream it returns.
pub(crate) trait Operator: fmt::Debug + Send + Sync + 'static {
    /// The name that plans show.
    const NAME: &'static str;

    /// What else plans show: parameters, not inputs.
    fn describe(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    /// Starts one partition. Nothing is computed before the stream is polled, and dropping the stream stops all work
    /// that was started for it.
    fn run(&self, run: Run<'_>) -> Result<SendableRecordBatchStream, QueryError>;
}

/// What an operator needs to run.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// The plans it reads from, in the order it was built with.
    pub(crate) inputs: &'a [Plan],
    /// Which partition to run.
    pub(crate) partition: usize,
    /// Carries the memory pool.
    pub(crate) task: Arc<TaskContext>,
    /// The schema of the batches to return.
    pub(crate) schema: SchemaRef,
}

/// An operator as a plan node.
#[derive(Debug)]
pub(crate) struct OperatorExec<O> {
    operator: Arc<O>,
    inputs: Vec<Plan>,
    properties: Arc<PlanProperties>,
}

impl<O: Operator> OperatorExec<O> {
    /// A node with one partition.
    pub(crate) fn single(operator: O, inputs: Vec<Plan>, schema: &SchemaRef) -> Plan {
        Self::partitioned(operator, inputs, schema, 1)
    }

    /// A node with as many partitions as its first input.
    pub(crate) fn like_input(operator: O, inputs: Vec<Plan>, schema: &SchemaRef) -> Plan {
        let n_partitions = inputs.first().map_or(1, n_partitions);
        Self::partitioned(operator, inputs, schema, n_partitions)
    }

    /// A node with `n_partitions`.
    pub(crate) fn partitioned(
        operator: O,
        inputs: Vec<Plan>,
        schema: &SchemaRef,
        n_partitions: usize,
    ) -> Plan {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(schema)),
            Partitioning::UnknownPartitioning(n_partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Arc::new(Self {
            operator: Arc::new(operator),
            inputs,
            properties: Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative)),
        })
    }
}

/// How many partitions a node has.
pub(crate) fn n_partitions(plan: &Plan) -> usize {
    plan.properties().partitioning.partition_count()
}

impl<O: Operator> DisplayAs for OperatorExec<O> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", O::NAME)?;
        self.operator.describe(f)
    }
}

impl<O: Operator> ExecutionPlan for OperatorExec<O> {
    fn name(&self) -> &str {
        O::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Plan> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Plan>,
        _: ReplaceChildrenOptions,
    ) -> DataFusionResult<Plan> {
        if children.len() != self.inputs.len() {
            return Err(DataFusionError::Internal(format!(
                "{} has {} inputs",
                O::NAME,
                self.inputs.len()
            )));
        }
        Ok(Arc::new(Self {
            operator: Arc::clone(&self.operator),
            inputs: children,
            properties: Arc::clone(&self.properties),
        }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Plan>) -> DataFusionResult<Plan> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(datafusion_physical_plan::ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let run = Run {
            inputs: &self.inputs,
            partition,
            task,
            schema: Arc::clone(self.properties.eq_properties.schema()),
        };
        Ok(self.operator.run(run)?)
    }
}

/// A stream of batches from a stream of our results.
pub(crate) fn stream_of(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, QueryError>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(
        schema,
        batches.map_err(DataFusionError::from),
    ))
}

/// A stream that first computes something and then makes batches of it one by one.
pub(crate) fn stream_after<I>(
    schema: SchemaRef,
    work: impl Future<Output = Result<I, QueryError>> + Send + 'static,
) -> SendableRecordBatchStream
where
    I: Iterator<Item = Result<RecordBatch, QueryError>> + Send + 'static,
{
    let batches = futures::stream::once(work)
        .map_ok(futures::stream::iter)
        .try_flatten();
    stream_of(schema, batches)
}

/// The stream of one partition of an input, each batch through `change`; batches without rows are left out.
pub(crate) fn stream_mapped(
    run: &Run<'_>,
    mut change: impl FnMut(&RecordBatch) -> Result<RecordBatch, QueryError> + Send + 'static,
) -> Result<SendableRecordBatchStream, QueryError> {
    let input = run.inputs[0].execute(run.partition, Arc::clone(&run.task))?;
    let batches = input
        .map(move |batch| change(&batch?))
        .try_filter(|batch| futures::future::ready(batch.num_rows() > 0));
    Ok(stream_of(Arc::clone(&run.schema), batches))
}

/// Batches of `n_rows` rows, series 0 to n − 1, made when they are asked for: `fill(series_idx, row)` gets a row of absent
/// values.
pub(crate) fn row_batches(
    n_rows: usize,
    n_steps: usize,
    schema: SchemaRef,
    mut fill: impl FnMut(usize, &mut [f64]) -> Result<(), QueryError> + Send + 'static,
) -> impl Iterator<Item = Result<RecordBatch, QueryError>> + Send + 'static {
    let mut next = 0;
    let mut row = vec![ABSENT; n_steps];
    std::iter::from_fn(move || {
        let mut builder = RowsBuilder::new(n_steps, n_rows - next);
        while next < n_rows && !builder.is_full() {
            row.fill(ABSENT);
            if let Err(error) = fill(next, &mut row) {
                next = n_rows;
                return Some(Err(error));
            }
            builder.push(u32::try_from(next).expect("series are counted in 32 bits"), &row);
            next += 1;
        }
        (!builder.is_empty()).then(|| builder.finish(&schema))
    })
}
