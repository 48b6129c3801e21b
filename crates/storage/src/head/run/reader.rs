//! Reading a run, settled histograms and open ones.

use std::sync::Arc;

use codec::varint::{read_i64, read_u64};
use model::TimestampMs;
use model::histogram::packed::unpack;
use model::histogram::{CountForm, HistogramLayout, NativeHistogram};

use super::{COUNTS, DAMAGED, FOLLOWS, Mark, OpenEntry, Run, TIME, any_fell};

/// Decodes a run, histogram by histogram.
#[derive(Debug)]
pub(in crate::head) struct RunReader<'a> {
    layout: &'a Arc<HistogramLayout>,
    pub(super) bytes: &'a [u8],
    pub(super) open: &'a [u8],
    timestamp_ms: TimestampMs,
    step_ms: i64,
    counts: Vec<u64>,
    /// Those of the histogram before, behind the settled ones.
    before: Vec<u64>,
}

/// A histogram of a run; its counts are [`RunReader::counts`].
#[derive(Debug, Clone, Copy)]
pub(in crate::head) struct Entry {
    pub(in crate::head) timestamp_ms: TimestampMs,
    pub(in crate::head) mark: Mark,
}

impl<'a> RunReader<'a> {
    pub(in crate::head) fn new(run: &'a Run) -> Self {
        Self {
            layout: &run.layout,
            bytes: &run.bytes,
            open: &run.open,
            timestamp_ms: run.first_ms,
            step_ms: 0,
            counts: vec![0; run.layout.n_counts()],
            before: Vec::new(),
        }
    }

    /// The next histogram.
    ///
    /// # Errors
    /// Damaged bytes.
    pub(in crate::head) fn next(&mut self) -> Result<Option<Entry>, codec::Error> {
        let Some((flags, rest)) = self.bytes.split_first() else {
            return self.next_open();
        };
        self.bytes = rest;
        if flags & TIME != 0 {
            let (change, rest) = read_i64(self.bytes)?;
            self.step_ms = self.step_ms.wrapping_add(change);
            self.bytes = rest;
        }
        self.timestamp_ms = self.timestamp_ms.wrapping_add(self.step_ms);
        if flags & COUNTS != 0 {
            self.read_changes()?;
        }
        Ok(Some(Entry {
            timestamp_ms: self.timestamp_ms,
            mark: Mark::of_bits(*flags),
        }))
    }

    fn next_open(&mut self) -> Result<Option<Entry>, codec::Error> {
        let Some(open) = OpenEntry::read(&mut self.open)? else {
            return Ok(None);
        };
        self.step_ms = self.step_ms.wrapping_add(open.step_change);
        self.timestamp_ms = self.timestamp_ms.wrapping_add(self.step_ms);
        let mut mark = Mark::of_bits(open.flags);
        if let Some(counts) = open.counts {
            std::mem::swap(&mut self.before, &mut self.counts);
            unpack(self.layout, counts, &mut self.counts).ok_or(DAMAGED)?;
            if open.flags & FOLLOWS != 0 {
                mark.continues = !any_fell(self.layout.form(), &self.before, &self.counts);
            }
        }
        Ok(Some(Entry {
            timestamp_ms: self.timestamp_ms,
            mark,
        }))
    }

    /// The counts of the histogram that [`Self::next`] gave last.
    pub(in crate::head) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The histogram that [`Self::next`] gave last, with the hint that readers get.
    pub(in crate::head) fn histogram(&self, entry: Entry, sum: f64) -> NativeHistogram<'_> {
        NativeHistogram {
            layout: self.layout,
            hint: entry.mark.visible(),
            sum,
            counts: &self.counts,
        }
    }

    fn read_changes(&mut self) -> Result<(), codec::Error> {
        let n_mask_bytes = self.counts.len().div_ceil(8);
        let Some((mask, rest)) = self.bytes.split_at_checked(n_mask_bytes) else {
            return Err(codec::Error::Truncated {
                within: "the counts of a histogram",
            });
        };
        self.bytes = rest;
        for (changed, counts) in mask.iter().zip(self.counts.chunks_mut(8)) {
            let mut changed = *changed;
            while changed != 0 {
                let count = counts.get_mut(changed.trailing_zeros() as usize);
                let (change, rest) = read_u64(self.bytes)?;
                self.bytes = rest;
                changed &= changed - 1;
                let Some(count) = count else {
                    continue;
                };
                *count = match self.layout.form() {
                    CountForm::Integer => count.wrapping_add(codec::varint::unzigzag(change).cast_unsigned()),
                    CountForm::Float => *count ^ change.swap_bytes(),
                };
            }
        }
        Ok(())
    }
}
