//! From the batches of the last operator to a result.

use datafusion_execution::TaskContext;
use promql::kernel::native::FloatOrHistogram;
use promql::kernel::window::StepTimes;

use crate::QueryError;
use crate::batch::Batch;
use crate::exec::collect::{Collected, reserve};
use crate::exec::samples::for_each_sample;
use crate::labels::{LabelSets, SeriesTable};
use crate::points::{Part, Points};
use crate::result::SeriesSet;
use crate::rows::{ABSENT, Rows, values_of};

/// How series of one node become a result.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    table: &'a SeriesTable,
    is_sorted: bool,
    limit: usize,
    task: &'a TaskContext,
}

/// A result.
#[derive(Debug)]
pub(crate) struct Assembled {
    /// Its series.
    pub(crate) series: SeriesSet,
    /// There were more than the limit.
    pub(crate) is_truncated: bool,
}

impl<'a> Assembly<'a> {
    /// Series of `table`, sorted by labels or in the order they come, at most `limit`.
    pub(crate) fn new(table: &'a SeriesTable, is_sorted: bool, limit: usize, task: &'a TaskContext) -> Self {
        Self {
            table,
            is_sorted,
            limit,
            task,
        }
    }

    /// A result of rows. Values are not copied; the memory they take stays reserved with the result.
    pub(crate) fn stepped(&self, collected: Collected, steps: StepTimes) -> Result<Assembled, QueryError> {
        let (mut series, mut rows, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for (part, batch) in (0..).zip(&collected.batches) {
            let n_before = series.len();
            series.extend_from_slice(Rows::of(batch)?.series);
            rows.extend((0..).take(series.len() - n_before).map(|row| (part, row)));
            parts.push(Part {
                values: values_of(batch).ok_or_else(|| QueryError::internal("a batch without values"))?,
                histograms: batch.histograms.clone(),
            });
        }
        let ordered = self.order(series)?;
        let points = Points::Stepped {
            steps,
            parts,
            rows: ordered
                .positions
                .iter()
                .map(|&position| rows[position as usize])
                .collect(),
        };
        let mut reservations = collected.reservations;
        reservations.push(ordered.reservation);
        Ok(Assembled {
            series: SeriesSet {
                labels: ordered.labels,
                points,
                _reservations: reservations,
            },
            is_truncated: ordered.is_truncated,
        })
    }

    /// A result of samples.
    pub(crate) fn raw(&self, batches: &[Batch]) -> Result<Assembled, QueryError> {
        let n_samples: usize = batches.iter().map(Batch::n_rows).sum();
        let reservation = reserve(self.task, "result");
        let histogram_bytes: usize = batches.iter().map(Batch::histogram_bytes).sum();
        reservation.try_grow(n_samples * (size_of::<i64>() + size_of::<f64>()) + histogram_bytes)?;
        let (mut series, mut ranges) = (Vec::new(), Vec::new());
        let mut timestamps_ms = Vec::with_capacity(n_samples);
        let mut values = Vec::with_capacity(n_samples);
        let mut histograms = Vec::new();
        for batch in batches {
            for_each_sample(batch, |series_idx, timestamp_ms, value| {
                if series.last() != Some(&series_idx) {
                    series.push(series_idx);
                    ranges.push(values.len()..values.len());
                }
                timestamps_ms.push(timestamp_ms);
                match value {
                    FloatOrHistogram::Float(value) => values.push(value),
                    FloatOrHistogram::Histogram(histogram) => {
                        histograms.push((values.len(), histogram));
                        values.push(ABSENT);
                    }
                }
                if let Some(range) = ranges.last_mut() {
                    range.end = values.len();
                }
            })?;
        }
        let ordered = self.order(series)?;
        let points = Points::Raw {
            ranges: ordered
                .positions
                .iter()
                .map(|&position| ranges[position as usize].clone())
                .collect(),
            timestamps_ms,
            values,
            histograms,
        };
        Ok(Assembled {
            series: SeriesSet {
                labels: ordered.labels,
                points,
                _reservations: vec![reservation, ordered.reservation],
            },
            is_truncated: ordered.is_truncated,
        })
    }

    /// The label sets of the series, in the order they are given, and their positions in `series`.
    fn order(&self, series: Vec<u32>) -> Result<Ordered, QueryError> {
        let labels = LabelSets::of_table(&self.table.take(series, true));
        let reservation = reserve(self.task, "labels of the result");
        // Sorted, they are there twice for a moment; and some numbers of each series.
        let copies = if self.is_sorted { 2 } else { 1 };
        reservation.try_grow(copies * labels.bytes() + labels.n_series() * size_of::<[u64; 4]>())?;
        let mut positions = if self.is_sorted {
            labels.sorted_order()
        } else {
            (0..).take(labels.n_series()).collect()
        };
        let is_truncated = positions.len() > self.limit;
        positions.truncate(self.limit);
        let labels = if self.is_sorted || is_truncated {
            labels.take(&positions)
        } else {
            labels
        };
        Ok(Ordered {
            labels,
            positions,
            is_truncated,
            reservation,
        })
    }
}

struct Ordered {
    labels: LabelSets,
    positions: Vec<u32>,
    is_truncated: bool,
    reservation: datafusion_execution::memory_pool::MemoryReservation,
}
