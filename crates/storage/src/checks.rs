//! What has to hold for any stored bytes whatsoever, as functions that panic when it does not.
//!
//! The fuzz targets `wal_record` and `block` call them with what libFuzzer makes up, tests with damaged valid records and
//! blocks. Nothing else uses them.

use crate::wal::{Record, decode_record};

/// A record's payload, behind a byte for its kind, is read or refused. Checksums protect payloads from accidents,
/// but a file may be made by anybody.
///
/// # Panics
/// When that does not hold.
pub fn wal_record(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else {
        return;
    };
    if let Ok(Record::Samples(batch)) = decode_record(*kind, payload) {
        assert_eq!(batch.series.len(), batch.timestamps_ms.len());
        assert_eq!(batch.series.len(), batch.values.len());
        assert!(batch.starts_ms.len() <= batch.len());
        for position in 0..batch.histograms.len() {
            assert!(
                batch
                    .histograms
                    .row(position)
                    .is_some_and(|row| row < batch.len())
            );
            let histogram = batch.histograms.get(position, 1.0);
            let float = histogram.and_then(|histogram| histogram.to_float());
            assert!(float.is_some_and(|float| float.size_bytes() > 0));
        }
    }
}

/// A block, given as four pieces (`manifest.json` without its checksum, `samples.parquet`, `series.parquet`,
/// `histograms.parquet`), each behind its length as four bytes, is read or refused. Checksums of page tables and pages are
/// made to fit before.
///
/// # Panics
/// When that does not hold.
pub fn block(bytes: &[u8]) {
    crate::block::checks::block(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::{Definition, LaneName};
    use model::histogram::{
        Bounds, CountForm, CounterResetHint, HistogramLayout, NativeHistogram, Schema, Span,
    };
    use model::{EntityId, Labels, LaneIdx, MetricMetadata, SampleBatch, SeriesRef, StreamId};
    use testkit::{Chance, keep_seeds, mutate};

    use super::*;
    use crate::exemplars::{Exemplar, ExemplarLabels};
    use crate::wal::{
        Note, Payload, RecordEncoder, encode_cut, encode_definitions, encode_exemplars, encode_metadata,
        encode_notes,
    };

    /// Records of every kind.
    fn records() -> Vec<Payload> {
        let mut encoder = RecordEncoder::new().unwrap();
        let definitions = [
            Definition::Entity {
                id: EntityId(0),
                labels: Labels::from_pairs([("pod", "a"), ("zone", "ü")]).unwrap(),
            },
            Definition::Stream {
                id: StreamId(0),
                entity: EntityId(0),
                base: Arc::from("requests"),
            },
            Definition::Lane {
                stream: StreamId(0),
                lane: LaneIdx(0),
                name: LaneName::Bucket(Arc::from("1.0")),
            },
        ];
        let mut records: Vec<Payload> = encode_definitions(definitions, &mut encoder).unwrap();
        let metadata = MetricMetadata {
            metric_name: "requests".to_owned(),
            help: "Requests.".to_owned(),
            ..MetricMetadata::default()
        };
        records.extend(encode_metadata(&[metadata], &mut encoder).unwrap());
        let mut batch = SampleBatch::default();
        for idx in 0..50_u16 {
            let series = SeriesRef {
                stream: StreamId(7),
                lane: LaneIdx(idx),
            };
            batch.push(series, 1_795_238_213_618, f64::from(idx / 10));
        }
        records.extend(encoder.encode_samples([&batch]));
        for (row, schema) in (0..).zip([Schema::default(), Schema::CUSTOM, Schema::default()]) {
            let span = Span { offset: 2, length: 4 };
            let bounds = Bounds {
                schema,
                custom_bounds: Arc::from([0.5, 1.0]),
                ..Bounds::default()
            };
            let layout = HistogramLayout::new(CountForm::Integer, bounds, &[span, span], &[span]);
            let histogram = NativeHistogram {
                layout: &Arc::new(layout.unwrap()),
                hint: CounterResetHint::Gauge,
                sum: 7.5,
                counts: &[500, 0, 1, 2, 300, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            };
            batch.push_histogram(batch.series[0], row, histogram);
            batch.set_last_start(row - 1);
        }
        records.extend(encoder.encode_samples([&batch]));
        let exemplar = Exemplar {
            series: batch.series[0],
            timestamp_ms: 1_795_238_213_618,
            value: 0.25,
            labels: ExemplarLabels::from_pairs([("span_id", "ü"), ("trace_id", "1f")]).unwrap(),
        };
        let plain = Exemplar {
            labels: ExemplarLabels::default(),
            ..exemplar.clone()
        };
        records.extend(encode_exemplars(&[exemplar, plain], &mut encoder).unwrap());
        let note: Note = ("ha".to_owned(), "größe".to_owned());
        records.extend(encode_notes(&[note], &mut encoder).unwrap());
        records.push(encode_cut(1_795_238_213_618, &mut encoder).unwrap());
        records
    }

    #[test]
    fn damaged_records_are_read_or_refused() {
        let setting = std::env::var("MESHTIDE_MUTATIONS").ok();
        let n_mutations: u64 = setting.map_or(500, |text| text.parse().unwrap());
        let records = records();
        assert_eq!(records.len(), 9);
        let records: Vec<_> = records
            .into_iter()
            .map(|record| [&[record.kind() as u8], record.bytes()].concat())
            .collect();
        keep_seeds("wal_record", &records);
        for (idx, bytes) in records.into_iter().enumerate() {
            assert!(decode_record(bytes[0], &bytes[1..]).is_ok());
            for seed in 0..n_mutations {
                let mut damaged = bytes.clone();
                mutate(&mut damaged, &mut Chance::from_seed(seed << 8 | idx as u64));
                wal_record(&damaged);
            }
        }
    }
}
