//! What became of blocks, as numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::flush::FlushOutcome;
use crate::blocks::live::Blocks;

/// Counters since the store was opened, and sizes as of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockStats {
    /// Blocks that count.
    pub blocks: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Samples in them, those included that are deleted and still there.
    pub samples: u64,
    /// Blocks that are damaged and left out.
    pub quarantined: usize,
    /// Deletions that are not carried out in all files yet.
    pub deletions: usize,
    /// Flushes that made blocks.
    pub flushes: u64,
    /// Flushes that failed.
    pub flush_errors: u64,
    /// Samples flushed.
    pub flushed_samples: u64,
    /// Time of flushes, nanoseconds.
    pub flush_ns: u64,
    /// Merges.
    pub compactions: u64,
    /// Merges that failed.
    pub compaction_errors: u64,
    /// Samples that merges wrote.
    pub compacted_samples: u64,
    /// Time of merges, nanoseconds.
    pub compaction_ns: u64,
    /// Blocks dropped because they were too old or too many.
    pub expired: u64,
    /// Pages that queries found in the cache.
    pub page_hits: u64,
    /// Pages that queries had to read.
    pub page_misses: u64,
    /// Bytes of pages in the cache.
    pub page_bytes: usize,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct BlockCounters {
    flushes: AtomicU64,
    flush_errors: AtomicU64,
    flushed_samples: AtomicU64,
    flush_ns: AtomicU64,
    compactions: AtomicU64,
    compaction_errors: AtomicU64,
    compacted_samples: AtomicU64,
    compaction_ns: AtomicU64,
    expired: AtomicU64,
}

impl BlockCounters {
    pub(super) fn note_flush(&self, outcome: FlushOutcome, elapsed: Duration) {
        add(&self.flushes, 1);
        add(&self.flushed_samples, outcome.samples);
        add(&self.flush_ns, nanoseconds(elapsed));
    }

    pub(super) fn note_flush_error(&self) {
        add(&self.flush_errors, 1);
    }

    pub(super) fn note_compaction(&self, n_samples: u64, elapsed: Duration) {
        add(&self.compactions, 1);
        add(&self.compacted_samples, n_samples);
        add(&self.compaction_ns, nanoseconds(elapsed));
    }

    pub(super) fn note_compaction_error(&self) {
        add(&self.compaction_errors, 1);
    }

    pub(super) fn note_expired(&self, n_blocks: usize) {
        add(&self.expired, n_blocks as u64);
    }

    pub(super) fn stats(&self, blocks: &Blocks) -> BlockStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let version = blocks.current();
        let pages = blocks.page_cache().stats();
        BlockStats {
            blocks: version.blocks.len(),
            bytes: version.state.blocks.iter().map(|block| block.bytes).sum(),
            samples: version.state.blocks.iter().map(|block| block.n_samples).sum(),
            quarantined: blocks.n_quarantined(),
            deletions: version.state.deletions.len(),
            flushes: get(&self.flushes),
            flush_errors: get(&self.flush_errors),
            flushed_samples: get(&self.flushed_samples),
            flush_ns: get(&self.flush_ns),
            compactions: get(&self.compactions),
            compaction_errors: get(&self.compaction_errors),
            compacted_samples: get(&self.compacted_samples),
            compaction_ns: get(&self.compaction_ns),
            expired: get(&self.expired),
            page_hits: pages.hits,
            page_misses: pages.misses,
            page_bytes: pages.held_bytes,
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn nanoseconds(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}
