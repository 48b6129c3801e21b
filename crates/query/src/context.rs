//! The limits of one running query.
//!
//! Among them is how long it may stay where it was asked: a query begins in the task of its caller, because being woken
//! twice costs more than a short query does, and moves to the threads of the engine before it becomes long
//! ([`Limits::leave_caller`]). It is at its caller's for some 300 µs at most, if no single step takes longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::{QueryError, threads};

/// Time, samples and cancellation of one query. Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct Limits(Arc<State>);

#[derive(Debug)]
struct State {
    arrived: Instant,
    /// Nanoseconds between arrival and start.
    queue_nanos: AtomicU64,
    timeout: Duration,
    cancelled: AtomicBool,
    samples_max: u64,
    samples_read: AtomicU64,
    samples_queryable: AtomicU64,
    /// Counted against `samples_max`: what leaves have given out, as if all of it were kept.
    samples_held: AtomicU64,
    /// The query has not moved to the engine's threads yet.
    is_at_caller: AtomicBool,
    /// Told when it moves.
    moved: Notify,
    /// What has been planned, in values to be computed, roughly.
    weight: AtomicU64,
}

/// A query that is about to compute more values than this leaves its caller.
const WEIGHT_AT_CALLER_MAX: u64 = 1 << 14;

/// So does one that has been there for so long.
const TIME_AT_CALLER_MAX: Duration = Duration::from_micros(300);

/// Looks at the limits now and then while one series is evaluated: windows that overlap may see its samples very often.
#[derive(Debug)]
pub(crate) struct Patience {
    limits: Limits,
    n_values: usize,
}

/// After so many values the clock is looked at: about a millisecond.
const PATIENCE_VALUES: usize = 1 << 20;

impl Patience {
    /// With the limits of a query.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            n_values: 0,
        }
    }

    /// Fails as [`Limits::check`] does, once in a while. `n_values` are about to be looked at.
    #[inline]
    pub(crate) fn spend(&mut self, n_values: usize) -> Result<(), QueryError> {
        self.n_values += n_values;
        if self.n_values < PATIENCE_VALUES {
            return Ok(());
        }
        self.n_values = 0;
        self.limits.check()
    }
}

/// Cancels the query when it is dropped.
#[derive(Debug)]
pub(crate) struct CancelFlag(Limits);

impl Limits {
    /// Limits of a query that arrived at `arrived`.
    pub(crate) fn new(arrived: Instant, timeout: Duration, samples_max: u64) -> Self {
        Self(Arc::new(State {
            arrived,
            queue_nanos: AtomicU64::new(0),
            timeout,
            cancelled: AtomicBool::new(false),
            samples_max,
            samples_read: AtomicU64::new(0),
            samples_queryable: AtomicU64::new(0),
            samples_held: AtomicU64::new(0),
            is_at_caller: AtomicBool::new(true),
            moved: Notify::new(),
            weight: AtomicU64::new(0),
        }))
    }

    /// From now on the query runs on the engine's threads.
    pub(crate) fn note_move(&self) {
        self.0.is_at_caller.store(false, Ordering::Release);
        self.0.moved.notify_waiters();
    }

    /// Ready once the query runs on the engine's threads. To be awaited before anything that may take long, by the
    /// query's own task or by one that helps it.
    pub(crate) async fn leave_caller(&self) {
        // Registered before it is looked at, so that nothing is missed in between.
        let moved = self.0.moved.notified();
        if self.is_at_caller() {
            moved.await;
        }
    }

    /// Ready at once for a query whose work so far, and `n_values` more, is short enough for its caller's thread; else
    /// as [`Self::leave_caller`].
    pub(crate) async fn weigh(&self, n_values: usize) {
        if self.is_at_caller() {
            let before = self.0.weight.fetch_add(n_values as u64, Ordering::Relaxed);
            if before.saturating_add(n_values as u64) > WEIGHT_AT_CALLER_MAX {
                self.leave_caller().await;
            }
        }
    }

    /// True for a query that has been at its caller's for too long. Looks at the clock only there.
    pub(crate) fn outstays(&self) -> bool {
        self.is_at_caller() && self.0.arrived.elapsed() > TIME_AT_CALLER_MAX
    }

    fn is_at_caller(&self) -> bool {
        self.0.is_at_caller.load(Ordering::Acquire)
    }

