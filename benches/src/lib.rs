//! Benches of everything: what a server costs on a realistic mesh, measured from outside, and what its store and its
//! queries cost in this process.
//!
//! From outside: [`ingest`] replays pre-encoded remote-write requests, [`queries`] asks what consoles ask,
//! [`interference`] does both at once, [`target`] knows how to start Meshtide and its peers, [`report`] prints tables for
//! `docs/performance.md`.
//!
//! In this process: [`traffic`] counts what edges count, [`feed`] puts it into a store, [`data_directory`] into blocks,
//! [`natives`] makes native histograms; [`asking`] asks an engine, [`usage`] says what the system says of this process,
//! [`counted_files`] what was read.
#![forbid(unsafe_code)]

pub mod asking;
pub mod counted_files;
pub mod data_directory;
pub mod feed;
pub mod ingest;
pub mod interference;
pub mod natives;
pub mod queries;
pub mod report;
pub mod target;
pub mod traffic;
pub mod usage;
