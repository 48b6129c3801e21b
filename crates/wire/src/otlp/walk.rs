//! Walks a request: every data point becomes samples of series.

use std::sync::Arc;

use model::{Sample, TimestampMs, stale_nan};

use super::attributes::Attributes;
use super::beginning::Beginning;
use super::exponential::to_native;
use super::metric::{Data, Metric};
use super::point::{DataKind, Point};
use super::rejection::Rejection;
use super::resource::{Pairs, Resource, gather_attributes};
use super::series::{Part, Series, SeriesOf, Visitor};
use super::settings::Settings;
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::protobuf::{Reader, WireType};
use crate::remote_write::Histogram;

/// Marks keys of OTLP: label messages of remote write never begin with these bytes.
const KEY_TAG: [u8; 2] = [0, b'o'];

/// `target_info` is repeated so often within the times of one request that a lookback of five minutes always finds
/// it.
const TARGET_INFO_STEP_MS: TimestampMs = 150_000;

/// A request whose points lie further apart gets it at both ends only.
const TARGET_INFO_STEPS_MAX: TimestampMs = 24;

/// Walks requests, with the memory it needs for that.
pub struct Walker<H> {
    settings: Arc<Settings>,
    points_max: u64,
    hash: H,
    point: Point,
    native: Histogram,
    /// Bytes whose hash is the key of a series.
    identity: Vec<u8>,
}

/// What all points of one resource have in common.
struct Context<'a> {
    resource: &'a Resource<'a>,
    resource_key: u128,
    scope: Pairs,
    /// Why none of its points is taken, if so.
    rejection: Option<Rejection>,
    /// First and last time of the points so far.
    times_ms: Option<(TimestampMs, TimestampMs)>,
}

impl<H: Fn(&[u8]) -> u128> Walker<H> {
    /// A walker; `hash` is keyed, so that nobody can make two series of one key.
    pub fn new(settings: Settings, limits: &Limits, hash: H) -> Self {
        Self {
            settings: Arc::new(settings),
            points_max: limits.samples_per_request as u64,
            hash,
            point: Point::default(),
            native: Histogram::default(),
            identity: Vec::new(),
        }
    }

    /// Walks an `ExportMetricsServiceRequest`. `origin` says who is connected: it becomes the instance of an Envoy
    /// that does not say who it is. Returns how many data points there are.
    ///
    /// # Errors
    /// The first thing that is broken; then nothing that `visitor` was told can be trusted.
    pub fn walk(
        &mut self,
        body: &[u8],
        origin: &str,
        visitor: &mut impl Visitor,
    ) -> Result<u64, DecodeError> {
        let settings = Arc::clone(&self.settings);
        let mut n_points = 0;
        let mut request = Reader::new(body, 0);
        while let Some((number, wire_type)) = request.field()? {
            match (number, wire_type) {
                (1, WireType::Bytes) => {
                    let message = request.message()?;
                    let resource = Resource::read(message, &settings, origin)?;
                    self.walk_resource(message, &resource, &mut n_points, visitor)?;
                }
                (1, _) => return Err(request.error("field of the request with the wrong wire type")),
                _ => request.skip(wire_type)?,
            }
        }
        Ok(n_points)
    }

    fn walk_resource(
        &mut self,
        mut message: Reader<'_>,
        resource: &Resource<'_>,
        n_points: &mut u64,
        visitor: &mut impl Visitor,
    ) -> Result<(), DecodeError> {
        self.identity.clear();
        self.identity.extend_from_slice(&KEY_TAG);
        resource.push_identity(&mut self.identity);
        let mut context = Context {
            resource,
            resource_key: (self.hash)(&self.identity),
            scope: Pairs::new(),
            rejection: None,
            times_ms: None,
        };
        if resource.is_envoy
            && let Some(beginning) = Beginning::find(message, &mut self.point)?
            && !visitor.admits(context.resource_key, beginning, || resource.identity())
        {
            context.rejection = Some(Rejection::SharedInstance);
        }
        while let Some((number, wire_type)) = message.field()? {
            match (number, wire_type) {
                (2, WireType::Bytes) => {
                    let scope_metrics = message.message()?;
                    context.scope = self.scope_labels(scope_metrics)?;
                    self.walk_metrics(scope_metrics, &mut context, n_points, visitor)?;
                }
                (2, _) => return Err(message.error("field of ResourceMetrics with the wrong wire type")),
                _ => message.skip(wire_type)?,
            }
        }
        self.tell_target(&context, visitor);
        Ok(())
    }

