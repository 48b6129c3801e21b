//! Histograms of ranges and selectors with `anchored` or `smoothed`; see [`crate::kernel::extended`].

use std::sync::Arc;

use model::histogram::CounterResetHint;
use model::{FloatHistogram, TimestampMs};

use super::arithmetic::{divide, multiply};
use super::notes::{Note, Notes};
use super::rate::{add_noted, subtract_noted};
use super::reset::is_reset;
use super::value::FloatOrHistogram;
use super::window::{MixedWindow, Samples};
use crate::kernel::extended::{self, used_rows};
use crate::kernel::rate::RateKind;

/// The value of a smoothed instant selector. The samples are those within the lookback before `at_ms` and after it. Behind
/// the last sample its value goes on, before the first one there is none.
///
/// Floats and histograms together, and a change between exponential and custom buckets, are noted and give nothing.
#[must_use]
pub fn smoothed(
    floats: Samples<'_, f64>,
    histograms: Samples<'_, Arc<FloatHistogram>>,
    at_ms: TimestampMs,
    notes: &mut Notes,
) -> Option<FloatOrHistogram> {
    if !floats.is_empty() && !histograms.is_empty() {
        notes.add(Note::MixedWindow);
        return None;
    }
    let around = |timestamps_ms: &[TimestampMs]| {
        let next = timestamps_ms.partition_point(|&other_ms| other_ms < at_ms);
        (
            next.checked_sub(1),
            Some(next).filter(|&next| next < timestamps_ms.len()),
        )
    };
    if histograms.is_empty() {
        let at = |row: usize| (floats.timestamps_ms[row], floats.values[row]);
        return Some(FloatOrHistogram::Float(match around(floats.timestamps_ms) {
            (_, Some(next)) if at(next).0 == at_ms => at(next).1,
            (Some(before), Some(next)) => extended::interpolate(at(before), at(next), at_ms, false),
            (Some(before), None) => at(before).1,
            (None, _) => return None,
        }));
    }
    let at = |row: usize| (histograms.timestamps_ms[row], &*histograms.values[row]);
    match around(histograms.timestamps_ms) {
        (_, Some(next)) if at(next).0 == at_ms => {
            Some(FloatOrHistogram::Histogram(Arc::clone(&histograms.values[next])))
        }
        (Some(before), Some(next)) => {
            let (before, next) = (at(before), at(next));
            if before.1.is_custom() != next.1.is_custom() {
                notes.add(Note::MixedSchemas);
                return None;
            }
            let is_counter = !is_gauge(before.1) || !is_gauge(next.1);
            interpolate(before, next, at_ms, is_counter, notes).map(Into::into)
        }
        (Some(before), None) => {
            // A hint is about two samples in succession and not about the value.
            let mut value = at(before).1.clone();
            value.counter_reset_hint = CounterResetHint::Unknown;
            Some(value.into())
        }
        (None, _) => None,
    }
}

fn is_gauge(histogram: &FloatHistogram) -> bool {
    histogram.counter_reset_hint == CounterResetHint::Gauge
}

/// A histogram between two others, or at one of them. A counter that began anew is taken to have risen from 0. `None` if
/// schemas do not go together, which is noted, as differing custom bounds are.
fn interpolate(
    before: (TimestampMs, &FloatHistogram),
    after: (TimestampMs, &FloatHistogram),
    at_ms: TimestampMs,
    is_counter: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let ((before_ms, before), (after_ms, after)) = (before, after);
    if at_ms == before_ms {
        return Some(before.clone());
    }
    let mut result = after.clone();
    if at_ms == after_ms {
        return Some(result);
    }
    let fraction = (at_ms - before_ms) as f64 / (after_ms - before_ms) as f64;
    if is_counter && is_reset(after, before) {
        multiply(&mut result, fraction);
        return Some(result);
    }
    subtract_noted(&mut result, before, notes)?;
    multiply(&mut result, fraction);
    add_noted(&mut result, before, notes)?;
    Some(result)
}

