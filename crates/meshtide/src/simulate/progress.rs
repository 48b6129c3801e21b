//! What the user sees while load is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use super::sender::Summary;

/// A progress bar on a terminal, nothing when quiet. Clones show the same bar.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    n_samples: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        Self {
            bar,
            n_samples: Arc::default(),
        }
    }

    /// A line above the bar.
    pub(super) fn say(&self, text: &str) {
        self.bar.println(text);
        if self.bar.is_hidden() {
            tracing::info!("{text}");
        }
    }

    pub(super) fn begin_back_fill(&self, n_intervals: i64, past: &str) {
        self.bar.set_length(n_intervals.unsigned_abs());
        let template = "{prefix} {wide_bar} {pos}/{len} scrapes, {msg}, {eta} left";
        self.bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        self.bar.set_prefix(format!("back-fill of {past}"));
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    pub(super) fn begin_live(&self) {
        let template = "{spinner} live, {msg}, for {elapsed}";
        self.bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        self.say("live; Ctrl-C ends it");
    }

    pub(super) fn interval_done(&self) {
        self.bar.inc(1);
    }

    pub(super) fn samples_sent(&self, n_samples: u64) {
        let total = self.n_samples.fetch_add(n_samples, Ordering::Relaxed) + n_samples;
        self.bar.set_message(format!("{} samples", HumanCount(total)));
    }

    pub(super) fn finish(&self, summary: &Summary) {
        self.bar.finish_and_clear();
        let seconds = summary.elapsed.as_secs_f64().max(1e-9);
        self.say(&format!(
            "{} samples in {} requests, {} sent in {}: {:.0} samples/s; slowest acknowledgement {:.0} ms",
            HumanCount(summary.n_samples),
            HumanCount(summary.n_requests),
            HumanBytes(summary.n_bytes),
            HumanDuration(summary.elapsed),
            summary.n_samples as f64 / seconds,
            summary.slowest.as_secs_f64() * 1e3,
        ));
        if summary.n_refused > 0 {
            self.say(&format!(
                "{} requests were refused, in whole or in part; the first: {}",
                HumanCount(summary.n_refused),
                summary.first_refusal
            ));
        }
    }
}
