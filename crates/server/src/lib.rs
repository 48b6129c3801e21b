//! HTTP handlers, admission and the JSON of the Prometheus API.
//!
//! Only this crate knows status codes and the shape of answers. Read in this order: [`front`] makes request lines
//! fit for hyper and [`listener`] takes connections; [`app`] is what handlers share and `router` which path leads
//! to which; [`ingest`] with `write_api` takes samples in, [`ha`] elects one
//! of several identical senders; `query_api`, `series_api`, `exemplars_api`, `sql_api`, `status_api`,
//! `targets_api`, `admin_api` and `federate` answer; `params`, `json`, `reply` and [`error`] are what they are made of.
//!
//! Invariants: handlers only wait and write small answers, everything that computes runs on the threads of
//! ingest or of the query engine, so that probes are answered under any load. Every queue has a bound and an
//! answer for when it is full. An answer is written from the arrays of the result, in pieces when it is large.
#![forbid(unsafe_code)]

mod admin_api;
pub mod app;
mod cors;
pub mod error;
mod exemplars_api;
mod federate;
pub mod front;
pub mod ha;
mod ha_api;
mod health;
pub mod ingest;
mod json;
mod label_name;
mod later;
pub mod listener;
mod metrics;
mod otlp_api;
mod params;
mod process;
mod query_api;
mod reply;
mod router;
mod series_api;
mod sql_api;
mod status_api;
mod targets_api;
mod tree_api;
mod write_api;

pub use app::{BuildInfo, Config, Opened, ProcessInfo, Server};
pub use error::{ApiError, ErrorKind};
pub use listener::Listener;
pub use sql_api::{SqlFormat, SqlWriter};
