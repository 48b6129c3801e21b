//! Runs: consecutive native histograms of one lane that share their layout, encoded.
//!
//! ```text
//! per histogram:
//!   1        bits 0 and 1: hint as it came (0 unknown, 1 reset, 2 not reset, 3 gauge)
//!            bit 2: its counters continue those of the one before it
//!            bit 3: TIME
//!            bits 4 and 5: how its counts differ (0 not at all, 1 patch, 2 aligned, 3 whole)
//!            bit 6: FOLLOWS: bit 2 counts as set if no count is below the one before
//!   varint   if TIME: distance from the histogram before it, minus the distance before that, zigzag
//!   n        how its counts differ, see `image`
//! ```
//! Counts are never taken apart here: what is compared are their bytes as they came (`model::histogram::packed`), and who
//! reads sees whether one fell, which nobody else asks. The newest histograms are in a buffer that is filled and sealed
//! over and over, so that nothing that has been written moves again.
//!
//! Sums are not here: they are the values of the lane. The first histogram is whole. Up to [`RUN_LEN_MAX`] histograms, so
//! that reading one means decoding no more than so many.

use std::sync::Arc;

use codec::apply_patch;
use codec::varint::push_i64;
use model::TimestampMs;
use model::histogram::packed::unpack;
use model::histogram::{CountForm, CounterResetHint, HistogramLayout, NativeHistogram, PackedHistogram};

mod image;
mod reader;

use image::{Change, push_change};
use reader::EntryBytes;
pub(super) use reader::{Entry, RunReader};

/// Histograms of one run: who looks for one reads those before it.
pub(super) const RUN_LEN_MAX: u32 = 64;

/// Bytes that are open before they are sealed, unless one histogram has more. More would take more memory, and less would
/// be allocations for few histograms.
const OPEN_BYTES_MAX: usize = 384;

/// Room for open bytes at first. It doubles.
const OPEN_BYTES_FIRST: usize = 48;

const CONTINUES: u8 = 1 << 2;
const TIME: u8 = 1 << 3;
const FOLLOWS: u8 = 1 << 6;

/// Where the number of a [`Change`] is.
const CHANGE_SHIFT: u32 = 4;

const HINTS: [CounterResetHint; 4] = [
    CounterResetHint::Unknown,
    CounterResetHint::Reset,
    CounterResetHint::NotReset,
    CounterResetHint::Gauge,
];

/// Encoded histograms of one layout, at least one.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) layout: Arc<HistogramLayout>,
    pub(super) first_ms: TimestampMs,
    pub(super) last_ms: TimestampMs,
    pub(super) len: u32,
    /// Bytes of `sealed`, with what holds them.
    sealed_bytes: u32,
    /// Histograms that will not move any more.
    sealed: Vec<Arc<[u8]>>,
    /// Those behind them.
    open: Vec<u8>,
    /// The counts of the newest histogram; empty when the run is closed.
    image: Vec<u8>,
}

/// What the last histograms of a run were, and so what the next one is encoded against.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    pub(super) mark: Mark,
    /// Nobody has looked yet whether the newest histogram continues the one before. Then it is among the open ones.
    is_undecided: bool,
    /// Where among the open ones the newest histogram begins.
    newest_at: u32,
    /// Distance to the histogram before.
    step_ms: i64,
}

/// What is known of a histogram besides its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// As it came.
    pub(super) hint: CounterResetHint,
    /// Its counters continue those of the sample before it.
    pub(super) continues: bool,
}

/// Whether the counters of a histogram continue those of the sample before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continues {
    /// That is known.
    Known(bool),
    /// If no count is below that of the histogram before it in its run.
    IfNoneFell,
}

impl Mark {
    /// The hint that readers get.
    pub(super) fn visible(self) -> CounterResetHint {
        match self.hint {
            CounterResetHint::Gauge => CounterResetHint::Gauge,
            _ if self.continues => CounterResetHint::NotReset,
            _ => CounterResetHint::Unknown,
        }
    }

    /// What is kept of it in a block.
    pub(super) fn stored(self) -> CounterResetHint {
        match self.visible() {
            CounterResetHint::Unknown if self.hint == CounterResetHint::Reset => CounterResetHint::Reset,
            visible => visible,
        }
    }

