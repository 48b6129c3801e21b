//! Power cuts at every operation on the disk.

use testkit::{Chance, Fault};

use super::*;

/// What was sent and what was acknowledged.
#[derive(Default)]
struct Ledger {
    sent: Content,
    acknowledged: Content,
}

/// Sends random requests of known and new series, several at a time, until one fails or enough are done.
fn ingest(store: &Store, chance: &mut Chance, rounds: usize, ledger: &mut Ledger) {
    for round in 0..rounds {
        let mut answers = Vec::new();
        for _ in 0..=chance.below(3) {
            let mut samples = SampleBatch::default();
            let mut texts = Vec::new();
            for _ in 0..=chance.below(40) {
                let pod = format!("pod-{}", chance.below(12));
                let le = format!("{}", chance.below(4));
                let pairs = [
                    ("__name__", "x_bucket"),
                    ("pod", pod.as_str()),
                    ("le", le.as_str()),
                ];
                let Ok(series) = try_register(store, &labels(&pairs)) else {
                    return;
                };
                let timestamp_ms = NOW_MS + 1_000 * round as i64 + chance.below(4) as i64;
                // A function of place and time, so that no two requests contradict each other.
                let bits = (timestamp_ms as u64) << 20 ^ chance_free_hash(&pod, &le);
                let shown = push(&mut samples, series, timestamp_ms, f64::from_bits(bits));
                texts.push((labels(&pairs).to_string(), timestamp_ms, shown));
            }
            for (text, timestamp_ms, bits) in &texts {
                let samples = ledger.sent.entry(text.clone()).or_default();
                samples.insert(*timestamp_ms, *bits);
            }
            answers.push((send(store, samples), texts));
        }
        let mut has_failed = false;
        for (answer, texts) in answers {
            match answer.recv() {
                Ok(Ok(outcome)) => {
                    assert_eq!(outcome.refused, []);
                    for (text, timestamp_ms, bits) in texts {
                        let samples = ledger.acknowledged.entry(text).or_default();
                        samples.insert(timestamp_ms, bits);
                    }
                }
                _ => has_failed = true,
            }
        }
        if has_failed {
            return;
        }
    }
}

fn chance_free_hash(pod: &str, le: &str) -> u64 {
    pod.bytes()
        .chain(le.bytes())
        .fold(7, |hash, byte| hash * 31 + u64::from(byte))
}

/// Opens the store after a crash: all that was acknowledged is there, and nothing that was not sent.
fn check_after_crash(world: &World, ledger: &Ledger, context: &str) -> Arc<Store> {
    let (store, report) = world.open();
    let found = content(&store);
    assert_contains(&found, &ledger.acknowledged);
    assert_contains(&ledger.sent, &found);
    assert_eq!(
        (report.lost_series_samples, &report.damaged),
        (0, &Vec::new()),
        "{context}"
    );
    store
}

/// How a process ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// With the machine: what was not synced may be lost, in part.
    PowerCut,
    /// Alone: what was written stays.
    Kill,
}

impl World {
    fn end(&self, end: End) {
        match end {
            End::PowerCut => self.files.crash(),
            End::Kill => self.files.kill(),
        }
    }
}

/// Stops at one operation, opens, goes on, and stops again. False if there are fewer operations.
fn survive_stop_at(operation: u64, seed: u64, segment_bytes: u64, end: End) -> bool {
    let mut world = World::new(seed);
    world.config.segment_bytes = segment_bytes;
    let mut chance = Chance::from_seed(seed);
    let mut ledger = Ledger::default();
    let context = format!("{end:?} at operation {operation}, seed {seed}");
    world.files.fail_at(operation, Fault::Stop);
    if let Ok((store, _)) = world.try_open() {
        ingest(&store, &mut chance, 6, &mut ledger);
    }
    let has_stopped = world.files.n_operations() > operation;
    world.end(end);
    let store = check_after_crash(&world, &ledger, &context);
    ingest(&store, &mut chance, 3, &mut ledger);
    world.files.crash();
    check_after_crash(&world, &ledger, &format!("{context}, second crash"));
    has_stopped
}

