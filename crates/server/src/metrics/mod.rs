//! What the server counts about itself, and `/metrics`.
//!
//! Counters are moved once per request, never per sample. Label values form closed sets. Names begin with
//! `meshtide_` and end in their unit and, for counters, `_total`.

mod ha;
mod http;
mod page;
mod text;
mod write;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use http::{Handler, HttpMetrics};
pub(crate) use page::metrics_page;
pub(crate) use write::{WriteMetrics, WriteOutcome};

/// All counters of the HTTP interface.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) http: HttpMetrics,
    pub(crate) write: WriteMetrics,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
