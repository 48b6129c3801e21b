//! kill -9 in the middle of ingest: what was acknowledged is there afterwards, bit for bit, exactly once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use meshtide_tests::load::{Series, native_count, write_request};
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use serde_json::Value;

const N_SERIES: usize = 200;
const N_SENDERS: usize = 3;

/// Every sample that was sent, by series and timestamp, and whether its request was acknowledged.
type Ledger = BTreeMap<(usize, i64), (u64, bool)>;

/// Short windows that are over at once, so that blocks are made and merged all the time.
const RESTLESS: &str = "storage: {block_window: 10s, flush_interval: 50ms, out_of_order_window: 10m}\n\
                        http: {admin_api: true}\n";

#[test]
fn acknowledged_samples_survive_kill_9_at_any_moment() -> Result<()> {
    survive("")
}

#[test]
fn acknowledged_samples_survive_kill_9_while_blocks_are_made_and_merged() -> Result<()> {
    survive(RESTLESS)
}

#[expect(clippy::print_stdout, reason = "a test says what it did")]
fn survive(config: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("config.yaml"), config)?;
    let n_kills = if std::env::var("CI").as_deref() == Ok("true") {
        30
    } else {
        5
    };
    let mut ledger = Ledger::new();
    let mut chance = Chance(0x5eed);
    let first_ms = now_ms()? - 3_600_000;
    let mut n_acknowledged = 0;
    for round in 0..n_kills {
        let mut server = start(folder.path())?;
        check(&server, &ledger)?;
        let round_start_ms = first_ms + round * 100_000;
        // Long enough for some flushes and merges.
        let pause_ms = if config == RESTLESS {
            300 + chance.next() % 2_000
        } else {
            100 + chance.next() % 900
        };
        let pause = Duration::from_millis(pause_ms);
        let sent = send_until_killed(&mut server, round_start_ms, pause, &mut chance)?;
        n_acknowledged += sent.values().filter(|(_, acknowledged)| *acknowledged).count();
        ledger.extend(sent);
    }
    let mut server = start(folder.path())?;
    check(&server, &ledger)?;
    if config == RESTLESS {
        let metrics = server.client().get("/metrics")?.text();
        ensure!(
            metrics.contains("meshtide_quarantined_blocks 0") && !metrics.contains("meshtide_blocks 0"),
            "blocks are damaged, or there are none:\n{metrics}"
        );
    }
    server.terminate()?;
    println!(
        "{n_kills} kills, {n_acknowledged} acknowledged samples, {} sent",
        ledger.len()
    );
    ensure!(
        n_acknowledged > 10_000,
        "only {n_acknowledged} samples were acknowledged: nothing was tested"
    );
    Ok(())
}

fn start(folder: &Path) -> Result<Server> {
    let arguments = [
        "serve".to_owned(),
        format!("--data-dir={}", folder.join("data").display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
        format!("--config={}", folder.join("config.yaml").display()),
    ];
    Server::start(&peers::meshtide(), &arguments, &folder.join("log"))
}

/// Several senders write as fast as they can until the server is killed under them.
fn send_until_killed(
    server: &mut Server,
    start_ms: i64,
    pause: Duration,
    chance: &mut Chance,
) -> Result<Ledger> {
    let client = server.client();
    let (ledger, killed) = (Mutex::new(Ledger::new()), AtomicBool::new(false));
    let seeds = [chance.next(), chance.next(), chance.next()];
    std::thread::scope(|scope| {
        for (sender, seed) in seeds.into_iter().enumerate().take(N_SENDERS) {
            let (client, ledger, killed) = (client.clone(), &ledger, &killed);
            scope.spawn(move || {
                let mut chance = Chance(seed | 1);
                for tick in 0..30_000 {
                    if killed.load(Ordering::Relaxed) {
                        break;
                    }
                    // Each sender has timestamps of its own, so that no two samples contradict each other.
                    let timestamp_ms = start_ms + tick * 3 + sender as i64;
                    let samples: Vec<(usize, u64)> = (0..N_SERIES)
                        .map(|series| (series, chance.finite_bits()))
                        .collect();
                    let body = write_request(
                        samples
                            .iter()
                            .map(|(series, bits)| (Series(*series), timestamp_ms, f64::from_bits(*bits))),
                    );
                    let acknowledged = client
                        .remote_write(&body)
                        .is_ok_and(|answer| answer.status == 204);
                    let mut ledger = ledger.lock().expect("no sender panics");
                    for (series, bits) in samples {
                        ledger.insert((series, timestamp_ms), (bits, acknowledged));
                    }
                }
            });
        }
        std::thread::sleep(pause);
        let outcome = server.kill();
        killed.store(true, Ordering::Relaxed);
        outcome
    })?;
    ledger.into_inner().context("no sender panics")
}

/// Everything acknowledged is stored once with the bits that were sent; nothing is stored that was never sent.
fn check(server: &Server, ledger: &Ledger) -> Result<()> {
    let data = server
        .client()
        .api("/api/v1/query", &[("query", "crash_total[2h]")])?;
    let mut stored = HashMap::new();
    for series in data["result"].as_array().context("a matrix")? {
        let number: usize = series["metric"]["i"].as_str().context("label i")?.parse()?;
        let field = if Series(number).is_native() {
            "histograms"
        } else {
            "values"
        };
        for sample in series[field].as_array().context("samples")? {
            let timestamp_ms = (sample[0].as_f64().context("a timestamp")? * 1e3).round() as i64;
            let value = value_of(Series(number), &sample[1])?;
            let twice = stored.insert((number, timestamp_ms), value.to_bits());
            ensure!(
                twice.is_none(),
                "series {number} has two samples at {timestamp_ms}"
            );
        }
    }
    for (place, (bits, acknowledged)) in ledger {
        match stored.get(place) {
            Some(found) => ensure!(found == bits, "{place:?}: bits {found:x} instead of {bits:x}"),
            None => ensure!(!acknowledged, "{place:?} was acknowledged and is gone"),
        }
    }
    let invented = stored.into_keys().find(|place| !ledger.contains_key(place));
    ensure!(invented.is_none(), "{invented:?} was never sent");
    Ok(())
}

/// The value of a sample, or the sum of a native histogram, whose other numbers follow from it.
fn value_of(series: Series, sample: &Value) -> Result<f64> {
    if !series.is_native() {
        return Ok(sample.as_str().context("a value")?.parse()?);
    }
    let sum: f64 = sample["sum"].as_str().context("a sum")?.parse()?;
    let count: u64 = sample["count"].as_str().context("a count")?.parse()?;
    ensure!(
        count == native_count(sum),
        "sum {sum} and count {count} do not belong together"
    );
    let buckets = sample["buckets"].as_array().context("buckets")?;
    ensure!(buckets.len() == 2, "{} buckets", buckets.len());
    Ok(sum)
}

/// A small generator, seeded (xorshift64*).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Bits of a finite float: JSON carries those exactly.
    fn finite_bits(&mut self) -> u64 {
        loop {
            let bits = if self.next().is_multiple_of(4) {
                self.next()
            } else {
                ((self.next() % 1_000_000) as f64).to_bits()
            };
            if f64::from_bits(bits).is_finite() {
                return bits;
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server accepts samples around the machine's own time only"
)]
fn now_ms() -> Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
    )?)
}
