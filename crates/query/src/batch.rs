//! What flows between operators: floats as an Arrow batch, native histograms beside it.
//!
//! Hardly any batch has histograms, so the column of them is missing altogether where there are none, and costs nothing.
//! Histograms are shared, not copied: the same one is seen by many steps and passed on by many operators.
//!
//! Invariants: no row has a float and a histogram at the same step (the float is [`ABSENT`](crate::rows::ABSENT) there),
//! so that operators which leave histograms out need not know of them; the histograms of a row ascend by step.

use std::sync::Arc;

use arrow_array::RecordBatch;
use model::FloatHistogram;
use promql::kernel::native::FloatOrHistogram;

use crate::rows::{ABSENT, is_absent};

/// Rows of several series.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Series and floats; see [`crate::rows`] and [`crate::exec::samples`] for the columns.
    pub(crate) record: RecordBatch,
    /// The histograms of its rows, if there are any.
    pub(crate) histograms: Option<Arc<HistogramColumn>>,
}

/// A histogram in a row.
#[derive(Debug, Clone)]
pub(crate) struct HistogramAt {
    /// At which step.
    pub(crate) step: u32,
    /// What it is.
    pub(crate) value: Arc<FloatHistogram>,
}

/// The histograms of the rows of a batch.
#[derive(Debug, Default)]
pub(crate) struct HistogramColumn {
    /// Where those of each row end.
    ends: Vec<usize>,
    cells: Vec<HistogramAt>,
}

/// The values of one series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// One per step, absent ones included.
    pub(crate) values: &'a [f64],
    /// At some steps at which there is no float, ascending.
    pub(crate) histograms: &'a [HistogramAt],
}

/// A row to be filled.
#[derive(Debug)]
pub(crate) struct RowBuffer {
    /// One per step, absent ones included.
    pub(crate) values: Vec<f64>,
    /// At some steps at which there is no float, ascending.
    pub(crate) histograms: Vec<HistogramAt>,
}

impl From<RecordBatch> for Batch {
    fn from(record: RecordBatch) -> Self {
        Self {
            record,
            histograms: None,
        }
    }
}

impl Batch {
    /// How many rows it has.
    pub(crate) fn n_rows(&self) -> usize {
        self.record.num_rows()
    }

    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.record.get_array_memory_size() + self.histogram_bytes()
    }

    /// Bytes its histograms take.
    pub(crate) fn histogram_bytes(&self) -> usize {
        self.histograms
            .as_ref()
            .map_or(0, |histograms| histograms.bytes())
    }
}

impl HistogramColumn {
    /// How many histograms there are.
    pub(crate) fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// The histograms of one row.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> &[HistogramAt] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.cells[start..self.ends[row]]
    }

    /// Adds the histograms of row `row`; those of rows left out since the last one are none.
    pub(crate) fn push_row(&mut self, row: usize, histograms: &[HistogramAt]) {
        self.ends.resize(row, self.cells.len());
        self.cells.extend_from_slice(histograms);
        self.ends.push(self.cells.len());
    }

    /// The column for a batch of `n_rows`; `None` if there is no histogram.
    pub(crate) fn finish(mut self, n_rows: usize) -> Option<Arc<Self>> {
        if self.cells.is_empty() {
            return None;
        }
        self.ends.resize(n_rows, self.cells.len());
        Some(Arc::new(self))
    }

    fn bytes(&self) -> usize {
        self.ends.len() * size_of::<usize>() + bytes_of(&self.cells)
    }
}

/// Bytes that histograms take. One that is repeated from step to step is counted once.
pub(crate) fn bytes_of(cells: &[HistogramAt]) -> usize {
    let mut bytes = size_of_val(cells);
    let mut last = None;
    for cell in cells {
        let place = Arc::as_ptr(&cell.value);
        if last.replace(place) != Some(place) {
            bytes += cell.value.size_bytes();
        }
    }
    bytes
}

impl<'a> Row<'a> {
    /// A row of floats alone.
    pub(crate) fn of_floats(values: &'a [f64]) -> Self {
        Self {
            values,
            histograms: &[],
        }
    }

    /// True when there is no value at any step.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && self.values.iter().all(|&value| is_absent(value))
    }

    /// The histogram at a step.
    #[inline]
    pub(crate) fn histogram(&self, step: usize) -> Option<&'a Arc<FloatHistogram>> {
        if self.histograms.is_empty() {
            return None;
        }
        let position = self
            .histograms
            .binary_search_by_key(&step, |cell| cell.step as usize);
        position.ok().map(|position| &self.histograms[position].value)
    }

    /// Whether there is a value at a step.
    #[inline]
    pub(crate) fn is_present(&self, step: usize) -> bool {
        !is_absent(self.values[step]) || self.histogram(step).is_some()
    }

    /// The value at a step.
    pub(crate) fn element(&self, step: usize) -> Option<FloatOrHistogram> {
        let value = self.values[step];
        if !is_absent(value) {
            return Some(FloatOrHistogram::Float(value));
        }
        let histogram = self.histogram(step)?;
        Some(FloatOrHistogram::Histogram(Arc::clone(histogram)))
    }

    /// Calls `each(step)` for every step at which there is a value, floats first.
    #[inline]
    pub(crate) fn for_each_present(&self, mut each: impl FnMut(usize)) {
        for (step, &value) in self.values.iter().enumerate() {
            if !is_absent(value) {
                each(step);
            }
        }
        self.histograms.iter().for_each(|cell| each(cell.step as usize));
    }
}

impl RowBuffer {
    /// A row of `n_steps` without values.
    pub(crate) fn new(n_steps: usize) -> Self {
        Self {
            values: vec![ABSENT; n_steps],
            histograms: Vec::new(),
        }
    }

    /// Takes all values out.
    pub(crate) fn clear(&mut self) {
        self.values.fill(ABSENT);
        self.histograms.clear();
    }

    /// Adds a value at a step after those of all histograms so far.
    pub(crate) fn push(&mut self, step: usize, value: FloatOrHistogram) {
        match value {
            FloatOrHistogram::Float(value) => self.values[step] = value,
            FloatOrHistogram::Histogram(value) => self.histograms.push(HistogramAt {
                step: u32::try_from(step).expect("steps are counted in 32 bits"),
                value,
            }),
        }
    }

    /// The row.
    pub(crate) fn as_row(&self) -> Row<'_> {
        Row {
            values: &self.values,
            histograms: &self.histograms,
        }
    }
}
