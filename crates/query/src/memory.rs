//! Memory of one query, out of the pool of all.
//!
//! Operators reserve what they are about to fill ([`crate::exec::collect::reserve`]). What grows while a query is planned
//! is written into its [`Ledger`]: columns of labels are made where nobody can fail, so they may overdraw the pool by
//! one column, and the query fails at its next step; whatever can be many times larger than its inputs (pairs of series,
//! values as labels) is asked for first.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion_common::{DataFusionError, Result as DataFusionResult};
use datafusion_execution::TaskContext;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion_execution::runtime_env::RuntimeEnv;

use crate::QueryError;

/// Passes everything on to the pool of all queries, and notes how much this one holds.
#[derive(Debug)]
pub(crate) struct QueryPool {
    shared: Arc<dyn MemoryPool>,
    held: AtomicUsize,
    peak: AtomicUsize,
    limit: usize,
}

impl QueryPool {
    /// Nothing held yet.
    pub(crate) fn new(shared: Arc<dyn MemoryPool>) -> Arc<Self> {
        Self::limited(shared, usize::MAX)
    }

    /// Nothing held yet, and never more than `limit` bytes.
    pub(crate) fn limited(shared: Arc<dyn MemoryPool>, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            shared,
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            limit,
        })
    }

    /// The most bytes that were held at once.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak.load(Ordering::Relaxed) as u64
    }

    /// What operators of this query run with.
    pub(crate) fn task(
        self: &Arc<Self>,
        environment: &RuntimeEnv,
        config: &SessionConfig,
    ) -> Arc<TaskContext> {
        let environment = RuntimeEnv {
            memory_pool: Arc::clone(self) as Arc<dyn MemoryPool>,
            ..environment.clone()
        };
        let task = TaskContext::new(
            None,
            String::new(),
            config.clone(),
            Default::default(),
            Default::default(),
            Default::default(),
            Default::default(),
            Arc::new(environment),
        );
        Arc::new(task)
    }

    /// An empty ledger of this query.
    pub(crate) fn ledger(self: &Arc<Self>) -> Ledger {
        let pool = Arc::clone(self) as Arc<dyn MemoryPool>;
        Ledger(Arc::new(MemoryConsumer::new("labels").register(&pool)))
    }

    fn note(&self, additional: usize) {
        let held = self.held.fetch_add(additional, Ordering::Relaxed) + additional;
        self.peak.fetch_max(held, Ordering::Relaxed);
    }
}

/// What a query takes while it is planned, and gives back with the last clone of this.
#[derive(Debug, Clone)]
pub(crate) struct Ledger(Arc<MemoryReservation>);

impl Ledger {
    /// Notes bytes that are taken, even if there are none left.
    pub(crate) fn add(&self, bytes: usize) {
        self.0.grow(bytes);
    }

    /// Notes bytes that are about to be taken.
    ///
    /// # Errors
    /// [`QueryError::Memory`].
    pub(crate) fn try_add(&self, bytes: usize) -> Result<(), QueryError> {
        Ok(self.0.try_grow(bytes)?)
    }

    /// Notes `n` values of the type `T` that are about to be taken.
    ///
    /// # Errors
    /// [`QueryError::Memory`].
    pub(crate) fn try_add_values<T>(&self, n: usize) -> Result<(), QueryError> {
        self.try_add(n.saturating_mul(size_of::<T>()))
    }

    /// Fails if more is taken than there is.
    ///
    /// # Errors
    /// [`QueryError::Memory`].
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.try_add(0)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.shared.grow(reservation, additional);
        self.note(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.shared.shrink(reservation, shrink);
        self.held.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DataFusionResult<()> {
        let of_all = match self.shared.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            _ => usize::MAX,
        };
        let limit = self.limit.min(of_all);
        // Tasks of one query may pass this at the same time and be a little beyond it together. The pool of all adds
        // without looking whether a sum fits its integer.
        if self.reserved().saturating_add(additional) > limit {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{additional} bytes for {:?} are beyond the {} that one query may have",
                reservation.consumer().name(),
                limit
            )));
        }
        self.shared.try_grow(reservation, additional)?;
        self.note(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.shared.memory_limit()
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of one query", self.reserved())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion_execution::memory_pool::GreedyMemoryPool;

    #[test]
    fn one_query_does_not_get_beyond_its_own_limit() {
        let shared: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let pool = QueryPool::limited(Arc::clone(&shared), 50) as Arc<dyn MemoryPool>;
        let reservation = MemoryConsumer::new("test").register(&pool);
        reservation.try_grow(40).unwrap();
        assert!(reservation.try_grow(20).is_err());
        assert_eq!((shared.reserved(), pool.reserved()), (40, 40));
    }

    #[test]
    fn an_overdrawn_ledger_fails_the_next_check_and_gives_everything_back() {
        let shared: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let ledger = QueryPool::new(Arc::clone(&shared)).ledger();
        ledger.try_add_values::<u64>(10).unwrap();
        assert!(ledger.try_add(30).is_err() && ledger.check().is_ok());
        ledger.add(30);
        assert!(matches!(ledger.check(), Err(QueryError::Memory { .. })));
        assert!(ledger.try_add_values::<u64>(usize::MAX).is_err());
        drop(ledger);
        assert_eq!(shared.reserved(), 0);
    }

    #[test]
    fn what_one_query_holds_is_missing_for_all() {
        let shared: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let pool = QueryPool::new(Arc::clone(&shared));
        let as_pool = Arc::clone(&pool) as Arc<dyn MemoryPool>;
        let reservation = MemoryConsumer::new("test").register(&as_pool);
        reservation.try_grow(80).unwrap();
        assert!(reservation.try_grow(30).is_err());
        assert_eq!((shared.reserved(), pool.reserved()), (80, 80));
        drop(reservation);
        assert_eq!(
            (shared.reserved(), pool.reserved(), pool.peak_bytes()),
            (0, 0, 80)
        );
    }
}
