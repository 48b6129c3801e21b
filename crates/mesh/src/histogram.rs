//! A classic histogram as Envoy keeps it.

use rand::{Rng, RngExt};
use rand_distr::{Binomial, Distribution, LogNormal};

/// Upper bounds of Istio's histograms, for milliseconds and bytes alike; the last bucket is `+Inf`.
pub(crate) const ISTIO_BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10000.0,
    30000.0,
    60000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// The texts of `le`, as Prometheus 3 writes them.
pub(crate) const ISTIO_LE: [&str; 20] = [
    "0.5", "1.0", "5.0", "10.0", "25.0", "50.0", "100.0", "250.0", "500.0", "1000.0", "2500.0", "5000.0",
    "10000.0", "30000.0", "60000.0", "300000.0", "600000.0", "1.8e+06", "3.6e+06", "+Inf",
];

/// Requests drawn one by one; above that, counts per bucket are drawn.
const DRAWN_SINGLY_MAX: u64 = 48;

/// Counts per bucket and the sum of what was observed, where values are log-normal.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: [u64; 20],
    sum: f64,
    values: LogNormal<f64>,
    /// Share of values in each bucket.
    shares: [f64; 20],
    mean: f64,
}

impl Histogram {
    /// An empty histogram of values with this median; `sigma` is the spread of their logarithm.
    pub(crate) fn new(median: f64, sigma: f64) -> Self {
        let mu = median.ln();
        let values = LogNormal::new(mu, sigma).expect("sigma is finite and positive");
        let mut shares = [0.0; 20];
        let mut below = 0.0;
        for (share, bound) in shares
            .iter_mut()
            .zip(ISTIO_BOUNDS.iter().copied().chain([f64::INFINITY]))
        {
            let cumulative = normal_cdf((bound.ln() - mu) / sigma);
            *share = (cumulative - below).max(0.0);
            below = cumulative;
        }
        Self {
            counts: [0; 20],
            sum: 0.0,
            values,
            shares,
            mean: (mu + sigma * sigma / 2.0).exp(),
        }
    }

    /// Observes `n` more values.
    pub(crate) fn observe(&mut self, n: u64, rng: &mut impl Rng) {
        if n <= DRAWN_SINGLY_MAX {
            for _ in 0..n {
                let value = two_digits(self.values.sample(rng));
                let bucket = ISTIO_BOUNDS
                    .iter()
                    .position(|bound| value <= *bound)
                    .unwrap_or(19);
                self.counts[bucket] += 1;
                self.sum += value;
            }
            return;
        }
        let mut rest = n;
        let mut rest_share = 1.0;
        for (count, share) in self.counts.iter_mut().zip(self.shares) {
            if rest == 0 || rest_share <= 0.0 {
                break;
            }
            let p = (share / rest_share).clamp(0.0, 1.0);
            let drawn = Binomial::new(rest, p).expect("p is a share").sample(rng);
            *count += drawn;
            rest -= drawn;
            rest_share -= share;
        }
        self.counts[19] += rest;
        let noise = 1.0 + (rng.random::<f64>() - 0.5) * 0.1;
        self.sum += two_digits(self.mean * noise) * n as f64;
    }

    /// Forgets everything, as a restarted proxy does.
    pub(crate) fn reset(&mut self) {
        self.counts = [0; 20];
        self.sum = 0.0;
    }

    /// Cumulative counts, as exposed; the last one is the count of all values.
    pub(crate) fn cumulative(&self) -> [f64; 20] {
        let mut total = 0;
        self.counts.map(|count| {
            total += count;
            total as f64
        })
    }

    /// Sum of all values.
    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }
}

/// Envoy keeps values in bins of two significant digits and reports a bin's middle.
fn two_digits(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let unit = 10f64.powi(value.log10().floor() as i32 - 1);
    (value / unit).floor() * unit + unit / 2.0
}

/// Share of a standard normal distribution below `z`; absolute error under 1e-7 (Abramowitz and Stegun 7.1.26).
fn normal_cdf(z: f64) -> f64 {
    if z.is_infinite() {
        return if z > 0.0 { 1.0 } else { 0.0 };
    }
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - series * (-x * x).exp();
    if z > 0.0 {
        (1.0 + erf) / 2.0
    } else {
        (1.0 - erf) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn buckets_grow_together_with_the_count_whether_few_or_many_are_observed() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut histogram = Histogram::new(20.0, 1.0);
        for n in [3, 40, 500, 100_000] {
            let before = histogram.cumulative();
            let sum_before = histogram.sum();
            histogram.observe(n, &mut rng);
            let after = histogram.cumulative();
            assert_eq!(after[19] - before[19], n as f64);
            assert!(after.is_sorted());
            let mean = (histogram.sum() - sum_before) / n as f64;
            assert!((1.0..300.0).contains(&mean), "mean {mean}");
        }
        let share_below_25 = histogram.cumulative()[4] / histogram.cumulative()[19];
        assert!((0.55..0.62).contains(&share_below_25), "{share_below_25}");
    }
}
