//! Requests on their way to the threads that decode them.
//!
//! A thread that has nothing to do sleeps at once. Queues that spin and yield first, to be quick when the next item
//! comes soon, cost a tenth of all ingest here: the next request mostly comes later than that.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

use super::{Failure, Job};

/// A bounded queue for many threads on both ends.
#[derive(Debug)]
pub(super) struct Jobs {
    n_max: usize,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl Jobs {
    /// An empty queue for as many requests.
    pub(super) fn new(n_max: usize) -> Self {
        Self {
            n_max,
            waiting: Mutex::default(),
            arrived: Condvar::new(),
        }
    }

    /// Adds a request.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when the queue is full or closed.
    pub(super) fn push(&self, job: Job) -> Result<(), Failure> {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            return Err(Failure::Unavailable("the server is stopping".into()));
        }
        if waiting.jobs.len() >= self.n_max {
            return Err(Failure::Unavailable(
                "too many requests wait to be decoded".into(),
            ));
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next request; waits for it. `None` when the queue is closed and empty.
    pub(super) fn take(&self) -> Option<Job> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.is_closed {
                return None;
            }
            self.arrived.wait(&mut waiting);
        }
    }

    /// Lets nothing more in. What waits is still taken.
    pub(super) fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;
    use wire::remote_write::Protocol;

    use super::*;
    use crate::ingest::{Buffers, Message};

    fn job() -> Job {
        Job {
            body: Arc::new(Buffers::default()).body(0),
            message: Message::RemoteWrite(Protocol::V2),
            reply: oneshot::channel().0,
        }
    }

    #[test]
    fn a_full_or_closed_queue_turns_requests_away_and_what_waits_is_still_taken() {
        let jobs = Jobs::new(2);
        jobs.push(job()).unwrap();
        jobs.push(job()).unwrap();
        assert!(matches!(jobs.push(job()), Err(Failure::Unavailable(_))));
        assert!(jobs.take().is_some());
        jobs.push(job()).unwrap();
        jobs.close();
        assert!(matches!(jobs.push(job()), Err(Failure::Unavailable(_))));
        assert!(jobs.take().is_some() && jobs.take().is_some() && jobs.take().is_none());
    }

    #[test]
    fn every_waiting_thread_wakes_up_when_the_queue_is_closed() {
        let jobs = Jobs::new(2);
        std::thread::scope(|scope| {
            let waiting = [(); 2].map(|()| scope.spawn(|| jobs.take().is_none()));
            jobs.close();
            assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
        });
    }
}
