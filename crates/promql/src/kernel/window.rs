//! Which samples each evaluation step sees.
//!
//! A range selector `[d]` sees `t - d < timestamp <= t`: left-open, right-closed, since Prometheus 3.0. For a stream
//! of ascending timestamps and a grid of steps both ends only move forward, so all windows of a stream cost one pass
//! ([`Windows`]).

use std::ops::Range;

use model::{TimeRange, TimestampMs};

/// The evaluation times of a query: `first_ms`, `first_ms + step_ms`, …, `n_steps` of them.
///
/// Invariant kept by its users: `step_ms` is not negative. It is 0 for an instant query and for a selector pinned by
/// `@`, where every step sees the same window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepTimes {
    /// The first evaluation time.
    pub first_ms: TimestampMs,
    /// Distance of two evaluation times.
    pub step_ms: i64,
    /// How many there are.
    pub n_steps: usize,
}

impl StepTimes {
    /// A single step, as an instant query has.
    #[must_use]
    pub fn instant(at_ms: TimestampMs) -> Self {
        Self {
            first_ms: at_ms,
            step_ms: 0,
            n_steps: 1,
        }
    }

    /// The time of one step. Saturates instead of leaving the range of timestamps.
    #[must_use]
    pub fn at(&self, step_idx: usize) -> TimestampMs {
        let distance = i64::try_from(step_idx)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.step_ms);
        self.first_ms.saturating_add(distance)
    }

    /// The time of the last step, the first if there is none.
    #[must_use]
    pub fn last_ms(&self) -> TimestampMs {
        self.at(self.n_steps.saturating_sub(1))
    }

    /// The same grid moved by `delta_ms`; `offset d` moves it by −d.
    #[must_use]
    pub fn shifted(&self, delta_ms: i64) -> Self {
        Self {
            first_ms: self.first_ms.saturating_add(delta_ms),
            ..*self
        }
    }

    /// Some of the steps.
    #[must_use]
    pub fn part(&self, steps: Range<usize>) -> Self {
        Self {
            first_ms: self.at(steps.start),
            n_steps: steps.len(),
            ..*self
        }
    }

    /// All times in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TimestampMs> + use<> {
        let times = *self;
        (0..times.n_steps).map(move |step_idx| times.at(step_idx))
    }

    /// What all windows of `range_ms` together cover: what has to be read.
    #[must_use]
    pub fn covered(&self, range_ms: i64) -> TimeRange {
        TimeRange {
            start_ms: self.first_ms.saturating_sub(range_ms),
            end_ms: self.last_ms(),
        }
    }
}

/// The half-open row range of each step's window, in order of steps: an iterator of exactly `n_steps` ranges, empty
/// where the window holds no sample. Moves two pointers, so all steps together take O(rows + steps).
#[derive(Debug, Clone)]
pub struct Windows<'a> {
    timestamps_ms: &'a [TimestampMs],
    times: StepTimes,
    range_ms: i64,
    step_idx: usize,
    begin: usize,
    end: usize,
    /// By how many rows both moved for the last step: mostly by as many for the next.
    moves: (usize, usize),
}

/// The windows of `range_ms` that end at each of `times`, over ascending `timestamps_ms`. Offset and `@` have to be
/// applied to `times` before.
#[must_use]
pub fn windows(timestamps_ms: &[TimestampMs], times: StepTimes, range_ms: i64) -> Windows<'_> {
    debug_assert!(timestamps_ms.is_sorted());
    Windows {
        timestamps_ms,
        times,
        range_ms,
        step_idx: 0,
        begin: 0,
        end: 0,
        moves: (0, 0),
    }
}

impl Iterator for Windows<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        if self.step_idx == self.times.n_steps {
            return None;
        }
        let range = TimeRange::ending_at(self.times.at(self.step_idx), self.range_ms);
        self.moves.0 = count_up_to(&self.timestamps_ms[self.begin..], range.start_ms, self.moves.0);
        self.begin += self.moves.0;
        self.end = self.end.max(self.begin);
        self.moves.1 = count_up_to(&self.timestamps_ms[self.end..], range.end_ms, self.moves.1);
        self.end += self.moves.1;
        self.step_idx += 1;
        Some(self.begin..self.end)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n_left = self.times.n_steps - self.step_idx;
        (n_left, Some(n_left))
    }
}

