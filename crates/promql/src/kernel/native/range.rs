//! Every function of a window that may hold histograms behind one entry.

use std::sync::Arc;

use super::extended::extended_rate;
use super::group::Totaling;
use super::notes::{Note, Notes};
use super::over_time::{changes, resets, total};
use super::rate::{instant, rate};
use super::value::FloatOrHistogram;
use super::window::{MixedWindow, Samples};
use crate::kernel::extended;
use crate::kernel::range::RangeFunction;
use crate::kernel::start::started_rate;
use crate::kernel::window::Window;

/// A function of a window of floats, of histograms, or of both.
///
/// - `rate`, `increase`, `delta`, `sum_over_time` and `avg_over_time` take either kind, but no mixture; so do `irate` and
///   `idelta` with their two samples.
/// - `resets`, `changes`, and what counts, picks or dates samples take any mixture.
/// - All others are functions of floats, which leave histograms out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NativeRangeFunction(pub RangeFunction);

/// What a range selector says about samples outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// It begins with the last sample at or before its start.
    Anchored,
    /// Its values at both ends lie on lines between samples.
    Smoothed,
}

impl From<RangeFunction> for NativeRangeFunction {
    fn from(function: RangeFunction) -> Self {
        Self(function)
    }
}

impl NativeRangeFunction {
    /// The result for one window; `None` if it has none. What the user has to be told is added to `notes`, which are
    /// about the series. Windows of floats alone give what [`RangeFunction::evaluate`] gives, unless they have start
    /// timestamps.
    #[must_use]
    pub fn evaluate(&self, window: &MixedWindow<'_>, notes: &mut Notes) -> Option<FloatOrHistogram> {
        if window.is_empty() {
            return None;
        }
        let floats = Window {
            timestamps_ms: window.floats.timestamps_ms,
            values: window.floats.values,
            range: window.range,
            evaluation_ms: window.evaluation_ms,
        };
        if window.histograms.is_empty() && window.floats.starts_ms.is_empty() {
            return self.0.evaluate(&floats).map(FloatOrHistogram::Float);
        }
        match self.0 {
            RangeFunction::Extrapolated(kind) if window.histograms.is_empty() => {
                let Samples {
                    timestamps_ms,
                    values,
                    starts_ms,
                } = window.floats;
                let (rate, overlaps) = started_rate(kind, timestamps_ms, values, starts_ms, window.range);
                notes.add_if(overlaps, Note::StartOverlap);
                rate.map(FloatOrHistogram::Float)
            }
            RangeFunction::Extrapolated(kind) => {
                unmixed(window, notes)?;
                rate(kind, window, notes).map(Into::into)
            }
            RangeFunction::Irate => instant(true, window, notes),
            RangeFunction::Idelta => instant(false, window, notes),
            RangeFunction::Resets => Some(resets(window).into()),
            _ if window.histograms.is_empty() => self.0.evaluate(&floats).map(FloatOrHistogram::Float),
            RangeFunction::Sum => unmixed_total(Totaling::Sum, window, notes),
            RangeFunction::Avg => unmixed_total(Totaling::Mean, window, notes),
            RangeFunction::Changes => Some(changes(window).into()),
            RangeFunction::Count => Some(((window.floats.len() + window.histograms.len()) as f64).into()),
            RangeFunction::Present => Some(1.0.into()),
            RangeFunction::First => first(window),
            RangeFunction::Last => last(window),
            RangeFunction::TimeOfFirst => Some(in_seconds(window.in_order().next()?.timestamp_ms).into()),
            RangeFunction::TimeOfLast => Some(in_seconds(time_of_last(window)?).into()),
            RangeFunction::Deriv
            | RangeFunction::PredictLinear(_)
            | RangeFunction::DoubleExponentialSmoothing { .. }
            | RangeFunction::Quantile(_)
            | RangeFunction::Min
            | RangeFunction::Max
            | RangeFunction::Stddev
            | RangeFunction::Stdvar
            | RangeFunction::Mad
            | RangeFunction::TimeOfMin
            | RangeFunction::TimeOfMax => {
                notes.add_if(!window.floats.is_empty(), Note::IgnoredInWindow);
                self.0.evaluate(&floats).map(FloatOrHistogram::Float)
            }
        }
    }