/// `rate`, `increase` or `delta` of the histograms of an anchored or smoothed range.
pub(super) fn extended_rate(
    kind: RateKind,
    is_smoothed: bool,
    window: &MixedWindow<'_>,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let rows = used_rows(window.histograms.timestamps_ms, window.range, is_smoothed)?;
    let used = window.histograms.rows(rows);
    let is_counter = kind.is_counter();
    check(
        used.values.iter().map(|histogram| &**histogram),
        is_counter,
        notes,
    )?;
    let ends = Ends::new(is_smoothed, &used, window, is_counter, notes)?;
    notes.add_if(
        !(is_counter || is_gauge(&ends.left) && is_gauge(&ends.right)),
        Note::NotGauge,
    );
    let mut result = ends.right.clone();
    subtract_noted(&mut result, &ends.left, notes)?;
    if is_counter && let Some(correction) = ends.correction(&used, notes)? {
        add_noted(&mut result, &correction, notes)?;
    }
    divide(&mut result, kind.divisor(window.range));
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact(0);
    Some(result)
}

type Histograms<'a> = Samples<'a, Arc<FloatHistogram>>;

/// Notes gauges under a counter's function, and mixed schemas, which give no result.
fn check<'a>(
    mut histograms: impl Iterator<Item = &'a FloatHistogram> + Clone,
    is_counter: bool,
    notes: &mut Notes,
) -> Option<()> {
    let is_custom = histograms.clone().next()?.is_custom();
    let fits = histograms.try_for_each(|histogram| {
        if histogram.is_custom() != is_custom {
            return Err(());
        }
        notes.add_if(is_counter && is_gauge(histogram), Note::NotCounter);
        Ok(())
    });
    notes.add_if(fits.is_err(), Note::MixedSchemas);
    fits.ok()
}

/// The histograms at both ends of a range.
struct Ends {
    left: FloatHistogram,
    right: FloatHistogram,
    /// The left one lies between the first two samples.
    is_left_between: bool,
}

impl Ends {
    fn new(
        is_smoothed: bool,
        used: &Histograms<'_>,
        window: &MixedWindow<'_>,
        is_counter: bool,
        notes: &mut Notes,
    ) -> Option<Self> {
        let at = |row: usize| (used.timestamps_ms[row], &*used.values[row]);
        let last = used.len() - 1;
        let (start_ms, end_ms) = (window.range.start_ms, window.range.end_ms);
        let is_left_between = is_smoothed && last > 0 && used.timestamps_ms[0] < start_ms;
        let left = if is_left_between {
            interpolate(at(0), at(1), start_ms, is_counter, notes)?
        } else {
            at(0).1.clone()
        };
        let right = if is_smoothed && last > 0 && used.timestamps_ms[last] > end_ms {
            interpolate(at(last - 1), at(last), end_ms, is_counter, notes)?
        } else {
            at(last).1.clone()
        };
        Some(Self {
            left,
            right,
            is_left_between,
        })
    }

    /// The sum of all histograms before a reset, the left one included; `Some(None)` if there was no reset.
    fn correction(&self, used: &Histograms<'_>, notes: &mut Notes) -> Option<Option<FloatHistogram>> {
        let mut correction: Option<FloatHistogram> = None;
        let mut previous = &self.left;
        let mut first = 1;
        if self.is_left_between && is_reset(&used.values[1], &used.values[0]) {
            // The left end has risen from 0 since that reset already.
            previous = &used.values[1];
            first = 2;
        }
        // The last sample is seen as the right end, so that its own hint does not count twice.
        let last = used.len() - 1;
        if first > last {
            return Some(None);
        }
        let inner = used.values[first..last].iter();
        for current in inner.map(|histogram| &**histogram).chain([&self.right]) {
            if is_reset(current, previous) {
                match &mut correction {
                    None => correction = Some(previous.clone()),
                    Some(correction) => add_noted(correction, previous, notes)?,
                }
            }
            previous = current;
        }
        Some(correction)
    }
}
