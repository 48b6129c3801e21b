//! Folding rows into groups: one accumulator per group and step.

use datafusion_execution::memory_pool::MemoryReservation;
use promql::annotation::Annotation;
use promql::ast::AggregateOp;
use promql::kernel::aggregate::Variance;
use promql::kernel::native::Totaling;
use promql::kernel::over_time::{larger, smaller};
use promql::kernel::sum::{Mean, kahan_add};

use super::mixed_groups::{CellHistograms, MixedGroups};
use super::notes::NoteSink;
use crate::QueryError;
use crate::batch::{HistogramAt, Row};
use crate::rows::{ABSENT, is_absent};

/// The accumulators of all groups and steps of one aggregation.
///
/// Groups are rows of `n_steps` cells. Merging in a fixed order gives the same bits every time.
#[derive(Debug)]
pub(crate) struct Accumulators {
    op: AggregateOp,
    n_steps: usize,
    cells: Cells,
    /// Sums and means of histograms, if there are any.
    histograms: Option<MixedGroups>,
    notes: NoteSink,
    /// It has been noted that histograms are left out.
    is_ignoring: bool,
}

/// The results of all groups: rows of `n_steps` cells.
#[derive(Debug)]
pub(crate) struct Totals {
    /// By cell; absent where a group has no float.
    pub(crate) values: Vec<f64>,
    /// Of cells without a float.
    pub(crate) histograms: CellHistograms,
}

#[derive(Debug)]
enum Cells {
    Sum(Sums),
    Avg(Vec<Mean>),
    Count(Vec<f64>),
    /// Absent until the first value.
    Min(Vec<f64>),
    Max(Vec<f64>),
    Group(Vec<f64>),
    Stddev(Vec<Variance>),
    Stdvar(Vec<Variance>),
}

/// Compensated sums as columns, which lets a row be added with vector instructions.
#[derive(Debug)]
struct Sums {
    /// Absent until the first value.
    sums: Vec<f64>,
    compensations: Vec<f64>,
}

impl Accumulators {
    /// Bytes of accumulators for so many groups and steps.
    pub(crate) fn bytes(op: AggregateOp, n_groups: usize, n_steps: usize) -> usize {
        let cell = match op {
            AggregateOp::Sum => 2 * size_of::<f64>(),
            AggregateOp::Avg => size_of::<Mean>(),
            AggregateOp::Stddev | AggregateOp::Stdvar => size_of::<Variance>(),
            _ => size_of::<f64>(),
        };
        n_groups.saturating_mul(n_steps).saturating_mul(cell)
    }

    /// Empty accumulators; `None` if the aggregation is not one that folds value by value.
    pub(crate) fn new(op: AggregateOp, n_groups: usize, n_steps: usize, notes: NoteSink) -> Option<Self> {
        let n_cells = n_groups * n_steps;
        let absent = || vec![ABSENT; n_cells];
        let cells = match op {
            AggregateOp::Sum => Cells::Sum(Sums {
                sums: absent(),
                compensations: vec![0.0; n_cells],
            }),
            AggregateOp::Avg => Cells::Avg(vec![Mean::default(); n_cells]),
            AggregateOp::Count => Cells::Count(vec![0.0; n_cells]),
            AggregateOp::Min => Cells::Min(absent()),
            AggregateOp::Max => Cells::Max(absent()),
            AggregateOp::Group => Cells::Group(absent()),
            AggregateOp::Stddev => Cells::Stddev(vec![Variance::default(); n_cells]),
            AggregateOp::Stdvar => Cells::Stdvar(vec![Variance::default(); n_cells]),
            _ => return None,
        };
        Some(Self {
            op,
            n_steps,
            cells,
            histograms: None,
            notes,
            is_ignoring: false,
        })
    }

    /// Reserves what it has come to take: histograms take room when they come.
    ///
    /// # Errors
    /// [`QueryError::Memory`].
    #[inline]
    pub(crate) fn reserve(&self, reservation: &MemoryReservation) -> Result<(), QueryError> {
        if let Some(groups) = &self.histograms {
            let n_groups = self.cells.len() / self.n_steps.max(1);
            reservation.try_resize(Self::bytes(self.op, n_groups, self.n_steps) + groups.bytes())?;
        }
        Ok(())
    }

    /// Adds the values of one series to a group.
    ///
    /// # Panics
    /// As [`Self::add`].
    #[inline]
    pub(crate) fn add_row(&mut self, group: u32, series_idx: u32, row: Row<'_>) {
        if !row.histograms.is_empty() {
            self.add_histograms(group, series_idx, row.histograms);
        }
        self.add(group, row.values);
    }