impl ExactSizeIterator for Windows<'_> {}

/// How many of the ascending timestamps are at most `limit_ms`; probably `guess`. Otherwise linear at first, because
/// steps are small as a rule; a jump over many rows falls back to bisection.
#[inline]
fn count_up_to(timestamps_ms: &[TimestampMs], limit_ms: TimestampMs, guess: usize) -> usize {
    const LINEAR_ROWS: usize = 16;
    let is_within = |row: usize| timestamps_ms.get(row).is_some_and(|row_ms| *row_ms <= limit_ms);
    if guess <= timestamps_ms.len() && !is_within(guess) && (guess == 0 || is_within(guess - 1)) {
        return guess;
    }
    let near = timestamps_ms
        .iter()
        .take(LINEAR_ROWS)
        .take_while(|&&timestamp_ms| timestamp_ms <= limit_ms)
        .count();
    if near < LINEAR_ROWS {
        return near;
    }
    near + timestamps_ms[near..].partition_point(|&timestamp_ms| timestamp_ms <= limit_ms)
}

/// What one step of one series sees.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Strictly ascending, all inside `range`.
    pub timestamps_ms: &'a [TimestampMs],
    /// Parallel to `timestamps_ms`; no staleness markers.
    pub values: &'a [f64],
    /// Where the samples come from, offset and `@` applied.
    pub range: TimeRange,
    /// The evaluation time itself, without offset or `@`.
    pub evaluation_ms: TimestampMs,
}

impl<'a> Window<'a> {
    /// True when there is no sample: every function but `absent_over_time` then has no result.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The part of a stream that one step sees.
    ///
    /// # Panics
    /// If `rows` is not a range of both slices.
    #[must_use]
    pub fn of_rows(
        timestamps_ms: &'a [TimestampMs],
        values: &'a [f64],
        rows: Range<usize>,
        range: TimeRange,
        evaluation_ms: TimestampMs,
    ) -> Self {
        Self {
            timestamps_ms: &timestamps_ms[rows.clone()],
            values: &values[rows],
            range,
            evaluation_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_are_left_open_and_right_closed() {
        let times = StepTimes {
            first_ms: 100,
            step_ms: 50,
            n_steps: 4,
        };
        let rows: Vec<_> = windows(&[0, 1, 50, 100, 101, 150], times, 100).collect();
        assert_eq!(rows, [1..4, 3..6, 4..6, 6..6]);
        assert_eq!(
            times.covered(100),
            TimeRange {
                start_ms: 0,
                end_ms: 250
            }
        );
    }

    #[test]
    fn a_pinned_selector_sees_the_same_window_at_every_step() {
        let times = StepTimes {
            first_ms: 60,
            step_ms: 0,
            n_steps: 3,
        };
        let rows: Vec<_> = windows(&[10, 50, 60, 70], times, 20).collect();
        assert_eq!(rows, [1..3, 1..3, 1..3]);
    }

    #[test]
    fn times_saturate_at_the_ends_of_time() {
        let times = StepTimes {
            first_ms: i64::MAX - 1,
            step_ms: 10,
            n_steps: 3,
        };
        assert_eq!(
            times.iter().collect::<Vec<_>>(),
            [i64::MAX - 1, i64::MAX, i64::MAX]
        );
        assert_eq!(
            windows(&[i64::MAX], times, i64::MAX).collect::<Vec<_>>(),
            [0..0, 0..1, 0..1]
        );
        assert_eq!(times.shifted(i64::MAX).first_ms, i64::MAX);
    }

    proptest! {
        #[test]
        fn two_pointers_find_what_a_search_of_every_window_finds(
            gaps in prop::collection::vec(1_i64..40, 0..200),
            first_ms in -50_i64..2_000,
            step_ms in 0_i64..700,
            n_steps in 0_usize..40,
            range_ms in 1_i64..900,
        ) {
            let timestamps: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let times = StepTimes { first_ms, step_ms, n_steps };
            let found: Vec<_> = windows(&timestamps, times, range_ms).collect();
            let expected: Vec<_> = times.iter().map(|end_ms| {
                let begin = timestamps.partition_point(|&t| t <= end_ms - range_ms);
                begin..timestamps.partition_point(|&t| t <= end_ms)
            }).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
