//! The whole HTTP interface over a real store: through the router, and through sockets where they matter.

mod support;

mod admin;
mod api;
mod connections;
mod exemplars;
mod federate;
mod grpc;
mod ha;
mod histograms;
mod metadata;
mod otlp;
mod otlp_checks;
mod otlp_deltas;
mod sql;
mod write;
