//! The whole store on faulty files.

mod ages;
mod blocks;
mod crashes;
mod damage;
mod errors;
mod exemplars;
mod extended;
mod fixture;
mod notes;
mod old_logs;
mod remembered;
mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use catalog::HashSecret;
use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, NativeHistogram, Span};
use model::{Files, FloatHistogram, Labels, MetricMetadata, MetricType, SampleBatch, SeriesRef, TimeRange};
use testkit::{FaultyFiles, MockClock};

use super::{AppendOutcome, Store, StoreConfig, Surroundings, WalSync};
use crate::{Error, LaneBuffer, RecoveryReport, Source, StreamBuffer};

const NOW_MS: i64 = 1_700_000_000_000;

/// A disk, a clock and a configuration: what outlives a store.
struct World {
    files: FaultyFiles,
    clock: MockClock,
    config: StoreConfig,
}

/// Everything readable: labels → timestamp → bits.
type Content = BTreeMap<String, BTreeMap<i64, u64>>;

impl World {
    fn new(seed: u64) -> Self {
        Self {
            files: FaultyFiles::new(seed),
            clock: MockClock::at(NOW_MS),
            config: StoreConfig::default(),
        }
    }

    fn try_open(&self) -> Result<(Arc<Store>, RecoveryReport), Error> {
        let surroundings = Surroundings {
            clock: Arc::new(self.clock.clone()),
            files: Arc::new(self.files.process()),
            secret: HashSecret::from_seed(1),
            release_memory: || (),
        };
        Store::open(Path::new("/data"), self.config.clone(), surroundings, &mut |_| {})
    }

    fn clock_ms(&self) -> i64 {
        model::Clock::now_ms(&self.clock)
    }

    fn open(&self) -> (Arc<Store>, RecoveryReport) {
        self.try_open().unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let dir = Path::new("/data/wal");
        let names = self.files.list(dir).unwrap();
        names.iter().map(|name| dir.join(name)).collect()
    }

