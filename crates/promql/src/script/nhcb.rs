//! Native histograms with custom buckets (NHCB) made of classic ones, as `load_with_nhcb` asks for.

use std::collections::HashMap;
use std::sync::Arc;

use model::{BUCKET_LABEL, Labels, METRIC_NAME};

use super::command::LoadSeries;
use super::points::Point;
use crate::kernel::classic::{ClassicError, ClassicHistogram};
use crate::kernel::histogram::parse_bound;

/// Why classic histograms cannot be converted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NhcbError {
    /// A series of buckets has no `le`.
    #[error("{0} has no label le")]
    NoBound(Labels),
    /// One of them is no histogram.
    #[error(transparent)]
    Classic(#[from] ClassicError),
}

/// One series of native histograms for each classic histogram among these, named without suffix and without `le`, in the
/// order of first appearance. Every float in a series whose name ends in `_bucket`, `_sum` or `_count` takes part.
///
/// # Errors
/// The first classic histogram that is none.
pub fn nhcb_series(series: &[LoadSeries]) -> Result<Vec<LoadSeries>, NhcbError> {
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut converted: Vec<(Labels, Vec<Option<ClassicHistogram>>)> = Vec::new();
    for (position, one) in series.iter().enumerate() {
        // Of two lines with equal labels the later one holds.
        let is_replaced = series[position + 1..]
            .iter()
            .any(|later| later.labels == one.labels);
        let Some((labels, part)) = part_of(&one.labels)?.filter(|_| !is_replaced) else {
            continue;
        };
        let idx = *known.entry(labels).or_insert_with_key(|labels| {
            converted.push((labels.clone(), Vec::new()));
            converted.len() - 1
        });
        let steps = &mut converted[idx].1;
        steps.resize(steps.len().max(one.points.len()), None);
        for (step, point) in steps.iter_mut().zip(&one.points) {
            if let Point::Float(value) = point {
                set(step.get_or_insert_default(), part, *value)?;
            }
        }
    }
    let converted = converted.into_iter().map(|(labels, steps)| {
        let points: Result<Vec<Point>, NhcbError> = steps.into_iter().map(to_point).collect();
        Ok(LoadSeries {
            labels,
            points: points?,
            start_offsets_ms: Vec::new(),
        })
    });
    converted.collect()
}

/// What a series says about a classic histogram.
#[derive(Debug, Clone, Copy)]
enum Part {
    Bucket(f64),
    Sum,
    Count,
}

fn set(classic: &mut ClassicHistogram, part: Part, value: f64) -> Result<(), ClassicError> {
    match part {
        Part::Sum => {
            classic.set_sum(value);
            Ok(())
        }
        Part::Count => classic.set_count(value),
        Part::Bucket(bound) => classic.set_bucket(bound, value),
    }
}

/// The labels of the histogram that a series is part of, and which part; `None` if it is none, or a bucket whose bound is
/// no number.
fn part_of(labels: &Labels) -> Result<Option<(Labels, Part)>, NhcbError> {
    let name = labels.get(METRIC_NAME);
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        let bound = labels.get(BUCKET_LABEL);
        if bound.is_empty() {
            return Err(NhcbError::NoBound(labels.clone()));
        }
        match parse_bound(bound).filter(|bound| !bound.is_nan()) {
            Some(bound) => (base, Part::Bucket(bound)),
            None => return Ok(None),
        }
    } else if let Some(base) = name.strip_suffix("_sum") {
        (base, Part::Sum)
    } else if let Some(base) = name.strip_suffix("_count") {
        (base, Part::Count)
    } else {
        return Ok(None);
    };
    let pairs = labels.iter().filter_map(|(name, value)| match name {
        METRIC_NAME => Some((name, base)),
        BUCKET_LABEL => None,
        _ => Some((name, value)),
    });
    // They were labels before, and a name only got shorter.
    Ok(Labels::from_pairs(pairs).ok().map(|labels| (labels, part)))
}

