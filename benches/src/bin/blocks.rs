//! `cargo run --release --bin blocks`: how large a block is, how fast it is written and read.
//!
//! The samples are those of `meshtide simulate`. Times are those of the processor, for one
//! thread: whoever else uses the machine does not matter.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use clap::Parser;
use mesh::{Mesh, MeshConfig, ScrapeSink, SeriesText};
use meshtide_benches::natives::{Latencies, Sender};
use meshtide_benches::usage::thread_time;
use model::{Labels, LaneKind, Matcher, SeriesName, TimeRange};
use storage::block::{
    Block, BlockFiles, BlockSinks, BlockSource, BlockWriter, Manifest, PageCache, RangeRead, StreamKey,
};
use storage::{NewestBuffer, Source, StoredHistogram, StreamBuffer};

/// Measures the size of a block of simulated samples, and the speed of writing and reading it.
#[derive(Debug, Parser)]
struct Arguments {
    /// A small block: shows that the bench works, measures nothing.
    #[arg(long)]
    tiny: bool,
    /// Label combinations of 67 series each.
    #[arg(long, default_value_t = 204)]
    combinations: usize,
    /// Scrapes of every series.
    #[arg(long, default_value_t = 480)]
    scrapes: i64,
    /// Services of a mesh with everything a real one has, instead of steady HTTP traffic.
    #[arg(long)]
    services: Option<usize>,
    /// Series of native histograms besides.
    #[arg(long, default_value_t = 0)]
    natives: u64,
    /// Who makes the native histograms.
    #[arg(long, value_enum, default_value = "client")]
    natives_of: Sender,
    /// A folder to leave the block in, with `expected.csv` and `expected_histograms.csv` for `tests/parquet/check.py`.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Keeps all samples, by stream and lane.
#[derive(Default)]
struct Recorder {
    entities: HashMap<usize, Arc<Labels>>,
    lanes: HashMap<(usize, &'static str, Option<&'static str>), usize>,
    samples: Vec<(Vec<i64>, Vec<f64>)>,
}

/// A stream's lanes with the positions of their samples.
type Streams = BTreeMap<(String, Arc<Labels>), Vec<(LaneKind<'static>, usize)>>;

/// A file that counts what is read of it.
#[derive(Debug)]
struct CountedFile {
    path: PathBuf,
    file: File,
    len: u64,
    n_read: Arc<AtomicU64>,
}

impl ScrapeSink for Recorder {
    fn sample(&mut self, series: SeriesText<'_>, timestamp_ms: i64, value: f64) {
        self.entities
            .entry(series.entity)
            .or_insert_with(|| Arc::new(series.labels.clone()));
        let n_lanes = self.samples.len();
        let lane = *self
            .lanes
            .entry((series.entity, series.metric_name, series.le))
            .or_insert(n_lanes);
        if lane == n_lanes {
            self.samples.push((Vec::new(), Vec::new()));
        }
        self.samples[lane].0.push(timestamp_ms);
        self.samples[lane].1.push(value);
    }
}

impl Recorder {
    fn streams(&self) -> Streams {
        let mut streams = Streams::new();
        let mut lanes: Vec<_> = self.lanes.iter().collect();
        lanes.sort_unstable();
        for ((entity, name, le), lane) in lanes {
            let split = SeriesName::split(name, le.unwrap_or(""));
            let labels = Arc::clone(&self.entities[entity]);
            let stream = streams.entry((split.base.to_owned(), labels)).or_default();
            stream.push((split.lane, *lane));
        }
        streams
    }

    /// By metric name the number of samples, of NaNs, and the sum of the others, as CSV.
    fn totals(&self) -> String {
        let mut totals: BTreeMap<&str, (usize, usize, f64)> = BTreeMap::new();
        let mut lanes: Vec<_> = self.lanes.iter().collect();
        lanes.sort_unstable();
        for ((_, name, _), lane) in lanes {
            let (n_samples, n_nan, sum) = totals.entry(name).or_default();
            for value in &self.samples[*lane].1 {
                *n_samples += 1;
                *n_nan += usize::from(value.is_nan());
                *sum += if value.is_nan() { 0.0 } else { *value };
            }
        }
        let line = |(name, (n_samples, n_nan, sum)): (&&str, &(usize, usize, f64))| {
            format!("{name},{n_samples},{n_nan},{sum}\n")
        };
        totals.iter().map(line).collect()
    }

    /// Puts a stream into a buffer, as the head would.
    fn fill(&self, lanes: &[(LaneKind<'_>, usize)], buffer: &mut StreamBuffer) {
        buffer.reset(lanes.len());
        let (timestamps_ms, lane_buffers) = buffer.parts_mut();
        for (_, lane) in lanes {
            timestamps_ms.extend(&self.samples[*lane].0);
        }
        timestamps_ms.sort_unstable();
        timestamps_ms.dedup();
        for ((_, lane), buffer) in lanes.iter().zip(lane_buffers) {
            let (times, values) = &self.samples[*lane];
            if times.len() == timestamps_ms.len() {
                buffer.values.extend(values);
                continue;
            }
            let mut own = times.iter().zip(values).peekable();
            for (row, timestamp_ms) in (0_u32..).zip(&*timestamps_ms) {
                let value = own.next_if(|(time, _)| *time == timestamp_ms);
                if value.is_none() {
                    buffer.absent_rows.push(row);
                }
                buffer.values.push(value.map_or(0.0, |(_, value)| *value));
            }
        }
    }
}

impl RangeRead for CountedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, n_bytes: usize) -> std::io::Result<bytes::Bytes> {
        let mut bytes = vec![0; n_bytes];
        self.file.read_exact_at(&mut bytes, offset)?;
        self.n_read.fetch_add(n_bytes as u64, Ordering::Relaxed);
        Ok(bytes.into())
    }
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.tiny {
        (arguments.combinations, arguments.scrapes, arguments.natives) = (4, 40, 12);
    }
    let config = match arguments.services {
        Some(n_services) => MeshConfig::services(n_services, 7),
        None => MeshConfig::steady_http(arguments.combinations, 7),
    };
    let mut mesh = Mesh::new(config);
    let mut recorder = Recorder::default();
    for scrape in 0..arguments.scrapes {
        mesh.scrape_interval(START_MS + scrape * mesh.scrape_interval_ms(), &mut recorder);
    }
    let folder = tempfile::tempdir()?;
    let folder = arguments.out.as_deref().unwrap_or(folder.path());
    std::fs::create_dir_all(folder)?;
    let natives = Natives::record(&arguments, mesh.scrape_interval_ms());
    let manifest = write(&recorder, &natives, folder)?;
    std::fs::write(folder.join("expected.csv"), recorder.totals())?;
    std::fs::write(folder.join("expected_histograms.csv"), natives.totals())?;
    sizes(&manifest);
    read(manifest, folder)
}

/// Two o'clock, or any even hour.
const START_MS: i64 = 1_700_006_400_000;

/// Series of native histograms: of each service its times, sums and histograms.
struct Natives(Vec<Vec<(i64, f64, StoredHistogram)>>);

impl Natives {
    fn record(arguments: &Arguments, interval_ms: i64) -> Self {
        let series = (0..arguments.natives).map(|number| {
            let mut service = Latencies::new(arguments.natives_of, number);
            let scrapes = (0..arguments.scrapes).map(|scrape| {
                // A scraper is late by a few milliseconds.
                let jitter_ms = (number.cast_signed() * 7 + scrape * 13) % 3;
                let (histogram, sum) = service.scrape();
                (START_MS + scrape * interval_ms + jitter_ms, sum, histogram)
            });
            scrapes.collect()
        });
        Self(series.collect())
    }

    /// By service the number of histograms, and the observations and the sum of the last one, as CSV.
    fn totals(&self) -> String {
        let line = |(number, series): (usize, &Vec<(i64, f64, StoredHistogram)>)| {
            let (_, sum, histogram) = series.last()?;
            let (n_histograms, count) = (series.len(), histogram.counts()[0]);
            Some(format!("{},{n_histograms},{count},{sum}\n", service(number)))
        };
        self.0.iter().enumerate().filter_map(line).collect()
    }

    fn write<W: std::io::Write + Send>(&self, writer: &mut BlockWriter<W>) -> Result<f64> {
        let mut buffer = StreamBuffer::stored();
        let mut seconds = 0.0;
        for (number, series) in self.0.iter().enumerate() {
            buffer.reset(1);
            let (timestamps_ms, lanes) = buffer.parts_mut();
            for (row, (timestamp_ms, sum, histogram)) in (0_u32..).zip(series) {
                timestamps_ms.push(*timestamp_ms);
                lanes[0].values.push(*sum);
                lanes[0].stored.push((row, histogram.clone()));
            }
            let entity = Labels::from_pairs([("service", service(number))])?;
            let begin = thread_time().as_secs_f64();
            let key = StreamKey {
                base: LATENCY_NAME,
                entity: &entity,
            };
            writer.write_stream(key, &[LaneKind::Value], &buffer)?;
            seconds += thread_time().as_secs_f64() - begin;
        }
        Ok(seconds)
    }
}

/// Behind all names of the mesh, because streams are written in order.
const LATENCY_NAME: &str = "workload_latency_seconds";

fn service(number: usize) -> String {
    format!("service-{number:05}")
}

fn write(recorder: &Recorder, natives: &Natives, folder: &Path) -> Result<Manifest> {
    let streams = recorder.streams();
    let mut buffer = StreamBuffer::default();
    let sink =
        |name: &str| Ok::<_, std::io::Error>(std::io::BufWriter::new(File::create(folder.join(name))?));
    let sinks = BlockSinks {
        samples: sink("samples.parquet")?,
        series: sink("series.parquet")?,
        histograms: sink("histograms.parquet")?,
    };
    let mut writer = BlockWriter::new(sinks)?;
    let mut seconds = 0.0;
    for ((base, entity), lanes) in &streams {
        recorder.fill(lanes, &mut buffer);
        let kinds: Vec<LaneKind<'_>> = lanes.iter().map(|(kind, _)| *kind).collect();
        let begin = thread_time().as_secs_f64();
        writer.write_stream(StreamKey { base, entity }, &kinds, &buffer)?;
        seconds += thread_time().as_secs_f64() - begin;
    }
    let native_seconds = natives.write(&mut writer)?;
    let begin = thread_time().as_secs_f64();
    let (_, manifest) = writer.finish()?;
    seconds += thread_time().as_secs_f64() - begin;
    let manifest = manifest.context("there is no sample")?;
    std::fs::write(folder.join("manifest.json"), manifest.to_json())?;
    println!(
        "written at {:.1} M samples/s",
        manifest.n_samples as f64 / seconds / 1e6
    );
    if manifest.histograms.is_some() {
        println!(
            "native histograms written at {:.2} M/s",
            manifest.n_histograms as f64 / native_seconds / 1e6
        );
    }
    Ok(manifest)
}

fn sizes(manifest: &Manifest) {
    let (n_samples, n_series) = (manifest.n_samples as f64, manifest.n_series as f64);
    println!(
        "{n_samples} samples of {n_series} series, {} streams, {} entities",
        manifest.n_streams, manifest.n_entities
    );
    println!(
        "  bytes per sample, all:     {:.4}",
        manifest.n_bytes() as f64 / n_samples
    );
    println!(
        "  samples.parquet:           {:.4}",
        manifest.samples.n_bytes as f64 / n_samples
    );
    println!(
        "  of that, footer:           {:.4}",
        manifest.samples.footer_bytes as f64 / n_samples
    );
    let table = manifest
        .samples
        .page_table
        .map_or(0, |table| table.sections_bytes);
    println!("  and the page table:        {:.4}", table as f64 / n_samples);
    println!(
        "  series.parquet per series: {:.4}",
        manifest.series.n_bytes as f64 / n_series
    );
    if let Some(histograms) = manifest.histograms {
        let n_histograms = manifest.n_histograms as f64;
        println!(
            "{n_histograms} native histograms, bytes each: {:.3}, of that footer: {:.3}",
            histograms.n_bytes as f64 / n_histograms,
            histograms.footer_bytes as f64 / n_histograms
        );
    }
}

fn read(manifest: Manifest, folder: &Path) -> Result<()> {
    let n_read = Arc::new(AtomicU64::new(0));
    let open = |name: &str| -> Result<Arc<dyn RangeRead>> {
        let file = File::open(folder.join(name))?;
        let len = file.metadata()?.len();
        let n_read = Arc::clone(&n_read);
        let path = folder.join(name);
        Ok(Arc::new(CountedFile {
            path,
            file,
            len,
            n_read,
        }))
    };
    let files = BlockFiles {
        samples: open("samples.parquet")?,
        series: open("series.parquet")?,
        histograms: match manifest.histograms {
            Some(_) => Some(open("histograms.parquet")?),
            None => None,
        },
    };
    let n_samples = manifest.n_samples as f64;
    let block = Arc::new(Block::open(manifest, files)?);
    let begin = thread_time().as_secs_f64();
    let catalog = Arc::new(block.load_catalog()?);
    let ms = (thread_time().as_secs_f64() - begin) * 1e3;
    println!(
        "catalog: {ms:.1} ms, {} bytes read, {} in memory",
        n_read.swap(0, Ordering::Relaxed),
        catalog.heap_bytes()
    );
    for (name, cache_bytes) in [("cold", 0), ("warm", 1 << 30), ("warm", 1 << 30)] {
        let cache = Arc::new(PageCache::new(cache_bytes));
        let source = BlockSource::new(Arc::clone(&block), Arc::clone(&catalog), cache);
        let _ = read_all(&source, &[])?;
        n_read.store(0, Ordering::Relaxed);
        let begin = thread_time().as_secs_f64();
        let checksum = read_all(&source, &[])?;
        let seconds = thread_time().as_secs_f64() - begin;
        println!(
            "{name}: {:.1} M samples/s, {} bytes read, checksum {checksum:x}",
            n_samples / seconds / 1e6,
            n_read.load(Ordering::Relaxed)
        );
    }
    one_service(&block, &catalog, &n_read)?;
    read_natives(&block, &catalog)?;
    let begin = thread_time().as_secs_f64();
    block.verify()?;
    println!("verified in {:.2} s", thread_time().as_secs_f64() - begin);
    Ok(())
}

/// What a query for one service reads, compared with the share of the rows that it wants.
fn one_service(
    block: &Arc<Block>,
    catalog: &Arc<storage::block::BlockCatalog>,
    n_read: &AtomicU64,
) -> Result<()> {
    let label = "destination_workload";
    let source = BlockSource::new(
        Arc::clone(block),
        Arc::clone(catalog),
        Arc::new(PageCache::new(1 << 30)),
    );
    let Some(service) = source.label_values(label, TimeRange::ALL)?.first().cloned() else {
        return Ok(());
    };
    for name in [
        "istio_requests_total",
        "istio_request_duration_milliseconds_bucket",
    ] {
        let matchers = [Matcher::equal("__name__", name), Matcher::equal(label, &*service)];
        let selection = source.select(&matchers, TimeRange::ALL)?;
        let (mut buffer, mut n_samples) = (StreamBuffer::default(), 0);
        n_read.store(0, Ordering::Relaxed);
        let begin = thread_time().as_secs_f64();
        for stream_idx in 0..selection.streams().len() {
            selection.read(stream_idx, TimeRange::ALL, &mut buffer)?;
            n_samples += buffer.timestamps_ms.len() * buffer.lanes().len();
        }
        let ms = (thread_time().as_secs_f64() - begin) * 1e3;
        let manifest = block.manifest();
        let own = manifest.samples.n_bytes as f64 * n_samples as f64 / manifest.n_samples as f64;
        let n_bytes = n_read.load(Ordering::Relaxed) as f64;
        println!(
            "{name} of one service: {} of {} streams, {ms:.2} ms, {n_bytes} bytes read, {:.2} of its share",
            selection.streams().len(),
            manifest.n_streams,
            n_bytes / own
        );
    }
    Ok(())
}

/// Reads all native histograms, as queries see them and as they are stored.
fn read_natives(block: &Arc<Block>, catalog: &Arc<storage::block::BlockCatalog>) -> Result<()> {
    let n_histograms = block.manifest().n_histograms;
    if n_histograms == 0 {
        return Ok(());
    }
    let source = BlockSource::new(
        Arc::clone(block),
        Arc::clone(catalog),
        Arc::new(PageCache::new(1 << 30)),
    );
    let matchers = [Matcher::equal("__name__", LATENCY_NAME)];
    for (name, mut buffer) in [
        ("as queries see them, cold", StreamBuffer::default()),
        ("as queries see them, warm", StreamBuffer::default()),
        ("as they are stored, warm", StreamBuffer::stored()),
    ] {
        let begin = thread_time().as_secs_f64();
        let selection = source.select(&matchers, TimeRange::ALL)?;
        let (mut n_read, mut checksum) = (0, 0_u64);
        for stream_idx in 0..selection.streams().len() {
            selection.read(stream_idx, TimeRange::ALL, &mut buffer)?;
            for lane in buffer.lanes() {
                n_read += lane.histograms.len() + lane.stored.len();
                let sums = lane.values.iter().map(|sum| sum.to_bits());
                checksum = sums.fold(checksum, u64::wrapping_add);
            }
        }
        let seconds = thread_time().as_secs_f64() - begin;
        println!(
            "native histograms {name}: {:.2} M/s, checksum {checksum:x}",
            n_read as f64 / seconds / 1e6
        );
    }
    Ok(())
}

/// Reads all samples; a checksum of their bits.
fn read_all(source: &dyn Source, matchers: &[Matcher]) -> Result<u64> {
    let selection = source.select(matchers, TimeRange::ALL)?;
    let (mut buffer, mut newest) = (StreamBuffer::default(), NewestBuffer::default());
    let mut checksum = 0_u64;
    for stream_idx in 0..selection.streams().len() {
        selection.read(stream_idx, TimeRange::ALL, &mut buffer)?;
        for lane in buffer.lanes() {
            let bits = lane.values.iter().map(|value| value.to_bits());
            checksum = bits.fold(checksum, |sum, bits| sum.wrapping_add(bits));
        }
        if stream_idx == 0 {
            selection.read_newest(stream_idx, TimeRange::ALL, &mut newest)?;
        }
    }
    Ok(checksum)
}
