//! What the store has done and holds, as numbers.

use catalog::CatalogStatistics;

use crate::HeadStats;

/// Counters since the store was opened, and sizes as of now.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreStats {
    /// Samples accepted, exact duplicates included.
    pub appended_samples: u64,
    /// Samples refused because their series had another value at their time.
    pub refused_duplicate_samples: u64,
    /// Samples refused because they were older than the out-of-order window.
    pub refused_old_samples: u64,
    /// Samples that wait to be written or are being written.
    pub queued_samples: usize,
    /// Requests that failed because the log could not be written.
    pub failed_requests: u64,
    /// Requests refused because the queue was full.
    pub overloaded_requests: u64,
    /// The log.
    pub wal: WalStats,
    /// The catalog.
    pub catalog: CatalogStatistics,
    /// Bytes of the resolver's keys.
    pub resolver_bytes: usize,
    /// The head.
    pub head: HeadStats,
}

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
