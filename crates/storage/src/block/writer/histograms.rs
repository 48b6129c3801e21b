//! `histograms.parquet`: native histograms into runs, runs into pages, pages into row groups.
//!
//! A run is a row: consecutive histograms of one series that have the same layout, and of which either all have a start
//! timestamp or none has. Of integers only the counts stand there that have changed from scrape to scrape, with how many
//! have not in between: most buckets of most histograms stay as they are.

use std::io::Write;
use std::ops::Range;

use model::TimestampMs;
use model::histogram::{CountForm, CounterResetHint, Span};
use parquet::errors::ParquetError;

use super::super::decimals::{Decimals, scale_of};
use super::super::manifest::FileSummary;
use super::super::page::{HISTOGRAMS_LEVEL, Levels, Lists, PageEncoder, RUN_COUNTS_MAX};
use super::super::schema::{self, HistogramColumn};
use super::chunk::LimitsKept;
use super::file::PagedFile;
use crate::StoredHistogram;

/// Histograms of a run at most.
const RUN_LEN_MAX: usize = 1_024;

/// Values (counts, bounds, spans) from which on a page ends with the stream.
const STREAM_PAGE_VALUES: usize = 1 << 16;

/// Values from which on a page ends with the run. Together with those of the largest histogram, five times 2^16, they
/// are less than a page may hold.
const RUN_PAGE_VALUES: usize = 1 << 17;

/// Values from which on a row group ends with the page.
const ROW_GROUP_VALUES: usize = 1 << 22;

/// A native histogram of the lane at hand.
#[derive(Debug, Clone)]
pub(super) struct NativeRow {
    pub(super) timestamp_ms: TimestampMs,
    /// 0 if nobody said it.
    pub(super) start_ms: TimestampMs,
    pub(super) sum: f64,
    pub(super) histogram: StoredHistogram,
}

/// What was written.
#[derive(Debug)]
pub(super) struct WrittenHistograms {
    pub(super) file: FileSummary,
    pub(super) n_histograms: u64,
    pub(super) times: Option<(TimestampMs, TimestampMs)>,
}

/// Writes `histograms.parquet`.
pub(super) struct HistogramsWriter<W: Write + Send> {
    file: PagedFile<W>,
    encoder: PageEncoder,
    runs: PageRuns,
    /// Values of the row group in finished pages.
    n_group_values: usize,
    n_runs: u64,
    n_histograms: u64,
    times: Option<(TimestampMs, TimestampMs)>,
}

impl<W: Write + Send> HistogramsWriter<W> {
    pub(super) fn new(sink: W) -> Result<Self, ParquetError> {
        let limits = HistogramColumn::NOW.map(|column| {
            if column.has_limits() {
                LimitsKept::OfPages
            } else {
                LimitsKept::None
            }
        });
        let is_timestamps = |column: &HistogramColumn| *column == HistogramColumn::Timestamps;
        Ok(Self {
            file: PagedFile::new(
                sink,
                schema::histograms()?,
                &[HistogramColumn::SeriesId as i32],
                limits.to_vec(),
                HistogramColumn::NOW.iter().position(is_timestamps).unwrap_or(0),
            )?,
            encoder: PageEncoder::new(HISTOGRAMS_LEVEL)?,
            runs: PageRuns::default(),
            n_group_values: 0,
            n_runs: 0,
            n_histograms: 0,
            times: None,
        })
    }

    /// Adds the histograms of one series, at least one; which runs they are.
    pub(super) fn push_lane(
        &mut self,
        series_id: u32,
        histograms: &[NativeRow],
    ) -> Result<Range<u64>, ParquetError> {
        let first_run = self.n_runs;
        if let (Some(first), Some(last)) = (histograms.first(), histograms.last()) {
            let (first, last) = (first.timestamp_ms, last.timestamp_ms);
            let (oldest, newest) = self.times.unwrap_or((first, last));
            self.times = Some((oldest.min(first), newest.max(last)));
        }
        let mut rest = histograms;
        while let Some(first) = rest.first() {
            let (run, after) = rest.split_at(run_len(first, rest));
            self.runs.push(series_id, first, run);
            self.n_runs += 1;
            self.n_histograms += run.len() as u64;
            if self.runs.n_values() >= RUN_PAGE_VALUES {
                self.end_page()?;
            }
            rest = after;
        }
        Ok(first_run..self.n_runs)
    }

