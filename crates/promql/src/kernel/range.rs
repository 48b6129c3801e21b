//! Every function of a range vector behind one entry.

use crate::function::FunctionId;
use crate::number::fixed;

use super::over_time as over;
use super::quantile::quantile;
use super::rate::{Extrapolation, RateKind, counter_increase, instant_delta};
use super::regression;
use super::window::Window;

/// A function of a window, with its scalar parameters. Cheap to make anew for every step, as scalar parameters may
/// change from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RangeFunction {
    /// `rate`, `increase`, `delta`. Faster for whole streams: [`super::rate::StreamRate`].
    Extrapolated(RateKind),
    /// `irate`.
    Irate,
    /// `idelta`.
    Idelta,
    /// `avg_over_time`.
    Avg,
    /// `min_over_time`.
    Min,
    /// `max_over_time`.
    Max,
    /// `sum_over_time`.
    Sum,
    /// `count_over_time`.
    Count,
    /// `last_over_time`.
    Last,
    /// `first_over_time`.
    First,
    /// `present_over_time`: 1 for any sample. `absent_over_time` is its complement over all series of the selector.
    Present,
    /// `quantile_over_time` of φ. A φ outside of 0 to 1 deserves a warning.
    Quantile(f64),
    /// `stddev_over_time`.
    Stddev,
    /// `stdvar_over_time`.
    Stdvar,
    /// `mad_over_time`.
    Mad,
    /// `changes`.
    Changes,
    /// `resets`.
    Resets,
    /// `deriv`.
    Deriv,
    /// `predict_linear` by so many seconds from the evaluation time.
    PredictLinear(f64),
    /// `double_exponential_smoothing`.
    DoubleExponentialSmoothing {
        /// Between 0 and 1, exclusive.
        smoothing: f64,
        /// Between 0 and 1, exclusive.
        trend: f64,
    },
    /// `ts_of_min_over_time`.
    TimeOfMin,
    /// `ts_of_max_over_time`.
    TimeOfMax,
    /// `ts_of_first_over_time`.
    TimeOfFirst,
    /// `ts_of_last_over_time`.
    TimeOfLast,
}

/// Why there is no such function of a window.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeFunctionError {
    /// Not a function of a range vector.
    #[error("{0:?} is not a function of a range vector")]
    NotOfRange(FunctionId),
    /// The list of scalar parameters is too short.
    #[error("{0:?} needs more scalar parameters")]
    MissingParameter(FunctionId),
    /// The smoothing factor of `double_exponential_smoothing` is out of bounds.
    #[error("invalid smoothing factor. Expected: 0 < sf < 1, got: {}", fixed(*.0))]
    SmoothingFactor(f64),
    /// The trend factor of `double_exponential_smoothing` is out of bounds.
    #[error("invalid trend factor. Expected: 0 < tf < 1, got: {}", fixed(*.0))]
    TrendFactor(f64),
}

impl RangeFunction {
    /// The function of that id; `parameters` are its scalar arguments in order of writing.
    ///
    /// # Errors
    /// [`RangeFunctionError::NotOfRange`] and [`RangeFunctionError::MissingParameter`] are mistakes of the caller; the
    /// others are the query's and fail it, but only once a window with samples is met.
    pub fn new(id: FunctionId, parameters: &[f64]) -> Result<Self, RangeFunctionError> {
        let parameter = |position: usize| {
            let value = parameters.get(position).copied();
            value.ok_or(RangeFunctionError::MissingParameter(id))
        };
        Ok(match id {
            FunctionId::Rate => Self::Extrapolated(RateKind::Rate),
            FunctionId::Increase => Self::Extrapolated(RateKind::Increase),
            FunctionId::Delta => Self::Extrapolated(RateKind::Delta),
            FunctionId::Irate => Self::Irate,
            FunctionId::Idelta => Self::Idelta,
            FunctionId::AvgOverTime => Self::Avg,
            FunctionId::MinOverTime => Self::Min,
            FunctionId::MaxOverTime => Self::Max,
            FunctionId::SumOverTime => Self::Sum,
            FunctionId::CountOverTime => Self::Count,
            FunctionId::LastOverTime => Self::Last,
            FunctionId::FirstOverTime => Self::First,
            FunctionId::PresentOverTime | FunctionId::AbsentOverTime => Self::Present,
            FunctionId::QuantileOverTime => Self::Quantile(parameter(0)?),
            FunctionId::StddevOverTime => Self::Stddev,
            FunctionId::StdvarOverTime => Self::Stdvar,
            FunctionId::MadOverTime => Self::Mad,
            FunctionId::Changes => Self::Changes,
            FunctionId::Resets => Self::Resets,
            FunctionId::Deriv => Self::Deriv,
            FunctionId::PredictLinear => Self::PredictLinear(parameter(0)?),
            FunctionId::DoubleExponentialSmoothing => Self::smoothing(parameter(0)?, parameter(1)?)?,
            FunctionId::TsOfMinOverTime => Self::TimeOfMin,
            FunctionId::TsOfMaxOverTime => Self::TimeOfMax,
            FunctionId::TsOfFirstOverTime => Self::TimeOfFirst,
            FunctionId::TsOfLastOverTime => Self::TimeOfLast,
            other => return Err(RangeFunctionError::NotOfRange(other)),
        })
    }

