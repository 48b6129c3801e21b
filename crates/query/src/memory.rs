//! Memory of one query, out of the pool of all.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion_common::{DataFusionError, Result as DataFusionResult};
use datafusion_execution::TaskContext;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use datafusion_execution::runtime_env::RuntimeEnv;

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

    fn note(&self, additional: usize) {
        let held = self.held.fetch_add(additional, Ordering::Relaxed) + additional;
        self.peak.fetch_max(held, Ordering::Relaxed);
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
        // Tasks of one query may pass this at the same time and be a little beyond it together.
        if self.reserved().saturating_add(additional) > self.limit {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{additional} bytes for {:?} are beyond the {} that one query may have",
                reservation.consumer().name(),
                self.limit
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
    use datafusion_execution::memory_pool::{GreedyMemoryPool, MemoryConsumer};

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
