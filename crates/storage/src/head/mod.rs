//! The head: the samples of all streams in memory.
//!
//! One thread appends, any number of threads read. What [`Head::append`] accepts and refuses is a function of the
//! samples it was given so far and of nothing else, so replaying the log leads to the same head.

mod refusal;
mod stats;

use std::collections::BTreeMap;

use model::{LaneIdx, SampleBatch, StreamId, TimeRange, TimestampMs};
use parking_lot::RwLock;

pub use refusal::{Refusal, RefusalReason};
pub use stats::{HeadBytes, HeadStats};

use crate::{Error, NewestBuffer, StreamBuffer};

/// How a head behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadConfig {
    /// How far behind the newest sample of its stream a sample may be, in milliseconds.
    pub out_of_order_window_ms: i64,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            out_of_order_window_ms: 3_600_000,
        }
    }
}

/// Which lanes of a stream are read, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneChoice<'a> {
    /// Lanes 0 .. n.
    First(usize),
    /// These, in this order.
    List(&'a [LaneIdx]),
}

impl LaneChoice<'_> {
    /// How many lanes are read.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::First(n_lanes) => *n_lanes,
            Self::List(lanes) => lanes.len(),
        }
    }

    /// True when no lane is read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lanes by position, in reading order.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).map(|position| match self {
            Self::First(_) => position,
            Self::List(lanes) => usize::from(lanes[position].0),
        })
    }
}

type Rows = BTreeMap<TimestampMs, BTreeMap<u16, u64>>;

/// The samples of all streams, in memory.
#[derive(Debug)]
pub struct Head {
    config: HeadConfig,
    streams: RwLock<Vec<Rows>>,
}

impl Head {
    /// An empty head.
    #[must_use]
    pub fn new(config: HeadConfig) -> Self {
        Self {
            config,
            streams: RwLock::default(),
        }
    }

    /// Stores the samples of `batch` in their order; returns how many were accepted. A sample that is already
    /// there with the same bits is accepted and stored once. What is not accepted is added to `refused`, in
    /// the order of the batch; the rest is stored all the same.
    ///
    /// Streams and lanes come into being with their first sample. Stream ids are expected to be dense.
    ///
    /// To be called by one thread at a time, in the order of the log.
    pub fn append(&self, batch: &SampleBatch, refused: &mut Vec<Refusal>) -> usize {
        let mut streams = self.streams.write();
        let n_refused = refused.len();
        for sample_idx in 0..batch.len() {
            let series = batch.series[sample_idx];
            let timestamp_ms = batch.timestamps_ms[sample_idx];
            let bits = batch.values[sample_idx].to_bits();
            let stream_idx = series.stream.0 as usize;
            if streams.len() <= stream_idx {
                streams.resize_with(stream_idx + 1, Rows::default);
            }
            let rows = &mut streams[stream_idx];
            let newest_ms = rows
                .last_key_value()
                .map_or(TimestampMs::MIN, |(newest, _)| *newest);
            let oldest_accepted_ms = newest_ms.saturating_sub(self.config.out_of_order_window_ms);
            let held = rows.get(&timestamp_ms).and_then(|row| row.get(&series.lane.0));
            let reason = match held {
                Some(existing) if *existing == bits => continue,
                Some(existing) => RefusalReason::DuplicateTimestamp {
                    existing: f64::from_bits(*existing),
                },
                None if timestamp_ms < oldest_accepted_ms => RefusalReason::TooOld { oldest_accepted_ms },
                None => {
                    rows.entry(timestamp_ms).or_default().insert(series.lane.0, bits);
                    continue;
                }
            };
            refused.push(Refusal { sample_idx, reason });
        }
        batch.len() - (refused.len() - n_refused)
    }

