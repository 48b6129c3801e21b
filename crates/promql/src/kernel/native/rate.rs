//! `rate`, `increase`, `delta`, `irate` and `idelta` of histograms.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;

use super::arithmetic::{Combined, MixedSchemas, add, divide, multiply, subtract};
use super::notes::{Note, Notes};
use super::reset::is_reset;
use super::value::FloatOrHistogram;
use super::window::{ElementValue, MixedWindow};
use crate::annotation::HistogramOperation;
use crate::kernel::rate::{Extrapolation, RateKind};
use crate::kernel::start::{starts_inside, starts_overlap};

/// The rate of a window of histograms alone. Extrapolated as for floats, with the count of observations in place of the
/// value: buckets may so be extrapolated below their own zero points.
pub(super) fn rate(kind: RateKind, window: &MixedWindow<'_>, notes: &mut Notes) -> Option<FloatHistogram> {
    let histograms = window.histograms;
    let first = histograms.values.first()?;
    let mut result = match histograms.len() {
        1 => None,
        _ => Some(difference(kind.is_counter(), window, notes)?),
    };
    let extrapolation =
        if kind.is_counter() && starts_inside(histograms.timestamps_ms, histograms.starts_ms, window.range) {
            result = Some(match result {
                None => FloatHistogram::clone(first),
                Some(mut result) => {
                    add_noted(&mut result, first, notes)?;
                    result
                }
            });
            Extrapolation::from_start(
                kind,
                histograms.start_ms(0),
                histograms.timestamps_ms,
                window.range,
            )?
        } else {
            Extrapolation::new(kind, histograms.timestamps_ms, window.range)?
        };
    let mut result = result?;
    let factor = extrapolation.factor(first.count, result.count);
    multiply(&mut result, factor);
    Some(result)
}

/// Last − first, for a counter with every histogram before a reset added, a gauge and compacted; `None` if schemas do not
/// go together. There are at least two histograms.
fn difference(is_counter: bool, window: &MixedWindow<'_>, notes: &mut Notes) -> Option<FloatHistogram> {
    let [first, between @ .., last] = window.histograms.values else {
        return None;
    };
    let is_gauge = |histogram: &FloatHistogram| histogram.counter_reset_hint == CounterResetHint::Gauge;
    let mut found = Notes::default();
    found.add_if(
        is_counter && (is_gauge(first) || is_gauge(last)),
        Note::NotCounter,
    );
    // Before a reset the first histogram does not count, and so its buckets need not fit.
    let nothing = (is_counter && window.is_reset(1)).then(|| {
        let second = between.first().unwrap_or(last);
        FloatHistogram {
            schema: second.schema,
            custom_bounds: Arc::clone(&second.custom_bounds),
            ..FloatHistogram::default()
        }
    });
    let previous: &FloatHistogram = nothing.as_ref().unwrap_or(first);
    let is_custom = previous.is_custom();
    if last.is_custom() != is_custom {
        notes.merge(found);
        notes.add(Note::MixedSchemas);
        return None;
    }
    let mut lowest = last.schema.min(previous.schema);
    if is_counter {
        for histogram in between {
            if histogram.is_custom() != is_custom {
                notes.add(Note::MixedSchemas);
                return None;
            }
            found.add_if(is_gauge(histogram), Note::NotCounter);
            lowest = lowest.min(histogram.schema);
        }
    } else {
        found.add_if(!is_gauge(first) || !is_gauge(last), Note::NotGauge);
    }
    let mut difference = FloatHistogram::clone(last);
    difference.reduce_to(lowest);
    // Colliding hints are no news here: resets are handled.
    subtract(&mut difference, previous)
        .ok()?
        .note_bounds(HistogramOperation::Subtraction, &mut found);
    if is_counter {
        add_before_resets(&mut difference, nothing.as_ref(), window, &mut found)?;
    }
    notes.merge(found);
    difference.counter_reset_hint = CounterResetHint::Gauge;
    difference.compact(0);
    Some(difference)
}

