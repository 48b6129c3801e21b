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

use model::histogram::packed::pack;
use model::histogram::{CounterResetHint, HistogramLayout, NativeHistogram, PackedHistogram};
use model::{FloatHistogram, TimeRange, TimestampMs};

use super::layouts::Layouts;
use super::run::{Continues, Entry, Mark, RUN_LEN_MAX, Run, RunReader, RunWork, Tail};

/// Native histograms of a lane, at least one.
#[derive(Debug)]
pub(super) struct NativeLane {
    runs: Vec<Arc<Run>>,
    /// Of the last run.
    tail: Tail,
    /// Bytes of the runs.
    run_bytes: usize,
}

/// What appending histograms needs from lane to lane.
#[derive(Debug, Default)]
pub(super) struct NativesWork {
    pub(super) layouts: Layouts,
    run: RunWork,
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
        let (run, tail) = Run::begin(layout, timestamp_ms, histogram, false);
        Self {
            run_bytes: run.heap_bytes(),
            runs: vec![Arc::new(run)],
            tail,
        }
    }

    /// See [`Stream::prefetch_extras`](super::stream::Stream::prefetch_extras).
    pub(super) fn prefetch(&self, depth: usize) {
        if depth == 0 {
            if let Some(run) = self.runs.last() {
                codec::prefetch(std::ptr::from_ref(run).addr());
            }
        } else if let Some(run) = self.runs.last() {
            run.prefetch(depth - 1);
        }
    }

    /// When the newest histogram is.
    pub(super) fn newest_ms(&self) -> TimestampMs {
        self.runs.last().map_or(TimestampMs::MIN, |run| run.last_ms)
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
        let Some(last) = self.runs.last_mut() else {
            return Ok(());
        };
        // What `NativeHistogram::continues` asks first.
        let is_marked = matches!(histogram.hint, CounterResetHint::Gauge | CounterResetHint::Reset);
        let may_continue =
            previous_ms == Some(newest_ms) && !is_marked && self.tail.mark.hint != CounterResetHint::Gauge;
        let has_same_layout = Arc::ptr_eq(&last.layout, histogram.layout) || last.layout == *histogram.layout;
        let n_bytes = last.heap_bytes();
        if has_same_layout && last.len < RUN_LEN_MAX {
            let continues = if may_continue {
                Continues::IfNoneFell
            } else {
                Continues::Known(false)
            };
            let run = Arc::make_mut(last);
            run.push(&mut self.tail, timestamp_ms, histogram, continues, &mut work.run)?;
            self.run_bytes = self.run_bytes + run.heap_bytes() - n_bytes;
            return Ok(());
        }
        let continues = may_continue && continues_newest(last, &self.tail, histogram)?;
        let run = Arc::make_mut(last);
        run.close(&mut self.tail, &mut work.run)?;
        self.run_bytes = self.run_bytes + run.heap_bytes() - n_bytes;
        let layout = if has_same_layout {
            Arc::clone(&last.layout)
        } else {
            work.layouts.shared(histogram.layout)
        };
        let (run, tail) = Run::begin(layout, timestamp_ms, histogram, continues);
        self.run_bytes += run.heap_bytes();
        self.runs.push(Arc::new(run));
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
        let n_old = self.runs.partition_point(|run| run.first_ms < before_ms);
        if n_old == 0 {
            return Ok(Some(self));
        }
        let mut loose = Vec::new();
        for run in &self.runs[..n_old] {
            loose.extend(take_apart(run)?);
        }
        loose.retain(|one| one.timestamp_ms >= before_ms || is_kept(one.timestamp_ms));
        for one in loose.iter_mut().filter(|one| one.timestamp_ms < before_ms) {
            one.mark.continues = false;
        }
        let has_last = n_old == self.runs.len();
        let (runs, tail) = put_together(loose, &mut RunWork::default())?;
        self.runs.splice(..n_old, runs.into_iter().map(Arc::new));
        self.runs.shrink_to_fit();
        if has_last {
            let Some(tail) = tail else { return Ok(None) };
            self.tail = tail;
        }
        self.break_after(before_ms.saturating_sub(1))?;
        self.run_bytes = self.runs.iter().map(|run| run.heap_bytes()).sum();
        Ok(Some(self))
    }

    fn insert_late(
        &mut self,
        timestamp_ms: TimestampMs,
        histogram: PackedHistogram<'_>,
        work: &mut NativesWork,
    ) -> Result<(), codec::Error> {
        // Into the run it falls into, or the one that is before it if that is not full, or the one behind it.
        let next = self.runs.partition_point(|run| run.last_ms < timestamp_ms);
        let has_room = |position: &usize| {
            let run = self.runs.get(*position);
            run.is_some_and(|run| run.first_ms > timestamp_ms && run.len < RUN_LEN_MAX)
        };
        let before = next
            .checked_sub(1)
            .filter(|before| has_room(&next) && self.runs[*before].len < RUN_LEN_MAX);
        let position = before.unwrap_or(next);
        let mut loose = take_apart(&self.runs[position])?;
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
        let is_last = position + 1 == self.runs.len();
        let (runs, tail) = put_together(loose, &mut work.run)?;
        self.runs
            .splice(position..=position, runs.into_iter().map(Arc::new));
        if let Some(tail) = tail.filter(|_| is_last) {
            self.tail = tail;
        }
        self.break_after(timestamp_ms)?;
        self.run_bytes = self.runs.iter().map(|run| run.heap_bytes()).sum();
        Ok(())
    }

    /// Notes of the first histogram after `timestamp_ms` that it does not continue the one before.
    ///
    /// # Errors
    /// A run that does not decode.
    pub(super) fn break_after(&mut self, timestamp_ms: TimestampMs) -> Result<(), codec::Error> {
        let next = self.runs.partition_point(|run| run.last_ms <= timestamp_ms);
        let Some(run) = self.runs.get_mut(next) else {
            return Ok(());
        };
        let broken_ms = Arc::make_mut(run).break_at(timestamp_ms.saturating_add(1))?;
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
        let Some(run) = self.run_at(timestamp_ms) else {
            return Ok(None);
        };
        if timestamp_ms == self.newest_ms() {
            let mut words = Vec::new();
            let (newest, mark) = run.newest(&self.tail, &mut words)?;
            let visible = NativeHistogram {
                hint: mark.visible(),
                sum,
                ..newest
            };
            return Ok(Some(visible.to_float()));
        }
        let found = find(run, timestamp_ms)?;
        Ok(found.map(|(reader, entry)| reader.histogram(entry, sum).to_float()))
    }

    /// The runs that may have histograms in `range`.
    pub(super) fn runs_in(&self, range: TimeRange) -> &[Arc<Run>] {
        let first = self.runs.partition_point(|run| run.last_ms <= range.start_ms);
        let end = self.runs.partition_point(|run| run.first_ms <= range.end_ms);
        &self.runs[first..end.max(first)]
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Arc<Run>>() + self.tail.heap_bytes() + self.run_bytes
    }

    fn run_at(&self, timestamp_ms: TimestampMs) -> Option<&Run> {
        let position = self.runs.partition_point(|run| run.last_ms < timestamp_ms);
        let run = self.runs.get(position)?;
        (run.first_ms <= timestamp_ms).then_some(run)
    }
}