    /// Labels of a scope, wherever in the message it stands.
    fn scope_labels(&self, mut message: Reader<'_>) -> Result<Pairs, DecodeError> {
        let mut pairs = Pairs::new();
        if !self.settings.promotes_scope {
            return Ok(pairs);
        }
        while let Some((number, wire_type)) = message.field()? {
            if (number, wire_type) != (1, WireType::Bytes) {
                message.skip(wire_type)?;
                continue;
            }
            let scope = message.message()?;
            let mut reader = scope;
            while let Some((number, wire_type)) = reader.field()? {
                let label = match (number, wire_type) {
                    (1, WireType::Bytes) => "otel_scope_name",
                    (2, WireType::Bytes) => "otel_scope_version",
                    _ => {
                        reader.skip(wire_type)?;
                        continue;
                    }
                };
                let text = String::from_utf8_lossy(reader.bytes()?).into_owned();
                pairs.push((label.to_owned(), text));
            }
            let mut attributes = Vec::new();
            gather_attributes(scope, 3, &mut attributes)?;
            for attribute in Attributes(&attributes)
                .iter()
                .filter(|attribute| attribute.is_label())
            {
                let key = String::from_utf8_lossy(attribute.key);
                let name = self.settings.strategy.label_name(&format!("otel_scope_{key}"));
                pairs.push((name, attribute.text(self.settings.nesting_max)));
            }
        }
        let has_name = pairs
            .iter()
            .any(|(label, name)| label == "otel_scope_name" && !name.is_empty());
        Ok(if has_name { pairs } else { Pairs::new() })
    }

    fn walk_metrics(
        &mut self,
        mut scope_metrics: Reader<'_>,
        context: &mut Context<'_>,
        n_points: &mut u64,
        visitor: &mut impl Visitor,
    ) -> Result<(), DecodeError> {
        while let Some((number, wire_type)) = scope_metrics.field()? {
            match (number, wire_type) {
                (2, WireType::Bytes) => {
                    let metric = Metric::read(scope_metrics.message()?)?;
                    self.walk_points(&metric, context, n_points, visitor)?;
                }
                (2, _) => return Err(scope_metrics.error("field of ScopeMetrics with the wrong wire type")),
                _ => scope_metrics.skip(wire_type)?,
            }
        }
        Ok(())
    }

    fn walk_points(
        &mut self,
        metric: &Metric<'_>,
        context: &mut Context<'_>,
        n_points: &mut u64,
        visitor: &mut impl Visitor,
    ) -> Result<(), DecodeError> {
        let Some(data) = &metric.data else {
            // How many points it had cannot be known.
            *n_points += 1;
            visitor.rejected(Rejection::NoData, 1, &metric.name_text());
            return Ok(());
        };
        let mut refused = context.rejection.or_else(|| data.rejection(self.settings.delta));
        if refused.is_none() && !context.resource.leaves_a_name(metric.name) {
            refused = Some(Rejection::NoName);
        }
        let mut rest = data.points();
        let (mut n_refused, mut point_idx) = (0, *n_points);
        while let Some(message) = Data::next_point(&mut rest)? {
            if point_idx == self.points_max {
                return Err(message.error("more data points than one request may have"));
            }
            self.point.read(data.kind, message)?;
            self.point.exemplars.sort_by_key(|exemplar| exemplar.timestamp_ms);
            if refused.is_some() {
                n_refused += 1;
            } else if let Err(rejection) = self.tell(metric, data, context, point_idx, visitor) {
                visitor.rejected(rejection, 1, &metric.name_text());
            }
            point_idx += 1;
        }
        *n_points = point_idx;
        if let Some(rejection) = refused
            && n_refused > 0
        {
            visitor.rejected(rejection, n_refused, &metric.name_text());
        }
        Ok(())
    }

