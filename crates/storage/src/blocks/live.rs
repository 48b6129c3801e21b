//! The blocks that count, as queries see them.
//!
//! A [`Version`] never changes; whoever holds one can read its blocks. The next one is published when a catalog record
//! with it is durable. The files of a block that no version names any more are removed when the last reader has let go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, Sender};
use model::TimeRange;
use parking_lot::{Mutex, RwLock};

use super::catalog::{CatalogRecords, CatalogReport};
use super::compact::is_damage;
use super::files::{block_path, list_blocks, open_block, read_manifest, remove_block};
use super::objects::Objects;
use super::state::{BlockEntry, BlockId, CatalogState};
use crate::Error;
use crate::block::{BlockSource, PageCache};

/// A block that counts, or did until a moment ago.
#[derive(Debug)]
pub(crate) struct LiveBlock {
    pub(crate) entry: BlockEntry,
    objects: Arc<Objects>,
    /// Opened when it is first asked for.
    source: Mutex<Option<BlockSource>>,
    /// What its manifest says; read when it is first asked for.
    label_names: OnceLock<Arc<[Arc<str>]>>,
    /// When it was last asked for, on the clock of [`Blocks::n_uses`].
    last_use: AtomicU64,
    /// Why it cannot be read.
    damage: Mutex<Option<Arc<str>>>,
    /// Its files go when nobody has it any more.
    is_doomed: AtomicBool,
    remover: Sender<BlockId>,
}

/// The blocks that count, by number, with what is said about them.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) state: CatalogState,
    pub(crate) blocks: Vec<Arc<LiveBlock>>,
}

/// The blocks of a data directory.
#[derive(Debug)]
pub(crate) struct Blocks {
    pub(crate) objects: Arc<Objects>,
    records: Mutex<Records>,
    current: RwLock<Arc<Version>>,
    remover: Sender<BlockId>,
    doomed: Receiver<BlockId>,
    page_cache: Arc<PageCache>,
    catalog_bytes_max: usize,
    n_uses: AtomicU64,
}

#[derive(Debug)]
struct Records {
    log: CatalogRecords,
    /// The number of the next block, whatever the records say.
    next_block: BlockId,
    /// Blocks of commits that failed: one that is durable all the same may name them.
    doubtful: Vec<BlockId>,
}

/// What opening the blocks found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct BlocksReport {
    /// Blocks that count.
    pub blocks: usize,
    /// Samples in them.
    pub samples: u64,
    /// Folders of blocks that do not, removed.
    pub orphans: usize,
    /// Records of the catalog that cannot be read, as texts.
    pub damaged: Vec<String>,
}

/// How much memory blocks may take for what is kept of them between queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockCacheConfig {
    /// Decoded pages.
    pub page_bytes_max: usize,
    /// Decoded tables of series.
    pub catalog_bytes_max: usize,
}

impl Blocks {
    /// Reads the catalog and removes what it does not name.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::UnknownVersion`].
    pub(crate) fn open(
        objects: Arc<Objects>,
        cache: BlockCacheConfig,
    ) -> Result<(Self, BlocksReport), Error> {
        let (log, found) = CatalogRecords::open(Arc::clone(&objects))?;
        let folders = list_blocks(&objects)?;
        let state = log.state().clone();
        let highest = folders.last().map_or(0, |id| id.0 + 1);
        let next_block = state.next_block.max(BlockId(highest));
        let orphans = remove_orphans(&objects, &state, &folders, &found);
        let (remover, doomed) = crossbeam_channel::unbounded();
        let blocks = Self {
            records: Mutex::new(Records {
                log,
                next_block,
                doubtful: Vec::new(),
            }),
            current: RwLock::new(Arc::new(Version {
                state: CatalogState::default(),
                blocks: Vec::new(),
            })),
            objects,
            remover,
            doomed,
            page_cache: Arc::new(PageCache::new(cache.page_bytes_max)),
            catalog_bytes_max: cache.catalog_bytes_max,
            n_uses: AtomicU64::new(0),
        };
        let report = BlocksReport {
            blocks: state.blocks.len(),
            samples: state.blocks.iter().map(|block| block.n_samples).sum(),
            orphans,
            damaged: found
                .damaged
                .iter()
                .map(|(path, reason)| format!("{}: {reason}", path.display()))
                .collect(),
        };
        blocks.publish(state);
        Ok((blocks, report))
    }

    /// What counts now.
    pub(crate) fn current(&self) -> Arc<Version> {
        Arc::clone(&self.current.read())
    }

