//! `rate`, `increase` and `delta`, with the work that the lanes of a stream share done once.
//!
//! The algorithm is that of Prometheus 3.14 (`extrapolatedRate`), in its order of operations:
//!
//! 1. *increase* = last − first; for a counter, plus every value before a drop, in order of time.
//! 2. The distances from the first sample to the start of the range and from the last one to its end. A distance of at
//!    least 1.1 average sample gaps becomes half a gap: the series is taken to begin or end inside the range.
//! 3. Then, for a rising counter with first ≥ 0: the distance to the start is at most the time the counter needed
//!    from 0 to its first value at the observed slope.
//! 4. factor = (sampled + start + end) / sampled, for `rate` divided by the length of the range; result = increase ×
//!    factor.
//!
//! Everything but step 1 and the clamp of step 3 depends on timestamps only. [`StreamRate`] computes it once per
//! stream and step; a lane then costs a subtraction, a comparison and a multiplication per step. Step 1 does not
//! rescan overlapping windows: a lane is searched for drops once ([`StreamRate::lane`]).

use std::ops::Range;

use model::{TimeRange, TimestampMs};

use super::window::{StepTimes, windows};

/// Which of the extrapolating functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateKind {
    /// Per second, of a counter.
    Rate,
    /// Over the range, of a counter.
    Increase,
    /// Over the range, of a gauge: no resets, no zero point.
    Delta,
}

impl RateKind {
    /// True when a drop is a reset and values cannot be negative.
    #[inline]
    #[must_use]
    pub fn is_counter(self) -> bool {
        matches!(self, Self::Rate | Self::Increase)
    }

    /// The length of the range in seconds if the result is per second, otherwise 1.
    pub(super) fn divisor(self, range: TimeRange) -> f64 {
        match self {
            Self::Rate => range_seconds(range),
            Self::Increase | Self::Delta => 1.0,
        }
    }
}

/// What the timestamps of a window say about its extrapolation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extrapolation {
    /// For a counter: if first > increase × this, its zero point lies too early to matter. NaN for a gauge.
    zero_ratio: f64,
    /// What the increase is multiplied with unless the zero point matters.
    factor: f64,
    /// From the first sample to the last, in seconds.
    sampled: f64,
    /// Extrapolated before the first sample, in seconds.
    to_start: f64,
    /// Extrapolated after the last sample, in seconds.
    to_end: f64,
    /// The length of the range in seconds for `rate`, otherwise 1.
    divisor: f64,
}

impl Extrapolation {
    /// What follows from the timestamps of one window; `None` with fewer than two samples, which give no rate.
    /// `range` is the window of the selector, offset and `@` applied.
    #[must_use]
    pub fn new(kind: RateKind, timestamps_ms: &[TimestampMs], range: TimeRange) -> Option<Self> {
        let [first_ms, .., last_ms] = *timestamps_ms else {
            return None;
        };
        let sampled = seconds_between(first_ms, last_ms);
        let gap = sampled / (timestamps_ms.len() - 1) as f64;
        let threshold = gap * 1.1;
        let cut = |distance: f64| {
            if distance >= threshold {
                gap / 2.0
            } else {
                distance
            }
        };
        let to_start = cut(seconds_between(range.start_ms, first_ms));
        let to_end = cut(seconds_between(last_ms, range.end_ms));
        let mut extrapolation = Self {
            zero_ratio: f64::NAN,
            factor: 0.0,
            sampled,
            to_start,
            to_end,
            divisor: kind.divisor(range),
        };
        extrapolation.factor = extrapolation.factor_from(to_start);
        if kind.is_counter() {
            extrapolation.zero_ratio = safe_ratio(sampled, to_start);
        }
        Some(extrapolation)
    }

