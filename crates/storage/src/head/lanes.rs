//! Which lanes of a stream are read.

use model::LaneIdx;

/// Which lanes of a stream are read, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneChoice<'a> {
    /// Lanes 0 .. n.
    First(usize),
    /// These, in this order.
    List(&'a [LaneIdx]),
}

impl LaneChoice<'_> {
    /// How many lanes are read.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::First(n_lanes) => *n_lanes,
            Self::List(lanes) => lanes.len(),
        }
    }

    /// True when no lane is read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lanes by position in the stream, in reading order.
    #[inline]
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).map(|choice_idx| match self {
            Self::First(_) => choice_idx,
            Self::List(lanes) => usize::from(lanes[choice_idx].0),
        })
    }
}
