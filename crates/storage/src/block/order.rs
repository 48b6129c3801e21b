//! How the rows of a block are sorted, and with them the series of a query over blocks.

use std::cmp::Ordering;

use model::{Labels, LaneKind};

/// What names a stream, whatever it is stored in: order is base metric name, then entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey<'a> {
    /// The base metric name.
    pub base: &'a str,
    /// All labels but `__name__`, and but the `le` of its buckets.
    pub entity: &'a Labels,
}

/// The order of lanes in a stream: value, sum, count, then buckets by the number their `le` stands for, those of
/// equal numbers by text. What is no number comes last.
#[must_use]
pub fn compare_lanes(a: LaneKind<'_>, b: LaneKind<'_>) -> Ordering {
    match (a, b) {
        (LaneKind::Bucket(a), LaneKind::Bucket(b)) => bound(a).total_cmp(&bound(b)).then_with(|| a.cmp(b)),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn rank(lane: LaneKind<'_>) -> u8 {
    match lane {
        LaneKind::Value => 0,
        LaneKind::Sum => 1,
        LaneKind::Count => 2,
        LaneKind::Bucket(_) => 3,
    }
}

/// The bound of a bucket; positive NaN, which `total_cmp` puts last, for what is no number.
fn bound(le: &str) -> f64 {
    match le.parse::<f64>() {
        Ok(bound) if !bound.is_nan() => bound,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_sorted_by_number_and_text() {
        let les = [
            "-1", "0", "0.5", "1", "1.0", "2", "10", "1e+06", "+Inf", "NaN", "x",
        ];
        let lanes = les.map(LaneKind::Bucket);
        let all: Vec<_> = [LaneKind::Value, LaneKind::Sum, LaneKind::Count]
            .into_iter()
            .chain(lanes)
            .collect();
        assert!(
            all.is_sorted_by(|a, b| compare_lanes(*a, *b) == Ordering::Less),
            "{all:?}"
        );
    }
}
