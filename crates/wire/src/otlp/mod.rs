//! OTLP metrics: an `ExportMetricsServiceRequest`, in protobuf or JSON, as samples of Prometheus series.
//!
//! One way for both encodings: JSON is written as protobuf first ([`json::to_protobuf`]), then [`Walker::walk`] goes
//! through the bytes and tells a [`Visitor`] of every sample. A series is known by a key, the keyed hash of what
//! distinguishes it on the wire; its labels are only made when the visitor asks for them, that is when it does not
//! know the key.
//!
//! Invariants:
//! - Every data point is either told of or rejected with a reason, and counted in both cases.
//! - A broken message is an error with its place. What is broken in meaning only, such as buckets that do not fit
//!   their bounds, costs its point and no other.
//! - Names and labels follow [`Settings`]; those of an Envoy are the ones of its own Prometheus page.
//!
//! Source: opentelemetry-proto 1.11; the OpenTelemetry specification on Prometheus compatibility; Prometheus 3.14
//! where the specification leaves a choice.

mod attributes;
mod beginning;
mod bounds;
pub mod encoder;
mod exemplar;
mod exponential;
pub mod json;
mod metric;
mod names;
mod point;
mod rejection;
mod resource;
pub mod response;
mod series;
mod settings;
mod units;
mod walk;

pub use beginning::Beginning;
pub use exemplar::Exemplar;
pub use names::TranslationStrategy;
pub use rejection::Rejection;
pub use series::{Series, Visitor};
pub use settings::{DeltaPolicy, Settings};
pub use walk::Walker;

#[cfg(test)]
mod tests;
