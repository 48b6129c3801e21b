//! A metric: a name, a kind, and data points.

use model::{MetricMetadata, MetricType};

use super::names::NameKind;
use super::point::DataKind;
use super::rejection::Rejection;
use super::resource::Resource;
use super::settings::DeltaPolicy;
use super::units;
use crate::error::DecodeError;
use crate::protobuf::{Reader, WireType};

/// A metric as it lies in a message. The points have not been looked at.
#[derive(Debug)]
pub(super) struct Metric<'a> {
    pub(super) name: &'a [u8],
    description: &'a [u8],
    pub(super) unit: &'a [u8],
    /// `None` when no kind that is known has been set.
    pub(super) data: Option<Data<'a>>,
}

/// What a metric holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) kind: DataKind,
    pub(super) is_monotonic: bool,
    temporality: u64,
    message: Reader<'a>,
}

const CUMULATIVE: u64 = 2;
const DELTA: u64 = 1;

impl<'a> Metric<'a> {
    #[inline]
    pub(super) fn read(mut message: Reader<'a>) -> Result<Self, DecodeError> {
        let mut metric = Self {
            name: b"",
            description: b"",
            unit: b"",
            data: None,
        };
        while let Some((number, wire_type)) = message.field()? {
            let kind = match (number, wire_type) {
                (1..=3, WireType::Bytes) => {
                    let text = message.bytes()?;
                    match number {
                        1 => metric.name = text,
                        2 => metric.description = text,
                        _ => metric.unit = text,
                    }
                    continue;
                }
                (5, WireType::Bytes) => DataKind::Gauge,
                (7, WireType::Bytes) => DataKind::Sum,
                (9, WireType::Bytes) => DataKind::Histogram,
                (10, WireType::Bytes) => DataKind::ExponentialHistogram,
                (11, WireType::Bytes) => DataKind::Summary,
                (1..=3 | 5 | 7 | 9..=11, _) => {
                    return Err(message.error("field of a Metric with the wrong wire type"));
                }
                _ => {
                    message.skip(wire_type)?;
                    continue;
                }
            };
            metric.data = Some(Data::read(kind, message.message()?)?);
        }
        Ok(metric)
    }

    /// The sender's name, for messages.
    pub(super) fn name_text(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }

    /// The name of its family; empty when there is none.
    pub(super) fn family(&self, resource: &Resource<'_>) -> String {
        let name = String::from_utf8_lossy(self.name);
        let unit = String::from_utf8_lossy(self.unit);
        let kind = match &self.data {
            Some(data) if data.kind == DataKind::Sum && data.is_monotonic => NameKind::Counter,
            Some(data) if data.kind == DataKind::Gauge => NameKind::Gauge,
            _ => NameKind::Other,
        };
        resource.metric_name(&name, &unit, kind).unwrap_or_default()
    }

    pub(super) fn metadata(&self, resource: &Resource<'_>) -> MetricMetadata {
        let metric_type = match self.data.map(|data| (data.kind, data.is_monotonic)) {
            None => MetricType::Unknown,
            Some((DataKind::Gauge | DataKind::Sum, false) | (DataKind::Gauge, true)) => MetricType::Gauge,
            Some((DataKind::Sum, true)) => MetricType::Counter,
            Some((DataKind::Histogram | DataKind::ExponentialHistogram, _)) => MetricType::Histogram,
            Some((DataKind::Summary, _)) => MetricType::Summary,
        };
        MetricMetadata {
            metric_name: self.family(resource),
            metric_type,
            help: String::from_utf8_lossy(self.description).into_owned(),
            unit: units::name(&String::from_utf8_lossy(self.unit)),
        }
    }
}

impl<'a> Data<'a> {
    /// Reads all but the points: what they mean may stand behind them.
    #[inline]
    fn read(kind: DataKind, message: Reader<'a>) -> Result<Self, DecodeError> {
        let mut data = Self {
            kind,
            is_monotonic: false,
            temporality: 0,
            message,
        };
        let mut reader = message;
        while let Some((number, wire_type)) = reader.field()? {
            match (number, wire_type) {
                (2, WireType::Varint) => data.temporality = reader.varint()?,
                (3, WireType::Varint) if kind == DataKind::Sum => data.is_monotonic = reader.varint()? != 0,
                _ => reader.skip(wire_type)?,
            }
        }
        Ok(data)
    }

    /// Why none of its points can be taken, if so.
    pub(super) fn rejection(&self, policy: DeltaPolicy) -> Option<Rejection> {
        match (self.kind, self.temporality, policy) {
            (DataKind::Gauge | DataKind::Summary, ..) | (_, CUMULATIVE, _) => None,
            (_, DELTA, DeltaPolicy::Reject) => Some(Rejection::Delta),
            (_, DELTA, DeltaPolicy::Convert) => None,
            _ => Some(Rejection::NoTemporality),
        }
    }

    /// True when its numbers count since the last report.
    pub(super) fn is_delta(&self) -> bool {
        let counts = !matches!(self.kind, DataKind::Gauge | DataKind::Summary);
        counts && self.temporality == DELTA
    }

    /// True when its numbers count since a start.
    pub(super) fn is_cumulative(&self) -> bool {
        let counts = !matches!(self.kind, DataKind::Gauge | DataKind::Summary);
        counts && self.temporality == CUMULATIVE
    }

    /// The next point of the points still in `rest`, which is [`Self::points`] at first.
    #[inline]
    pub(super) fn next_point(rest: &mut Reader<'a>) -> Result<Option<Reader<'a>>, DecodeError> {
        while let Some((number, wire_type)) = rest.field()? {
            match (number, wire_type) {
                (1, WireType::Bytes) => return rest.message().map(Some),
                (1, _) => return Err(rest.error("field of data points with the wrong wire type")),
                _ => rest.skip(wire_type)?,
            }
        }
        Ok(None)
    }

    /// Where the points are.
    pub(super) fn points(&self) -> Reader<'a> {
        self.message
    }
}
