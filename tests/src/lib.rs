//! The harness of the end-to-end tests and of the benches: real processes, real HTTP, real clients.
//!
//! - [`process`]: start a server on a free port, wait until it is ready, read its CPU time and memory, kill it.
//! - [`exposition`]: scrape targets; [`compare`]: are two replies one answer?
//! - [`http`]: a blocking client; [`clock`]: what time it is.
//! - [`peers`]: where the binaries are, and what is done when one is missing.
//! - [`otlp`]: a server that takes OTLP; [`envoy`]: one that sends it.
//! - [`load`]: the synthetic mesh as ready remote-write requests.
//! - [`diff`]: the differential fuzzer, which compares Meshtide's answers with those of a real Prometheus.
#![forbid(unsafe_code)]

pub mod clock;
pub mod compare;
pub mod diff;
pub mod envoy;
pub mod exposition;
pub mod http;
pub mod load;
pub mod otlp;
pub mod peers;
pub mod process;
