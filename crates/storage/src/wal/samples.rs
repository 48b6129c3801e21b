//! Sample records.
//!
//! One row per sample, in the order of arrival: that order decides which of two contradicting samples stays.
//! Neighbours mostly are lanes of one stream at one time, which is why streams and timestamps are stored as
//! differences to the row before. Values are stored as they are; the buckets of a histogram repeat each other
//! enough for lz4.
//!
//! | column | type | |
//! |---|---|---|
//! | `stream` | UInt32 | stream id minus that of the row before (wrapping; 0 before the first row) |
//! | `lane` | UInt16 | lane |
//! | `timestamp` | Int64 | ms minus that of the row before (wrapping; 0 before the first row) |
//! | `value` | UInt64 | the bits of the float |

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow_array::{Int64Array, RecordBatch, UInt16Array, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use model::{LaneIdx, SampleBatch, SeriesRef, StreamId};

use super::columns::column;
use super::message::MessageWriter;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(sample_fields())));

/// The columns of every sample.
pub(crate) fn sample_fields() -> Vec<Field> {
    vec![
        Field::new("stream", DataType::UInt32, false),
        Field::new("lane", DataType::UInt16, false),
        Field::new("timestamp", DataType::Int64, false),
        Field::new("value", DataType::UInt64, false),
    ]
}

/// The columns of a record being made, as the bytes of their elements. Empties itself into a record, memory kept.
#[derive(Debug, Default)]
pub(crate) struct SampleColumns {
    streams: Vec<u8>,
    lanes: Vec<u8>,
    timestamps: Vec<u8>,
    values: Vec<u8>,
    last_stream: u32,
    last_timestamp: i64,
}

/// The columns of a longer record give their memory back.
const BYTES_KEPT_MAX: usize = 256 << 10;

impl SampleColumns {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len() / size_of::<u16>()
    }

    /// Adds some samples of a batch.
    ///
    /// # Panics
    /// If the range goes beyond the batch.
    #[expect(clippy::indexing_slicing, reason = "the writing side; the range is its own")]
    pub(crate) fn extend(&mut self, batch: &SampleBatch, range: Range<usize>) {
        let series = &batch.series[range.clone()];
        push_elements(&mut self.streams, series, |series| {
            let delta = series.stream.0.wrapping_sub(self.last_stream);
            self.last_stream = series.stream.0;
            delta.to_le_bytes()
        });
        push_elements(&mut self.lanes, series, |series| series.lane.0.to_le_bytes());
        push_elements(
            &mut self.timestamps,
            &batch.timestamps_ms[range.clone()],
            |timestamp_ms| {
                let delta = timestamp_ms.wrapping_sub(self.last_timestamp);
                self.last_timestamp = *timestamp_ms;
                delta.to_le_bytes()
            },
        );
        push_elements(&mut self.values, &batch.values[range], |value| {
            value.to_bits().to_le_bytes()
        });
    }

    /// The payload of the rows.
    pub(crate) fn finish(&mut self, writer: &mut MessageWriter) -> Vec<u8> {
        let n_rows = self.len();
        self.write(writer);
        writer.finish(n_rows)
    }

    /// Adds the columns of [`sample_fields`].
    pub(super) fn write(&mut self, writer: &mut MessageWriter) {
        writer.push_column(&self.streams, size_of::<u32>());
        writer.push_column(&self.lanes, size_of::<u16>());
        writer.push_column(&self.timestamps, size_of::<i64>());
        writer.push_column(&self.values, size_of::<u64>());
        (self.last_stream, self.last_timestamp) = (0, 0);
        let columns = [
            &mut self.streams,
            &mut self.lanes,
            &mut self.timestamps,
            &mut self.values,
        ];
        columns.into_iter().for_each(empty);
    }
}

/// Appends the bytes of one element for each item.
pub(super) fn push_elements<T, const WIDTH: usize>(
    column: &mut Vec<u8>,
    items: &[T],
    mut element_of: impl FnMut(&T) -> [u8; WIDTH],
) {
    let n_before = column.len();
    column.resize(n_before + items.len() * WIDTH, 0);
    let (elements, _) = column
        .get_mut(n_before..)
        .unwrap_or_default()
        .as_chunks_mut::<WIDTH>();
    for (element, item) in elements.iter_mut().zip(items) {
        *element = element_of(item);
    }
}

/// Empties a column that was written.
pub(super) fn empty(column: &mut Vec<u8>) {
    column.clear();
    column.shrink_to(BYTES_KEPT_MAX);
}

