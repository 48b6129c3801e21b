//! The elections of all pairs, kept across restarts as notes of the store.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Clock, TimestampMs};
use parking_lot::Mutex;
use serde_json::{Value, json};
use storage::Store;

use super::election::Election;
use super::origin::PairName;
use super::{Config, Origin, PAIRS_MAX, Verdict};

/// What the names of the notes begin with.
const NOTES: &str = "ha/";

/// All pairs that were heard of.
pub(crate) struct Tracker {
    config: Config,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    pairs: Mutex<BTreeMap<PairName, Pair>>,
    dropped_requests: AtomicU64,
    dropped_samples: AtomicU64,
    failovers: AtomicU64,
}

/// A pair and what the store knows of it.
#[derive(Debug, Clone)]
struct Pair {
    election: Election,
    /// The store has been told who is elected.
    is_noted: bool,
}

/// A pair as it is now.
#[derive(Debug, Clone)]
pub(crate) struct PairStatus {
    /// How it is named.
    pub(crate) name: PairName,
    /// Who is elected, and since when.
    pub(crate) elected: String,
    pub(crate) elected_at_ms: TimestampMs,
    /// All replicas, and when they were heard last; the elected one first.
    pub(crate) replicas: Vec<(String, TimestampMs)>,
    /// Since the start of the process.
    pub(crate) n_failovers: u64,
}

/// Totals since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Requests of which something was left out.
    pub(crate) dropped_requests: u64,
    /// Samples left out, native histograms included.
    pub(crate) dropped_samples: u64,
    /// How often another replica was elected.
    pub(crate) failovers: u64,
}

impl Tracker {
    /// A tracker with the elections that the store remembers. Those who are elected count as heard just now, so
    /// that a restart of the server is no reason for a fail-over.
    pub(crate) fn new(config: Config, store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        let now_ms = clock.now_ms();
        let mut pairs = BTreeMap::new();
        for (note, text) in store.notes(NOTES) {
            match read_note(&text) {
                Some((name, elected, elected_at_ms)) => {
                    let election = Election::new(elected, elected_at_ms, now_ms);
                    let pair = Pair {
                        election,
                        is_noted: true,
                    };
                    pairs.insert(name, pair);
                }
                None => tracing::warn!(note, "the note of an election cannot be read"),
            }
        }
        Self {
            config,
            store,
            clock,
            pairs: Mutex::new(pairs),
            dropped_requests: AtomicU64::new(0),
            dropped_samples: AtomicU64::new(0),
            failovers: AtomicU64::new(0),
        }
    }

    /// Where a series with these labels comes from.
    pub(crate) fn origin(&self, labels: &[(&str, &str)]) -> Option<Origin> {
        Origin::of(labels, &self.config.pairs)
    }

    /// What is to be done with a request of `origin` that has just arrived.
    pub(crate) fn hear(&self, origin: &Origin) -> Verdict {
        let now_ms = self.clock.now_ms();
        let mut pairs = self.pairs.lock();
        if !pairs.contains_key(&origin.pair) {
            self.make_room(&mut pairs);
            tracing::info!(pair = %origin.pair, replica = origin.replica, "a replica of a new pair was elected");
        }
        let pair = pairs.entry(origin.pair.clone()).or_insert_with(|| Pair {
            election: Election::new(origin.replica.clone(), now_ms, now_ms),
            is_noted: false,
        });
        let heard = pair
            .election
            .hear(&origin.replica, now_ms, self.config.failover_ms);
        if heard.is_failover {
            self.failovers.fetch_add(1, Ordering::Relaxed);
            pair.is_noted = false;
            tracing::warn!(
                pair = %origin.pair,
                replica = origin.replica,
                "the elected replica was silent, and this one has taken over"
            );
        }
        if !pair.is_noted {
            // Under the lock, so that the last note is the last election.
            pair.is_noted = self.note(&origin.pair, &write_note(&origin.pair, &pair.election));
        }
        heard.verdict
    }

