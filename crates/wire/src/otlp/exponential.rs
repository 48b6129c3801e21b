//! Exponential histograms in the form of native ones.

use model::histogram::Span;

use super::point::{Point, Side};
use super::rejection::Rejection;

/// Buckets of a histogram as spans and differences. Reused: the lists keep their memory.
#[derive(Debug, Default)]
pub(super) struct Exponential {
    pub(super) zero_threshold: f64,
    pub(super) positive: SpannedSide,
    pub(super) negative: SpannedSide,
}

/// One side of it.
#[derive(Debug, Default)]
pub(super) struct SpannedSide {
    /// None, or one.
    spans: Vec<Span>,
    /// The first count, then each as the difference to the one before.
    pub(super) deltas: Vec<i64>,
}

/// The lowest scale that native histograms have.
const SCALE_MIN: i32 = -4;

/// The zero bucket's half width where the sender gives none, as Prometheus sets it.
const ZERO_THRESHOLD: f64 = 1e-128;

impl Exponential {
    pub(super) fn read(&mut self, point: &Point) -> Result<(), Rejection> {
        if point.scale < SCALE_MIN {
            return Err(Rejection::ScaleTooLow);
        }
        self.zero_threshold = if point.zero_threshold == 0.0 {
            ZERO_THRESHOLD
        } else {
            point.zero_threshold
        };
        self.positive.read(&point.positive)?;
        self.negative.read(&point.negative)
    }
}

impl SpannedSide {
    /// Leaves out empty buckets at both ends. OTLP's bucket `i` is the native one of index `i + 1`.
    fn read(&mut self, side: &Side) -> Result<(), Rejection> {
        self.deltas.clear();
        self.spans.clear();
        let is_filled = |count: &u64| *count != 0;
        let (Some(first), Some(last)) = (
            side.counts.iter().position(is_filled),
            side.counts.iter().rposition(is_filled),
        ) else {
            return Ok(());
        };
        let broken = |_| Rejection::BrokenBuckets;
        let offset = i64::from(side.offset) + 1 + i64::try_from(first).map_err(broken)?;
        self.spans.push(Span {
            offset: i32::try_from(offset).map_err(broken)?,
            length: u32::try_from(last - first + 1).map_err(broken)?,
        });
        let mut before = 0_i64;
        for count in side.counts.get(first..=last).unwrap_or_default() {
            let count = i64::try_from(*count).map_err(broken)?;
            self.deltas.push(count - before);
            before = count;
        }
        Ok(())
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_become_one_span_of_differences() {
        let side = Side {
            offset: -3,
            counts: vec![0, 4, 0, 6, 0],
        };
        let mut spanned = SpannedSide::default();
        spanned.read(&side).unwrap();
        assert_eq!(
            spanned.spans(),
            [Span {
                offset: -1,
                length: 3
            }]
        );
        assert_eq!(spanned.deltas, [4, -4, 6]);
        spanned.read(&Side::default()).unwrap();
        assert_eq!(spanned.spans(), []);
    }
}