/// Adds every histogram that is followed by a reset; `nothing` is what stands for the first one, if that does not count.
fn add_before_resets(
    difference: &mut FloatHistogram,
    nothing: Option<&FloatHistogram>,
    window: &MixedWindow<'_>,
    notes: &mut Notes,
) -> Option<()> {
    let histograms = window.histograms;
    let mut overlaps = false;
    for (row, pair) in (1..).zip(histograms.values.windows(2)) {
        overlaps |= starts_overlap(
            histograms.start_ms(row - 1),
            histograms.timestamps_ms[row - 1],
            histograms.start_ms(row),
        );
        match nothing.filter(|_| row == 1) {
            Some(nothing) if histograms.is_start_reset(row) || is_reset(&pair[1], nothing) => {
                add_noted(difference, nothing, notes)?;
            }
            None if window.is_reset(row) => add_noted(difference, &pair[0], notes)?,
            _ => {}
        }
    }
    notes.add_if(overlaps, Note::StartOverlap);
    Some(())
}

/// Adds, and notes differing bounds; `None` if schemas differ, which is noted as well.
pub(super) fn add_noted(sum: &mut FloatHistogram, other: &FloatHistogram, notes: &mut Notes) -> Option<()> {
    noted(add(sum, other), HistogramOperation::Addition, notes)
}

/// Subtracts, and notes differing bounds; `None` if schemas differ, which is noted as well.
pub(super) fn subtract_noted(
    sum: &mut FloatHistogram,
    other: &FloatHistogram,
    notes: &mut Notes,
) -> Option<()> {
    noted(subtract(sum, other), HistogramOperation::Subtraction, notes)
}

fn noted(
    combined: Result<Combined, MixedSchemas>,
    operation: HistogramOperation,
    notes: &mut Notes,
) -> Option<()> {
    match combined {
        Ok(combined) => {
            combined.note_bounds(operation, notes);
            Some(())
        }
        Err(MixedSchemas) => {
            notes.add(Note::MixedSchemas);
            None
        }
    }
}

/// `irate` or `idelta`: from the last two samples, whatever came before. After a reset a counter has risen by its new
/// value.
pub(super) fn instant(
    is_rate: bool,
    window: &MixedWindow<'_>,
    notes: &mut Notes,
) -> Option<FloatOrHistogram> {
    let [previous, last] = window.last_two()?;
    let gap_ms = last.timestamp_ms - previous.timestamp_ms;
    if gap_ms == 0 {
        return None;
    }
    let seconds = gap_ms as f64 / 1000.0;
    match (previous.value, last.value) {
        (ElementValue::Float(before), ElementValue::Float(now)) => {
            let is_reset = is_rate && (now < before || last.is_start_reset_after(&previous));
            let rise = if is_reset { now } else { now - before };
            Some(FloatOrHistogram::Float(if is_rate {
                rise / seconds
            } else {
                rise
            }))
        }
        (ElementValue::Histogram(before, _), ElementValue::Histogram(now, _)) => {
            // The rows of the two are those of a shorter window.
            let is_value_reset = window.is_value_reset(window.histograms.len() - 1);
            let is_reset = last.is_start_reset_after(&previous) || is_value_reset;
            let mut rise = instant_difference(is_rate, is_rate && is_reset, [before, now], notes)?;
            if is_rate {
                divide(&mut rise, seconds);
            }
            Some(rise.into())
        }
        _ => {
            notes.add(Note::MixedWindow);
            None
        }
    }
}

fn instant_difference(
    is_rate: bool,
    is_reset: bool,
    [before, now]: [&FloatHistogram; 2],
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let is_gauge = |histogram: &FloatHistogram| histogram.counter_reset_hint == CounterResetHint::Gauge;
    notes.add_if(is_rate && (is_gauge(before) || is_gauge(now)), Note::NotCounter);
    notes.add_if(!is_rate && (!is_gauge(before) || !is_gauge(now)), Note::NotGauge);
    let mut rise = now.clone();
    if !is_reset {
        subtract_noted(&mut rise, before, notes)?;
    }
    rise.counter_reset_hint = CounterResetHint::Gauge;
    rise.compact(0);
    Some(rise)
}
