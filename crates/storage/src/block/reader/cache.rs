//! Pages that were read and unpacked, kept while there is room.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::super::page::Page;

/// Unpacked pages of any number of blocks, within a budget of bytes.
///
/// Two generations: what is asked for moves to the young one, and when that has filled half of the budget it becomes
/// the old one, and the old one is dropped. So a page that is used survives, and one large read cannot drive out
/// more than half of what was there.
pub struct PageCache {
    shards: Vec<Mutex<Shard>>,
    shard_bytes_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
    read_bytes: AtomicU64,
}

/// What a cache did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageCacheStats {
    /// Pages that were there.
    pub hits: u64,
    /// Pages that were not.
    pub misses: u64,
    /// Bytes read from files for them.
    pub read_bytes: u64,
    /// Bytes of the pages it holds.
    pub held_bytes: usize,
}

/// A page of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    block: u64,
    page: u32,
    column: u8,
}

#[derive(Default)]
struct Shard {
    young: HashMap<PageKey, Arc<Page>>,
    old: HashMap<PageKey, Arc<Page>>,
    young_bytes: usize,
    old_bytes: usize,
}

const N_SHARDS: usize = 16;

impl PageKey {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a page has thousands of the 2^31 series a block may have"
    )]
    pub(super) fn new(block: u64, column: u8, page_idx: usize) -> Self {
        Self {
            block,
            page: page_idx as u32,
            column,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the number do")]
    fn shard(self) -> usize {
        // Neighbouring pages go to different shards; readers of one stream mostly want those.
        (self.page as usize)
            .wrapping_mul(5)
            .wrapping_add(usize::from(self.column))
            .wrapping_add(self.block as usize)
            % N_SHARDS
    }
}

impl PageCache {
    /// A cache that holds at most `bytes_max`.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            shards: (0..N_SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            shard_bytes_max: bytes_max / N_SHARDS,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
        }
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> PageCacheStats {
        let held = self.shards.iter().map(|shard| {
            let shard = shard.lock();
            shard.young_bytes + shard.old_bytes
        });
        PageCacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            held_bytes: held.sum(),
        }
    }

    /// A page, if it is there.
    pub(super) fn get(&self, key: PageKey) -> Option<Arc<Page>> {
        let found = self
            .shards
            .get(key.shard())?
            .lock()
            .get(key, self.shard_bytes_max);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// True when a page is there; nobody has asked for it.
    pub(super) fn holds(&self, key: PageKey) -> bool {
        let shard = self.shards.get(key.shard());
        shard.is_some_and(|shard| {
            let shard = shard.lock();
            shard.young.contains_key(&key) || shard.old.contains_key(&key)
        })
    }

    /// Keeps a page that was read from `n_bytes` of a file.
    pub(super) fn put(&self, key: PageKey, page: &Arc<Page>, n_bytes: usize) {
        self.read_bytes.fetch_add(n_bytes as u64, Ordering::Relaxed);
        if let Some(shard) = self.shards.get(key.shard()) {
            shard.lock().put(key, Arc::clone(page), self.shard_bytes_max);
        }
    }
}

impl Shard {
    fn get(&mut self, key: PageKey, bytes_max: usize) -> Option<Arc<Page>> {
        if let Some(page) = self.young.get(&key) {
            return Some(Arc::clone(page));
        }
        let page = self.old.remove(&key)?;
        self.old_bytes -= page.heap_bytes();
        self.put(key, Arc::clone(&page), bytes_max);
        Some(page)
    }

    fn put(&mut self, key: PageKey, page: Arc<Page>, bytes_max: usize) {
        let n_bytes = page.heap_bytes();
        if n_bytes > bytes_max / 2 {
            return;
        }
        if self.young_bytes + n_bytes > bytes_max / 2 {
            self.old = mem::take(&mut self.young);
            self.old_bytes = mem::take(&mut self.young_bytes);
        }
        self.young_bytes += n_bytes;
        if let Some(before) = self.young.insert(key, page) {
            self.young_bytes -= before.heap_bytes();
        }
    }
}

impl fmt::Debug for PageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageCache")
            .field("shard_bytes_max", &self.shard_bytes_max)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
