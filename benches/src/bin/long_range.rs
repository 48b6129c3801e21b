//! Queries over the real store, in one process: long ranges, and an instant over a million series.
//!
//! ```text
//! cargo run --release --bin long-range
//! ```
//!
//! *Long range*: `MESHTIDE_BENCH_STREAMS` (5,000) entities, each a counter and a histogram of 20 buckets, sum and
//! count, 8 h of scrapes every 15 s: 1,920 samples a series. *Instant*: ten times as many entities with 30 scrapes, so
//! a million buckets. Each query is asked once to warm up and then until three seconds of CPU are used; the line says
//! the CPU time of a query, the samples per second of CPU from the log of deltas to the sum, the time by the clock,
//! what the query reserved, how much resident memory grew, and a checksum. `MESHTIDE_BENCH_THREADS` (2) threads.
#![expect(clippy::print_stdout, reason = "a bench reports")]

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use catalog::HashSecret;
use model::{Labels, SampleBatch, SeriesRef};
use query::{Engine, EngineOptions, QueryRequest, QueryResult, Value};
use storage::{LocalFiles, Store, StoreConfig, Surroundings, WalSync};
use testkit::MockClock;

const SCRAPE_MS: i64 = 15_000;
const START_MS: i64 = 1_763_700_000_000;
const BOUNDS: [&str; 20] = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000",
    "60000", "300000", "600000", "1.8e+06", "3.6e+06", "+Inf",
];

/// The counter; then buckets, sum, count.
const ENTITY_SERIES: usize = 1 + BOUNDS.len() + 2;

/// Samples of one request.
const BATCH_LEN: usize = 20_000;

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

fn main() {
    let n_streams = setting("MESHTIDE_BENCH_STREAMS", 5_000);
    let by_workload = "sum by (workload) (rate(istio_requests_total[5m]))";
    let of_buckets = "sum by (workload, le) (rate(istio_request_duration_milliseconds_bucket[5m]))";
    let of_counts = "sum by (workload) (rate(istio_request_duration_milliseconds_count[5m]))";
    let cases: [(&str, usize, i64, &[&str]); 2] = [
        (
            "8 h, step 60 s",
            n_streams,
            1_920,
            &[by_workload, of_buckets, of_counts],
        ),
        ("instant", n_streams * 10, 30, &[by_workload, of_buckets]),
    ];
    for (name, n_entities, n_scrapes, queries) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let begun = Instant::now();
        fill(&store, n_entities, n_scrapes);
        println!(
            "{name}: {n_entities} entities of {ENTITY_SERIES} series, {n_scrapes} samples each; filled in {:.1} s, {} MB resident",
            begun.elapsed().as_secs_f64(),
            status_kb("VmRSS:") / 1024,
        );
        let engine = engine(&store);
        let end_ms = START_MS + n_scrapes * SCRAPE_MS;
        for text in queries {
            let request = if n_scrapes > 1_000 {
                QueryRequest::range(*text, START_MS + 300_000, end_ms, 60_000)
            } else {
                QueryRequest::instant(*text, end_ms)
            };
            measure(&engine, &request);
        }
    }
}

