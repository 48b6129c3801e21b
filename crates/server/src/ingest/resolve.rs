//! From keys to series: one batched lookup, and a second walk of the request for the series that are new.

use std::iter::repeat_n;

use catalog::SeriesKey;
use model::{Labels, MetricMetadata, Sample, SampleBatch, SeriesRef, TimestampMs};
use storage::{Exemplar, Store};
use wire::remote_write::{SeriesLabels, v1, v2};
use wire::{Limits, RefusedSeries};

use crate::error::chain;
use crate::ha::Verdict;

use super::deltas::{Amount, Difference, Sender, Stamps, TooOld};
use super::exemplars::{ExemplarCounts, Place};
use super::gather::Columns;
use super::metadata::{KnownMetadata, family_metadata};
use super::origins::{DROPPED, Met, NO_SERIES, ORIGINS_MAX, Origins};
use super::{Failure, RefusalKind, Refusals};

/// Which timestamps are taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) oldest_ms: TimestampMs,
    pub(super) newest_ms: TimestampMs,
}

impl Bounds {
    /// True when samples of that time are taken.
    pub(super) fn hold(self, timestamp_ms: TimestampMs) -> bool {
        (self.oldest_ms..=self.newest_ms).contains(&timestamp_ms)
    }
}

/// Turns the columns of one request into a batch.
#[derive(Debug)]
pub(super) struct Resolving<'a> {
    pub(super) store: &'a Store,
    pub(super) limits: &'a Limits,
    pub(super) columns: &'a mut Columns,
    /// One per series of the request; `None` when it is unknown or refused.
    pub(super) found: &'a mut Vec<Option<SeriesRef>>,
    pub(super) refusals: &'a mut Refusals,
    pub(super) origins: Origins<'a>,
    /// What was registered and is not [remembered](Self::remember) yet.
    pub(super) learned: Vec<(SeriesKey, SeriesRef)>,
}

/// What was left out of a request because it comes from replicas that are not elected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) n_floats: usize,
    pub(crate) n_histograms: usize,
}

impl Dropped {
    /// Floats and native histograms.
    pub(crate) fn n_samples(self) -> usize {
        self.n_floats + self.n_histograms
    }
}

/// A series of the request that is not known yet.
#[derive(Debug, Clone, Copy)]
struct NewSeries {
    position: usize,
    key: SeriesKey,
    n_samples: u32,
}