    /// The result for a range that is [`Extension::Anchored`] or [`Extension::Smoothed`]. The window holds samples from
    /// outside of the range: of either kind the last one at or before its start if there is one, and for smoothed ranges
    /// the first one at or after its end.
    ///
    /// Anchored are `rate`, `increase`, `delta`, `resets` and `changes`, smoothed the first three; every other function
    /// sees the window as it is.
    #[must_use]
    pub fn evaluate_extended(
        &self,
        extension: Extension,
        window: &MixedWindow<'_>,
        notes: &mut Notes,
    ) -> Option<FloatOrHistogram> {
        match self.0 {
            RangeFunction::Extrapolated(kind) => {
                let is_smoothed = extension == Extension::Smoothed;
                if window.histograms.is_empty() {
                    let (timestamps_ms, values) = (window.floats.timestamps_ms, window.floats.values);
                    let rate =
                        extended::extended_rate(kind, is_smoothed, timestamps_ms, values, window.range);
                    return rate.map(FloatOrHistogram::Float);
                }
                unmixed(window, notes)?;
                extended_rate(kind, is_smoothed, window, notes).map(Into::into)
            }
            RangeFunction::Resets | RangeFunction::Changes if extension == Extension::Anchored => {
                let (n_floats, n_histograms) = extended::anchored(
                    window.floats.timestamps_ms,
                    window.histograms.timestamps_ms,
                    window.range.start_ms,
                )?;
                self.evaluate(&window.skip(n_floats, n_histograms), notes)
            }
            _ => self.evaluate(window, notes),
        }
    }
}

/// Notes a mixture, which gives no result.
fn unmixed(window: &MixedWindow<'_>, notes: &mut Notes) -> Option<()> {
    let is_mixed = !window.floats.is_empty();
    notes.add_if(is_mixed, Note::MixedWindow);
    (!is_mixed).then_some(())
}

fn unmixed_total(
    totaling: Totaling,
    window: &MixedWindow<'_>,
    notes: &mut Notes,
) -> Option<FloatOrHistogram> {
    unmixed(window, notes)?;
    total(totaling, window.histograms.values, notes).map(Into::into)
}

fn first(window: &MixedWindow<'_>) -> Option<FloatOrHistogram> {
    let (floats, histograms) = (window.floats, window.histograms);
    let histogram_ms = *histograms.timestamps_ms.first()?;
    Some(match floats.timestamps_ms.first() {
        Some(&float_ms) if float_ms < histogram_ms => floats.values[0].into(),
        _ => FloatOrHistogram::Histogram(Arc::clone(&histograms.values[0])),
    })
}

fn last(window: &MixedWindow<'_>) -> Option<FloatOrHistogram> {
    let (floats, histograms) = (window.floats, window.histograms);
    let histogram_ms = *histograms.timestamps_ms.last()?;
    Some(match floats.timestamps_ms.last() {
        Some(&float_ms) if histogram_ms < float_ms => floats.values[floats.len() - 1].into(),
        _ => FloatOrHistogram::Histogram(Arc::clone(&histograms.values[histograms.len() - 1])),
    })
}

fn time_of_last(window: &MixedWindow<'_>) -> Option<i64> {
    let last = |timestamps_ms: &[i64]| timestamps_ms.last().copied();
    last(window.floats.timestamps_ms)
        .max(last(window.histograms.timestamps_ms))
        .map(|at_ms| at_ms.max(0))
}

fn in_seconds(timestamp_ms: i64) -> f64 {
    timestamp_ms as f64 / 1000.0
}

#[cfg(test)]
mod tests;
