//! Native histograms among the samples of a batch.

use std::sync::Arc;

use super::{CounterResetHint, FloatHistogram, HistogramError, HistogramLayout, NativeHistogram};

/// Native histograms in order of the samples they are, their sums left out. Most batches have none.
#[derive(Debug, Clone, Default)]
pub struct HistogramColumns {
    entries: Vec<Entry>,
    /// The counts of all of them, one after the other.
    counts: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Entry {
    row: u32,
    hint: CounterResetHint,
    layout: Arc<HistogramLayout>,
    /// Where its counts end.
    end: usize,
}

impl HistogramColumns {
    /// Empty columns with room for so many histograms of so many counts together.
    #[must_use]
    pub fn with_capacity(n_histograms: usize, n_counts: usize) -> Self {
        Self {
            entries: Vec::with_capacity(n_histograms),
            counts: Vec::with_capacity(n_counts),
        }
    }

    /// Adds the histogram that is the sample `row` of the batch.
    ///
    /// # Panics
    /// If the row is not above the last one, or counts and layout do not fit.
    pub fn push(&mut self, row: usize, histogram: NativeHistogram<'_>) {
        self.counts.extend_from_slice(histogram.counts);
        self.push_counted(row, histogram.hint, Arc::clone(histogram.layout));
    }

    /// As [`Self::push`]; the counts have been appended to [`Self::counts_mut`] before.
    ///
    /// # Panics
    /// As [`Self::push`].
    pub fn push_counted(&mut self, row: usize, hint: CounterResetHint, layout: Arc<HistogramLayout>) {
        let row = u32::try_from(row).expect("a batch has fewer than 2^32 samples");
        let (last, start) = self
            .entries
            .last()
            .map_or((None, 0), |last| (Some(last.row), last.end));
        assert!(last.is_none_or(|last| last < row), "rows ascend");
        let end = start + layout.n_counts();
        assert_eq!(end, self.counts.len(), "counts fit the layout");
        self.entries.push(Entry {
            row,
            hint,
            layout,
            end,
        });
    }

    /// Where counts are appended before [`Self::push_counted`].
    pub fn counts_mut(&mut self) -> &mut Vec<u64> {
        &mut self.counts
    }

    /// As [`Self::push`] for a histogram of floats.
    ///
    /// # Errors
    /// [`HistogramError::TooManyBuckets`]; then nothing is added.
    ///
    /// # Panics
    /// If the row is not above the last one.
    pub fn push_float(&mut self, row: usize, histogram: &FloatHistogram) -> Result<(), HistogramError> {
        let layout = histogram.layout()?;
        let shared = self.entries.last().map(|last| &last.layout);
        let layout = match shared.filter(|shared| ***shared == layout) {
            Some(shared) => Arc::clone(shared),
            None => Arc::new(layout),
        };
        histogram.push_counts(&mut self.counts);
        self.push_counted(row, histogram.counter_reset_hint, layout);
        Ok(())
    }

    /// Number of histograms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Words of all counts together.
    #[must_use]
    pub fn n_counts(&self) -> usize {
        self.counts.len()
    }

    /// The rows of the batch that are histograms, ascending.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.entries.iter().map(|entry| entry.row as usize)
    }

    /// The row in the batch of the histogram at `position`.
    #[must_use]
    pub fn row(&self, position: usize) -> Option<usize> {
        self.entries.get(position).map(|entry| entry.row as usize)
    }

    /// Where the histogram of a row is, or the next one behind it.
    #[must_use]
    pub fn lower_bound(&self, row: usize) -> usize {
        self.entries.partition_point(|entry| (entry.row as usize) < row)
    }

    /// The histogram at `position`, whose sum is kept elsewhere.
    #[must_use]
    pub fn get(&self, position: usize, sum: f64) -> Option<NativeHistogram<'_>> {
        let entry = self.entries.get(position)?;
        let before = position
            .checked_sub(1)
            .and_then(|before| self.entries.get(before));
        let start = before.map_or(0, |before| before.end);
        Some(NativeHistogram {
            layout: &entry.layout,
            hint: entry.hint,
            sum,
            counts: self.counts.get(start..entry.end)?,
        })
    }

    /// Empties it, memory kept.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.counts.clear();
    }
}