    /// Tells of the series of the point just read.
    fn tell(
        &mut self,
        metric: &Metric<'_>,
        data: &Data<'_>,
        context: &mut Context<'_>,
        point_idx: u64,
        visitor: &mut impl Visitor,
    ) -> Result<(), Rejection> {
        let timestamp_ms = self.point.time_ms().ok_or(Rejection::NoTime)?;
        self.check_buckets(data.kind)?;
        if data.kind == DataKind::ExponentialHistogram {
            to_native(&self.point, timestamp_ms, &mut self.native)?;
        }
        let (first, last) = context.times_ms.unwrap_or((timestamp_ms, timestamp_ms));
        context.times_ms = Some((first.min(timestamp_ms), last.max(timestamp_ms)));
        let key = self.point_key(metric, data, context);
        let telling = Telling {
            metric,
            context,
            point: &self.point,
            nesting_max: self.settings.nesting_max,
            key,
            point_idx,
            timestamp_ms,
            start_ms: self.point.start_ms(),
            is_delta: data.is_delta(),
        };
        match data.kind {
            DataKind::Gauge | DataKind::Sum => telling.number(visitor),
            DataKind::Histogram => {
                telling.histogram(visitor);
                Ok(())
            }
            DataKind::Summary => {
                telling.summary(visitor);
                Ok(())
            }
            DataKind::ExponentialHistogram => {
                visitor.histogram(&telling.series(Part::Whole, Part::Whole.mark()), &self.native);
                telling.exemplars(|_| true, visitor);
                Ok(())
            }
        }
    }

    fn check_buckets(&self, kind: DataKind) -> Result<(), Rejection> {
        let Point {
            bucket_counts,
            bounds,
            has_no_recorded_value,
            ..
        } = &self.point;
        if kind != DataKind::Histogram {
            return Ok(());
        }
        let fits = bucket_counts.len() == bounds.values().len() + 1 || bucket_counts.is_empty();
        if bounds.ascend() && (fits || *has_no_recorded_value) {
            Ok(())
        } else {
            Err(Rejection::BrokenBuckets)
        }
    }

    /// The key of a point: that of its series follow from it.
    fn point_key(&mut self, metric: &Metric<'_>, data: &Data<'_>, context: &Context<'_>) -> u128 {
        let identity = &mut self.identity;
        identity.clear();
        identity.extend_from_slice(&KEY_TAG);
        identity.extend_from_slice(&context.resource_key.to_le_bytes());
        identity.extend_from_slice(&[data.kind as u8, u8::from(data.is_monotonic)]);
        for text in [metric.name, metric.unit] {
            identity.extend_from_slice(&text.len().to_le_bytes());
            identity.extend_from_slice(text);
        }
        for (label, value) in &context.scope {
            identity.extend_from_slice(label.as_bytes());
            identity.push(0);
            identity.extend_from_slice(value.as_bytes());
            identity.push(0);
        }
        identity.push(0);
        identity.extend_from_slice(&self.point.attributes);
        (self.hash)(identity)
    }

    fn tell_target(&self, context: &Context<'_>, visitor: &mut impl Visitor) {
        let Some((first_ms, last_ms)) = context.times_ms else {
            return;
        };
        if context.resource.target_info().is_none() {
            return;
        }
        let series = Series {
            key: (self.hash)(&[&KEY_TAG[..], &context.resource_key.to_le_bytes(), b"target"].concat()),
            point: None,
            is_delta: false,
            sender: context.resource_key,
            resource: context.resource,
            of: SeriesOf::Target,
        };
        let span_ms = last_ms - first_ms;
        let n_steps = Some(span_ms / TARGET_INFO_STEP_MS).filter(|steps| *steps <= TARGET_INFO_STEPS_MAX);
        let times_ms = (0..=n_steps.unwrap_or(0)).map(|step| first_ms + step * TARGET_INFO_STEP_MS);
        let is_reached = n_steps.is_some() && span_ms % TARGET_INFO_STEP_MS == 0;
        let end_ms = (!is_reached).then_some(last_ms);
        for timestamp_ms in times_ms.chain(end_ms) {
            let sample = Sample {
                timestamp_ms,
                value: 1.0,
            };
            visitor.sample(&series, sample, None);
        }
    }
}

