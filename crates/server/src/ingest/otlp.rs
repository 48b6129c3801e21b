//! OTLP requests: from the points of a message to the columns of a batch, and which points were not taken.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use catalog::SeriesKey;
use model::{MetricMetadata, Sample, TimestampMs};
use storage::Store;
use wire::Limits;
use wire::grpc::Frame;
use wire::otlp::{Beginning, Exemplar, Rejection, Series, Settings, Visitor, Walker, json};
use wire::remote_write::{Histogram, SeriesLabels};

use super::decompress::{Compression, decompress};
use super::deltas::{Deltas, Difference, Report};
use super::envoys::Envoys;
use super::gather::Columns;
use super::resolve::{Bounds, Resolving};
use super::restore::restore_beginning;
use super::{Failure, SymbolHash, resolver_hash};

pub(crate) use wire::otlp::response::Encoding;

/// How an OTLP body is to be read.
#[derive(Debug)]
pub(crate) struct OtlpBody {
    pub(crate) encoding: Encoding,
    pub(crate) compression: Compression,
    /// Whether the message lies in a frame of gRPC, which says whether it is compressed at all.
    pub(crate) is_framed: bool,
    /// The address of the sender.
    pub(crate) origin: String,
}

/// What became of the data points of one request.
#[derive(Debug, Default)]
pub(crate) struct Points {
    n_points: u64,
    /// Points that could not be read or are not supported: how many, and the first metric.
    rejected: BTreeMap<Rejection, (u64, String)>,
    /// Points of which at least one sample was refused.
    refused: BTreeSet<u64>,
    /// The point of each row of the batch.
    of_row: Vec<Option<u64>>,
}

/// What is remembered of senders, by all threads together.
#[derive(Debug, Default)]
pub(super) struct Senders {
    deltas: Deltas,
    envoys: Envoys,
}

/// Reads OTLP requests, with the memory it needs for that.
#[derive(Debug)]
pub(super) struct Reader {
    walker: Walker<SymbolHash>,
    senders: Arc<Senders>,
    limits: Limits,
    decompressed: Vec<u8>,
    /// The point of each series of the request.
    of_series: Vec<Option<u64>>,
    /// How many series the last request had.
    n_series_before: usize,
    /// What the request has of delta temporality.
    reports: Vec<Report>,
    /// Whether each of the request's Envoys is taken.
    admissions: Vec<bool>,
}

/// A larger body gives its memory back.
const DECOMPRESSED_BYTES_KEPT_MAX: usize = 4 << 20;

impl Reader {
    pub(super) fn new(
        store: &Arc<Store>,
        senders: Arc<Senders>,
        settings: &Settings,
        limits: &Limits,
    ) -> Self {
        Self {
            walker: Walker::new(settings.clone(), limits, resolver_hash(store)),
            senders,
            limits: limits.clone(),
            decompressed: Vec::new(),
            of_series: Vec::new(),
            n_series_before: 0,
            reports: Vec::new(),
            admissions: Vec::new(),
        }
    }

