//! kill -9 in the middle of ingest: what was acknowledged is there afterwards, bit for bit, exactly once.
//! Samples, native histograms, exemplars and metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meshtide_tests::clock::now_ms;
use meshtide_tests::load::{Request, Series, native_count, trace_id};
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use model::MetricMetadata;
use serde_json::Value;

const N_SERIES: usize = 200;
const N_SENDERS: usize = 3;

/// Every sample or exemplar that was sent, by series and timestamp: its bits, and whether its request was acknowledged.
type Sent = BTreeMap<(usize, i64), (u64, bool)>;

/// What was sent.
#[derive(Debug, Default)]
struct Ledger {
    samples: Sent,
    exemplars: Sent,
    /// By sender, the newest help of its metric that was acknowledged, and the newest one that was sent.
    helps: BTreeMap<usize, (i64, i64)>,
}

/// Bits of what is stored, by series and timestamp.
type Stored = HashMap<(usize, i64), u64>;

/// A server and those who send to it.
struct Plan {
    /// With room for every exemplar: one that makes room for newer ones would count as lost.
    config: &'static str,
    /// Rounds are from so many milliseconds to so many more.
    round_ms: (u64, u64),
    /// Between two requests of a sender.
    pause: Duration,
}

/// As many samples as the server takes.
const BUSY: Plan = Plan {
    config: "storage: {exemplars_max: 10000000, exemplars_per_series_max: 10000000}\n",
    round_ms: (50, 300),
    pause: Duration::ZERO,
};

/// Short windows that are over at once, so that blocks are made and merged all the time; rounds are long enough for some
/// flushes and merges.
const RESTLESS: Plan = Plan {
    config: "storage: {block_window: 10s, flush_interval: 50ms, out_of_order_window: 10m, \
             exemplars_max: 10000000, exemplars_per_series_max: 10000000}\nhttp: {admin_api: true}\n",
    round_ms: (300, 2_000),
    pause: Duration::from_millis(5),
};

/// Samples of a round, by their timestamps, are not older than its start and younger than this.
const ROUND_SPAN_MS: i64 = 100_000;

#[test]
fn acknowledged_samples_survive_kill_9_at_any_moment() -> Result<()> {
    let folder = tempfile::tempdir()?;
    survive(&BUSY, folder.path())?.terminate()
}

#[test]
fn acknowledged_samples_survive_kill_9_while_blocks_are_made_and_merged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = survive(&RESTLESS, folder.path())?;
    let metrics = server.client().get("/metrics")?.text();
    ensure!(
        metrics.contains("meshtide_quarantined_blocks 0") && !metrics.contains("meshtide_blocks 0"),
        "blocks are damaged, or there are none:\n{metrics}"
    );
    server.terminate()
}

