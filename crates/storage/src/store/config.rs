//! What a store is opened with.

use std::sync::Arc;

use catalog::{CatalogLimits, HashSecret};
use model::{Clock, Files, TimestampMs};

use crate::blocks::BlockCacheConfig;
use crate::exemplars::ExemplarConfig;

/// How a store behaves.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// When what was written is made durable.
    pub wal_sync: WalSync,
    /// How far behind the newest sample of its stream a sample may be, in milliseconds.
    pub out_of_order_window_ms: i64,
    /// Samples that may wait to be written, all requests together. What comes beyond is refused at once with
    /// [`crate::Error::Overloaded`]. A single larger request is taken when nothing else waits.
    pub queue_samples_max: usize,
    /// A segment of the log is followed by the next one when it has grown to this many bytes.
    pub segment_bytes: u64,
    /// Limits on series and labels.
    pub limits: CatalogLimits,
    /// When samples become blocks and what becomes of those.
    pub blocks: BlockConfig,
    /// How many exemplars are kept.
    pub exemplars: ExemplarConfig,
}

/// When samples become blocks, and what becomes of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockConfig {
    /// Length of the window of time that a block from the head is of, in milliseconds. Twelve of them become one.
    pub window_ms: i64,
    /// How often to look whether a window is over, in milliseconds.
    pub flush_interval_ms: i64,
    /// Blocks without a newer sample than this are dropped, in milliseconds.
    pub retention_ms: i64,
    /// The oldest blocks are dropped while all have more bytes than this.
    pub retention_bytes: Option<u64>,
    /// Bytes of memory for what queries read of blocks.
    pub cache: BlockCacheConfig,
}

impl BlockConfig {
    /// The end of the last window that is over, with all samples that may come late.
    pub(super) fn closed_before_ms(&self, now_ms: TimestampMs, out_of_order_window_ms: i64) -> TimestampMs {
        let window_ms = self.window_ms.max(1);
        let reached_ms = now_ms.saturating_sub(out_of_order_window_ms);
        reached_ms.div_euclid(window_ms).saturating_mul(window_ms)
    }
}

/// Windows of 2 h, looked at every minute; everything is kept; 64 MiB each for pages and tables of series.
impl Default for BlockConfig {
    fn default() -> Self {
        Self {
            window_ms: 7_200_000,
            flush_interval_ms: 60_000,
            retention_ms: i64::MAX,
            retention_bytes: None,
            cache: BlockCacheConfig {
                page_bytes_max: 64 << 20,
                catalog_bytes_max: 64 << 20,
            },
        }
    }
}

/// When what was written is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalSync {
    /// Before it is acknowledged: an acknowledged sample survives a power cut.
    Always,
    /// Every so many milliseconds: an acknowledged sample survives the end of the process, and a power cut if it
    /// is older than that.
    Interval(u64),
}

/// What the store takes from the world around it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where files are.
    pub files: Arc<dyn Files>,
    /// The key of the catalog's hashes: random in a server, fixed in a simulation.
    pub secret: HashSecret,
    /// Gives memory that was freed back to the operating system, at once, as far as the allocator keeps it for the thread
    /// that calls this or for all. Called seldom, after much was freed: at the end of a flush, also on the thread that
    /// takes samples into the head, which may wait for it some milliseconds. Does nothing where nobody counts.
    pub release_memory: fn(),
}

/// Durable acknowledgements, an hour of lateness, a million queued samples (24 MB), segments of 64 MiB.
impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            wal_sync: WalSync::Always,
            out_of_order_window_ms: 3_600_000,
            queue_samples_max: 1_000_000,
            segment_bytes: 64 << 20,
            limits: CatalogLimits::default(),
            blocks: BlockConfig::default(),
            exemplars: ExemplarConfig::default(),
        }
    }
}
