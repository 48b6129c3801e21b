//! Who still reads what.
//!
//! A query holds a lease from the moment it chooses its series to its end. Before the head drops what has gone into a
//! block, all leases that were taken before the block could be seen must have ended.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Gives out leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Leases of the current generation and of each one before that is not over, oldest first.
    generations: Mutex<Generations>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Generations {
    current: u64,
    n_old: usize,
    n_current: usize,
}

/// Keeps what could be seen when it was taken.
#[derive(Debug)]
pub(crate) struct Lease {
    state: Arc<State>,
    generation: u64,
}

impl Leases {
    /// A lease on what can be seen now.
    pub(crate) fn take(&self) -> Lease {
        let mut generations = self.state.generations.lock();
        generations.n_current += 1;
        Lease {
            state: Arc::clone(&self.state),
            generation: generations.current,
        }
    }

    /// From now on leases are on something newer. There must be none left from before the last call.
    pub(crate) fn renew(&self) {
        let mut generations = self.state.generations.lock();
        generations.current += 1;
        generations.n_old += std::mem::take(&mut generations.n_current);
    }

    /// Waits until all leases from before [`Self::renew`] have ended; false if that takes longer than `patience`.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let mut generations = self.state.generations.lock();
        if generations.n_old > 0 {
            self.state.ended.wait_for(&mut generations, patience);
        }
        generations.n_old == 0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut generations = self.state.generations.lock();
        if self.generation == generations.current {
            generations.n_current -= 1;
        } else {
            generations.n_old -= 1;
            self.state.ended.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leases_from_before_are_waited_for() {
        let leases = Leases::default();
        let (before, soon) = (leases.take(), Duration::from_millis(1));
        leases.renew();
        let after = leases.take();
        assert!(!leases.wait(soon));
        drop(before);
        assert!(leases.wait(soon));
        drop(after);
        let kept = leases.take();
        leases.renew();
        assert!(!leases.wait(soon));
        std::thread::scope(|scope| {
            scope.spawn(move || drop(kept));
            while !leases.wait(Duration::from_secs(10)) {}
        });
    }
}