    fn add_histograms(&mut self, group: u32, series_idx: u32, histograms: &[HistogramAt]) {
        let start = group as usize * self.n_steps;
        let totaling = match &mut self.cells {
            Cells::Sum(_) => Totaling::Sum,
            Cells::Avg(_) => Totaling::Mean,
            Cells::Count(cells) => {
                return histograms
                    .iter()
                    .for_each(|cell| cells[start + cell.step as usize] += 1.0);
            }
            Cells::Group(cells) => {
                return histograms
                    .iter()
                    .for_each(|cell| cells[start + cell.step as usize] = 1.0);
            }
            Cells::Min(_) | Cells::Max(_) | Cells::Stddev(_) | Cells::Stdvar(_) => {
                if !std::mem::replace(&mut self.is_ignoring, true) {
                    self.notes.add(Annotation::HistogramIgnoredInAggregation {
                        aggregation: self.op.as_str(),
                    });
                }
                return;
            }
        };
        let n_cells = self.cells.len();
        let groups = self
            .histograms
            .get_or_insert_with(|| MixedGroups::new(totaling, n_cells, series_idx));
        let cells = &self.cells;
        let notes = groups.add(start, histograms, |cell| cells.has_float(cell));
        self.notes.of_series(series_idx, notes);
    }

    /// Adds the floats of one series to a group; absent ones are skipped.
    ///
    /// # Panics
    /// If there is no such group or the row has not `n_steps` values.
    #[inline]
    pub(crate) fn add(&mut self, group: u32, row: &[f64]) {
        assert_eq!(row.len(), self.n_steps, "a row has one value per step");
        let start = group as usize * self.n_steps;
        let range = start..start + self.n_steps;
        match &mut self.cells {
            Cells::Sum(sums) => sums.add(range, row),
            Cells::Avg(cells) => fold(&mut cells[range], row, Mean::add),
            Cells::Count(cells) => fold(&mut cells[range], row, |count, _| *count += 1.0),
            Cells::Min(cells) => fold(&mut cells[range], row, |min, value| {
                *min = keep(*min, value, smaller);
            }),
            Cells::Max(cells) => fold(&mut cells[range], row, |max, value| {
                *max = keep(*max, value, larger);
            }),
            Cells::Group(cells) => fold(&mut cells[range], row, |cell, _| *cell = 1.0),
            Cells::Stddev(cells) | Cells::Stdvar(cells) => fold(&mut cells[range], row, Variance::add),
        }
    }

    /// True for aggregations that only ask whether there is a value.
    pub(crate) fn only_counts(op: AggregateOp) -> bool {
        matches!(op, AggregateOp::Count | AggregateOp::Group)
    }

    /// Adds `n_series` series to a group that have a value at every step, whichever.
    ///
    /// # Panics
    /// If there is no such group, or values matter ([`Self::only_counts`]).
    #[inline]
    pub(crate) fn add_present(&mut self, group: u32, n_series: u32) {
        if n_series == 0 {
            return;
        }
        let start = group as usize * self.n_steps;
        let range = start..start + self.n_steps;
        match &mut self.cells {
            Cells::Count(cells) => cells[range]
                .iter_mut()
                .for_each(|count| *count += f64::from(n_series)),
            Cells::Group(cells) => cells[range].fill(1.0),
            _ => panic!("an aggregation of values"),
        }
    }

    /// Adds the accumulators of another part of the input.
    ///
    /// # Panics
    /// If they are of another aggregation or size.
    pub(crate) fn merge(&mut self, other: Self) {
        if let Some(others) = other.histograms {
            let first_series = others.first_series;
            let groups = self
                .histograms
                .get_or_insert_with(|| MixedGroups::new(others.totaling, self.cells.len(), first_series));
            let cells = &self.cells;
            let notes = groups.merge(others, |cell| cells.has_float(cell));
            self.notes.of_series(first_series, notes);
        }
        match (&mut self.cells, other.cells) {
            (Cells::Sum(sums), Cells::Sum(other)) => sums.merge(&other),
            (Cells::Avg(cells), Cells::Avg(other)) => merge_each(cells, &other, Mean::merge),
            (Cells::Count(cells), Cells::Count(other)) => merge_each(cells, &other, |count, more| {
                *count += more;
            }),
            (Cells::Min(cells), Cells::Min(other)) => fold(cells, &other, |min, value| {
                *min = keep(*min, value, smaller);
            }),
            (Cells::Max(cells), Cells::Max(other)) => fold(cells, &other, |max, value| {
                *max = keep(*max, value, larger);
            }),
            (Cells::Group(cells), Cells::Group(other)) => fold(cells, &other, |cell, _| *cell = 1.0),
            (Cells::Stddev(cells), Cells::Stddev(other)) | (Cells::Stdvar(cells), Cells::Stdvar(other)) => {
                merge_each(cells, &other, Variance::merge);
            }
            _ => panic!("accumulators of different aggregations"),
        }
    }

