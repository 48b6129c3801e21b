//! One stream: open rows, sealed pages, late samples.
//!
//! Sealed rows are older than all open ones. A sample finds its row among the open ones by timestamp; there it may
//! also make a row, between others if it must. What belongs among the sealed rows waits in the late buffer. When
//! the open rows are full, the oldest [`SEAL_ROWS`] become a page; the rest stay open, because the parts of one
//! histogram arrive in different requests and the last of them is often late by a row or two.

use std::ops::ControlFlow;

use model::{TimeRange, TimestampMs};

use super::extras::Extras;
use super::late::{LATE_MAX, LateBuffer, LateSample};
use super::natives::NativesWork;
use super::pages::Sealed;
use super::raw::{Put, RawRows};
use super::rebuild::Rebuilder;
use super::refusal::RefusalReason;
use super::stats::HeadStats;

/// How many rows make a page.
const SEAL_ROWS: usize = 16;

/// Why pages are taken to decode: they were encoded here and never left memory.
pub(super) const OWN_PAGE: &str = "a page of the head decodes";

/// The samples of one stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Timestamp of the newest row, which is an open one; 0 when there is none.
    pub(super) newest_ms: TimestampMs,
    pub(super) raw: RawRows,
    pub(super) sealed: Option<Box<Sealed>>,
}

/// A sample of a stream that is already known.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaneSample {
    pub(super) lane: u16,
    pub(super) timestamp_ms: TimestampMs,
    pub(super) bits: u64,
}

/// What the appending thread takes along from stream to stream.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub(super) out_of_order_window_ms: i64,
    /// Older rows of the stream at hand are being written to a block; see [`super::flush`].
    pub(super) cut_ms: TimestampMs,
    /// Where the head was cut last: what is older does not tell the age of anything.
    pub(super) last_cut_ms: TimestampMs,
    /// The cut that is under way.
    pub(super) cut: Option<super::flush::Cut>,
    pub(super) rebuilder: Rebuilder,
    pub(super) natives: NativesWork,
    pub(super) stats: HeadStats,
}

/// What became of a sample that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// It was stored.
    New,
    /// It was there already.
    Same,
}

impl Stream {
    /// True when no row is open, and therefore none sealed.
    pub(super) fn is_empty(&self) -> bool {
        self.raw.n_rows() == 0
    }

    /// True when there is no sample at all.
    pub(super) fn is_vacant(&self) -> bool {
        self.is_empty() && self.deferred().is_none()
    }

    /// What came behind a cut, if anything did.
    pub(super) fn deferred(&self) -> Option<&LateBuffer> {
        let sealed = self.sealed.as_deref()?;
        (sealed.deferred.len() > 0).then_some(&sealed.deferred)
    }