#[test]
fn every_acknowledged_sample_survives_an_end_at_any_operation() {
    let n_seeds: u64 = std::env::var("MESHTIDE_CRASH_SEEDS").map_or(2, |seeds| seeds.parse().unwrap());
    for seed in 0..n_seeds {
        for segment_bytes in [1, 64 << 20] {
            for end in [End::PowerCut, End::Kill] {
                let mut operation = 0;
                while survive_stop_at(operation, seed, segment_bytes, end) {
                    operation += 1;
                }
                assert!(operation > 10, "only {operation} operations");
            }
        }
    }
}

#[test]
fn a_power_cut_while_a_large_catalog_is_restated_loses_nothing() {
    // Text that does not shrink, so that the restatement is written in several pieces.
    let noise = |number: u64| {
        let mut chance = Chance::from_seed(number);
        (0..500)
            .map(|_| format!("{:016x}", chance.bits()))
            .collect::<String>()
    };
    let pairs = |number: u64| labels(&[("__name__", "x"), ("noise", &noise(number))]);
    let mut operation = 0;
    let mut has_stopped = true;
    while has_stopped {
        let world = World::new(operation);
        let (store, _) = world.open();
        let all: Vec<_> = (0..400)
            .map(|number| {
                (
                    try_register(&store, &pairs(number)).unwrap(),
                    NOW_MS,
                    number as f64,
                )
            })
            .collect();
        append(&store, &all).unwrap();
        let before = content(&store);
        store.close().unwrap();
        world.files.crash();
        let (store, _) = world.open();
        let begin = world.files.n_operations();
        world.files.fail_at(begin + operation, Fault::Stop);
        let new = try_register(&store, &pairs(1_000)).unwrap();
        let is_acknowledged = append(&store, &[(new, NOW_MS, 1.0)]).is_ok();
        has_stopped = world.files.n_operations() > begin + operation;
        assert_ne!(has_stopped, is_acknowledged);
        world.files.crash();
        let (store, report) = world.open();
        let after = content(&store);
        assert_contains(&after, &before);
        assert!(!is_acknowledged || after.len() == 401);
        assert_eq!((report.lost_series_samples, report.damaged), (0, Vec::new()));
        operation += 1;
    }
    assert!(operation > 6, "only {operation} operations");
}

#[test]
fn a_power_cut_while_recovering_loses_nothing() {
    for seed in 0..10 {
        let world = World::new(seed);
        let mut ledger = Ledger::default();
        let (store, _) = world.open();
        let mut chance = Chance::from_seed(seed);
        ingest(&store, &mut chance, 3, &mut ledger);
        let n_operations = world.files.n_operations();
        world.files.fail_at(n_operations + 1, Fault::Stop);
        ingest(&store, &mut chance, 3, &mut ledger);
        world.files.crash();
        for operation in 0..3 {
            world
                .files
                .fail_at(world.files.n_operations() + operation, Fault::Stop);
            drop(world.try_open());
            world.files.crash();
        }
        check_after_crash(&world, &ledger, &format!("seed {seed}"));
    }
}

#[test]
fn the_end_of_the_process_loses_nothing_that_was_written() {
    let mut world = World::new(3);
    world.config.wal_sync = WalSync::Interval(1_000_000);
    let (store, _) = world.open();
    let mut ledger = Ledger::default();
    ingest(&store, &mut Chance::from_seed(3), 5, &mut ledger);
    assert_eq!(store.stats().wal.syncs, 0);
    world.files.kill();
    let store = check_after_crash(&world, &ledger, "killed");
    world.files.crash();
    check_after_crash(&world, &ledger, "what a recovery has read is durable");
    drop(store);
}