    /// Gives out the number of a new block.
    pub(crate) fn take_id(&self) -> BlockId {
        let mut records = self.records.lock();
        let id = records.next_block;
        records.next_block = BlockId(id.0 + 1);
        id
    }

    /// Makes a change durable and visible.
    ///
    /// # Errors
    /// [`Error::Io`]; then what was counts on, and the files of `new` blocks stay until it is sure that no record
    /// names them.
    pub(crate) fn commit(
        &self,
        new: &[BlockId],
        change: impl FnOnce(&mut CatalogState),
    ) -> Result<Arc<Version>, Error> {
        let mut records = self.records.lock();
        let mut state = records.log.state().clone();
        change(&mut state);
        state.next_block = records.next_block;
        if let Err(error) = records.log.commit(state.clone()) {
            records.doubtful.extend(new);
            return Err(error);
        }
        for id in records.doubtful.drain(..) {
            self.give_up(id);
        }
        self.publish(state);
        Ok(self.current())
    }

    /// Puts a state in the place of the current one.
    fn publish(&self, state: CatalogState) {
        let mut current = self.current.write();
        let known = |id: BlockId| current.blocks.iter().find(|block| block.entry.id == id);
        let blocks = state.blocks.iter().map(|entry| match known(entry.id) {
            Some(block) => Arc::clone(block),
            None => Arc::new(self.live(entry.clone())),
        });
        let next = Arc::new(Version {
            blocks: blocks.collect(),
            state,
        });
        let is_left_out =
            |block: &&Arc<LiveBlock>| !next.blocks.iter().any(|kept| kept.entry.id == block.entry.id);
        for block in current.blocks.iter().filter(is_left_out) {
            block.is_doomed.store(true, Ordering::Release);
        }
        let before = std::mem::replace(&mut *current, next);
        drop(current);
        // Behind the lock: it may be the last that had a block.
        drop(before);
    }

    fn live(&self, entry: BlockEntry) -> LiveBlock {
        LiveBlock {
            entry,
            objects: Arc::clone(&self.objects),
            source: Mutex::new(None),
            label_names: OnceLock::new(),
            last_use: AtomicU64::new(0),
            damage: Mutex::new(None),
            is_doomed: AtomicBool::new(false),
            remover: self.remover.clone(),
        }
    }

    /// The files of a block that will not be.
    pub(crate) fn give_up(&self, id: BlockId) {
        send(&self.remover, id);
    }

    /// Removes the files of blocks that nobody has any more. Returns how many; what cannot be removed now is tried
    /// again at the next start.
    pub(crate) fn remove_doomed(&self) -> usize {
        let mut n_removed = 0;
        while let Ok(id) = self.doomed.try_recv() {
            match remove_block(&self.objects, id) {
                Ok(()) => n_removed += 1,
                Err(error) => {
                    tracing::warn!(%error, block = id.0, "the files of a block could not be removed");
                }
            }
        }
        n_removed
    }

    /// What reads a block; none, with a line in the log, if it is damaged.
    pub(crate) fn source(&self, block: &LiveBlock) -> Result<BlockSource, Arc<str>> {
        if let Some(damage) = &*block.damage.lock() {
            return Err(Arc::clone(damage));
        }
        let use_number = self.n_uses.fetch_add(1, Ordering::Relaxed) + 1;
        block.last_use.store(use_number, Ordering::Relaxed);
        let mut held = block.source.lock();
        if let Some(source) = &*held {
            return Ok(source.clone());
        }
        let opened = open_block(&self.objects, block.entry.id).and_then(|opened| {
            let catalog = opened.load_catalog()?;
            Ok(BlockSource::new(
                Arc::new(opened),
                Arc::new(catalog),
                Arc::clone(&self.page_cache),
            ))
        });
        match opened {
            Ok(source) => {
                *held = Some(source.clone());
                drop(held);
                self.evict(block.entry.id);
                Ok(source)
            }
            Err(error) => Err(block.give_reason(&error)),
        }
    }

    /// The names of all labels in a block, sorted; reads no more than its manifest. An error, with a line in the log, if
    /// it is damaged.
    pub(crate) fn label_names(&self, block: &LiveBlock) -> Result<Arc<[Arc<str>]>, Arc<str>> {
        if let Some(damage) = &*block.damage.lock() {
            return Err(Arc::clone(damage));
        }
        if let Some(names) = block.label_names.get() {
            return Ok(Arc::clone(names));
        }
        let manifest =
            read_manifest(&self.objects, block.entry.id).map_err(|error| block.give_reason(&error))?;
        let names = manifest.label_names.iter().map(|name| Arc::from(name.as_str()));
        Ok(Arc::clone(block.label_names.get_or_init(|| names.collect())))
    }