    fn of_bits(bits: u8) -> Self {
        Self {
            hint: HINTS[usize::from(bits & 3)],
            continues: bits & CONTINUES != 0,
        }
    }
}

fn hint_bits(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

impl Run {
    /// A run of one histogram, and its tail. It has this layout, and its counters continue those before it if that is said.
    pub(super) fn begin(
        layout: Arc<HistogramLayout>,
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
        continues: bool,
        entry: &mut Vec<u8>,
    ) -> (Self, Tail) {
        let mut tail = Tail::default();
        let mut run = Self {
            layout,
            first_ms: timestamp_ms,
            last_ms: timestamp_ms,
            ..Self::default()
        };
        run.push(
            &mut tail,
            timestamp_ms,
            histogram,
            Continues::Known(continues),
            entry,
        );
        (run, tail)
    }

    /// Adds a histogram of the same layout that is newer than all others. `entry` is working memory.
    pub(super) fn push(
        &mut self,
        tail: &mut Tail,
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
        continues: Continues,
        entry: &mut Vec<u8>,
    ) {
        let step_ms = timestamp_ms.wrapping_sub(self.last_ms);
        let mut flags = hint_bits(histogram.hint);
        entry.clear();
        entry.push(0);
        if step_ms != tail.step_ms {
            flags |= TIME;
            push_i64(entry, step_ms.wrapping_sub(tail.step_ms));
        }
        let change = push_change(&mut self.image, self.layout.form(), histogram.bytes, entry);
        flags |= change_bits(change);
        let continues = match continues {
            Continues::IfNoneFell if change == Change::None => Continues::Known(true),
            continues => continues,
        };
        match continues {
            Continues::Known(true) => flags |= CONTINUES,
            Continues::Known(false) => {}
            Continues::IfNoneFell => flags |= FOLLOWS,
        }
        if let Some(first) = entry.first_mut() {
            *first = flags;
        }
        tail.newest_at = self.push_bytes(entry);
        tail.mark = Mark {
            hint: histogram.hint,
            continues: continues == Continues::Known(true),
        };
        tail.is_undecided = continues == Continues::IfNoneFell;
        tail.step_ms = step_ms;
        self.last_ms = timestamp_ms;
        self.len += 1;
    }

    /// Adds the bytes of a histogram to the open ones; gives where they begin.
    fn push_bytes(&mut self, entry: &[u8]) -> u32 {
        if self.open.capacity() - self.open.len() < entry.len() {
            if self.open.len() + entry.len() > OPEN_BYTES_MAX {
                self.seal();
            }
            let n_bytes = self.open.len() + entry.len();
            let n_doubled = OPEN_BYTES_MAX.min(2 * self.open.capacity());
            let capacity = n_bytes.max(n_doubled).max(OPEN_BYTES_FIRST);
            self.open.reserve_exact(capacity - self.open.len());
        }
        let start = self.open.len() as u32;
        self.open.extend_from_slice(entry);
        start
    }

    /// Moves the open histograms to where they stay.
    pub(super) fn seal(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.sealed.reserve_exact(1);
        self.sealed.push(Arc::from(self.open.as_slice()));
        self.sealed_bytes += (self.open.len() + REFERENCE_COUNTS) as u32;
        self.open.clear();
    }

    /// Seals a run to which nothing will be added, as one piece.
    pub(super) fn close(&mut self) {
        self.seal();
        if self.sealed.len() > 1 {
            let bytes = self.sealed.concat();
            self.sealed_bytes = (bytes.len() + REFERENCE_COUNTS) as u32;
            self.sealed = vec![Arc::from(bytes)];
        }
        (self.open, self.image) = (Vec::new(), Vec::new());
    }

    /// The newest histogram, its counts in `words`, and what is known of it.
    ///
    /// # Errors
    /// Damaged bytes.
    pub(super) fn newest<'w>(
        &'w self,
        tail: &Tail,
        words: &'w mut Vec<u64>,
    ) -> Result<(NativeHistogram<'w>, Mark), codec::Error> {
        let mut mark = tail.mark;
        unpack(&self.layout, &self.image, words).ok_or(DAMAGED)?;
        if tail.is_undecided {
            mark.continues = self.newest_continues(tail, words)?;
        }
        let histogram = NativeHistogram {
            layout: &self.layout,
            hint: mark.hint,
            sum: 0.0,
            counts: words,
        };
        Ok((histogram, mark))
    }

    /// True if no count of the newest histogram, which has these, is below the one before.
    fn newest_continues(&self, tail: &Tail, counts: &[u64]) -> Result<bool, codec::Error> {
        let bytes = self.open.get(tail.newest_at as usize..).unwrap_or_default();
        let newest = EntryBytes::read(bytes)?;
        if let Some(newest) = newest.filter(|newest| newest.change == Change::Patch) {
            let (mut image, mut before) = (self.image.clone(), Vec::new());
            apply_patch(&mut image, newest.counts)?;
            unpack(&self.layout, &image, &mut before).ok_or(DAMAGED)?;
            return Ok(!any_fell(self.layout.form(), &before, counts));
        }
        let mut reader = RunReader::new(self);
        Ok(reader
            .next_from(self.last_ms)?
            .is_some_and(|newest| newest.mark.continues))
    }

    /// Notes of the first histogram at or after `timestamp_ms` that it does not continue the one before; returns its
    /// time.
    ///
    /// # Errors
    /// Damaged bytes.
    pub(super) fn break_at(
        &mut self,
        timestamp_ms: TimestampMs,
    ) -> Result<Option<TimestampMs>, codec::Error> {
        let mut reader = RunReader::new(self);
        let Some(entry) = reader.next_from(timestamp_ms)? else {
            return Ok(None);
        };
        let (piece, at) = reader.newest_place();
        let bytes = match self.sealed.get_mut(piece) {
            Some(sealed) => Arc::make_mut(sealed),
            None => &mut self.open,
        };
        bytes[at] &= !(CONTINUES | FOLLOWS);
        Ok(Some(entry.timestamp_ms))
    }

    /// See [`Stream::prefetch_extras`](super::stream::Stream::prefetch_extras).
    pub(super) fn prefetch(&self) {
        // The newest histogram, with which the next one is compared, and the place of that one.
        let image = self.image.as_ptr().addr();
        let end = self.open.as_ptr_range().end.addr();
        for line in [image, image.wrapping_add(64), end] {
            codec::prefetch(line);
        }
    }

    /// Bytes of what it holds, its layout left out.
    pub(super) fn heap_bytes(&self) -> usize {
        self.sealed_bytes as usize
            + self.sealed.capacity() * size_of::<Arc<[u8]>>()
            + self.open.capacity()
            + self.image.capacity()
    }

    /// The bytes of its histograms, piece by piece: those that are sealed, the open ones, nothing.
    fn piece(&self, piece: usize) -> Option<&[u8]> {
        match self.sealed.get(piece) {
            Some(sealed) => Some(sealed),
            None => (piece == self.sealed.len()).then_some(&self.open),
        }
    }
}

