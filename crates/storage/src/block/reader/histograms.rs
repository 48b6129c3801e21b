//! Decoding pages of `histograms.parquet`.
//!
//! A page is decoded as a whole: its runs are short, and whoever wants one mostly wants those beside it. Counts stand by
//! histogram in memory; in the file as [`super::changes`] says, but in version 2 by bucket, as those of floats always do.

use std::ops::Range;
use std::sync::Arc;

use model::TimestampMs;
use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, Schema, Span};

use super::super::page::{Page, PageError};
use super::super::range_read::RangeRead;
use super::super::schema::HistogramColumn;
use super::changes::Changes;
use super::pages::PageSource;
use crate::{Error, StoredHistogram};

/// The runs of one page.
#[derive(Debug, Default)]
pub(super) struct DecodedRuns {
    pub(super) runs: Vec<DecodedRun>,
    timestamps_ms: Vec<TimestampMs>,
    starts_ms: Vec<TimestampMs>,
    hints: Vec<CounterResetHint>,
    sums: Vec<f64>,
    words: Arc<Vec<u64>>,
}

/// Consecutive histograms of one series.
#[derive(Debug)]
pub(super) struct DecodedRun {
    pub(super) series_id: i64,
    layout: Arc<HistogramLayout>,
    /// Of all histograms of the page.
    rows: Range<usize>,
    /// The first of its start timestamps; none if it has none.
    first_start: Option<usize>,
    first_word: usize,
}

/// A native histogram with its time.
#[derive(Debug, Clone)]
pub(super) struct TimedHistogram {
    pub(super) timestamp_ms: TimestampMs,
    /// 0 if nobody said it.
    pub(super) start_ms: TimestampMs,
    pub(super) sum: f64,
    pub(super) histogram: StoredHistogram,
}

impl DecodedRuns {
    /// The times of a run.
    pub(super) fn timestamps_ms(&self, run: &DecodedRun) -> &[TimestampMs] {
        self.timestamps_ms.get(run.rows.clone()).unwrap_or(&[])
    }

    /// The histograms of a run in some places of [`Self::timestamps_ms`].
    pub(super) fn histograms<'a>(
        &'a self,
        run: &'a DecodedRun,
        places: Range<usize>,
    ) -> impl Iterator<Item = TimedHistogram> + 'a {
        let n_counts = run.layout.n_counts();
        places.map_while(move |place| {
            let row = run.rows.start + place;
            let start_ms = run
                .first_start
                .and_then(|first| self.starts_ms.get(first + place));
            Some(TimedHistogram {
                timestamp_ms: *self.timestamps_ms.get(row)?,
                start_ms: start_ms.copied().unwrap_or(0),
                sum: *self.sums.get(row)?,
                histogram: StoredHistogram::new(
                    Arc::clone(&run.layout),
                    *self.hints.get(row)?,
                    Arc::clone(&self.words),
                    run.first_word + place * n_counts,
                ),
            })
        })
    }
}

impl PageSource<'_> {
    /// The runs of a page.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(super) fn decode_runs(&self, page_idx: usize) -> Result<DecodedRuns, Error> {
        let Some((file, _)) = self.block.histograms() else {
            return Ok(DecodedRuns::default());
        };
        let integers = |column| self.integer_lists(file, column, page_idx);
        let floats = |column| self.float_lists(file, column, page_idx);
        let columns = Columns {
            series_ids: integers(HistogramColumn::SeriesId)?,
            schemas: integers(HistogramColumn::Schema)?,
            zero_thresholds: floats(HistogramColumn::ZeroThreshold)?,
            custom_bounds: floats(HistogramColumn::CustomBounds)?,
            positive: [
                integers(HistogramColumn::PositiveOffset)?,
                integers(HistogramColumn::PositiveLength)?,
            ],
            negative: [
                integers(HistogramColumn::NegativeOffset)?,
                integers(HistogramColumn::NegativeLength)?,
            ],
            timestamps_ms: integers(HistogramColumn::Timestamps)?,
            starts_ms: integers(HistogramColumn::StartTimestamps)?,
            hints: integers(HistogramColumn::CounterResetHints)?,
            sums: floats(HistogramColumn::Sums)?,
            integers: if self.block.manifest().version < 3 {
                Integers::Deltas(floats(HistogramColumn::CountDeltas)?)
            } else {
                Integers::Changes(Changes {
                    sum_scales: integers(HistogramColumn::SumScale)?,
                    sum_steps: floats(HistogramColumn::SumSteps)?,
                    sum_corrections: floats(HistogramColumn::SumCorrections)?,
                    gaps: floats(HistogramColumn::CountGaps)?,
                    changes: floats(HistogramColumn::CountChanges)?,
                })
            },
            counts_float: floats(HistogramColumn::CountsFloat)?,
        };
        columns
            .decode()
            .map_err(|error| self.histograms_damaged(file, HistogramColumn::SeriesId, page_idx, error))
    }

    fn integer_lists(
        &self,
        file: &dyn RangeRead,
        column: HistogramColumn,
        page_idx: usize,
    ) -> Result<ListColumn<i64>, Error> {
        let page = self.histogram_page(file, column, page_idx)?;
        let mut values = vec![0; page.n_values()];
        if !values.is_empty() {
            let read = page
                .integers()
                .and_then(|mut integers| integers.read(&mut values));
            read.map_err(|error| self.histograms_damaged(file, column, page_idx, error))?;
        }
        Ok(ListColumn { values, page })
    }

    fn float_lists(
        &self,
        file: &dyn RangeRead,
        column: HistogramColumn,
        page_idx: usize,
    ) -> Result<ListColumn<f64>, Error> {
        let page = self.histogram_page(file, column, page_idx)?;
        let mut values = vec![0.0; page.n_values()];
        if !values.is_empty() {
            page.read_floats(0, &mut values)
                .map_err(|error| self.histograms_damaged(file, column, page_idx, error))?;
        }
        Ok(ListColumn { values, page })
    }
}

