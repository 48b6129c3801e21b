//! From the samples of one series to one value per step.
//!
//! Series that share their timestamps, as the lanes of a stream do, share the search for windows and, for `rate` and
//! its kin, the extrapolation: [`LaneEvaluator::prepare`] does that once. A series that lacks samples of its stream, or
//! has staleness markers, is copied out and treated as a stream of its own.

use std::ops::Range;

use model::{TimeRange, TimestampMs, is_stale_nan};
use promql::kernel::native::Extension;
use promql::kernel::range::{RangeFunction, RangeFunctionError};
use promql::kernel::rate::{DenseLane, RateKind, StreamRate};
use promql::kernel::window::{StepTimes, Window, windows};

use crate::QueryError;
use crate::context::{Limits, Patience};
use crate::rows::ABSENT;

/// What is computed from the samples of a series, and for which steps.
#[derive(Debug)]
pub(crate) struct LaneFunction {
    /// What.
    pub(crate) kind: LaneFunctionKind,
    /// How far each step looks back: the lookback of an instant selector or the range of a window.
    pub(crate) window_ms: i64,
    /// When the expression is evaluated.
    pub(crate) evaluation: StepTimes,
    /// Where each step looks: the same with offset and `@` applied.
    pub(crate) times: StepTimes,
    /// What it sees outside of that: `anchored` or `smoothed`.
    pub(crate) beyond: Option<Beyond>,
    /// Start timestamps of samples count.
    pub(crate) uses_starts: bool,
    /// Only the count and the sum of native histograms will be asked for.
    pub(crate) skips_buckets: bool,
}

/// What an extended selector sees outside of its windows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beyond {
    /// What it is for.
    pub(crate) extension: Extension,
    /// How far before each window.
    pub(crate) before_ms: i64,
    /// How far behind it.
    pub(crate) after_ms: i64,
}

/// The kinds of function.
#[derive(Debug)]
pub(crate) enum LaneFunctionKind {
    /// The newest sample, if it is no staleness marker.
    Newest,
    /// Its time in seconds.
    NewestTime,
    /// Its start timestamp in seconds, 0 if it has none.
    NewestStart,
    /// Its time in seconds; no time but NaN if it is a histogram.
    NewestFloatTime,
    /// The value that a line between the samples around a step has there.
    Smoothed,
    /// `rate`, `increase` or `delta`.
    Rate(RateKind),
    /// Another function of a window: of each step, or one for all steps. An error only counts where there are samples.
    Window(Vec<Result<RangeFunction, RangeFunctionError>>),
}

/// Evaluates one series after the other. Keeps its buffers.
#[derive(Debug)]
pub(crate) struct LaneEvaluator {
    /// The windows of the prepared timestamps.
    windows: Vec<Range<usize>>,
    /// The windows of a series of its own.
    own_windows: Vec<Range<usize>>,
    own: DenseLane,
    /// True when the windows, or rates, of a series of its own are those of the timestamps in `own` and of these steps.
    is_own_prepared: bool,
    rates: Option<Rates>,
    row: Vec<f64>,
    patience: Patience,
}

#[derive(Debug)]
struct Rates {
    shared: StreamRate,
    own: StreamRate,
}

impl LaneFunction {
    /// The samples that all steps together look at.
    pub(crate) fn range(&self) -> TimeRange {
        let (times, window_ms) = self.seen();
        times.covered(window_ms)
    }

    /// The ends of the windows that samples are read for, and their length.
    pub(crate) fn seen(&self) -> (StepTimes, i64) {
        match self.beyond {
            None => (self.times, self.window_ms),
            Some(beyond) => {
                let around_ms = beyond.before_ms.saturating_add(beyond.after_ms);
                let times = self.times.shifted(beyond.after_ms);
                (times, self.window_ms.saturating_add(around_ms))
            }
        }
    }

    /// The same of some steps only; `None` for what has to see more than floats.
    pub(crate) fn of_steps(&self, steps: Range<usize>) -> Option<Self> {
        use LaneFunctionKind::{Newest, NewestFloatTime, NewestTime, Rate, Window};
        let kind = match &self.kind {
            Newest => Newest,
            NewestTime => NewestTime,
            NewestFloatTime => NewestFloatTime,
            Rate(kind) => Rate(*kind),
            Window(functions) if functions.len() == 1 => Window(functions.clone()),
            Window(functions) => Window(functions.get(steps.clone())?.to_vec()),
            LaneFunctionKind::NewestStart | LaneFunctionKind::Smoothed => return None,
        };
        Some(Self {
            kind,
            window_ms: self.window_ms,
            evaluation: self.evaluation.part(steps.clone()),
            times: self.times.part(steps),
            beyond: self.beyond,
            uses_starts: self.uses_starts,
            skips_buckets: self.skips_buckets,
        })
    }

