//! The points of a result.

use std::ops::Range;

use arrow_buffer::ScalarBuffer;
use model::TimestampMs;
use promql::kernel::window::StepTimes;

/// The points of the series of a result, by position.
#[derive(Debug)]
pub(crate) enum Points {
    /// At most one per step; absent ones are [`crate::rows::ABSENT`].
    Stepped {
        /// The times.
        steps: StepTimes,
        /// Values as the operators gave them, rows of `steps.n_steps`.
        parts: Vec<ScalarBuffer<f64>>,
        /// The part and the row in it of each series.
        rows: Vec<(u32, u32)>,
    },
    /// Samples with times of their own: `m[5m]`.
    Raw {
        /// Where the samples of each series lie.
        ranges: Vec<Range<usize>>,
        /// Their times.
        timestamps_ms: Vec<TimestampMs>,
        /// Their values.
        values: Vec<f64>,
    },
}

/// Either of two iterators over the same item.
enum Either<A, B> {
    First(A),
    Second(B),
}

impl Points {
    /// The points of one series, ascending in time.
    pub(crate) fn of_series(&self, series_idx: usize) -> impl Iterator<Item = (TimestampMs, f64)> + '_ {
        match self {
            Self::Stepped { steps, parts, rows } => {
                let (part, row) = rows[series_idx];
                let start = row as usize * steps.n_steps;
                let row = &parts[part as usize][start..start + steps.n_steps];
                let points = row.iter().enumerate();
                Either::First(
                    points
                        .filter(|(_, value)| !crate::rows::is_absent(**value))
                        .map(|(step, &value)| (steps.at(step), value)),
                )
            }
            Self::Raw {
                ranges,
                timestamps_ms,
                values,
            } => {
                let range = ranges[series_idx].clone();
                let times = timestamps_ms[range.clone()].iter().copied();
                Either::Second(times.zip(values[range].iter().copied()))
            }
        }
    }
}

impl<A, B, T> Iterator for Either<A, B>
where
    A: Iterator<Item = T>,
    B: Iterator<Item = T>,
{
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self {
            Self::First(first) => first.next(),
            Self::Second(second) => second.next(),
        }
    }
}