/// A point on its way to its series.
struct Telling<'a> {
    metric: &'a Metric<'a>,
    context: &'a Context<'a>,
    point: &'a Point,
    nesting_max: usize,
    key: u128,
    point_idx: u64,
    timestamp_ms: TimestampMs,
    start_ms: Option<TimestampMs>,
    is_delta: bool,
}

impl Telling<'_> {
    fn series(&self, part: Part, mark: u128) -> Series<'_> {
        Series {
            key: self.key ^ mark,
            point: Some(self.point_idx),
            is_delta: self.is_delta,
            sender: self.context.resource_key,
            resource: self.context.resource,
            of: SeriesOf::Point {
                metric: self.metric,
                scope: &self.context.scope,
                attributes: Attributes(&self.point.attributes),
                part,
                nesting_max: self.nesting_max,
            },
        }
    }

    /// One sample; a point without a recorded value ends the series.
    fn part(&self, part: Part, value: f64, visitor: &mut impl Visitor) {
        self.marked_part(part, part.mark(), value, visitor);
    }

    /// As [`Self::part`] with the mark of the part, where it is at hand.
    #[inline]
    fn marked_part(&self, part: Part, mark: u128, value: f64, visitor: &mut impl Visitor) {
        let ends = self.point.has_no_recorded_value;
        let sample = Sample {
            timestamp_ms: self.timestamp_ms,
            value: if ends { stale_nan() } else { value },
        };
        visitor.sample(&self.series(part, mark), sample, self.start_ms);
    }

    fn number(&self, visitor: &mut impl Visitor) -> Result<(), Rejection> {
        let value = match self.point.value {
            Some(value) => value,
            None if self.point.has_no_recorded_value => stale_nan(),
            None => return Err(Rejection::NoValue),
        };
        self.part(Part::Whole, value, visitor);
        self.exemplars(|_| true, visitor);
        Ok(())
    }

    /// Tells of the exemplars whose value `belongs` to the series that was told of last, oldest first.
    fn exemplars(&self, belongs: impl Fn(f64) -> bool, visitor: &mut impl Visitor) {
        for exemplar in self
            .point
            .exemplars
            .iter()
            .filter(|exemplar| belongs(exemplar.value))
        {
            visitor.exemplar(exemplar);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a sample is a float")]
    fn histogram(&self, visitor: &mut impl Visitor) {
        let point = self.point;
        // Old Envoys sent counts that include those of the buckets below.
        let total: u128 = point.bucket_counts.iter().map(|count| u128::from(*count)).sum();
        let is_cumulative = total != u128::from(point.count)
            && point.bucket_counts.is_sorted()
            && point.bucket_counts.last() == Some(&point.count);
        let mut below = 0_u64;
        let mut lower = f64::NEG_INFINITY;
        for ((bound, mark), count) in point.bounds.marked().zip(&point.bucket_counts) {
            below = if is_cumulative {
                *count
            } else {
                below.saturating_add(*count)
            };
            if bound != f64::INFINITY {
                self.marked_part(Part::Bucket(bound), mark, below as f64, visitor);
                self.exemplars(|value| lower < value && value <= bound, visitor);
                lower = bound;
            }
        }
        if point.bucket_counts.is_empty() && point.has_no_recorded_value {
            for (bound, mark) in point.bounds.marked().filter(|(bound, _)| *bound != f64::INFINITY) {
                self.marked_part(Part::Bucket(bound), mark, 0.0, visitor);
            }
        }
        self.part(Part::Bucket(f64::INFINITY), point.count as f64, visitor);
        self.exemplars(|value| lower < value, visitor);
        if point.sum.is_some() || point.has_no_recorded_value {
            self.part(Part::Sum, point.sum.unwrap_or(0.0), visitor);
        }
        self.part(Part::Count, point.count as f64, visitor);
    }

    #[expect(clippy::cast_precision_loss, reason = "a sample is a float")]
    fn summary(&self, visitor: &mut impl Visitor) {
        for (quantile, value) in &self.point.quantiles {
            self.part(Part::Quantile(*quantile), *value, visitor);
        }
        self.part(Part::Sum, self.point.sum.unwrap_or(0.0), visitor);
        self.part(Part::Count, self.point.count as f64, visitor);
    }
}

impl<H> std::fmt::Debug for Walker<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walker")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
