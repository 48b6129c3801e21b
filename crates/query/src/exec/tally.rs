//! How many samples each step of a query sees and reads, for `stats=all`. Nothing is counted by step unless a query asks
//! for it; the totals always are.
//!
//! As in Prometheus: a part that does not depend on the step is seen by every step and read by the first; what is read
//! inside of a subquery is no sample that a step sees, but the values of the subquery are; a sample is read at the first
//! step that is not before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::TimestampMs;
use promql::kernel::window::{StepTimes, windows};

use super::lane::LaneFunction;
use crate::rows::is_absent;

/// What the steps of a part of a query are to the steps of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The same.
    EachStep,
    /// All of them are the one step of the whole.
    FirstStep,
    /// Its one step counts for all, this many.
    EveryStep(usize),
    /// Others: it is inside of a subquery.
    Elsewhere,
}

/// Counts by step of the whole query.
#[derive(Debug)]
pub(crate) struct StepCounts {
    seen: Vec<AtomicU64>,
    read: Vec<AtomicU64>,
}

/// Counts for one part of a query. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// None unless counts by step are asked for.
    pub(crate) steps: Option<Arc<StepCounts>>,
    pub(crate) place: Place,
}

/// What one series has for each step.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    seen: Vec<u64>,
    read: Vec<u64>,
}

impl StepCounts {
    /// Nothing counted in any of `n_steps`.
    pub(crate) fn new(n_steps: usize) -> Arc<Self> {
        let zeros = || (0..n_steps).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            seen: zeros(),
            read: zeros(),
        })
    }

    /// Samples seen and read at each step.
    pub(crate) fn totals(&self) -> Vec<(u64, u64)> {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let steps = self.seen.iter().zip(&self.read);
        steps.map(|(seen, read)| (load(seen), load(read))).collect()
    }
}

impl Tally {
    /// How many of the query's samples one sample that a step sees counts for.
    pub(crate) fn weight(&self) -> u64 {
        match self.place {
            Place::EachStep | Place::FirstStep => 1,
            Place::EveryStep(n_steps) => n_steps as u64,
            Place::Elsewhere => 0,
        }
    }

    /// True if the steps of every series are to be added one by one.
    pub(crate) fn is_by_step(&self) -> bool {
        self.steps.is_some() && self.place == Place::EachStep
    }

    /// Adds totals of which nothing was added by step.
    pub(crate) fn add(&self, n_seen: u64, n_read: u64) {
        let Some(steps) = &self.steps else {
            return;
        };
        let add = |counts: &[AtomicU64], n: u64| {
            for count in counts {
                count.fetch_add(n, Ordering::Relaxed);
            }
        };
        add(&steps.read[..1], n_read);
        match self.place {
            Place::EachStep => add(&steps.seen, n_seen / (steps.seen.len() as u64).max(1)),
            Place::FirstStep => add(&steps.seen[..1], n_seen),
            Place::EveryStep(_) => add(&steps.seen, n_seen),
            Place::Elsewhere => {}
        }
    }

    /// Adds the shares of `n_series` series that have the same.
    pub(crate) fn add_shares(&self, shares: &Shares, n_series: u64) {
        if let Some(steps) = &self.steps {
            for (counts, shares) in [(&steps.seen, &shares.seen), (&steps.read, &shares.read)] {
                for (count, share) in counts.iter().zip(shares) {
                    count.fetch_add(share * n_series, Ordering::Relaxed);
                }
            }
        }
    }
}

impl Shares {
    /// Of a series with samples at these times: windows see all samples in them, an instant selector those that give a
    /// value.
    pub(crate) fn of(function: &LaneFunction, timestamps_ms: &[TimestampMs], row: &[f64]) -> Self {
        let seen = if function.is_newest() {
            row.iter().map(|value| u64::from(!is_absent(*value))).collect()
        } else {
            let windows = windows(timestamps_ms, function.times, function.window_ms);
            windows.map(|rows| rows.len() as u64).collect()
        };
        let mut shares = Self {
            seen,
            read: vec![0; function.times.n_steps],
        };
        shares.read(function.times, timestamps_ms.iter().map(|&time_ms| (time_ms, 1)));
        shares
    }

    /// Of a series of which each step sees what `seen` says, and which has samples that count for so many.
    pub(crate) fn of_weights(
        times: StepTimes,
        seen: impl Iterator<Item = u64>,
        samples: impl Iterator<Item = (TimestampMs, u64)>,
    ) -> Self {
        let mut shares = Self {
            seen: seen.collect(),
            read: vec![0; times.n_steps],
        };
        shares.read(times, samples);
        shares
    }

    /// Of a series that reads nothing: the values of a subquery.
    pub(crate) fn unread(mut self) -> Self {
        self.read.fill(0);
        self
    }

    fn read(&mut self, times: StepTimes, samples: impl Iterator<Item = (TimestampMs, u64)>) {
        let mut step = 0;
        for (timestamp_ms, weight) in samples {
            while step + 1 < times.n_steps && times.at(step) < timestamp_ms && times.step_ms > 0 {
                step += 1;
            }
            if let Some(count) = self.read.get_mut(step) {
                *count += weight;
            }
        }
    }
}
