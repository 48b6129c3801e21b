//! Reading a run.

use std::sync::Arc;

use codec::varint::read_i64;
use model::TimestampMs;
use model::histogram::packed::unpack;
use model::histogram::{HistogramLayout, NativeHistogram};

use super::image::{Change, apply_change};
use super::{DAMAGED, FOLLOWS, Mark, Run, TIME, any_fell, change_of_bits};

/// Decodes a run, histogram by histogram.
#[derive(Debug)]
pub(in crate::head) struct RunReader<'a> {
    run: &'a Run,
    /// Which piece of the run is read, and what is left of it.
    piece: usize,
    rest: &'a [u8],
    /// Where in its piece the histogram begins that was read last.
    newest_at: usize,
    timestamp_ms: TimestampMs,
    step_ms: i64,
    /// Its counts, packed.
    image: Vec<u8>,
    /// The same as words, if `is_unpacked`.
    counts: Vec<u64>,
    is_unpacked: bool,
    before: Vec<u64>,
}

/// A histogram of a run; its counts are [`RunReader::counts`].
#[derive(Debug, Clone, Copy)]
pub(in crate::head) struct Entry {
    pub(in crate::head) timestamp_ms: TimestampMs,
    pub(in crate::head) mark: Mark,
}

/// A histogram of which the counts have not been looked at.
pub(super) struct EntryBytes<'a> {
    flags: u8,
    /// By how much its distance to the one before differs from the distance before that.
    step_change: i64,
    pub(super) change: Change,
    /// What begins with the bytes of the change.
    pub(super) counts: &'a [u8],
}

impl<'a> EntryBytes<'a> {
    /// The first one of `bytes`, if there is one.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Option<Self>, codec::Error> {
        let Some((flags, mut counts)) = bytes.split_first() else {
            return Ok(None);
        };
        let mut step_change = 0;
        if flags & TIME != 0 {
            (step_change, counts) = read_i64(counts)?;
        }
        Ok(Some(Self {
            flags: *flags,
            step_change,
            change: change_of_bits(*flags),
            counts,
        }))
    }
}

impl<'a> RunReader<'a> {
    pub(in crate::head) fn new(run: &'a Run) -> Self {
        Self {
            run,
            piece: 0,
            rest: run.piece(0).unwrap_or_default(),
            newest_at: 0,
            timestamp_ms: run.first_ms,
            step_ms: 0,
            image: Vec::new(),
            counts: Vec::new(),
            is_unpacked: true,
            before: Vec::new(),
        }
    }

    /// The next histogram.
    ///
    /// # Errors
    /// Damaged bytes.
    pub(in crate::head) fn next(&mut self) -> Result<Option<Entry>, codec::Error> {
        self.next_from(TimestampMs::MIN)
    }

    /// The next histogram at or after `start_ms`. Those before it are not taken apart.
    ///
    /// # Errors
    /// Damaged bytes.
    pub(in crate::head) fn next_from(
        &mut self,
        start_ms: TimestampMs,
    ) -> Result<Option<Entry>, codec::Error> {
        loop {
            let Some(entry) = self.next_bytes()? else {
                return Ok(None);
            };
            self.step_ms = self.step_ms.wrapping_add(entry.step_change);
            self.timestamp_ms = self.timestamp_ms.wrapping_add(self.step_ms);
            if self.timestamp_ms < start_ms {
                self.is_unpacked &= entry.change == Change::None;
                self.rest = apply_change(&mut self.image, entry.change, entry.counts)?;
                continue;
            }
            return self.take_apart(&entry).map(Some);
        }
    }

    fn next_bytes(&mut self) -> Result<Option<EntryBytes<'a>>, codec::Error> {
        while self.rest.is_empty() {
            let Some(rest) = self.run.piece(self.piece + 1) else {
                return Ok(None);
            };
            self.piece += 1;
            self.rest = rest;
        }
        self.newest_at = self.run.piece(self.piece).map_or(0, <[u8]>::len) - self.rest.len();
        EntryBytes::read(self.rest)
    }

    fn take_apart(&mut self, entry: &EntryBytes<'a>) -> Result<Entry, codec::Error> {
        if !self.is_unpacked {
            self.unpack()?;
        }
        let mut mark = Mark::of_bits(entry.flags);
        self.rest = apply_change(&mut self.image, entry.change, entry.counts)?;
        if entry.change != Change::None {
            std::mem::swap(&mut self.before, &mut self.counts);
            self.unpack()?;
        }
        if entry.flags & FOLLOWS != 0 {
            mark.continues = !any_fell(self.run.layout.form(), &self.before, &self.counts);
        }
        Ok(Entry {
            timestamp_ms: self.timestamp_ms,
            mark,
        })
    }

    fn unpack(&mut self) -> Result<(), codec::Error> {
        unpack(&self.run.layout, &self.image, &mut self.counts).ok_or(DAMAGED)?;
        self.is_unpacked = true;
        Ok(())
    }

    /// Which piece of the run the histogram is in that was read last, and where in it.
    pub(super) fn newest_place(&self) -> (usize, usize) {
        (self.piece, self.newest_at)
    }

    /// The layout of all.
    pub(in crate::head) fn layout(&self) -> &'a Arc<HistogramLayout> {
        &self.run.layout
    }

    /// The counts of the histogram that [`Self::next`] gave last.
    pub(in crate::head) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The same, packed.
    pub(in crate::head) fn packed_counts(&self) -> &[u8] {
        &self.image
    }

    /// The histogram that [`Self::next`] gave last, with the hint that readers get.
    pub(in crate::head) fn histogram(&self, entry: Entry, sum: f64) -> NativeHistogram<'_> {
        NativeHistogram {
            layout: self.layout(),
            hint: entry.mark.visible(),
            sum,
            counts: &self.counts,
        }
    }
}
