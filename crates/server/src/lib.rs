//! HTTP handlers, admission and the JSON of the Prometheus API.
#![forbid(unsafe_code)]

pub mod front;
