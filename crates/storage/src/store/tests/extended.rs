//! Native histograms and start timestamps through log and head; logs of older versions.

use model::FloatHistogram;
use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, NativeHistogram, Schema, Span};

use super::*;

const LATENCY: &[(&str, &str)] = &[("__name__", "latency"), ("job", "mesh")];

fn layout(form: CountForm) -> Arc<HistogramLayout> {
    let bounds = Bounds {
        schema: Schema::new(3).unwrap(),
        zero_threshold: 1e-128,
        ..Bounds::default()
    };
    let spans = [
        Span {
            offset: -4,
            length: 2,
        },
        Span { offset: 1, length: 1 },
    ];
    Arc::new(HistogramLayout::new(form, bounds, &spans, &spans[1..]).unwrap())
}

/// A scrape: a float, histograms of integers and of floats, all with a start timestamp.
pub(super) fn scrape(store: &Store, number: u64) -> SampleBatch {
    let now_ms = NOW_MS + number as i64 * 15_000;
    let (up, latency) = (register(store, UP), register(store, LATENCY));
    let mut batch = SampleBatch::default();
    let integers = layout(CountForm::Integer);
    let counts = [10 + number, 1, 2, 3 + number, 4, 0];
    let histogram = NativeHistogram {
        layout: &integers,
        hint: CounterResetHint::Unknown,
        sum: 0.1 * number as f64,
        counts: &counts,
    };
    batch.push_histogram(latency, now_ms, histogram);
    batch.set_last_start(NOW_MS - 7);
    batch.push(up, now_ms, 1.0);
    let gauge = &[("__name__", "queue"), ("job", "mesh")];
    let floats = counts.map(|count| (count as f64 / 4.0).to_bits());
    let histogram = NativeHistogram {
        layout: &layout(CountForm::Float),
        hint: CounterResetHint::Gauge,
        sum: f64::from_bits(0x7ff8_0000_0000_beef),
        counts: &floats,
    };
    batch.push_histogram(register(store, gauge), now_ms, histogram);
    batch
}

/// All there is: labels → time → histogram or bits, and start timestamp.
pub(super) type Whole = BTreeMap<String, BTreeMap<i64, (Option<Arc<FloatHistogram>>, u64, i64)>>;

pub(super) fn whole(store: &Store) -> Whole {
    let mut whole = Whole::new();
    for name in ["up", "latency", "queue"] {
        let matcher = model::Matcher::equal("__name__", name);
        let selection = store.select(&[matcher], TimeRange::ALL).unwrap();
        let mut buffer = StreamBuffer::default();
        selection.read(0, TimeRange::ALL, &mut buffer).unwrap();
        let lane = &buffer.lanes()[0];
        let mut histograms = lane.histograms.iter().peekable();
        let samples = buffer
            .timestamps_ms
            .iter()
            .enumerate()
            .map(|(row, timestamp_ms)| {
                let histogram = histograms.next_if(|(held, _)| *held as usize == row);
                let start_ms = lane.starts_ms.get(row).copied().unwrap_or(0);
                let histogram = histogram.map(|(_, histogram)| Arc::clone(histogram));
                (*timestamp_ms, (histogram, lane.values[row].to_bits(), start_ms))
            });
        whole.insert(name.to_owned(), samples.collect());
    }
    whole
}

