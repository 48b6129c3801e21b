//! Walks a request once: every series becomes a key and a count, every sample a row of the columns.
//!
//! Nothing is looked up and nothing is kept of the labels, so that the walk does not depend on what is known.
//! Positions count the series of the request in order; the second walk of [`super::resolve`] counts the same.

use catalog::{Resolver, SeriesKey};
use model::histogram::{HistogramColumns, HistogramError};
use model::{MetricMetadata, Sample, TimestampMs};
use wire::remote_write::{Histogram, Histograms, v1, v2};
use wire::{DecodeError, LabelsError, Limits};

use super::exemplars::ExemplarColumns;
use super::histograms::Intake;

/// What one request holds. Reused from request to request; [`Columns::clear`] keeps the memory.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// One per series. Meaningless where `broken` says so.
    pub(super) keys: Vec<SeriesKey>,
    /// Samples of each series: first the floats, then the native histograms that are valid.
    pub(super) n_samples: Vec<u32>,
    /// One per sample, series by series.
    pub(super) timestamps_ms: Vec<TimestampMs>,
    /// One per sample; the sum of a native histogram.
    pub(super) values: Vec<f64>,
    /// Those of the samples that are native histograms, by row.
    pub(super) histograms: HistogramColumns,
    /// As in a batch: empty or shorter where nobody says when counters began.
    pub(super) starts_ms: Vec<TimestampMs>,
    /// Native histograms that are none, ascending by series.
    pub(super) bad_histograms: Vec<BadHistogram>,
    /// Series whose references give no key, by position, ascending. Only in remote write 2.0.
    pub(super) broken: Vec<(usize, LabelsError)>,
    /// Series without any content, by position. Only in remote write 2.0, which forbids them.
    pub(super) empty: Vec<usize>,
    /// Metadata messages of remote write 1.0.
    pub(super) metadata: Vec<MetricMetadata>,
    /// What series of remote write 2.0 say about their metrics, with their positions, ascending.
    pub(super) said: Vec<(usize, v2::Said)>,
    pub(super) exemplars: ExemplarColumns,
    /// Label bytes that lie apart in a body.
    scattered: Vec<u8>,
    intake: Intake,
}

/// For no more bytes of native histograms is room kept.
const HISTOGRAM_BYTES_KEPT_MAX: usize = 4 << 20;

/// A native histogram that is not valid.
#[derive(Debug)]
pub(super) struct BadHistogram {
    /// Position of its series.
    pub(super) position: usize,
    pub(super) timestamp_ms: TimestampMs,
    pub(super) reason: HistogramError,
}

impl Columns {
    /// Empties them, with room for as many samples as the last request had: those columns go away with each batch.
    pub(super) fn clear(&mut self) {
        let n_before: usize = self.n_samples.iter().map(|n_samples| *n_samples as usize).sum();
        self.timestamps_ms = Vec::with_capacity(n_before);
        self.values = Vec::with_capacity(n_before);
        self.histograms.clear();
        self.starts_ms.clear();
        self.bad_histograms.clear();
        self.keys.clear();
        self.n_samples.clear();
        self.broken.clear();
        self.empty.clear();
        self.metadata.clear();
        self.said.clear();
        self.exemplars.clear();
    }

    /// The native histograms, in whose place there is room for as many: they go away with each batch, and to grow into
    /// megabytes step by step costs more than to fill them.
    pub(super) fn take_histograms(&mut self) -> HistogramColumns {
        let n_bytes = self.histograms.n_bytes();
        let room = if n_bytes > HISTOGRAM_BYTES_KEPT_MAX {
            HistogramColumns::default()
        } else {
            HistogramColumns::with_capacity(self.histograms.len(), n_bytes + n_bytes / 8)
        };
        std::mem::replace(&mut self.histograms, room)
    }

    /// When counters began, in whose place there is room for as many, as with [`Self::take_histograms`].
    pub(super) fn take_starts(&mut self) -> Vec<TimestampMs> {
        let room = Vec::with_capacity(self.starts_ms.len());
        std::mem::replace(&mut self.starts_ms, room)
    }

    /// Rows there is memory for, samples of the last request included.
    pub(super) fn capacity(&self) -> usize {
        let n_samples: usize = self.n_samples.iter().map(|n_samples| *n_samples as usize).sum();
        self.keys.capacity().max(n_samples)
    }

    /// Walks a remote-write 1.0 request.
    pub(super) fn gather_v1(
        &mut self,
        body: &[u8],
        limits: &Limits,
        resolver: &Resolver,
    ) -> Result<(), DecodeError> {
        for entry in v1::Request::new(body, limits) {
            let series = match entry? {
                v1::Entry::Series(series) => series,
                v1::Entry::Metadata(metadata) => {
                    self.metadata.push(metadata);
                    continue;
                }
            };
            self.keys
                .push(resolver.key(series.label_bytes(&mut self.scattered)));
            let n_before = self.values.len();
            for sample in series.samples() {
                let sample = sample?;
                self.timestamps_ms.push(sample.timestamp_ms);
                self.values.push(sample.value);
            }
            self.gather_histograms(series.histograms(), limits)?;
            if series.n_exemplars > 0 {
                self.exemplars.gather(self.keys.len() - 1, series.exemplars())?;
            }
            self.end_series(n_before);
        }
        Ok(())
    }

