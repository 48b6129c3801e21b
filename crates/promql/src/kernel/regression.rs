//! Least squares over a window: `deriv` and `predict_linear`.

use model::TimestampMs;

use super::sum::KahanSum;

/// A straight line through the samples of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    /// Per second.
    slope: f64,
    /// At the time that was given as origin.
    intercept: f64,
}

/// `deriv`: the slope per second; `None` with fewer than two samples.
#[must_use]
pub fn deriv(timestamps_ms: &[TimestampMs], values: &[f64]) -> Option<f64> {
    // Times are taken relative to the first sample, because large ones would cost precision.
    Some(fit(timestamps_ms, values, *timestamps_ms.first()?)?.slope)
}

/// `predict_linear`: the line's value `ahead` seconds after `evaluation_ms`; `None` with fewer than two samples.
#[must_use]
pub fn predict_linear(
    timestamps_ms: &[TimestampMs],
    values: &[f64],
    evaluation_ms: TimestampMs,
    ahead: f64,
) -> Option<f64> {
    let line = fit(timestamps_ms, values, evaluation_ms)?;
    Some(line.slope * ahead + line.intercept)
}

/// The line of least squares. Equal values give exactly slope 0, equal infinities NaN.
fn fit(timestamps_ms: &[TimestampMs], values: &[f64], origin_ms: TimestampMs) -> Option<Line> {
    let (&first, rest) = values.split_first()?;
    if rest.is_empty() {
        return None;
    }
    if rest.iter().all(|&value| value == first) {
        return Some(constant(first));
    }
    let [mut sum_x, mut sum_y, mut sum_xy, mut sum_xx] = [KahanSum::default(); 4];
    for (&timestamp_ms, &y) in timestamps_ms.iter().zip(values) {
        let x = timestamp_ms.wrapping_sub(origin_ms) as f64 / 1e3;
        sum_x.add(x);
        sum_y.add(y);
        sum_xy.add(x * y);
        sum_xx.add(x * x);
    }
    let n = values.len() as f64;
    let (x, y) = (sum_x.value(), sum_y.value());
    let covariance = sum_xy.value() - x * y / n;
    let variance = sum_xx.value() - x * x / n;
    let slope = covariance / variance;
    let intercept = y / n - slope * x / n;
    Some(Line { slope, intercept })
}

fn constant(value: f64) -> Line {
    if value.is_infinite() {
        Line {
            slope: f64::NAN,
            intercept: f64::NAN,
        }
    } else {
        Line {
            slope: 0.0,
            intercept: value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counter of Prometheus' functions.test: a sample every five minutes, a reset in the middle.
    fn counter() -> (Vec<i64>, Vec<f64>) {
        let values = [0.0, 10.0, 20.0, 30.0, 40.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0];
        ((0..11).map(|row| row * 300_000).collect(), values.to_vec())
    }

    fn assert_close(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
    }

    #[test]
    fn the_slope_is_that_of_least_squares() {
        let (timestamps, values) = counter();
        assert_close(deriv(&timestamps, &values), 0.010606060606060607);
        assert_eq!(deriv(&timestamps[..1], &values[..1]), None);
    }

    #[test]
    fn predictions_start_at_the_evaluation_time() {
        let (timestamps, values) = counter();
        assert_close(
            predict_linear(&timestamps, &values, 3_000_000, 3600.0),
            76.81818181818181,
        );
        assert_close(
            predict_linear(&timestamps, &values, 600_000, 3600.0),
            51.36363636363637,
        );
        assert_close(
            predict_linear(&timestamps[1..], &values[1..], 3_000_000, 3600.0),
            70.0,
        );
    }

    #[test]
    fn equal_values_have_no_slope_and_infinite_ones_no_line() {
        assert_eq!(deriv(&[0, 7, 9], &[0.3, 0.3, 0.3]), Some(0.0));
        assert_eq!(predict_linear(&[0, 7], &[0.3, 0.3], 100, 50.0), Some(0.3));
        assert!(deriv(&[0, 7], &[f64::INFINITY; 2]).unwrap().is_nan());
        assert!(
            deriv(&[0, 7, 9], &[f64::NEG_INFINITY, 1.0, f64::INFINITY])
                .unwrap()
                .is_nan()
        );
    }
}