    /// As [`Self::new`] for a counter that is known to have been at 0 at `start_ms`, inside the range and before the
    /// first sample: there is nothing to guess before that, and a single sample is enough.
    #[must_use]
    pub fn from_start(
        kind: RateKind,
        start_ms: TimestampMs,
        timestamps_ms: &[TimestampMs],
        range: TimeRange,
    ) -> Option<Self> {
        let (&first_ms, &last_ms) = (timestamps_ms.first()?, timestamps_ms.last()?);
        let gap = match timestamps_ms.len() {
            1 => 0.0,
            n => seconds_between(first_ms, last_ms) / (n - 1) as f64,
        };
        let to_end = seconds_between(last_ms, range.end_ms);
        let mut extrapolation = Self {
            zero_ratio: f64::NAN,
            factor: 0.0,
            sampled: seconds_between(start_ms, last_ms),
            to_start: 0.0,
            to_end: if to_end >= gap * 1.1 { gap / 2.0 } else { to_end },
            divisor: kind.divisor(range),
        };
        extrapolation.factor = extrapolation.factor_from(0.0);
        Some(extrapolation)
    }

    /// What the increase of a lane has to be multiplied with; see [`Self::apply`].
    #[inline]
    #[must_use]
    pub fn factor(&self, first: f64, increase: f64) -> f64 {
        if self.is_unclamped(first, increase) {
            return self.factor;
        }
        let to_zero = self.sampled * (first / increase);
        if to_zero < self.to_start {
            self.factor_from(to_zero)
        } else {
            self.factor
        }
    }

    /// The result for one lane: `first` is the value of its first sample, `increase` the rise over the window, with
    /// resets if it is a counter.
    #[inline]
    #[must_use]
    pub fn apply(&self, first: f64, increase: f64) -> f64 {
        // False for every NaN, a gauge's ratio included. If it is true, first / increase > ratio in exact arithmetic;
        // as rounding is monotonic, the distance to the zero point then rounds to no less than `to_start`.
        let far_from_zero = first > increase * self.zero_ratio;
        if far_from_zero {
            return increase * self.factor;
        }
        increase * self.factor(first, increase)
    }

    #[inline]
    fn is_unclamped(&self, first: f64, increase: f64) -> bool {
        self.zero_ratio.is_nan() || !(increase > 0.0 && first >= 0.0)
    }

    #[inline]
    fn factor_from(&self, to_start: f64) -> f64 {
        let factor = if self.sampled == 0.0 {
            1.0
        } else {
            (self.sampled + to_start + self.to_end) / self.sampled
        };
        // Dividing by 1 changes no bit, so increase and delta need no case of their own.
        factor / self.divisor
    }
}

/// A ratio r such that `sampled * r` rounds to at least `to_start`: if first / increase is at least r, the zero point
/// does not matter.
fn safe_ratio(sampled: f64, to_start: f64) -> f64 {
    if sampled == 0.0 {
        // Then the distance to the zero point is 0 or NaN and has to be looked at.
        return f64::INFINITY;
    }
    let mut ratio = to_start / sampled;
    while sampled * ratio < to_start {
        ratio = ratio.next_up();
    }
    ratio
}

/// Wraps around instead of failing on times that are centuries of millennia apart.
#[inline]
fn seconds_between(from_ms: TimestampMs, to_ms: TimestampMs) -> f64 {
    to_ms.wrapping_sub(from_ms) as f64 / 1000.0
}

/// The length of a range as Go's `Duration.Seconds` gives it: whole seconds and the rest are added as floats.
#[inline]
fn range_seconds(range: TimeRange) -> f64 {
    let range_ms = range.end_ms.wrapping_sub(range.start_ms);
    (range_ms / 1000) as f64 + (range_ms % 1000 * 1_000_000) as f64 / 1e9
}

/// The rise of a counter: last − first, plus every value that is followed by a smaller one, in order of time. A NaN is
/// never smaller. 0 for no values.
#[must_use]
pub fn counter_increase(values: &[f64]) -> f64 {
    let [first, .., last] = *values else {
        return 0.0;
    };
    let mut increase = last - first;
    for pair in values.windows(2) {
        if pair[1] < pair[0] {
            increase += pair[0];
        }
    }
    increase
}

/// True when some value is smaller than the one before it.
#[must_use]
pub fn has_reset(values: &[f64]) -> bool {
    let Some(next) = values.get(1..) else {
        return false;
    };
    // Or-ing whole chunks instead of stopping at the first drop lets the comparison be vectorised.
    const CHUNK: usize = 64;
    values
        .chunks(CHUNK)
        .zip(next.chunks(CHUNK))
        .any(|(values, next)| {
            values
                .iter()
                .zip(next)
                .fold(false, |any, (value, next)| any | (next < value))
        })
}