    /// Counts what was left out of a request.
    pub(crate) fn note_dropped(&self, n_samples: usize) {
        self.dropped_requests.fetch_add(1, Ordering::Relaxed);
        self.dropped_samples
            .fetch_add(n_samples as u64, Ordering::Relaxed);
    }

    /// How long the elected replica has to be silent, in milliseconds.
    pub(crate) fn failover_ms(&self) -> i64 {
        self.config.failover_ms
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            dropped_requests: self.dropped_requests.load(Ordering::Relaxed),
            dropped_samples: self.dropped_samples.load(Ordering::Relaxed),
            failovers: self.failovers.load(Ordering::Relaxed),
        }
    }

    /// All pairs, by name.
    pub(crate) fn pairs(&self) -> Vec<PairStatus> {
        let pairs = self.pairs.lock();
        let status = |(name, Pair { election, .. }): (&PairName, &Pair)| {
            let elected = (election.elected.clone(), election.heard_ms);
            let others = election.others.iter();
            let others = others.map(|(replica, heard_ms)| (replica.clone(), *heard_ms));
            PairStatus {
                name: name.clone(),
                elected: election.elected.clone(),
                elected_at_ms: election.elected_at_ms,
                replicas: std::iter::once(elected).chain(others).collect(),
                n_failovers: election.n_failovers,
            }
        };
        pairs.iter().map(status).collect()
    }

    /// Forgets the pair that was silent longest when there are too many.
    fn make_room(&self, pairs: &mut BTreeMap<PairName, Pair>) {
        if pairs.len() < PAIRS_MAX {
            return;
        }
        let silent = pairs.iter().min_by_key(|(_, pair)| pair.election.newest_ms());
        if let Some(silent) = silent.map(|(name, _)| name.clone()) {
            pairs.remove(&silent);
            self.note(&silent, "");
        }
    }

    /// Has the store remember an election; false if it does not take it.
    fn note(&self, pair: &PairName, text: &str) -> bool {
        let done = Box::new(|result: Result<(), storage::Error>| {
            if let Err(error) = result {
                tracing::warn!(%error, "an election is not durable yet");
            }
        });
        let taken = self
            .store
            .put_note(&format!("{NOTES}{}", note_name(pair)), text, done);
        if let Err(error) = &taken {
            tracing::warn!(%error, "an election could not be noted");
        }
        taken.is_ok()
    }
}

fn note_name(pair: &PairName) -> String {
    format!("{}/{pair}", pair.replica_label)
}

fn write_note(pair: &PairName, election: &Election) -> String {
    json!({
        "labels": pair.labels,
        "replica_label": pair.replica_label,
        "shard": pair.shard,
        "elected": election.elected,
        "elected_at_ms": election.elected_at_ms,
    })
    .to_string()
}

fn read_note(text: &str) -> Option<(PairName, String, TimestampMs)> {
    let note: Value = serde_json::from_str(text).ok()?;
    let text = |field: &str| note.get(field)?.as_str().map(str::to_owned);
    let pair = |label: &Value| {
        let text = |position| label.get(position)?.as_str().map(str::to_owned);
        Some((text(0)?, text(1)?))
    };
    let labels = note.get("labels")?.as_array()?.iter().map(pair);
    let name = PairName {
        labels: labels.collect::<Option<_>>()?,
        replica_label: text("replica_label")?,
        shard: text("shard")?,
    };
    Some((name, text("elected")?, note.get("elected_at_ms")?.as_i64()?))
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker")
            .field("config", &self.config)
            .field("pairs", &self.pairs.lock().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back() {
        let name = PairName {
            labels: vec![("prometheus".into(), "monitoring/\"k8s\"".into())],
            replica_label: "prometheus_replica".into(),
            shard: "3".into(),
        };
        let election = Election::new("k8s-0".into(), 17, 20);
        let text = write_note(&name, &election);
        assert_eq!(read_note(&text), Some((name, "k8s-0".into(), 17)));
        for broken in ["", "{}", "[]", "null", r#"{"labels":[["a"]]}"#] {
            assert_eq!(read_note(broken), None, "{broken}");
        }
    }
}