#[test]
fn histograms_and_start_timestamps_are_there_after_a_restart() {
    let world = World::new(1);
    let (store, _) = world.open();
    for number in 0..50 {
        let outcome = send(&store, scrape(&store, number)).recv().unwrap().unwrap();
        assert_eq!((outcome.written, outcome.refused), (3, vec![]));
    }
    let again = send(&store, scrape(&store, 3)).recv().unwrap().unwrap();
    assert_eq!(again.written, 3, "the same again");
    let before = whole(&store);
    let (histogram, _, start_ms) = &before["latency"][&(NOW_MS + 15_000)];
    let histogram = histogram.as_ref().unwrap();
    assert_eq!(
        (histogram.count, histogram.sum, *start_ms),
        (11.0, 0.1, NOW_MS - 7)
    );
    assert_eq!(histogram.counter_reset_hint, CounterResetHint::NotReset);
    assert_eq!(before["up"][&NOW_MS], (None, 1.0_f64.to_bits(), 0));
    let (gauge, bits, _) = &before["queue"][&NOW_MS];
    assert_eq!(
        gauge.as_ref().unwrap().counter_reset_hint,
        CounterResetHint::Gauge
    );
    assert_eq!(*bits, 0x7ff8_0000_0000_beef);

    world.files.crash();
    let (store, report) = world.open();
    assert_eq!((report.samples, report.damaged), (153, vec![]));
    assert_eq!(whole(&store), before);
}

#[test]
fn samples_of_lost_series_keep_what_belongs_to_them() {
    let world = World::new(1);
    let (store, _) = world.open();
    send(&store, scrape(&store, 0)).recv().unwrap().unwrap();
    let expected = whole(&store)["latency"].clone();
    // A second group, so that damage in the first one is damage.
    append(&store, &[(register(&store, UP), NOW_MS + 15_000, 1.0)]).unwrap();
    store.close().unwrap();
    let path = world.last_segment();
    let bytes = world.files.read(&path).unwrap();
    for frame in crate::wal::frames_of(&bytes, 1) {
        if frame.kind < 4 {
            world.files.flip_bit(&path, (frame.end - 1) * 8);
        }
    }
    let (store, report) = world.open();
    assert!(report.lost_series_samples >= 3, "{report:?}");
    let selection = store.select(&[], TimeRange::ALL).unwrap();
    let mut found = Vec::new();
    let mut buffer = StreamBuffer::default();
    for stream_idx in 0..selection.streams().len() {
        selection.read(stream_idx, TimeRange::ALL, &mut buffer).unwrap();
        for lane in buffer.lanes() {
            found.extend(lane.histograms.iter().map(|(row, histogram)| {
                let start_ms = lane.starts_ms.get(*row as usize).copied();
                (Arc::clone(histogram), start_ms.unwrap_or(0))
            }));
        }
    }
    let (histogram, _, start_ms) = &expected[&NOW_MS];
    assert_eq!(found.len(), 2);
    assert!(found.contains(&(Arc::clone(histogram.as_ref().unwrap()), *start_ms)));
}

#[test]
fn a_log_of_version_1_is_read_and_continued() {
    let world = World::new(1);
    let (store, _) = world.open();
    append(&store, &[(register(&store, UP), NOW_MS, 1.0)]).unwrap();
    store.close().unwrap();
    let path = world.last_segment();
    let old = include_bytes!("../../../fixtures/version-1.wal");
    assert_eq!(old[8..10], [1, 0]);
    world.files.replace(&path, old.to_vec());

    let (store, report) = world.open();
    assert_eq!((report.samples, report.torn, report.damaged), (81, None, vec![]));
    assert_eq!(store.metadata().len(), 1);
    let found = content(&store);
    let up = &found[&labels(UP).to_string()];
    assert_eq!(up.len(), 41);
    assert_eq!(up[&(NOW_MS + 700_000)], model::STALE_NAN_BITS);
    let bucket = labels(&[("__name__", "x_bucket"), ("le", "1.0"), ("pod", "a")]);
    assert_eq!(
        found[&bucket.to_string()][&(NOW_MS + 39 * 15_000)],
        39.0_f64.to_bits()
    );

    send(&store, scrape(&store, 100)).recv().unwrap().unwrap();
    let before = content(&store);
    drop(store);
    assert_eq!(world.segments().len(), 2);
    let (store, report) = world.open();
    assert_eq!((report.torn, report.damaged), (None, vec![]));
    assert_eq!(content(&store), before);
}
