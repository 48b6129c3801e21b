//! What the log has done, as numbers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters of the log since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Bytes written.
    pub written_bytes: u64,
    /// Groups written: each is some requests put together.
    pub groups: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Time spent in them, nanoseconds.
    pub sync_ns: u64,
    /// Writes and syncs that failed.
    pub errors: u64,
    /// Segments begun.
    pub segments: u64,
    /// True while the log cannot be written: every append fails until it can be again.
    pub is_failing: bool,
}

/// The counters, shared between the writer and those who show them.
#[derive(Debug, Default)]
pub(crate) struct WalCounters {
    pub(super) written_bytes: AtomicU64,
    pub(super) groups: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) sync_ns: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) segments: AtomicU64,
    is_failing: AtomicBool,
}

impl WalCounters {
    /// Says whether the log can be written.
    pub(crate) fn set_failing(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::Relaxed);
    }

    /// True while the log cannot be written.
    pub(crate) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// The counters as they are now.
    pub(crate) fn stats(&self) -> WalStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WalStats {
            written_bytes: get(&self.written_bytes),
            groups: get(&self.groups),
            syncs: get(&self.syncs),
            sync_ns: get(&self.sync_ns),
            errors: get(&self.errors),
            segments: get(&self.segments),
            is_failing: self.is_failing(),
        }
    }
}