/// Bytes before what is shared.
pub(super) const REFERENCE_COUNTS: usize = 2 * size_of::<usize>();

impl Tail {
    /// Notes that the newest histogram does not continue the one before it.
    pub(super) fn break_off(&mut self) {
        self.mark.continues = false;
        self.is_undecided = false;
    }
}

/// What a run is taken to be sound for: it was encoded here.
const DAMAGED: codec::Error = codec::Error::Truncated {
    within: "the counts of a histogram",
};

fn change_bits(change: Change) -> u8 {
    let number: u8 = match change {
        Change::None => 0,
        Change::Patch => 1,
        Change::Aligned => 2,
        Change::Whole => 3,
    };
    number << CHANGE_SHIFT
}

fn change_of_bits(bits: u8) -> Change {
    match bits >> CHANGE_SHIFT & 3 {
        0 => Change::None,
        1 => Change::Patch,
        2 => Change::Aligned,
        _ => Change::Whole,
    }
}

/// True when a count is below the one before.
fn any_fell(form: CountForm, before: &[u64], counts: &[u64]) -> bool {
    let mut pairs = before.iter().zip(counts);
    match form {
        CountForm::Integer => pairs.fold(false, |fell, (before, count)| fell | (count < before)),
        CountForm::Float => pairs.any(|(before, count)| f64::from_bits(*count) < f64::from_bits(*before)),
    }
}

#[cfg(test)]
mod tests;
