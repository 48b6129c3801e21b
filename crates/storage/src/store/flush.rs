//! Flushing: what is old enough leaves the head and the log and becomes blocks.
//!
//! 1. *Cut.* A barrier in the queue ends a segment of the log; at that point of the log, which the next segment notes,
//!    the head begins a cut. So everything that is older than the cut and stands in a segment before is what goes into blocks; whatever comes
//!    later, late or not, stands in a later segment and stays in the head.
//! 2. *Write.* One block per window, stream by stream. Queries and appends go on.
//! 3. *Commit.* One catalog record names the blocks and says what of the log they hold. From here on it is done.
//! 4. *Tidy.* When nobody reads who does not see the blocks, the head drops what they hold; streams without samples and
//!    exemplars are let go; segments that nobody needs are removed.
//!
//! A crash before 3 leaves blocks that nobody names and a log that has everything; a crash after it leaves a log of
//! which a restart skips what is said to be in blocks.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use catalog::{Catalog, Definition, LaneName};
use model::{Labels, LaneKind, StreamId, TimeRange, TimestampMs};

use super::keeper::Keeper;
use super::queue::Request;
use crate::block::StreamKey;
use crate::blocks::files::NewBlock;
use crate::blocks::{BlockEntry, Watermark};
use crate::{Error, LaneChoice, StreamBuffer};

/// How long readers are waited for before somebody who waits for a flush is told that it is durable.
const READERS_PATIENCE: Duration = Duration::from_secs(1);

/// What a flush did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushOutcome {
    /// Blocks made.
    pub blocks: usize,
    /// Samples in them.
    pub samples: u64,
}

/// Where the log and the head were cut.
struct CutPoint {
    /// The first segment behind it.
    segment: u64,
    /// False if nothing in the head is older.
    has_begun: bool,
}

/// Blocks that are durable and not named yet.
#[derive(Default)]
struct Written {
    blocks: Vec<BlockEntry>,
    n_samples: u64,
}

impl Keeper {
    /// Makes blocks of everything older than `before_ms`, of everything there is if none is given. `durable` is
    /// called as soon as it is, if that is before the end.
    ///
    /// # Errors
    /// [`Error::Io`] and the like: everything is as before. [`Error::Closed`].
    pub(super) fn flush(
        &self,
        before_ms: Option<TimestampMs>,
        durable: &mut dyn FnMut(FlushOutcome),
    ) -> Result<FlushOutcome, Error> {
        let begin = std::time::Instant::now();
        let newest_ms = self.head.stats().newest_ms;
        let Some(cut_ms) = before_ms.or(newest_ms.map(|newest_ms| newest_ms.saturating_add(1))) else {
            self.trim()?;
            return Ok(FlushOutcome::default());
        };
        let cut = self.cut(cut_ms)?;
        if !cut.has_begun {
            self.trim()?;
            return Ok(FlushOutcome::default());
        }
        // A thread of its own gives back all the memory that it took when it ends.
        let written = std::thread::scope(|scope| {
            let writing = scope.spawn(|| self.write_windows(cut_ms));
            writing.join().unwrap_or(Err(Error::Closed))
        });
        let committed =
            written.and_then(|written| Ok((self.commit_flush(&cut, cut_ms, &written)?, written.n_samples)));
        let (outcome, n_samples) = match committed {
            Ok(committed) => committed,
            Err(error) => {
                self.head.abandon_cut();
                return Err(error);
            }
        };
        self.leases.renew();
        let mut is_told = false;
        while !self.leases.wait(READERS_PATIENCE) {
            if !std::mem::replace(&mut is_told, true) {
                durable(outcome);
            }
            if self.is_stopping() {
                // What the head still holds goes with it.
                return Ok(outcome);
            }
        }
        self.end_cut(n_samples)?;
        self.counters.note_flush(outcome, begin.elapsed());
        tracing::info!(
            blocks = outcome.blocks,
            samples = outcome.samples,
            duration_ms = begin.elapsed().as_millis() as u64,
            "samples were written to blocks"
        );
        self.let_go()?;
        self.trim()?;
        self.release_ids();
        (self.release_memory)();
        Ok(outcome)
    }

    /// Drops what is in blocks, on the thread that put most of it into the head: an allocator keeps for a thread what that
    /// has taken and freed, so the same thread lets go of it in the end.
    fn end_cut(&self, n_samples: u64) -> Result<(), Error> {
        self.head.begin_end(n_samples);
        let mut position = Some(StreamId(0));
        while let Some(first) = position {
            let (sender, receiver) = mpsc::channel();
            let head = Arc::clone(&self.head);
            let release_memory = self.release_memory;
            let done = Box::new(move |_| {
                let position = head.end_some(first);
                if position.is_none() {
                    release_memory();
                }
                // Whoever asked waits for it, or is gone with the store.
                let _told = sender.send(position);
            });
            self.queue.push(Request::Visit { done })?;
            position = receiver.recv().map_err(|_| Error::Closed)?;
        }
        Ok(())
    }

