//! The native histograms of one lane, without their sums.
//!
//! A histogram is a sample of its lane like any other: its sum is the value, in open rows, pages and late samples. What
//! is more about it lies here, by timestamp: runs in ascending order, none overlapping another. A staleness marker is a
//! float and has nothing here.
//!
//! Whether a histogram continues the one before it is a matter of what there was when it was appended, as in Prometheus'
//! head. Of one that comes late, and of the one behind it, it is not said: Prometheus keeps late samples in chunks of
//! their own.

use std::sync::Arc;

use model::histogram::{CounterResetHint, HistogramLayout, NativeHistogram, PackedHistogram};
use model::{FloatHistogram, TimeRange, TimestampMs};

use super::layouts::{BatchLayouts, Layouts};
use super::run::{Continues, Entry, Mark, REFERENCE_COUNTS, RUN_LEN_MAX, Run, RunReader, Tail};

/// Native histograms of a lane, at least one.
#[derive(Debug)]
pub(super) struct NativeLane {
    /// The last run, and its tail.
    run: Run,
    tail: Tail,
    /// Those before it.
    older: Vec<Arc<Run>>,
    older_bytes: usize,
}

/// What appending histograms needs from lane to lane.
#[derive(Debug, Default)]
pub(super) struct NativesWork {
    pub(super) layouts: Layouts,
    /// Of no batch between two of them.
    pub(super) of_batch: BatchLayouts,
    entry: Vec<u8>,
}

/// A histogram out of its run.
struct Loose {
    layout: Arc<HistogramLayout>,
    timestamp_ms: TimestampMs,
    mark: Mark,
    /// Its counts, packed.
    bytes: Vec<u8>,
}

impl Loose {
    fn packed(&self) -> PackedHistogram<'_> {
        PackedHistogram {
            layout: &self.layout,
            hint: self.mark.hint,
            sum: 0.0,
            bytes: &self.bytes,
        }
    }
}

impl NativeLane {
    /// A lane of one histogram.
    pub(super) fn new(
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
        work: &mut NativesWork,
    ) -> Self {
        let layout = work.layouts.shared(histogram.layout);
        let (run, tail) = Run::begin(layout, timestamp_ms, histogram, false, &mut work.entry);
        Self {
            run,
            tail,
            older: Vec::new(),
            older_bytes: 0,
        }
    }

    /// See [`Stream::prefetch_extras`](super::stream::Stream::prefetch_extras).
    pub(super) fn prefetch(&self) {
        self.run.prefetch();
    }

    /// When the newest histogram is.
    pub(super) fn newest_ms(&self) -> TimestampMs {
        self.run.last_ms
    }

