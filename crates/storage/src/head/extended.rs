//! Appending to a stream that has, or is about to have, more than values.
//!
//! The value of a sample goes where all values go ([`Stream::append`]), and that decides whether it is new, a duplicate
//! or refused. What is more about it is noted afterwards, or compared with what was noted of the sample that is there.

use model::histogram::PackedHistogram;
use model::{TimestampMs, is_stale_nan};

use super::extras::Extras;
use super::refusal::RefusalReason;
use super::starts::OpenStart;
use super::stream::{LaneSample, OWN_PAGE, Stored, Stream, Workspace};

/// What is more about a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extension<'a> {
    /// It is a native histogram, and its value the sum.
    pub(super) histogram: Option<PackedHistogram<'a>>,
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
        let is_known = self.raw.has_lane(usize::from(sample.lane));
        match self.append_apart(sample, work) {
            Ok(Stored::New) if histogram.is_none() && is_known && self.is_foreseen(sample, extension) => {
                Ok(())
            }
            Ok(Stored::New) => {
                self.note(sample, histogram, extension.start_ms, is_known, work);
                Ok(())
            }
            Ok(Stored::Same) => self.compare(sample, histogram),
            Err(RefusalReason::DuplicateTimestamp { .. }) if self.has_histogram(sample) => {
                Err(RefusalReason::DuplicateHistogram)
            }
            Err(reason) => Err(reason),
        }
    }

    /// True if the start timestamp of a float in the newest row is what that of all lanes is going to be anyway.
    #[inline]
    fn is_foreseen(&self, sample: LaneSample, extension: Extension<'_>) -> bool {
        extension.start_ms != 0
            && extension.start_ms == self.raw.open_start.get()
            && sample.timestamp_ms == self.newest_ms
    }

    /// Notes what is more about a sample that was just stored. `is_known` says that its lane had one before.
    fn note(
        &mut self,
        sample: LaneSample,
        histogram: Option<PackedHistogram<'_>>,
        start_ms: TimestampMs,
        is_known: bool,
        work: &mut Workspace,
    ) {
        let LaneSample {
            lane, timestamp_ms, ..
        } = sample;
        let newest_ms = self.newest_ms;
        if histogram.is_none() && start_ms == 0 && !self.raw.is_extended() {
            return;
        }
        let previous_ms = histogram.and_then(|_| self.previous_ms(sample));
        if !self.raw.is_extended() {
            self.raw.set_extended(true);
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
                .insert(lane, timestamp_ms, histogram, previous_ms, &mut work.natives)
                .expect(OWN_PAGE),
            None if timestamp_ms < newest_ms => {
                if let Some(natives) = extras.natives_mut(lane) {
                    natives.break_after(timestamp_ms).expect(OWN_PAGE);
                }
            }
            None => {}
        }
        self.note_start(sample, start_ms, is_known);
        let after = self.extras().map_or(0, Extras::heap_bytes);
        let bytes = &mut work.stats.bytes.extras;
        *bytes = *bytes + after - before;
    }

    /// Notes when the counter of a sample that was just stored began.
    fn note_start(&mut self, sample: LaneSample, start_ms: TimestampMs, is_known: bool) {
        let LaneSample {
            lane, timestamp_ms, ..
        } = sample;
        let newest_ms = self.newest_ms;
        let has_deferred = self.deferred().is_some();
        let Some(extras) = self.sealed.as_mut().and_then(|sealed| sealed.extras.as_mut()) else {
            return;
        };
        let starts = &mut extras.starts;
        if self.raw.open_start != OpenStart::default() {
            if starts.of_all_lanes(timestamp_ms) == Some(start_ms) && (is_known || !has_deferred) {
                starts.adopt(lane);
                return;
            }
            // What the lanes before it have in this row is as it was foreseen.
            let begins_row = timestamp_ms == newest_ms && self.raw.is_alone_in_newest_row(usize::from(lane));
            starts.close(if begins_row { timestamp_ms - 1 } else { newest_ms });
            self.raw.open_start = OpenStart::default();
        }
        starts.note(lane, timestamp_ms, start_ms, newest_ms);
        if start_ms != 0 && timestamp_ms == newest_ms {
            let lanes = (0..=u16::MAX).take(self.raw.n_lanes());
            let held = lanes.filter(|lane| self.raw.has_lane(usize::from(*lane)));
            self.raw.open_start = starts.open(start_ms, held).unwrap_or_default();
        }
    }

    /// Gives the run of start timestamps that has no end the one that it has so far.
    pub(super) fn close_starts(&mut self) {
        if self.raw.open_start == OpenStart::default() {
            return;
        }
        self.raw.open_start = OpenStart::default();
        let newest_ms = self.newest_ms;
        if let Some(extras) = self.sealed.as_mut().and_then(|sealed| sealed.extras.as_mut()) {
            extras.starts.close(newest_ms);
        }
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
        histogram: Option<PackedHistogram<'_>>,
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
