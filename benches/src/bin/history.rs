//! Queries over weeks of blocks, in one process: how long opening takes, what is read, what it costs.
//!
//! ```text
//! cargo run --release --bin history
//! ```
//!
//! Data directories are made block by block as `docs/format/` says, without the log, so that weeks take seconds.
//!
//! - *Month*: 30 days of 13,668 series (204 entities of a counter and three histograms), a block each: opening, names
//!   and values of labels, all series.
//! - *Service*: 24 h of 10,000 counters every 15 s, as one block and as twelve: a range query of one service, which has
//!   100 of them, from files that nobody has read yet.
//! - *Week*: 7 days of 1,000 histograms of 20 buckets every 60 s (and 15 s with `--dense`): `histogram_quantile` by
//!   service with a step of one hour, cold and warm.
//!
//! Each line gives the time by the clock, the CPU time of all threads, and what was read of files: tables of series and
//! page tables apart from pages. `--tiny` shows that it works and measures nothing.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use catalog::HashSecret;
use clap::Parser;
use codec::checksum::crc32c;
use model::{FileLock, Files, Labels, LaneKind, Matcher, ReadFile, TimeRange, WriteFile};
use query::{Engine, EngineOptions, QueryRequest, Value};
use storage::block::{BlockSinks, BlockWriter, Manifest, StreamKey};
use storage::{LocalFiles, Source, Store, StoreConfig, StreamBuffer, Surroundings};
use testkit::MockClock;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures queries over blocks.
#[derive(Debug, Parser)]
struct Arguments {
    /// Little data: shows that the bench works, measures nothing.
    #[arg(long)]
    tiny: bool,
    /// The week has a sample every 15 s instead of every minute.
    #[arg(long)]
    dense: bool,
    /// Only this part: month, service or week.
    #[arg(long)]
    only: Option<String>,
}

const DAY_MS: i64 = 86_400_000;
/// Midnight.
const START_MS: i64 = 1_763_700_000_000 / DAY_MS * DAY_MS;
const BOUNDS: [&str; 20] = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000",
    "60000", "300000", "600000", "1.8e+06", "3.6e+06", "+Inf",
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let wanted = |part: &str| arguments.only.as_ref().is_none_or(|only| only == part);
    let scale = if arguments.tiny { 20 } else { 1 };
    if wanted("month") {
        month(30, 204 / scale)?;
    }
    if wanted("service") {
        for n_blocks in [1, 12] {
            service(n_blocks, 10_000 / scale)?;
        }
    }
    if wanted("week") {
        let scrape_ms = if arguments.dense { 15_000 } else { 60_000 };
        week(1_000 / scale, if arguments.tiny { 600_000 } else { scrape_ms })?;
    }
    Ok(())
}

fn month(n_days: i64, n_entities: usize) -> Result<()> {
    let mut directory = DataDirectory::new()?;
    let entities = edges(n_entities, 30);
    for day in 0..n_days {
        directory.add_block(START_MS + day * DAY_MS, DAY_MS, 600_000, |block| {
            for base in ["bytes", "duration", "requests", "sizes"] {
                for (idx, entity) in &entities {
                    if base == "requests" {
                        block.counter(base, entity, *idx)?;
                    } else {
                        block.histogram(base, entity, *idx)?;
                    }
                }
            }
            Ok(())
        })?;
    }
    println!("month: {}", directory.describe());
    let store = measure("opened", &directory.read, || directory.open())?;
    measure("names of labels", &directory.read, || {
        store.label_names(TimeRange::ALL)
    })?;
    let last_day = TimeRange {
        start_ms: START_MS + (n_days - 1) * DAY_MS,
        end_ms: i64::MAX,
    };
    measure("series of the last day", &directory.read, || {
        store.select(&[], last_day).map(|found| found.n_series())
    })?;
    measure("values of a label", &directory.read, || {
        store.label_values("pod", TimeRange::ALL)
    })?;
    for what in ["all series", "all series again"] {
        measure(what, &directory.read, || {
            store.select(&[], TimeRange::ALL).map(|found| found.n_series())
        })?;
    }
    Ok(())
}

