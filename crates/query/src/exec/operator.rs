//! From an operator to a DataFusion plan node.
//!
//! Between our own operators flow [`Batch`]es, which may have native histograms beside the floats ([`Node::batches`]).
//! Whoever runs a node by DataFusion's own means gets the floats alone.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

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
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use crate::QueryError;
use crate::batch::{Batch, RowBuffer};
use crate::explain::{self, Counted, Explained, Measured};
use crate::rows::RowsBuilder;

/// A node of the running plan.
pub(crate) type Plan = Arc<dyn Node>;

/// What one partition of a node gives.
pub(crate) type BatchStream = BoxStream<'static, Result<Batch, QueryError>>;

/// A plan node whose batches may have histograms.
pub(crate) trait Node: ExecutionPlan {
    /// Starts one partition. Nothing is computed before the stream is polled.
    fn batches(&self, partition: usize, task: Arc<TaskContext>) -> Result<BatchStream, QueryError>;

    /// What it did so far, and all it reads from; only told if [`explain::is_explaining`].
    fn explain(&self) -> Explained;
}

/// What one operator does. It is immutable; what changes while it runs lives in the stream it returns.
pub(crate) trait Operator: fmt::Debug + Send + Sync + 'static {
    /// The name that plans show.
    const NAME: &'static str;

    /// What else plans show: parameters, not inputs.
    fn describe(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    /// What it has read from the store; `None` if it reads from other operators.
    fn counted(&self) -> Option<&Counted> {
        None
    }

    /// Starts one partition. Nothing is computed before the stream is polled, and dropping the stream stops all work
    /// that was started for it.
    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError>;
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
    /// The inputs, as DataFusion sees them.
    children: Vec<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
    measured: Arc<Measured>,
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
        let children = inputs
            .iter()
            .map(|input| Arc::clone(input) as Arc<dyn ExecutionPlan>);
        Arc::new(Self {
            operator: Arc::new(operator),
            children: children.collect(),
            inputs,
            properties: Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative)),
            measured: Arc::default(),
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

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.children.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// Plans are built whole: only the same children can be put in.
    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let are_same = children.len() == self.children.len()
            && children
                .iter()
                .zip(&self.children)
                .all(|(new, own)| Arc::ptr_eq(new, own));
        if are_same {
            return Ok(self);
        }
        Err(DataFusionError::Internal(format!("{} keeps its inputs", O::NAME)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
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
        let records = self.batches(partition, task)?.map_ok(|batch| batch.record);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            records.map_err(DataFusionError::from),
        )))
    }
}

impl<O: Operator> Node for OperatorExec<O> {
    fn batches(&self, partition: usize, task: Arc<TaskContext>) -> Result<BatchStream, QueryError> {
        let is_explaining = explain::is_explaining(&task);
        let batches = self.operator.run(Run {
            inputs: &self.inputs,
            partition,
            task: if is_explaining {
                self.measured.task(&task)
            } else {
                task
            },
            schema: self.schema(),
        })?;
        Ok(if is_explaining {
            self.measured.stream(batches)
        } else {
            batches
        })
    }

    fn explain(&self) -> Explained {
        let (n_series, busy, peak_bytes) = self.measured.totals();
        let counted = self.operator.counted();
        let samples = counted.map(Counted::samples);
        // Workers of a leaf do not run within its stream.
        let busy = busy.max(counted.map_or(Duration::ZERO, Counted::busy));
        Explained {
            operator: O::NAME,
            details: Details(&*self.operator).to_string(),
            n_partitions: self.properties.partitioning.partition_count(),
            n_series,
            samples_read: samples.map(|(n_read, _)| n_read),
            samples_queryable: samples.map(|(_, n_queryable)| n_queryable),
            busy,
            peak_bytes,
            inputs: self.inputs.iter().map(|input| input.explain()).collect(),
        }
    }
}

/// The parameters of an operator as text.
struct Details<'a, O>(&'a O);

impl<O: Operator> fmt::Display for Details<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f)
    }
}

/// A stream that first computes something and then makes batches of it one by one.
pub(crate) fn stream_after<I>(
    work: impl Future<Output = Result<I, QueryError>> + Send + 'static,
) -> BatchStream
where
    I: Iterator<Item = Result<Batch, QueryError>> + Send + 'static,
{
    let batches = futures::stream::once(work)
        .map_ok(futures::stream::iter)
        .try_flatten();
    batches.boxed()
}

/// The stream of one partition of an input, each batch through `change`; batches without rows are left out.
pub(crate) fn stream_mapped(
    run: &Run<'_>,
    mut change: impl FnMut(&Batch) -> Result<Batch, QueryError> + Send + 'static,
) -> Result<BatchStream, QueryError> {
    let input = run.inputs[0].batches(run.partition, Arc::clone(&run.task))?;
    let batches = input
        .map(move |batch| change(&batch?))
        .try_filter(|batch| futures::future::ready(batch.n_rows() > 0));
    Ok(batches.boxed())
}

/// Batches of `n_rows` rows, series 0 to n − 1, made when they are asked for: `fill(series_idx, row)` gets a row without
/// values.
pub(crate) fn row_batches(
    n_rows: usize,
    n_steps: usize,
    schema: SchemaRef,
    mut fill: impl FnMut(usize, &mut RowBuffer) -> Result<(), QueryError> + Send + 'static,
) -> impl Iterator<Item = Result<Batch, QueryError>> + Send + 'static {
    let mut next = 0;
    let mut row = RowBuffer::new(n_steps);
    std::iter::from_fn(move || {
        let mut builder = RowsBuilder::new(n_steps, n_rows - next);
        while next < n_rows && !builder.is_full() {
            row.clear();
            if let Err(error) = fill(next, &mut row) {
                next = n_rows;
                return Some(Err(error));
            }
            let series_idx = u32::try_from(next).expect("series are counted in 32 bits");
            builder.push(series_idx, row.as_row());
            next += 1;
        }
        (!builder.is_empty()).then(|| builder.finish(&schema))
    })
}
