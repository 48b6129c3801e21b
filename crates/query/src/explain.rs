//! What the operators of a query did: series, samples, time and memory, as a tree.
//!
//! Nothing of this is measured unless a query asks for it ([`QueryRequest::explain`](crate::QueryRequest)): a marker in
//! the session's configuration tells the operators. Only leaves always count what they read, some streams at a time. Parts of a query that are evaluated while it is planned (scalars made
//! of vectors, labels made of values, info series) are in no tree.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use datafusion_execution::TaskContext;
use futures::{Stream, StreamExt};

use crate::QueryError;
use crate::batch::Batch;
use crate::exec::operator::BatchStream;
use crate::memory::QueryPool;

/// One operator and what it did.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Its name.
    pub operator: &'static str,
    /// What it does, in a few words.
    pub details: String,
    /// How many parts of it may run at once.
    pub n_partitions: usize,
    /// Series it gave out.
    pub n_series: u64,
    /// Samples it read from the store, if it reads from it.
    pub samples_read: Option<u64>,
    /// Samples that its steps could see, if it reads from the store.
    pub samples_queryable: Option<u64>,
    /// How long its threads worked, for it and what it reads from.
    pub busy: Duration,
    /// The most bytes that it and what it reads from held at once.
    pub peak_bytes: u64,
    /// What it reads from.
    pub inputs: Vec<Self>,
}

/// In the configuration of a session whose operators are to measure themselves.
#[derive(Debug)]
pub(crate) struct Explaining;

/// What one operator did so far.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    n_series: AtomicU64,
    busy_nanos: AtomicU64,
    pool: OnceLock<Arc<QueryPool>>,
}

/// What a leaf has read.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    n_read: AtomicU64,
    n_queryable: AtomicU64,
    busy_nanos: AtomicU64,
}

impl Counted {
    /// Adds the time that a worker of its own took since `begun`.
    pub(crate) fn add_busy(&self, begun: Instant) {
        self.busy_nanos.fetch_add(nanos_since(begun), Ordering::Relaxed);
    }

    /// The time of its workers.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed))
    }

    /// Adds samples.
    pub(crate) fn add(&self, n_read: u64, n_queryable: u64) {
        self.n_read.fetch_add(n_read, Ordering::Relaxed);
        self.n_queryable.fetch_add(n_queryable, Ordering::Relaxed);
    }

    /// Samples read, and those that steps could see.
    pub(crate) fn samples(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.n_read), load(&self.n_queryable))
    }
}

/// True when the operators of this session are to measure themselves.
pub(crate) fn is_explaining(task: &TaskContext) -> bool {
    task.session_config().get_extension::<Explaining>().is_some()
}

impl Measured {
    /// What the operator has to run with, so that its memory is known.
    pub(crate) fn task(&self, task: &TaskContext) -> Arc<TaskContext> {
        let pool = self
            .pool
            .get_or_init(|| QueryPool::new(Arc::clone(task.memory_pool())));
        pool.task(&task.runtime_env(), task.session_config())
    }

    /// The same batches, counted and timed.
    pub(crate) fn stream(self: &Arc<Self>, batches: BatchStream) -> BatchStream {
        let measured = Arc::clone(self);
        MeasuredStream { batches, measured }.boxed()
    }

    /// Series, time, bytes.
    pub(crate) fn totals(&self) -> (u64, Duration, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let peak_bytes = self.pool.get().map_or(0, |pool| pool.peak_bytes());
        (
            load(&self.n_series),
            Duration::from_nanos(load(&self.busy_nanos)),
            peak_bytes,
        )
    }
}

fn nanos_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

struct MeasuredStream {
    batches: BatchStream,
    measured: Arc<Measured>,
}

impl Stream for MeasuredStream {
    type Item = Result<Batch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let begun = Instant::now();
        let polled = self.batches.poll_next_unpin(context);
        let measured = &self.measured;
        measured
            .busy_nanos
            .fetch_add(nanos_since(begun), Ordering::Relaxed);
        if let Poll::Ready(Some(Ok(batch))) = &polled {
            let n_rows = batch.n_rows() as u64;
            self.measured.n_series.fetch_add(n_rows, Ordering::Relaxed);
        }
        polled
    }
}
