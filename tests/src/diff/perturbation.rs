//! Alters replies on purpose: a comparison that does not notice is worth nothing.

use testkit::Chance;

use super::reply::Reply;
use super::stability::Stability;

/// Decides what is altered.
#[derive(Debug)]
pub struct Perturbation(Chance);

impl Perturbation {
    /// For the reply to this query.
    #[must_use]
    pub fn new(seed: u64, number: u64) -> Self {
        Self(Chance::from_seed(
            seed ^ number.wrapping_mul(0x517c_c1b7_2722_0a95),
        ))
    }

    /// True once in `n` times.
    pub fn alters_one_in(&mut self, n: u64) -> bool {
        self.0.one_in(n)
    }

    /// Alters one thing that counts at this stability; false if there is nothing to alter.
    pub fn alter(&mut self, stability: Stability, reply: &mut Reply) -> bool {
        if !reply.error.is_empty() {
            match self.0.below(3) {
                0 => reply.status = 500,
                1 => reply.error_type.push('x'),
                _ => reply.error.insert(0, 'x'),
            }
            return true;
        }
        if reply.series.is_empty() || self.0.one_in(20) {
            reply.warnings.push("something (1:1)".to_owned());
            return true;
        }
        let position = self.0.index(reply.series.len());
        let has_labels = matches!(reply.result_type.as_str(), "vector" | "matrix");
        let kind = if stability == Stability::Exact {
            self.0.below(5)
        } else {
            0
        };
        match kind {
            0 if has_labels => drop(reply.series.remove(position)),
            1 if has_labels => {
                reply.series[position]
                    .labels
                    .insert("zz".to_owned(), "1".to_owned());
            }
            2 if has_labels => reply.series.push(reply.series[position].clone()),
            kind => {
                let samples = &mut reply.series[position].samples;
                let sample = self.0.index(samples.len());
                let (time, value) = &mut samples[sample];
                match value.parse::<f64>() {
                    Ok(number) if kind == 3 && number.is_finite() && number != 0.0 => {
                        *value = (number * (1.0 + 1e-8)).to_string();
                    }
                    _ if kind == 4 => *time += "1",
                    _ => *value = "12345.75".to_owned(),
                }
            }
        }
        true
    }
}
