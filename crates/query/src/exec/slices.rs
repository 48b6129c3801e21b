//! Long ranges of time, a day after the other.
//!
//! A histogram of a month has 30 MB of samples: more than a processor keeps close, and memory by the length of the
//! range. So the steps of a long range are divided into *slices* of a day, and a stream is read and evaluated slice by
//! slice. Each sample is still read once: what the windows of a slice reach back to is kept from the slice before.
//! Days, because blocks end with them.
//!
//! Limits: a range is divided if it is longer than a day and its windows reach back a quarter of a day at most.

use std::ops::Range;

use model::{TimeRange, TimestampMs};
use storage::{LaneBuffer, Selection, StreamBuffer};

use super::lane::LaneFunction;
use crate::QueryError;

/// Length of a slice.
const SLICE_MS: i64 = 86_400_000;

/// Longest window of a range that is divided.
const WINDOW_MS_MAX: i64 = SLICE_MS / 4;

/// Some steps, and what is computed for them.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Which of all steps.
    pub(crate) steps: Range<usize>,
    /// The function, of these steps only.
    pub(crate) function: LaneFunction,
}

/// Reads one slice after the other of a stream.
#[derive(Debug, Default)]
pub(crate) struct SliceReader {
    /// The samples that the windows of a slice look at.
    pub(crate) buffer: StreamBuffer,
    /// Those that come after what is kept.
    later: StreamBuffer,
    /// Everything up to here has been read.
    read_to_ms: TimestampMs,
    /// Rows of `buffer` that were there in the slice before.
    n_kept: usize,
}

/// The slices of a function; none if it is better evaluated at once.
pub(crate) fn slices(function: &LaneFunction) -> Vec<Slice> {
    let times = function.times;
    let length_ms = times.last_ms().saturating_sub(times.first_ms);
    let is_long = length_ms > SLICE_MS && function.window_ms <= WINDOW_MS_MAX;
    if !is_long || function.beyond.is_some() {
        return Vec::new();
    }
    // A window has its end, and a block its beginning.
    let day = |step: usize| times.at(step).saturating_sub(1).div_euclid(SLICE_MS);
    let mut slices = Vec::new();
    let mut first = 0;
    while first < times.n_steps {
        let n_same = (first..times.n_steps)
            .take_while(|step| day(*step) == day(first))
            .count();
        let steps = first..first + n_same.max(1);
        first = steps.end;
        let Some(function) = function.of_steps(steps.clone()) else {
            return Vec::new();
        };
        slices.push(Slice { steps, function });
    }
    slices
}

impl SliceReader {
    /// Turns to another stream.
    pub(crate) fn begin(&mut self) {
        self.buffer.reset(0);
        self.read_to_ms = TimestampMs::MIN;
        self.n_kept = 0;
    }

    /// Reads on to a later slice.
    ///
    /// # Errors
    /// Damaged data.
    pub(crate) fn read(
        &mut self,
        selection: &dyn Selection,
        stream_idx: usize,
        range: TimeRange,
    ) -> Result<(), QueryError> {
        self.buffer.forget_until(range.start_ms);
        let start_ms = range.start_ms.max(self.read_to_ms);
        let range = TimeRange { start_ms, ..range };
        self.read_to_ms = range.end_ms;
        self.n_kept = self.buffer.timestamps_ms.len();
        if self.n_kept == 0 {
            selection.read(stream_idx, range, &mut self.buffer)?;
        } else {
            selection.read(stream_idx, range, &mut self.later)?;
            self.buffer.append(&self.later);
        }
        Ok(())
    }

    /// How many samples of a lane have come with this slice.
    pub(crate) fn n_new(&self, lane: &LaneBuffer) -> usize {
        let n_absent = lane.absent_rows.len()
            - lane
                .absent_rows
                .partition_point(|row| (*row as usize) < self.n_kept);
        self.buffer.timestamps_ms.len() - self.n_kept - n_absent
    }
}

#[cfg(test)]
mod tests {
    use promql::kernel::rate::RateKind;
    use promql::kernel::window::StepTimes;

    use super::*;
    use crate::exec::lane::LaneFunctionKind;

    fn rate(times: StepTimes, window_ms: i64) -> LaneFunction {
        LaneFunction {
            kind: LaneFunctionKind::Rate(RateKind::Rate),
            window_ms,
            evaluation: times.shifted(60_000),
            times,
            beyond: None,
            uses_starts: false,
            skips_buckets: false,
        }
    }

    #[test]
    fn a_slice_ends_with_the_window_that_ends_with_a_day() {
        let hour_ms = SLICE_MS / 24;
        let times = StepTimes {
            first_ms: 5 * SLICE_MS + hour_ms,
            step_ms: hour_ms,
            n_steps: 60,
        };
        let slices = slices(&rate(times, hour_ms));
        let steps: Vec<Range<usize>> = slices.iter().map(|slice| slice.steps.clone()).collect();
        assert_eq!(steps, [0..24, 24..48, 48..60]);
        let ranges: Vec<TimeRange> = slices.iter().map(|slice| slice.function.range()).collect();
        assert_eq!(ranges[0].end_ms, 6 * SLICE_MS);
        assert_eq!(ranges[1].start_ms, 6 * SLICE_MS);
        assert_eq!(slices[1].function.evaluation.at(0), times.at(24) + 60_000);
    }

    #[test]
    fn short_ranges_and_long_windows_are_not_divided() {
        let times = |n_steps| StepTimes {
            first_ms: 0,
            step_ms: SLICE_MS / 24,
            n_steps,
        };
        assert!(slices(&rate(times(24), 60_000)).is_empty());
        assert!(slices(&rate(times(200), SLICE_MS)).is_empty());
        let days = StepTimes {
            first_ms: 0,
            step_ms: 3 * SLICE_MS,
            n_steps: 4,
        };
        assert_eq!(slices(&rate(days, 60_000)).len(), 4);
    }
}