/// One step of a stream that has a rate.
#[derive(Debug, Clone, Copy)]
struct RatedStep {
    first_row: u32,
    last_row: u32,
    step_idx: u32,
}

/// Neighbouring steps that extrapolate alike, as nearly all do when scrapes are regular.
#[derive(Debug)]
struct Run {
    /// Positions among the steps.
    steps: Range<usize>,
    extrapolation: Extrapolation,
}

/// All that the extrapolation of a window follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    n_rows: usize,
    before_first_ms: i64,
    sampled_ms: i64,
    after_last_ms: i64,
    range_ms: i64,
}

impl Shape {
    /// The shape of a window with at least two samples.
    fn of(timestamps_ms: &[TimestampMs], range: TimeRange) -> Option<Self> {
        let [first_ms, .., last_ms] = *timestamps_ms else {
            return None;
        };
        Some(Self {
            n_rows: timestamps_ms.len(),
            before_first_ms: first_ms.wrapping_sub(range.start_ms),
            sampled_ms: last_ms.wrapping_sub(first_ms),
            after_last_ms: range.end_ms.wrapping_sub(last_ms),
            range_ms: range.end_ms.wrapping_sub(range.start_ms),
        })
    }
}

/// The rate of all lanes of one stream: what they share, and room that is reused from stream to stream.
///
/// Invariants: `steps` ascend by `step_idx`, their rows lie inside the timestamps of the last [`Self::prepare`], and
/// `runs` divide them in order.
#[derive(Debug)]
pub struct StreamRate {
    kind: RateKind,
    n_rows: usize,
    n_in_windows: usize,
    steps: Vec<RatedStep>,
    runs: Vec<Run>,
    drops: Vec<u32>,
}

impl StreamRate {
    /// A calculator for one function, not yet prepared for a stream.
    #[must_use]
    pub fn new(kind: RateKind) -> Self {
        Self {
            kind,
            n_rows: 0,
            n_in_windows: 0,
            steps: Vec::new(),
            runs: Vec::new(),
            drops: Vec::new(),
        }
    }

    /// Looks at the timestamps of a stream: windows of `range_ms` ending at `times`, offset and `@` applied.
    pub fn prepare(&mut self, timestamps_ms: &[TimestampMs], times: StepTimes, range_ms: i64) {
        self.n_rows = timestamps_ms.len();
        self.n_in_windows = 0;
        self.steps.clear();
        self.runs.clear();
        let mut last_shape = None;
        for (step_idx, rows) in windows(timestamps_ms, times, range_ms).enumerate() {
            self.n_in_windows += rows.len();
            let range = TimeRange::ending_at(times.at(step_idx), range_ms);
            let in_window = &timestamps_ms[rows.clone()];
            let Some(shape) = Shape::of(in_window, range) else {
                continue;
            };
            if last_shape != Some(shape) {
                let Some(extrapolation) = Extrapolation::new(self.kind, in_window, range) else {
                    continue;
                };
                last_shape = Some(shape);
                self.end_run();
                self.runs.push(Run {
                    steps: self.steps.len()..self.steps.len(),
                    extrapolation,
                });
            }
            self.steps.push(RatedStep {
                first_row: as_u32(rows.start),
                last_row: as_u32(rows.end - 1),
                step_idx: as_u32(step_idx),
            });
        }
        self.end_run();
    }

    /// Says that all steps so far are of the last run or of those before.
    fn end_run(&mut self) {
        if let Some(run) = self.runs.last_mut() {
            run.steps.end = self.steps.len();
        }
    }

    /// How many samples all windows hold together, for a lane that has a sample at every prepared timestamp.
    #[must_use]
    pub fn n_in_windows(&self) -> usize {
        self.n_in_windows
    }

    /// The steps at which every lane without absent rows has a value, ascending. The same for all lanes.
    pub fn present_steps(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.steps.iter().map(|step| step.step_idx as usize)
    }