    /// Reads the samples of some lanes of one stream in `range` into `buffer`, as
    /// [`Selection::read`](crate::Selection::read) says. A stream or lane that is not there has no sample.
    ///
    /// # Errors
    /// Damaged data.
    pub fn read(
        &self,
        stream: StreamId,
        lanes: LaneChoice<'_>,
        range: TimeRange,
        buffer: &mut StreamBuffer,
    ) -> Result<(), Error> {
        buffer.reset(lanes.len());
        let streams = self.streams.read();
        let Some(rows) = streams.get(stream.0 as usize) else {
            return Ok(());
        };
        let (timestamps_ms, lane_buffers) = buffer.parts_mut();
        for (timestamp_ms, row) in rows
            .iter()
            .filter(|(timestamp_ms, _)| range.contains(**timestamp_ms))
        {
            for (lane, lane_buffer) in lanes.positions().zip(&mut *lane_buffers) {
                let bits = row.get(&(lane as u16)).copied();
                if bits.is_none() {
                    lane_buffer.absent_rows.push(timestamps_ms.len() as u32);
                }
                let value = f64::from_bits(bits.unwrap_or_default());
                lane_buffer.may_be_nan |= value.is_nan();
                lane_buffer.values.push(value);
            }
            timestamps_ms.push(*timestamp_ms);
        }
        Ok(())
    }

    /// Reads the newest sample in `range` of some lanes of one stream, as
    /// [`Selection::read_newest`](crate::Selection::read_newest) says.
    ///
    /// # Errors
    /// Damaged data.
    pub fn read_newest(
        &self,
        stream: StreamId,
        lanes: LaneChoice<'_>,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        buffer.samples.clear();
        buffer.samples.resize(lanes.len(), None);
        let streams = self.streams.read();
        let Some(rows) = streams.get(stream.0 as usize) else {
            return Ok(());
        };
        for (timestamp_ms, row) in rows
            .iter()
            .filter(|(timestamp_ms, _)| range.contains(**timestamp_ms))
        {
            for (lane, newest) in lanes.positions().zip(&mut buffer.samples) {
                if let Some(bits) = row.get(&(lane as u16)) {
                    *newest = Some((*timestamp_ms, f64::from_bits(*bits)));
                }
            }
        }
        Ok(())
    }

    /// True when the stream may have samples in `range`: no sample is missed, but there may be none. Costs as
    /// much as finding the stream.
    #[must_use]
    pub fn may_have_samples(&self, stream: StreamId, range: TimeRange) -> bool {
        let streams = self.streams.read();
        let rows = streams.get(stream.0 as usize);
        rows.and_then(|rows| Some((*rows.first_key_value()?.0, *rows.last_key_value()?.0)))
            .is_some_and(|(oldest_ms, newest_ms)| range.overlaps(oldest_ms, newest_ms))
    }

    /// What the head holds, as of the last append.
    #[must_use]
    pub fn stats(&self) -> HeadStats {
        let streams = self.streams.read();
        let held = streams.iter().flatten();
        let lanes = |rows: &Rows| {
            rows.values()
                .flat_map(|row| row.keys())
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        HeadStats {
            n_streams: streams.iter().filter(|rows| !rows.is_empty()).count(),
            n_series: streams.iter().map(lanes).sum(),
            n_samples: held.clone().map(|(_, row)| row.len() as u64).sum(),
            oldest_ms: held.clone().map(|(timestamp_ms, _)| *timestamp_ms).min(),
            newest_ms: held.map(|(timestamp_ms, _)| *timestamp_ms).max(),
            bytes: HeadBytes::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::SeriesRef;

    #[test]
    fn another_value_at_the_same_time_is_refused_and_the_first_one_stays() {
        let head = Head::new(HeadConfig::default());
        let series = SeriesRef {
            stream: StreamId(1),
            lane: LaneIdx(2),
        };
        let mut batch = SampleBatch::default();
        batch.push(series, 1_000, 1.0);
        batch.push(series, 1_000, 1.0);
        batch.push(series, 1_000, 2.0);
        let mut refused = Vec::new();
        assert_eq!(head.append(&batch, &mut refused), 2);
        let reason = RefusalReason::DuplicateTimestamp { existing: 1.0 };
        assert_eq!(
            refused,
            [Refusal {
                sample_idx: 2,
                reason
            }]
        );
        let mut newest = NewestBuffer::default();
        let lanes = LaneChoice::List(&[LaneIdx(2), LaneIdx(0)]);
        head.read_newest(StreamId(1), lanes, TimeRange::ALL, &mut newest)
            .unwrap();
        assert_eq!(newest.samples, [Some((1_000, 1.0)), None]);
        assert_eq!(head.stats().n_samples, 1);
    }
}