    /// Forgets the tables of series that were not asked for lately, beyond the budget.
    fn evict(&self, newest: BlockId) {
        let version = self.current();
        let mut held: Vec<(u64, usize, &Arc<LiveBlock>)> = version
            .blocks
            .iter()
            .filter(|block| block.entry.id != newest)
            .filter_map(|block| {
                let bytes = block.source.lock().as_ref()?.catalog.heap_bytes();
                Some((block.last_use.load(Ordering::Relaxed), bytes, block))
            })
            .collect();
        held.sort_unstable_by_key(|(last_use, ..)| *last_use);
        let mut n_bytes: usize = held.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, block) in held {
            if n_bytes <= self.catalog_bytes_max {
                break;
            }
            n_bytes -= bytes;
            *block.source.lock() = None;
        }
    }

    /// Blocks that cannot be read.
    pub(crate) fn n_quarantined(&self) -> usize {
        let version = self.current();
        version
            .blocks
            .iter()
            .filter(|block| block.is_quarantined())
            .count()
    }

    /// What the cache of pages did.
    pub(crate) fn page_cache(&self) -> &PageCache {
        &self.page_cache
    }
}

impl LiveBlock {
    /// Why it cannot be read, for those who asked for it. Taken out of service if it is damaged; what the environment
    /// refuses now it may grant later.
    fn give_reason(&self, error: &Error) -> Arc<str> {
        if is_damage(error) {
            return self.quarantine(error);
        }
        let reason = describe(error);
        tracing::error!(block = self.entry.id.0, %reason, "a block cannot be read at present");
        reason
    }

    /// Takes the block out of service; the reason, for those who asked for it.
    pub(crate) fn quarantine(&self, error: &Error) -> Arc<str> {
        let path = block_path(&self.objects, self.entry.id);
        let mut held = self.damage.lock();
        if let Some(damage) = &*held {
            return Arc::clone(damage);
        }
        let reason = describe(error);
        tracing::error!(
            block = self.entry.id.0,
            path = %path.display(),
            first_ms = self.entry.first_ms,
            last_ms = self.entry.last_ms,
            %reason,
            "a block is damaged and left out from now on; meshtide inspect tells more"
        );
        *held = Some(Arc::clone(&reason));
        *self.source.lock() = None;
        reason
    }

    /// True when it cannot be read.
    pub(crate) fn is_quarantined(&self) -> bool {
        self.damage.lock().is_some()
    }
}

impl Drop for LiveBlock {
    fn drop(&mut self) {
        if self.is_doomed.load(Ordering::Acquire) {
            send(&self.remover, self.entry.id);
        }
    }
}

impl Version {
    /// The blocks that may have samples in `range`, by number.
    pub(crate) fn overlapping(&self, range: TimeRange) -> impl Iterator<Item = &Arc<LiveBlock>> {
        self.blocks
            .iter()
            .filter(move |block| block.entry.overlaps(range))
    }
}

/// An error with its cause.
fn describe(error: &Error) -> Arc<str> {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    Arc::from(format!("{error}{}", cause.unwrap_or_default()))
}

/// Nobody listens only when nobody is left to remove anything; the next start does it then.
fn send(remover: &Sender<BlockId>, id: BlockId) {
    if remover.send(id).is_err() {
        tracing::debug!(block = id.0, "a block is left to the next start to be removed");
    }
}

/// Removes folders that no record names; how many. Keeps all of them if there is a newer record that cannot be read.
fn remove_orphans(
    objects: &Objects,
    state: &CatalogState,
    folders: &[BlockId],
    found: &CatalogReport,
) -> usize {
    let orphans = folders
        .iter()
        .filter(|id| state.blocks.iter().all(|block| block.id != **id));
    if found.may_name_more() {
        let n_kept = orphans.count();
        if n_kept > 0 {
            tracing::error!(
                n_kept,
                "a damaged catalog record may have named blocks: they are kept, unused"
            );
        }
        return 0;
    }
    let mut n_removed = 0;
    for id in orphans {
        match remove_block(objects, *id) {
            Ok(()) => n_removed += 1,
            Err(error) => tracing::warn!(%error, block = id.0, "an unfinished block could not be removed"),
        }
    }
    n_removed
}
