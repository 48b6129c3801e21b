//! The parameters of aggregations, which Prometheus judges over all steps at once: it looks at the least and the
//! greatest, and a NaN hides every other value from it, except an infinite one.

use super::quantile::is_invalid_quantile;

/// What is known of the parameters of all steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    least: f64,
    greatest: f64,
    has_nan: bool,
}

/// Why the parameters of topk, bottomk or limitk cannot be used. The texts are Prometheus'.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CountParameterError {
    /// Not a number.
    #[error("Parameter value is NaN")]
    NotANumber,
    /// Too small for an integer of 64 bits.
    #[error("Scalar value {} underflows int64", general(*.0))]
    Underflow(f64),
    /// Too large for an integer of 64 bits.
    #[error("Scalar value {} overflows int64", general(*.0))]
    Overflow(f64),
}

impl Parameters {
    /// Looks at the parameters of all steps.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let has_nan = values.iter().any(|value| value.is_nan());
        let extreme = |start: f64, choose: fn(f64, f64) -> f64| {
            let found = values.iter().copied().fold(start, choose);
            if has_nan && found.is_finite() {
                f64::NAN
            } else {
                found
            }
        };
        Self {
            least: extreme(f64::MAX, f64::min),
            greatest: extreme(f64::MIN, f64::max),
            has_nan,
        }
    }

    /// The least; NaN if one is NaN and none −∞.
    #[must_use]
    pub fn least(&self) -> f64 {
        self.least
    }

    /// The greatest; NaN if one is NaN and none +∞.
    #[must_use]
    pub fn greatest(&self) -> f64 {
        self.greatest
    }

    /// True if one is NaN.
    #[must_use]
    pub fn has_nan(&self) -> bool {
        self.has_nan
    }

    /// The φ of `quantile` that there is a warning about, at most three.
    pub fn invalid_quantiles(&self) -> impl Iterator<Item = f64> {
        let nan = self.has_nan.then_some(f64::NAN);
        let is_below = |phi: &f64| *phi < 0.0;
        let below = Some(self.least).filter(is_below);
        let above =
            Some(self.greatest).filter(|phi| is_invalid_quantile(*phi) && !phi.is_nan() && !is_below(phi));
        [nan, above, below].into_iter().flatten()
    }

    /// True if `topk`, `bottomk` or `limitk` keeps something at some step; if not, the result is empty.
    ///
    /// # Errors
    /// If one of them is no k, and some step may keep something.
    pub fn keeps_any(&self) -> Result<bool, CountParameterError> {
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        if self.greatest < 1.0 {
            Ok(false)
        } else if self.has_nan {
            Err(CountParameterError::NotANumber)
        } else if self.least <= -LIMIT {
            Err(CountParameterError::Underflow(self.least))
        } else if self.greatest >= LIMIT {
            Err(CountParameterError::Overflow(self.greatest))
        } else {
            Ok(true)
        }
    }
}

/// The k of one step, once [`Parameters::keeps_any`] has let it pass: truncated, 0 if nothing is to be kept.
#[must_use]
pub fn kept_count(parameter: f64) -> usize {
    // Truncates towards zero and takes negative numbers to 0.
    parameter as usize
}

fn general(value: f64) -> String {
    let mut text = String::new();
    model::number::push_exposition_float(&mut text, value);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_is_truncated_and_must_be_an_integer_of_64_bits() {
        assert_eq!([2.9, 0.9, -3.0].map(kept_count), [2, 0, 0]);
        let keeps = |values: &[f64]| {
            Parameters::of(values)
                .keeps_any()
                .map_err(|error| error.to_string())
        };
        assert_eq!(keeps(&[0.5, 2.0]), Ok(true));
        assert_eq!(keeps(&[0.5, -1e30]), Ok(false));
        assert_eq!(keeps(&[0.5, f64::NAN]), Err("Parameter value is NaN".to_owned()));
        assert_eq!(
            keeps(&[f64::INFINITY]),
            Err("Scalar value +Inf overflows int64".to_owned())
        );
        assert_eq!(
            keeps(&[1.0, -1e30]),
            Err("Scalar value -1e+30 underflows int64".to_owned())
        );
    }

    #[test]
    fn of_invalid_quantiles_the_extremes_are_named_unless_one_is_nan() {
        let named = |values: &[f64]| -> Vec<String> {
            Parameters::of(values).invalid_quantiles().map(general).collect()
        };
        assert!(named(&[0.0, 0.5, 1.0]).is_empty());
        assert_eq!(named(&[2.0, 3.0]), ["3"]);
        assert_eq!(named(&[-2.0, -3.0]), ["-3"]);
        assert_eq!(named(&[2.0, -3.0]), ["2", "-3"]);
        assert_eq!(named(&[f64::NAN, 5.0]), ["NaN"]);
        assert_eq!(named(&[f64::INFINITY, f64::NAN]), ["NaN", "+Inf"]);
        assert!(named(&[]).is_empty());
    }
}