/// A decoded column: a value or a list of values per run.
pub(super) struct ListColumn<T> {
    values: Vec<T>,
    page: Arc<Page>,
}

/// The columns of a page.
struct Columns {
    series_ids: ListColumn<i64>,
    schemas: ListColumn<i64>,
    zero_thresholds: ListColumn<f64>,
    custom_bounds: ListColumn<f64>,
    /// Offsets and lengths.
    positive: [ListColumn<i64>; 2],
    negative: [ListColumn<i64>; 2],
    timestamps_ms: ListColumn<i64>,
    starts_ms: ListColumn<i64>,
    hints: ListColumn<i64>,
    sums: ListColumn<f64>,
    integers: Integers,
    counts_float: ListColumn<f64>,
}

/// How integer counts are stored.
enum Integers {
    /// Up to version 2: the bits of each, less those of the one before it.
    Deltas(ListColumn<f64>),
    /// By what changes, and so the sums of all histograms.
    Changes(Changes),
}

impl<T: Copy> ListColumn<T> {
    /// Where the values of a run are.
    fn place(&self, run: usize) -> Range<usize> {
        self.page
            .lists()
            .map_or(run..run + 1, |lists| lists.values_of(run))
    }

    /// The values of a run.
    pub(super) fn of(&self, run: usize) -> &[T] {
        self.values.get(self.place(run)).unwrap_or(&[])
    }

    /// The only value of a run.
    pub(super) fn one(&self, run: usize) -> Result<T, PageError> {
        match self.of(run) {
            [value] => Ok(*value),
            _ => Err(PageError::Invalid("runs")),
        }
    }
}

impl Columns {
    fn decode(self) -> Result<DecodedRuns, PageError> {
        let n_runs = self.series_ids.values.len();
        let mut runs: Vec<DecodedRun> = Vec::with_capacity(n_runs);
        let (mut words, mut sums) = (Vec::new(), Vec::with_capacity(self.timestamps_ms.values.len()));
        for run in 0..n_runs {
            let rows = self.timestamps_ms.place(run);
            let starts = self.starts_ms.place(run);
            let has_all = self.hints.place(run) == rows;
            if rows.is_empty() || !has_all || !(starts.is_empty() || starts.len() == rows.len()) {
                return Err(PageError::Invalid("number of histograms"));
            }
            let made = self.layout(run)?;
            let layout = match runs.last() {
                Some(last) if *last.layout == made => Arc::clone(&last.layout),
                _ => Arc::new(made),
            };
            let first_word = words.len();
            self.push_sums(run, rows.len(), &mut sums)?;
            self.push_words(run, rows.len(), &layout, &mut words)?;
            runs.push(DecodedRun {
                series_id: self.series_ids.one(run)?,
                layout,
                rows,
                first_start: (!starts.is_empty()).then_some(starts.start),
                first_word,
            });
        }
        let hints: Option<Vec<CounterResetHint>> =
            self.hints.values.iter().map(|hint| hint_of(*hint)).collect();
        Ok(DecodedRuns {
            runs,
            timestamps_ms: self.timestamps_ms.values,
            starts_ms: self.starts_ms.values,
            hints: hints.ok_or(PageError::Invalid("hints"))?,
            sums,
            words: Arc::new(words),
        })
    }

