//! Flushing a large head, merging a day, and opening what is left: time by the clock, CPU time of all threads, and
//! resident memory.
//!
//! ```text
//! cargo run --release --bin flush
//! ```
//!
//! `--entities` (4,976) have 67 series each: 333,392 of 60 samples are flushed at once; a 24th of them, for a day at one
//! sample a minute, is flushed by windows and then merged. `--tiny` shows that it works and measures nothing.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use catalog::HashSecret;
use clap::Parser;
use meshtide_benches::feed::{Feed, register};
use meshtide_benches::usage::{cpu_time, forget_peak, load, peak_bytes, resident_bytes};
use model::{Labels, LaneKind, SeriesRef, TimeRange};
use storage::{BlockConfig, Done, Error, LocalFiles, Source, Store, StoreConfig, Surroundings};
use testkit::MockClock;

#[path = "../../../crates/meshtide/src/allocator.rs"]
mod allocator;

/// Measures flushing and merging.
#[derive(Debug, Parser)]
struct Arguments {
    /// Little data: shows that the bench works, measures nothing.
    #[arg(long)]
    tiny: bool,
    /// Entities of 67 series.
    #[arg(long, default_value_t = 4_976)]
    entities: usize,
}

const DAY_MS: i64 = 86_400_000;
/// Midnight.
const START_MS: i64 = 1_699_999_200_000 / DAY_MS * DAY_MS;
const WINDOW_MS: i64 = 7_200_000;
const N_BUCKETS: usize = 20;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let n_entities = if arguments.tiny { 48 } else { arguments.entities };
    println!("load {}", load());
    wide(n_entities)?;
    day((n_entities / 24).max(1))
}

/// Many series, 15 minutes of each.
fn wide(n_entities: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let clock = MockClock::at(START_MS);
    let store = open(dir.path(), &clock)?;
    let n_samples = fill(
        &store,
        &register_mesh(&store, n_entities)?,
        START_MS,
        (60, 15_000),
    )?;
    let before = resident_bytes();
    forget_peak();
    let (begun, cpu_before) = (Instant::now(), cpu_time());
    let flushed = wait(|done| store.flush(done))?;
    let (elapsed, cpu) = (begun.elapsed(), cpu_time() - cpu_before);
    ensure!(flushed.samples == n_samples, "not everything was flushed");
    println!(
        "flush: {n_samples} samples in {elapsed:?}, {cpu:?} CPU, {:.1} M per CPU-second; resident {} MB before, {} MB at most, {} MB after",
        n_samples as f64 / cpu.as_secs_f64() / 1e6,
        before >> 20,
        peak_bytes() >> 20,
        resident_bytes() >> 20,
    );
    for wait_ms in [100, 900] {
        std::thread::sleep(Duration::from_millis(wait_ms));
        println!("{wait_ms} ms later: resident {} MB", resident_bytes() >> 20);
    }
    let series = register_mesh(&store, 10)?;
    let n_again = fill(&store, &series, START_MS + 3_600_000, (1, 0))?;
    println!("{n_again} samples later: resident {} MB", resident_bytes() >> 20);
    let bytes = store.stats().blocks.bytes;
    println!(
        "blocks: {bytes} bytes, {:.3} per sample",
        bytes as f64 / n_samples as f64
    );
    Ok(())
}