    /// Opens a body: decompressed, and in protobuf. The caller gives it back to [`Self::give_back`].
    pub(super) fn open<'b>(&mut self, body: &'b [u8], how: &OtlpBody) -> Result<Cow<'b, [u8]>, Failure> {
        let (message, compression) = unframed(body, how)?;
        let is_open = compression == Compression::Identity && how.encoding == Encoding::Protobuf;
        if is_open && message.len() <= self.limits.otlp_bytes {
            return Ok(Cow::Borrowed(message));
        }
        let mut bytes = std::mem::take(&mut self.decompressed);
        bytes.clear();
        decompress(message, compression, self.limits.otlp_bytes, &mut bytes)?;
        match how.encoding {
            Encoding::Protobuf => Ok(Cow::Owned(bytes)),
            Encoding::Json => json::to_protobuf(&bytes)
                .map(Cow::Owned)
                .map_err(Failure::Malformed),
        }
    }

    pub(super) fn give_back(&mut self, bytes: Cow<'_, [u8]>) {
        if let Cow::Owned(bytes) = bytes
            && bytes.capacity() <= DECOMPRESSED_BYTES_KEPT_MAX
        {
            self.decompressed = bytes;
        }
    }

    /// Walks a request into the columns.
    pub(super) fn gather(
        &mut self,
        body: &[u8],
        origin: &str,
        store: &Store,
        columns: &mut Columns,
    ) -> Result<Points, Failure> {
        // The list goes away with the answer of most requests.
        self.of_series.clear();
        self.of_series.reserve(self.n_series_before);
        self.reports.clear();
        self.admissions.clear();
        let mut points = Points::default();
        let mut gather = Gather {
            columns,
            of_series: &mut self.of_series,
            reports: &mut self.reports,
            points: &mut points,
            store,
            envoys: &self.senders.envoys,
            admissions: &mut self.admissions,
            buckets_max: self.limits.buckets_per_request,
            n_delta_buckets: 0,
        };
        let walked = self.walker.walk(body, origin, &mut gather);
        let n_delta_buckets = gather.n_delta_buckets;
        points.n_points = walked.map_err(Failure::undecodable)?;
        if columns.histograms.n_counts() + n_delta_buckets > self.limits.buckets_per_request {
            let reason = "more buckets of native histograms than one request may have";
            return Err(Failure::Malformed(reason.to_owned()));
        }
        Ok(points)
    }

    /// Registers the series that are unknown; gives their metadata.
    pub(super) fn register(
        &mut self,
        body: &[u8],
        origin: &str,
        resolving: &mut Resolving<'_>,
    ) -> Result<Vec<MetricMetadata>, Failure> {
        let mut register = Register {
            resolving,
            limits: &self.limits,
            admissions: self.admissions.iter(),
            position: 0,
            metadata: BTreeMap::new(),
            failure: None,
        };
        let walked = self.walker.walk(body, origin, &mut register);
        debug_assert!(walked.is_ok(), "the first walk has gone through");
        match register.failure {
            Some(failure) => Err(failure),
            None => Ok(register.metadata.into_values().collect()),
        }
    }

    /// Turns differences into totals, and adds the totals that are to be stored again. Those that cannot be taken lose
    /// their series. Those whose time is not within `bounds` stay what they are, for the batch to refuse: a total must
    /// not wait for a time that was a mistake.
    pub(super) fn convert(&mut self, bounds: Bounds, resolving: &mut Resolving<'_>) {
        for report in &mut self.reports {
            let times = &resolving.columns.timestamps_ms;
            let time_of = |difference: &Difference| times.get(difference.row).copied();
            let is_timely = |difference: &Difference| time_of(difference).is_some_and(|at| bounds.hold(at));
            report.differences.retain(is_timely);
            let Some(time_ms) = report.differences.iter().filter_map(time_of).max() else {
                continue;
            };
            let of_series = &mut self.of_series;
            let stamps = self
                .senders
                .deltas
                .take(resolving.store, report, time_ms, |sender| {
                    for difference in &report.differences {
                        if resolving.convert(difference, sender) {
                            // The point moves on to the total.
                            let slot = of_series.get_mut(difference.position);
                            let point = slot.and_then(Option::take);
                            of_series.push(point);
                        }
                    }
                });
            resolving.push_stamps(&stamps);
            self.of_series.resize(resolving.found.len(), None);
        }
    }

    /// Notes which points have samples that will not be in the batch, and which rows belong to which of the others.
    pub(super) fn note_rows(&mut self, resolving: &Resolving<'_>, bounds: Bounds, points: &mut Points) {
        self.n_series_before = self.of_series.len();
        let columns = &*resolving.columns;
        let is_whole = columns.n_samples.iter().all(|n_samples| *n_samples == 1)
            && resolving.found.iter().all(Option::is_some)
            && columns.timestamps_ms.iter().all(|time| bounds.hold(*time));
        if is_whole {
            // The row of each series is its position.
            points.of_row = std::mem::take(&mut self.of_series);
            return;
        }
        let mut row = 0;
        points.of_row.reserve(self.of_series.len());
        for (position, point) in self.of_series.iter().enumerate() {
            let has_sample = resolving.columns.n_samples.get(position) == Some(&1);
            let timestamp_ms = resolving.columns.timestamps_ms.get(row).copied();
            row += usize::from(has_sample);
            let is_known = resolving.found.get(position).is_some_and(Option::is_some);
            let is_timely = timestamp_ms.is_some_and(|timestamp_ms| bounds.hold(timestamp_ms));
            if has_sample && is_known && is_timely {
                points.of_row.push(*point);
            } else {
                points.refused.extend(*point);
            }
        }
    }
}

/// The message of a body, and how it is compressed.
fn unframed<'b>(body: &'b [u8], how: &OtlpBody) -> Result<(&'b [u8], Compression), Failure> {
    if !how.is_framed {
        return Ok((body, how.compression));
    }
    let malformed = |error: &dyn std::fmt::Display| Failure::Malformed(format!("no call of gRPC: {error}"));
    let frame = Frame::read(body).map_err(|error| malformed(&error))?;
    match (frame.is_compressed, how.compression) {
        (false, _) => Ok((frame.message, Compression::Identity)),
        (true, Compression::Identity) => Err(malformed(
            &"the message is compressed, but grpc-encoding does not say how",
        )),
        (true, compression) => Ok((frame.message, compression)),
    }
}

impl Points {
    /// Notes that the store refused this row of the batch.
    pub(crate) fn refuse_row(&mut self, row: usize) {
        self.refused.extend(self.of_row.get(row).copied().flatten());
    }

    /// True when two points of the request gave these rows.
    pub(crate) fn differ(&self, row: usize, other: usize) -> bool {
        self.of_row.get(row) != self.of_row.get(other)
    }

    /// How many data points there were.
    pub(crate) fn n_points(&self) -> u64 {
        self.n_points
    }

    /// How many of them were not taken, or not whole.
    pub(crate) fn n_rejected(&self) -> u64 {
        let rejected: u64 = self.rejected.values().map(|(n_points, _)| n_points).sum();
        rejected + self.refused.len() as u64
    }

