//! Exemplar records.
//!
//! | column | type | |
//! |---|---|---|
//! | `stream` | UInt32 | stream id |
//! | `lane` | UInt16 | |
//! | `timestamp` | Int64 | milliseconds |
//! | `value` | UInt64 | the bits of the float |
//! | `names` | List(Utf8) | label names, sorted |
//! | `values` | List(Utf8) | their values, as many |

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt16Array, UInt32Array, UInt64Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use model::{LaneIdx, SeriesRef, StreamId};

use super::columns::{TextLists, column, text_item};
use super::ipc;
use super::record::{Payload, RecordEncoder, RecordKind};
use crate::exemplars::{Exemplar, ExemplarLabels};

/// Exemplars of one record: a few hundred bytes each at most.
const EXEMPLARS_MAX: usize = 4 << 10;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("stream", DataType::UInt32, false),
        Field::new("lane", DataType::UInt16, false),
        Field::new("timestamp", DataType::Int64, false),
        Field::new("value", DataType::UInt64, false),
        Field::new("names", DataType::List(text_item()), false),
        Field::new("values", DataType::List(text_item()), false),
    ]))
});

/// Encodes exemplars as records, in their order.
///
/// # Errors
/// If Arrow refuses a batch.
pub(crate) fn encode_exemplars(
    exemplars: &[Exemplar],
    encoder: &mut RecordEncoder,
) -> Result<Vec<Payload>, ArrowError> {
    let records = exemplars.chunks(EXEMPLARS_MAX);
    records.map(|some| encode_one(some, encoder)).collect()
}

fn encode_one(exemplars: &[Exemplar], encoder: &mut RecordEncoder) -> Result<Payload, ArrowError> {
    let texts = || ListBuilder::new(StringBuilder::new()).with_field(text_item());
    let (mut names, mut values) = (texts(), texts());
    for exemplar in exemplars {
        for (name, value) in exemplar.labels.iter() {
            names.values().append_value(name);
            values.values().append_value(value);
        }
        names.append(true);
        values.append(true);
    }
    let streams = exemplars.iter().map(|exemplar| exemplar.series.stream.0);
    let lanes = exemplars.iter().map(|exemplar| exemplar.series.lane.0);
    let times = exemplars.iter().map(|exemplar| exemplar.timestamp_ms);
    let bits = exemplars.iter().map(|exemplar| exemplar.value.to_bits());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(streams)),
        Arc::new(UInt16Array::from_iter_values(lanes)),
        Arc::new(Int64Array::from_iter_values(times)),
        Arc::new(UInt64Array::from_iter_values(bits)),
        Arc::new(names.finish()),
        Arc::new(values.finish()),
    ];
    let batch = RecordBatch::try_new(SchemaRef::clone(&SCHEMA), columns)?;
    encoder.encode(RecordKind::Exemplars, &batch)
}

/// Reads an exemplar record.
pub(crate) fn decode_exemplars(payload: &[u8]) -> Result<Vec<Exemplar>, String> {
    let batch = ipc::decode(payload, &SCHEMA)?;
    let streams = column::<UInt32Array>(&batch, 0)?.values();
    let lanes = column::<UInt16Array>(&batch, 1)?.values();
    let times = column::<Int64Array>(&batch, 2)?.values();
    let bits = column::<UInt64Array>(&batch, 3)?.values();
    let names = TextLists::of(&batch, 4)?;
    let values = TextLists::of(&batch, 5)?;
    let series = streams.iter().zip(lanes);
    let rows = series.zip(times.iter().zip(bits)).enumerate();
    let exemplars = rows.map(|(row, ((stream, lane), (timestamp_ms, bits)))| {
        Ok(Exemplar {
            series: SeriesRef {
                stream: StreamId(*stream),
                lane: LaneIdx(*lane),
            },
            timestamp_ms: *timestamp_ms,
            value: f64::from_bits(*bits),
            labels: read_labels(&names.row(row)?, &values.row(row)?)?,
        })
    });
    exemplars.collect()
}

fn read_labels(names: &[&str], values: &[&str]) -> Result<ExemplarLabels, String> {
    if names.len() != values.len() {
        return Err("an exemplar with more names than values, or fewer".to_owned());
    }
    let pairs = names.iter().copied().zip(values.iter().copied());
    ExemplarLabels::from_pairs(pairs).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplars_are_read_back_in_as_many_records_as_it_takes() {
        let exemplars: Vec<Exemplar> = (0..EXEMPLARS_MAX as u32 + 1)
            .map(|number| {
                let trace = format!("{number:032x}");
                let pairs = [("trace_id", trace.as_str()), ("span_id", "b")];
                Exemplar {
                    series: SeriesRef {
                        stream: StreamId(number),
                        lane: LaneIdx(number as u16),
                    },
                    timestamp_ms: i64::from(number) - 5,
                    value: f64::from_bits(0x7ff8_dead_0000_0000 | u64::from(number)),
                    labels: ExemplarLabels::from_pairs(pairs.into_iter().take(number as usize % 3)).unwrap(),
                }
            })
            .collect();
        let mut encoder = RecordEncoder::new().unwrap();
        let payloads = encode_exemplars(&exemplars, &mut encoder).unwrap();
        assert_eq!(payloads.len(), 2);
        let read = payloads
            .iter()
            .flat_map(|payload| decode_exemplars(payload.bytes()).unwrap());
        let comparable = |one: Exemplar| (one.series, one.timestamp_ms, one.value.to_bits(), one.labels);
        assert!(read.map(comparable).eq(exemplars.into_iter().map(comparable)));
    }
}
