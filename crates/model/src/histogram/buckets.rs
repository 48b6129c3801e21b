//! Buckets of one side of a histogram.

use std::slice;

use super::HistogramError;

/// Indices lie from −2^30 to 2^30 − 1, so that the distance of any two fits an offset. The bounds of floats are reached
/// within ±2^19 in every schema.
pub(super) const INDEX_LIMIT: i64 = 1 << 30;

/// A run of neighbouring buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// For the first span the index of its first bucket, for every other one the gap after the span before.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// Counts of buckets with their indices, ascending: spans say which indices there are.
///
/// Invariants: spans are not empty, together they are as long as the counts, no offset but the first is negative, and
/// every index lies from −2^30 to 2^30 − 1. Two spans may touch (offset 0); [`super::FloatHistogram::compact`] joins
/// them.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    spans: Vec<Span>,
    counts: Vec<f64>,
}

impl Buckets {
    /// The buckets of these spans. Empty spans are allowed and left out.
    ///
    /// # Errors
    /// [`HistogramError::NegativeOffset`], [`HistogramError::SpansMismatch`] and [`HistogramError::IndexRange`].
    pub fn new(spans: &[Span], counts: Vec<f64>) -> Result<Self, HistogramError> {
        let (spans, n_spanned) = kept_spans(spans)?;
        if n_spanned != counts.len() as u64 {
            return Err(HistogramError::SpansMismatch {
                n_spanned,
                n_buckets: counts.len(),
            });
        }
        Ok(Self { spans, counts })
    }

    /// The buckets of spans that came out of [`kept_spans`] and are as long as the counts.
    pub(super) fn of_spans(spans: Vec<Span>, counts: Vec<f64>) -> Self {
        Self { spans, counts }
    }

    /// Which indices there are.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The counts, in order of index.
    #[must_use]
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// The counts to be changed where they are.
    pub fn counts_mut(&mut self) -> &mut [f64] {
        &mut self.counts
    }

    /// Number of buckets, empty ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// True when there is no bucket, not even an empty one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// True when both have the same spans, and so counts at the same indices.
    #[must_use]
    pub fn has_layout_of(&self, other: &Self) -> bool {
        self.spans == other.spans
    }

    /// Index and count of every bucket in ascending order of index, or from the end.
    #[must_use]
    pub fn iter(&self) -> IndexedCounts<'_> {
        let end = self
            .spans
            .iter()
            .map(|span| i64::from(span.offset) + i64::from(span.length))
            .sum();
        IndexedCounts {
            counts: self.counts.iter(),
            front: self.spans.iter(),
            front_index: 0,
            front_left: 0,
            back: self.spans.iter(),
            back_end: end,
            back_left: 0,
            back_offset: 0,
        }
    }

    /// The buckets of an exponential schema that is lower by `halvings`: each adds up 2^halvings neighbours.
    #[must_use]
    pub fn reduced(&self, halvings: u32) -> Self {
        let mut reduced = BucketsBuilder::with_capacity(self.len());
        let mut last_index = None;
        for (index, count) in self {
            let index = reduced_index(index, halvings);
            if last_index == Some(index) {
                reduced.add_to_last(count);
            } else {
                reduced.push(index, count);
                last_index = Some(index);
            }
        }
        reduced.finish()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(self.spans.as_slice()) + size_of_val(self.counts.as_slice())
    }
}

/// The spans without empty ones, and how many buckets they have together.
///
/// # Errors
/// [`HistogramError::NegativeOffset`] and [`HistogramError::IndexRange`].
pub(super) fn kept_spans(spans: &[Span]) -> Result<(Vec<Span>, u64), HistogramError> {
    let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
    let mut n_spanned = 0;
    let mut next_index = 0_i64;
    let mut skipped = 0_i64;
    for (position, span) in spans.iter().enumerate() {
        if position > 0 && span.offset < 0 {
            return Err(HistogramError::NegativeOffset {
                span: position,
                offset: span.offset,
            });
        }
        skipped += i64::from(span.offset);
        n_spanned += u64::from(span.length);
        if span.length == 0 {
            continue;
        }
        let first_index = next_index + skipped;
        next_index = first_index + i64::from(span.length);
        if first_index < -INDEX_LIMIT || next_index > INDEX_LIMIT {
            return Err(HistogramError::IndexRange);
        }
        kept.push(Span {
            offset: i32::try_from(skipped).map_err(|_| HistogramError::IndexRange)?,
            length: span.length,
        });
        skipped = 0;
    }
    Ok((kept, n_spanned))
}

impl<'a> IntoIterator for &'a Buckets {
    type Item = (i32, f64);
    type IntoIter = IndexedCounts<'a>;

    fn into_iter(self) -> IndexedCounts<'a> {
        self.iter()
    }
}

