//! When the process behind a resource began to count.
//!
//! Envoy does not say who it is, but all its cumulative points have one start: that of the process. So two Envoys that
//! would write the same series can be told apart.

use model::TimestampMs;

use super::metric::{Data, Metric};
use super::point::Point;
use crate::error::DecodeError;
use crate::protobuf::{Reader, WireType};

/// What the first cumulative point of a resource says about its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// When it began.
    pub start_ms: TimestampMs,
    /// When it reported.
    pub time_ms: TimestampMs,
}

impl Beginning {
    /// Looks for it in a `ResourceMetrics` message, as far as the first cumulative metric. `point` is only lent.
    ///
    /// # Errors
    /// The message is broken before that.
    pub(super) fn find(mut message: Reader<'_>, point: &mut Point) -> Result<Option<Self>, DecodeError> {
        while let Some((number, wire_type)) = message.field()? {
            if (number, wire_type) != (2, WireType::Bytes) {
                message.skip(wire_type)?;
                continue;
            }
            let mut scope_metrics = message.message()?;
            while let Some((number, wire_type)) = scope_metrics.field()? {
                if (number, wire_type) != (2, WireType::Bytes) {
                    scope_metrics.skip(wire_type)?;
                    continue;
                }
                let metric = Metric::read(scope_metrics.message()?)?;
                if let Some(data) = metric.data.filter(Data::is_cumulative)
                    && let Some(beginning) = Self::of(&data, point)?
                {
                    return Ok(Some(beginning));
                }
            }
        }
        Ok(None)
    }

    /// What the first point says.
    fn of(data: &Data<'_>, point: &mut Point) -> Result<Option<Self>, DecodeError> {
        let Some(message) = Data::next_point(&mut data.points())? else {
            return Ok(None);
        };
        point.read(data.kind, message)?;
        let times = point.start_ms().zip(point.time_ms());
        Ok(times.map(|(start_ms, time_ms)| Self { start_ms, time_ms }))
    }
}
