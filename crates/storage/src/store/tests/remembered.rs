//! Exemplars, metadata and notes, with an end at every operation on the disk, flushes among them.

use std::collections::BTreeSet;

use testkit::{Chance, Fault};

use super::exemplars::{exemplar, send_with, times};
use super::*;

/// What was sent and what was acknowledged. Newer words on a name are higher numbers.
#[derive(Default)]
struct Ledger {
    next: i64,
    sent: BTreeSet<(String, i64)>,
    acknowledged: BTreeSet<(String, i64)>,
    sent_words: BTreeMap<String, i64>,
    acknowledged_words: BTreeMap<String, i64>,
}

/// An answer that is waited for.
fn wait<T: Send + 'static>(ask: impl FnOnce(crate::Done<T>) -> Result<(), Error>) -> Result<T, Error> {
    let (sender, receiver) = mpsc::channel();
    ask(Box::new(move |result| drop(sender.send(result))))?;
    receiver.recv().unwrap_or(Err(Error::Closed))
}

fn metric(name: &str, number: i64) -> MetricMetadata {
    MetricMetadata {
        metric_name: name.to_owned(),
        metric_type: MetricType::Counter,
        help: number.to_string(),
        unit: String::new(),
    }
}

impl Ledger {
    /// Sends a sample with an exemplar, a word on a metric and one in a note, and flushes now and then.
    fn step(&mut self, store: &Store, chance: &mut Chance) -> Result<(), Error> {
        self.next += 1;
        let number = self.next;
        let pod = format!("pod-{}", chance.below(6));
        let pairs = [("__name__", "x_bucket"), ("le", "1"), ("pod", pod.as_str())];
        let session = store.session();
        let series = try_register(store, &labels(&pairs))?;
        let place = (labels(&pairs).to_string(), number);
        self.sent.insert(place.clone());
        let samples = batch(&[(series, NOW_MS + number, 1.0)]);
        let answer = send_with(store, samples, vec![exemplar(series, number, 1.0)]);
        drop(session);
        let name = format!("m{}", chance.below(3));
        self.sent_words.insert(name.clone(), number);
        let note = wait(|done| store.put_note(&name, &number.to_string(), done));
        let metadata = wait(|done| store.put_metadata(vec![metric(&name, number)], done));
        assert_eq!(answer.recv().unwrap()?.exemplars.written, 1);
        self.acknowledged.insert(place);
        note.and(metadata)?;
        self.acknowledged_words.insert(name, number);
        if chance.one_in(4) {
            wait(|done| store.flush(done))?;
        }
        Ok(())
    }

    fn check(&self, store: &Store, context: &str) {
        let found = times(store).into_iter();
        let found: BTreeSet<(String, i64)> = found
            .flat_map(|(series, times)| times.into_iter().map(move |at| (series.clone(), at)))
            .collect();
        assert!(
            found.is_superset(&self.acknowledged),
            "{context}: an exemplar is lost"
        );
        assert!(
            found.is_subset(&self.sent),
            "{context}: an exemplar was never sent"
        );
        let notes = store.notes("").into_iter();
        let notes: BTreeMap<String, i64> = notes.map(|(name, text)| (name, text.parse().unwrap())).collect();
        let metadata = store.metadata().into_iter();
        let metadata: BTreeMap<String, i64> = metadata
            .map(|metric| (metric.metric_name, metric.help.parse().unwrap()))
            .collect();
        for (what, words) in [("note", notes), ("metadata", metadata)] {
            for (name, number) in &self.acknowledged_words {
                assert!(
                    words.get(name) >= Some(number),
                    "{context}: {what} {name} is lost"
                );
            }
            for (name, number) in words {
                assert!(
                    self.sent_words[&name] >= number,
                    "{context}: {what} {name} was never sent"
                );
            }
        }
    }
}

/// Stops at one operation, opens, goes on, and stops again. False if there are fewer operations.
fn survive_stop_at(operation: u64, seed: u64, segment_bytes: u64) -> bool {
    let mut world = World::new(seed);
    world.config.segment_bytes = segment_bytes;
    let mut chance = Chance::from_seed(seed);
    let mut ledger = Ledger::default();
    let context = format!("operation {operation}, seed {seed}, segments of {segment_bytes}");
    world.files.fail_at(operation, Fault::Stop);
    if let Ok((store, _)) = world.try_open() {
        for _ in 0..12 {
            if ledger.step(&store, &mut chance).is_err() {
                break;
            }
        }
    }
    let has_stopped = world.files.n_operations() > operation;
    world.files.crash();
    let (store, report) = world.open();
    assert_eq!(report.damaged, vec![], "{context}");
    ledger.check(&store, &context);
    for _ in 0..3 {
        ledger.step(&store, &mut chance).unwrap();
    }
    drop(store);
    world.files.crash();
    ledger.check(&world.open().0, &format!("{context}, second crash"));
    has_stopped
}

#[test]
fn what_is_remembered_survives_an_end_at_any_operation() {
    let n_seeds: u64 = std::env::var("MESHTIDE_CRASH_SEEDS").map_or(2, |seeds| seeds.parse().unwrap());
    for seed in 0..n_seeds {
        for segment_bytes in [1, 64 << 20] {
            let mut operation = 0;
            while survive_stop_at(operation, seed, segment_bytes) {
                operation += 1;
            }
            assert!(operation > 20, "only {operation} operations");
        }
    }
}
