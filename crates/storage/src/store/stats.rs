//! What the store has done and holds, as numbers.

use catalog::CatalogStatistics;

use super::BlockStats;
use crate::{HeadStats, WalStats};

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
    /// Blocks.
    pub blocks: BlockStats,
    /// Exemplars that are kept, and their bytes.
    pub exemplars: (usize, usize),
}