    /// The query has its slot.
    pub(crate) fn note_start(&self) {
        let nanos = u64::try_from(self.0.arrived.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.queue_nanos.store(nanos, Ordering::Relaxed);
    }

    /// How long the query waited for its slot.
    pub(crate) fn queue_time(&self) -> Duration {
        Duration::from_nanos(self.0.queue_nanos.load(Ordering::Relaxed))
    }

    /// Fails when the query was cancelled. Costs nearly nothing.
    pub(crate) fn check_cancelled(&self) -> Result<(), QueryError> {
        if self.0.cancelled.load(Ordering::Relaxed) {
            return Err(QueryError::Canceled);
        }
        Ok(())
    }

    /// Fails when the query was cancelled or has run too long, and lets others have the core now and then. Looks at the
    /// clock, which costs about 30 ns, twice.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.check_cancelled()?;
        threads::give_way();
        if self.0.arrived.elapsed() > self.0.timeout {
            return Err(QueryError::Timeout {
                stage: "expression evaluation",
                limit: self.0.timeout,
            });
        }
        Ok(())
    }

    /// Counts samples that were loaded, those the evaluation can see, and the values that came of them. Fails when there
    /// are more values than a query may hold: what is loaded and dropped again, stream by stream, does not count.
    pub(crate) fn add_samples(&self, n_read: u64, n_queryable: u64, n_held: u64) -> Result<(), QueryError> {
        self.0.samples_read.fetch_add(n_read, Ordering::Relaxed);
        self.0.samples_queryable.fetch_add(n_queryable, Ordering::Relaxed);
        self.0.samples_held.fetch_add(n_held, Ordering::Relaxed);
        self.check_samples(0)
    }

    /// Fails when so many more samples are too many to be held at the same time.
    pub(crate) fn check_samples(&self, n_more: u64) -> Result<(), QueryError> {
        let limit = self.0.samples_max;
        if self.0.samples_held.load(Ordering::Relaxed).saturating_add(n_more) > limit {
            return Err(QueryError::TooManySamples { limit });
        }
        Ok(())
    }

    /// Samples loaded so far.
    pub(crate) fn samples_read(&self) -> u64 {
        self.0.samples_read.load(Ordering::Relaxed)
    }

    /// Samples seen so far, summed over steps.
    pub(crate) fn samples_queryable(&self) -> u64 {
        self.0.samples_queryable.load(Ordering::Relaxed)
    }
}

impl CancelFlag {
    /// A flag for these limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(limits.clone())
    }
}

impl Drop for CancelFlag {
    fn drop(&mut self) {
        self.0.0.cancelled.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_flag_cancels() {
        let limits = Limits::new(Instant::now(), Duration::from_secs(60), 10);
        let flag = CancelFlag::new(&limits);
        assert!(limits.check().is_ok());
        drop(flag);
        assert!(matches!(limits.check(), Err(QueryError::Canceled)));
    }

    #[test]
    fn samples_are_counted_up_to_the_limit() {
        let limits = Limits::new(Instant::now(), Duration::from_secs(60), 10);
        assert!(limits.add_samples(500, 30, 10).is_ok());
        assert!(limits.add_samples(500, 30, 0).is_ok());
        let too_many = |result| matches!(result, Err(QueryError::TooManySamples { limit: 10 }));
        assert!(too_many(limits.check_samples(1)));
        assert!(too_many(limits.add_samples(1, 0, 1)));
    }

    #[test]
    fn only_what_is_light_stays_at_the_caller() {
        use futures::FutureExt;
        let limits = Limits::new(Instant::now(), Duration::from_secs(60), 10);
        assert!(limits.weigh(16_000).now_or_never().is_some());
        let mut heavy = Box::pin(limits.weigh(1_000));
        assert!(heavy.as_mut().now_or_never().is_none());
        limits.note_move();
        assert!(heavy.as_mut().now_or_never().is_some());
        assert!(!limits.outstays());
    }

    #[tokio::test]
    async fn a_helper_that_waits_for_the_move_is_woken_by_it() {
        let limits = Limits::new(Instant::now(), Duration::from_secs(60), 10);
        let helper = tokio::spawn({
            let limits = limits.clone();
            async move { limits.leave_caller().await }
        });
        tokio::task::yield_now().await;
        assert!(!helper.is_finished());
        limits.note_move();
        let woken = tokio::time::timeout(Duration::from_secs(10), helper).await;
        assert!(woken.is_ok(), "nobody woke the helper");
    }

    #[test]
    fn a_query_past_its_time_stops() {
        let limits = Limits::new(Instant::now(), Duration::ZERO, 10);
        std::thread::sleep(Duration::from_millis(2));
        assert!(matches!(limits.check(), Err(QueryError::Timeout { .. })));
    }
}