    /// The results, one row of `n_steps` per group. Nothing is left where floats and histograms came together.
    pub(crate) fn finish(self) -> Totals {
        let Some(groups) = self.histograms else {
            return Totals {
                values: self.cells.finish(),
                histograms: Vec::new(),
            };
        };
        let mut values = self.cells.finish();
        let has_float = |cell: usize| !is_absent(std::mem::replace(&mut values[cell], ABSENT));
        Totals {
            histograms: groups.finish(has_float, &self.notes),
            values,
        }
    }
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Sum(sums) => sums.sums.len(),
            Self::Avg(cells) => cells.len(),
            Self::Count(cells) | Self::Min(cells) | Self::Max(cells) | Self::Group(cells) => cells.len(),
            Self::Stddev(cells) | Self::Stdvar(cells) => cells.len(),
        }
    }

    /// Whether a float has come to a cell of a sum or mean.
    fn has_float(&self, cell: usize) -> bool {
        match self {
            Self::Sum(sums) => !is_absent(sums.sums[cell]),
            Self::Avg(cells) => cells[cell].value().is_some(),
            _ => false,
        }
    }

    fn finish(self) -> Vec<f64> {
        match self {
            Self::Sum(sums) => sums.finish(),
            Self::Avg(cells) => cells.iter().map(|mean| mean.value().unwrap_or(ABSENT)).collect(),
            Self::Count(mut cells) => {
                for count in cells.iter_mut().filter(|count| **count == 0.0) {
                    *count = ABSENT;
                }
                cells
            }
            Self::Min(cells) | Self::Max(cells) | Self::Group(cells) => cells,
            Self::Stddev(cells) => cells
                .iter()
                .map(|cell| cell.deviation().unwrap_or(ABSENT))
                .collect(),
            Self::Stdvar(cells) => cells
                .iter()
                .map(|cell| cell.variance().unwrap_or(ABSENT))
                .collect(),
        }
    }
}

#[inline]
fn fold<C>(cells: &mut [C], row: &[f64], mut add: impl FnMut(&mut C, f64)) {
    for (cell, &value) in cells.iter_mut().zip(row) {
        if !is_absent(value) {
            add(cell, value);
        }
    }
}

fn merge_each<C>(cells: &mut [C], other: &[C], mut merge: impl FnMut(&mut C, &C)) {
    for (cell, other) in cells.iter_mut().zip(other) {
        merge(cell, other);
    }
}

#[inline]
fn keep(best: f64, value: f64, better: impl Fn(f64, f64) -> f64) -> f64 {
    if is_absent(best) {
        value
    } else {
        better(best, value)
    }
}

impl Sums {
    #[inline]
    fn add(&mut self, range: std::ops::Range<usize>, row: &[f64]) {
        let sums = &mut self.sums[range.clone()];
        let compensations = &mut self.compensations[range];
        for ((sum, compensation), &value) in sums.iter_mut().zip(compensations).zip(row) {
            // Selecting instead of branching, so that the loop becomes vector code.
            let before = if is_absent(*sum) { 0.0 } else { *sum };
            let (total, rest) = kahan_add(before, *compensation, value);
            *sum = if is_absent(value) { *sum } else { total };
            *compensation = if is_absent(value) { *compensation } else { rest };
        }
    }

    fn merge(&mut self, other: &Self) {
        let cells = self.sums.iter_mut().zip(&mut self.compensations);
        for ((sum, compensation), (&value, &rest)) in cells.zip(other.sums.iter().zip(&other.compensations)) {
            if is_absent(value) {
                continue;
            }
            if is_absent(*sum) {
                (*sum, *compensation) = (value, rest);
                continue;
            }
            (*sum, *compensation) = kahan_add(*sum, *compensation, value);
            // An overflow has cleared the compensation, and a finite rest must not bring it back.
            if sum.is_finite() {
                *compensation += rest;
            }
        }
    }

    fn finish(self) -> Vec<f64> {
        let mut sums = self.sums;
        for (sum, compensation) in sums.iter_mut().zip(self.compensations) {
            if !is_absent(*sum) {
                *sum += compensation;
            }
        }
        sums
    }
}
