//! Taking old rows out of the head: a cut.
//!
//! From [`Head::begin_cut`] on, rows older than the cut stay as they are, so that they can be read in peace and
//! written to a block. A sample that still comes for them is *deferred*: queries see it, but it belongs to what comes
//! after the cut. [`Head::end_cut`] drops the old rows and puts what was deferred in its place as late samples;
//! [`Head::abandon_cut`] drops nothing.
//!
//! Both go from stream to stream and let samples in between; a stream that is done takes them as always.

use model::{StreamId, TimestampMs};

use super::Head;
use super::late::LateSample;
use super::raw::RawRows;
use super::refusal::RefusalReason;
use super::stream::{LaneSample, OWN_PAGE, Stored, Stream, Workspace, same_or_duplicate};

/// Streams that are taken out of a cut while nothing is appended.
const STREAMS_AT_ONCE: usize = 256;

/// A cut under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    before_ms: TimestampMs,
    /// Streams with lower ids are done.
    done_below: u64,
}

impl Cut {
    /// Older samples of this stream are deferred.
    pub(super) fn before_ms_of(self, stream: StreamId) -> TimestampMs {
        if u64::from(stream.0) < self.done_below {
            TimestampMs::MIN
        } else {
            self.before_ms
        }
    }
}

impl Head {
    /// Begins a cut: rows older than `before_ms` stay as they are. False when there is nothing older, and then no cut
    /// has begun.
    ///
    /// To be called between appends, at the place that the log notes, and not during another cut.
    pub fn begin_cut(&self, before_ms: TimestampMs) -> bool {
        self.note_cut(before_ms);
        let mut workspace = self.workspace.lock();
        let is_older = |oldest_ms: TimestampMs| oldest_ms < before_ms;
        if !workspace.stats.oldest_ms.is_some_and(is_older) || workspace.cut.is_some() {
            return false;
        }
        workspace.cut = Some(Cut {
            before_ms,
            done_below: 0,
        });
        true
    }

    /// Notes where the log says that a cut began. From here on no sample is too old because of one that is older.
    pub fn note_cut(&self, before_ms: TimestampMs) {
        let mut workspace = self.workspace.lock();
        workspace.last_cut_ms = workspace.last_cut_ms.max(before_ms);
    }

    /// Where the head was cut last.
    #[must_use]
    pub fn last_cut_ms(&self) -> TimestampMs {
        self.workspace.lock().last_cut_ms
    }

    /// Ends the cut: what is older goes. `n_samples` is how many samples go.
    pub fn end_cut(&self, n_samples: u64) {
        self.begin_end(n_samples);
        let mut position = Some(StreamId(0));
        while let Some(first) = position {
            position = self.end_some(first);
        }
    }

    /// Begins to end the cut, of which `n_samples` samples go; [`Self::end_some`] follows.
    pub(crate) fn begin_end(&self, n_samples: u64) {
        let mut workspace = self.workspace.lock();
        workspace.stats.oldest_ms = None;
        workspace.stats.n_samples = workspace.stats.n_samples.saturating_sub(n_samples);
    }

    /// Ends the cut for some streams from `first` on; where to go on, until all are done. Samples may come in between.
    pub(crate) fn end_some(&self, first: StreamId) -> Option<StreamId> {
        let before_ms = self.workspace.lock().cut.map(|cut| cut.before_ms)?;
        self.settle(first, before_ms)
    }

    /// Ends the cut with everything in its place.
    pub fn abandon_cut(&self) {
        self.begin_end(0);
        let mut position = Some(StreamId(0));
        while let Some(first) = position {
            position = self.settle(first, TimestampMs::MIN);
        }
    }

    /// True when the stream has no sample.
    #[must_use]
    pub fn is_vacant(&self, stream: StreamId) -> bool {
        self.streams
            .get(stream)
            .is_none_or(|slot| slot.lock().is_vacant())
    }

    /// The oldest and the newest sample of a stream.
    #[must_use]
    pub fn extent(&self, stream: StreamId) -> Option<(TimestampMs, TimestampMs)> {
        let stream = self.streams.get(stream)?.lock();
        (!stream.is_vacant()).then(|| (stream.oldest_ms(), stream.newest_ms))
    }

    /// Takes some streams from `first` on out of the cut and drops what is older than `before_ms`; where to go on, or
    /// none when the cut is over.
    fn settle(&self, first: StreamId, before_ms: TimestampMs) -> Option<StreamId> {
        let mut workspace = self.workspace.lock();
        let mut position = Some(first);
        for _ in 0..STREAMS_AT_ONCE {
            // Whatever comes into being meanwhile is found too: the last look is under the lock.
            let Some((id, slot)) = position.and_then(|position| self.streams.next(position)) else {
                workspace.cut = None;
                if workspace.stats.oldest_ms.is_none() {
                    workspace.stats.newest_ms = None;
                }
                return None;
            };
            let mut stream = slot.lock();
            workspace.cut_ms = TimestampMs::MIN;
            stream.settle(before_ms, &mut workspace);
            slot.note_newest_row(&stream);
            drop(stream);
            if let Some(cut) = &mut workspace.cut {
                cut.done_below = u64::from(id.0) + 1;
            }
            position = id.0.checked_add(1).map(StreamId);
        }
        position.or_else(|| {
            workspace.cut = None;
            None
        })
    }
}

