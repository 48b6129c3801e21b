//! Reading whole inputs: several partitions at once, memory reserved as it grows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_schema::SchemaRef;
use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::StreamExt;
use model::FloatHistogram;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::operator::{Plan, n_partitions};
use crate::QueryError;
use crate::batch::{Batch, HistogramAt, Row, RowBuffer, bytes_of};
use crate::rows::{ABSENT, Rows, is_absent};

/// All batches of a plan, partition after partition.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The batches in order of partitions.
    pub(crate) batches: Vec<Batch>,
    /// For what they take.
    pub(crate) reservations: Vec<MemoryReservation>,
}

/// All values of a plan by position: `n_series` rows of `n_steps`, absent where the plan gave none.
#[derive(Debug)]
pub(crate) struct Dense {
    n_steps: usize,
    values: Vec<f64>,
    /// By series; empty if there is none at all.
    histograms: Vec<Vec<HistogramAt>>,
    reservation: MemoryReservation,
}

/// Runs all partitions of a plan, some at the same time if there are several.
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
        let mut stream = plan.batches(partition, task)?;
        while let Some(batch) = stream.next().await {
            batch?;
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    });
    drained.await.map(|_| ())
}

/// Runs `work` on every partition of a plan and gives the results in order of partitions.
pub(crate) async fn each_partition<T, F>(
    plan: &Plan,
    task: &Arc<TaskContext>,
    work: impl Fn(Plan, usize, Arc<TaskContext>) -> F + Send + Sync + 'static,
) -> Result<Vec<T>, QueryError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, QueryError>> + Send + 'static,
{
    let n_workers = task.session_config().target_partitions();
    let (n_partitions, plan, task) = (n_partitions(plan), Arc::clone(plan), Arc::clone(task));
    let one = move |partition: usize| {
        let result = work(Arc::clone(&plan), partition, Arc::clone(&task));
        async move { Ok(vec![result.await?]) }
    };
    let append = |all: &mut Vec<T>, one: Vec<T>| all.extend(one);
    let results = fold_in_order(n_partitions, n_workers, one, append).await?;
    Ok(results.unwrap_or_default())
}

/// Runs `work` on the parts 0 to `n_parts` − 1, `n_workers` at a time, and merges what it gives in order of parts. So
/// the result has the same bits however many workers there are and whichever of them is first, and only a few partial
/// results exist at a time. `None` when there is no part.
///
/// The calling task is one of the workers. Others are tasks that take parts if they come to run in time: on a busy
/// machine nobody waits for a worker that has not begun. They stop when this future is dropped.
pub(crate) async fn fold_in_order<T, F>(
    n_parts: usize,
    n_workers: usize,
    work: impl Fn(usize) -> F + Send + Sync + 'static,
    merge: fn(&mut T, T),
) -> Result<Option<T>, QueryError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, QueryError>> + Send + 'static,
{
    let crew = Arc::new(Crew {
        work,
        n_parts,
        next_part: AtomicUsize::new(0),
        folded: Mutex::new(InOrder::new(merge)),
        is_over: Notify::new(),
    });
    let help = |_| {
        let crew = Arc::clone(&crew);
        StopOnDrop(tokio::spawn(async move { crew.work_on().await }))
    };
    let n_helpers = n_workers.min(n_parts).saturating_sub(1);
    let _helpers: Vec<_> = (0..n_helpers).map(help).collect();
    crew.work_on().await;
    loop {
        // Registered before it is looked at, so that nothing is missed in between.
        let is_over = crew.is_over.notified();
        if let Some(outcome) = crew.folded.lock().outcome(n_parts) {
            return outcome;
        }
        is_over.await;
    }
}

/// Those who work on the same parts.
struct Crew<W, T> {
    work: W,
    n_parts: usize,
    next_part: AtomicUsize,
    folded: Mutex<InOrder<T>>,
    /// Told when all parts are merged or one has failed.
    is_over: Notify,
}

/// A part under way. If it is dropped before it is done, by a panic, all fails.
struct InHand<'a, W, T>(Option<&'a Crew<W, T>>);

impl<W, T, F> Crew<W, T>
where
    W: Fn(usize) -> F,
    F: Future<Output = Result<T, QueryError>>,
{
    /// Takes parts until there is none left.
    async fn work_on(&self) {
        loop {
            let part = self.next_part.fetch_add(1, Ordering::Relaxed);
            if part >= self.n_parts {
                return;
            }
            let mut in_hand = InHand(Some(self));
            let result = (self.work)(part).await;
            in_hand.0 = None;
            self.take(part, result);
        }
    }
}

impl<W, T> Crew<W, T> {
    fn take(&self, part: usize, result: Result<T, QueryError>) {
        let mut folded = self.folded.lock();
        match result {
            Ok(result) => folded.add(part, result),
            Err(error) => {
                self.next_part.store(self.n_parts, Ordering::Relaxed);
                folded.failed.get_or_insert(error);
            }
        }
        if folded.failed.is_some() || folded.n_merged == self.n_parts {
            self.is_over.notify_one();
        }
    }
}

impl<W, T> Drop for InHand<'_, W, T> {
    fn drop(&mut self) {
        if let Some(crew) = self.0 {
            crew.take(0, Err(QueryError::internal("a part of the query stopped")));
        }
    }
}

