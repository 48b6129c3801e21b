//! The whole HTTP interface over a real store: through the router, and through sockets where they matter.

mod support;

mod api;
mod connections;
mod federate;
mod histograms;
mod otlp;
mod sql;
mod write;
