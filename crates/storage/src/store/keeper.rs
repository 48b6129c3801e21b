//! The keeper: the thread that turns the old part of the head into blocks, and does what people ask of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catalog::Resolver;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use model::{Clock, Files, Matcher, TimestampMs};
use parking_lot::{Mutex, RwLock};

use super::Done;
use super::block_stats::BlockCounters;
use super::config::BlockConfig;
use super::flush::FlushOutcome;
use super::leases::Leases;
use super::queue::Queue;
use super::registry::Registry;
use crate::blocks::StoredMatcher;
use crate::blocks::live::Blocks;
use crate::wal::SegmentSpans;
use crate::{Error, Head};

/// How often the keeper looks whether there is something to do, and whether it is to stop.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// Something asked of the keeper.
pub(super) enum Command {
    /// Everything before a time, or everything, becomes blocks.
    Flush {
        before_ms: Option<TimestampMs>,
        done: Done<FlushOutcome>,
    },
    /// Samples are no more.
    Delete {
        matchers: Vec<Vec<Matcher>>,
        first_ms: TimestampMs,
        last_ms: TimestampMs,
        done: Done<()>,
    },
    /// There is nothing more to do.
    Stop,
}

/// Ids that stand for nothing since some segment of the log.
#[derive(Debug)]
pub(super) struct VacantIds {
    pub(super) since: u64,
    pub(super) entities: Vec<u32>,
    pub(super) streams: Vec<u32>,
}

/// Bytes that are taken and given back to make the allocator look around.
const REMINDER_BYTES: usize = 1 << 20;

/// Takes some memory and gives it back. An allocator returns what was freed a while ago when pages are next taken or
/// given back, by whomever; in a process without work nobody does, and what a flush or a query has freed would stay
/// resident.
fn remind_allocator() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(REMINDER_BYTES)));
}

/// The last flush of old windows.
struct LastFlush {
    before_ms: TimestampMs,
    at_ms: TimestampMs,
}

/// The keeper thread's own.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) config: BlockConfig,
    pub(super) out_of_order_window_ms: i64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) files: Arc<dyn Files>,
    pub(super) wal_dir: PathBuf,
    pub(super) registry: Arc<Registry>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) head: Arc<Head>,
    pub(super) queue: Arc<Queue>,
    pub(super) spans: Arc<SegmentSpans>,
    pub(super) blocks: Arc<Blocks>,
    pub(super) leases: Arc<Leases>,
    pub(super) gate: Arc<RwLock<()>>,
    pub(super) counters: Arc<BlockCounters>,
    pub(super) vacant: Mutex<Option<VacantIds>>,
    pub(super) commands: Receiver<Command>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) release_memory: fn(),
}

impl Keeper {
    /// Works until it is told to stop.
    pub(super) fn run(self) {
        let mut last: Option<LastFlush> = None;
        let mut next_look_ms = self.clock.now_ms().saturating_add(self.config.flush_interval_ms);
        while !self.is_stopping() {
            match self.commands.recv_timeout(TICK) {
                Ok(Command::Flush { before_ms, done }) => self.flush_asked(before_ms, done),
                Ok(Command::Delete {
                    matchers,
                    first_ms,
                    last_ms,
                    done,
                }) => done(self.delete(matchers, first_ms, last_ms)),
                Err(RecvTimeoutError::Timeout) => remind_allocator(),
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let now_ms = self.clock.now_ms();
            if now_ms >= next_look_ms {
                next_look_ms = now_ms.saturating_add(self.config.flush_interval_ms.max(1));
                self.flush_old(now_ms, &mut last);
            }
        }
    }

    /// True when the store is being closed.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Everything before this time is in blocks, but for late samples.
    fn closed_before_ms(&self, now_ms: TimestampMs) -> TimestampMs {
        self.config.closed_before_ms(now_ms, self.out_of_order_window_ms)
    }

    /// Flushes windows that are over. What comes late for those that were flushed is left to come together for a
    /// quarter of a window.
    fn flush_old(&self, now_ms: TimestampMs, last: &mut Option<LastFlush>) {
        let before_ms = self.closed_before_ms(now_ms);
        let waits = |last: &LastFlush| {
            last.before_ms == before_ms && now_ms < last.at_ms.saturating_add(self.config.window_ms / 4)
        };
        if last.as_ref().is_some_and(waits) {
            return;
        }
        if self
            .head
            .stats()
            .oldest_ms
            .is_none_or(|oldest_ms| oldest_ms >= before_ms)
        {
            return;
        }
        match self.flush(Some(before_ms), &mut |_| ()) {
            Ok(_) => {
                let at_ms = now_ms;
                *last = Some(LastFlush { before_ms, at_ms });
            }
            Err(Error::Closed) => {}
            Err(error) => self.tell(&error),
        }
    }

    fn flush_asked(&self, before_ms: Option<TimestampMs>, done: Done<FlushOutcome>) {
        let mut done = Some(done);
        let mut answer = |result: Result<FlushOutcome, Error>| {
            if let Some(done) = done.take() {
                done(result);
            }
        };
        let result = self.flush(before_ms, &mut |outcome| answer(Ok(outcome)));
        if let Err(error) = &result {
            self.tell(error);
        }
        answer(result);
    }

    /// Deletes what is there of some series: everything becomes blocks first, and of those queries leave it out from
    /// then on.
    fn delete(
        &self,
        selectors: Vec<Vec<Matcher>>,
        first_ms: TimestampMs,
        last_ms: TimestampMs,
    ) -> Result<(), Error> {
        self.flush(None, &mut |_| ())?;
        self.blocks.commit(&[], |state| {
            for matchers in selectors {
                let matchers = matchers.iter().map(StoredMatcher::from).collect();
                state.add_deletion(matchers, first_ms, last_ms);
            }
        })?;
        Ok(())
    }

    fn tell(&self, error: &Error) {
        self.counters.note_flush_error();
        let reason = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, reason, "samples could not be written to blocks; the head and the log keep them");
    }
}
