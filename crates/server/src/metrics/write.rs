//! Remote-write requests and what became of their samples.

use super::Counter;
use super::text::Page;
use crate::ingest::{ExemplarTally, RefusalKind, Refusals};

/// How a write request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// Everything is stored.
    Stored,
    /// Something was left out because its replica is not elected, the rest is stored.
    Deduplicated,
    /// Something was refused, the rest is stored.
    Partial,
    /// The body could not be read.
    Malformed,
    /// The headers ask for something that is not supported.
    Unsupported,
    /// Turned away, to come again.
    Unavailable,
}

const OUTCOMES: [(WriteOutcome, &str); 6] = [
    (WriteOutcome::Stored, "stored"),
    (WriteOutcome::Deduplicated, "deduplicated"),
    (WriteOutcome::Partial, "partial"),
    (WriteOutcome::Malformed, "malformed"),
    (WriteOutcome::Unsupported, "unsupported"),
    (WriteOutcome::Unavailable, "unavailable"),
];

/// Why an exemplar is not kept.
const EXEMPLAR_REASONS: [&str; 4] = ["out_of_order", "labels", "unknown_series", "future"];

/// Counters of `/api/v1/write`.
#[derive(Debug, Default)]
pub(crate) struct WriteMetrics {
    requests: [Counter; OUTCOMES.len()],
    /// Bytes of bodies, as sent.
    pub(crate) body_bytes: Counter,
    samples: Counter,
    refused: [Counter; RefusalKind::ALL.len()],
    histograms: Counter,
    exemplars: Counter,
    refused_exemplars: [Counter; EXEMPLAR_REASONS.len()],
    points: Counter,
    rejected_points: Counter,
}

impl WriteMetrics {
    pub(crate) fn count(&self, outcome: WriteOutcome) {
        self.requests[outcome as usize].add(1);
    }

    /// Counts what became of the content of one request, of which so many floats and native histograms are written.
    pub(crate) fn note_taken(
        &self,
        n_written: (usize, usize),
        refusals: &Refusals,
        exemplars: &ExemplarTally,
    ) {
        self.samples.add(n_written.0);
        self.histograms.add(n_written.1);
        for (kind, n_samples) in refusals.n_samples() {
            self.refused[kind as usize].add(n_samples);
        }
        self.exemplars.add(exemplars.n_written);
        let ExemplarTally {
            n_out_of_order,
            counts,
            ..
        } = *exemplars;
        let refused = [
            n_out_of_order,
            counts.n_invalid,
            counts.n_unknown,
            counts.n_future,
        ];
        for (counter, n_refused) in self.refused_exemplars.iter().zip(refused) {
            counter.add(n_refused);
        }
    }

    /// Counts the data points of one OTLP request.
    pub(crate) fn note_points(&self, n_points: u64, n_rejected: u64) {
        let count = |n_points: u64| usize::try_from(n_points).unwrap_or(usize::MAX);
        self.points.add(count(n_points));
        self.rejected_points.add(count(n_rejected));
    }

    pub(super) fn write(&self, page: &mut Page) {
        let name = "meshtide_write_requests_total";
        page.counter(name, "Remote-write requests, by how they ended.");
        for (outcome, outcome_name) in OUTCOMES {
            let value = self.requests[outcome as usize].get() as f64;
            page.sample(name, &[("outcome", outcome_name)], value);
        }
        let name = "meshtide_write_body_bytes_total";
        page.one_counter(
            name,
            "Bytes of remote-write bodies, as sent.",
            self.body_bytes.get(),
        );
        let name = "meshtide_write_samples_total";
        page.one_counter(
            name,
            "Float samples acknowledged, exact duplicates included.",
            self.samples.get(),
        );
        let name = "meshtide_write_refused_samples_total";
        page.counter(name, "Samples refused, native histograms included, by reason.");
        for kind in RefusalKind::ALL {
            let value = self.refused[kind as usize].get() as f64;
            page.sample(name, &[("reason", kind.as_str())], value);
        }
        let name = "meshtide_write_histograms_total";
        page.one_counter(
            name,
            "Native histograms acknowledged, exact duplicates included.",
            self.histograms.get(),
        );
        let name = "meshtide_write_exemplars_total";
        page.one_counter(
            name,
            "Exemplars acknowledged, exact duplicates included.",
            self.exemplars.get(),
        );
        let name = "meshtide_write_refused_exemplars_total";
        page.counter(name, "Exemplars that are not kept, by reason.");
        for (reason, counter) in EXEMPLAR_REASONS.into_iter().zip(&self.refused_exemplars) {
            page.sample(name, &[("reason", reason)], counter.get() as f64);
        }
        let name = "meshtide_otlp_points_total";
        page.one_counter(name, "OTLP data points received.", self.points.get());
        let name = "meshtide_otlp_rejected_points_total";
        page.one_counter(
            name,
            "OTLP data points that were not taken, or not whole.",
            self.rejected_points.get(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_agree_with_the_list() {
        for (position, (outcome, _)) in OUTCOMES.into_iter().enumerate() {
            assert_eq!(outcome as usize, position);
        }
    }
}