fn to_point(classic: Option<ClassicHistogram>) -> Result<Point, NhcbError> {
    Ok(match classic {
        None => Point::Gap,
        Some(classic) => Point::Histogram {
            value: Arc::new(classic.convert()?),
            has_hint: false,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::{CommandKind, histogram_literal, parse_script};
    use super::*;

    fn convert(lines: &str) -> Result<Vec<LoadSeries>, NhcbError> {
        let script = parse_script(&format!("load_with_nhcb 1m\n{lines}\n")).unwrap();
        let CommandKind::Load(load) = &script[0].kind else {
            panic!("a load")
        };
        nhcb_series(&load.series)
    }

    /// The only series, as a script would write it.
    #[track_caller]
    fn check(lines: &str, expected: &str) {
        let converted = convert(lines).unwrap();
        let [one] = &*converted else {
            panic!("{} series", converted.len())
        };
        let points: Vec<_> = one
            .points
            .iter()
            .map(|point| match point {
                Point::Histogram { value, .. } => histogram_literal(value),
                Point::Float(value) => value.to_string(),
                Point::Gap => "_".to_owned(),
            })
            .collect();
        assert_eq!(format!("{} {}", one.labels, points.join(" ")), expected);
    }

    #[test]
    fn buckets_sum_and_count_become_one_series() {
        check(
            "  h_bucket{le=\"+Inf\",a=\"b\"} _ 4 6\n  h_bucket{le=\"1\",a=\"b\"} _ 1 2\n  h_count{a=\"b\"} _ 4 6\n  \
             h_sum{a=\"b\"} _ 7.5 8",
            "h{a=\"b\"} _ {{schema:-53 count:4 sum:7.5 custom_values:[1] buckets:[1 3]}} \
             {{schema:-53 count:6 sum:8 custom_values:[1] buckets:[2 4]}}",
        );
        // Without a count the highest bucket counts, and without buckets there is the one up to +Inf.
        check(
            "  h_bucket{le=\"0.5\"} 1.5",
            "h {{schema:-53 count:1.5 custom_values:[0.5] buckets:[1.5]}}",
        );
        check("  h_count 3", "h {{schema:-53 count:3 buckets:[3]}}");
        check("  h_sum 3", "h {{schema:-53 sum:3}}");
    }

    #[test]
    fn equal_bounds_count_once_and_later_lines_replace_earlier_ones() {
        check(
            "  h_bucket{le=\"1\"} 9\n  h_bucket{le=\"1\"} 2\n  h_bucket{le=\"1.0\"} 7\n  h_bucket{le=\"x\"} 1",
            "h {{schema:-53 count:2 custom_values:[1] buckets:[2]}}",
        );
    }

    #[test]
    fn other_series_take_no_part() {
        assert_eq!(
            convert("  up 1\n  h_bucket{le=\"1\"} {{count:1}}").unwrap().len(),
            1
        );
        assert_eq!(convert("  up 1").unwrap(), []);
        let one = &convert("  h_bucket{le=\"1\"} _ {{count:1}} 1").unwrap()[0];
        assert_eq!(one.points[..2], [Point::Gap, Point::Gap]);
        let labels = |lines: &str| {
            convert(lines)
                .unwrap()
                .iter()
                .map(|one| one.labels.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(labels("  b_sum 1\n  a_sum 1\n  b_count 1"), ["b", "a"]);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        let refused = |lines: &str| convert(lines).unwrap_err();
        assert!(matches!(refused("  h_bucket 1"), NhcbError::NoBound(_)));
        assert_eq!(refused("  h_count -1"), ClassicError::NegativeCount(-1.0).into());
        let falling: NhcbError = ClassicError::NotCumulative {
            bound: 2.0,
            count: 1.0,
        }
        .into();
        assert_eq!(refused("  h_bucket{le=\"1\"} 2\n  h_bucket{le=\"2\"} 1"), falling);
        let falling: NhcbError = ClassicError::NotCumulative {
            bound: 1.0,
            count: 2.0,
        }
        .into();
        assert_eq!(refused("  h_bucket{le=\"2\"} 1\n  h_bucket{le=\"1\"} 2"), falling);
        let mismatch: NhcbError = ClassicError::CountMismatch {
            count: 3.0,
            in_buckets: 2.0,
        }
        .into();
        assert_eq!(refused("  h_bucket{le=\"+Inf\"} 2\n  h_count 3"), mismatch);
        assert!(matches!(
            refused("  h_bucket{le=\"1\"} stale"),
            NhcbError::Classic(ClassicError::CountMismatch { .. })
        ));
    }

    #[test]
    fn short_gaps_stay_in_histograms_of_integers() {
        let layout = |lines: &str| match &convert(lines).unwrap()[0].points[0] {
            Point::Histogram { value, .. } => value.positive.spans().len(),
            other => panic!("{other:?}"),
        };
        let buckets = |count: &str| {
            format!(
                "  h_bucket{{le=\"1\"}} {count}\n  h_bucket{{le=\"2\"}} {count}\n  h_bucket{{le=\"3\"}} {count}\n  h_count 9"
            )
        };
        assert_eq!((layout(&buckets("2")), layout(&buckets("2.5"))), (1, 2));
    }
}
