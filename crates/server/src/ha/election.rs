//! Who of a pair is elected: a pure decision on when each replica was heard.

use std::collections::BTreeMap;

use model::TimestampMs;

use super::Verdict;

/// Replicas of a pair that are remembered beside the elected one. There should be one.
const OTHERS_MAX: usize = 16;

/// Pauses that are usual are no silence; but longer ones than this are.
const USUAL_PAUSE_MS_MAX: i64 = 150_000;

/// A usual pause is forgotten at this share of the time that passes.
const FORGET_SHARE: i64 = 16;

/// The election of one pair.
///
/// The first replica to be heard is elected, and stays so as long as it is heard: one that comes back is not
/// elected again, so nothing flaps. Another one takes over when the elected one has been silent for the fail-over
/// time, or for twice the pauses it usually makes if that is longer: a Prometheus with few targets may have nothing
/// to send for a whole scrape interval.
#[derive(Debug, Clone)]
pub(super) struct Election {
    pub(super) elected: String,
    pub(super) elected_at_ms: TimestampMs,
    /// When the elected replica was heard last.
    pub(super) heard_ms: TimestampMs,
    /// When the others were heard last.
    pub(super) others: BTreeMap<String, TimestampMs>,
    pub(super) n_failovers: u64,
    /// The longest pause between two requests of the elected replica, of late.
    usual_pause_ms: i64,
}

/// What hearing of a replica has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) verdict: Verdict,
    /// Another replica is elected now.
    pub(super) is_failover: bool,
}

impl Election {
    /// A replica that is elected since some time and was heard now, or has to be given the chance.
    pub(super) fn new(elected: String, elected_at_ms: TimestampMs, now_ms: TimestampMs) -> Self {
        Self {
            elected,
            elected_at_ms,
            heard_ms: now_ms,
            others: BTreeMap::new(),
            n_failovers: 0,
            usual_pause_ms: 0,
        }
    }

    /// A request of `replica` has arrived.
    pub(super) fn hear(&mut self, replica: &str, now_ms: TimestampMs, failover_ms: i64) -> Heard {
        let silence_ms = now_ms.saturating_sub(self.heard_ms).max(0);
        if replica == self.elected {
            let remembered_ms = self.usual_pause_ms - silence_ms / FORGET_SHARE;
            self.usual_pause_ms = silence_ms.max(remembered_ms).min(USUAL_PAUSE_MS_MAX);
            self.heard_ms = now_ms;
            return Heard {
                verdict: Verdict::Elected,
                is_failover: false,
            };
        }
        let is_failover = silence_ms >= failover_ms.max(2 * self.usual_pause_ms);
        if is_failover {
            self.others.remove(replica);
            let before = std::mem::replace(&mut self.elected, replica.to_owned());
            self.note_other(before, self.heard_ms);
            (self.elected_at_ms, self.heard_ms) = (now_ms, now_ms);
            self.n_failovers += 1;
        } else {
            self.note_other(replica.to_owned(), now_ms);
        }
        Heard {
            verdict: if is_failover {
                Verdict::Elected
            } else {
                Verdict::Lost
            },
            is_failover,
        }
    }

    /// When any replica was heard last.
    pub(super) fn newest_ms(&self) -> TimestampMs {
        self.others
            .values()
            .copied()
            .fold(self.heard_ms, TimestampMs::max)
    }

    fn note_other(&mut self, replica: String, heard_ms: TimestampMs) {
        self.others.insert(replica, heard_ms);
        if self.others.len() > OTHERS_MAX {
            let oldest = self.others.iter().min_by_key(|(_, heard_ms)| **heard_ms);
            if let Some(oldest) = oldest.map(|(replica, _)| replica.clone()) {
                self.others.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILOVER_MS: i64 = 30_000;

    fn election() -> Election {
        Election::new("a".into(), 0, 0)
    }

    fn hear(election: &mut Election, replica: &str, now_ms: i64) -> bool {
        election.hear(replica, now_ms, FAILOVER_MS).verdict == Verdict::Elected
    }

    #[test]
    fn the_other_replica_takes_over_after_30_seconds_of_silence_and_keeps_the_place() {
        let mut election = election();
        for now_ms in (0..60_000).step_by(1_000) {
            assert!(hear(&mut election, "a", now_ms));
            assert!(!hear(&mut election, "b", now_ms + 500));
        }
        assert!(!hear(&mut election, "b", 59_000 + 29_999));
        let heard = election.hear("b", 59_000 + 30_000, FAILOVER_MS);
        assert_eq!(
            heard,
            Heard {
                verdict: Verdict::Elected,
                is_failover: true
            }
        );
        for now_ms in (90_000..400_000).step_by(1_000) {
            assert!(!hear(&mut election, "a", now_ms), "it has come back at {now_ms}");
            assert!(hear(&mut election, "b", now_ms + 1));
        }
        assert_eq!((election.n_failovers, election.elected_at_ms), (1, 89_000));
    }

    #[test]
    fn a_lone_replica_is_always_stored_whatever_its_pauses() {
        let mut election = election();
        for now_ms in [0, 5, 29_000, 100_000, 10_000_000, 10_000_001] {
            assert!(hear(&mut election, "a", now_ms));
        }
        assert_eq!(election.n_failovers, 0);
    }

    #[test]
    fn replicas_that_send_once_a_minute_do_not_take_turns() {
        for offset_ms in (1_000..60_000).step_by(500) {
            let mut election = election();
            for minute in 0..200 {
                hear(&mut election, "a", minute * 60_000);
                // Several requests per scrape, as several shards of a sender make them.
                for request in 0..50 {
                    hear(&mut election, "b", minute * 60_000 + offset_ms + request);
                }
            }
            assert!(election.n_failovers <= 1, "at an offset of {offset_ms} ms");
        }
    }

    #[test]
    fn a_long_pause_is_forgotten_in_time() {
        let mut election = election();
        assert!(hear(&mut election, "a", 1_000_000));
        assert!(!hear(&mut election, "b", 1_000_000 + 2 * USUAL_PAUSE_MS_MAX - 1));
        let end_ms = 1_000_000 + FORGET_SHARE * USUAL_PAUSE_MS_MAX;
        for now_ms in (1_000_000..=end_ms).step_by(1_000) {
            assert!(hear(&mut election, "a", now_ms));
        }
        assert!(hear(&mut election, "b", end_ms + FAILOVER_MS));
    }

    #[test]
    fn a_clock_that_goes_back_elects_nobody() {
        let mut election = election();
        assert!(hear(&mut election, "a", 1_000_000));
        assert!(!hear(&mut election, "b", 0));
        assert!(!hear(&mut election, "b", 1_000_001));
    }

    #[test]
    fn replicas_without_end_are_not_remembered() {
        let mut election = election();
        for number in 0..1_000 {
            hear(&mut election, &format!("replica {number}"), 1_000);
        }
        assert_eq!(election.others.len(), OTHERS_MAX);
    }
}
