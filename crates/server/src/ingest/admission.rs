//! Room for requests: a bound on how many are under way and on the bytes of their bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Config, Failure};

/// Counts what is under way.
#[derive(Debug)]
pub(crate) struct Admission {
    requests_max: usize,
    bytes_max: usize,
    n_requests: AtomicUsize,
    n_bytes: AtomicUsize,
}

/// The room of one request; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    admission: Arc<Admission>,
    n_bytes: usize,
}

impl Admission {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            requests_max: config.requests_max,
            bytes_max: config.bodies_bytes_max,
            n_requests: AtomicUsize::new(0),
            n_bytes: AtomicUsize::new(0),
        }
    }

    /// Room for one more request, without a byte yet.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when as many are under way as may be.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Slot, Failure> {
        let slot = Slot {
            admission: Arc::clone(self),
            n_bytes: 0,
        };
        let n_before = self.n_requests.fetch_add(1, Ordering::Relaxed);
        if n_before >= self.requests_max {
            return Err(Failure::Unavailable(format!(
                "{n_before} write requests are under way already"
            )));
        }
        Ok(slot)
    }

    /// Requests under way.
    pub(crate) fn n_requests(&self) -> usize {
        self.n_requests.load(Ordering::Relaxed)
    }

    /// Bytes of their bodies.
    pub(crate) fn n_bytes(&self) -> usize {
        self.n_bytes.load(Ordering::Relaxed)
    }
}

impl Slot {
    /// Room for `n_more` bytes of this request's body.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when all bodies together have as many bytes as they may. A single body is always
    /// let in, whatever its size: its own limit bounds it.
    pub(crate) fn grow(&mut self, n_more: usize) -> Result<(), Failure> {
        let n_before = self.admission.n_bytes.fetch_add(n_more, Ordering::Relaxed);
        let n_others = n_before.saturating_sub(self.n_bytes);
        self.n_bytes += n_more;
        if n_before + n_more > self.admission.bytes_max && n_others > 0 {
            return Err(Failure::Unavailable(format!(
                "the bodies of write requests under way have {n_before} bytes already"
            )));
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.n_requests.fetch_sub(1, Ordering::Relaxed);
        self.admission.n_bytes.fetch_sub(self.n_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Arc<Admission> {
        Arc::new(Admission::new(&Config {
            requests_max: 2,
            bodies_bytes_max: 100,
            ..Config::default()
        }))
    }

    #[test]
    fn as_many_requests_enter_as_may() {
        let admission = admission();
        let first = admission.enter().unwrap();
        let _second = admission.enter().unwrap();
        assert!(matches!(admission.enter(), Err(Failure::Unavailable(_))));
        drop(first);
        assert!(admission.enter().is_ok());
        assert_eq!(admission.n_requests(), 1);
    }

    #[test]
    fn bodies_share_a_bound_but_one_alone_is_always_let_in() {
        let admission = admission();
        let mut first = admission.enter().unwrap();
        first.grow(60).unwrap();
        let mut second = admission.enter().unwrap();
        second.grow(40).unwrap();
        assert!(second.grow(1).is_err());
        drop(second);
        first.grow(1_000).unwrap();
        drop(first);
        assert_eq!(admission.n_bytes(), 0);
    }
}