    /// Adds a histogram of a time at which there is none. `previous_ms` is when the sample before it is, if that is
    /// known.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn insert(
        &mut self,
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
        previous_ms: Option<TimestampMs>,
        work: &mut NativesWork,
    ) -> Result<(), codec::Error> {
        let newest_ms = self.newest_ms();
        if timestamp_ms < newest_ms {
            return self.insert_late(timestamp_ms, histogram, work);
        }
        // What `NativeHistogram::continues` asks first.
        let is_marked = matches!(histogram.hint, CounterResetHint::Gauge | CounterResetHint::Reset);
        let may_continue =
            previous_ms == Some(newest_ms) && !is_marked && self.tail.mark.hint != CounterResetHint::Gauge;
        let run = &mut self.run;
        let has_same_layout = Arc::ptr_eq(&run.layout, histogram.layout) || run.layout == *histogram.layout;
        if has_same_layout && run.len < RUN_LEN_MAX {
            let continues = if may_continue {
                Continues::IfNoneFell
            } else {
                Continues::Known(false)
            };
            run.push(
                &mut self.tail,
                timestamp_ms,
                histogram,
                continues,
                &mut work.entry,
            );
            return Ok(());
        }
        let continues = may_continue && continues_newest(run, &self.tail, histogram)?;
        let layout = if has_same_layout {
            Arc::clone(&run.layout)
        } else {
            work.layouts.shared(histogram.layout)
        };
        let (begun, tail) = Run::begin(layout, timestamp_ms, histogram, continues, &mut work.entry);
        let mut run = std::mem::replace(&mut self.run, begun);
        run.close();
        self.older_bytes += shared_bytes(&run);
        self.older.push(Arc::new(run));
        self.tail = tail;
        Ok(())
    }

    /// Those histograms that are not older than `before_ms` or of a time that `is_kept`; none if there is none. Of what
    /// is left, nothing is said to continue what is gone.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn retained(
        mut self,
        before_ms: TimestampMs,
        is_kept: impl Fn(TimestampMs) -> bool,
    ) -> Result<Option<Self>, codec::Error> {
        if self.older.first().map_or(self.run.first_ms, |run| run.first_ms) >= before_ms {
            return Ok(Some(self));
        }
        let mut runs = self.take_runs();
        let n_old = runs.partition_point(|run| run.first_ms < before_ms);
        let mut loose = Vec::new();
        for run in &runs[..n_old] {
            loose.extend(take_apart(run)?);
        }
        loose.retain(|one| one.timestamp_ms >= before_ms || is_kept(one.timestamp_ms));
        for one in loose.iter_mut().filter(|one| one.timestamp_ms < before_ms) {
            one.mark.continues = false;
        }
        let has_last = n_old == runs.len();
        let (made, tail) = put_together(loose, &mut Vec::new());
        runs.splice(..n_old, made.into_iter().map(Arc::new));
        runs.shrink_to_fit();
        if has_last {
            let Some(tail) = tail else { return Ok(None) };
            self.tail = tail;
        }
        self.put_runs(runs);
        self.break_after(before_ms.saturating_sub(1))?;
        Ok(Some(self))
    }

    fn insert_late(
        &mut self,
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
        work: &mut NativesWork,
    ) -> Result<(), codec::Error> {
        let mut runs = self.take_runs();
        // Into the run it falls into, or the one that is before it if that is not full, or the one behind it.
        let next = runs.partition_point(|run| run.last_ms < timestamp_ms);
        let has_room = |position: &usize| {
            let run = runs.get(*position);
            run.is_some_and(|run| run.first_ms > timestamp_ms && run.len < RUN_LEN_MAX)
        };
        let before = next
            .checked_sub(1)
            .filter(|before| has_room(&next) && runs[*before].len < RUN_LEN_MAX);
        let position = before.unwrap_or(next);
        let mut loose = match take_apart(&runs[position]) {
            Ok(loose) => loose,
            Err(error) => {
                self.put_runs(runs);
                return Err(error);
            }
        };
        let place = loose.partition_point(|held| held.timestamp_ms < timestamp_ms);
        let mark = Mark {
            hint: histogram.hint,
            continues: false,
        };
        let inserted = Loose {
            layout: work.layouts.shared(histogram.layout),
            timestamp_ms,
            mark,
            bytes: histogram.bytes.to_vec(),
        };
        loose.insert(place, inserted);
        let is_last = position + 1 == runs.len();
        let (made, tail) = put_together(loose, &mut work.entry);
        let n_made = made.len();
        runs.splice(position..=position, made.into_iter().map(Arc::new));
        if let Some(tail) = tail.filter(|_| is_last) {
            self.tail = tail;
        } else if let Some(last) = runs.get_mut(position + n_made - 1) {
            Arc::make_mut(last).close();
        }
        self.put_runs(runs);
        self.break_after(timestamp_ms)
    }

    /// All runs, to be [put back](Self::put_runs).
    fn take_runs(&mut self) -> Vec<Arc<Run>> {
        let mut runs = std::mem::take(&mut self.older);
        runs.push(Arc::new(std::mem::take(&mut self.run)));
        runs
    }

    /// Puts runs in the place of those that were taken, at least one.
    fn put_runs(&mut self, mut runs: Vec<Arc<Run>>) {
        self.run = runs.pop().map(Arc::unwrap_or_clone).unwrap_or_default();
        self.older_bytes = runs.iter().map(|run| shared_bytes(run)).sum();
        self.older = runs;
    }

    /// Notes of the first histogram after `timestamp_ms` that it does not continue the one before.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn break_after(&mut self, timestamp_ms: TimestampMs) -> Result<(), codec::Error> {
        let next = self.older.partition_point(|run| run.last_ms <= timestamp_ms);
        let from_ms = timestamp_ms.saturating_add(1);
        if let Some(run) = self.older.get_mut(next) {
            return Arc::make_mut(run).break_at(from_ms).map(drop);
        }
        let broken_ms = self.run.break_at(from_ms)?;
        if broken_ms == Some(self.newest_ms()) {
            self.tail.break_off();
        }
        Ok(())
    }

    /// True when there is a histogram at one time with this layout and these counts.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn has_counts_of(
        &self,
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
    ) -> Result<bool, codec::Error> {
        let Some(run) = self.run_at(timestamp_ms) else {
            return Ok(false);
        };
        let found = find(run, timestamp_ms)?;
        let mut words = Vec::new();
        let (Some((reader, entry)), Some(asked)) = (found, histogram.unpack(&mut words)) else {
            return Ok(false);
        };
        Ok(asked.has_counts_of(&reader.histogram(entry, histogram.sum)))
    }

    /// True when there is a histogram at this time.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn contains(&self, timestamp_ms: TimestampMs) -> Result<bool, codec::Error> {
        match self.run_at(timestamp_ms) {
            Some(run) => Ok(find(run, timestamp_ms)?.is_some()),
            None => Ok(false),
        }
    }

    /// The histogram at one time, with this sum.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn get(
        &self,
        timestamp_ms: TimestampMs,
        sum: f64,
    ) -> Result<Option<FloatHistogram>, codec::Error> {
        if timestamp_ms == self.newest_ms() {
            let mut words = Vec::new();
            let (newest, mark) = self.run.newest(&self.tail, &mut words)?;
            let visible = NativeHistogram {
                hint: mark.visible(),
                sum,
                ..newest
            };
            return Ok(Some(visible.to_float()));
        }
        let Some(run) = self.run_at(timestamp_ms) else {
            return Ok(None);
        };
        let found = find(run, timestamp_ms)?;
        Ok(found.map(|(reader, entry)| reader.histogram(entry, sum).to_float()))
    }

    /// The runs that may have histograms in `range`, the last one as it is now.
    pub(super) fn runs_in(&self, range: TimeRange) -> impl Iterator<Item = Arc<Run>> + '_ {
        let first = self.older.partition_point(|run| run.last_ms <= range.start_ms);
        let end = self.older.partition_point(|run| run.first_ms <= range.end_ms);
        let older = self.older[first..end.max(first)].iter().map(Arc::clone);
        let is_in = self.run.last_ms > range.start_ms && self.run.first_ms <= range.end_ms;
        older.chain(is_in.then(|| Arc::new(self.run.clone())))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.older.capacity() * size_of::<Arc<Run>>() + self.older_bytes + self.run.heap_bytes()
    }

    fn run_at(&self, timestamp_ms: TimestampMs) -> Option<&Run> {
        let position = self.older.partition_point(|run| run.last_ms < timestamp_ms);
        let run = self.older.get(position).map_or(&self.run, |run| run);
        (run.first_ms <= timestamp_ms && timestamp_ms <= run.last_ms).then_some(run)
    }
}

