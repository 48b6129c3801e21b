//! The points of a result.

use std::ops::Range;
use std::sync::Arc;

use arrow_buffer::ScalarBuffer;
use model::{FloatHistogram, TimestampMs};
use promql::kernel::window::StepTimes;

use crate::batch::{HistogramAt, HistogramColumn};

/// The points of the series of a result, by position.
#[derive(Debug)]
pub(crate) enum Points {
    /// At most one per step; absent ones are [`crate::rows::ABSENT`].
    Stepped {
        /// The times.
        steps: StepTimes,
        /// Values as the operators gave them.
        parts: Vec<Part>,
        /// The part and the row in it of each series.
        rows: Vec<(u32, u32)>,
    },
    /// Samples with times of their own: `m[5m]`.
    Raw {
        /// Where the samples of each series lie.
        ranges: Vec<Range<usize>>,
        /// Their times.
        timestamps_ms: Vec<TimestampMs>,
        /// Their values; [`crate::rows::ABSENT`] for a histogram.
        values: Vec<f64>,
        /// Histograms by position of their time, ascending.
        histograms: Vec<(usize, Arc<FloatHistogram>)>,
    },
}

/// The values of a batch.
#[derive(Debug)]
pub(crate) struct Part {
    /// Rows of one value per step.
    pub(crate) values: ScalarBuffer<f64>,
    /// Those of the same rows.
    pub(crate) histograms: Option<Arc<HistogramColumn>>,
}

/// Either of two iterators over the same item.
enum Either<A, B> {
    First(A),
    Second(B),
}

impl Points {
    /// The floats of one series, ascending in time.
    pub(crate) fn of_series(&self, series_idx: usize) -> impl Iterator<Item = (TimestampMs, f64)> + '_ {
        match self {
            Self::Stepped { steps, parts, rows } => {
                let (part, row) = rows[series_idx];
                let start = row as usize * steps.n_steps;
                let row = &parts[part as usize].values[start..start + steps.n_steps];
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
                ..
            } => {
                let range = ranges[series_idx].clone();
                let times = timestamps_ms[range.clone()].iter().copied();
                let samples = times.zip(values[range].iter().copied());
                Either::Second(samples.filter(|(_, value)| !crate::rows::is_absent(*value)))
            }
        }
    }

    /// The histograms of one series, ascending in time.
    pub(crate) fn histograms_of_series(
        &self,
        series_idx: usize,
    ) -> impl Iterator<Item = (TimestampMs, &FloatHistogram)> + '_ {
        match self {
            Self::Stepped { steps, parts, rows } => {
                let (part, row) = rows[series_idx];
                let histograms = parts[part as usize].histograms.as_ref();
                let cells = histograms.map_or(&[][..], |histograms| histograms.row(row as usize));
                let time = |cell: &HistogramAt| steps.at(cell.step as usize);
                Either::First(cells.iter().map(move |cell| (time(cell), &*cell.value)))
            }
            Self::Raw {
                ranges,
                timestamps_ms,
                histograms,
                ..
            } => {
                let range = &ranges[series_idx];
                let place = |end: usize| histograms.partition_point(|(position, _)| *position < end);
                let own = &histograms[place(range.start)..place(range.end)];
                Either::Second(
                    own.iter()
                        .map(|(position, value)| (timestamps_ms[*position], &**value)),
                )
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
