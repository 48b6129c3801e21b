//! `sum` and `avg` of native histograms: one group per group and step that has any. Floats are totalled as if there were
//! no histograms; only in the end is it seen where both have come together, which gives nothing.

use std::sync::Arc;

use model::FloatHistogram;
use promql::kernel::native::{FloatOrHistogram, MixedGroup, Notes, Totaling};

use super::notes::NoteSink;
use crate::batch::HistogramAt;

/// Groups with histograms, by cell: groups are rows of steps.
#[derive(Debug)]
pub(crate) struct MixedGroups {
    /// Which total.
    pub(crate) totaling: Totaling,
    /// The series whose histograms came first.
    pub(crate) first_series: u32,
    cells: Vec<Option<Box<MixedGroup>>>,
    bytes: usize,
}

/// Histograms by cell, ascending.
pub(crate) type CellHistograms = Vec<(usize, Arc<FloatHistogram>)>;

impl MixedGroups {
    /// No histograms in `n_cells`.
    pub(crate) fn new(totaling: Totaling, n_cells: usize, first_series: u32) -> Self {
        let mut cells = Vec::new();
        cells.resize_with(n_cells, || None);
        Self {
            totaling,
            first_series,
            cells,
            bytes: n_cells * size_of::<Option<Box<MixedGroup>>>(),
        }
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the histograms of a series to the cells from `start` on. `has_floats(cell)` tells where there have been
    /// floats before.
    pub(crate) fn add(
        &mut self,
        start: usize,
        histograms: &[HistogramAt],
        has_floats: impl Fn(usize) -> bool,
    ) -> Notes {
        let mut notes = Notes::default();
        for HistogramAt { step, value } in histograms {
            let cell = start + *step as usize;
            let group = self.group(cell, value.size_bytes());
            if has_floats(cell) {
                // Which value does not matter any more.
                group.add_float(0.0);
            }
            group.add_histogram(value, &mut notes);
        }
        notes
    }

    /// Adds what comes after this. `has_floats(cell)` tells where there are floats in this part.
    pub(crate) fn merge(&mut self, other: Self, has_floats: impl Fn(usize) -> bool) -> Notes {
        let mut notes = Notes::default();
        for (cell, other) in other.cells.into_iter().enumerate() {
            let Some(other) = other else {
                continue;
            };
            // The histograms of the other part are counted again, instead of those it shares with this one.
            let group = self.group(cell, size_of::<FloatHistogram>());
            if has_floats(cell) {
                group.add_float(0.0);
            }
            group.merge(*other, &mut notes);
        }
        notes
    }

    fn group(&mut self, cell: usize, histogram_bytes: usize) -> &mut MixedGroup {
        let totaling = self.totaling;
        let bytes = &mut self.bytes;
        self.cells[cell].get_or_insert_with(|| {
            // The total and its compensation.
            *bytes += size_of::<MixedGroup>() + 2 * histogram_bytes;
            Box::new(MixedGroup::new(totaling))
        })
    }

    /// The totals of groups of histograms alone. `has_floats(cell)` tells where there are floats, too; nothing is left of
    /// these cells.
    pub(crate) fn finish(self, mut has_floats: impl FnMut(usize) -> bool, sink: &NoteSink) -> CellHistograms {
        let mut notes = Notes::default();
        let mut totals = Vec::new();
        for (cell, group) in self.cells.into_iter().enumerate() {
            let Some(mut group) = group else {
                continue;
            };
            if has_floats(cell) {
                group.add_float(0.0);
            }
            if let Some(FloatOrHistogram::Histogram(total)) = group.finish(&mut notes) {
                totals.push((cell, total));
            }
        }
        sink.of_none(notes);
        totals
    }
}
