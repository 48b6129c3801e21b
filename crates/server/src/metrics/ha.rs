//! Elections of replicas.

use super::text::Page;
use crate::ha::Tracker;

/// Pairs that have a series of their own on the page.
const PAIRS_SHOWN_MAX: usize = 100;

/// Adds what the tracker knows.
pub(super) fn write_ha(page: &mut Page, tracker: &Tracker) {
    let totals = tracker.totals();
    for (name, help, value) in [
        (
            "meshtide_ha_dropped_requests_total",
            "Write requests of replicas that are not elected, left out in whole or in part.",
            totals.dropped_requests,
        ),
        (
            "meshtide_ha_dropped_samples_total",
            "Samples of replicas that are not elected, acknowledged and left out.",
            totals.dropped_samples,
        ),
        (
            "meshtide_ha_failovers_total",
            "How often another replica was elected.",
            totals.failovers,
        ),
    ] {
        page.one_counter(name, help, value);
    }
    let pairs = tracker.pairs();
    page.one_gauge(
        "meshtide_ha_pairs",
        "Pairs of replicas that were heard of.",
        pairs.len() as f64,
    );
    let name = "meshtide_ha_elected_timestamp_seconds";
    page.gauge(name, "Since when this replica of this pair is elected.");
    for pair in pairs.iter().take(PAIRS_SHOWN_MAX) {
        let text = pair.name.to_string();
        let labels = [("pair", text.as_str()), ("replica", pair.elected.as_str())];
        page.sample(name, &labels, pair.elected_at_ms as f64 / 1e3);
    }
    let name = "meshtide_ha_replica_last_received_timestamp_seconds";
    page.gauge(name, "When this replica of this pair was heard last.");
    for pair in pairs.iter().take(PAIRS_SHOWN_MAX) {
        let text = pair.name.to_string();
        for (replica, heard_ms) in &pair.replicas {
            let labels = [("pair", text.as_str()), ("replica", replica.as_str())];
            page.sample(name, &labels, *heard_ms as f64 / 1e3);
        }
    }
}