    /// Walks the series of a remote-write 2.0 request.
    pub(super) fn gather_v2<H: Fn(&[u8]) -> u128>(
        &mut self,
        request: &v2::Request<'_>,
        limits: &Limits,
        keys: &v2::SeriesKeys<H>,
        hashes: &mut v2::SymbolHashes,
    ) -> Result<(), DecodeError> {
        let mut glances = v2::Glances::new(request.symbols());
        for series in request.series() {
            let series = series?;
            let position = self.keys.len();
            let key = keys.key(&series, hashes).unwrap_or_else(|reason| {
                self.broken.push((position, reason));
                0
            });
            self.keys.push(SeriesKey(key));
            if let Some(said) = glances.look(&series, hashes) {
                self.said.push((position, said));
            }
            let n_before = self.values.len();
            for sample in series.samples() {
                let sample = sample?;
                self.timestamps_ms.push(sample.timestamp_ms);
                self.values.push(sample.value);
                if sample.start_timestamp_ms != 0 {
                    self.set_last_start(sample.start_timestamp_ms);
                }
            }
            self.gather_histograms(series.histograms(), limits)?;
            let has_content = series.n_samples + series.n_histograms + series.n_exemplars > 0;
            if !has_content && matches!(series.metadata(request.symbols()), Ok(None)) {
                self.empty.push(position);
            }
            if series.n_exemplars > 0 {
                self.exemplars
                    .gather(position, series.exemplars(request.symbols()))?;
            }
            self.end_series(n_before);
        }
        Ok(())
    }

    /// Adds a series of one float sample.
    pub(super) fn push_sample(&mut self, key: SeriesKey, sample: Sample, start_ms: Option<TimestampMs>) {
        self.keys.push(key);
        self.n_samples.push(1);
        self.timestamps_ms.push(sample.timestamp_ms);
        self.values.push(sample.value);
        if let Some(start_ms) = start_ms.filter(|start_ms| *start_ms != 0) {
            self.set_last_start(start_ms);
        }
    }

    /// Adds a series of one native histogram, or of nothing when it is none.
    pub(super) fn push_histogram(&mut self, key: SeriesKey, histogram: &Histogram) {
        self.intake.fields.clone_from(histogram);
        let row = self.values.len();
        if let Err(reason) = self.intake.push(row, &mut self.histograms) {
            self.bad_histograms.push(BadHistogram {
                position: self.keys.len(),
                timestamp_ms: histogram.timestamp_ms,
                reason,
            });
            self.push_nothing(key);
            return;
        }
        let sample = Sample {
            timestamp_ms: histogram.timestamp_ms,
            value: histogram.sum,
        };
        self.push_sample(key, sample, Some(histogram.start_timestamp_ms));
    }

    /// Adds a series without a sample.
    pub(super) fn push_nothing(&mut self, key: SeriesKey) {
        self.keys.push(key);
        self.n_samples.push(0);
    }

    /// Takes in the native histograms of the series whose key was pushed last.
    fn gather_histograms(
        &mut self,
        mut histograms: Histograms<'_>,
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        while let Some(message) = histograms.next_message()? {
            let row = self.values.len();
            let taken = self.intake.take(row, &message, &mut self.histograms)?;
            if let Some(reason) = taken.refused {
                self.bad_histograms.push(BadHistogram {
                    position: self.keys.len().saturating_sub(1),
                    timestamp_ms: taken.timestamp_ms,
                    reason,
                });
                continue;
            }
            if self.histograms.n_counts() > limits.buckets_per_request {
                return Err(DecodeError {
                    offset: histograms.offset(),
                    what: "more buckets of native histograms than one request may have",
                });
            }
            self.timestamps_ms.push(taken.timestamp_ms);
            self.values.push(taken.sum);
            if taken.start_timestamp_ms != 0 {
                self.set_last_start(taken.start_timestamp_ms);
            }
        }
        Ok(())
    }

    #[inline]
    fn set_last_start(&mut self, start_ms: TimestampMs) {
        let last = self.values.len().saturating_sub(1);
        if self.starts_ms.len() != last {
            self.fill_up_starts(last);
        }
        self.starts_ms.push(start_ms);
    }

    /// Says of the samples before row `row` that nothing is known of theirs, if nothing was said.
    #[cold]
    fn fill_up_starts(&mut self, row: usize) {
        self.starts_ms.resize(row, 0);
    }

    fn end_series(&mut self, n_before: usize) {
        // A body is smaller than 4 GiB, so its samples are fewer.
        let n_samples = u32::try_from(self.values.len() - n_before);
        self.n_samples.push(n_samples.unwrap_or(u32::MAX));
    }
}
