//! Exponential histograms in the form of native ones.

use model::histogram::{CounterResetHint, Span};
use model::{TimestampMs, stale_nan};

use super::point::{Point, Side};
use super::rejection::Rejection;
use crate::remote_write::{Count, Histogram, Side as NativeSide};

/// The lowest scale that native histograms have.
const SCALE_MIN: i32 = -4;

/// The zero bucket's half width where the sender gives none, as Prometheus sets it.
const ZERO_THRESHOLD: f64 = 1e-128;

/// Makes a native histogram of a point; one without a recorded value ends its series. The lists keep their memory.
pub(super) fn to_native(
    point: &Point,
    timestamp_ms: TimestampMs,
    histogram: &mut Histogram,
) -> Result<(), Rejection> {
    histogram.timestamp_ms = timestamp_ms;
    histogram.start_timestamp_ms = point.start_ms().unwrap_or(0);
    histogram.reset_hint = CounterResetHint::Unknown;
    histogram.custom_bounds.clear();
    if point.has_no_recorded_value {
        histogram.sum = stale_nan();
        return Ok(());
    }
    if point.scale < SCALE_MIN {
        return Err(Rejection::ScaleTooLow);
    }
    histogram.schema = point.scale;
    histogram.zero_threshold = if point.zero_threshold == 0.0 {
        ZERO_THRESHOLD
    } else {
        point.zero_threshold
    };
    histogram.count = Count::Integer(point.count);
    histogram.zero_count = Count::Integer(point.zero_count);
    histogram.sum = point.sum.unwrap_or(0.0);
    to_spans(&point.positive, &mut histogram.positive)?;
    to_spans(&point.negative, &mut histogram.negative)
}

/// Leaves out empty buckets at both ends. OTLP's bucket `i` is the native one of index `i + 1`.
fn to_spans(buckets: &Side, side: &mut NativeSide) -> Result<(), Rejection> {
    side.deltas.clear();
    side.counts.clear();
    side.spans.clear();
    let is_filled = |count: &u64| *count != 0;
    let (Some(first), Some(last)) = (
        buckets.counts.iter().position(is_filled),
        buckets.counts.iter().rposition(is_filled),
    ) else {
        return Ok(());
    };
    let broken = |_| Rejection::BrokenBuckets;
    let offset = i64::from(buckets.offset) + 1 + i64::try_from(first).map_err(broken)?;
    side.spans.push(Span {
        offset: i32::try_from(offset).map_err(broken)?,
        length: u32::try_from(last - first + 1).map_err(broken)?,
    });
    let mut before = 0_i64;
    for count in buckets.counts.get(first..=last).unwrap_or_default() {
        let count = i64::try_from(*count).map_err(broken)?;
        side.deltas.push(count - before);
        before = count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_become_one_span_of_differences() {
        let buckets = Side {
            offset: -3,
            counts: vec![0, 4, 0, 6, 0],
        };
        let mut side = NativeSide::default();
        to_spans(&buckets, &mut side).unwrap();
        assert_eq!(
            side.spans,
            [Span {
                offset: -1,
                length: 3
            }]
        );
        assert_eq!(side.deltas, [4, -4, 6]);
        to_spans(&Side::default(), &mut side).unwrap();
        assert_eq!(side, NativeSide::default());
    }
}