    /// Says that no more lanes of the stream follow.
    pub(super) fn end_stream(&mut self) -> Result<(), ParquetError> {
        if self.runs.n_values() >= STREAM_PAGE_VALUES {
            self.end_page()?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<(W, WrittenHistograms), ParquetError> {
        self.end_page()?;
        self.end_row_group()?;
        let (sink, file) = self.file.finish()?;
        let written = WrittenHistograms {
            file,
            n_histograms: self.n_histograms,
            times: self.times,
        };
        Ok((sink, written))
    }

    fn end_page(&mut self) -> Result<(), ParquetError> {
        if self.runs.series_ids.is_empty() {
            return Ok(());
        }
        for (column, chunk) in HistogramColumn::NOW.into_iter().zip(&mut self.file.chunks) {
            let (values, levels) = self.runs.column(column);
            let page = match values {
                Values::Integers(integers) => {
                    self.encoder.push_integers(integers, levels, &mut chunk.bytes)?
                }
                Values::Floats(floats) => self.encoder.push_floats(floats, levels, &mut chunk.bytes)?,
            };
            let limited = match values {
                Values::Integers(integers) => integers,
                Values::Floats(_) => &[],
            };
            chunk.note_page(page, limited)?;
        }
        self.n_group_values += self.runs.n_values();
        self.runs.clear();
        if self.n_group_values >= ROW_GROUP_VALUES {
            self.end_row_group()?;
        }
        Ok(())
    }

    fn end_row_group(&mut self) -> Result<(), ParquetError> {
        if self.n_group_values == 0 {
            return Ok(());
        }
        self.n_group_values = 0;
        self.file.end_row_group()
    }
}

/// How many of `histograms`, which begin with `first`, are one run.
fn run_len(first: &NativeRow, histograms: &[NativeRow]) -> usize {
    let n_counts = first.histogram.counts().len().max(1);
    let len_max = (RUN_COUNTS_MAX / n_counts).clamp(1, RUN_LEN_MAX);
    let is_alike = |row: &&NativeRow| {
        (row.start_ms == 0) == (first.start_ms == 0) && row.histogram.has_layout_of(&first.histogram)
    };
    histograms.iter().take(len_max).take_while(is_alike).count()
}

/// The runs of the page under way.
#[derive(Debug, Default)]
struct PageRuns {
    series_ids: Vec<i64>,
    schemas: Vec<i64>,
    zero_thresholds: Vec<f64>,
    custom_bounds: ListColumn<f64>,
    positive: SpanLists,
    negative: SpanLists,
    timestamps_ms: ListColumn<i64>,
    starts_ms: ListColumn<i64>,
    hints: ListColumn<i64>,
    sums: ListColumn<f64>,
    sum_scales: Vec<i64>,
    /// These are integers as the bits of floats: they are split into bytes as those are, and their frequent values are left
    /// to zstd.
    sum_steps: ListColumn<f64>,
    sum_corrections: ListColumn<f64>,
    count_gaps: ListColumn<f64>,
    count_changes: ListColumn<f64>,
    floats: ListColumn<f64>,
    /// Counts of all runs, those that do not change among them.
    n_counts: usize,
}

/// A list of values per run.
#[derive(Debug, Default)]
struct ListColumn<T> {
    values: Vec<T>,
    lists: Lists,
}

/// A list of spans per run.
#[derive(Debug, Default)]
struct SpanLists {
    offsets: Vec<i64>,
    lengths: Vec<i64>,
    lists: Lists,
}

/// The values of a column.
#[derive(Clone, Copy)]
enum Values<'a> {
    Integers(&'a [i64]),
    Floats(&'a [f64]),
}

impl<T> ListColumn<T> {
    fn push(&mut self, values: impl IntoIterator<Item = T>) {
        let n_before = self.values.len();
        self.values.extend(values);
        self.lists.push(self.values.len() - n_before);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.lists.clear();
    }
}

impl SpanLists {
    fn push(&mut self, spans: &[Span]) {
        self.offsets
            .extend(spans.iter().map(|span| i64::from(span.offset)));
        self.lengths
            .extend(spans.iter().map(|span| i64::from(span.length)));
        self.lists.push(spans.len());
    }

    fn clear(&mut self) {
        self.offsets.clear();
        self.lengths.clear();
        self.lists.clear();
    }
}

impl PageRuns {
    /// Adds a run, whose first histogram is given apart.
    fn push(&mut self, series_id: u32, first: &NativeRow, run: &[NativeRow]) {
        let layout = first.histogram.layout();
        self.series_ids.push(i64::from(series_id));
        self.schemas.push(i64::from(layout.schema().number()));
        self.zero_thresholds.push(layout.zero_threshold());
        self.custom_bounds.push(layout.custom_bounds().iter().copied());
        self.positive.push(layout.positive());
        self.negative.push(layout.negative());
        self.timestamps_ms.push(run.iter().map(|row| row.timestamp_ms));
        let n_starts = if first.start_ms == 0 { 0 } else { run.len() };
        self.starts_ms
            .push(run.iter().take(n_starts).map(|row| row.start_ms));
        self.hints
            .push(run.iter().map(|row| hint_number(row.histogram.hint())));
        self.push_sums(run);
        self.n_counts += layout.n_counts() * run.len();
        match layout.form() {
            CountForm::Integer => {
                self.push_changes(layout.n_counts(), run);
                self.floats.push([]);
            }
            CountForm::Float => {
                self.count_gaps.push([]);
                self.count_changes.push([]);
                let counts_of = |word: usize| {
                    let words = run.iter().map(move |row| row.histogram.counts().get(word));
                    words.map(|word| f64::from_bits(word.copied().unwrap_or(0)))
                };
                self.floats.push((0..layout.n_counts()).flat_map(counts_of));
            }
        }
    }

    /// Adds the sums of a run: as decimals where they are that, else their bits.
    fn push_sums(&mut self, run: &[NativeRow]) {
        let sums = run.iter().map(|row| row.sum);
        let scale = scale_of(sums.clone());
        let decimals = scale.and_then(Decimals::new);
        self.sum_scales.push(scale.map_or(NO_SCALE, |scale| scale as i64));
        let n_bits = if decimals.is_some() { 0 } else { run.len() };
        self.sums.push(sums.clone().take(n_bits));
        let steps: Vec<(i64, i64)> = decimals
            .map(|mut decimals| sums.filter_map(|sum| decimals.step(sum)).collect())
            .unwrap_or_default();
        self.sum_steps
            .push(steps.iter().map(|(digits, _)| bits_of(*digits)));
        self.sum_corrections
            .push(steps.iter().map(|(_, correction)| bits_of(*correction)));
    }

    /// Adds the changes of integer counts from each histogram to the next.
    fn push_changes(&mut self, n_counts: usize, run: &[NativeRow]) {
        let mut before = vec![0; n_counts];
        let mut gap = 0;
        let (mut gaps, mut changes) = (Vec::new(), Vec::new());
        for row in run {
            let counts = row.histogram.counts();
            for (before, count) in before.iter_mut().zip(with_rest(counts)) {
                let change = count.wrapping_sub(std::mem::replace(before, count));
                if change == 0 {
                    gap += 1;
                } else {
                    gaps.push(bits_of(std::mem::take(&mut gap)));
                    changes.push(f64::from_bits(change));
                }
            }
        }
        self.count_gaps.push(gaps);
        self.count_changes.push(changes);
    }

    fn n_values(&self) -> usize {
        let spans = self.positive.offsets.len() + self.negative.offsets.len();
        self.n_counts + self.custom_bounds.values.len() + spans
    }

    fn column(&self, column: HistogramColumn) -> (Values<'_>, Levels<'_>) {
        match column {
            HistogramColumn::SeriesId => (Values::Integers(&self.series_ids), Levels::All),
            HistogramColumn::Schema => (Values::Integers(&self.schemas), Levels::All),
            HistogramColumn::ZeroThreshold => (Values::Floats(&self.zero_thresholds), Levels::All),
            HistogramColumn::CustomBounds => self.custom_bounds.floats(),
            HistogramColumn::PositiveOffset => self.positive.column(&self.positive.offsets),
            HistogramColumn::PositiveLength => self.positive.column(&self.positive.lengths),
            HistogramColumn::NegativeOffset => self.negative.column(&self.negative.offsets),
            HistogramColumn::NegativeLength => self.negative.column(&self.negative.lengths),
            HistogramColumn::Timestamps => self.timestamps_ms.integers(),
            HistogramColumn::StartTimestamps => self.starts_ms.integers(),
            HistogramColumn::CounterResetHints => self.hints.integers(),
            HistogramColumn::Sums => self.sums.floats(),
            HistogramColumn::SumScale => (Values::Integers(&self.sum_scales), Levels::All),
            HistogramColumn::SumSteps => self.sum_steps.floats(),
            HistogramColumn::SumCorrections => self.sum_corrections.floats(),
            HistogramColumn::CountGaps => self.count_gaps.floats(),
            HistogramColumn::CountChanges => self.count_changes.floats(),
            // It is not among those that are written.
            HistogramColumn::CountDeltas => (Values::Floats(&[]), Levels::All),
            HistogramColumn::CountsFloat => self.floats.floats(),
        }
    }

    fn clear(&mut self) {
        self.series_ids.clear();
        self.schemas.clear();
        self.zero_thresholds.clear();
        self.custom_bounds.clear();
        self.positive.clear();
        self.negative.clear();
        self.timestamps_ms.clear();
        self.starts_ms.clear();
        self.hints.clear();
        self.sums.clear();
        self.sum_scales.clear();
        self.sum_steps.clear();
        self.sum_corrections.clear();
        self.count_gaps.clear();
        self.count_changes.clear();
        self.floats.clear();
        self.n_counts = 0;
    }
}

impl ListColumn<i64> {
    fn integers(&self) -> (Values<'_>, Levels<'_>) {
        (Values::Integers(&self.values), Levels::Lists(&self.lists))
    }
}

impl ListColumn<f64> {
    fn floats(&self) -> (Values<'_>, Levels<'_>) {
        (Values::Floats(&self.values), Levels::Lists(&self.lists))
    }
}

impl SpanLists {
    fn column<'a>(&'a self, values: &'a [i64]) -> (Values<'a>, Levels<'a>) {
        (Values::Integers(values), Levels::Lists(&self.lists))
    }
}

/// Stands for the scale of sums whose bits are kept.
const NO_SCALE: i64 = -1;

/// An integer as a float of the same bits.
fn bits_of(integer: i64) -> f64 {
    f64::from_bits(integer.cast_unsigned())
}

/// The counts of a histogram, with those in no bucket in the place of all: there are none but for NaNs.
fn with_rest(counts: &[u64]) -> impl Iterator<Item = u64> + '_ {
    let (all, others) = counts
        .split_first()
        .map_or((0, counts), |(all, others)| (*all, others));
    let in_buckets = others.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count));
    std::iter::once(all.wrapping_sub(in_buckets)).chain(others.iter().copied())
}

/// What stands for a hint in the file.
fn hint_number(hint: CounterResetHint) -> i64 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}
