//! Whole-process benches: what a server costs on a realistic mesh, measured from outside.
//!
//! [`ingest`] replays pre-encoded remote-write requests, [`queries`] asks what consoles ask,
//! [`interference`] does both at once, [`natives`] makes native histograms for blocks, [`target`] knows how to
//! start Meshtide and its peers, [`report`] prints tables for `docs/performance.md`.
#![forbid(unsafe_code)]

pub mod ingest;
pub mod interference;
pub mod natives;
pub mod queries;
pub mod report;
pub mod target;