    fn smoothing(smoothing: f64, trend: f64) -> Result<Self, RangeFunctionError> {
        // A NaN passes, as it does in Prometheus, and makes every result NaN.
        let out_of_bounds = |factor: f64| factor <= 0.0 || factor >= 1.0;
        if out_of_bounds(smoothing) {
            return Err(RangeFunctionError::SmoothingFactor(smoothing));
        }
        if out_of_bounds(trend) {
            return Err(RangeFunctionError::TrendFactor(trend));
        }
        Ok(Self::DoubleExponentialSmoothing { smoothing, trend })
    }

    /// True when the result keeps the name of the metric.
    #[must_use]
    pub fn keeps_name(&self) -> bool {
        matches!(self, Self::Last | Self::First)
    }

    /// The result for one window; `None` if it has none: too few samples.
    #[must_use]
    pub fn evaluate(&self, window: &Window<'_>) -> Option<f64> {
        let (timestamps_ms, values) = (window.timestamps_ms, window.values);
        let (&first, &last) = (values.first()?, values.last()?);
        let in_seconds = |timestamp_ms: i64| timestamp_ms as f64 / 1000.0;
        Some(match *self {
            Self::Extrapolated(kind) => extrapolated(kind, window)?,
            Self::Irate => instant_delta(true, timestamps_ms, values)?,
            Self::Idelta => instant_delta(false, timestamps_ms, values)?,
            Self::Avg => over::avg(values)?,
            Self::Min => over::min(values)?,
            Self::Max => over::max(values)?,
            Self::Sum => over::sum(values),
            Self::Count => values.len() as f64,
            Self::Last => last,
            Self::First => first,
            Self::Present => 1.0,
            Self::Quantile(phi) => quantile(phi, &mut values.to_vec()),
            Self::Stddev => over::variance(values)?.sqrt(),
            Self::Stdvar => over::variance(values)?,
            Self::Mad => over::median_absolute_deviation(values)?,
            Self::Changes => over::changes(values),
            Self::Resets => over::resets(values),
            Self::Deriv => regression::deriv(timestamps_ms, values)?,
            Self::PredictLinear(ahead) => {
                regression::predict_linear(timestamps_ms, values, window.evaluation_ms, ahead)?
            }
            Self::DoubleExponentialSmoothing { smoothing, trend } => {
                over::double_exponential_smoothing(values, smoothing, trend)?
            }
            Self::TimeOfMin => in_seconds(timestamps_ms[over::row_of_min(values)?]),
            Self::TimeOfMax => in_seconds(timestamps_ms[over::row_of_max(values)?]),
            Self::TimeOfFirst => in_seconds(*timestamps_ms.first()?),
            // Prometheus takes the later of the last float and the last histogram, and 0 for what is not there.
            Self::TimeOfLast => in_seconds((*timestamps_ms.last()?).max(0)),
        })
    }
}

fn extrapolated(kind: RateKind, window: &Window<'_>) -> Option<f64> {
    let extrapolation = Extrapolation::new(kind, window.timestamps_ms, window.range)?;
    let (&first, &last) = (window.values.first()?, window.values.last()?);
    let increase = if kind.is_counter() {
        counter_increase(window.values)
    } else {
        last - first
    };
    Some(extrapolation.apply(first, increase))
}

#[cfg(test)]
mod tests;
