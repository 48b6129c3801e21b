//! Queries over weeks of blocks: how long opening takes, what is read, what it costs.
//!
//! ```text
//! cargo run --release --bin history
//! ```
//!
//! - *Month*: 30 days of 13,668 series (204 entities of a counter and three histograms), a block each, and a log of the
//!   last three hours: until the server is ready, names and values of labels, all series.
//! - *Service*: 24 h of 10,000 counters every 15 s, as the block of a day, as those of a day that is about to be merged, or
//!   has no end yet, and as twelve that nobody has merged: a range query of one service, which has 100 of them, from files
//!   that nobody has read yet: in a store that has just been opened, and in one that knows its series.
//! - *Week*: 7 days of 1,000 histograms of 20 buckets, a block each: `histogram_quantile` by service with a step of one
//!   hour, cold and warm; of the last five minutes of each hour, and of all of it, which is what consoles ask.
//!
//! Each line gives the time by the clock, the CPU time of all threads, and what was read of files: tables of series and
//! page tables apart from pages. `--tiny` shows that it works and measures nothing.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::time::Instant;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use meshtide_benches::asking::{Asker, checksum, ms};
use meshtide_benches::counted_files::Counter;
use meshtide_benches::data_directory::{DataDirectory, NewBlock, Scrapes};
use meshtide_benches::feed::{Feed, register};
use meshtide_benches::traffic::{Chance, Edge, entities, histogram_lanes};
use meshtide_benches::usage::{cpu_time, load};
use meshtide_tests::clock::now_ms;
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use model::{Labels, LaneKind, Matcher, SeriesRef, TimeRange};
use query::QueryRequest;
use storage::{Source, Store, StoreConfig};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures queries over blocks.
#[derive(Debug, Parser)]
struct Arguments {
    /// Little data: shows that the bench works, measures nothing.
    #[arg(long)]
    tiny: bool,
    /// Seconds from scrape to scrape in the week.
    #[arg(long, default_value_t = 15)]
    scrape: i64,
    /// Megabytes of the cache of pages in the week; the default is that of a server.
    #[arg(long, default_value_t = 64)]
    page_cache: usize,
    /// Query threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only this part.
    #[arg(long)]
    only: Option<Part>,
    /// Runs of each warm query.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Month,
    Service,
    Week,
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const SCRAPE_MS: i64 = 15_000;
/// Midnight.
const START_MS: i64 = 1_763_700_000_000 / DAY_MS * DAY_MS;

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    let wanted = |part: Part| arguments.only.is_none_or(|only| only == part);
    let scale = if arguments.tiny { 20 } else { 1 };
    if wanted(Part::Month) {
        month(30, 204 / scale)?;
    }
    if wanted(Part::Service) {
        let lengths: [&[i64]; 4] = [&[24], &[6; 4], &[6, 6, 6, 2, 2, 2], &[2; 12]];
        for hours in lengths {
            service(hours, 10_000 / scale, &arguments)?;
        }
    }
    if wanted(Part::Week) {
        if arguments.tiny {
            arguments.scrape = 600;
        }
        week(1_000 / scale, &arguments)?;
    }
    Ok(())
}