/// A day of fewer series, window by window.
fn day(n_entities: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let clock = MockClock::at(START_MS);
    let store = open(dir.path(), &clock)?;
    let mut n_samples = 0;
    for window in 0..13 {
        let series = register_mesh(&store, n_entities)?;
        n_samples += fill(&store, &series, START_MS + window * WINDOW_MS, (120, 60_000))?;
        wait(|done| store.flush(done))?;
    }
    // Another day before this one, so that merging it takes less than half of all.
    clock.advance(3 * DAY_MS);
    let (begun, cpu_before) = (Instant::now(), cpu_time());
    let n_merges = wait(|done| store.tidy(done))?;
    let (elapsed, cpu) = (begun.elapsed(), cpu_time() - cpu_before);
    let stats = store.stats().blocks;
    println!(
        "compaction: {n_merges} merges wrote {} of {n_samples} samples in {elapsed:?}, {cpu:?} CPU, {:.1} M per CPU-second; {} blocks, {:.3} bytes per sample",
        stats.compacted_samples,
        stats.compacted_samples as f64 / cpu.as_secs_f64() / 1e6,
        stats.blocks,
        stats.bytes as f64 / n_samples as f64,
    );
    store.close()?;
    drop(store);
    let begun = Instant::now();
    let store = open(dir.path(), &clock)?;
    println!("opened again in {:?}", begun.elapsed());
    let begun = Instant::now();
    let n_series = store.select(&[], TimeRange::ALL)?.n_series();
    println!("{n_series} series selected in {:?}", begun.elapsed());
    Ok(())
}

fn open(dir: &Path, clock: &MockClock) -> Result<Arc<Store>> {
    let surroundings = Surroundings {
        clock: Arc::new(clock.clone()),
        files: Arc::new(LocalFiles),
        secret: HashSecret::from_seed(1),
        release_memory: allocator::release_memory,
    };
    let config = StoreConfig {
        blocks: BlockConfig {
            flush_interval_ms: i64::MAX,
            ..BlockConfig::default()
        },
        ..StoreConfig::default()
    };
    let (store, _) = Store::open(dir, config, surroundings, &mut |_| {})?;
    Ok(store)
}

/// Three histograms and a counter for each entity of 30 labels.
fn register_mesh(store: &Store, n_entities: usize) -> Result<Vec<SeriesRef>> {
    let bounds: Vec<String> = (0..N_BUCKETS).map(|bucket| bucket.to_string()).collect();
    let buckets = bounds.iter().map(|bound| LaneKind::Bucket(bound));
    let lanes: Vec<LaneKind<'_>> = buckets.chain([LaneKind::Sum, LaneKind::Count]).collect();
    let mut series = Vec::new();
    for entity in 0..n_entities {
        let common = (0..30).map(|label| {
            let value = entity % (7 * label + 1);
            (
                format!("label_{label:02}"),
                format!("value-of-label-{label}-{value}"),
            )
        });
        let own = [("pod".to_owned(), format!("pod-{entity}"))];
        let labels = Labels::from_pairs(common.chain(own))?;
        series.extend(register(
            store,
            "istio_requests_total",
            &labels,
            &[LaneKind::Value],
        )?);
        for histogram in ["istio_duration", "istio_request_bytes", "istio_response_bytes"] {
            series.extend(register(store, histogram, &labels, &lanes)?);
        }
    }
    Ok(series)
}

/// Appends rows of all series; how many samples.
fn fill(store: &Store, series: &[SeriesRef], start_ms: i64, (n_rows, step_ms): (i64, i64)) -> Result<u64> {
    let mut feed = Feed::new(store);
    for row in 0..n_rows {
        for (position, series) in series.iter().enumerate() {
            // A third of the entities is idle; buckets grow with their number.
            let entity = position / 67;
            let rate = if entity % 3 == 0 {
                0
            } else {
                (entity % 17) * (position % 67)
            };
            feed.push(
                *series,
                start_ms + row * step_ms,
                (row as usize * rate / 8) as f64,
            )?;
        }
    }
    feed.finish()?;
    Ok(series.len() as u64 * n_rows as u64)
}

fn wait<T: Send + 'static>(ask: impl FnOnce(Done<T>) -> Result<(), Error>) -> Result<T, Error> {
    let (sender, receiver) = mpsc::channel();
    ask(Box::new(move |result| drop(sender.send(result))))?;
    receiver.recv().unwrap_or(Err(Error::Closed))
}