    /// Calls `emit(step_idx, value)` for every one of [`Self::present_steps`], in order. `values` has one value per
    /// prepared timestamp, none of them absent or a staleness marker; a lane that lacks rows needs timestamps of its
    /// own and so a [`Self::prepare`] of its own.
    ///
    /// # Panics
    /// If `values` is not as long as the prepared timestamps.
    #[inline]
    pub fn lane(&mut self, values: &[f64], mut emit: impl FnMut(usize, f64)) {
        assert_eq!(values.len(), self.n_rows, "a lane needs one value per timestamp");
        if self.kind.is_counter() && has_reset(values) {
            self.lane_with_resets(values, emit);
            return;
        }
        for Run { steps, extrapolation } in &self.runs {
            let extrapolation = *extrapolation;
            for step in &self.steps[steps.clone()] {
                let first = values[step.first_row as usize];
                let increase = values[step.last_row as usize] - first;
                emit(step.step_idx as usize, extrapolation.apply(first, increase));
            }
        }
    }

    /// As [`Self::lane`], into a slice by step; other steps of `results` are left alone.
    ///
    /// # Panics
    /// If `values` is not as long as the prepared timestamps, or `results` is shorter than the steps.
    pub fn lane_into(&mut self, values: &[f64], results: &mut [f64]) {
        self.lane(values, |step_idx, value| results[step_idx] = value);
    }

    fn lane_with_resets(&mut self, values: &[f64], mut emit: impl FnMut(usize, f64)) {
        self.drops.clear();
        let drops = (1..values.len()).filter(|&row| values[row] < values[row - 1]);
        self.drops.extend(drops.map(as_u32));
        let mut drops: &[u32] = &self.drops;
        for Run { steps, extrapolation } in &self.runs {
            for step in &self.steps[steps.clone()] {
                let first = values[step.first_row as usize];
                let mut increase = values[step.last_row as usize] - first;
                // A drop counts when both its rows are in the window. Windows only move forward.
                while let [row, rest @ ..] = drops
                    && *row <= step.first_row
                {
                    drops = rest;
                }
                for &row in drops.iter().take_while(|&&row| row <= step.last_row) {
                    increase += values[row as usize - 1];
                }
                emit(step.step_idx as usize, extrapolation.apply(first, increase));
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked by the assertion")]
#[inline]
fn as_u32(number: usize) -> u32 {
    assert!(
        u32::try_from(number).is_ok(),
        "more rows or steps than a query may have"
    );
    number as u32
}

/// The rate (`per_second`) or difference of the last two samples; `None` with fewer than two or if they have the same
/// time. A counter that dropped is taken to have started from 0.
///
/// Source: Prometheus `instantValue`, behind irate and idelta.
#[must_use]
pub fn instant_delta(per_second: bool, timestamps_ms: &[TimestampMs], values: &[f64]) -> Option<f64> {
    let (&[.., previous_ms, last_ms], &[.., previous, last]) = (timestamps_ms, values) else {
        return None;
    };
    if previous_ms == last_ms {
        return None;
    }
    let is_reset = per_second && last < previous;
    let difference = if is_reset { last } else { last - previous };
    Some(if per_second {
        difference / seconds_between(previous_ms, last_ms)
    } else {
        difference
    })
}

/// The samples of one lane that lacks some rows of its stream, copied out.
#[derive(Debug, Default)]
pub struct DenseLane {
    /// The times of the samples.
    pub timestamps_ms: Vec<TimestampMs>,
    /// The values of the samples, parallel.
    pub values: Vec<f64>,
    previous_ms: Vec<TimestampMs>,
}

impl DenseLane {
    /// Replaces the content by the rows of a lane for which `keep(row, value)` is true; it is asked for each row in
    /// order. Returns whether the times have changed. The lanes of a stream mostly lack the same rows, and then what
    /// was prepared for the last lane still holds.
    pub fn fill(
        &mut self,
        timestamps_ms: &[TimestampMs],
        values: &[f64],
        mut keep: impl FnMut(usize, f64) -> bool,
    ) -> bool {
        std::mem::swap(&mut self.timestamps_ms, &mut self.previous_ms);
        self.timestamps_ms.clear();
        self.values.clear();
        for (row, (&timestamp_ms, &value)) in timestamps_ms.iter().zip(values).enumerate() {
            if keep(row, value) {
                self.timestamps_ms.push(timestamp_ms);
                self.values.push(value);
            }
        }
        self.timestamps_ms != self.previous_ms
    }
}

#[cfg(test)]
mod tests;
