//! The functions of an instant vector that look at one float at a time.

use crate::function::FunctionId;

use super::date::Civil;
use super::math;

/// A function of one value, with its scalar parameters. Cheap to make anew for every step, as scalar parameters may
/// change from step to step.
#[derive(Debug, Clone, Copy)]
pub enum InstantFunction {
    /// Any function without parameters.
    Plain(fn(f64) -> f64),
    /// `round`, with the inverse of the multiple.
    Round {
        /// 1 / multiple.
        inverse: f64,
    },
    /// `clamp`, `clamp_min`, `clamp_max`; no result at all if `max < min`.
    Clamp {
        /// −Inf for `clamp_max`.
        min: f64,
        /// +Inf for `clamp_min`.
        max: f64,
    },
}

impl InstantFunction {
    /// The function of that id; `parameters` are its scalar arguments in order of writing. `None` if it is no function
    /// of single values or parameters are missing.
    ///
    /// Date functions take seconds since the epoch; without an argument they are called with `time()`.
    #[must_use]
    pub fn new(id: FunctionId, parameters: &[f64]) -> Option<Self> {
        Some(match (id, parameters) {
            (FunctionId::Round, []) => Self::Round { inverse: 1.0 },
            (FunctionId::Round, [to_nearest, ..]) => Self::Round {
                inverse: 1.0 / to_nearest,
            },
            (FunctionId::Clamp, &[min, max, ..]) => Self::Clamp { min, max },
            (FunctionId::ClampMin, &[min, ..]) => Self::Clamp {
                min,
                max: f64::INFINITY,
            },
            (FunctionId::ClampMax, &[max, ..]) => Self::Clamp {
                min: f64::NEG_INFINITY,
                max,
            },
            _ => Self::Plain(
                arithmetic(id)
                    .or_else(|| trigonometric(id))
                    .or_else(|| date(id))?,
            ),
        })
    }

    /// The result for one value; `None` if the function has none for any value.
    #[inline]
    #[must_use]
    pub fn evaluate(&self, value: f64) -> Option<f64> {
        match *self {
            Self::Plain(function) => Some(function(value)),
            Self::Round { inverse } => Some(math::round(value, inverse)),
            Self::Clamp { min, max } if max < min => None,
            Self::Clamp { min, max } => Some(math::max_of(min, math::min_of(max, value))),
        }
    }
}

fn arithmetic(id: FunctionId) -> Option<fn(f64) -> f64> {
    Some(match id {
        FunctionId::Abs => f64::abs,
        FunctionId::Ceil => f64::ceil,
        FunctionId::Floor => f64::floor,
        FunctionId::Exp => f64::exp,
        FunctionId::Sqrt => f64::sqrt,
        FunctionId::Ln => math::ln,
        FunctionId::Log2 => math::log2,
        FunctionId::Log10 => math::log10,
        FunctionId::Sgn => math::sign,
        _ => return None,
    })
}

fn trigonometric(id: FunctionId) -> Option<fn(f64) -> f64> {
    use std::f64::consts::PI;
    Some(match id {
        FunctionId::Sin => f64::sin,
        FunctionId::Cos => f64::cos,
        FunctionId::Tan => f64::tan,
        FunctionId::Asin => f64::asin,
        FunctionId::Acos => f64::acos,
        FunctionId::Atan => f64::atan,
        FunctionId::Sinh => math::sinh,
        FunctionId::Cosh => math::cosh,
        FunctionId::Tanh => f64::tanh,
        FunctionId::Asinh => math::asinh,
        FunctionId::Acosh => math::acosh,
        FunctionId::Atanh => math::atanh,
        // Not to_degrees and to_radians, whose single factor rounds differently.
        FunctionId::Deg => |value| value * 180.0 / PI,
        FunctionId::Rad => |value| value * PI / 180.0,
        _ => return None,
    })
}