    /// True when there may be samples in `range`.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        if self.is_vacant() || self.newest_ms <= range.start_ms {
            return false;
        }
        // Nearly every query reaches up to now: then nothing but this cache line is looked at.
        self.newest_ms <= range.end_ms || self.oldest_ms() <= range.end_ms
    }

    /// The oldest row of a stream that has one.
    pub(super) fn oldest_ms(&self) -> TimestampMs {
        let sealed_ms = self.sealed.as_ref().and_then(|sealed| sealed.oldest_ms());
        let raw_ms = (!self.is_empty()).then(|| self.raw.timestamp(0));
        // What is deferred may be newer than an open row.
        sealed_ms
            .into_iter()
            .chain(raw_ms)
            .min()
            .unwrap_or(self.newest_ms)
    }

    /// The sealed part, if it may have samples in `range`.
    pub(super) fn sealed_in(&self, range: TimeRange) -> Option<&Sealed> {
        // Sealed rows are older than the open ones, which are at hand.
        let sealed = self.sealed.as_deref()?;
        let may_reach =
            self.is_empty() || range.start_ms < self.raw.timestamp(0) || sealed.deferred.len() > 0;
        may_reach.then_some(sealed)
    }

    /// Asks for the memory at the given depth on the way to the native histograms of a lane; what is above it is there.
    pub(super) fn prefetch_extras(&self, lane: u16, depth: usize) {
        let Some(sealed) = self.sealed.as_deref() else {
            return;
        };
        if depth == 0 {
            return codec::prefetch(std::ptr::from_ref(&sealed.extras).addr());
        }
        if let Some(extras) = sealed.extras.as_deref() {
            extras.prefetch(lane, depth - 1);
        }
    }

    /// What is more to its samples than values.
    pub(super) fn extras(&self) -> Option<&Extras> {
        if !self.raw.is_extended() {
            return None;
        }
        self.sealed.as_ref()?.extras.as_deref()
    }

    /// Stores a sample.
    ///
    /// # Errors
    /// Why it was not stored.
    #[inline(always)]
    pub(super) fn append(
        &mut self,
        sample: LaneSample,
        work: &mut Workspace,
    ) -> Result<Stored, RefusalReason> {
        if sample.timestamp_ms < work.cut_ms {
            return self.defer(sample, work);
        }
        if sample.timestamp_ms == self.newest_ms && !self.is_empty() {
            self.put(sample, self.raw.n_rows() - 1, work)
        } else {
            self.append_elsewhere(sample, work)
        }
    }

    /// As [`Self::append`], for those who are not in such a hurry: the loop over floats has that one for itself.
    #[inline(never)]
    pub(super) fn append_apart(
        &mut self,
        sample: LaneSample,
        work: &mut Workspace,
    ) -> Result<Stored, RefusalReason> {
        self.append(sample, work)
    }

    /// Stores a sample in an open row.
    #[inline(always)]
    fn put(&mut self, sample: LaneSample, row: usize, work: &mut Workspace) -> Result<Stored, RefusalReason> {
        let lane = usize::from(sample.lane);
        if lane >= self.raw.n_lanes() {
            self.measured(work, |stream, _| stream.raw.add_lane(lane));
        }
        match self.raw.put(lane, row, sample.bits) {
            Put::New { is_first_of_lane } => {
                work.stats.n_samples += 1;
                work.stats.n_series += usize::from(is_first_of_lane);
                Ok(Stored::New)
            }
            Put::Same => Ok(Stored::Same),
            Put::Other(bits) => Err(duplicate(bits)),
        }
    }

    #[inline(never)]
    fn append_elsewhere(
        &mut self,
        sample: LaneSample,
        work: &mut Workspace,
    ) -> Result<Stored, RefusalReason> {
        if self.is_empty() || sample.timestamp_ms > self.newest_ms {
            self.push_row(sample.timestamp_ms, work);
            return self.put(sample, self.raw.n_rows() - 1, work);
        }
        if let Some(bits) = self.held_bits(sample) {
            return same_or_duplicate(bits, sample);
        }
        self.check_age(sample, work)?;
        self.put_older(sample, work)
    }

    /// Refuses a new sample that comes too late. That depends on the newest row alone, and not on one that a cut may
    /// have taken away: so a replay of a log whose older part is in blocks decides alike, and it does not matter
    /// whether the flush that cut has come to its end.
    pub(super) fn check_age(&self, sample: LaneSample, work: &Workspace) -> Result<(), RefusalReason> {
        if self.newest_ms < work.last_cut_ms {
            return Ok(());
        }
        let oldest_accepted_ms = self.newest_ms.saturating_sub(work.out_of_order_window_ms);
        if sample.timestamp_ms < oldest_accepted_ms {
            return Err(RefusalReason::TooOld { oldest_accepted_ms });
        }
        Ok(())
    }

    /// Stores a sample that is not there, older than the newest row or of that time.
    pub(super) fn put_older(
        &mut self,
        sample: LaneSample,
        work: &mut Workspace,
    ) -> Result<Stored, RefusalReason> {
        self.note_time(sample.timestamp_ms, work);
        let row = match self.raw.find_row(sample.timestamp_ms) {
            Ok(row) => row,
            Err(_) => match self.make_row(sample, work) {
                ControlFlow::Continue(row) => row,
                ControlFlow::Break(stored) => return Ok(stored),
            },
        };
        self.put(sample, row, work)
    }

    /// The bits of a sample, in an open row or elsewhere.
    pub(super) fn held_bits(&self, sample: LaneSample) -> Option<u64> {
        match self.raw.find_row(sample.timestamp_ms) {
            Ok(row) => self.raw.get(row, usize::from(sample.lane)).map(f64::to_bits),
            Err(_) => self.sealed_bits(sample),
        }
    }

    /// Makes the newest row.
    fn push_row(&mut self, timestamp_ms: TimestampMs, work: &mut Workspace) {
        if self.is_vacant() {
            work.stats.n_streams += 1;
        }
        self.note_time(timestamp_ms, work);
        if self.raw.has_room() {
            // To measure takes memory that is not needed else.
            return self.raw.insert_row(self.raw.n_rows(), timestamp_ms);
        }
        self.measured(work, |stream, work| {
            if stream.raw.is_full() {
                stream.seal(&mut work.rebuilder);
            }
            stream.raw.insert_row(stream.raw.n_rows(), timestamp_ms);
        });
    }

    /// Makes the open row for a sample that has none, or stores the sample among the late ones.
    fn make_row(&mut self, sample: LaneSample, work: &mut Workspace) -> ControlFlow<Stored, usize> {
        let timestamp_ms = sample.timestamp_ms;
        self.measured(work, |stream, work| {
            if !stream.is_sealed(timestamp_ms) && stream.raw.is_full() {
                stream.seal(&mut work.rebuilder);
            }
            if stream.is_sealed(timestamp_ms) {
                stream.insert_late(sample, work);
                return ControlFlow::Break(Stored::New);
            }
            let row = stream.raw.lower_bound(timestamp_ms);
            stream.raw.insert_row(row, timestamp_ms);
            ControlFlow::Continue(row)
        })
    }

    fn insert_late(&mut self, sample: LaneSample, work: &mut Workspace) {
        let lane = usize::from(sample.lane);
        if lane >= self.raw.n_lanes() {
            self.raw.add_lane(lane);
        }
        let is_first_of_lane = self.raw.mark_lane(lane);
        work.stats.n_samples += 1;
        work.stats.n_series += usize::from(is_first_of_lane);
        let sealed = self.sealed.get_or_insert_default();
        sealed.late.insert(LateSample {
            timestamp_ms: sample.timestamp_ms,
            lane: sample.lane,
            bits: sample.bits,
        });
        if sealed.late.len() >= LATE_MAX {
            sealed.fold_late(&mut work.rebuilder).expect(OWN_PAGE);
        }
    }

    /// Makes a page of the oldest open rows.
    fn seal(&mut self, rebuilder: &mut Rebuilder) {
        let mut timestamps_ms = [0; SEAL_ROWS];
        for (timestamp_ms, held) in timestamps_ms.iter_mut().zip(self.raw.timestamps(0..SEAL_ROWS)) {
            *timestamp_ms = held;
        }
        let page = rebuilder.encode(&timestamps_ms, self.raw.view(0..SEAL_ROWS), self.raw.n_lanes());
        self.sealed
            .get_or_insert_default()
            .push(page, rebuilder)
            .expect(OWN_PAGE);
        self.raw.drop_front(SEAL_ROWS);
    }

    /// True when a row of this time would be among the sealed ones.
    fn is_sealed(&self, timestamp_ms: TimestampMs) -> bool {
        self.sealed
            .as_ref()
            .is_some_and(|sealed| timestamp_ms <= sealed.newest_ms())
    }

    fn sealed_bits(&self, sample: LaneSample) -> Option<u64> {
        let sealed = self
            .sealed
            .as_ref()
            .filter(|sealed| sample.timestamp_ms <= sealed.newest_ms())?;
        sealed.get(sample.timestamp_ms, sample.lane).expect(OWN_PAGE)
    }

    pub(super) fn note_time(&mut self, timestamp_ms: TimestampMs, work: &mut Workspace) {
        self.newest_ms = if self.is_vacant() {
            timestamp_ms
        } else {
            self.newest_ms.max(timestamp_ms)
        };
        let stats = &mut work.stats;
        stats.oldest_ms = Some(
            stats
                .oldest_ms
                .map_or(timestamp_ms, |oldest_ms| oldest_ms.min(timestamp_ms)),
        );
        stats.newest_ms = Some(
            stats
                .newest_ms
                .map_or(timestamp_ms, |newest_ms| newest_ms.max(timestamp_ms)),
        );
    }

    /// Does something that may allocate or free, and keeps the books.
    pub(super) fn measured<T>(
        &mut self,
        work: &mut Workspace,
        change: impl FnOnce(&mut Self, &mut Workspace) -> T,
    ) -> T {
        let (raw, pages, late) = self.heap_bytes();
        let result = change(self, work);
        let now = self.heap_bytes();
        let bytes = &mut work.stats.bytes;
        bytes.raw = bytes.raw + now.0 - raw;
        bytes.pages = bytes.pages + now.1 - pages;
        bytes.late = bytes.late + now.2 - late;
        result
    }

    /// Bytes of open rows, pages, late samples.
    pub(super) fn heap_bytes(&self) -> (usize, usize, usize) {
        let sealed = self.sealed.as_ref();
        let pages = sealed.map_or(0, |sealed| sealed.page_bytes());
        let late = sealed.map_or(0, |sealed| {
            sealed.late.heap_bytes() + sealed.deferred.heap_bytes()
        });
        (self.raw.heap_bytes(), pages, late)
    }
}

/// What becomes of a sample whose place is taken by these bits.
pub(super) fn same_or_duplicate(held: u64, sample: LaneSample) -> Result<Stored, RefusalReason> {
    if held == sample.bits {
        Ok(Stored::Same)
    } else {
        Err(duplicate(held))
    }
}

fn duplicate(bits: u64) -> RefusalReason {
    RefusalReason::DuplicateTimestamp {
        existing: f64::from_bits(bits),
    }
}
