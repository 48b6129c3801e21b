//! Reading whole inputs: all partitions at once, memory reserved as it grows.

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::StreamExt;
use tokio::task::JoinHandle;

use super::operator::{Plan, n_partitions};
use crate::QueryError;
use crate::rows::{ABSENT, Rows};

/// All batches of a plan, partition after partition.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The batches in order of partitions.
    pub(crate) batches: Vec<RecordBatch>,
    /// For what they take.
    pub(crate) reservations: Vec<MemoryReservation>,
}

/// All values of a plan by position: `n_series` rows of `n_steps`, absent where the plan gave none.
#[derive(Debug)]
pub(crate) struct Dense {
    n_steps: usize,
    values: Vec<f64>,
    _reservation: MemoryReservation,
}

/// Runs all partitions of a plan, at the same time if there are several.
pub(crate) async fn collect(plan: &Plan, task: &Arc<TaskContext>) -> Result<Collected, QueryError> {
    let results = each_partition(plan, task, |plan, partition, task| async move {
        collect_partition(&plan, partition, &task).await
    })
    .await?;
    let mut collected = Collected {
        batches: Vec::new(),
        reservations: Vec::new(),
    };
    for (batches, reservation) in results {
        collected.batches.extend(batches);
        collected.reservations.push(reservation);
    }
    Ok(collected)
}

/// Runs all partitions of a plan for what it may have to say, and keeps nothing.
pub(crate) async fn drain(plan: &Plan, task: &Arc<TaskContext>) -> Result<(), QueryError> {
    let drained = each_partition(plan, task, |plan, partition, task| async move {
        let mut stream = plan.execute(partition, task)?;
        while let Some(batch) = stream.next().await {
            batch?;
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    });
    drained.await.map(|_| ())
}

/// Runs `work` on every partition of a plan and gives the results in order of partitions. The first partition runs in
/// the calling task, others in tasks of their own, which stop when this future is dropped.
pub(crate) async fn each_partition<T, F>(
    plan: &Plan,
    task: &Arc<TaskContext>,
    work: impl Fn(Plan, usize, Arc<TaskContext>) -> F,
) -> Result<Vec<T>, QueryError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, QueryError>> + Send + 'static,
{
    let start = |partition| work(Arc::clone(plan), partition, Arc::clone(task));
    concurrently((0..n_partitions(plan)).map(start).collect()).await
}

/// Runs all futures at the same time and gives their results in order: the first in the calling task, others in tasks
/// of their own, which stop when this future is dropped.
pub(crate) async fn concurrently<T, F>(work: Vec<F>) -> Result<Vec<T>, QueryError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, QueryError>> + Send + 'static,
{
    let mut work = work.into_iter();
    let Some(first) = work.next() else {
        return Ok(Vec::new());
    };
    let others: Vec<_> = work.map(|future| StopOnDrop(tokio::spawn(future))).collect();
    let mut results = vec![first.await?];
    for mut other in others {
        let result = (&mut other.0).await;
        results.push(result.map_err(|error| QueryError::internal(error.to_string()))??);
    }
    Ok(results)
}

/// A task that stops, at its next await, when this is dropped.
pub(crate) struct StopOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for StopOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn collect_partition(
    plan: &Plan,
    partition: usize,
    task: &Arc<TaskContext>,
) -> Result<(Vec<RecordBatch>, MemoryReservation), QueryError> {
    let reservation = reserve(task, "collected series");
    let mut stream = plan.execute(partition, Arc::clone(task))?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        reservation.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
        tokio::task::coop::consume_budget().await;
    }
    Ok((batches, reservation))
}

/// An empty reservation for one operator.
pub(crate) fn reserve(task: &TaskContext, consumer: &'static str) -> MemoryReservation {
    MemoryConsumer::new(consumer).register(task.memory_pool())
}

impl Dense {
    /// `n_series` rows of `n_steps` absent values.
    pub(crate) fn absent(n_series: usize, n_steps: usize, task: &TaskContext) -> Result<Self, QueryError> {
        let reservation = reserve(task, "series by position");
        let n_values = n_series.saturating_mul(n_steps);
        reservation.try_grow(n_values.saturating_mul(size_of::<f64>()))?;
        Ok(Self {
            n_steps,
            values: vec![ABSENT; n_values],
            _reservation: reservation,
        })
    }

    /// All rows of a plan whose node knows `n_series` series.
    pub(crate) async fn of_plan(
        plan: &Plan,
        n_series: usize,
        n_steps: usize,
        task: &Arc<TaskContext>,
    ) -> Result<Self, QueryError> {
        let collected = collect(plan, task).await?;
        let mut dense = Self::absent(n_series, n_steps, task)?;
        for batch in &collected.batches {
            for (series_idx, row) in Rows::of(batch)?.iter() {
                dense.row_mut(series_idx as usize).copy_from_slice(row);
            }
        }
        Ok(dense)
    }

    /// The values of one series, one per step.
    pub(crate) fn row(&self, series_idx: usize) -> &[f64] {
        &self.values[series_idx * self.n_steps..(series_idx + 1) * self.n_steps]
    }

    /// The values of one series, to be changed.
    pub(crate) fn row_mut(&mut self, series_idx: usize) -> &mut [f64] {
        &mut self.values[series_idx * self.n_steps..(series_idx + 1) * self.n_steps]
    }

    /// Number of series.
    pub(crate) fn n_series(&self) -> usize {
        self.values.len().checked_div(self.n_steps).unwrap_or(0)
    }
}
