//! Exemplars of a request: gathered with the place of their series, and given to that series once it is known.

use model::{SeriesRef, TimestampMs};
use storage::{Exemplar, ExemplarLabels};
use wire::DecodeError;
use wire::remote_write::Exemplars;

/// Exemplars of one request, and of those that are none.
#[derive(Debug, Default)]
pub(super) struct ExemplarColumns {
    /// Ascending by position of their series.
    gathered: Vec<(usize, Gathered)>,
    /// Those whose labels cannot be taken.
    n_invalid: usize,
}

/// An exemplar whose series is not known yet.
#[derive(Debug)]
struct Gathered {
    timestamp_ms: TimestampMs,
    value: f64,
    labels: ExemplarLabels,
}

/// What became of the exemplars of a request before the store saw them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ExemplarCounts {
    /// Left out with the samples of a replica that is not elected.
    pub(crate) n_dropped: usize,
    /// With labels that are none, or too long.
    pub(crate) n_invalid: usize,
    /// Of series that are not known: nothing else of them was ever stored.
    pub(crate) n_unknown: usize,
    /// Too far in the future.
    pub(crate) n_future: usize,
}

/// What became of all exemplars of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ExemplarTally {
    /// Kept, or there already.
    pub(crate) n_written: usize,
    /// Not behind the newest one of their series.
    pub(crate) n_out_of_order: usize,
    pub(crate) counts: ExemplarCounts,
}

impl ExemplarColumns {
    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.gathered.clear();
        self.n_invalid = 0;
    }

    /// Takes in the exemplars of the series at a position of the request.
    #[cold]
    pub(super) fn gather(
        &mut self,
        position: usize,
        exemplars: Exemplars<'_, '_>,
    ) -> Result<(), DecodeError> {
        for exemplar in exemplars {
            let exemplar = exemplar?;
            match exemplar.labels {
                Ok(labels) => self.push_checked(position, exemplar.timestamp_ms, exemplar.value, labels),
                Err(_) => self.n_invalid += 1,
            }
        }
        Ok(())
    }

    /// Adds an exemplar of the series at a position of the request, if its labels are sound.
    pub(super) fn push_checked<'a>(
        &mut self,
        position: usize,
        timestamp_ms: TimestampMs,
        value: f64,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let Ok(labels) = ExemplarLabels::from_pairs(labels) else {
            self.n_invalid += 1;
            return;
        };
        let gathered = Gathered {
            timestamp_ms,
            value,
            labels,
        };
        self.gathered.push((position, gathered));
    }

    /// Gives each exemplar its series, which `series_at` finds by its position. Takes them.
    pub(super) fn resolve(
        &mut self,
        newest_ms: TimestampMs,
        series_at: impl Fn(usize) -> Place,
    ) -> (Vec<Exemplar>, ExemplarCounts) {
        let mut counts = ExemplarCounts {
            n_invalid: self.n_invalid,
            ..ExemplarCounts::default()
        };
        let mut exemplars = Vec::with_capacity(self.gathered.len());
        for (position, gathered) in self.gathered.drain(..) {
            let series = match series_at(position) {
                Place::Series(series) => series,
                Place::Dropped => {
                    counts.n_dropped += 1;
                    continue;
                }
                Place::Unknown => {
                    counts.n_unknown += 1;
                    continue;
                }
            };
            if gathered.timestamp_ms > newest_ms {
                counts.n_future += 1;
                continue;
            }
            exemplars.push(Exemplar {
                series,
                timestamp_ms: gathered.timestamp_ms,
                value: gathered.value,
                labels: gathered.labels,
            });
        }
        (exemplars, counts)
    }
}

/// What is known of the series at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is this one.
    Series(SeriesRef),
    /// Its replica is not elected.
    Dropped,
    /// Nothing.
    Unknown,
}