impl Stream {
    /// Takes a sample for a row that is older than the cut.
    #[cold]
    pub(super) fn defer(
        &mut self,
        sample: LaneSample,
        work: &mut Workspace,
    ) -> Result<Stored, RefusalReason> {
        let LaneSample {
            lane,
            timestamp_ms,
            bits,
        } = sample;
        let deferred = || self.deferred()?.get(timestamp_ms, lane);
        if let Some(held) = self.held_bits(sample).or_else(deferred) {
            return same_or_duplicate(held, sample);
        }
        if self.is_vacant() {
            work.stats.n_streams += 1;
        } else {
            self.check_age(sample, work)?;
        }
        self.note_time(timestamp_ms, work);
        work.stats.n_samples += 1;
        self.measured(work, |stream, _| {
            let sealed = stream.sealed.get_or_insert_default();
            sealed.deferred.insert(LateSample {
                timestamp_ms,
                lane,
                bits,
            });
        });
        Ok(Stored::New)
    }

    /// Drops rows older than `before_ms` and puts what was deferred in its place.
    fn settle(&mut self, before_ms: TimestampMs, work: &mut Workspace) {
        if self.is_vacant() {
            return;
        }
        self.close_starts();
        let deferred = self.measured(work, |stream, work| stream.drop_before(before_ms, work));
        self.drop_extras_before(before_ms, &deferred, work);
        // Counted when it came, and again when it is put back.
        work.stats.n_samples = work.stats.n_samples.saturating_sub(deferred.len() as u64);
        for sample in deferred {
            let put = self.put_older(
                LaneSample {
                    lane: sample.lane,
                    timestamp_ms: sample.timestamp_ms,
                    bits: sample.bits,
                },
                work,
            );
            debug_assert!(put.is_ok(), "its place was free when it was deferred");
        }
        if self.is_vacant() {
            let extras = self.sealed.as_ref().and_then(|sealed| sealed.extras.as_ref());
            work.stats.bytes.extras -= extras.map_or(0, |extras| extras.heap_bytes());
            work.stats.n_streams -= 1;
            self.measured(work, |stream, _| *stream = Self::default());
            return;
        }
        self.newest_ms = self.raw.timestamp(self.raw.n_rows() - 1);
        let oldest_ms = self.oldest_ms();
        let held_ms = work.stats.oldest_ms.unwrap_or(oldest_ms);
        work.stats.oldest_ms = Some(held_ms.min(oldest_ms));
    }

    /// Drops what is more to samples older than `before_ms` than values, but not to those that were deferred.
    fn drop_extras_before(&mut self, before_ms: TimestampMs, deferred: &[LateSample], work: &mut Workspace) {
        let Some(sealed) = self.sealed.as_mut() else {
            return;
        };
        let Some(extras) = &mut sealed.extras else {
            return;
        };
        let n_bytes = extras.heap_bytes();
        extras.drop_before(before_ms, deferred).expect(OWN_PAGE);
        let mut n_left = extras.heap_bytes();
        if extras.is_empty() {
            sealed.extras = None;
            self.raw.set_extended(false);
            n_left = 0;
        }
        let bytes = &mut work.stats.bytes.extras;
        *bytes = *bytes + n_left - n_bytes;
    }

    /// Drops rows older than `before_ms`; gives back what was deferred.
    fn drop_before(&mut self, before_ms: TimestampMs, work: &mut Workspace) -> Vec<LateSample> {
        let mut deferred = Vec::new();
        if let Some(sealed) = &mut self.sealed {
            deferred = sealed.deferred.take();
            sealed.late.drop_before(before_ms);
            let n_old = sealed.pages.partition_point(|page| page.last_ms < before_ms);
            sealed.pages.drain(..n_old);
            if let Some(page) = sealed.pages.first_mut()
                && page.first_ms < before_ms
            {
                *page = work.rebuilder.keep_from(page, before_ms).expect(OWN_PAGE);
            }
            sealed.pages.shrink_to_fit();
            if sealed.pages.is_empty() && sealed.late.len() == 0 && sealed.extras.is_none() {
                self.sealed = None;
            }
        }
        let n_old = self.raw.lower_bound(before_ms);
        if n_old == self.raw.n_rows() {
            work.stats.n_series -= self.raw.n_lanes_held();
            let is_extended = self.raw.is_extended();
            self.raw = RawRows::default();
            self.raw.set_extended(is_extended);
        } else if n_old > 0 {
            self.raw.drop_front(n_old);
        }
        deferred
    }
}
