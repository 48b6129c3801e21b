//! Flushing a large head, merging a day, and opening what is left: time by the clock, CPU time of all threads, and
//! resident memory.
//!
//! `MESHTIDE_BENCH_ENTITIES` sets the number of entities (default 4,976: 333,392 series). Prints figures; nothing is
//! compared.
#![expect(clippy::print_stdout, reason = "a bench reports")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use catalog::HashSecret;
use model::{Labels, SampleBatch, SeriesRef, TimeRange};
use storage::{BlockConfig, Done, Error, LocalFiles, Source, Store, StoreConfig, Surroundings};
use testkit::MockClock;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A window's beginning.
const START_MS: i64 = 1_699_999_200_000 / 86_400_000 * 86_400_000;
const N_BUCKETS: usize = 20;

fn main() {
    let n_entities =
        std::env::var("MESHTIDE_BENCH_ENTITIES").map_or(4_976, |text| text.parse().expect("a number"));
    wide(n_entities);
    day((n_entities / 24).max(1));
}

/// Many series, 15 minutes of each.
fn wide(n_entities: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = MockClock::at(START_MS);
    let store = open(dir.path(), &clock);
    let series = register(&store, n_entities);
    let n_samples = fill(&store, &series, START_MS, 60, 15_000);
    drop(series);
    let before = resident_bytes();
    let peak = Peak::watch();
    let (begin, cpu_before) = (Instant::now(), cpu_time());
    let flushed = wait(|done| store.flush(done)).expect("flushed");
    let (elapsed, cpu) = (begin.elapsed(), cpu_time() - cpu_before);
    assert_eq!(flushed.samples, n_samples);
    let peak = peak.end();
    println!(
        "flush: {n_samples} samples in {elapsed:?}, {cpu:?} CPU, {:.1} M per CPU-second; resident {} MB before, {} MB at most, {} MB after",
        n_samples as f64 / cpu.as_secs_f64() / 1e6,
        before >> 20,
        peak >> 20,
        resident_bytes() >> 20,
    );
    std::thread::sleep(Duration::from_secs(1));
    let n_again = fill(&store, &register(&store, 10), START_MS + 3_600_000, 1, 0);
    println!(
        "a second and {n_again} samples later: resident {} MB",
        resident_bytes() >> 20
    );
    let bytes = store.stats().blocks.bytes;
    println!(
        "blocks: {bytes} bytes, {:.3} per sample",
        bytes as f64 / n_samples as f64
    );
}

/// A day of fewer series, window by window.
fn day(n_entities: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = MockClock::at(START_MS);
    let store = open(dir.path(), &clock);
    let mut n_samples = 0;
    for window in 0..13 {
        let series = register(&store, n_entities);
        n_samples += fill(&store, &series, START_MS + window * 7_200_000, 120, 60_000);
        wait(|done| store.flush(done)).expect("flushed");
    }
    // Another day before this one, so that merging it takes less than half of all.
    clock.advance(3 * 86_400_000);
    let (begin, cpu_before) = (Instant::now(), cpu_time());
    let n_merges = wait(|done| store.tidy(done)).expect("merged");
    let (elapsed, cpu) = (begin.elapsed(), cpu_time() - cpu_before);
    let stats = store.stats().blocks;
    println!(
        "compaction: {n_merges} merges wrote {} of {n_samples} samples in {elapsed:?}, {cpu:?} CPU, {:.1} M per CPU-second; {} blocks, {:.3} bytes per sample",
        stats.compacted_samples,
        stats.compacted_samples as f64 / cpu.as_secs_f64() / 1e6,
        stats.blocks,
        stats.bytes as f64 / n_samples as f64,
    );
    store.close().expect("closed");
    drop(store);
    let begin = Instant::now();
    let store = open(dir.path(), &clock);
    println!("opened again in {:?}", begin.elapsed());
    let begin = Instant::now();
    let n_series = store.select(&[], TimeRange::ALL).expect("series").n_series();
    println!("{n_series} series selected in {:?}", begin.elapsed());
}

fn open(dir: &Path, clock: &MockClock) -> Arc<Store> {
    let surroundings = Surroundings {
        clock: Arc::new(clock.clone()),
        files: Arc::new(LocalFiles),
        secret: HashSecret::from_seed(1),
    };
    let config = StoreConfig {
        blocks: BlockConfig {
            flush_interval_ms: i64::MAX,
            ..BlockConfig::default()
        },
        ..StoreConfig::default()
    };
    Store::open(dir, config, surroundings, &mut |_| {})
        .expect("a store")
        .0
}

/// Three histograms and a counter for each entity of 30 labels.
fn register(store: &Store, n_entities: usize) -> Vec<SeriesRef> {
    let mut series = Vec::new();
    for entity in 0..n_entities {
        let common: Vec<(String, String)> = (0..30)
            .map(|label| {
                (
                    format!("label_{label:02}"),
                    format!("value-of-label-{label}-{}", entity % (7 * label + 1)),
                )
            })
            .chain([("pod".to_owned(), format!("pod-{entity}"))])
            .collect();
        let mut add = |name: &str, le: &str| {
            let own =
                [("__name__", name), ("le", le)].map(|(name, value)| (name.to_owned(), value.to_owned()));
            let labels = Labels::from_pairs(common.iter().cloned().chain(own)).expect("labels");
            let key = store.resolver().key(format!("{name}{le}{entity}").as_bytes());
            series.push(store.register(key, &labels).expect("a series"));
        };
        add("istio_requests_total", "");
        for histogram in ["duration", "request_bytes", "response_bytes"] {
            for bucket in 0..N_BUCKETS {
                add(&format!("istio_{histogram}_bucket"), &format!("{bucket}"));
            }
            add(&format!("istio_{histogram}_sum"), "");
            add(&format!("istio_{histogram}_count"), "");
        }
    }
    series
}

/// Appends rows of all series; how many samples.
fn fill(store: &Store, series: &[SeriesRef], start_ms: i64, n_rows: i64, step_ms: i64) -> u64 {
    for row in 0..n_rows {
        let (sender, answers) = mpsc::channel();
        for (part, chunk) in series.chunks(2_010).enumerate() {
            let mut batch = SampleBatch::with_capacity(chunk.len());
            for (position, series) in chunk.iter().enumerate() {
                // A third of the entities is idle; buckets grow with their number.
                let entity = (part * 2_010 + position) / 67;
                let rate = if entity % 3 == 0 {
                    0
                } else {
                    (entity % 17) * (position % 67)
                };
                batch.push(
                    *series,
                    start_ms + row * step_ms,
                    (row as usize * rate / 8) as f64,
                );
            }
            let answered = sender.clone();
            let done = Box::new(move |result: Result<_, Error>| drop(answered.send(result.map(|_| ()))));
            store.append(batch, done).expect("room in the queue");
        }
        drop(sender);
        answers.iter().for_each(|answer| answer.expect("stored"));
    }
    series.len() as u64 * n_rows as u64
}

fn wait<T: Send + 'static>(ask: impl FnOnce(Done<T>) -> Result<(), Error>) -> Result<T, Error> {
    let (sender, receiver) = mpsc::channel();
    ask(Box::new(move |result| drop(sender.send(result))))?;
    receiver.recv().unwrap_or(Err(Error::Closed))
}

/// CPU time of this process so far, all threads.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit_once(')')
        .map_or("", |(_, fields)| fields)
        .split_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

/// Looks at the resident memory all the time.
struct Peak {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Peak {
    fn watch() -> Self {
        let (stop, most) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&most));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(resident_bytes(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { stop, most, thread }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only looks");
        self.most.load(Ordering::Relaxed)
    }
}