    /// A line for each reason that lies in the points.
    pub(crate) fn text(&self) -> String {
        let lines: Vec<String> = self
            .rejected
            .iter()
            .map(|(reason, (n_points, metric))| {
                format!("{n_points} data points rejected, the first of metric {metric:?}: {reason}")
            })
            .collect();
        lines.join("\n")
    }
}

/// The first walk.
struct Gather<'a> {
    columns: &'a mut Columns,
    of_series: &'a mut Vec<Option<u64>>,
    reports: &'a mut Vec<Report>,
    points: &'a mut Points,
    store: &'a Store,
    envoys: &'a Envoys,
    admissions: &'a mut Vec<bool>,
    buckets_max: usize,
    /// Buckets of histograms that are differences.
    n_delta_buckets: usize,
}

impl Gather<'_> {
    /// Notes that the series about to be pushed has a difference.
    fn note_difference(&mut self, series: &Series<'_>, histogram: Option<Histogram>) {
        let is_last = self
            .reports
            .last()
            .is_some_and(|last| last.sender == series.sender);
        if !is_last {
            self.reports.push(Report {
                sender: series.sender,
                identity: series.identity(),
                differences: Vec::new(),
            });
        }
        let difference = Difference {
            position: self.columns.keys.len(),
            row: self.columns.values.len(),
            histogram,
        };
        if let Some(last) = self.reports.last_mut() {
            last.differences.push(difference);
        }
    }
}

impl Visitor for Gather<'_> {
    fn sample(&mut self, series: &Series<'_>, sample: Sample, start_ms: Option<TimestampMs>) {
        if series.is_delta {
            self.note_difference(series, None);
        }
        self.of_series.push(series.point);
        let start_ms = start_ms.filter(|_| !series.is_delta);
        self.columns.push_sample(SeriesKey(series.key), sample, start_ms);
    }

    fn histogram(&mut self, series: &Series<'_>, histogram: &Histogram) {
        let key = SeriesKey(series.key);
        let n_buckets = self.columns.histograms.n_counts() + self.n_delta_buckets;
        if n_buckets > self.buckets_max {
            self.columns.push_nothing(key);
        } else if series.is_delta {
            self.n_delta_buckets += histogram.positive.deltas.len() + histogram.negative.deltas.len();
            self.note_difference(series, Some(histogram.clone()));
            let sample = Sample {
                timestamp_ms: histogram.timestamp_ms,
                value: 0.0,
            };
            self.columns.push_sample(key, sample, None);
        } else {
            self.columns.push_histogram(key, histogram);
        }
        self.of_series.push(series.point);
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let pairs = exemplar.labels.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
        let position = self.columns.keys.len().saturating_sub(1);
        self.columns
            .exemplars
            .push_checked(position, exemplar.timestamp_ms, exemplar.value, pairs);
    }

    fn admits(
        &mut self,
        sender: u128,
        beginning: Beginning,
        identity: impl Fn() -> Vec<(String, String)>,
    ) -> bool {
        let stored = || restore_beginning(self.store, &identity(), beginning.time_ms);
        let is_admitted = self.envoys.admits(sender, beginning, stored);
        self.admissions.push(is_admitted);
        is_admitted
    }

    fn rejected(&mut self, rejection: Rejection, n_points: u64, metric_name: &str) {
        let (counted, _) = self
            .points
            .rejected
            .entry(rejection)
            .or_insert_with(|| (0, metric_name.to_owned()));
        *counted += n_points;
    }
}

/// The second walk.
struct Register<'a, 'r> {
    resolving: &'a mut Resolving<'r>,
    limits: &'a Limits,
    /// The answers of the first walk.
    admissions: std::slice::Iter<'a, bool>,
    position: usize,
    /// By family.
    metadata: BTreeMap<String, MetricMetadata>,
    failure: Option<Failure>,
}

impl Register<'_, '_> {
    fn series(&mut self, series: &Series<'_>) {
        let position = self.position;
        self.position += 1;
        if self.failure.is_some() || !self.resolving.is_new(position) {
            return;
        }
        let metadata = series.metadata();
        self.metadata
            .entry(metadata.metric_name.clone())
            .or_insert(metadata);
        let pairs = series.labels();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let labels = SeriesLabels::checked(&pairs, self.limits);
        self.failure = self.resolving.register_at(position, labels).err();
    }
}

impl Visitor for Register<'_, '_> {
    fn sample(&mut self, series: &Series<'_>, _: Sample, _: Option<TimestampMs>) {
        self.series(series);
    }

    fn histogram(&mut self, series: &Series<'_>, _: &Histogram) {
        self.series(series);
    }

    fn exemplar(&mut self, _: &Exemplar) {}

    fn admits(&mut self, _: u128, _: Beginning, _: impl Fn() -> Vec<(String, String)>) -> bool {
        self.admissions.next() == Some(&true)
    }

    fn rejected(&mut self, _: Rejection, _: u64, _: &str) {}
}
