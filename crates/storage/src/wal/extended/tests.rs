use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, NativeHistogram, Schema, Span};
use model::{LaneIdx, SeriesRef, StreamId};
use proptest::prelude::*;

use super::*;
use crate::wal::{Record, RecordEncoder, RecordKind, decode_record};

const HINTS: [CounterResetHint; 4] = [
    CounterResetHint::Gauge,
    CounterResetHint::Unknown,
    CounterResetHint::Reset,
    CounterResetHint::NotReset,
];

fn series(lane: u16) -> SeriesRef {
    SeriesRef {
        stream: StreamId(7),
        lane: LaneIdx(lane),
    }
}

fn layout(number: usize) -> Arc<HistogramLayout> {
    let span = |offset: i32, length: u32| Span { offset, length };
    let custom = Bounds {
        schema: Schema::CUSTOM,
        custom_bounds: Arc::from([1.0, 2.5]),
        ..Bounds::default()
    };
    let exponential = Bounds {
        schema: Schema::new(3).unwrap(),
        zero_threshold: 0.001,
        ..Bounds::default()
    };
    let positive = [span(-4, 2), span(7, 1)];
    let made = match number % 4 {
        0 => HistogramLayout::new(CountForm::Integer, exponential, &positive, &[span(1, 1)]),
        1 => HistogramLayout::new(CountForm::Float, exponential, &positive, &[]),
        2 => HistogramLayout::new(CountForm::Float, custom, &[span(0, 3)], &[]),
        _ => HistogramLayout::new(CountForm::Integer, Bounds::default(), &[], &[]),
    };
    Arc::new(made.unwrap())
}

/// One sample: what kind, and the words that make it.
type Made = (u8, i64, u64, i64, [u64; 6]);

fn batch(samples: &[Made]) -> SampleBatch {
    let mut batch = SampleBatch::default();
    for (number, (kind, timestamp_ms, bits, start_ms, words)) in samples.iter().enumerate() {
        let value = f64::from_bits(*bits);
        let kind = usize::from(*kind);
        if kind >= 4 {
            let layout = layout(kind);
            let histogram = NativeHistogram {
                layout: &layout,
                hint: HINTS[number % 4],
                sum: value,
                counts: &words[..layout.n_counts()],
            };
            batch.push_histogram(series(kind as u16), *timestamp_ms, histogram);
        } else {
            batch.push(series(kind as u16), *timestamp_ms, value);
        }
        if kind % 2 == 0 {
            batch.set_last_start(*start_ms);
        }
    }
    batch
}

/// Everything there is to a batch.
fn whole(batch: &SampleBatch) -> Vec<String> {
    let mut position = 0;
    let rows = (0..batch.len()).map(|row| {
        let value = batch.values[row];
        let is_histogram = batch.histograms.row(position) == Some(row);
        position += usize::from(is_histogram);
        let histogram = is_histogram.then(|| {
            let mut words = Vec::new();
            let read = batch.histograms.get(position - 1, value).unwrap();
            let read = read.unpack(&mut words).unwrap();
            (Arc::clone(read.layout), read.hint, read.counts.to_vec())
        });
        let (series, timestamp_ms) = (batch.series[row], batch.timestamps_ms[row]);
        let start_ms = batch.start_ms(row);
        format!(
            "{series} {timestamp_ms} {:x} {start_ms} {histogram:?}",
            value.to_bits()
        )
    });
    rows.collect()
}

fn round_trip(batches: &[SampleBatch]) -> (Vec<RecordKind>, SampleBatch) {
    let payloads = RecordEncoder::new().unwrap().encode_samples(batches);
    let mut read = SampleBatch::default();
    for payload in &payloads {
        let Record::Samples(batch) = decode_record(payload.kind() as u8, payload.bytes()).unwrap() else {
            panic!("samples turned into something else");
        };
        (0..batch.len()).for_each(|row| read.push_from(&batch, row));
    }
    (payloads.iter().map(|payload| payload.kind()).collect(), read)
}

fn all_of(batches: &[SampleBatch]) -> Vec<String> {
    batches.iter().flat_map(whole).collect()
}

#[test]
fn plain_and_extended_batches_stay_in_order() {
    let plain = || batch(&[(1, 5, 6, 0, [0; 6])]);
    let histogram = || batch(&[(0, 1, 2, 0, [0; 6]), (4, 5, 6, 7, [1, 2, 3, 4, 5, 6])]);
    let batches = [plain(), plain(), histogram(), histogram(), plain()];
    let (kinds, read) = round_trip(&batches);
    assert_eq!(
        kinds,
        [RecordKind::Samples, RecordKind::Extended, RecordKind::Samples]
    );
    assert_eq!(whole(&read), all_of(&batches));
}

#[test]
fn a_record_is_full_by_its_bytes_or_its_rows() {
    let span = Span {
        offset: 0,
        length: 60_000,
    };
    let wide = HistogramLayout::new(CountForm::Float, Bounds::default(), &[span], &[]).unwrap();
    let wide = Arc::new(wide);
    let counts: Vec<u64> = (0..60_002_u64)
        .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .collect();
    let mut large = SampleBatch::default();
    for row in 0..30 {
        let histogram = NativeHistogram {
            layout: &wide,
            hint: CounterResetHint::Unknown,
            sum: 1.0,
            counts: &counts,
        };
        large.push_histogram(series(0), row, histogram);
    }
    let many = batch(&vec![(4, 1, 2, 3, [1; 6]); ROWS_MAX + 5]);
    let (kinds, read) = round_trip(&[large.clone(), many.clone()]);
    assert_eq!(kinds.len(), 5);
    assert_eq!(whole(&read), all_of(&[large, many]));
}

#[test]
fn histograms_cut_off_or_of_unknown_parts_are_refused() {
    let mut bytes = Vec::new();
    let layout = layout(2);
    let histogram = NativeHistogram {
        layout: &layout,
        hint: CounterResetHint::Gauge,
        sum: 1.0,
        counts: &[1, 2, 3, 4, 5],
    };
    let mut columns = model::histogram::HistogramColumns::default();
    columns.push(0, histogram);
    let mut writer = HistogramWriter::default();
    writer.begin(&columns);
    writer.push(&columns, 0, &mut bytes);
    let read = |bytes: &[u8]| {
        let mut columns = model::histogram::HistogramColumns::default();
        let result = HistogramReader::default().read(bytes, 0, &mut columns);
        assert_eq!(columns.len(), usize::from(result.is_ok()));
        assert_eq!(columns.n_counts(), columns.len() * 5);
        result
    };
    assert_eq!(read(&bytes), Ok(()));
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len]).is_err(), "{len}");
    }
    assert!(read(&[&bytes[..], &[0]].concat()).is_err());
    for (offset, byte) in [(0, 1), (1, 2), (2, 0x7f)] {
        let mut other = bytes.clone();
        other[offset] = byte;
        assert!(read(&other).is_err(), "{offset}");
    }
}

proptest! {
    #[test]
    fn samples_are_read_back_in_order_and_bit_for_bit(
        samples in proptest::collection::vec((0..8_u8, any::<i64>(), any::<u64>(), any::<i64>(), any::<[u64; 6]>()), 0..100),
        cut in 0..100_usize,
    ) {
        let (first, second) = samples.split_at(cut.min(samples.len()));
        let batches = [batch(first), batch(second)];
        let (_, read) = round_trip(&batches);
        prop_assert_eq!(whole(&read), all_of(&batches));
    }
}