    fn layout(&self, run: usize) -> Result<HistogramLayout, PageError> {
        const INVALID: PageError = PageError::Invalid("layout");
        let schema = i32::try_from(self.schemas.one(run)?).ok();
        let form = match self.counts_float.of(run) {
            [] => CountForm::Integer,
            _ => CountForm::Float,
        };
        let bounds = Bounds {
            schema: schema.and_then(Schema::new).ok_or(INVALID)?,
            zero_threshold: self.zero_thresholds.one(run)?,
            custom_bounds: Arc::from(self.custom_bounds.of(run)),
        };
        let (positive, negative) = (spans(&self.positive, run)?, spans(&self.negative, run)?);
        HistogramLayout::new(form, bounds, &positive, &negative).map_err(|_| INVALID)
    }

    fn push_sums(&self, run: usize, n_rows: usize, sums: &mut Vec<f64>) -> Result<(), PageError> {
        let kept = self.sums.of(run);
        match &self.integers {
            Integers::Changes(changes) => changes.push_sums(run, n_rows, kept, sums),
            Integers::Deltas(_) if kept.len() != n_rows => Err(PageError::Invalid("number of histograms")),
            Integers::Deltas(_) => {
                sums.extend_from_slice(kept);
                Ok(())
            }
        }
    }

    /// Appends the counts of a run of `n_rows`, those of one histogram beside each other.
    fn push_words(
        &self,
        run: usize,
        n_rows: usize,
        layout: &HistogramLayout,
        words: &mut Vec<u64>,
    ) -> Result<(), PageError> {
        let n_counts = layout.n_counts();
        match (layout.form(), &self.integers) {
            (CountForm::Integer, Integers::Changes(changes)) => {
                changes.push_counts(run, n_rows, n_counts, words)
            }
            (CountForm::Integer, Integers::Deltas(deltas)) => {
                let counts = deltas.of(run).chunks(n_rows).flat_map(|deltas| {
                    deltas.iter().scan(0_u64, |count, delta| {
                        *count = count.wrapping_add(delta.to_bits());
                        Some(*count)
                    })
                });
                push_by_bucket(deltas.of(run).len(), n_rows, n_counts, counts, words)
            }
            (CountForm::Float, _) => {
                let counts = self.counts_float.of(run);
                let bits = counts.iter().map(|count| count.to_bits());
                push_by_bucket(counts.len(), n_rows, n_counts, bits, words)
            }
        }
    }
}

/// Appends counts that stand by bucket, which are so many, those of one histogram beside each other.
fn push_by_bucket(
    n_found: usize,
    n_rows: usize,
    n_counts: usize,
    mut counts: impl Iterator<Item = u64>,
    words: &mut Vec<u64>,
) -> Result<(), PageError> {
    if n_found != n_rows * n_counts {
        return Err(PageError::Invalid("number of counts"));
    }
    let first_word = words.len();
    words.resize(first_word + n_found, 0);
    let own = words.get_mut(first_word..).unwrap_or(&mut []);
    for word in 0..n_counts {
        for (place, count) in own.iter_mut().skip(word).step_by(n_counts).zip(counts.by_ref()) {
            *place = count;
        }
    }
    Ok(())
}

fn spans([offsets, lengths]: &[ListColumn<i64>; 2], run: usize) -> Result<Vec<Span>, PageError> {
    const INVALID: PageError = PageError::Invalid("spans");
    let (offsets, lengths) = (offsets.of(run), lengths.of(run));
    if offsets.len() != lengths.len() {
        return Err(INVALID);
    }
    let span = |(offset, length): (&i64, &i64)| {
        Ok(Span {
            offset: i32::try_from(*offset).map_err(|_| INVALID)?,
            length: u32::try_from(*length).map_err(|_| INVALID)?,
        })
    };
    offsets.iter().zip(lengths).map(span).collect()
}

/// The hint of a number in the file.
fn hint_of(number: i64) -> Option<CounterResetHint> {
    match number {
        0 => Some(CounterResetHint::Unknown),
        1 => Some(CounterResetHint::Reset),
        2 => Some(CounterResetHint::NotReset),
        3 => Some(CounterResetHint::Gauge),
        _ => None,
    }
}
