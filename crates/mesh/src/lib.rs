//! Istio's names: the synthetic mesh.
//!
//! A [`Mesh`] is a set of scrape targets (sidecars, a gateway, istiod) whose metrics move as those of a real mesh
//! do: names, labels, buckets, cardinalities and value shapes follow measured Istio expositions. It has no clock
//! and no network: the caller says when a target is scraped and takes the samples through a [`ScrapeSink`].
//!
//! Invariants: equal configuration and seed give equal series and values, whatever the order of scrapes of
//! different targets; counters only fall when a proxy restarted; a series that ends gets a staleness marker.
//!
//! Read [`config`] for the knobs, [`topology`] for who calls whom, [`traffic`] for how counters and histograms
//! move, [`target`] and [`scrape`] for what one scrape gives. [`envoy`] stands apart: what a proxy itself sends by OTLP.
#![forbid(unsafe_code)]

mod baseline;
pub mod config;
mod control_plane;
pub mod envoy;
mod histogram;
mod labels;
pub mod remote_write;
pub mod scrape;
mod target;
mod topology;
mod traffic;

pub use config::MeshConfig;
pub use scrape::{Mesh, ScrapeSink, SeriesText};