/// Reads a sample record.
pub(crate) fn decode_samples(payload: &[u8]) -> Result<SampleBatch, String> {
    read_samples(&super::ipc::decode(payload, &SCHEMA)?)
}

/// The samples of a batch that begins with the columns of [`sample_fields`].
pub(crate) fn read_samples(batch: &RecordBatch) -> Result<SampleBatch, String> {
    let streams = column::<UInt32Array>(batch, 0)?.values();
    let lanes = column::<UInt16Array>(batch, 1)?.values();
    let timestamps = column::<Int64Array>(batch, 2)?.values();
    let values = column::<UInt64Array>(batch, 3)?.values();
    let mut last_stream = 0u32;
    let series = streams.iter().zip(lanes).map(|(delta, lane)| {
        last_stream = last_stream.wrapping_add(*delta);
        SeriesRef {
            stream: StreamId(last_stream),
            lane: LaneIdx(*lane),
        }
    });
    let series = series.collect();
    let mut last_timestamp = 0i64;
    let timestamps_ms = timestamps.iter().map(|delta| {
        last_timestamp = last_timestamp.wrapping_add(*delta);
        last_timestamp
    });
    Ok(SampleBatch {
        series,
        timestamps_ms: timestamps_ms.collect(),
        values: values.iter().map(|bits| f64::from_bits(*bits)).collect(),
        ..SampleBatch::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::{Record, RecordEncoder, decode_record};
    use proptest::prelude::*;

    fn round_trip(batches: &[SampleBatch]) -> SampleBatch {
        let payloads = RecordEncoder::new().unwrap().encode_samples(batches);
        let mut read = SampleBatch::default();
        for payload in payloads {
            let Record::Samples(batch) = decode_record(payload.kind() as u8, payload.bytes()).unwrap() else {
                panic!("samples turned into something else");
            };
            read.series.extend(batch.series);
            read.timestamps_ms.extend(batch.timestamps_ms);
            read.values.extend(batch.values);
        }
        read
    }

    fn bits(batch: &SampleBatch) -> Vec<(SeriesRef, i64, u64)> {
        let values = batch.values.iter().map(|value| value.to_bits());
        let rows = batch.series.iter().zip(&batch.timestamps_ms).zip(values);
        rows.map(|((series, timestamp_ms), bits)| (*series, *timestamp_ms, bits))
            .collect()
    }

    fn batch(samples: &[(u32, u16, i64, u64)]) -> SampleBatch {
        let mut batch = SampleBatch::default();
        for (stream, lane, timestamp_ms, bits) in samples {
            let series = SeriesRef {
                stream: StreamId(*stream),
                lane: LaneIdx(*lane),
            };
            batch.push(series, *timestamp_ms, f64::from_bits(*bits));
        }
        batch
    }

    #[test]
    fn many_samples_take_several_records() {
        let many: Vec<_> = (0..100_000u32)
            .map(|n| (n / 7, (n % 7) as u16, 5, u64::from(n)))
            .collect();
        let batches = [batch(&many[..40_000]), batch(&[]), batch(&many[40_000..])];
        assert_eq!(bits(&round_trip(&batches)), bits(&batch(&many)));
        let n_records = RecordEncoder::new().unwrap().encode_samples(&batches).len();
        assert_eq!(n_records, 2);
        assert_eq!(RecordEncoder::new().unwrap().encode_samples([]).len(), 0);
    }

    proptest! {
        #[test]
        fn samples_are_read_back_in_order_and_bit_for_bit(
            samples in proptest::collection::vec(any::<(u32, u16, i64, u64)>(), 0..200),
            cut in 0..200usize,
        ) {
            let (first, second) = samples.split_at(cut.min(samples.len()));
            let read = round_trip(&[batch(first), batch(second)]);
            prop_assert_eq!(bits(&read), bits(&batch(&samples)));
        }

        #[test]
        fn damaged_payloads_are_errors_or_other_samples_but_no_panics(
            samples in proptest::collection::vec(any::<(u32, u16, i64, u64)>(), 1..50),
            kind in 0..8u8,
            flips in proptest::collection::vec(any::<prop::sample::Index>(), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let payloads = RecordEncoder::new().unwrap().encode_samples([&batch(&samples)]);
            let mut bytes = payloads[0].bytes().to_vec();
            for flip in &flips {
                let bit = flip.index(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            drop(decode_record(5, &bytes));
            drop(decode_record(kind, &bytes));
            bytes.truncate(cut.index(bytes.len()));
            drop(decode_record(kind, &bytes));
        }
    }
}
