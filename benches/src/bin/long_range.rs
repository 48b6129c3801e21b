//! Queries over the head of a store in this process: long ranges, and an instant over a million series.
//!
//! ```text
//! cargo run --release --bin long-range
//! ```
//!
//! *Long range*: 5,000 entities, each a counter and a histogram of 20 buckets, sum and count, 8 h of scrapes every 15 s:
//! 1,920 samples a series. *Instant*: ten times as many entities with 30 scrapes, so a million buckets. Each query is
//! asked once to warm up and then until three seconds of CPU are used; the line says the CPU time of a query, the
//! samples per second of CPU from the log of deltas to the sum, the time by the clock, the cores in use, what the query
//! reserved, how much resident memory grew, and a checksum. `--tiny` shows that it works and measures nothing.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use catalog::HashSecret;
use clap::Parser;
use meshtide_benches::asking::{Asker, checksum, ms};
use meshtide_benches::feed::{Feed, register};
use meshtide_benches::traffic::{BOUNDS, Chance, Edge, histogram_lanes};
use meshtide_benches::usage::{cpu_time, forget_peak, load, peak_bytes, resident_bytes};
use model::{Labels, LaneKind, SeriesRef};
use query::QueryRequest;
use storage::{LocalFiles, Store, StoreConfig, Surroundings, WalSync};
use testkit::MockClock;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures long ranges and large instants.
#[derive(Debug, Parser)]
struct Arguments {
    /// Little data: shows that the bench works, measures nothing.
    #[arg(long)]
    tiny: bool,
    /// Entities of the long range; the instant has ten times as many.
    #[arg(long, default_value_t = 5_000)]
    entities: usize,
    /// Query threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

const SCRAPE_MS: i64 = 15_000;
const START_MS: i64 = 1_763_700_000_000;

/// The counter; then sum, count, buckets.
const ENTITY_SERIES: usize = 1 + 2 + BOUNDS.len();

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.tiny {
        arguments.entities = 20;
    }
    let by_workload = "sum by (workload) (rate(istio_requests_total[5m]))";
    let of_buckets = "sum by (workload, le) (rate(istio_request_duration_milliseconds_bucket[5m]))";
    let of_counts = "sum by (workload) (rate(istio_request_duration_milliseconds_count[5m]))";
    let cases: [(&str, usize, i64, &[&str]); 2] = [
        (
            "8 h, step 60 s",
            arguments.entities,
            1_920,
            &[by_workload, of_buckets, of_counts],
        ),
        ("instant", arguments.entities * 10, 30, &[by_workload, of_buckets]),
    ];
    for (name, n_entities, n_scrapes, queries) in cases {
        let folder = tempfile::tempdir()?;
        let store = open(folder.path())?;
        let begun = Instant::now();
        fill(&store, n_entities, n_scrapes)?;
        println!(
            "{name}: {n_entities} entities of {ENTITY_SERIES} series, {n_scrapes} samples each; filled in {:.1} s, {} MB resident",
            begun.elapsed().as_secs_f64(),
            resident_bytes() >> 20,
        );
        let asker = Asker::new(&store, arguments.threads)?;
        let end_ms = START_MS + n_scrapes * SCRAPE_MS;
        for text in queries {
            let request = if n_scrapes > 1_000 {
                QueryRequest::range(*text, START_MS + 300_000, end_ms, 60_000)
            } else {
                QueryRequest::instant(*text, end_ms)
            };
            measure(&asker, &request)?;
        }
    }
    Ok(())
}

fn open(folder: &Path) -> Result<Arc<Store>> {
    let mut config = StoreConfig {
        wal_sync: WalSync::Interval(60_000),
        ..StoreConfig::default()
    };
    config.blocks.flush_interval_ms = i64::MAX;
    let surroundings = Surroundings {
        clock: Arc::new(MockClock::at(START_MS)),
        files: Arc::new(LocalFiles),
        secret: HashSecret::from_seed(1),
        release_memory: || (),
    };
    let (store, _) = Store::open(folder, config, surroundings, &mut |_| {})?;
    Ok(store)
}

/// One entity.
struct Entity {
    series: Vec<SeriesRef>,
    edge: Edge,
    phase_ms: i64,
}

fn fill(store: &Store, n_entities: usize, n_scrapes: i64) -> Result<()> {
    let mut chance = Chance(7);
    let entities = (0..n_entities).map(|number| Entity::new(store, number, &mut chance));
    let mut entities: Vec<Entity> = entities.collect::<Result<_>>()?;
    let mut feed = Feed::new(store);
    for scrape in 0..n_scrapes {
        for Entity {
            series,
            edge,
            phase_ms,
        } in &mut entities
        {
            edge.advance(&mut chance);
            let at_ms = START_MS + *phase_ms + scrape * SCRAPE_MS;
            let values = [edge.count, edge.sum, edge.count].into_iter().chain(edge.buckets);
            for (series, value) in series.iter().zip(values) {
                feed.push(*series, at_ms, value)?;
            }
        }
    }
    feed.finish()
}

impl Entity {
    fn new(store: &Store, number: usize, chance: &mut Chance) -> Result<Self> {
        let labels = Labels::from_pairs([
            ("edge", format!("{number}")),
            ("pod", format!("pod-{}", number / 7)),
            ("workload", format!("workload-{}", chance.below(100))),
            ("source_workload", format!("workload-{}", chance.below(100))),
            (
                "response_code",
                ["200", "200", "200", "404", "503"][chance.below(5) as usize].to_owned(),
            ),
        ])?;
        let mut series = register(store, "istio_requests_total", &labels, &[LaneKind::Value])?;
        let histogram = "istio_request_duration_milliseconds";
        series.extend(register(store, histogram, &labels, &histogram_lanes())?);
        Ok(Self {
            series,
            phase_ms: chance.below(SCRAPE_MS as u64) as i64,
            edge: Edge::new(chance.below(6)),
        })
    }
}

fn measure(asker: &Asker, request: &QueryRequest) -> Result<()> {
    let answer = asker.ask(request)?.result;
    forget_peak();
    let (resident, cpu_before, begun) = (resident_bytes(), cpu_time(), Instant::now());
    let mut times = Vec::new();
    while times.len() < 3 || cpu_time() - cpu_before < Duration::from_secs(3) {
        times.push(asker.ask(request)?.elapsed);
    }
    let n_runs = times.len() as u32;
    let (cpu, elapsed) = ((cpu_time() - cpu_before) / n_runs, begun.elapsed() / n_runs);
    times.sort_unstable();
    let samples = answer.stats.samples_read;
    println!(
        "  {}\n    {:.1} ms CPU, {:.0} M samples/s of CPU, {:.1} ms by the clock (median of {n_runs}, {:.1} at best), \
         {:.2} cores, load {}; {:.1} MB reserved, {:.1} MB grown; {samples} samples, {}",
        request.text,
        ms(cpu),
        samples as f64 / cpu.as_secs_f64() / 1e6,
        ms(times[times.len() / 2]),
        ms(times[0]),
        cpu.as_secs_f64() / elapsed.as_secs_f64(),
        load(),
        answer.stats.peak_bytes as f64 / 1e6,
        peak_bytes().saturating_sub(resident) as f64 / 1e6,
        checksum(&answer),
    );
    Ok(())
}
