//! Evaluation times.

use model::TimestampMs;

/// The times at which an expression is evaluated: `start`, `start + step`, … An instant query has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first time.
    pub(crate) start_ms: TimestampMs,
    /// The distance; positive.
    pub(crate) step_ms: i64,
    /// How many; may be 0 in a subquery.
    pub(crate) n: usize,
}

impl Steps {
    /// One time.
    pub(crate) fn instant(time_ms: TimestampMs) -> Self {
        Self {
            start_ms: time_ms,
            step_ms: 1,
            n: 1,
        }
    }

    /// From `start_ms` up to and including `end_ms`; none when `end_ms` is before `start_ms`.
    ///
    /// # Panics
    /// If `step_ms` is not positive.
    pub(crate) fn between(start_ms: TimestampMs, end_ms: TimestampMs, step_ms: i64) -> Self {
        assert!(step_ms > 0, "steps go forward");
        let n = match end_ms.checked_sub(start_ms) {
            Some(length_ms) if length_ms >= 0 => {
                usize::try_from(length_ms / step_ms).map_or(usize::MAX, |n| n + 1)
            }
            Some(_) => 0,
            None => usize::MAX,
        };
        Self { start_ms, step_ms, n }
    }

    /// The time of one step.
    pub(crate) fn time_ms(&self, step: usize) -> TimestampMs {
        self.start_ms + step as i64 * self.step_ms
    }

    /// The last time; the first when there is none.
    pub(crate) fn end_ms(&self) -> TimestampMs {
        self.time_ms(self.n.saturating_sub(1))
    }

    /// All times in order.
    pub(crate) fn times(self) -> impl Iterator<Item = TimestampMs> {
        (0..self.n).map(move |step| self.time_ms(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_counts_only_when_a_step_falls_on_it() {
        assert_eq!(Steps::between(0, 60, 30).times().collect::<Vec<_>>(), [0, 30, 60]);
        assert_eq!(Steps::between(0, 59, 30).end_ms(), 30);
        assert_eq!(Steps::between(10, 9, 30).n, 0);
        assert_eq!(Steps::instant(5).times().collect::<Vec<_>>(), [5]);
    }
}