fn month(n_days: i64, n_entities: usize) -> Result<()> {
    let now_ms = now_ms()?;
    let start_ms = now_ms / DAY_MS * DAY_MS - n_days * DAY_MS;
    let mut directory = DataDirectory::new()?;
    let entities = entities(n_entities, 30)?;
    for day in 0..n_days {
        let scrapes = Scrapes {
            start_ms: start_ms + day * DAY_MS,
            end_ms: start_ms + (day + 1) * DAY_MS,
            // Opening reads no sample.
            interval_ms: 600_000,
        };
        directory.add_block(scrapes, |block| write_mesh(block, &entities))?;
    }
    directory.finish()?;
    println!("month: {}", directory.describe());
    let read = directory.read();
    let store = measure("opened without a log", read, || directory.open(now_ms))?;
    let last_day = TimeRange {
        start_ms: now_ms - DAY_MS,
        end_ms: i64::MAX,
    };
    measure("names of labels", read, || store.label_names(TimeRange::ALL))?;
    measure("series of the last day", read, || {
        store.select(&[], last_day).map(|found| found.n_series())
    })?;
    measure("values of a label", read, || {
        store.label_values("pod", TimeRange::ALL)
    })?;
    for what in ["all series", "all series again"] {
        measure(what, read, || {
            store.select(&[], TimeRange::ALL).map(|found| found.n_series())
        })?;
    }
    let n_samples = fill_log(&store, &entities, now_ms - 3 * HOUR_MS..now_ms)?;
    store.close()?;
    drop(store);
    println!("  and a log of {n_samples} samples; load {}", load());
    let store = measure("opened", read, || directory.open(now_ms))?;
    store.close()?;
    drop(store);
    start_server(&directory)
}

/// The bases of an entity, in their order; `requests` is a counter, the others are histograms.
const BASES: [&str; 4] = ["bytes", "duration", "requests", "sizes"];

fn write_mesh(block: &mut NewBlock, entities: &[(u64, Labels)]) -> Result<()> {
    for base in BASES {
        for entity in entities {
            match base {
                "requests" => block.counter(base, entity)?,
                _ => block.histogram(base, entity)?,
            }
        }
    }
    Ok(())
}

/// Appends the scrapes of some time to the log; gives the number of samples.
fn fill_log(store: &Store, entities: &[(u64, Labels)], times: std::ops::Range<i64>) -> Result<u64> {
    let lanes = histogram_lanes();
    let mut edges: Vec<(Edge, Vec<SeriesRef>)> = Vec::new();
    for (number, entity) in entities {
        let mut series = Vec::new();
        for base in BASES {
            let lanes = if base == "requests" {
                &[LaneKind::Value]
            } else {
                &lanes[..]
            };
            series.extend(register(store, base, entity, lanes)?);
        }
        edges.push((Edge::new(*number), series));
    }
    let (mut chance, mut feed, mut n_samples) = (Chance(7), Feed::new(store), 0);
    for time_ms in times.step_by(SCRAPE_MS as usize) {
        for (edge, series) in &mut edges {
            edge.advance(&mut chance);
            let histogram = || [edge.sum, edge.count].into_iter().chain(edge.buckets);
            let values = histogram()
                .chain(histogram())
                .chain([edge.count])
                .chain(histogram());
            for (series, value) in series.iter().zip(values) {
                feed.push(*series, time_ms, value)?;
                n_samples += 1;
            }
        }
    }
    feed.finish()?;
    Ok(n_samples)
}

