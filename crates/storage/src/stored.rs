//! Native histograms as they are kept: exact, where queries see floats.
//!
//! What goes from the head into blocks and from block to block is read this way ([`StreamBuffer::stored`]), so that
//! integers stay integers and floats keep their bits.
//!
//! [`StreamBuffer::stored`]: crate::StreamBuffer::stored

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{CounterResetHint, HistogramLayout, NativeHistogram};

/// A native histogram whose sum is kept elsewhere. Cloning it copies no count.
#[derive(Debug, Clone)]
pub struct StoredHistogram {
    layout: Arc<HistogramLayout>,
    /// What is known of its counters:
    /// - `NotReset`: they continue those of the sample of its series that is stored before it.
    /// - `Reset`: it came so. Nobody is told, as samples may yet come in between.
    hint: CounterResetHint,
    /// Those of this histogram and of others.
    words: Arc<Vec<u64>>,
    first_word: usize,
}

impl StoredHistogram {
    /// The histogram whose counts are the words from `first_word` on.
    ///
    /// # Panics
    /// If there are fewer words than the layout says.
    #[must_use]
    pub fn new(
        layout: Arc<HistogramLayout>,
        hint: CounterResetHint,
        words: Arc<Vec<u64>>,
        first_word: usize,
    ) -> Self {
        assert!(
            first_word + layout.n_counts() <= words.len(),
            "each count has a word"
        );
        Self {
            layout,
            hint,
            words,
            first_word,
        }
    }

    /// Everything but its counts.
    #[must_use]
    pub fn layout(&self) -> &Arc<HistogramLayout> {
        &self.layout
    }

    /// What is known of its counters.
    #[must_use]
    pub fn hint(&self) -> CounterResetHint {
        self.hint
    }

    /// Its counts, as many as the layout says.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        let counts = self.words.get(self.first_word..);
        let counts = counts.and_then(|counts| counts.get(..self.layout.n_counts()));
        counts.unwrap_or(&[])
    }

    /// True when both have the same layout.
    pub(crate) fn has_layout_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layout, &other.layout) || self.layout == other.layout
    }

    /// As queries see it, with its sum.
    #[must_use]
    pub fn to_float(&self, sum: f64) -> FloatHistogram {
        let histogram = NativeHistogram {
            layout: &self.layout,
            hint: match self.hint {
                CounterResetHint::Reset => CounterResetHint::Unknown,
                hint => hint,
            },
            sum,
            counts: self.counts(),
        };
        histogram.to_float()
    }

    /// Notes that the sample before it is no longer the one that it was stored behind.
    pub(crate) fn forget_predecessor(&mut self) {
        if self.hint == CounterResetHint::NotReset {
            self.hint = CounterResetHint::Unknown;
        }
    }
}

/// As [`StoredHistogram::forget_predecessor`], of what queries see.
pub(crate) fn forget_predecessor(histogram: &mut Arc<FloatHistogram>) {
    if histogram.counter_reset_hint == CounterResetHint::NotReset {
        Arc::make_mut(histogram).counter_reset_hint = CounterResetHint::Unknown;
    }
}
