//! What is not taken, and why: counted by kind, and a few reasons in full.

/// Why something was not stored. A closed set: the kinds are label values of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// The labels are none of a series, or beyond a limit.
    Labels,
    /// The series has another value at that time.
    DuplicateTimestamp,
    /// Older than the out-of-order window, or than the retention.
    TooOld,
    /// Too far in the future.
    Future,
    /// A series of remote write 2.0 that carries nothing.
    Empty,
    /// A native histogram whose fields do not fit each other.
    Histogram,
    /// Two data points of one OTLP request that are one series once their names are translated.
    NameCollision,
}

impl RefusalKind {
    /// All kinds, in order of their position.
    pub(crate) const ALL: [Self; 7] = [
        Self::Labels,
        Self::DuplicateTimestamp,
        Self::TooOld,
        Self::Future,
        Self::Empty,
        Self::Histogram,
        Self::NameCollision,
    ];

    /// The label value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::DuplicateTimestamp => "duplicate_timestamp",
            Self::TooOld => "too_old",
            Self::Future => "future",
            Self::Empty => "empty",
            Self::Histogram => "invalid_histogram",
            Self::NameCollision => "name_collision",
        }
    }
}

/// What was refused of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals {
    /// Samples refused, by position of the kind in [`RefusalKind::ALL`]. A series without samples counts none.
    n_samples: [usize; RefusalKind::ALL.len()],
    n_refusals: usize,
    reasons: Vec<String>,
}

/// Reasons that an answer spells out.
const REASONS_MAX: usize = 10;

impl Refusals {
    /// Notes a refusal that concerns `n_samples`. `reason` is asked only while there is room for it.
    pub(crate) fn push(&mut self, kind: RefusalKind, n_samples: usize, reason: impl FnOnce() -> String) {
        if let Some(counted) = self.n_samples.get_mut(kind as usize) {
            *counted += n_samples;
        }
        self.push_reason(reason);
    }

    /// Notes a refusal that concerns no sample.
    pub(crate) fn push_reason(&mut self, reason: impl FnOnce() -> String) {
        self.n_refusals += 1;
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason());
        }
    }

    /// Refused samples by kind.
    pub(crate) fn n_samples(&self) -> impl Iterator<Item = (RefusalKind, usize)> {
        RefusalKind::ALL.into_iter().zip(self.n_samples)
    }

    /// The reasons, one per line, and how many there are beyond them.
    pub(crate) fn text(&self) -> String {
        let mut text = self.reasons.join("\n");
        let n_more = self.n_refusals - self.reasons.len();
        if n_more > 0 {
            text.push_str(&format!("\n…and {n_more} more"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_agree_with_the_list() {
        for (position, kind) in RefusalKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, position);
        }
    }

    #[test]
    fn the_text_is_bounded_and_says_how_much_it_leaves_out() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.text(), "");
        for number in 0..1_000 {
            refusals.push(RefusalKind::Future, 2, || format!("reason {number}"));
        }
        let text = refusals.text();
        assert!(text.starts_with("reason 0\nreason 1\n") && text.ends_with("reason 9\n…and 990 more"));
        assert!(
            refusals
                .n_samples()
                .any(|counted| counted == (RefusalKind::Future, 2_000))
        );
    }
}
