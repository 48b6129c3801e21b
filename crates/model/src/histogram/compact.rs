//! Leaving out empty buckets.

use super::{Buckets, BucketsBuilder, FloatHistogram};

impl FloatHistogram {
    /// Leaves out empty buckets and joins spans. Of two buckets that hold something, up to `max_empty` empty ones in
    /// between are kept, so that both stay in one span. Afterwards equal counts have an equal layout.
    ///
    /// Takes memory for up to `max_empty` buckets per bucket.
    pub fn compact(&mut self, max_empty: u32) {
        self.positive.compact(max_empty);
        self.negative.compact(max_empty);
    }
}

impl Buckets {
    /// See [`FloatHistogram::compact`].
    pub fn compact(&mut self, max_empty: u32) {
        if !self.is_compact(max_empty) {
            *self = self.compacted(max_empty);
        }
    }

    fn is_compact(&self, max_empty: u32) -> bool {
        let is_apart = |offset: i32| i64::from(offset) > i64::from(max_empty);
        self.spans().iter().skip(1).all(|span| is_apart(span.offset))
            && self.counts().iter().all(|&count| count != 0.0)
    }

    fn compacted(&self, max_empty: u32) -> Self {
        let mut compacted = BucketsBuilder::with_capacity(self.len());
        for (index, count) in self.iter().filter(|&(_, count)| count != 0.0) {
            if let Some((last, _)) = compacted.last() {
                // Indices are at most 2^31 − 1 apart.
                let n_empty = index - last - 1;
                if i64::from(n_empty) <= i64::from(max_empty) {
                    (last + 1..index).for_each(|empty| compacted.push(empty, 0.0));
                }
            }
            compacted.push(index, count);
        }
        compacted.finish()
    }
}