fn date(id: FunctionId) -> Option<fn(f64) -> f64> {
    Some(match id {
        FunctionId::Year => |value| Civil::from_value(value).year as f64,
        FunctionId::Month => |value| f64::from(Civil::from_value(value).month),
        FunctionId::DayOfMonth => |value| f64::from(Civil::from_value(value).day),
        FunctionId::DayOfWeek => |value| f64::from(Civil::from_value(value).day_of_week),
        FunctionId::DayOfYear => |value| f64::from(Civil::from_value(value).day_of_year),
        FunctionId::DaysInMonth => |value| f64::from(Civil::from_value(value).days_in_month()),
        FunctionId::Hour => |value| f64::from(Civil::from_value(value).hour),
        FunctionId::Minute => |value| f64::from(Civil::from_value(value).minute),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;

    #[track_caller]
    fn check(id: FunctionId, parameters: &[f64], value: f64, expected: f64) {
        let found = InstantFunction::new(id, parameters)
            .unwrap()
            .evaluate(value)
            .unwrap();
        let is_close = (found - expected).abs() <= 1e-12 * expected.abs();
        assert!(
            found == expected || is_close || (found.is_nan() && expected.is_nan()),
            "{found} instead of {expected}"
        );
    }

    #[test]
    fn rounding_functions_follow_the_conformance_tests() {
        let values = [2.5, 2.0, -2.5, -2.0, 0.0, INF, -INF, NAN];
        let columns: [(FunctionId, [f64; 8]); 4] = [
            (FunctionId::Abs, [2.5, 2.0, 2.5, 2.0, 0.0, INF, INF, NAN]),
            (FunctionId::Ceil, [3.0, 2.0, -2.0, -2.0, 0.0, INF, -INF, NAN]),
            (FunctionId::Floor, [2.0, 2.0, -3.0, -2.0, 0.0, INF, -INF, NAN]),
            (FunctionId::Round, [3.0, 2.0, -2.0, -2.0, 0.0, INF, -INF, NAN]),
        ];
        for (id, expected) in columns {
            for (value, expected) in values.into_iter().zip(expected) {
                check(id, &[], value, expected);
            }
        }
        check(FunctionId::Round, &[0.1], -5.25, -5.2);
        check(FunctionId::Round, &[5.0], 9.0, 10.0);
    }

    #[test]
    fn clamps_pass_nan_on_and_vanish_when_crossed() {
        check(FunctionId::Clamp, &[-25.0, 75.0], -50.0, -25.0);
        check(FunctionId::Clamp, &[-25.0, 75.0], 100.0, 75.0);
        check(FunctionId::Clamp, &[0.0, NAN], 1.0, NAN);
        check(FunctionId::Clamp, &[NAN, 0.0], 1.0, NAN);
        check(FunctionId::ClampMax, &[75.0], 100.0, 75.0);
        check(FunctionId::ClampMin, &[-25.0], -50.0, -25.0);
        check(FunctionId::ClampMin, &[0.0], NAN, NAN);
        let crossed = InstantFunction::new(FunctionId::Clamp, &[5.0, -5.0]).unwrap();
        assert_eq!(crossed.evaluate(0.0), None);
    }

    #[test]
    fn exponentials_and_angles_follow_the_conformance_tests() {
        check(FunctionId::Exp, &[], 10.0, 22026.465794806718);
        check(FunctionId::Ln, &[], 10.0, std::f64::consts::LN_10);
        check(FunctionId::Ln, &[], 0.0, -INF);
        check(FunctionId::Ln, &[], -10.0, NAN);
        check(FunctionId::Sqrt, &[], 20.0, 4.47213595499958);
        check(FunctionId::Sin, &[], 10.0, -0.5440211108893699);
        check(FunctionId::Tan, &[], 20.0, 2.2371609442247427);
        check(FunctionId::Asin, &[], -0.1, -0.1001674211615598);
        check(FunctionId::Tanh, &[], 10.0, 0.9999999958776927);
        check(FunctionId::Deg, &[], 10.0, 572.9577951308232);
        check(FunctionId::Rad, &[], 10.0, 0.17453292519943295);
    }

    #[test]
    fn dates_are_in_utc() {
        check(FunctionId::Year, &[], 1136239445.0, 2006.0);
        check(FunctionId::Month, &[], 1136239445.0, 1.0);
        check(FunctionId::DayOfMonth, &[], 1136239445.0, 2.0);
        check(FunctionId::DayOfYear, &[], 1483191420.0, 366.0);
        check(FunctionId::DayOfWeek, &[], 0.0, 4.0);
        check(FunctionId::DaysInMonth, &[], 1454284800.0, 29.0);
        check(FunctionId::Hour, &[], 1136239445.0, 22.0);
        check(FunctionId::Minute, &[], 1136239445.0, 4.0);
    }

    #[test]
    fn functions_of_other_things_are_refused() {
        assert!(InstantFunction::new(FunctionId::Rate, &[]).is_none());
        assert!(InstantFunction::new(FunctionId::Clamp, &[1.0]).is_none());
        assert!(InstantFunction::new(FunctionId::Timestamp, &[]).is_none());
    }
}