    /// Cuts log and head at the same point.
    fn cut(&self, before_ms: TimestampMs) -> Result<CutPoint, Error> {
        let head = Arc::clone(&self.head);
        self.barrier(Some(before_ms), move |segment| CutPoint {
            segment,
            has_begun: head.begin_cut(before_ms),
        })
    }

    /// Ends a segment of the log and runs `at` when everything before is in the head and nothing behind it. The log
    /// says where the head is cut, if it is.
    fn barrier<T: Send + 'static>(
        &self,
        cut_ms: Option<TimestampMs>,
        at: impl FnOnce(u64) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = mpsc::channel();
        let done = Box::new(move |segment: Result<u64, Error>| drop(sender.send(segment.map(at))));
        let segment = 0;
        self.queue.push(Request::Barrier {
            segment,
            cut_ms,
            done,
        })?;
        receiver.recv().unwrap_or(Err(Error::Closed))
    }

    /// Sees to it that the current segment of the log, which restates everything, is durable.
    fn restate(&self) -> Result<(), Error> {
        let (sender, receiver) = mpsc::channel();
        let done = Box::new(move |restated: Result<(), Error>| drop(sender.send(restated)));
        self.queue.push(Request::Restate { done })?;
        receiver.recv().unwrap_or(Err(Error::Closed))
    }

    /// Writes the blocks of all windows before `cut_ms`.
    fn write_windows(&self, cut_ms: TimestampMs) -> Result<Written, Error> {
        let catalog = self.registry.catalog();
        // Their labels are put together one by one when they are written: of all streams that is a lot of text.
        let streams = catalog.read().streams_in_order();
        let extents: Vec<Option<(TimestampMs, TimestampMs)>> =
            streams.iter().map(|stream| self.head.extent(*stream)).collect();
        let mut written = Written::default();
        let mut from_ms = TimestampMs::MIN;
        while let Some(window) = self.next_window(from_ms, cut_ms, &extents) {
            let stopped = if self.is_stopping() {
                Err(Error::Closed)
            } else {
                Ok(())
            };
            if let Err(error) = stopped.and_then(|()| self.write_window(&streams, window, &mut written)) {
                written
                    .blocks
                    .iter()
                    .for_each(|block| self.blocks.give_up(block.id));
                self.blocks.remove_doomed();
                return Err(error);
            }
            // The next block is not to come on top of what this one took.
            (self.release_memory)();
            from_ms = window.end_ms.saturating_add(1);
        }
        Ok(written)
    }

    /// The next window at or after `from_ms` in which a stream may have samples, cut off at `cut_ms`.
    fn next_window(
        &self,
        from_ms: TimestampMs,
        cut_ms: TimestampMs,
        extents: &[Option<(TimestampMs, TimestampMs)>],
    ) -> Option<TimeRange> {
        let of_stream = |(oldest_ms, newest_ms): &(TimestampMs, TimestampMs)| {
            (*newest_ms >= from_ms).then_some((*oldest_ms).max(from_ms))
        };
        let first_ms = extents.iter().flatten().filter_map(of_stream).min()?;
        if first_ms >= cut_ms {
            return None;
        }
        let window_ms = self.config.window_ms.max(1);
        let start_ms = first_ms.div_euclid(window_ms).saturating_mul(window_ms);
        let end_ms = start_ms.saturating_add(window_ms).min(cut_ms);
        Some(TimeRange {
            start_ms: start_ms.max(from_ms).saturating_sub(1),
            end_ms: end_ms - 1,
        })
    }

    fn write_window(
        &self,
        streams: &[StreamId],
        window: TimeRange,
        written: &mut Written,
    ) -> Result<(), Error> {
        let catalog = self.registry.catalog();
        let mut block: Option<NewBlock> = None;
        let mut buffer = StreamBuffer::stored();
        for stream in streams {
            if !self.head.may_have_samples(*stream, window) {
                continue;
            }
            let Some(names) = StreamNames::of(&catalog.read(), *stream) else {
                continue;
            };
            let lanes: Vec<LaneKind<'_>> = names.lanes.iter().map(LaneName::kind).collect();
            self.head
                .read(*stream, LaneChoice::First(lanes.len()), window, &mut buffer)?;
            let n_rows = buffer.timestamps_ms.len();
            let n_samples: usize = buffer
                .lanes()
                .iter()
                .map(|lane| n_rows - lane.absent_rows.len())
                .sum();
            if n_samples == 0 {
                continue;
            }
            let block = match &mut block {
                Some(block) => block,
                none => none.insert(NewBlock::begin(&self.blocks.objects, self.blocks.take_id())?),
            };
            let key = StreamKey {
                base: &names.base,
                entity: &names.entity,
            };
            block.writer().write_stream(key, &lanes, &buffer)?;
            written.n_samples += n_samples as u64;
        }
        if let Some(block) = block {
            written.blocks.extend(block.finish()?);
        }
        Ok(())
    }

    /// Makes the blocks count.
    fn commit_flush(
        &self,
        cut: &CutPoint,
        cut_ms: TimestampMs,
        written: &Written,
    ) -> Result<FlushOutcome, Error> {
        let watermark = Watermark {
            segments_below: cut.segment,
            before_ms: cut_ms,
            except: Vec::new(),
        };
        let ids: Vec<_> = written.blocks.iter().map(|block| block.id).collect();
        let oldest_segment = self.spans.first().unwrap_or(cut.segment);
        self.blocks.commit(&ids, |state| {
            state.add_blocks(written.blocks.iter().cloned());
            state.note_flushed(watermark, oldest_segment);
        })?;
        Ok(FlushOutcome {
            blocks: written.blocks.len(),
            samples: written.n_samples,
        })
    }

    /// Removes segments of the log that nobody needs. What they hold beside samples stands in a later one before.
    pub(super) fn trim(&self) -> Result<(), Error> {
        let version = self.blocks.current();
        if self.registry.remembers()
            && self.spans.may_trim(&version.state.flushed)
            && let Err(error) = self.restate()
        {
            tracing::warn!(%error, "the log is not trimmed, for it could not begin another segment");
            return Ok(());
        }
        let n_removed = self
            .spans
            .trim(&*self.files, &self.wal_dir, &version.state.flushed)?;
        if n_removed > 0 {
            tracing::debug!(n_removed, "segments of the log were removed");
        }
        Ok(())
    }

    /// Lets ids be given out again that no segment of the log remembers any more.
    fn release_ids(&self) {
        let first = self.spans.first();
        let mut vacant = self.vacant.lock();
        if vacant
            .as_ref()
            .is_some_and(|vacant| first.is_none_or(|first| first >= vacant.since))
            && let Some(vacant) = vacant.take()
        {
            let catalog = self.registry.catalog();
            catalog.write().reuse_ids(vacant.entities, vacant.streams);
        }
    }

    /// Lets streams without samples go, when they are a good part of all. Nothing is taken in meanwhile: some
    /// milliseconds for what is queued, and 5 µs per entity that stays.
    fn let_go(&self) -> Result<(), Error> {
        let catalog = self.registry.catalog();
        let with_exemplars = self.registry.exemplars().lock().streams();
        let is_vacant = |id: StreamId| self.head.is_vacant(id) && !with_exemplars.contains(&id);
        let (mut n_streams, mut n_vacant) = (0_usize, 0_usize);
        for id in (0..catalog.read().n_stream_ids()).map(StreamId) {
            if catalog.read().has_stream(id) {
                n_streams += 1;
                n_vacant += usize::from(is_vacant(id));
            }
        }
        if n_vacant == 0 || n_vacant * 8 < n_streams {
            return Ok(());
        }
        let gate = self.gate.write();
        let since = self.barrier(None, |segment| segment)?;
        let with_exemplars = self.registry.exemplars().lock().streams();
        let is_vacant = |id: StreamId| self.head.is_vacant(id) && !with_exemplars.contains(&id);
        let (entities, streams) = self.registry.retain(|stream| !is_vacant(stream));
        let catalog = self.registry.catalog();
        let catalog = catalog.read();
        self.resolver.retain(|series| catalog.has_stream(series.stream));
        self.resolver.set_n_series(catalog.n_series());
        *self.vacant.lock() = Some(super::keeper::VacantIds {
            since,
            entities,
            streams,
        });
        drop(gate);
        tracing::debug!(n_vacant, n_streams, "streams without samples were let go");
        Ok(())
    }
}

/// What a stream is called.
struct StreamNames {
    base: Arc<str>,
    entity: Labels,
    lanes: Vec<LaneName>,
}

impl StreamNames {
    fn of(catalog: &Catalog, stream: StreamId) -> Option<Self> {
        let ids = stream.0..stream.0.saturating_add(1);
        let Some(Definition::Stream { entity, base, .. }) = catalog.stream_definitions(ids.clone()).next()
        else {
            return None;
        };
        let lanes = catalog
            .lane_definitions(ids)
            .filter_map(|definition| match definition {
                Definition::Lane { name, .. } => Some(name),
                _ => None,
            });
        Some(Self {
            base,
            entity: catalog.entity_labels(entity),
            lanes: lanes.collect(),
        })
    }
}
