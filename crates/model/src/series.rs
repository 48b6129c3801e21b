//! What a series is inside: a lane of a stream of an entity.
//!
//! - *Entity*: a label set without `__name__`, and without `le` when the series is a classic-histogram bucket.
//! - *Stream*: an entity under one base metric name, the name without `_bucket` (only with `le`), `_sum` or
//!   `_count`. Its lanes share their timestamps.
//! - *Lane*: one Prometheus series of a stream.
//!
//! The mapping is pure text and injective: [`SeriesName::split`] and [`SeriesName::metric_name`] are inverse to
//! each other, whatever the metric's type is. Nobody outside the store sees it.

use std::cmp::Ordering;
use std::fmt;

/// A row of the entity table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(pub u32);

/// An entity under one base metric name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// The position of a lane in its stream, in order of first appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneIdx(pub u16);

/// One Prometheus series, as the store addresses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef {
    /// Its stream.
    pub stream: StreamId,
    /// Its lane in that stream.
    pub lane: LaneIdx,
}

/// Which part of its stream a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LaneKind<'a> {
    /// The metric itself.
    Value,
    /// `<base>_sum`.
    Sum,
    /// `<base>_count`.
    Count,
    /// `<base>_bucket`, with the text of `le` exactly as received.
    Bucket(&'a str),
}

/// A metric name and `le`, split into base name and lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesName<'a> {
    /// The stream's metric name. Empty only if the metric name was.
    pub base: &'a str,
    /// The lane.
    pub lane: LaneKind<'a>,
}

impl<'a> SeriesName<'a> {
    /// Splits a metric name. `le` is the value of the label `le`, empty when absent.
    #[must_use]
    pub fn split(metric_name: &'a str, le: &'a str) -> Self {
        let suffixes = [
            ("_bucket", LaneKind::Bucket(le)),
            ("_sum", LaneKind::Sum),
            ("_count", LaneKind::Count),
        ];
        for (suffix, lane) in suffixes {
            if lane == LaneKind::Bucket("") {
                continue;
            }
            if let Some(base) = metric_name.strip_suffix(suffix)
                && !base.is_empty()
            {
                return Self { base, lane };
            }
        }
        Self {
            base: metric_name,
            lane: LaneKind::Value,
        }
    }

    /// The metric name this was split from.
    #[must_use]
    pub fn metric_name(&self) -> String {
        format!("{}{}", self.base, self.lane.suffix())
    }

    /// True when the entity of this series is without the label `le`, because the lane holds it.
    #[must_use]
    pub fn takes_le(&self) -> bool {
        matches!(self.lane, LaneKind::Bucket(_))
    }
}

impl LaneKind<'_> {
    /// What the lane adds to the base name.
    #[must_use]
    pub fn suffix(&self) -> &'static str {
        match self {
            Self::Value => "",
            Self::Sum => "_sum",
            Self::Count => "_count",
            Self::Bucket(_) => "_bucket",
        }
    }

    /// The order of lanes in a stream: value, sum, count, then buckets by the number their `le` stands for, those of
    /// equal numbers by text. What is no number comes last.
    #[must_use]
    pub fn compare(&self, other: &LaneKind<'_>) -> Ordering {
        match (self, other) {
            (Self::Bucket(a), LaneKind::Bucket(b)) => bound(a).total_cmp(&bound(b)).then_with(|| a.cmp(b)),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Value => 0,
            Self::Sum => 1,
            Self::Count => 2,
            Self::Bucket(_) => 3,
        }
    }
}

/// The bound of a bucket; positive NaN, which `total_cmp` puts last, for what is no number.
fn bound(le: &str) -> f64 {
    match le.parse::<f64>() {
        Ok(bound) if !bound.is_nan() => bound,
        _ => f64::NAN,
    }
}

impl fmt::Display for SeriesRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {} lane {}", self.stream.0, self.lane.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn histogram_parts_share_a_base_name() {
        let check = |name, le, base, lane| assert_eq!(SeriesName::split(name, le), SeriesName { base, lane });
        check("x_bucket", "1.0", "x", LaneKind::Bucket("1.0"));
        check("x_bucket", "", "x_bucket", LaneKind::Value);
        check("x_sum", "1.0", "x", LaneKind::Sum);
        check("x_count", "", "x", LaneKind::Count);
        check("x", "1.0", "x", LaneKind::Value);
        check("_sum", "", "_sum", LaneKind::Value);
        check("x_sum_sum", "", "x_sum", LaneKind::Sum);
    }

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
        assert!(all.is_sorted_by(|a, b| a.compare(b) == Ordering::Less), "{all:?}");
    }

    proptest! {
        #[test]
        fn splitting_loses_nothing(name in "(_bucket|_sum|_count|a|_|:){0,5}", le in "|1|1\\.0|\\+Inf") {
            let split = SeriesName::split(&name, &le);
            prop_assert_eq!(&split.metric_name(), &name);
            if let LaneKind::Bucket(kept) = split.lane {
                prop_assert_eq!(kept, &le);
            }
        }
    }
}