/// Bytes of a run that is not the last.
fn shared_bytes(run: &Run) -> usize {
    size_of::<Run>() + REFERENCE_COUNTS + run.heap_bytes()
}

/// The histogram of a run at one time.
fn find(run: &Run, timestamp_ms: TimestampMs) -> Result<Option<(RunReader<'_>, Entry)>, codec::Error> {
    let mut reader = RunReader::new(run);
    let entry = reader.next_from(timestamp_ms)?;
    let found = entry.filter(|entry| entry.timestamp_ms == timestamp_ms);
    Ok(found.map(|entry| (reader, entry)))
}

/// True when a histogram continues the newest one of a run.
fn continues_newest(run: &Run, tail: &Tail, histogram: PackedHistogram<'_>) -> Result<bool, codec::Error> {
    let (mut before, mut words) = (Vec::new(), Vec::new());
    let (newest, _) = run.newest(tail, &mut before)?;
    let current = histogram.unpack(&mut words);
    Ok(current.is_some_and(|current| current.continues(&newest)))
}

fn take_apart(run: &Run) -> Result<Vec<Loose>, codec::Error> {
    let mut reader = RunReader::new(run);
    let mut loose = Vec::with_capacity(run.len as usize + 1);
    while let Some(entry) = reader.next()? {
        loose.push(Loose {
            layout: Arc::clone(&run.layout),
            timestamp_ms: entry.timestamp_ms,
            mark: entry.mark,
            bytes: reader.packed_counts().to_vec(),
        });
    }
    Ok(loose)
}

/// The runs of these histograms, all but the last one closed, and the tail of that one.
fn put_together(loose: Vec<Loose>, entry: &mut Vec<u8>) -> (Vec<Run>, Option<Tail>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut tail: Option<Tail> = None;
    for one in loose {
        let continues = one.mark.continues;
        if let (Some(run), Some(tail)) = (runs.last_mut(), &mut tail) {
            if run.layout == one.layout && run.len < RUN_LEN_MAX {
                let continues = Continues::Known(continues);
                run.push(tail, one.timestamp_ms, one.packed(), continues, entry);
                continue;
            }
            run.close();
        }
        let layout = Arc::clone(&one.layout);
        let (run, begun) = Run::begin(layout, one.timestamp_ms, one.packed(), continues, entry);
        runs.push(run);
        tail = Some(begun);
    }
    (runs, tail)
}
