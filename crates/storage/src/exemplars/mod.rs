//! Exemplars: single observations with labels of their own, such as the id of a trace, kept beside their series.
//!
//! As in Prometheus they live in a ring of fixed size: the newest ones stay, whatever their age, and the oldest one
//! makes room. What differs: a series cannot fill the ring alone, and a restart loses none. `labels` is how their
//! labels are held, `ring` which are kept, `read` how they are asked for.
//!
//! - Those of a series are ordered by time, then value, then labels; what is not behind the newest one is refused, but
//!   for the newest one itself, which may come again.
//! - The thread that writes the log puts them into the ring, in the order of the log, before it writes them. A segment
//!   begins with everything in the ring, so the log may be trimmed before it, and a replay gives the same ring.
//! - A stream with an exemplar in the ring stays in the catalog, as one with a sample in the head does.
//!
//! Limits: [`ExemplarConfig`]; labels of [`LABEL_CHARACTERS_MAX`] characters together. An exemplar takes 56 bytes and
//! its labels, a series with exemplars 48 bytes more.

mod labels;
mod read;
mod ring;

pub use labels::{ExemplarLabelError, ExemplarLabels, LABEL_CHARACTERS_MAX};
pub use read::SeriesExemplars;

pub(crate) use read::select;
pub(crate) use ring::{ExemplarRing, Taken};

use model::{SeriesRef, TimestampMs};

/// How many exemplars are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExemplarConfig {
    /// Of all series together; 0 keeps none.
    pub max: usize,
    /// Of one series.
    pub per_series_max: usize,
}

/// A hundred thousand, as in Prometheus, and a thousand per series.
impl Default for ExemplarConfig {
    fn default() -> Self {
        Self {
            max: 100_000,
            per_series_max: 1_000,
        }
    }
}

/// One observation of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Whose it is.
    pub series: SeriesRef,
    /// When it was made.
    pub timestamp_ms: TimestampMs,
    /// What was observed, any bits.
    pub value: f64,
    /// What it says beside.
    pub labels: ExemplarLabels,
}
