//! What one statement has read so far, and whether it may go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use storage::Selection;

use crate::QueryError;
use crate::context::Limits;

/// Counters and limits of one statement. Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct Usage {
    limits: Limits,
    counters: Arc<Counters>,
    /// Of all scans, for what they have to say in the end.
    selections: Arc<Mutex<Vec<Arc<dyn Selection>>>>,
}

#[derive(Debug, Default)]
struct Counters {
    series_selected: AtomicU64,
    streams_selected: AtomicU64,
    streams_read: AtomicU64,
}

/// What a statement took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SqlStats {
    /// Series that matchers and time left over, summed over scans.
    pub series_selected: u64,
    /// Streams that these series lie in. A histogram is one stream.
    pub streams_selected: u64,
    /// Streams whose samples were read.
    pub streams_read: u64,
    /// Samples that were read.
    pub samples_read: u64,
}

impl Usage {
    /// Nothing read yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            counters: Arc::default(),
            selections: Arc::default(),
        }
    }

    /// Fails when the statement was cancelled or has run too long.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.limits.check()
    }

    /// A scan will look at these series.
    pub(crate) fn add_selected(&self, selection: &Arc<dyn Selection>) {
        let Counters {
            series_selected,
            streams_selected,
            ..
        } = &*self.counters;
        series_selected.fetch_add(selection.n_series() as u64, Ordering::Relaxed);
        streams_selected.fetch_add(selection.streams().len() as u64, Ordering::Relaxed);
        self.selections.lock().push(Arc::clone(selection));
    }

    /// One stream was read.
    pub(crate) fn add_stream(&self, n_samples: u64) -> Result<(), QueryError> {
        self.counters.streams_read.fetch_add(1, Ordering::Relaxed);
        // Rows pass through; what stays of them is counted as memory.
        self.limits.add_samples(n_samples, n_samples, 0)
    }

    /// What the store says of what was read: that samples may be missing. Complete after the last row.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let selections = self.selections.lock();
        let mut warnings: Vec<String> = selections
            .iter()
            .flat_map(|selection| selection.warnings())
            .collect();
        warnings.sort_unstable();
        warnings.dedup();
        warnings
    }

    /// So far.
    pub(crate) fn stats(&self) -> SqlStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SqlStats {
            series_selected: read(&self.counters.series_selected),
            streams_selected: read(&self.counters.streams_selected),
            streams_read: read(&self.counters.streams_read),
            samples_read: self.limits.samples_read(),
        }
    }
}