    fn last_segment(&self) -> PathBuf {
        self.segments().pop().unwrap()
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn register(store: &Store, pairs: &[(&str, &str)]) -> SeriesRef {
    try_register(store, &labels(pairs)).unwrap()
}

fn try_register(store: &Store, labels: &Labels) -> Result<SeriesRef, Error> {
    let key = store.resolver().key(labels.to_string().as_bytes());
    match store.resolver().get(key) {
        Some(series) => Ok(series),
        None => store.register(key, labels),
    }
}

fn batch(samples: &[(SeriesRef, i64, f64)]) -> SampleBatch {
    let mut batch = SampleBatch::default();
    for (series, timestamp_ms, value) in samples {
        batch.push(*series, *timestamp_ms, *value);
    }
    batch
}

/// Queues a batch; the answer comes through the channel.
fn send(store: &Store, batch: SampleBatch) -> mpsc::Receiver<Result<AppendOutcome, Error>> {
    let (sender, receiver) = mpsc::channel();
    let answered = sender.clone();
    let queued = store.append(batch, Box::new(move |outcome| drop(answered.send(outcome))));
    if let Err(error) = queued {
        sender.send(Err(error)).unwrap();
    }
    receiver
}

fn append(store: &Store, samples: &[(SeriesRef, i64, f64)]) -> Result<AppendOutcome, Error> {
    send(store, batch(samples)).recv().unwrap()
}

/// Appends again and again until the store has got over its errors.
/// As [`register`], as soon as the log can be written.
fn register_when_healed(store: &Store, pairs: &[(&str, &str)]) -> SeriesRef {
    for _ in 0..500 {
        if let Ok(series) = try_register(store, &labels(pairs)) {
            return series;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the store does not get over its errors");
}

fn append_when_healed(store: &Store, samples: &[(SeriesRef, i64, f64)]) -> AppendOutcome {
    for _ in 0..500 {
        if let Ok(outcome) = append(store, samples) {
            return outcome;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the store does not get over its errors");
}

fn content(store: &Store) -> Content {
    let selection = store.select(&[], TimeRange::ALL).unwrap();
    let names = selection.label_names();
    let columns: Vec<_> = names.iter().map(|name| selection.label_column(name)).collect();
    let mut content = Content::new();
    let mut buffer = StreamBuffer::default();
    for (stream_idx, stream) in selection.streams().iter().enumerate() {
        selection.read(stream_idx, TimeRange::ALL, &mut buffer).unwrap();
        for (lane_idx, lane) in buffer.lanes().iter().enumerate() {
            let series_idx = stream.first_series as usize + lane_idx;
            let pairs = names
                .iter()
                .zip(&columns)
                .map(|(name, column)| (name.to_string(), column.value(series_idx)));
            let text = Labels::from_pairs(pairs).unwrap().to_string();
            let rows = buffer.timestamps_ms.iter().zip(&lane.values).enumerate();
            let samples: BTreeMap<i64, u64> = rows
                .filter(|(row, _)| !lane.absent_rows.contains(&(*row as u32)))
                .map(|(row, (timestamp_ms, value))| {
                    let histogram = histogram_at(lane, row);
                    let start_ms = lane.starts_ms.get(row).copied().unwrap_or(0);
                    (*timestamp_ms, fingerprint(*value, histogram, start_ms))
                })
                .collect();
            check_hints(lane);
            if !samples.is_empty() {
                let known = content.insert(text, samples);
                assert!(known.is_none(), "a series is listed twice");
            }
        }
    }
    content
}

fn histogram_at(lane: &LaneBuffer, row: usize) -> Option<&FloatHistogram> {
    let found = lane.histograms.iter().find(|(held, _)| *held as usize == row);
    found.map(|(_, histogram)| &**histogram)
}

/// A histogram that is said to continue the sample before it does.
fn check_hints(lane: &LaneBuffer) {
    for (row, histogram) in &lane.histograms {
        let is_present = |row: &u32| lane.absent_rows.binary_search(row).is_err();
        let Some(before) = (0..*row).rev().find(is_present) else {
            continue;
        };
        if histogram.counter_reset_hint == CounterResetHint::NotReset {
            let hint = CounterResetHint::as_stored(histogram, histogram_at(lane, before as usize));
            assert_eq!(hint, CounterResetHint::NotReset, "{histogram:?}");
        }
    }
}

/// Adds a sample, of which a third are histograms and some have a start timestamp, all as its bits say; returns its
/// fingerprint.
fn push(batch: &mut SampleBatch, series: SeriesRef, timestamp_ms: i64, value: f64) -> u64 {
    let bits = value.to_bits();
    let start_ms = if (bits >> 40).is_multiple_of(5) {
        NOW_MS - 1
    } else {
        0
    };
    let small = (bits >> 48) % 7;
    if !(bits >> 32).is_multiple_of(3) || model::is_stale_nan(value) {
        batch.push(series, timestamp_ms, value);
        batch.set_last_start(start_ms);
        return fingerprint(value, None, start_ms);
    }
    let form = if small.is_multiple_of(2) {
        CountForm::Integer
    } else {
        CountForm::Float
    };
    let spans = [Span {
        offset: -2,
        length: 1 + small as u32 % 3,
    }];
    let layout = Arc::new(HistogramLayout::new(form, Bounds::default(), &spans, &[]).unwrap());
    let counts: Vec<u64> = (0..layout.n_counts() as u64)
        .map(|position| match form {
            CountForm::Integer => (bits >> 45) + position,
            CountForm::Float => (small as f64 / 4.0 + position as f64).to_bits(),
        })
        .collect();
    let histogram = NativeHistogram {
        layout: &layout,
        hint: CounterResetHint::Unknown,
        sum: value,
        counts: &counts,
    };
    batch.push_histogram(series, timestamp_ms, histogram);
    batch.set_last_start(start_ms);
    fingerprint(value, Some(&histogram.to_float()), start_ms)
}

/// What a sample that [`push`] adds looks like when it is read.
fn print_of(value: f64) -> u64 {
    let series = SeriesRef {
        stream: model::StreamId(0),
        lane: model::LaneIdx(0),
    };
    push(&mut SampleBatch::default(), series, 0, value)
}

/// The bits of a float; of a histogram, and of a sample with a start timestamp, a number made of all there is to it but
/// the hint.
fn fingerprint(value: f64, histogram: Option<&FloatHistogram>, start_ms: i64) -> u64 {
    if histogram.is_none() && start_ms == 0 {
        return value.to_bits();
    }
    let hintless = histogram.map(|histogram| FloatHistogram {
        counter_reset_hint: CounterResetHint::Unknown,
        ..histogram.clone()
    });
    let text = format!("{:x} {start_ms} {hintless:?}", value.to_bits());
    text.bytes().fold(1, |hash: u64, byte| {
        hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte)
    })
}

/// Every sample of `part` is in `whole`, bit for bit.
#[track_caller]
fn assert_contains(whole: &Content, part: &Content) {
    for (series, samples) in part {
        for (timestamp_ms, bits) in samples {
            let found = whole.get(series).and_then(|samples| samples.get(timestamp_ms));
            assert_eq!(found, Some(bits), "{series} at {timestamp_ms}");
        }
    }
}

fn remember(content: &mut Content, series: &[(&str, &str)], timestamp_ms: i64, value: f64) {
    let samples = content.entry(labels(series).to_string()).or_default();
    samples.insert(timestamp_ms, value.to_bits());
}

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "mesh")];

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let world = World::new(1);
    let (store, report) = world.open();
    assert_eq!((report.segments, report.records, report.damaged.len()), (0, 0, 0));
    let bucket = &[("__name__", "x_bucket"), ("le", "1.0"), ("pod", "a")];
    let (up, bucket_series) = (register(&store, UP), register(&store, bucket));
    let odd_nan = f64::from_bits(0xfff8_0000_dead_beef);
    let samples = [
        (up, NOW_MS, 1.0),
        (bucket_series, NOW_MS, odd_nan),
        (up, NOW_MS + 15_000, model::stale_nan()),
        (bucket_series, i64::MIN, -0.0),
    ];
    let outcome = append(&store, &samples).unwrap();
    assert_eq!(
        (outcome.written, outcome.refused.len()),
        (3, 1),
        "one is far too old"
    );
    let before = content(&store);
    assert_eq!(before.len(), 2);

    world.files.crash();
    let (again, report) = world.open();
    assert_eq!(content(&again), before);
    assert_eq!(register(&again, UP), up);
    assert_eq!(
        (report.segments, report.samples, report.torn, report.damaged.len()),
        (1, 4, None, 0)
    );
}

#[test]
fn a_store_that_wrote_nothing_makes_no_segment() {
    let world = World::new(1);
    for _ in 0..3 {
        let (store, _) = world.open();
        register(&store, UP);
        store.close().unwrap();
    }
    assert!(world.segments().is_empty());
}

#[test]
fn one_directory_is_open_once() {
    let world = World::new(1);
    let (store, _) = world.open();
    let error = world.try_open().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the data directory /data is in use by another process"
    );
    store.close().unwrap();
    world.open();
}

#[test]
fn a_closed_store_has_written_what_was_queued_and_takes_no_more() {
    let world = World::new(1);
    let (store, _) = world.open();
    let up = register(&store, UP);
    let answers: Vec<_> = (0..100)
        .map(|number| send(&store, batch(&[(up, NOW_MS + number, number as f64)])))
        .collect();
    store.close().unwrap();
    store.close().unwrap();
    for answer in answers {
        assert_eq!(answer.recv().unwrap().unwrap().written, 1);
    }
    assert!(matches!(append(&store, &[(up, NOW_MS, 1.0)]), Err(Error::Closed)));
    world.files.crash();
    assert_eq!(content(&world.open().0), content(&store));
}

#[test]
fn a_full_queue_refuses_at_once() {
    let mut world = World::new(1);
    world.config.queue_samples_max = 10;
    let (store, _) = world.open();
    let up = register(&store, UP);
    let (release, blocked) = mpsc::channel::<()>();
    let (begun, waiting) = mpsc::channel::<()>();
    let block = Box::new(move |_| {
        begun.send(()).unwrap();
        blocked.recv().unwrap();
    });
    store.append(batch(&[(up, NOW_MS, 1.0)]), block).unwrap();
    waiting.recv().unwrap();
    let many: Vec<_> = (1..=10).map(|number| (up, NOW_MS + number, 1.0)).collect();
    let answer = send(&store, batch(&many));
    let error = append(&store, &[(up, NOW_MS + 20, 1.0)]).unwrap_err();
    assert!(
        matches!(error, Error::Overloaded { queued_samples: 10 }),
        "{error}"
    );
    release.send(()).unwrap();
    assert_eq!(answer.recv().unwrap().unwrap().written, 10);
    assert_eq!(store.stats().overloaded_requests, 1);
}

#[test]
fn statistics_count_what_happened() {
    let world = World::new(1);
    let (store, _) = world.open();
    let up = register(&store, UP);
    let hours_ago = NOW_MS - 10 * 3_600_000;
    append(
        &store,
        &[(up, NOW_MS, 1.0), (up, NOW_MS, 2.0), (up, hours_ago, 1.0)],
    )
    .unwrap();
    let stats = store.stats();
    assert_eq!(
        (
            stats.appended_samples,
            stats.refused_duplicate_samples,
            stats.refused_old_samples
        ),
        (1, 1, 1)
    );
    assert_eq!((stats.wal.groups, stats.wal.syncs, stats.wal.segments), (1, 1, 1));
    assert_eq!(stats.queued_samples, 0);
    let on_disk = world.files.read(&world.last_segment()).unwrap().len();
    assert_eq!(stats.wal.written_bytes, on_disk as u64);
    assert_eq!((stats.catalog.n_series, stats.head.n_samples), (1, 1));
}

#[test]
fn metadata_is_durable_and_the_newest_word_stays() {
    let mut world = World::new(1);
    let metadata = |help: &str| {
        vec![MetricMetadata {
            metric_name: "up".to_owned(),
            metric_type: MetricType::Gauge,
            help: help.to_owned(),
            unit: String::new(),
        }]
    };
    let put = |store: &Store, metadata| {
        let (sender, receiver) = mpsc::channel();
        store
            .put_metadata(metadata, Box::new(move |done| sender.send(done).unwrap()))
            .unwrap();
        receiver.recv().unwrap().unwrap();
    };
    let (store, _) = world.open();
    put(&store, metadata("old"));
    put(&store, metadata("new"));
    let groups = store.stats().wal.groups;
    put(&store, metadata("new"));
    assert_eq!(
        store.stats().wal.groups,
        groups,
        "what is known is not written again"
    );
    world.files.crash();
    let (store, _) = world.open();
    assert_eq!(store.metadata(), metadata("new"));

    // Restated in the next segment, so the first one may go.
    append(&store, &[(register(&store, UP), NOW_MS, 1.0)]).unwrap();
    drop(store);
    world.config.segment_bytes = 1;
    world.files.remove(&world.segments()[0]).unwrap();
    assert_eq!(world.open().0.metadata(), metadata("new"));

    let (store, _) = world.open();
    let error = store
        .put_metadata(metadata(&"h".repeat(100_000)), Box::new(|_| {}))
        .unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}

#[test]
fn in_interval_mode_samples_are_synced_when_the_interval_is_over() {
    let mut world = World::new(1);
    world.config.wal_sync = WalSync::Interval(20);
    let (store, _) = world.open();
    let up = register(&store, UP);
    append(&store, &[(up, NOW_MS, 1.0)]).unwrap();
    assert_eq!(store.stats().wal.syncs, 0);
    assert_eq!(content(&store).len(), 1, "visible before");
    world.clock.advance(20);
    while store.stats().wal.syncs == 0 {
        std::thread::yield_now();
    }
    world.files.crash();
    assert_eq!(content(&world.open().0).len(), 1);
}

#[test]
fn an_open_store_keeps_its_limits() {
    let mut world = World::new(1);
    world.config.limits.label_value_bytes_max = 1 << 30;
    assert!(matches!(world.try_open(), Err(Error::Limit { .. })));
    world.config = StoreConfig::default();
    let (store, _) = world.open();
    let key = store.resolver().key(b"x");
    let error = store.register(key, &labels(&[("job", "nameless")])).unwrap_err();
    assert!(matches!(error, Error::Series(_)), "{error}");
}