impl Resolving<'_> {
    /// Looks all series up; true when a second walk is needed, because some are unknown or carry nothing.
    pub(super) fn look_up(&mut self) -> bool {
        self.origins.salt(&mut self.columns.keys);
        let n_unknown = self.store.resolver().get_batch(&self.columns.keys, self.found);
        let n_shadows = self.origins.first().settle(self.found);
        n_unknown + n_shadows > 0 || !self.columns.empty.is_empty()
    }

    /// Registers the series of a remote-write 1.0 request that are unknown.
    pub(super) fn register_v1(&mut self, body: &[u8]) -> Result<(), Failure> {
        let mut scattered = Vec::new();
        let entries = v1::Request::new(body, self.limits).filter_map(Result::ok);
        let all_series = entries.filter_map(|entry| match entry {
            v1::Entry::Series(series) => Some(series),
            v1::Entry::Metadata(_) => None,
        });
        for (position, series) in all_series.enumerate() {
            if let Some(new) = self.new_series(position) {
                let labels = v1::parse_labels(series.label_bytes(&mut scattered), self.limits);
                self.register(new, labels)?;
            }
        }
        Ok(())
    }

    /// Registers the series of a remote-write 2.0 request that are unknown, and refuses series of nothing.
    pub(super) fn register_v2(&mut self, request: &v2::Request<'_>) -> Result<(), Failure> {
        let symbols = request.symbols();
        let broken = std::mem::take(&mut self.columns.broken);
        let mut broken = broken.into_iter().peekable();
        let empty = std::mem::take(&mut self.columns.empty);
        let mut empty = empty.into_iter().peekable();
        for (position, series) in request.series().filter_map(Result::ok).enumerate() {
            if empty.next_if_eq(&position).is_some() {
                self.refusals.push(RefusalKind::Empty, 0, || {
                    let labels = series.describe(symbols);
                    format!("series {labels}: a series must have at least one sample or histogram")
                });
                continue;
            }
            let Some(new) = self.new_series(position) else {
                continue;
            };
            if let Some((_, reason)) = broken.next_if(|(at, _)| *at == position) {
                let refused = series.refused(symbols, reason);
                self.refuse(new, || refused.to_string());
                continue;
            }
            self.register(new, series.labels(symbols, self.limits))?;
        }
        Ok(())
    }

    /// What the series of a remote-write 2.0 request say about their metrics, as far as it is new. Also those that are
    /// refused, because behind them nobody repeats it in this request.
    pub(super) fn metadata_v2(
        &mut self,
        request: &v2::Request<'_>,
        known: &KnownMetadata,
        now_ms: TimestampMs,
    ) -> Vec<MetricMetadata> {
        let found = &*self.found;
        let said = &mut self.columns.said;
        said.retain(|(position, _)| found.get(*position) != Some(&Some(DROPPED)));
        known.retain_changed(said, now_ms);
        if said.is_empty() {
            return Vec::new();
        }
        let mut positions = said.iter().map(|(position, _)| *position).peekable();
        let all_series = request.series().filter_map(Result::ok).enumerate();
        let changed = all_series.filter(|(position, _)| positions.next_if_eq(position).is_some());
        let metadata = changed.filter_map(|(_, series)| {
            let metadata = series.metadata(request.symbols()).ok()??;
            Some(family_metadata(series.metric_name(request.symbols())?, metadata))
        });
        metadata.collect()
    }

    /// Lets all requests know what was registered.
    pub(super) fn remember(&mut self) {
        self.store.resolver().insert_batch(&self.learned);
        self.learned.clear();
    }

    /// True when the series at a position of the request is unknown.
    pub(super) fn is_new(&self, position: usize) -> bool {
        self.found.get(position).is_some_and(Option::is_none)
    }

    /// Registers the series at a position of the request, if it is unknown.
    pub(super) fn register_at(
        &mut self,
        position: usize,
        labels: Result<SeriesLabels<'_>, RefusedSeries>,
    ) -> Result<(), Failure> {
        match self.new_series(position) {
            Some(new) => self.register(new, labels),
            None => Ok(()),
        }
    }

    /// The series at a position of the request, if it is unknown.
    fn new_series(&self, position: usize) -> Option<NewSeries> {
        if self.found.get(position)?.is_some() {
            return None;
        }
        Some(NewSeries {
            position,
            key: *self.columns.keys.get(position)?,
            n_samples: *self.columns.n_samples.get(position)?,
        })
    }

    /// A series that carries no sample is looked for and not made: it would be a series of nothing.
    fn register(
        &mut self,
        new: NewSeries,
        labels: Result<SeriesLabels<'_>, RefusedSeries>,
    ) -> Result<(), Failure> {
        let labels = match labels {
            Ok(labels) => labels,
            Err(refused) => {
                self.refuse(new, || refused.to_string());
                return Ok(());
            }
        };
        let Some((met, is_to_be_looked_up)) = self.origins.meet(labels.as_slice()) else {
            self.refuse(new, || {
                format!(
                    "series {labels}: a request may have series of {ORIGINS_MAX} replicas of pairs at most"
                )
            });
            return Ok(());
        };
        if is_to_be_looked_up {
            self.look_up_rest(new.position, &met);
            if !self.is_new(new.position) {
                return Ok(());
            }
        }
        let key = self.origins.key_of(&met, new.key);
        let pairs = labels.as_slice().iter().copied();
        let pairs = pairs.filter(|(name, _)| met.replica_label() != Some(*name));
        let owned = match Labels::from_pairs(pairs) {
            Ok(owned) => owned,
            Err(reason) => {
                self.refuse(new, || format!("series {labels}: {reason}"));
                return Ok(());
            }
        };
        if met.verdict == Verdict::Lost {
            // Next time it is known without a look at its labels, also when this replica is elected then.
            let series = self.store.find(&owned).unwrap_or(NO_SERIES);
            self.learned.push((key, series));
            self.set_found(new.position, DROPPED);
            return Ok(());
        }
        if new.n_samples == 0 {
            // Exemplars come alone, behind a sample of their series.
            if let Some(series) = self.store.find(&owned) {
                self.learned.push((key, series));
                self.set_found(new.position, series);
            } else {
                self.refuse_only_histograms(new, &labels);
            }
            return Ok(());
        }
        match self.store.find_or_make(&owned) {
            Ok(series) => {
                self.learned.push((key, series));
                self.set_found(new.position, series);
            }
            Err(storage::Error::Series(reason)) => {
                self.refuse(new, || format!("series {labels}: {reason}"));
            }
            Err(error) => return Err(Failure::Unavailable(chain(&error))),
        }
        Ok(())
    }

    /// Looks up the series at and behind a position that are unknown so far, as series of another origin.
    fn look_up_rest(&mut self, position: usize, met: &Met) {
        let behind = self.found.iter().enumerate().skip(position);
        let unknown = behind.filter(|(_, found)| found.is_none());
        let (positions, keys): (Vec<usize>, Vec<SeriesKey>) = unknown
            .filter_map(|(at, _)| Some((at, self.origins.key_of(met, *self.columns.keys.get(at)?))))
            .unzip();
        let mut found = Vec::new();
        self.store.resolver().get_batch(&keys, &mut found);
        met.settle(&mut found);
        for (at, series) in positions.into_iter().zip(found) {
            if let Some(series) = series {
                self.set_found(at, series);
            }
        }
    }

    fn set_found(&mut self, position: usize, series: SeriesRef) {
        if let Some(found) = self.found.get_mut(position) {
            *found = Some(series);
        }
    }

    /// Names the native histograms of a series that has nothing else, if they are none.
    fn refuse_only_histograms(&mut self, new: NewSeries, labels: &SeriesLabels<'_>) {
        let all = &self.columns.bad_histograms;
        let first = all.partition_point(|bad| bad.position < new.position);
        let of_series = all.iter().skip(first);
        for bad in of_series.take_while(|bad| bad.position == new.position) {
            self.refusals.push(RefusalKind::Histogram, 1, || {
                format!(
                    "series {labels}: sample at {} ms: {}",
                    bad.timestamp_ms, bad.reason
                )
            });
        }
    }

    fn refuse(&mut self, new: NewSeries, reason: impl FnOnce() -> String) {
        self.refusals
            .push(RefusalKind::Labels, new.n_samples as usize, reason);
    }

    /// Puts the total of its series in the place of a difference. One that comes too late loses its series, and with it
    /// its place in the batch. The total of a histogram is added at the end, and the difference loses its place to it;
    /// then this gives true.
    pub(super) fn convert(&mut self, difference: &Difference, sender: &mut Sender) -> bool {
        let position = difference.position;
        let columns = &mut *self.columns;
        let (Some(Some(series)), Some(key), Some(timestamp_ms), Some(value)) = (
            self.found.get(position).copied(),
            columns.keys.get(position).copied(),
            columns.timestamps_ms.get(difference.row).copied(),
            columns.values.get_mut(difference.row),
        ) else {
            return false;
        };
        let labels = || self.store.series_labels(series);
        let is_moved = difference.histogram.is_some();
        let converted = match &difference.histogram {
            None => sender
                .add(key, timestamp_ms, *value, labels)
                .map(|total| *value = total),
            Some(histogram) => sender.add_histogram(key, histogram, labels).map(|total| {
                columns.push_histogram(key, &total);
                self.found.push(Some(series));
            }),
        };
        if let Err(TooOld { newest_ms }) = converted {
            self.refusals.push(RefusalKind::TooOld, 1, || {
                let reason = format!("a difference older than the last one, of {newest_ms} ms");
                name_sample(self.store, series, timestamp_ms, &reason)
            });
        }
        if (is_moved || converted.is_err())
            && let Some(found) = self.found.get_mut(position)
        {
            *found = None;
        }
        is_moved && converted.is_ok()
    }

    /// Adds samples of series that the request does not have; those whose series is not known any more are left out.
    pub(super) fn push_stamps(&mut self, stamps: &Stamps) {
        for (key, timestamp_ms, amount) in stamps {
            let Some(series) = self.store.resolver().get(*key) else {
                continue;
            };
            match amount {
                Amount::Number(value) => {
                    let sample = Sample {
                        timestamp_ms: *timestamp_ms,
                        value: *value,
                    };
                    self.columns.push_sample(*key, sample, None);
                }
                Amount::Histogram(total) => {
                    self.columns.push_histogram(*key, &total.histogram(*timestamp_ms));
                }
            }
            self.found.push(Some(series));
        }
    }

    /// The batch of all samples whose series is known and whose time is within `bounds`, and what was left out of
    /// it for its origin. Takes the columns.
    pub(super) fn batch(&mut self, bounds: Bounds) -> (SampleBatch, Dropped) {
        self.refuse_bad_histograms();
        let histograms = self.columns.take_histograms();
        let starts_ms = self.columns.take_starts();
        let counts = self.columns.n_samples.iter().map(|n_samples| *n_samples as usize);
        let mut whole = SampleBatch {
            series: Vec::with_capacity(self.columns.values.len()),
            timestamps_ms: std::mem::take(&mut self.columns.timestamps_ms),
            values: std::mem::take(&mut self.columns.values),
            histograms,
            starts_ms,
        };
        let mut is_whole =
            !self.origins.has_lost() && whole.timestamps_ms.iter().all(|time| bounds.hold(*time));
        for (found, n_samples) in self.found.iter().zip(counts) {
            is_whole &= found.is_some() || n_samples == 0;
            let series = found.unwrap_or(NO_SERIES);
            // Nearly always there is one, and room for it.
            match n_samples {
                1 => whole.series.push(series),
                _ => whole.series.extend(repeat_n(series, n_samples)),
            }
        }
        if is_whole {
            return (whole, Dropped::default());
        }
        let mut batch = SampleBatch::default();
        let mut dropped = Dropped::default();
        let mut histogram_rows = whole.histograms.rows().peekable();
        for (row, (series, timestamp_ms)) in whole.series.iter().zip(&whole.timestamps_ms).enumerate() {
            let is_histogram = histogram_rows.next_if_eq(&row).is_some();
            match *series {
                NO_SERIES => continue,
                DROPPED if is_histogram => dropped.n_histograms += 1,
                DROPPED => dropped.n_floats += 1,
                _ => {}
            }
            if *series == DROPPED {
                continue;
            }
            match refusal(*timestamp_ms, bounds) {
                None => batch.push_from(&whole, row),
                Some((kind, reason)) => self.refusals.push(kind, 1, || {
                    name_sample(self.store, *series, *timestamp_ms, &reason)
                }),
            }
        }
        (batch, dropped)
    }

    /// The exemplars of known series. Takes them out of the columns.
    pub(super) fn exemplars(&mut self, bounds: Bounds) -> (Vec<Exemplar>, ExemplarCounts) {
        let found = &*self.found;
        let place = |position: usize| match found.get(position) {
            Some(Some(DROPPED)) => Place::Dropped,
            Some(Some(series)) => Place::Series(*series),
            Some(None) | None => Place::Unknown,
        };
        self.columns.exemplars.resolve(bounds.newest_ms, place)
    }

    /// Names the native histograms of known series that are none.
    fn refuse_bad_histograms(&mut self) {
        for bad in std::mem::take(&mut self.columns.bad_histograms) {
            if let Some(Some(series)) = self.found.get(bad.position)
                && *series != DROPPED
            {
                self.refusals.push(RefusalKind::Histogram, 1, || {
                    name_sample(self.store, *series, bad.timestamp_ms, &bad.reason)
                });
            }
        }
    }
}

/// Why a sample of this time is not taken, if it is not.
fn refusal(timestamp_ms: TimestampMs, bounds: Bounds) -> Option<(RefusalKind, String)> {
    if timestamp_ms > bounds.newest_ms {
        let reason = format!(
            "too far in the future: the newest time taken is {} ms",
            bounds.newest_ms
        );
        Some((RefusalKind::Future, reason))
    } else if timestamp_ms < bounds.oldest_ms {
        let reason = format!(
            "older than the retention: the oldest time taken is {} ms",
            bounds.oldest_ms
        );
        Some((RefusalKind::TooOld, reason))
    } else {
        None
    }
}

/// One refused sample, for a person.
pub(crate) fn name_sample(
    store: &Store,
    series: SeriesRef,
    timestamp_ms: TimestampMs,
    reason: &dyn std::fmt::Display,
) -> String {
    let labels = store.series_labels(series).unwrap_or_default();
    format!("series {labels}: sample at {timestamp_ms} ms: {reason}")
}