/// Kills the server again and again, `MESHTIDE_KILLS` times, and looks each time for what the last rounds acknowledged,
/// in the end for everything. Gives the last server.
#[expect(clippy::print_stdout, reason = "a test says what it did")]
fn survive(plan: &Plan, folder: &Path) -> Result<Server> {
    std::fs::write(folder.join("config.yaml"), plan.config)?;
    let n_kills = match std::env::var("MESHTIDE_KILLS") {
        Ok(text) => text.parse().context("MESHTIDE_KILLS is a number")?,
        Err(_) => 5,
    };
    let mut ledger = Ledger::default();
    let mut chance = Chance(0x5eed);
    let first_ms = now_ms()? - 3_600_000;
    for round in 0..n_kills {
        let mut server = start(folder)?;
        let round_start_ms = first_ms + round * ROUND_SPAN_MS;
        check(
            &server,
            &ledger,
            (round_start_ms - 2 * ROUND_SPAN_MS, round_start_ms),
        )?;
        let (least, more) = plan.round_ms;
        let duration = Duration::from_millis(least + chance.next() % more);
        let sent = send_until_killed(&mut server, round_start_ms, plan.pause, duration, &mut chance)?;
        ledger.extend(sent);
    }
    let server = start(folder)?;
    check(&server, &ledger, (first_ms, first_ms + n_kills * ROUND_SPAN_MS))?;
    let acknowledged = |sent: &Sent| sent.values().filter(|(_, acknowledged)| *acknowledged).count();
    let (n_samples, n_exemplars) = (acknowledged(&ledger.samples), acknowledged(&ledger.exemplars));
    println!(
        "{n_kills} kills, {n_samples} acknowledged samples of {}, {n_exemplars} acknowledged exemplars of {}",
        ledger.samples.len(),
        ledger.exemplars.len()
    );
    ensure!(
        n_samples >= n_kills as usize * N_SERIES && n_exemplars >= n_kills as usize,
        "only {n_samples} samples and {n_exemplars} exemplars were acknowledged: little was tested"
    );
    Ok(server)
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

/// Several senders write until the server is killed under them, `duration` after the first acknowledgement.
fn send_until_killed(
    server: &mut Server,
    start_ms: i64,
    pause: Duration,
    duration: Duration,
    chance: &mut Chance,
) -> Result<Ledger> {
    let client = server.client();
    let (ledger, killed) = (Mutex::new(Ledger::default()), AtomicBool::new(false));
    let is_acknowledged = AtomicBool::new(false);
    let seeds = [chance.next(), chance.next(), chance.next()];
    std::thread::scope(|scope| {
        for (sender, seed) in seeds.into_iter().enumerate().take(N_SENDERS) {
            let (client, ledger, killed) = (client.clone(), &ledger, &killed);
            let is_acknowledged = &is_acknowledged;
            scope.spawn(move || {
                let mut chance = Chance(seed | 1);
                for tick in 0..ROUND_SPAN_MS / 3 {
                    if killed.load(Ordering::Relaxed) {
                        break;
                    }
                    // Each sender has timestamps of its own, so that no two samples contradict each other.
                    let request = request(sender, start_ms + tick * 3 + sender as i64, &mut chance);
                    let answer = client.remote_write(&request.body());
                    let acknowledged = answer.is_ok_and(|answer| answer.status == 204);
                    is_acknowledged.fetch_or(acknowledged, Ordering::Relaxed);
                    let mut noted = ledger.lock().expect("no sender panics");
                    noted.note(sender, &request, acknowledged);
                    drop(noted);
                    std::thread::sleep(pause);
                }
            });
        }
        // On a busy machine the first one takes its time; without any nothing would be tested.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_acknowledged.load(Ordering::Relaxed) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(duration);
        let outcome = server.kill();
        killed.store(true, Ordering::Relaxed);
        outcome
    })?;
    ledger.into_inner().context("no sender panics")
}

/// A sample of every series, exemplars of two that only this sender sends exemplars of, and another help for its metric.
fn request(sender: usize, timestamp_ms: i64, chance: &mut Chance) -> Request {
    let mut value = |series| (Series(series), timestamp_ms, f64::from_bits(chance.finite_bits()));
    let samples = (0..N_SERIES).map(&mut value).collect();
    let first = (timestamp_ms.unsigned_abs() % 20) as usize * 2;
    let exemplars = [first, first + 1]
        .map(|number| value(sender + N_SENDERS * number))
        .to_vec();
    let metadata = MetricMetadata {
        metric_name: format!("crash_sender_{sender}"),
        help: timestamp_ms.to_string(),
        ..MetricMetadata::default()
    };
    Request {
        samples,
        exemplars,
        metadata: vec![metadata],
    }
}

impl Ledger {
    fn note(&mut self, sender: usize, request: &Request, acknowledged: bool) {
        let lists = [
            (&mut self.samples, &request.samples),
            (&mut self.exemplars, &request.exemplars),
        ];
        for (sent, list) in lists {
            for (series, timestamp_ms, value) in list {
                sent.insert((series.0, *timestamp_ms), (value.to_bits(), acknowledged));
            }
        }
        let (newest_acknowledged, newest) = self.helps.entry(sender).or_default();
        *newest = request.samples[0].1;
        if acknowledged {
            *newest_acknowledged = *newest;
        }
    }

    /// Adds what was sent later.
    fn extend(&mut self, later: Self) {
        self.samples.extend(later.samples);
        self.exemplars.extend(later.exemplars);
        for (sender, (acknowledged, sent)) in later.helps {
            let newest = self.helps.entry(sender).or_default();
            *newest = (newest.0.max(acknowledged), newest.1.max(sent));
        }
    }
}

/// Of the times from `start_ms` to before `end_ms`, everything acknowledged is stored once with the bits that were sent,
/// and nothing that was never sent.
fn check(server: &Server, ledger: &Ledger, times: (i64, i64)) -> Result<()> {
    let mut samples = Stored::new();
    // In parts, so that no answer becomes too large.
    for digit in 0..10 {
        read(server, digit, times, &mut samples)?;
    }
    check_stored(&samples, &ledger.samples, times).context("samples")?;
    let exemplars = read_exemplars(server, times)?;
    check_stored(&exemplars, &ledger.exemplars, times).context("exemplars")?;
    let metadata = server.client().get("/api/v1/metadata")?.json()?;
    for (sender, (acknowledged, sent)) in &ledger.helps {
        let help = &metadata["data"][format!("crash_sender_{sender}")][0]["help"];
        let help: i64 = help.as_str().unwrap_or("0").parse()?;
        ensure!(
            (*acknowledged..=*sent).contains(&help),
            "sender {sender}: help {help}, but {acknowledged} was acknowledged, {sent} sent"
        );
    }
    Ok(())
}

fn check_stored(stored: &Stored, sent: &Sent, times: (i64, i64)) -> Result<()> {
    let in_time = |place: &(usize, i64)| (times.0..times.1).contains(&place.1);
    for (place, (bits, acknowledged)) in sent.iter().filter(|(place, _)| in_time(place)) {
        match stored.get(place) {
            Some(found) => ensure!(found == bits, "{place:?}: bits {found:x} instead of {bits:x}"),
            None => ensure!(!acknowledged, "{place:?} was acknowledged and is gone"),
        }
    }
    let invented = stored.keys().find(|place| !sent.contains_key(place));
    ensure!(invented.is_none(), "{invented:?} was never sent");
    Ok(())
}

/// Reads the samples of the series whose numbers end in `digit`.
fn read(server: &Server, digit: usize, (start_ms, end_ms): (i64, i64), stored: &mut Stored) -> Result<()> {
    let window_ms = end_ms - start_ms;
    let query = format!("crash_total{{i=~\".*{digit}\"}}[{window_ms}ms]");
    // Windows are open on the left.
    let fields = [("query", query.as_str()), ("time", &seconds(end_ms - 1))];
    let data = server.client().api("/api/v1/query", &fields)?;
    for series in data["result"].as_array().context("a matrix")? {
        let number = number_of(&series["metric"])?;
        let field = if Series(number).is_native() {
            "histograms"
        } else {
            "values"
        };
        for sample in series[field].as_array().context("samples")? {
            let place = (number, milliseconds(&sample[0])?);
            insert_once(stored, place, value_of(Series(number), &sample[1])?)?;
        }
    }
    Ok(())
}

/// All exemplars of these times.
fn read_exemplars(server: &Server, (start_ms, end_ms): (i64, i64)) -> Result<Stored> {
    let fields = [
        ("query", "crash_total"),
        ("start", &seconds(start_ms)),
        ("end", &seconds(end_ms - 1)),
    ];
    let data = server.client().api("/api/v1/query_exemplars", &fields)?;
    let mut stored = Stored::new();
    for series in data.as_array().context("a list of series")? {
        let number = number_of(&series["seriesLabels"])?;
        for exemplar in series["exemplars"].as_array().context("exemplars")? {
            let timestamp_ms = milliseconds(&exemplar["timestamp"])?;
            let labels = serde_json::json!({"trace_id": trace_id(timestamp_ms)});
            ensure!(exemplar["labels"] == labels, "{exemplar} instead of {labels}");
            let value = exemplar["value"].as_str().context("a value")?.parse()?;
            insert_once(&mut stored, (number, timestamp_ms), value)?;
        }
    }
    Ok(stored)
}

fn insert_once(stored: &mut Stored, place: (usize, i64), value: f64) -> Result<()> {
    let twice = stored.insert(place, value.to_bits());
    ensure!(twice.is_none(), "{place:?} is there twice");
    Ok(())
}

fn number_of(labels: &Value) -> Result<usize> {
    Ok(labels["i"].as_str().context("label i")?.parse()?)
}

fn milliseconds(seconds: &Value) -> Result<i64> {
    Ok((seconds.as_f64().context("a timestamp")? * 1e3).round() as i64)
}

/// Milliseconds as the API takes them.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
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
