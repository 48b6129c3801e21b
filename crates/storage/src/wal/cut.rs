//! Cut records: where the head was cut, so that a replay judges the age of samples as it was judged then.
//!
//! | column | type | |
//! |---|---|---|
//! | `before` | Int64 | ms since the epoch: everything older that stands before was on its way to blocks |
//!
//! One row. The last one counts.

use std::sync::{Arc, LazyLock};

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use model::TimestampMs;

use super::columns::column;
use super::ipc;
use super::record::{Payload, RecordEncoder, RecordKind};

static SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("before", DataType::Int64, false)])));

/// Encodes a cut.
///
/// # Errors
/// If Arrow refuses the batch.
pub(crate) fn encode_cut(before_ms: TimestampMs, encoder: &mut RecordEncoder) -> Result<Payload, ArrowError> {
    let before = Arc::new(Int64Array::from(vec![before_ms]));
    let batch = RecordBatch::try_new(SchemaRef::clone(&SCHEMA), vec![before])?;
    encoder.encode(RecordKind::Cut, &batch)
}

/// Reads a cut.
pub(crate) fn decode_cut(payload: &[u8]) -> Result<TimestampMs, String> {
    let batch = ipc::decode(payload, &SCHEMA)?;
    let before = column::<Int64Array>(&batch, 0)?.values();
    match **before {
        [before_ms] => Ok(before_ms),
        _ => Err(format!("{} cuts instead of one", before.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::{Record, decode_record};

    #[test]
    fn a_cut_is_read_back() {
        for before_ms in [i64::MIN, -1, 1_700_000_000_000, i64::MAX] {
            let payload = encode_cut(before_ms, &mut RecordEncoder::new().unwrap()).unwrap();
            let read = decode_record(payload.kind() as u8, payload.bytes()).unwrap();
            assert!(matches!(read, Record::Cut(read_ms) if read_ms == before_ms));
        }
    }
}