/// See [`Buckets::iter`]. Both ends walk the spans on their own; the counts decide where they meet.
#[derive(Debug, Clone)]
pub struct IndexedCounts<'a> {
    counts: slice::Iter<'a, f64>,
    front: slice::Iter<'a, Span>,
    /// The index that comes next from the front, once `front_left` is not 0.
    front_index: i64,
    /// Buckets left in the span at the front.
    front_left: u32,
    back: slice::Iter<'a, Span>,
    /// One more than the index that comes next from the back, once `back_left` is not 0.
    back_end: i64,
    /// Buckets left in the span at the back.
    back_left: u32,
    /// The offset of the span at the back.
    back_offset: i32,
}

impl Iterator for IndexedCounts<'_> {
    type Item = (i32, f64);

    #[inline]
    fn next(&mut self) -> Option<(i32, f64)> {
        let count = *self.counts.next()?;
        while self.front_left == 0 {
            let span = self.front.next()?;
            self.front_index += i64::from(span.offset);
            self.front_left = span.length;
        }
        let index = self.front_index as i32;
        self.front_left -= 1;
        self.front_index += 1;
        Some((index, count))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.counts.size_hint()
    }
}

impl DoubleEndedIterator for IndexedCounts<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<(i32, f64)> {
        let count = *self.counts.next_back()?;
        while self.back_left == 0 {
            let span = self.back.next_back()?;
            self.back_end -= i64::from(self.back_offset);
            self.back_left = span.length;
            self.back_offset = span.offset;
        }
        self.back_left -= 1;
        self.back_end -= 1;
        Some((self.back_end as i32, count))
    }
}

impl ExactSizeIterator for IndexedCounts<'_> {}

/// Puts buckets together in ascending order of index.
#[derive(Debug, Default)]
pub struct BucketsBuilder {
    buckets: Buckets,
    /// The index after the last one.
    end: i64,
    splits: bool,
}

impl BucketsBuilder {
    /// A builder with room for `n_buckets`.
    #[must_use]
    pub fn with_capacity(n_buckets: usize) -> Self {
        Self {
            buckets: Buckets {
                spans: Vec::new(),
                counts: Vec::with_capacity(n_buckets),
            },
            ..Self::default()
        }
    }

    /// Adds a bucket: to the last span if it follows directly and [`Self::split`] was not called, else in a new one.
    ///
    /// # Panics
    /// If the index is not above the last one, or not one that [`Buckets`] may have.
    pub fn push(&mut self, index: i32, count: f64) {
        assert!(
            (-INDEX_LIMIT..INDEX_LIMIT).contains(&i64::from(index)),
            "an index of a bucket"
        );
        let gap = i64::from(index) - self.end;
        match self.buckets.spans.last_mut() {
            Some(span) => {
                assert!(gap >= 0, "bucket indices ascend");
                if gap == 0 && !self.splits {
                    span.length += 1;
                } else {
                    self.buckets.spans.push(Span {
                        offset: gap as i32,
                        length: 1,
                    });
                }
            }
            None => self.buckets.spans.push(Span {
                offset: index,
                length: 1,
            }),
        }
        self.splits = false;
        self.end = i64::from(index) + 1;
        self.buckets.counts.push(count);
    }

    /// Lets the next bucket begin a span even if it follows directly.
    pub fn split(&mut self) {
        self.splits = true;
    }

    /// Adds to the count of the last bucket, if there is one.
    pub fn add_to_last(&mut self, count: f64) {
        if let Some(last) = self.buckets.counts.last_mut() {
            *last += count;
        }
    }

    /// The last index and the length of the span it lies in.
    #[must_use]
    pub fn last(&self) -> Option<(i32, u32)> {
        let span = self.buckets.spans.last()?;
        Some(((self.end - 1) as i32, span.length))
    }

    /// The buckets.
    #[must_use]
    pub fn finish(self) -> Buckets {
        self.buckets
    }
}

/// The index of the bucket into which an exponential bucket falls when the schema gets lower by `halvings`.
#[must_use]
pub fn reduced_index(index: i32, halvings: u32) -> i32 {
    // All but the sign is gone after 31 halvings.
    ((index - 1) >> halvings.min(31)) + 1
}

/// True when a bucket of `previous` that holds anything is missing in `current` or holds less there. Both ascend by
/// index and have the same schema.
pub fn any_drop(
    mut current: impl Iterator<Item = (i32, f64)>,
    previous: impl IntoIterator<Item = (i32, f64)>,
) -> bool {
    let mut candidate = current.next();
    for (index, before) in previous {
        while let Some((other, _)) = candidate
            && other < index
        {
            candidate = current.next();
        }
        let dropped = match candidate {
            Some((other, now)) if other == index => now < before,
            _ => before != 0.0,
        };
        if dropped {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