    /// True for an instant selector.
    pub(crate) fn is_newest(&self) -> bool {
        use LaneFunctionKind::{Newest, NewestFloatTime, NewestStart, NewestTime};
        matches!(self.kind, Newest | NewestTime | NewestStart | NewestFloatTime)
    }

    /// True when all steps look at the newest sample of the same window, and at no other.
    pub(crate) fn is_single_newest(&self) -> bool {
        // Without its buckets, a histogram says whether it is a reset, which takes the one before. Start timestamps come
        // with all samples only.
        let is_start = matches!(self.kind, LaneFunctionKind::NewestStart);
        let is_single = self.times.n_steps == 1 || self.times.step_ms == 0;
        is_single && self.is_newest() && !is_start && !self.skips_buckets
    }

    /// What a newest sample that is no staleness marker comes to.
    pub(crate) fn of_newest(&self, timestamp_ms: TimestampMs, value: f64) -> f64 {
        match self.kind {
            LaneFunctionKind::NewestTime | LaneFunctionKind::NewestFloatTime => seconds(timestamp_ms),
            _ => value,
        }
    }

    /// True when a sample is to be left out before windows are looked at. To an instant selector a staleness marker is
    /// the sample that ends the series; a window skips it.
    pub(crate) fn skips(&self, value: f64) -> bool {
        is_stale_nan(value) && !self.is_newest()
    }
}

impl LaneEvaluator {
    /// An evaluator with empty buffers.
    pub(crate) fn new(function: &LaneFunction, limits: &Limits) -> Self {
        let rates = match function.kind {
            LaneFunctionKind::Rate(kind) => Some(Rates {
                shared: StreamRate::new(kind),
                own: StreamRate::new(kind),
            }),
            _ => None,
        };
        Self {
            windows: Vec::new(),
            own_windows: Vec::new(),
            own: DenseLane::default(),
            is_own_prepared: false,
            rates,
            row: vec![ABSENT; function.evaluation.n_steps],
            patience: Patience::new(limits),
        }
    }

    /// Looks at the timestamps that the next series share. Returns the number of samples in all windows.
    pub(crate) fn prepare(&mut self, function: &LaneFunction, timestamps_ms: &[TimestampMs]) -> usize {
        // What series of their own have prepared may have been for other steps.
        self.is_own_prepared = false;
        if let Some(Rates { shared, .. }) = &mut self.rates {
            shared.prepare(timestamps_ms, function.times, function.window_ms);
            return shared.n_in_windows();
        }
        let windows = windows(timestamps_ms, function.times, function.window_ms);
        self.windows.clear();
        self.windows.extend(windows);
        self.windows.iter().map(ExactSizeIterator::len).sum()
    }

    fn begin_row(&mut self, function: &LaneFunction) {
        self.row.clear();
        self.row.resize(function.evaluation.n_steps, ABSENT);
    }

    /// The row of a series with a sample at every prepared timestamp. Fails where a function of a window does.
    pub(crate) fn shared(
        &mut self,
        function: &LaneFunction,
        timestamps_ms: &[TimestampMs],
        values: &[f64],
    ) -> Result<&[f64], QueryError> {
        self.begin_row(function);
        match &mut self.rates {
            Some(rates) => rates.shared.lane_into(values, &mut self.row),
            None => {
                let (row, patience) = (&mut self.row, &mut self.patience);
                evaluate(function, (timestamps_ms, values), &self.windows, row, patience)?;
            }
        }
        Ok(&self.row)
    }

    /// The row of a series that has samples at some of the timestamps: where `is_present(row)`, which is asked for each
    /// row in order. Also gives the number of samples in all windows.
    pub(crate) fn own(
        &mut self,
        function: &LaneFunction,
        timestamps_ms: &[TimestampMs],
        values: &[f64],
        mut is_present: impl FnMut(usize) -> bool,
    ) -> Result<(&[f64], usize), QueryError> {
        self.begin_row(function);
        let keep = |row, value| is_present(row) && !function.skips(value);
        // The lanes of a stream mostly lack the same rows.
        let is_other = self.own.fill(timestamps_ms, values, keep) || !self.is_own_prepared;
        self.is_own_prepared = true;
        let (timestamps_ms, values) = (&self.own.timestamps_ms, &self.own.values);
        if let Some(Rates { own, .. }) = &mut self.rates {
            if is_other {
                own.prepare(timestamps_ms, function.times, function.window_ms);
            }
            own.lane_into(values, &mut self.row);
            return Ok((&self.row, own.n_in_windows()));
        }
        if is_other {
            let windows = windows(timestamps_ms, function.times, function.window_ms);
            self.own_windows.clear();
            self.own_windows.extend(windows);
        }
        let (row, patience) = (&mut self.row, &mut self.patience);
        evaluate(
            function,
            (timestamps_ms, values),
            &self.own_windows,
            row,
            patience,
        )?;
        let n_in_windows = self.own_windows.iter().map(ExactSizeIterator::len).sum();
        Ok((&self.row, n_in_windows))
    }
}