fn setting(name: &str, default: usize) -> usize {
    let chosen = std::env::var(name).ok();
    chosen.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn open(folder: &Path) -> Arc<Store> {
    let config = StoreConfig {
        wal_sync: WalSync::Interval(60_000),
        ..StoreConfig::default()
    };
    let surroundings = Surroundings {
        clock: Arc::new(MockClock::at(START_MS)),
        files: Arc::new(LocalFiles),
        secret: HashSecret::from_seed(1),
    };
    let (store, _) = Store::open(folder, config, surroundings, &mut |_| {}).expect("a store");
    store
}

fn engine(store: &Arc<Store>) -> Engine {
    let options = EngineOptions {
        threads: setting("MESHTIDE_BENCH_THREADS", 2),
        max_samples: u64::MAX,
        ..EngineOptions::default()
    };
    let store: Arc<Store> = Arc::clone(store);
    Engine::new(store, options).expect("an engine")
}

/// One entity with its counters.
struct Entity {
    series: Vec<SeriesRef>,
    values: [f64; ENTITY_SERIES],
    phase_ms: i64,
    requests_per_scrape: u64,
}

fn fill(store: &Store, n_entities: usize, n_scrapes: i64) {
    let mut chance = Chance(7);
    let mut entities: Vec<Entity> = (0..n_entities)
        .map(|idx| register(store, idx, &mut chance))
        .collect();
    let (sender, answers) = mpsc::channel();
    let mut n_pending = 0;
    let mut batch = SampleBatch::default();
    let mut send = |batch: &mut SampleBatch| {
        let sender = sender.clone();
        let done = Box::new(move |outcome: Result<_, _>| sender.send(outcome.is_ok()).expect("a receiver"));
        store
            .append(std::mem::take(batch), done)
            .expect("room in the queue");
        n_pending += 1;
        if n_pending > 8 {
            assert!(answers.recv().expect("an answer"), "a batch was not stored");
            n_pending -= 1;
        }
    };
    for scrape in 0..n_scrapes {
        for entity in &mut entities {
            entity.advance(&mut chance);
            let at_ms = START_MS + entity.phase_ms + scrape * SCRAPE_MS;
            for (series, value) in entity.series.iter().zip(entity.values) {
                batch.push(*series, at_ms, value);
            }
            if batch.len() >= BATCH_LEN {
                send(&mut batch);
            }
        }
    }
    send(&mut batch);
    drop(sender);
    for stored in answers {
        assert!(stored, "a batch was not stored");
    }
}

fn register(store: &Store, entity_idx: usize, chance: &mut Chance) -> Entity {
    let pod = format!("pod-{}", entity_idx / 7);
    let workload = format!("workload-{}", chance.below(100));
    let source = format!("workload-{}", chance.below(100));
    let code = ["200", "200", "200", "404", "503"][chance.below(5) as usize];
    let edge = format!("{entity_idx}");
    let add = |name: &str, le: Option<&str>| {
        let mut pairs = vec![
            ("__name__", name),
            ("edge", &edge),
            ("pod", &pod),
            ("response_code", code),
            ("source_workload", &source),
            ("workload", &workload),
        ];
        pairs.extend(le.map(|le| ("le", le)));
        let labels = Labels::from_pairs(pairs).expect("labels");
        let key = store.resolver().key(format!("{edge} {name} {le:?}").as_bytes());
        store.register(key, &labels).expect("a new series")
    };
    let mut series = vec![add("istio_requests_total", None)];
    let histogram = "istio_request_duration_milliseconds";
    series.extend(BOUNDS.map(|le| add(&format!("{histogram}_bucket"), Some(le))));
    series.extend(["sum", "count"].map(|part| add(&format!("{histogram}_{part}"), None)));
    Entity {
        series,
        values: [0.0; ENTITY_SERIES],
        phase_ms: chance.below(SCRAPE_MS as u64) as i64,
        // A third of all edges is idle.
        requests_per_scrape: [0, 1, 3, 10, 40, 0][chance.below(6) as usize],
    }
}

impl Entity {
    fn advance(&mut self, chance: &mut Chance) {
        let n_requests = match self.requests_per_scrape {
            0 => return,
            n => chance.below(2 * n + 1),
        };
        let [total, buckets @ .., sum, count] = &mut self.values;
        *total += n_requests as f64;
        *count += n_requests as f64;
        for _ in 0..n_requests.min(8) {
            let weight = (n_requests / n_requests.min(8)) as f64;
            let bucket = (2 + chance.below(7) + chance.below(5)) as usize;
            buckets[bucket..].iter_mut().for_each(|count| *count += weight);
            *sum = ((*sum + weight * (1 << bucket) as f64 * 0.73) * 100.0).round() / 100.0;
        }
    }
}

fn measure(engine: &Engine, request: &QueryRequest) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a thread");
    let ask = || {
        runtime
            .block_on(engine.query(request.clone()))
            .expect("an answer")
    };
    let answer = ask();
    forget_peak();
    let resident_kb = status_kb("VmRSS:");
    let (cpu_before, begun) = (cpu_time(), Instant::now());
    let mut times = Vec::new();
    while times.len() < 3 || cpu_time() - cpu_before < Duration::from_secs(3) {
        let begun = Instant::now();
        ask();
        times.push(begun.elapsed());
    }
    let n_runs = times.len() as u32;
    let cpu = (cpu_time() - cpu_before) / n_runs;
    times.sort_unstable();
    let samples = answer.stats.samples_read;
    println!(
        "  {}\n    {:.1} ms CPU, {:.0} M samples/s of CPU, {:.1} ms by the clock (median of {n_runs}; load {:.1}), \
         {:.1} MB reserved, {:.1} MB grown; {samples} samples, {}",
        request.text,
        cpu.as_secs_f64() * 1e3,
        samples as f64 / cpu.as_secs_f64() / 1e6,
        times[times.len() / 2].as_secs_f64() * 1e3,
        begun.elapsed().as_secs_f64() / cpu.as_secs_f64() / f64::from(n_runs),
        answer.stats.peak_bytes as f64 / 1e6,
        status_kb("VmHWM:").saturating_sub(resident_kb) as f64 / 1e3,
        checksum(&answer),
    );
}

fn checksum(result: &QueryResult) -> String {
    match &result.value {
        Value::Vector(series) | Value::Matrix(series) => {
            let points = (0..series.n_series()).flat_map(|idx| series.points(idx));
            let sum: f64 = points
                .map(|(_, value)| value)
                .filter(|value| value.is_finite())
                .sum();
            format!("{} series, sum {sum:.9e}", series.n_series())
        }
        other => format!("{other:?}"),
    }
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

/// A line of the status of this process, in kB.
fn status_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or_default()
}

/// Sets the peak of resident memory to what is resident now.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux resets the peak");
}
