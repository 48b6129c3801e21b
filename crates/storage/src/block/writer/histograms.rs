//! `histograms.parquet`: native histograms into runs, runs into pages, pages into row groups.
//!
//! A run is a row: consecutive histograms of one series that have the same layout, and of which either all have a start
//! timestamp or none has. Counts stand by bucket, then by time, so that neighbours are what one bucket held from scrape
//! to scrape; integers as differences, which are small.

use std::io::Write;
use std::ops::Range;

use model::TimestampMs;
use model::histogram::{CountForm, CounterResetHint, Span};
use parquet::errors::ParquetError;

use super::super::manifest::FileSummary;
use super::super::page::{HISTOGRAMS_LEVEL, Levels, Lists, PageEncoder};
use super::super::schema::{self, HistogramColumn};
use super::file::PagedFile;
use crate::StoredHistogram;

/// Histograms of a run at most.
const RUN_LEN_MAX: usize = 1_024;

/// Counts of a run of more than one histogram at most.
const RUN_COUNTS_MAX: usize = 1 << 16;

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
        let has_limits = HistogramColumn::ALL.map(HistogramColumn::has_limits);
        Ok(Self {
            file: PagedFile::new(
                sink,
                schema::histograms()?,
                &[HistogramColumn::SeriesId as i32],
                has_limits.to_vec(),
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
        for (column, chunk) in HistogramColumn::ALL.into_iter().zip(&mut self.file.chunks) {
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
    /// Integers as the bits of floats: they are split into bytes as those are, and their frequent values are left to zstd.
    deltas: ListColumn<f64>,
    floats: ListColumn<f64>,
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
        self.sums.push(run.iter().map(|row| row.sum));
        let words_of = |word: usize| {
            run.iter()
                .map(move |row| row.histogram.counts().get(word).copied().unwrap_or(0))
        };
        let all = 0..layout.n_counts();
        match layout.form() {
            CountForm::Integer => {
                let deltas = |word| {
                    words_of(word).scan(0, |before, count| {
                        let delta = count.wrapping_sub(std::mem::replace(before, count));
                        Some(f64::from_bits(delta))
                    })
                };
                self.deltas.push(all.flat_map(deltas));
                self.floats.push([]);
            }
            CountForm::Float => {
                self.deltas.push([]);
                self.floats.push(all.flat_map(words_of).map(f64::from_bits));
            }
        }
    }

    fn n_values(&self) -> usize {
        let spans = self.positive.offsets.len() + self.negative.offsets.len();
        self.deltas.values.len() + self.floats.values.len() + self.custom_bounds.values.len() + spans
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
            HistogramColumn::CountDeltas => self.deltas.floats(),
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
        self.deltas.clear();
        self.floats.clear();
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

/// What stands for a hint in the file.
fn hint_number(hint: CounterResetHint) -> i64 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}