/// How long the real server takes until it is ready.
fn start_server(directory: &DataDirectory) -> Result<()> {
    let arguments = [
        "serve".to_owned(),
        format!("--data-dir={}", directory.path().display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
        "--otlp-grpc-listen=off".to_owned(),
        "--otlp-http-listen=off".to_owned(),
        "--retention=60d".to_owned(),
    ];
    let begun = Instant::now();
    let mut server = Server::start(
        &peers::meshtide(),
        &arguments,
        &directory.path().join("server.log"),
    )?;
    let elapsed = begun.elapsed();
    let usage = server.usage()?;
    println!(
        "  server ready: {:.0} ms by the clock, {:.0} ms CPU, {} MB resident; load {}",
        ms(elapsed),
        usage.cpu_seconds * 1e3,
        usage.rss_bytes >> 20,
        load(),
    );
    server.terminate()
}

/// `hours` is how long the blocks of the day are.
fn service(hours: &[i64], n_streams: usize, arguments: &Arguments) -> Result<()> {
    let mut directory = DataDirectory::new()?;
    let entities = entities(n_streams, 20)?;
    let mut start_ms = START_MS;
    for hours in hours {
        let scrapes = Scrapes {
            start_ms,
            end_ms: start_ms + hours * HOUR_MS,
            interval_ms: SCRAPE_MS,
        };
        start_ms = scrapes.end_ms;
        directory.add_block(scrapes, |block| {
            entities
                .iter()
                .try_for_each(|entity| block.counter("requests_total", entity))
        })?;
    }
    directory.finish()?;
    println!("service, blocks of {hours:?} h: {}", directory.describe());
    let text = "sum(rate(requests_total{service=\"service-7\"}[5m]))";
    let request = QueryRequest::range(text, START_MS, START_MS + DAY_MS, 60_000);
    let store = directory.open(START_MS)?;
    let first = ask(
        "first of all",
        &Asker::new(&store, arguments.threads)?,
        &request,
        directory.read(),
    )?;
    store.close()?;
    drop(store);
    let store = directory.open(START_MS)?;
    let service = Matcher::equal("service", "service-7");
    let tables = || store.select(std::slice::from_ref(&service), TimeRange::ALL);
    let selection = measure("tables of series", directory.read(), tables)?;
    let n_own = selection.streams().len();
    let own = directory.bytes_per_sample() * n_own as f64 * (DAY_MS / SCRAPE_MS) as f64;
    println!("  own rows: {n_own} streams, {own:.0} bytes");
    let asker = Asker::new(&store, arguments.threads)?;
    let rest = ask("the rest", &asker, &request, directory.read())?;
    println!(
        "    by its own rows: {:.2} times with all that was read for the first query, {:.2} times without tables of series",
        first as f64 / own,
        rest as f64 / own
    );
    for _ in 0..arguments.runs {
        ask("warm", &asker, &request, directory.read())?;
    }
    Ok(())
}

fn week(n_streams: usize, arguments: &Arguments) -> Result<()> {
    let mut directory = DataDirectory::new()?;
    let entities = entities(n_streams, 20)?;
    for day in 0..7 {
        let scrapes = Scrapes {
            start_ms: START_MS + day * DAY_MS,
            end_ms: START_MS + (day + 1) * DAY_MS,
            interval_ms: arguments.scrape * 1_000,
        };
        directory.add_block(scrapes, |block| {
            entities
                .iter()
                .try_for_each(|entity| block.histogram("duration", entity))
        })?;
    }
    directory.finish()?;
    println!("week, {} s: {}", arguments.scrape, directory.describe());
    let mut config = StoreConfig::default();
    config.blocks.cache.page_bytes_max = arguments.page_cache << 20;
    let store = directory.open_with(START_MS, config)?;
    let asker = Asker::new(&store, arguments.threads)?;
    for window in ["5m", "1h"] {
        let text =
            format!("histogram_quantile(0.99, sum by (service, le) (rate(duration_bucket[{window}])))");
        let request = QueryRequest::range(text, START_MS + HOUR_MS, START_MS + 7 * DAY_MS, HOUR_MS);
        ask("cold", &asker, &request, directory.read())?;
        for _ in 0..arguments.runs {
            ask("warm", &asker, &request, directory.read())?;
        }
    }
    Ok(())
}

/// Asks once and says what it took; gives the bytes read.
fn ask(what: &str, asker: &Asker, request: &QueryRequest, read: &Counter) -> Result<u64> {
    let read_before = read.get();
    let answer = asker.ask(request)?;
    let n_read = read.get() - read_before;
    let n_samples = answer.result.stats.samples_read;
    println!(
        "  {what}: {}: {:.0} ms by the clock, {:.0} ms CPU, {:.1} M of {} M samples per CPU-second; {n_read} bytes \
         read; {:.1} MB reserved; {}; load {}",
        request.text,
        ms(answer.elapsed),
        ms(answer.cpu),
        n_samples as f64 / answer.cpu.as_secs_f64() / 1e6,
        n_samples / 1_000_000,
        answer.result.stats.peak_bytes as f64 / 1e6,
        checksum(&answer.result),
        load(),
    );
    Ok(n_read)
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
        ms(begun.elapsed()),
        ms(cpu_time() - cpu_before),
        read.get() - read_before
    );
    Ok(done)
}
