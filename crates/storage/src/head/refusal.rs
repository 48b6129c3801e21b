//! Why the head does not take a sample.

use std::fmt;

use model::TimestampMs;
use model::number::push_api_float;

/// A sample that was not stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refusal {
    /// Its position in the batch.
    pub sample_idx: usize,
    /// Why.
    pub reason: RefusalReason,
}

/// Why a sample was not stored. Both are the sender's doing.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The series has another value at this time. The first one stays.
    DuplicateTimestamp {
        /// The value that stays, bit for bit.
        existing: f64,
    },
    /// The series has another native histogram at this time, or this is a float and that a histogram. The first one
    /// stays.
    DuplicateHistogram,
    /// The sample is older than the out-of-order window of its stream.
    TooOld {
        /// The oldest timestamp that would have been taken.
        oldest_accepted_ms: TimestampMs,
    },
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateTimestamp { existing } => {
                let mut text = String::new();
                push_api_float(&mut text, *existing);
                write!(f, "the series has another value, {text}, at this timestamp")
            }
            Self::DuplicateHistogram => {
                f.write_str("the series has another native histogram at this timestamp")
            }
            Self::TooOld { oldest_accepted_ms } => write!(
                f,
                "the sample is too old: the out-of-order window begins at {oldest_accepted_ms} ms"
            ),
        }
    }
}