/// Merges results in order of their parts, whatever order they come in.
struct InOrder<T> {
    merge: fn(&mut T, T),
    total: Option<T>,
    n_merged: usize,
    /// Those whose turn has not come.
    waiting: BTreeMap<usize, T>,
    failed: Option<QueryError>,
}

impl<T> InOrder<T> {
    fn new(merge: fn(&mut T, T)) -> Self {
        Self {
            merge,
            total: None,
            n_merged: 0,
            waiting: BTreeMap::new(),
            failed: None,
        }
    }

    fn add(&mut self, part: usize, result: T) {
        self.waiting.insert(part, result);
        while let Some(next) = self.waiting.remove(&self.n_merged) {
            match &mut self.total {
                Some(total) => (self.merge)(total, next),
                None => self.total = Some(next),
            }
            self.n_merged += 1;
        }
    }

    /// What came of `n_parts`, once it is known.
    fn outcome(&mut self, n_parts: usize) -> Option<Result<Option<T>, QueryError>> {
        match self.failed.take() {
            Some(error) => Some(Err(error)),
            None => (self.n_merged == n_parts).then(|| Ok(self.total.take())),
        }
    }
}

/// A task that stops, at its next await, when this is dropped.
#[derive(Debug)]
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
) -> Result<(Vec<Batch>, MemoryReservation), QueryError> {
    let reservation = reserve(task, "collected series");
    let mut stream = plan.batches(partition, Arc::clone(task))?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        reservation.try_grow(batch.bytes())?;
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
            histograms: Vec::new(),
            reservation,
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
                dense.set_row(series_idx as usize, row)?;
            }
        }
        Ok(dense)
    }

    /// The values of one series.
    #[inline]
    pub(crate) fn row(&self, series_idx: usize) -> Row<'_> {
        Row {
            values: &self.values[series_idx * self.n_steps..(series_idx + 1) * self.n_steps],
            histograms: self.histograms.get(series_idx).map_or(&[], Vec::as_slice),
        }
    }

    /// The floats of one series, to be changed.
    pub(crate) fn floats_mut(&mut self, series_idx: usize) -> &mut [f64] {
        &mut self.values[series_idx * self.n_steps..(series_idx + 1) * self.n_steps]
    }

    /// True when some series has a histogram.
    pub(crate) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Sets all values of one series.
    pub(crate) fn set_row(&mut self, series_idx: usize, row: Row<'_>) -> Result<(), QueryError> {
        self.floats_mut(series_idx).copy_from_slice(row.values);
        if !row.histograms.is_empty() {
            self.reservation.try_grow(bytes_of(row.histograms))?;
            self.histograms_mut(series_idx).extend_from_slice(row.histograms);
        }
        Ok(())
    }

    /// Puts a histogram where there is no value yet.
    pub(crate) fn put_histogram(
        &mut self,
        series_idx: usize,
        step: usize,
        value: Arc<FloatHistogram>,
    ) -> Result<(), QueryError> {
        let cell = HistogramAt {
            step: u32::try_from(step).expect("steps are counted in 32 bits"),
            value,
        };
        self.reservation.try_grow(bytes_of(std::slice::from_ref(&cell)))?;
        let cells = self.histograms_mut(series_idx);
        let position = cells.partition_point(|other| other.step < cell.step);
        cells.insert(position, cell);
        Ok(())
    }

    /// Puts the values of some series together in one that has none; where several have one, that of the last stays.
    pub(crate) fn unite(&mut self, members: &[u32], union: usize) -> Result<(), QueryError> {
        let mut united = RowBuffer::new(self.n_steps);
        for &member in members {
            let row = self.row(member as usize);
            for (united, &value) in united.values.iter_mut().zip(row.values) {
                if !is_absent(value) {
                    *united = value;
                }
            }
            united.histograms.extend_from_slice(row.histograms);
        }
        united.histograms.sort_by_key(|cell| cell.step);
        united.histograms.dedup_by_key(|cell| cell.step);
        for cell in &united.histograms {
            united.values[cell.step as usize] = ABSENT;
        }
        self.set_row(union, united.as_row())
    }

    fn histograms_mut(&mut self, series_idx: usize) -> &mut Vec<HistogramAt> {
        if self.histograms.is_empty() {
            self.histograms.resize_with(self.n_series(), Vec::new);
        }
        &mut self.histograms[series_idx]
    }

    /// All rows as batches: the series are those of the output.
    pub(crate) fn into_batches(
        mut self,
        schema: SchemaRef,
    ) -> impl Iterator<Item = Result<Batch, QueryError>> + Send + 'static {
        let (n_series, n_steps) = (self.n_series(), self.n_steps);
        super::operator::row_batches(
            n_series,
            n_steps,
            schema,
            move |series_idx, row: &mut RowBuffer| {
                row.values.copy_from_slice(self.row(series_idx).values);
                if let Some(histograms) = self.histograms.get_mut(series_idx) {
                    row.histograms.append(histograms);
                }
                Ok(())
            },
        )
    }

    /// Number of series.
    pub(crate) fn n_series(&self) -> usize {
        self.values.len().checked_div(self.n_steps).unwrap_or(0)
    }
}