fn service(n_blocks: i64, n_streams: usize) -> Result<()> {
    let mut directory = DataDirectory::new()?;
    let entities = edges(n_streams, 20);
    let length_ms = DAY_MS / n_blocks;
    for block in 0..n_blocks {
        directory.add_block(START_MS + block * length_ms, length_ms, 15_000, |block| {
            for (idx, entity) in &entities {
                block.counter("requests_total", entity, *idx)?;
            }
            Ok(())
        })?;
    }
    println!("service, {n_blocks} blocks: {}", directory.describe());
    let store = directory.open()?;
    let service = Matcher::equal("service", "service-7");
    let tables = || store.select(std::slice::from_ref(&service), TimeRange::ALL);
    let selection = measure("tables of series", &directory.read, tables)?;
    let own = directory.bytes_per_sample() * selection.streams().len() as f64 * (DAY_MS / 15_000) as f64;
    println!(
        "  own rows: {} streams, {own:.0} bytes",
        selection.streams().len()
    );
    let engine = engine(&store)?;
    let text = "sum(rate(requests_total{service=\"service-7\"}[5m]))";
    let request = QueryRequest::range(text, START_MS, START_MS + DAY_MS, 60_000);
    for what in ["cold", "warm", "warm"] {
        let before = directory.read.get();
        ask(what, &engine, &request, &directory.read)?;
        let ratio = (directory.read.get() - before) as f64 / own;
        println!("    {ratio:.2} times its own rows");
    }
    Ok(())
}

fn week(n_streams: usize, scrape_ms: i64) -> Result<()> {
    let mut directory = DataDirectory::new()?;
    let entities = edges(n_streams, 20);
    for day in 0..7 {
        directory.add_block(START_MS + day * DAY_MS, DAY_MS, scrape_ms, |block| {
            for (idx, entity) in &entities {
                block.histogram("duration", entity, *idx)?;
            }
            Ok(())
        })?;
    }
    println!("week, {} s: {}", scrape_ms / 1_000, directory.describe());
    let store = directory.open()?;
    let engine = engine(&store)?;
    for window in ["5m", "1h"] {
        let text =
            format!("histogram_quantile(0.99, sum by (service, le) (rate(duration_bucket[{window}])))");
        let request = QueryRequest::range(text, START_MS + 3_600_000, START_MS + 7 * DAY_MS, 3_600_000);
        for what in ["cold", "warm", "warm"] {
            ask(what, &engine, &request, &directory.read)?;
        }
    }
    Ok(())
}

/// Edges with their labels, sorted by those. There are a hundred services.
fn edges(n_edges: usize, n_labels: usize) -> Vec<(usize, Labels)> {
    let edge = |idx: usize| {
        let fixed = (0..n_labels).map(|label| {
            let value = idx % (3 * label + 1);
            (format!("label_{label:02}"), format!("value-{value}"))
        });
        let own = [
            ("pod".to_owned(), format!("pod-{idx}")),
            ("service".to_owned(), format!("service-{}", idx % 100)),
        ];
        (idx, Labels::from_pairs(fixed.chain(own)).unwrap_or_default())
    };
    let mut edges: Vec<(usize, Labels)> = (0..n_edges).map(edge).collect();
    edges.sort_by(|a, b| a.1.cmp(&b.1));
    edges
}

/// A data directory of nothing but blocks.
struct DataDirectory {
    folder: tempfile::TempDir,
    entries: Vec<serde_json::Value>,
    n_samples: u64,
    n_bytes: u64,
    written: Duration,
    read: Counter,
}

/// A block being made.
struct NewBlock {
    writer: BlockWriter<BufWriter<File>>,
    timestamps_ms: Vec<i64>,
    buffer: StreamBuffer,
    chance: Chance,
    /// CPU time of writing.
    written: Duration,
}