/// The histogram of a run at one time.
fn find(run: &Run, timestamp_ms: TimestampMs) -> Result<Option<(RunReader<'_>, Entry)>, codec::Error> {
    let mut reader = RunReader::new(run);
    while let Some(entry) = reader.next()? {
        if entry.timestamp_ms >= timestamp_ms {
            return Ok((entry.timestamp_ms == timestamp_ms).then_some((reader, entry)));
        }
    }
    Ok(None)
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
        let mut bytes = Vec::new();
        pack(&reader.histogram(entry, 0.0), &mut bytes);
        loose.push(Loose {
            layout: Arc::clone(&run.layout),
            timestamp_ms: entry.timestamp_ms,
            mark: entry.mark,
            bytes,
        });
    }
    Ok(loose)
}

/// The runs of these histograms, and the tail of the last one.
fn put_together(loose: Vec<Loose>, work: &mut RunWork) -> Result<(Vec<Run>, Option<Tail>), codec::Error> {
    let mut runs: Vec<Run> = Vec::new();
    let mut tail: Option<Tail> = None;
    for one in loose {
        let continues = one.mark.continues;
        if let (Some(run), Some(tail)) = (runs.last_mut(), &mut tail) {
            if run.layout == one.layout && run.len < RUN_LEN_MAX {
                run.push(
                    tail,
                    one.timestamp_ms,
                    one.packed(),
                    Continues::Known(continues),
                    work,
                )?;
                continue;
            }
            run.close(tail, work)?;
        }
        let (run, begun) = Run::begin(Arc::clone(&one.layout), one.timestamp_ms, one.packed(), continues);
        runs.push(run);
        tail = Some(begun);
    }
    if let (Some(run), Some(tail)) = (runs.last_mut(), &mut tail) {
        run.close(tail, work)?;
    }
    Ok((runs, tail))
}
