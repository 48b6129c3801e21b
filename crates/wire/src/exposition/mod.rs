//! Text exposition: Prometheus text format 0.0.4, written and read.
//!
//! - [`negotiate`] reads a scraper's `Accept` header; [`federate::Writer`] writes what `/federate` answers.
//! - [`text`] holds the lines both that and `/metrics` are made of.
//! - [`parser`] reads expositions, OpenMetrics' additions included, for tests and tools.

mod escape;
pub mod federate;
mod negotiate;
pub mod parser;
pub mod text;

pub use escape::Escaping;
pub use negotiate::negotiate;
pub use parser::{Dialect, Event, ParseError, Parser, SampleLine};
