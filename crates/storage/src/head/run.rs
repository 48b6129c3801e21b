//! Runs: consecutive native histograms of one lane that share their layout, encoded.
//!
//! ```text
//! settled, per histogram:
//!   1        bits 0 and 1: hint as it came (0 unknown, 1 reset, 2 not reset, 3 gauge)
//!            bit 2: its counters continue those of the one before it
//!            bit 3: TIME, bit 4: COUNTS
//!   varint   if TIME: distance from the histogram before it, minus the distance before that, zigzag
//!   if COUNTS:
//!     n/8    one bit per count that changed, lowest first
//!     varint per changed count: integers minus the count before, zigzag; floats xor the bits before, bytes reversed
//! open, per histogram:
//!   1, varint as above
//!            bit 5: FOLLOWS: bit 2 is to be set if no count is below the one before
//!   if COUNTS:
//!     varint how many bytes follow: the counts as they came (`model::histogram::packed`)
//! ```
//! To compare a histogram with the one before it, both have to be taken apart. That is done for [`OPEN_MAX`] at a time:
//! until then they are open, and to add one is to copy it.
//!
//! Sums are not here: they are the values of the lane. The histogram before the first one is of zeros, at the time of
//! the first. Up to [`RUN_LEN_MAX`] histograms, so that reading one means decoding no more than so many.

use std::sync::Arc;

use codec::varint::{push_i64, push_u64, read_count, read_i64};
use model::TimestampMs;
use model::histogram::packed::unpack;
use model::histogram::{CountForm, CounterResetHint, HistogramLayout, NativeHistogram, PackedHistogram};

mod reader;

pub(super) use reader::{Entry, RunReader};

/// Histograms of one run.
pub(super) const RUN_LEN_MAX: u32 = 128;

/// Histograms of a run that are as they came. More of them would take more memory, and less would be taken apart twice.
const OPEN_MAX: u32 = 8;

/// What an open histogram mostly takes at most, besides its counts.
const BYTES_BESIDE_COUNTS: usize = 6;

const CONTINUES: u8 = 1 << 2;
const TIME: u8 = 1 << 3;
const COUNTS: u8 = 1 << 4;
const FOLLOWS: u8 = 1 << 5;

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
    /// The settled histograms.
    bytes: Vec<u8>,
    /// Those behind them.
    open: Vec<u8>,
}

/// What the last histograms of a run were, and so what the next one is encoded against.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    /// Counts of the last histogram that is settled, as they came; empty if there is none.
    settled: Vec<u8>,
    /// Where the counts of the newest histogram are.
    newest: Held,
    /// Where those of the one before it are.
    previous: Held,
    pub(super) mark: Mark,
    /// Nobody has looked yet whether the newest histogram continues the one before.
    is_undecided: bool,
    /// Distance to the histogram before.
    step_ms: i64,
    n_open: u32,
}

/// Where counts are: among the open histograms, or nowhere there, which means those of the last that is settled.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    start: u32,
    end: u32,
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

