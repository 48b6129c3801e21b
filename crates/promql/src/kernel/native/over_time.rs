//! `sum_over_time`, `avg_over_time`, `resets` and `changes` of windows that hold histograms.

use std::sync::Arc;

use model::FloatHistogram;

use super::arithmetic::MixedSchemas;
use super::group::{HistogramTotal, Totaling};
use super::notes::{Note, Notes};
use super::window::{Element, ElementValue, MixedWindow};
use crate::annotation::HistogramOperation;

/// The total of histograms, in order of time, not compacted. If schemas do not go together, only that is noted, and there
/// is no result.
pub(super) fn total(
    totaling: Totaling,
    histograms: &[Arc<FloatHistogram>],
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let (first, rest) = histograms.split_first()?;
    let mut total = HistogramTotal::new(totaling, first);
    let mut found = Notes::default();
    for histogram in rest {
        match total.add(histogram) {
            Ok(combined) => combined.note_bounds(HistogramOperation::Aggregation, &mut found),
            Err(MixedSchemas) => {
                notes.add(Note::MixedSchemas);
                return None;
            }
        }
    }
    let total = total.finish(&mut found);
    notes.merge(found);
    Some(total)
}

/// How often a counter began anew; a change from one kind of sample to the other counts, too.
pub(super) fn resets(window: &MixedWindow<'_>) -> f64 {
    count_pairs(window, |previous, current| {
        match (previous.value, current.value) {
            (ElementValue::Float(before), ElementValue::Float(now)) => {
                now < before || current.is_start_reset_after(previous)
            }
            // Two histograms in a row are neighbours among the histograms, too.
            (ElementValue::Histogram(..), ElementValue::Histogram(_, row)) => window.is_reset(row),
            _ => true,
        }
    })
}

/// How often the value changed; a change from one kind of sample to the other counts, too.
pub(super) fn changes(window: &MixedWindow<'_>) -> f64 {
    count_pairs(window, |previous, current| {
        match (previous.value, current.value) {
            (ElementValue::Float(before), ElementValue::Float(now)) => {
                now != before && !(now.is_nan() && before.is_nan())
            }
            (ElementValue::Histogram(before, _), ElementValue::Histogram(now, _)) => {
                !now.is_same_data(before)
            }
            _ => true,
        }
    })
}

fn count_pairs(window: &MixedWindow<'_>, mut counts: impl FnMut(&Element<'_>, &Element<'_>) -> bool) -> f64 {
    let mut elements = window.in_order();
    let Some(mut previous) = elements.next() else {
        return 0.0;
    };
    let mut n = 0_u32;
    for current in elements {
        n += u32::from(counts(&previous, &current));
        previous = current;
    }
    f64::from(n)
}
