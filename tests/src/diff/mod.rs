//! The differential fuzzer: random data and random queries, the same to two servers, the answers compared.
//!
//! - Data: [`metric`] says what there is, [`population`] and [`native`] draw it from a seed, [`dataset`] sends and
//!   prints it.
//! - Queries: [`query`] is their tree, `spelling` the forms of their words, [`generator`] draws them, [`case`] adds
//!   the time, [`stability`] says what of their answers Prometheus lays down.
//! - Answers: [`reply`] reads, [`comparison`] and [`annotation`] compare, [`deviation`] and [`native_deviation`] list what may
//!   differ and why, [`noise`] tells last bits from errors.
//! - [`servers`] starts the two, [`run`] asks them, [`shrink`] makes a difference small enough to read.
//!
//! Everything follows from a seed and the time at which the data ends: the same two give the same queries.

pub mod annotation;
pub mod case;
pub mod comparison;
pub mod dataset;
pub mod deviation;
mod differing_part;
pub mod generator;
pub mod metric;
pub mod native;
pub mod native_deviation;
pub mod noise;
pub mod perturbation;
pub mod population;
pub mod query;
pub mod reply;
pub mod run;
pub mod servers;
pub mod shrink;
mod spelling;
pub mod stability;