impl DataDirectory {
    fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            entries: Vec::new(),
            n_samples: 0,
            n_bytes: 0,
            written: Duration::ZERO,
            read: Counter::default(),
        })
    }

    fn add_block(
        &mut self,
        start_ms: i64,
        length_ms: i64,
        scrape_ms: i64,
        fill: impl FnOnce(&mut NewBlock) -> Result<()>,
    ) -> Result<()> {
        let id = self.entries.len() as u64 + 1;
        let folder = self.folder.path().join("blocks").join(id.to_string());
        fs::create_dir_all(&folder)?;
        let sink = |name: &str| Ok::<_, io::Error>(BufWriter::new(File::create(folder.join(name))?));
        let sinks = BlockSinks {
            samples: sink("samples.parquet")?,
            series: sink("series.parquet")?,
            histograms: sink("histograms.parquet")?,
        };
        let mut block = NewBlock {
            writer: BlockWriter::new(sinks)?,
            timestamps_ms: (start_ms..start_ms + length_ms)
                .step_by(scrape_ms as usize)
                .collect(),
            buffer: StreamBuffer::default(),
            chance: Chance(id),
            written: Duration::ZERO,
        };
        fill(&mut block)?;
        let begun = cpu_time();
        let (_, manifest) = block.writer.finish()?;
        self.written += block.written + (cpu_time() - begun);
        let manifest = manifest.context("there is no sample")?;
        // Nothing was written to it.
        fs::remove_file(folder.join("histograms.parquet"))?;
        fs::write(folder.join("manifest.json"), manifest.to_json())?;
        self.note(id, &manifest);
        Ok(())
    }

    fn note(&mut self, id: u64, manifest: &Manifest) {
        self.n_samples += manifest.n_samples;
        self.n_bytes += manifest.n_bytes();
        self.entries.push(serde_json::json!({
            "id": id, "oldest_source": id, "newest_source": id, "level": 1,
            "first_ms": manifest.first_ms, "last_ms": manifest.last_ms,
            "n_series": manifest.n_series, "n_samples": manifest.n_samples,
            "bytes": manifest.n_bytes(), "deletions_done": 0,
        }));
    }

    fn describe(&self) -> String {
        format!(
            "{} M samples in {} blocks, {:.3} bytes each, written at {:.1} M per CPU-second; load {}",
            self.n_samples / 1_000_000,
            self.entries.len(),
            self.bytes_per_sample(),
            self.n_samples as f64 / self.written.as_secs_f64() / 1e6,
            fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
        )
    }

    fn bytes_per_sample(&self) -> f64 {
        self.n_bytes as f64 / self.n_samples as f64
    }

    fn open(&self) -> Result<Arc<Store>> {
        let state = serde_json::json!({
            "next_block": self.entries.len() + 1, "next_deletion": 1,
            "blocks": self.entries, "flushed": [], "deletions": [],
        });
        let text = format!("meshtide block catalog 1 1\n{state}\n");
        let record = format!("{text}crc32c {:08x}\n", crc32c(text.as_bytes()));
        let folder = self.folder.path().join("catalog");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{:020}.record", 1)), record)?;
        let surroundings = Surroundings {
            clock: Arc::new(MockClock::at(START_MS)),
            files: Arc::new(CountedFiles(self.read.clone())),
            secret: HashSecret::from_seed(1),
        };
        let opened = Store::open(
            self.folder.path(),
            StoreConfig::default(),
            surroundings,
            &mut |_| {},
        );
        Ok(opened?.0)
    }
}

impl NewBlock {
    /// A counter: idle, slow or busy.
    fn counter(&mut self, name: &str, entity: &Labels, idx: usize) -> Result<()> {
        self.begin(1);
        let busy = BUSY[idx % BUSY.len()];
        let (_, lanes) = self.buffer.parts_mut();
        let mut total = 0.0;
        for _ in &self.timestamps_ms {
            total += self.chance.below(2 * busy + 1) as f64;
            lanes[0].values.push(total);
        }
        self.write(name, entity, &[LaneKind::Value])
    }

    /// A histogram: sum, count and buckets.
    fn histogram(&mut self, base: &str, entity: &Labels, idx: usize) -> Result<()> {
        self.begin(2 + BOUNDS.len());
        let busy = BUSY[idx % BUSY.len()];
        let mut values = [0.0; 2 + BOUNDS.len()];
        for _ in 0..self.timestamps_ms.len() {
            let n_requests = self.chance.below(2 * busy + 1);
            let [sum, count, buckets @ ..] = &mut values;
            *count += n_requests as f64;
            for _ in 0..n_requests.min(3) {
                let bucket = (2 + self.chance.below(7) + self.chance.below(5)) as usize;
                buckets[bucket..]
                    .iter_mut()
                    .for_each(|count| *count += n_requests as f64 / 3.0);
                *sum += (1 << bucket) as f64 * 0.73;
            }
            let (_, lanes) = self.buffer.parts_mut();
            for (position, (lane, value)) in lanes.iter_mut().zip(values).enumerate() {
                lane.values
                    .push(if position == 0 { value } else { value.round() });
            }
        }
        let kinds: Vec<LaneKind<'_>> = [LaneKind::Sum, LaneKind::Count]
            .into_iter()
            .chain(BOUNDS.map(LaneKind::Bucket))
            .collect();
        self.write(base, entity, &kinds)
    }

