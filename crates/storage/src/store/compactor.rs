//! The compactor: the thread that merges blocks, drops those that are too old, and removes files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use model::Clock;

use super::Done;
use super::block_stats::BlockCounters;
use super::config::BlockConfig;
use super::keeper::TICK;
use crate::Error;
use crate::blocks::compact::{Merge, MergeError};
use crate::blocks::live::{Blocks, LiveBlock, Version};
use crate::blocks::plan::{CompactionPolicy, choose};
use crate::blocks::retention::{Retention, expired};
use crate::blocks::{BlockEntry, BlockId};

/// Something asked of the compactor.
pub(super) enum Chore {
    /// Whatever is due is done now; the number of merges.
    Tidy { done: Done<usize> },
    /// What is deleted is taken out of all blocks; the number of blocks written anew.
    Clean { done: Done<usize> },
    /// There is nothing more to do.
    Stop,
}

/// The compactor thread's own.
#[derive(Debug)]
pub(super) struct Compactor {
    pub(super) config: BlockConfig,
    pub(super) out_of_order_window_ms: i64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) blocks: Arc<Blocks>,
    pub(super) counters: Arc<BlockCounters>,
    pub(super) chores: Receiver<Chore>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Compactor {
    /// Works until it is told to stop.
    pub(super) fn run(self) {
        let mut next_look_ms = self.clock.now_ms().saturating_add(self.config.flush_interval_ms);
        while !self.stop.load(Ordering::Relaxed) {
            match self.chores.recv_timeout(TICK) {
                Ok(Chore::Tidy { done }) => done(self.tidy()),
                Ok(Chore::Clean { done }) => done(self.clean()),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Chore::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.blocks.remove_doomed();
            let now_ms = self.clock.now_ms();
            if now_ms >= next_look_ms {
                next_look_ms = now_ms.saturating_add(self.config.flush_interval_ms.max(1));
                if let Err(error) = self.tidy()
                    && !matches!(error, Error::Closed)
                {
                    let reason = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, reason, "blocks could not be merged or dropped; they stay as they are");
                }
            }
        }
    }

    /// Drops what is too old and merges what is to be merged, until nothing is left to do.
    fn tidy(&self) -> Result<usize, Error> {
        self.drop_expired()?;
        let mut n_merges = 0;
        while let Some(chosen) = self.choose() {
            self.merge(&chosen)?;
            n_merges += 1;
        }
        self.blocks.remove_doomed();
        Ok(n_merges)
    }

    fn choose(&self) -> Option<Vec<BlockId>> {
        let version = self.blocks.current();
        let sound = version.blocks.iter().filter(|block| !block.is_quarantined());
        let sound: Vec<BlockEntry> = sound.map(|block| block.entry.clone()).collect();
        let policy = CompactionPolicy {
            window_ms: self.config.window_ms,
            closed_before_ms: self
                .config
                .closed_before_ms(self.clock.now_ms(), self.out_of_order_window_ms),
        };
        choose(&sound, policy)
    }

    fn drop_expired(&self) -> Result<(), Error> {
        let retention = Retention {
            time_ms: self.config.retention_ms,
            bytes: self.config.retention_bytes,
        };
        let version = self.blocks.current();
        let gone = expired(&version.state.blocks, self.clock.now_ms(), retention);
        if gone.is_empty() {
            return Ok(());
        }
        self.blocks.commit(&[], |state| state.remove_blocks(&gone))?;
        self.counters.note_expired(gone.len());
        tracing::info!(n_blocks = gone.len(), "blocks beyond the retention were dropped");
        Ok(())
    }

    /// Writes all blocks anew in which something is deleted.
    fn clean(&self) -> Result<usize, Error> {
        let version = self.blocks.current();
        let is_concerned = |block: &&BlockEntry| version.state.deletions_of(block).next().is_some();
        let concerned: Vec<BlockId> = version
            .state
            .blocks
            .iter()
            .filter(is_concerned)
            .map(|block| block.id)
            .collect();
        drop(version);
        for id in &concerned {
            self.merge(&[*id])?;
        }
        self.blocks.remove_doomed();
        Ok(concerned.len())
    }

    /// Puts one block in the place of some.
    fn merge(&self, ids: &[BlockId]) -> Result<(), Error> {
        let begin = Instant::now();
        let version = self.blocks.current();
        let inputs: Vec<Arc<LiveBlock>> = version
            .blocks
            .iter()
            .filter(|block| ids.contains(&block.entry.id))
            .map(Arc::clone)
            .collect();
        let id = self.blocks.take_id();
        let entry = match self.write(&version, inputs, id) {
            Ok(entry) => entry,
            Err(MergeError { damaged, error }) => {
                self.blocks.give_up(id);
                if let Some(block) = damaged {
                    block.quarantine(&error);
                    // Without it the next choice is another one.
                    return Ok(());
                }
                self.counters.note_compaction_error();
                return Err(error);
            }
        };
        let n_samples = entry.as_ref().map_or(0, |entry| entry.n_samples);
        if entry.is_none() {
            self.blocks.give_up(id);
        }
        self.blocks.commit(&[id], |state| {
            state.add_blocks(entry);
            state.remove_blocks(ids);
        })?;
        drop(version);
        self.counters.note_compaction(n_samples, begin.elapsed());
        tracing::info!(
            n_blocks = ids.len(),
            samples = n_samples,
            duration_ms = begin.elapsed().as_millis() as u64,
            "blocks were merged"
        );
        Ok(())
    }

    fn write(
        &self,
        version: &Version,
        inputs: Vec<Arc<LiveBlock>>,
        id: BlockId,
    ) -> Result<Option<BlockEntry>, MergeError> {
        let merge = Merge {
            objects: &self.blocks.objects,
            inputs,
            deletions: &version.state.deletions,
            deletions_done: version.state.next_deletion,
            id,
            stop: &self.stop,
        };
        merge.run()
    }
}