/// One value per step from the samples of one series; steps without one are left alone.
fn evaluate(
    function: &LaneFunction,
    (timestamps_ms, values): (&[TimestampMs], &[f64]),
    windows: &[Range<usize>],
    row: &mut [f64],
    patience: &mut Patience,
) -> Result<(), QueryError> {
    let steps = windows.iter().zip(row).enumerate();
    let steps = steps.filter(|(_, (rows, _))| !rows.is_empty());
    match &function.kind {
        LaneFunctionKind::Newest => {
            for (_, (rows, value)) in steps {
                // A staleness marker has the bits of an absent value, which is what it means here.
                *value = values[rows.end - 1];
            }
        }
        LaneFunctionKind::NewestTime | LaneFunctionKind::NewestFloatTime => {
            for (_, (rows, value)) in steps {
                if !is_stale_nan(values[rows.end - 1]) {
                    *value = seconds(timestamps_ms[rows.end - 1]);
                }
            }
        }
        LaneFunctionKind::NewestStart => {
            // Series with starts are evaluated elsewhere.
            for (_, (rows, value)) in steps {
                if !is_stale_nan(values[rows.end - 1]) {
                    *value = 0.0;
                }
            }
        }
        LaneFunctionKind::Window(functions) => {
            for (step, (rows, value)) in steps {
                patience.spend(rows.len())?;
                let range = TimeRange::ending_at(function.times.at(step), function.window_ms);
                let evaluation_ms = function.evaluation.at(step);
                let window = Window::of_rows(timestamps_ms, values, rows.clone(), range, evaluation_ms);
                *value = function_of_step(functions, step)?
                    .evaluate(&window)
                    .unwrap_or(ABSENT);
            }
        }
        LaneFunctionKind::Rate(_) => return Err(QueryError::internal("rates are computed per stream")),
        LaneFunctionKind::Smoothed => {
            return Err(QueryError::internal(
                "extended ranges are evaluated with both kinds of sample",
            ));
        }
    }
    Ok(())
}

/// The function of a step, of a list that has one per step or one for all.
pub(crate) fn function_of_step(
    functions: &[Result<RangeFunction, RangeFunctionError>],
    step: usize,
) -> Result<RangeFunction, QueryError> {
    let function = match functions {
        [only] => *only,
        _ => functions[step],
    };
    function.map_err(|error| QueryError::execution(error.to_string()))
}

/// A time as PromQL sees it.
pub(crate) fn seconds(timestamp_ms: TimestampMs) -> f64 {
    timestamp_ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use promql::function::FunctionId;

    use super::*;

    const STEPS: StepTimes = StepTimes {
        first_ms: 100,
        step_ms: 10,
        n_steps: 2,
    };

    fn function(kind: LaneFunctionKind) -> LaneFunction {
        LaneFunction {
            kind,
            window_ms: 50,
            evaluation: STEPS,
            times: STEPS,
            beyond: None,
            uses_starts: false,
            skips_buckets: false,
        }
    }

    #[test]
    fn a_series_without_a_sample_has_none_of_the_stream_before() {
        let deviation = RangeFunction::new(FunctionId::StddevOverTime, &[]);
        let kinds = [
            LaneFunctionKind::Newest,
            LaneFunctionKind::Rate(RateKind::Rate),
            LaneFunctionKind::Window(vec![deviation]),
        ];
        let (timestamps_ms, values) = ([70, 80, 90], [1.0, 2.0, 4.0]);
        for function in kinds.map(function) {
            let limits = Limits::new(Instant::now(), Duration::from_secs(60), u64::MAX);
            let mut evaluator = LaneEvaluator::new(&function, &limits);
            evaluator.prepare(&function, &timestamps_ms);
            let is_present = |row| row != 1;
            let (row, n_samples) = evaluator
                .own(&function, &timestamps_ms, &values, is_present)
                .unwrap();
            assert!(row.iter().all(|value| !is_stale_nan(*value)), "{function:?}");
            assert_eq!(n_samples, 4);
            evaluator.prepare(&function, &timestamps_ms);
            let (row, n_samples) = evaluator
                .own(&function, &timestamps_ms, &values, |_| false)
                .unwrap();
            assert!(row.iter().all(|value| is_stale_nan(*value)), "{function:?}");
            assert_eq!(n_samples, 0);
        }
    }
}
