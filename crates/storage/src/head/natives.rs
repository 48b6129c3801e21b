//! The native histograms of one lane, without their sums.
//!
//! A histogram is a sample of its lane like any other: its sum is the value, in open rows, pages and late samples. What
//! is more about it lies here, by timestamp: runs in ascending order, none overlapping another. A staleness marker is a
//! float and has nothing here.
//!
//! Whether a histogram continues the one before it is decided once, when it is appended, as Prometheus' head does. Of
//! one that comes late, and of the one behind it, it is not said: Prometheus keeps late samples in chunks of their own.

use std::sync::Arc;

use model::histogram::{HistogramLayout, NativeHistogram};
use model::{FloatHistogram, TimeRange, TimestampMs};

use super::layouts::Layouts;
use super::run::{Entry, Mark, RUN_LEN_MAX, Run, RunReader, Tail};

/// Native histograms of a lane, at least one.
#[derive(Debug)]
pub(super) struct NativeLane {
    runs: Vec<Arc<Run>>,
    /// Of the last run.
    tail: Tail,
    /// Bytes of the runs.
    run_bytes: usize,
}

/// A histogram out of its run.
struct Loose {
    layout: Arc<HistogramLayout>,
    timestamp_ms: TimestampMs,
    mark: Mark,
    counts: Vec<u64>,
}

impl NativeLane {
    /// A lane of one histogram.
    pub(super) fn new(
        timestamp_ms: TimestampMs,
        histogram: NativeHistogram<'_>,
        layouts: &mut Layouts,
    ) -> Self {
        let mark = Mark {
            hint: histogram.hint,
            continues: false,
        };
        let layout = layouts.shared(histogram.layout);
        let (run, tail) = Run::begin(layout, timestamp_ms, mark, histogram.counts);
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
            // Eight words are a line of the cache.
            for line in self.tail.counts.chunks(8) {
                codec::prefetch(line.as_ptr().addr());
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
        histogram: NativeHistogram<'_>,
        previous_ms: Option<TimestampMs>,
        layouts: &mut Layouts,
    ) -> Result<(), codec::Error> {
        let newest_ms = self.newest_ms();
        if timestamp_ms < newest_ms {
            return self.insert_late(timestamp_ms, histogram, layouts);
        }
        let Some(last) = self.runs.last_mut() else {
            return Ok(());
        };
        let previous = NativeHistogram {
            layout: &last.layout,
            hint: self.tail.mark.hint,
            sum: 0.0,
            counts: &self.tail.counts,
        };
        let mark = Mark {
            hint: histogram.hint,
            continues: previous_ms == Some(newest_ms) && histogram.continues(&previous),
        };
        let has_same_layout = previous.has_layout_of(&histogram);
        if has_same_layout && last.len < RUN_LEN_MAX {
            let n_bytes = last.heap_bytes();
            let run = Arc::make_mut(last);
            run.push(&mut self.tail, timestamp_ms, mark, histogram.counts);
            self.run_bytes = self.run_bytes + run.heap_bytes() - n_bytes;
            return Ok(());
        }
        let layout = if has_same_layout {
            Arc::clone(&last.layout)
        } else {
            layouts.shared(histogram.layout)
        };
        let (run, tail) = Run::begin(layout, timestamp_ms, mark, histogram.counts);
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
        let (runs, tail) = put_together(loose);
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
        histogram: NativeHistogram<'_>,
        layouts: &mut Layouts,
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
            layout: layouts.shared(histogram.layout),
            timestamp_ms,
            mark,
            counts: histogram.counts.to_vec(),
        };
        loose.insert(place, inserted);
        let is_last = position + 1 == self.runs.len();
        let (runs, tail) = put_together(loose);
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
            self.tail.mark.continues = false;
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
        histogram: NativeHistogram<'_>,
    ) -> Result<bool, codec::Error> {
        let same = |layout: &Arc<HistogramLayout>, counts: &[u64]| {
            histogram.has_counts_of(&NativeHistogram {
                layout,
                counts,
                ..histogram
            })
        };
        let Some(run) = self.run_at(timestamp_ms) else {
            return Ok(false);
        };
        let found = find(run, timestamp_ms)?;
        Ok(found.is_some_and(|(reader, _)| same(&run.layout, reader.counts())))
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
            let newest = NativeHistogram {
                layout: &run.layout,
                hint: self.tail.mark.visible(),
                sum,
                counts: &self.tail.counts,
            };
            return Ok(Some(newest.to_float()));
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
        self.runs.capacity() * size_of::<Arc<Run>>() + size_of_val(&*self.tail.counts) + self.run_bytes
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

fn take_apart(run: &Run) -> Result<Vec<Loose>, codec::Error> {
    let mut reader = RunReader::new(run);
    let mut loose = Vec::with_capacity(run.len as usize + 1);
    while let Some(entry) = reader.next()? {
        loose.push(Loose {
            layout: Arc::clone(&run.layout),
            timestamp_ms: entry.timestamp_ms,
            mark: entry.mark,
            counts: reader.counts().to_vec(),
        });
    }
    Ok(loose)
}

/// The runs of these histograms, and the tail of the last one.
fn put_together(loose: Vec<Loose>) -> (Vec<Run>, Option<Tail>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut tail: Option<Tail> = None;
    for one in loose {
        if let (Some(run), Some(tail)) = (runs.last_mut(), &mut tail)
            && run.layout == one.layout
            && run.len < RUN_LEN_MAX
        {
            run.push(tail, one.timestamp_ms, one.mark, &one.counts);
            continue;
        }
        let (run, begun) = Run::begin(one.layout, one.timestamp_ms, one.mark, &one.counts);
        runs.push(run);
        tail = Some(begun);
    }
    (runs, tail)
}
