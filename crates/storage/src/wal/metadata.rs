//! Metadata records: what metrics say about themselves.
//!
//! | column | type | |
//! |---|---|---|
//! | `metric` | Utf8 | name of the metric family |
//! | `type` | UInt8 | 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info, 7 state set |
//! | `help` | Utf8 | |
//! | `unit` | Utf8 | |

use std::sync::{Arc, LazyLock};

use arrow_array::{RecordBatch, StringArray, UInt8Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use model::{MetricMetadata, MetricType};

use super::columns::column;
use super::ipc::{self, ROWS_MAX};
use super::record::{Payload, RecordEncoder, RecordKind};

/// Text of one record, roughly.
const TEXT_BYTES_MAX: usize = 1 << 20;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("metric", DataType::Utf8, false),
        Field::new("type", DataType::UInt8, false),
        Field::new("help", DataType::Utf8, false),
        Field::new("unit", DataType::Utf8, false),
    ]))
});

/// The types by their stored number.
const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

/// Encodes metadata as records.
///
/// # Errors
/// If Arrow refuses a batch.
pub(crate) fn encode_metadata(
    metadata: &[MetricMetadata],
    encoder: &mut RecordEncoder,
) -> Result<Vec<Payload>, ArrowError> {
    let mut payloads = Vec::new();
    let mut rest = metadata;
    while !rest.is_empty() {
        let mut text_bytes = 0;
        let fits = |metric: &&MetricMetadata| {
            let fits = text_bytes < TEXT_BYTES_MAX;
            text_bytes += metric.metric_name.len() + metric.help.len() + metric.unit.len();
            fits
        };
        let n_rows = rest.iter().take(ROWS_MAX).take_while(fits).count();
        let (now, later) = rest.split_at(n_rows);
        payloads.push(encode_one(now, encoder)?);
        rest = later;
    }
    Ok(payloads)
}

fn encode_one(metadata: &[MetricMetadata], encoder: &mut RecordEncoder) -> Result<Payload, ArrowError> {
    let texts = |text: fn(&MetricMetadata) -> &str| {
        Arc::new(StringArray::from_iter_values(metadata.iter().map(text)))
    };
    let types = metadata.iter().map(|metric| type_number(metric.metric_type));
    let batch = RecordBatch::try_new(
        SchemaRef::clone(&SCHEMA),
        vec![
            texts(|metric| &metric.metric_name),
            Arc::new(UInt8Array::from_iter_values(types)),
            texts(|metric| &metric.help),
            texts(|metric| &metric.unit),
        ],
    )?;
    encoder.encode(RecordKind::Metadata, &batch)
}

fn type_number(metric_type: MetricType) -> u8 {
    (0..)
        .zip(TYPES)
        .find(|(_, listed)| *listed == metric_type)
        .map_or(0, |(number, _)| number)
}

/// Reads a metadata record. A type that is not known here is `Unknown`.
pub(crate) fn decode_metadata(payload: &[u8]) -> Result<Vec<MetricMetadata>, String> {
    let batch = ipc::decode(payload, &SCHEMA)?;
    let names = column::<StringArray>(&batch, 0)?.iter();
    let types = column::<UInt8Array>(&batch, 1)?.values();
    let helps = column::<StringArray>(&batch, 2)?.iter();
    let units = column::<StringArray>(&batch, 3)?.iter();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let rows = names.zip(types).zip(helps.zip(units));
    let metric = |((name, number), (help, unit)): ((_, &u8), (_, _))| MetricMetadata {
        metric_name: text(name),
        metric_type: TYPES.get(usize::from(*number)).copied().unwrap_or_default(),
        help: text(help),
        unit: text(unit),
    };
    Ok(rows.map(metric).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_back_in_as_many_records_as_it_takes() {
        let metadata: Vec<MetricMetadata> = (0..300)
            .map(|number| MetricMetadata {
                metric_name: format!("metric_{number}"),
                metric_type: TYPES[number % TYPES.len()],
                help: "h".repeat(10_000),
                unit: "bytes".to_owned(),
            })
            .collect();
        let mut encoder = RecordEncoder::new().unwrap();
        let payloads = encode_metadata(&metadata, &mut encoder).unwrap();
        assert!(payloads.len() > 1);
        let read: Vec<MetricMetadata> = payloads
            .iter()
            .flat_map(|payload| decode_metadata(payload.bytes()).unwrap())
            .collect();
        assert_eq!(read, metadata);
        assert!(encode_metadata(&[], &mut encoder).unwrap().is_empty());
    }
}
