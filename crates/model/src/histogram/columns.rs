//! Native histograms among the samples of a batch.

use std::sync::Arc;

use super::packed::{self, IntegerCounts, PackedHistogram};
use super::{CounterResetHint, FloatHistogram, HistogramError, HistogramLayout, NativeHistogram};

/// Native histograms in order of the samples they are, their sums left out. Most batches have none.
///
/// Invariant: the bytes of each are the counts of its layout.
#[derive(Debug, Clone, Default)]
pub struct HistogramColumns {
    entries: Vec<Entry>,
    /// Each that an entry has; equal ones may stand here several times.
    layouts: Vec<Arc<HistogramLayout>>,
    /// The counts of all of them, one after the other.
    bytes: Vec<u8>,
    n_counts: usize,
}

/// A layout of the columns that gave it out, until they are emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayoutIdx(u32);

#[derive(Debug, Clone, Copy)]
struct Entry {
    row: u32,
    layout: LayoutIdx,
    hint: CounterResetHint,
    /// Where the bytes of its counts end.
    end: usize,
}

impl LayoutIdx {
    /// Its place among the layouts.
    #[must_use]
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

impl HistogramColumns {
    /// Empty columns with room for so many histograms of so many bytes together.
    #[must_use]
    pub fn with_capacity(n_histograms: usize, n_bytes: usize) -> Self {
        Self {
            entries: Vec::with_capacity(n_histograms),
            bytes: Vec::with_capacity(n_bytes),
            ..Self::default()
        }
    }

    /// Takes a layout in, to be named by those that have it.
    ///
    /// # Panics
    /// If there are 2^32 already.
    pub fn add_layout(&mut self, layout: Arc<HistogramLayout>) -> LayoutIdx {
        let place = u32::try_from(self.layouts.len()).expect("a batch has fewer than 2^32 samples");
        self.layouts.push(layout);
        LayoutIdx(place)
    }

    /// The layouts in their order.
    #[must_use]
    pub fn layouts(&self) -> &[Arc<HistogramLayout>] {
        &self.layouts
    }

    /// Adds the histogram that is the sample `row` of the batch.
    ///
    /// # Panics
    /// If the row is not above the last one, or counts and layout do not fit.
    pub fn push(&mut self, row: usize, histogram: NativeHistogram<'_>) {
        assert_eq!(
            histogram.counts.len(),
            histogram.layout.n_counts(),
            "counts fit the layout"
        );
        packed::pack(&histogram, &mut self.bytes);
        let layout = self.shared(histogram.layout);
        self.push_entry(row, histogram.hint, layout);
    }

    /// Adds a histogram of integers as it stands in a message; false, and nothing added, unless it is
    /// [valid](NativeHistogram::validate_counts) at first sight. That needs a closer look then.
    ///
    /// # Panics
    /// If the row is not above the last one, or the layout is none of these columns.
    pub fn push_message(
        &mut self,
        row: usize,
        (hint, sum): (CounterResetHint, f64),
        layout: LayoutIdx,
        counts: &IntegerCounts<'_>,
    ) -> bool {
        let is_sound = counts.are_sound(&self.layouts[layout.place()], sum);
        if is_sound {
            counts.push_to(&mut self.bytes);
            self.push_entry(row, hint, layout);
        }
        is_sound
    }

    /// Adds a histogram of these bytes; false, and nothing added, unless they are the counts of the layout.
    ///
    /// # Panics
    /// As [`Self::push_message`].
    pub fn push_packed(
        &mut self,
        row: usize,
        hint: CounterResetHint,
        layout: LayoutIdx,
        bytes: &[u8],
    ) -> bool {
        let is_sound = packed::is_sound(&self.layouts[layout.place()], bytes);
        if is_sound {
            self.bytes.extend_from_slice(bytes);
            self.push_entry(row, hint, layout);
        }
        is_sound
    }

    /// Adds a histogram of other columns, without a look at its counts.
    ///
    /// # Panics
    /// If the row is not above the last one.
    pub fn push_from(&mut self, row: usize, histogram: PackedHistogram<'_>) {
        self.bytes.extend_from_slice(histogram.bytes);
        let layout = self.shared(histogram.layout);
        self.push_entry(row, histogram.hint, layout);
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
        let shared = self.layouts.last().filter(|shared| ***shared == layout);
        let layout = shared.map_or_else(|| Arc::new(layout), Arc::clone);
        let mut counts = Vec::with_capacity(layout.n_counts());
        histogram.push_counts(&mut counts);
        let packed = NativeHistogram {
            layout: &layout,
            hint: histogram.counter_reset_hint,
            sum: histogram.sum,
            counts: &counts,
        };
        self.push(row, packed);
        Ok(())
    }

    /// The layout if it is the newest one, or else as a new one.
    fn shared(&mut self, layout: &Arc<HistogramLayout>) -> LayoutIdx {
        match self.layouts.last() {
            Some(last) if Arc::ptr_eq(last, layout) => LayoutIdx(self.layouts.len() as u32 - 1),
            _ => self.add_layout(Arc::clone(layout)),
        }
    }

    /// Adds a histogram whose bytes stand at the end.
    fn push_entry(&mut self, row: usize, hint: CounterResetHint, layout: LayoutIdx) {
        let row = u32::try_from(row).expect("a batch has fewer than 2^32 samples");
        let last = self.entries.last().map(|last| last.row);
        assert!(last.is_none_or(|last| last < row), "rows ascend");
        self.n_counts += self.layouts[layout.place()].n_counts();
        self.entries.push(Entry {
            row,
            layout,
            hint,
            end: self.bytes.len(),
        });
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

    /// All counts together.
    #[must_use]
    pub fn n_counts(&self) -> usize {
        self.n_counts
    }

    /// Bytes of all counts together.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
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

    /// Which layout the histogram at `position` has.
    #[must_use]
    pub fn layout_idx(&self, position: usize) -> Option<LayoutIdx> {
        self.entries.get(position).map(|entry| entry.layout)
    }

    /// The histogram at `position`, whose sum is kept elsewhere.
    #[must_use]
    pub fn get(&self, position: usize, sum: f64) -> Option<PackedHistogram<'_>> {
        let entry = self.entries.get(position)?;
        let before = position
            .checked_sub(1)
            .and_then(|before| self.entries.get(before));
        let start = before.map_or(0, |before| before.end);
        Some(PackedHistogram {
            layout: &self.layouts[entry.layout.place()],
            hint: entry.hint,
            sum,
            bytes: self.bytes.get(start..entry.end)?,
        })
    }

    /// Empties it, memory kept.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.layouts.clear();
        self.bytes.clear();
        self.n_counts = 0;
    }
}
