//! Runs: consecutive native histograms of one lane that share their layout, encoded.
//!
//! ```text
//! per histogram:
//!   1        bits 0 and 1: hint as it came (0 unknown, 1 reset, 2 not reset, 3 gauge)
//!            bit 2: its counters continue those of the one before it
//!            bit 3: TIME, bit 4: COUNTS
//!   varint   if TIME: distance from the histogram before it, minus the distance before that, zigzag
//!   if COUNTS:
//!     n/8    one bit per count that changed, lowest first
//!     varint per changed count: integers minus the count before, zigzag; floats xor the bits before, bytes reversed
//! ```
//! Sums are not here: they are the values of the lane. The histogram before the first one is of zeros, at the time of
//! the first. Up to [`RUN_LEN_MAX`] histograms, so that reading one means decoding no more than so many.

use std::sync::Arc;

use codec::varint::{push_i64, push_u64, read_i64, read_u64};
use model::TimestampMs;
use model::histogram::{CountForm, CounterResetHint, HistogramLayout, NativeHistogram};

/// Histograms of one run.
pub(super) const RUN_LEN_MAX: u32 = 128;

/// Free bytes with which a run takes another histogram; few need more.
const ROOM_BYTES: usize = 64;

const CONTINUES: u8 = 1 << 2;
const TIME: u8 = 1 << 3;
const COUNTS: u8 = 1 << 4;

const HINTS: [CounterResetHint; 4] = [
    CounterResetHint::Unknown,
    CounterResetHint::Reset,
    CounterResetHint::NotReset,
    CounterResetHint::Gauge,
];

/// Encoded histograms of one layout, at least one.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) layout: Arc<HistogramLayout>,
    pub(super) first_ms: TimestampMs,
    pub(super) last_ms: TimestampMs,
    pub(super) len: u32,
    bytes: Vec<u8>,
}

/// What the last histogram of a run was, and so what the next one is encoded against.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    pub(super) counts: Box<[u64]>,
    pub(super) mark: Mark,
    /// Distance to the histogram before.
    step_ms: i64,
}

/// What is known of a histogram besides its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// As it came.
    pub(super) hint: CounterResetHint,
    /// Its counters continue those of the sample before it.
    pub(super) continues: bool,
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

    fn bits(self) -> u8 {
        let hint = (0..).zip(HINTS).find(|(_, hint)| *hint == self.hint);
        let hint = hint.map_or(0, |(number, _)| number);
        if self.continues { hint | CONTINUES } else { hint }
    }

    fn of_bits(bits: u8) -> Self {
        Self {
            hint: HINTS[usize::from(bits & 3)],
            continues: bits & CONTINUES != 0,
        }
    }
}

impl Run {
    /// A run of one histogram, and its tail.
    pub(super) fn begin(
        layout: Arc<HistogramLayout>,
        timestamp_ms: TimestampMs,
        mark: Mark,
        counts: &[u64],
    ) -> (Self, Tail) {
        let mut tail = Tail {
            counts: vec![0; counts.len()].into(),
            mark,
            step_ms: 0,
        };
        let mut run = Self {
            layout,
            first_ms: timestamp_ms,
            last_ms: timestamp_ms,
            len: 0,
            bytes: Vec::new(),
        };
        run.push(&mut tail, timestamp_ms, mark, counts);
        (run, tail)
    }

    /// Adds a histogram of the same layout that is newer than all others.
    pub(super) fn push(&mut self, tail: &mut Tail, timestamp_ms: TimestampMs, mark: Mark, counts: &[u64]) {
        // Growing by a quarter: twice the room would be most of what idle series take.
        if self.bytes.capacity() - self.bytes.len() < ROOM_BYTES {
            self.bytes.reserve_exact(ROOM_BYTES + self.bytes.len() / 4);
        }
        let step_ms = timestamp_ms.wrapping_sub(self.last_ms);
        let flags_at = self.bytes.len();
        let mut flags = mark.bits();
        self.bytes.push(0);
        if step_ms != tail.step_ms {
            flags |= TIME;
            push_i64(&mut self.bytes, step_ms.wrapping_sub(tail.step_ms));
        }
        if *tail.counts != *counts {
            flags |= COUNTS;
            push_changes(&mut self.bytes, self.layout.form(), &mut tail.counts, counts);
        }
        self.bytes[flags_at] = flags;
        (tail.mark, tail.step_ms) = (mark, step_ms);
        self.last_ms = timestamp_ms;
        self.len += 1;
        if self.len == RUN_LEN_MAX {
            self.bytes.shrink_to_fit();
        }
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
        loop {
            let flags_at = self.bytes.len() - reader.bytes.len();
            match reader.next()? {
                None => return Ok(None),
                Some(entry) if entry.timestamp_ms < timestamp_ms => {}
                Some(entry) => {
                    self.bytes[flags_at] &= !CONTINUES;
                    return Ok(Some(entry.timestamp_ms));
                }
            }
        }
    }

    /// See [`Stream::prefetch_extras`](super::stream::Stream::prefetch_extras).
    pub(super) fn prefetch(&self, depth: usize) {
        if depth == 0 {
            codec::prefetch(std::ptr::from_ref(self).addr());
        } else {
            codec::prefetch(self.bytes.as_ptr_range().end.addr());
            codec::prefetch(Arc::as_ptr(&self.layout).addr());
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let reference_counts = 2 * size_of::<usize>();
        size_of::<Self>() + reference_counts + self.bytes.capacity()
    }
}

fn push_changes(bytes: &mut Vec<u8>, form: CountForm, held: &mut [u64], counts: &[u64]) {
    let mask_at = bytes.len();
    bytes.resize(mask_at + counts.len().div_ceil(8), 0);
    for (position, (held, count)) in held.iter_mut().zip(counts).enumerate() {
        if *held == *count {
            continue;
        }
        bytes[mask_at + position / 8] |= 1 << (position % 8);
        match form {
            CountForm::Integer => push_i64(bytes, count.wrapping_sub(*held).cast_signed()),
            CountForm::Float => push_u64(bytes, (*count ^ *held).swap_bytes()),
        }
        *held = *count;
    }
}

/// Decodes a run, histogram by histogram.
#[derive(Debug)]
pub(super) struct RunReader<'a> {
    layout: &'a Arc<HistogramLayout>,
    bytes: &'a [u8],
    timestamp_ms: TimestampMs,
    step_ms: i64,
    counts: Vec<u64>,
}

/// A histogram of a run; its counts are [`RunReader::counts`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) timestamp_ms: TimestampMs,
    pub(super) mark: Mark,
}

impl<'a> RunReader<'a> {
    pub(super) fn new(run: &'a Run) -> Self {
        Self {
            layout: &run.layout,
            bytes: &run.bytes,
            timestamp_ms: run.first_ms,
            step_ms: 0,
            counts: vec![0; run.layout.n_counts()],
        }
    }

    /// The next histogram.
    ///
    /// # Errors
    /// Damaged bytes.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, codec::Error> {
        let Some((flags, rest)) = self.bytes.split_first() else {
            return Ok(None);
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

    /// The counts of the histogram that [`Self::next`] gave last.
    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The histogram that [`Self::next`] gave last, with the hint that readers get.
    pub(super) fn histogram(&self, entry: Entry, sum: f64) -> NativeHistogram<'_> {
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
