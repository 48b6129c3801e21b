//! Two Envoys never write the same series.
//!
//! An Envoy's `instance` is the address it sends from. Where two share one, as on the network of their host, both would
//! write the same series, and every `rate` over them would be wrong without anybody noticing. But each says when its
//! process began: of two that report at the same time, the one that began later is taken, because it may be the other
//! one's successor, and the other one is told.
//!
//! After a restart the newest process of an address is read back from the samples it has stored, which carry its
//! beginning.
//!
//! Limits: [`SENDERS_MAX`] addresses are watched.

use std::collections::HashMap;

use model::TimestampMs;
use parking_lot::Mutex;
use wire::otlp::Beginning;

/// The newest process of each sender: of an address and what the Envoy says about itself.
#[derive(Debug, Default)]
pub(super) struct Envoys(Mutex<HashMap<u128, Beginning>>);

/// After so long without a report an earlier process is taken again. Envoys report every few seconds.
pub(super) const SILENT_MS: TimestampMs = 60_000;

/// Senders beyond this are taken without being watched: far more than a mesh has.
const SENDERS_MAX: usize = 1 << 18;

impl Envoys {
    /// Whether a report is taken: not when another process, begun later, has reported from there within a minute.
    /// `stored` gives the newest process that has, as the store knows it, and is asked once per sender.
    pub(super) fn admits(
        &self,
        sender: u128,
        report: Beginning,
        stored: impl FnOnce() -> Option<Beginning>,
    ) -> bool {
        let is_known = self.0.lock().contains_key(&sender);
        // Not under the lock: samples are read.
        let first = if is_known { None } else { stored() };
        let mut newest = self.0.lock();
        if newest.len() >= SENDERS_MAX && !newest.contains_key(&sender) {
            newest.retain(|_, known| report.time_ms - known.time_ms <= SILENT_MS);
            if newest.len() >= SENDERS_MAX {
                return true;
            }
        }
        let known = newest.entry(sender).or_insert(first.unwrap_or(report));
        if report.start_ms < known.start_ms && report.time_ms.saturating_sub(known.time_ms) <= SILENT_MS {
            return false;
        }
        // A report of the same process that comes late must not make it look silent.
        let time_ms = match report.start_ms == known.start_ms {
            true => report.time_ms.max(known.time_ms),
            false => report.time_ms,
        };
        *known = Beginning { time_ms, ..report };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(start_ms: TimestampMs, time_ms: TimestampMs) -> Beginning {
        Beginning { start_ms, time_ms }
    }

    /// Of an address of which nothing is stored.
    fn admits(envoys: &Envoys, sender: u128, report: Beginning) -> bool {
        envoys.admits(sender, report, || None)
    }

    #[test]
    fn of_two_processes_the_one_that_began_later_is_taken() {
        let envoys = Envoys::default();
        assert!(admits(&envoys, 1, report(1_000, 10_000)));
        assert!(admits(&envoys, 1, report(2_000, 10_001)), "begun later");
        assert!(!admits(&envoys, 1, report(1_000, 15_000)));
        assert!(admits(&envoys, 1, report(2_000, 15_001)));
        assert!(admits(&envoys, 2, report(1_000, 15_000)), "from elsewhere");
    }

    #[test]
    fn an_earlier_process_is_taken_again_when_the_later_one_is_silent() {
        let envoys = Envoys::default();
        assert!(admits(&envoys, 1, report(2_000, 10_000)));
        assert!(!admits(&envoys, 1, report(1_000, 10_000 + SILENT_MS)));
        assert!(admits(&envoys, 1, report(1_000, 10_001 + SILENT_MS)));
    }

    #[test]
    fn a_late_report_is_no_silence() {
        let envoys = Envoys::default();
        assert!(admits(&envoys, 1, report(2_000, 100_000)));
        assert!(admits(&envoys, 1, report(2_000, 5_000)));
        assert!(!admits(&envoys, 1, report(1_000, 100_000 + SILENT_MS)));
    }

    #[test]
    fn what_is_stored_is_asked_for_once() {
        let envoys = Envoys::default();
        let stored = Some(report(2_000, 9_000));
        assert!(!envoys.admits(1, report(1_000, 10_000), || stored));
        assert!(!envoys.admits(1, report(1_000, 11_000), || unreachable!("the sender is known")));
        assert!(envoys.admits(1, report(2_000, 12_000), || unreachable!("the sender is known")));
        assert!(envoys.admits(2, report(3_000, 10_000), || stored), "a successor");
    }
}