    fn begin(&mut self, n_lanes: usize) {
        self.buffer.reset(n_lanes);
        self.buffer.timestamps_ms.extend(&self.timestamps_ms);
    }

    fn write(&mut self, base: &str, entity: &Labels, lanes: &[LaneKind<'_>]) -> Result<()> {
        let begun = thread_time();
        self.writer
            .write_stream(StreamKey { base, entity }, lanes, &self.buffer)?;
        self.written += thread_time() - begun;
        Ok(())
    }
}

/// Requests per scrape: a third of all edges is idle.
const BUSY: [u64; 6] = [0, 1, 3, 10, 40, 0];

/// Numbers that look random and are the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn engine(store: &Arc<Store>) -> Result<Engine> {
    let options = EngineOptions {
        threads: 2,
        max_samples: u64::MAX,
        ..EngineOptions::default()
    };
    let store: Arc<Store> = Arc::clone(store);
    Ok(Engine::new(store, options)?)
}

fn ask(what: &str, engine: &Engine, request: &QueryRequest, read: &Counter) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let (begun, cpu_before, read_before) = (Instant::now(), cpu_time(), read.get());
    let answer = runtime.block_on(engine.query(request.clone()))?;
    let (elapsed, cpu) = (begun.elapsed(), cpu_time() - cpu_before);
    let Value::Matrix(series) = &answer.value else {
        anyhow::bail!("no matrix");
    };
    let sum: f64 = (0..series.n_series())
        .flat_map(|idx| series.points(idx))
        .map(|(_, value)| value)
        .filter(|value| value.is_finite())
        .sum();
    println!(
        "  {what}: {}: {:.0} ms by the clock, {:.0} ms CPU, {:.1} M of {} M samples per CPU-second; {} bytes read; {} series, sum {sum:.9e}",
        request.text,
        elapsed.as_secs_f64() * 1e3,
        cpu.as_secs_f64() * 1e3,
        answer.stats.samples_read as f64 / cpu.as_secs_f64() / 1e6,
        answer.stats.samples_read / 1_000_000,
        read.get() - read_before,
        series.n_series(),
    );
    Ok(())
}

/// Does something once and says what it took.
fn measure<T, E: Into<anyhow::Error>>(
    what: &str,
    read: &Counter,
    act: impl FnOnce() -> Result<T, E>,
) -> Result<T> {
    let (begun, cpu_before, read_before) = (Instant::now(), cpu_time(), read.get());
    let done = act().map_err(Into::into)?;
    println!(
        "  {what}: {:.1} ms by the clock, {:.0} ms CPU, {} bytes read",
        begun.elapsed().as_secs_f64() * 1e3,
        (cpu_time() - cpu_before).as_secs_f64() * 1e3,
        read.get() - read_before
    );
    Ok(done)
}

/// CPU time of this process so far, all threads.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
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

/// CPU time of this thread so far.
fn thread_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Bytes read so far.
#[derive(Debug, Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Counter {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The local disk, with a count of what is read.
#[derive(Debug)]
struct CountedFiles(Counter);

#[derive(Debug)]
struct CountedFile(Box<dyn ReadFile>, Counter);

impl Files for CountedFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        LocalFiles.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        LocalFiles.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        LocalFiles.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(CountedFile(LocalFiles.open(path)?, self.0.clone())))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        LocalFiles.truncate(path, len)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalFiles.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        LocalFiles.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        LocalFiles.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        LocalFiles.lock(path)
    }
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for CountedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl ReadFile for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.0.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.0.read_exact_at(buffer, offset)
    }
}