/// Working memory for histograms that are taken apart.
#[derive(Debug, Default)]
pub(super) struct RunWork {
    counts: Vec<u64>,
    before: Vec<u64>,
    bytes: Vec<u8>,
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
    ) -> (Self, Tail) {
        let mut tail = Tail::default();
        let mut run = Self {
            layout,
            first_ms: timestamp_ms,
            last_ms: timestamp_ms,
            len: 0,
            bytes: Vec::new(),
            open: Vec::new(),
        };
        run.push_open(&mut tail, timestamp_ms, histogram, Continues::Known(continues));
        (run, tail)
    }

    /// Adds a histogram of the same layout that is newer than all others.
    ///
    /// # Errors
    /// Damaged bytes.
    pub(super) fn push(
        &mut self,
        tail: &mut Tail,
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
        continues: Continues,
        work: &mut RunWork,
    ) -> Result<(), codec::Error> {
        if tail.n_open == OPEN_MAX {
            self.settle(tail, work)?;
        }
        self.push_open(tail, timestamp_ms, histogram, continues);
        Ok(())
    }

    fn push_open(
        &mut self,
        tail: &mut Tail,
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
        continues: Continues,
    ) {
        let step_ms = timestamp_ms.wrapping_sub(self.last_ms);
        let mut flags = hint_bits(histogram.hint);
        let has_changed = self.len == 0 || *histogram.bytes != *tail.counts(tail.newest, &self.open);
        let mut n_bytes = BYTES_BESIDE_COUNTS;
        if has_changed {
            n_bytes += histogram.bytes.len();
            flags |= COUNTS;
        }
        if self.open.capacity() - self.open.len() < n_bytes {
            // Room for one, two, four, all that are open at most.
            let n_more = tail.n_open.clamp(1, OPEN_MAX - tail.n_open) as usize;
            self.open.reserve_exact(n_bytes * n_more);
        }
        let continues = match continues {
            Continues::IfNoneFell if !has_changed => Continues::Known(true),
            continues => continues,
        };
        match continues {
            Continues::Known(true) => flags |= CONTINUES,
            Continues::Known(false) => {}
            Continues::IfNoneFell => flags |= FOLLOWS,
        }
        if step_ms != tail.step_ms {
            self.open.push(flags | TIME);
            push_i64(&mut self.open, step_ms.wrapping_sub(tail.step_ms));
        } else {
            self.open.push(flags);
        }
        tail.previous = tail.newest;
        if has_changed {
            push_u64(&mut self.open, histogram.bytes.len() as u64);
            let start = self.open.len() as u32;
            self.open.extend_from_slice(histogram.bytes);
            tail.newest = Held {
                start,
                end: self.open.len() as u32,
            };
        }
        tail.mark = Mark {
            hint: histogram.hint,
            continues: continues == Continues::Known(true),
        };
        tail.is_undecided = continues == Continues::IfNoneFell;
        tail.step_ms = step_ms;
        tail.n_open += 1;
        self.last_ms = timestamp_ms;
        self.len += 1;
    }

    /// Encodes the open histograms against each other.
    ///
    /// # Errors
    /// Damaged bytes.
    pub(super) fn settle(&mut self, tail: &mut Tail, work: &mut RunWork) -> Result<(), codec::Error> {
        if tail.n_open == 0 {
            return Ok(());
        }
        let layout = &self.layout;
        if tail.settled.is_empty() {
            work.before.clear();
            work.before.resize(layout.n_counts(), 0);
        } else {
            unpack(layout, &tail.settled, &mut work.before).ok_or(DAMAGED)?;
        }
        work.bytes.clear();
        let mut rest = self.open.as_slice();
        while let Some(open) = OpenEntry::read(&mut rest)? {
            let flags_at = work.bytes.len();
            let mut flags = open.flags & !(FOLLOWS | COUNTS);
            work.bytes.push(flags);
            if open.flags & TIME != 0 {
                push_i64(&mut work.bytes, open.step_change);
            }
            if let Some(counts) = open.counts {
                unpack(layout, counts, &mut work.counts).ok_or(DAMAGED)?;
                let has_changed = push_changes(&mut work.bytes, layout.form(), &work.before, &work.counts);
                if has_changed {
                    flags |= COUNTS;
                }
                if open.flags & FOLLOWS != 0 && !any_fell(layout.form(), &work.before, &work.counts) {
                    flags |= CONTINUES;
                }
                std::mem::swap(&mut work.before, &mut work.counts);
            }
            work.bytes[flags_at] = flags;
            tail.mark = Mark::of_bits(flags);
        }
        if self.bytes.capacity() - self.bytes.len() < work.bytes.len() {
            // Growing by a quarter: twice the room would be most of what idle series take.
            self.bytes.reserve_exact(work.bytes.len() + self.bytes.len() / 4);
        }
        self.bytes.extend_from_slice(&work.bytes);
        if tail.newest.end > 0 {
            tail.settled.clear();
            let newest = &self.open[tail.newest.start as usize..tail.newest.end as usize];
            tail.settled.reserve_exact(newest.len());
            tail.settled.extend_from_slice(newest);
        }
        self.open.clear();
        (tail.newest, tail.previous) = (Held::default(), Held::default());
        (tail.is_undecided, tail.n_open) = (false, 0);
        Ok(())
    }

    /// Settles a run to which nothing will be added.
    ///
    /// # Errors
    /// Damaged bytes.
    pub(super) fn close(&mut self, tail: &mut Tail, work: &mut RunWork) -> Result<(), codec::Error> {
        self.settle(tail, work)?;
        self.open = Vec::new();
        self.bytes.shrink_to_fit();
        Ok(())
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
        unpack(&self.layout, tail.counts(tail.newest, &self.open), words).ok_or(DAMAGED)?;
        if tail.is_undecided {
            let mut before = Vec::new();
            unpack(&self.layout, tail.counts(tail.previous, &self.open), &mut before).ok_or(DAMAGED)?;
            mark.continues = !any_fell(self.layout.form(), &before, words);
        }
        let histogram = NativeHistogram {
            layout: &self.layout,
            hint: mark.hint,
            sum: 0.0,
            counts: words,
        };
        Ok((histogram, mark))
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
            let (n_settled, n_open) = (reader.bytes.len(), reader.open.len());
            match reader.next()? {
                None => return Ok(None),
                Some(entry) if entry.timestamp_ms < timestamp_ms => {}
                Some(entry) => {
                    let flags = if n_settled > 0 {
                        let flags_at = self.bytes.len() - n_settled;
                        &mut self.bytes[flags_at]
                    } else {
                        let flags_at = self.open.len() - n_open;
                        &mut self.open[flags_at]
                    };
                    *flags &= !(CONTINUES | FOLLOWS);
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
            // The newest histogram, with which the next one is compared, and the place of that one.
            let end = self.open.as_ptr_range().end.addr();
            for line in [
                end.wrapping_sub(128),
                end.wrapping_sub(64),
                end,
                end.wrapping_add(64),
            ] {
                codec::prefetch(line);
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let reference_counts = 2 * size_of::<usize>();
        size_of::<Self>() + reference_counts + self.bytes.capacity() + self.open.capacity()
    }
}

impl Tail {
    /// Notes that the newest histogram does not continue the one before it.
    pub(super) fn break_off(&mut self) {
        self.mark.continues = false;
        self.is_undecided = false;
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.settled.capacity()
    }

    /// Counts as they came.
    fn counts<'a>(&'a self, held: Held, open: &'a [u8]) -> &'a [u8] {
        if held.end == 0 {
            return &self.settled;
        }
        &open[held.start as usize..held.end as usize]
    }
}

/// What a run is taken to be sound for: it was encoded here.
const DAMAGED: codec::Error = codec::Error::Truncated {
    within: "the counts of a histogram",
};

/// An open histogram.
struct OpenEntry<'a> {
    flags: u8,
    /// By how much its distance to the one before differs from the distance before that.
    step_change: i64,
    /// None if they are those of the one before.
    counts: Option<&'a [u8]>,
}

impl<'a> OpenEntry<'a> {
    /// The first one, behind which `bytes` begins afterwards.
    fn read(bytes: &mut &'a [u8]) -> Result<Option<Self>, codec::Error> {
        let Some((flags, mut rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let (mut step_change, mut counts) = (0, None);
        if flags & TIME != 0 {
            (step_change, rest) = read_i64(rest)?;
        }
        if flags & COUNTS != 0 {
            let (n_bytes, behind) = read_count(rest, rest.len(), "length of a histogram")?;
            let (own, behind) = behind.split_at_checked(n_bytes).ok_or(DAMAGED)?;
            (counts, rest) = (Some(own), behind);
        }
        *bytes = rest;
        Ok(Some(Self {
            flags: *flags,
            step_change,
            counts,
        }))
    }
}

/// Appends what changed; false, and nothing appended, if nothing did.
fn push_changes(bytes: &mut Vec<u8>, form: CountForm, before: &[u64], counts: &[u64]) -> bool {
    let masks_at = bytes.len();
    bytes.resize(masks_at + counts.len().div_ceil(8), 0);
    let mut any = 0;
    for (chunk_idx, (before, counts)) in before.chunks(8).zip(counts.chunks(8)).enumerate() {
        let pairs = before.iter().zip(counts).enumerate();
        let mut changed = pairs.fold(0_u8, |changed, (bit, (before, count))| {
            changed | u8::from(before != count) << bit
        });
        bytes[masks_at + chunk_idx] = changed;
        any |= changed;
        while changed != 0 {
            let bit = changed.trailing_zeros() as usize;
            let (before, count) = (before[bit], counts[bit]);
            match form {
                CountForm::Integer => push_i64(bytes, count.wrapping_sub(before).cast_signed()),
                CountForm::Float => push_u64(bytes, (count ^ before).swap_bytes()),
            }
            changed &= changed - 1;
        }
    }
    if any == 0 {
        bytes.truncate(masks_at);
    }
    any != 0
}

/// True when a count is below the one before.
fn any_fell(form: CountForm, before: &[u64], counts: &[u64]) -> bool {
    let mut pairs = before.iter().zip(counts);
    match form {
        CountForm::Integer => pairs.fold(false, |fell, (before, count)| fell | (count < before)),
        CountForm::Float => pairs.any(|(before, count)| f64::from_bits(*count) < f64::from_bits(*before)),
    }
}
