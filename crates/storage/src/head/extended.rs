//! Appending to a stream that has, or is about to have, more than values.
//!
//! The value of a sample goes where all values go ([`Stream::append`]), and that decides whether it is new, a duplicate
//! or refused. What is more about it is noted afterwards, or compared with what was noted of the sample that is there.

use model::histogram::NativeHistogram;
use model::{TimestampMs, is_stale_nan};

use super::refusal::RefusalReason;
use super::stream::{LaneSample, OWN_PAGE, Stored, Stream, Workspace};

/// What is more about a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extension<'a> {
    /// It is a native histogram, and its value the sum.
    pub(super) histogram: Option<NativeHistogram<'a>>,
    /// When its counter began; 0 if that is not known.
    pub(super) start_ms: TimestampMs,
}

impl Stream {
    /// Stores a sample with what is more about it, as [`Self::append`] does. A staleness marker is a float whatever it
    /// came as. Of a duplicate neither hint nor start timestamp is compared.
    ///
    /// # Errors
    /// Why it was not stored.
    pub(super) fn append_extended(
        &mut self,
        sample: LaneSample,
        extension: Extension<'_>,
        work: &mut Workspace,
    ) -> Result<(), RefusalReason> {
        let histogram = extension
            .histogram
            .filter(|histogram| !is_stale_nan(histogram.sum));
        match self.append_apart(sample, work) {
            Ok(Stored::New) => {
                self.note(sample, histogram, extension.start_ms, work);
                Ok(())
            }
            Ok(Stored::Same) => self.compare(sample, histogram),
            Err(RefusalReason::DuplicateTimestamp { .. }) if self.has_histogram(sample) => {
                Err(RefusalReason::DuplicateHistogram)
            }
            Err(reason) => Err(reason),
        }
    }

    /// Notes what is more about a sample that was just stored.
    fn note(
        &mut self,
        sample: LaneSample,
        histogram: Option<NativeHistogram<'_>>,
        start_ms: TimestampMs,
        work: &mut Workspace,
    ) {
        let LaneSample {
            lane, timestamp_ms, ..
        } = sample;
        let newest_ms = self.newest_ms;
        if histogram.is_none() && start_ms == 0 && !self.raw.is_extended {
            return;
        }
        let previous_ms = histogram.and_then(|_| self.previous_ms(sample));
        if !self.raw.is_extended {
            self.raw.is_extended = true;
            self.measured(work, |stream, _| {
                stream.sealed.get_or_insert_default();
            });
        }
        let Some(sealed) = &mut self.sealed else {
            return;
        };
        let before = sealed.extras.as_ref().map_or(0, |extras| extras.heap_bytes());
        let extras = sealed.extras.get_or_insert_default();
        match histogram {
            Some(histogram) => extras
                .insert(lane, timestamp_ms, histogram, previous_ms, &mut work.layouts)
                .expect(OWN_PAGE),
            None if timestamp_ms < newest_ms => {
                if let Some(natives) = extras.natives_mut(lane) {
                    natives.break_after(timestamp_ms).expect(OWN_PAGE);
                }
            }
            None => {}
        }
        extras.starts.note(lane, timestamp_ms, start_ms, newest_ms);
        let bytes = &mut work.stats.bytes.extras;
        *bytes = *bytes + extras.heap_bytes() - before;
    }

    /// When the sample before this one is, if it is in an open row.
    fn previous_ms(&self, sample: LaneSample) -> Option<TimestampMs> {
        let lane = usize::from(sample.lane);
        let row = self.raw.lower_bound(sample.timestamp_ms);
        let previous = (0..row).rev().find(|row| self.raw.get(*row, lane).is_some())?;
        Some(self.raw.timestamp(previous))
    }

    /// Compares a sample with the one that is there and has the same value.
    fn compare(
        &self,
        sample: LaneSample,
        histogram: Option<NativeHistogram<'_>>,
    ) -> Result<(), RefusalReason> {
        match histogram {
            None if self.has_histogram(sample) => Err(RefusalReason::DuplicateHistogram),
            None => Ok(()),
            Some(histogram) => {
                let natives = self.extras().and_then(|extras| extras.natives(sample.lane));
                let is_same = natives.map(|natives| {
                    natives
                        .has_counts_of(sample.timestamp_ms, histogram)
                        .expect(OWN_PAGE)
                });
                match is_same {
                    Some(true) => Ok(()),
                    _ if self.has_histogram(sample) => Err(RefusalReason::DuplicateHistogram),
                    _ => Err(RefusalReason::DuplicateTimestamp {
                        existing: f64::from_bits(sample.bits),
                    }),
                }
            }
        }
    }

    fn has_histogram(&self, sample: LaneSample) -> bool {
        let natives = self.extras().and_then(|extras| extras.natives(sample.lane));
        natives.is_some_and(|natives| natives.contains(sample.timestamp_ms).expect(OWN_PAGE))
    }
}
