//! Foreign schemas: remote write, OTLP and text exposition, to and from the model.
//!
//! What comes in here was written by somebody else, so every byte of it may be wrong. Invariants:
//!
//! - Nothing here panics on input, and nothing allocates in proportion to a length that was only claimed: sizes
//!   are checked against [`Limits`] and against the bytes that are really there.
//! - Decoders borrow. Walking a request allocates nothing; label text is looked at only when the caller asks.
//! - Bad input is a value: [`DecodeError`] when a message is broken (nothing of it can be trusted),
//!   [`RefusedSeries`] when one series is (the others are fine).
//! - No HTTP status, no socket, no async: `server` maps what is refused to codes.
//!
//! A remote-write request takes this way: [`remote_write::negotiate`] picks the protocol,
//! [`snappy::decompress`] opens the body, [`remote_write::v1`] or [`remote_write::v2`] walk it.
//! An OTLP request comes as it is or in a [`grpc::Frame`], and [`otlp`] walks it.
//! The encoders [`remote_write::v1::Encoder`] and [`remote_write::v2::Encoder`] go the other way, for load
//! generators and tests.
#![forbid(unsafe_code)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::string_slice
)]

mod base64;
pub mod checks;
mod error;
pub mod exposition;
pub mod grpc;
pub mod limits;
pub mod otlp;
mod protobuf;
pub mod remote_write;
pub mod snappy;

pub use error::{DecodeError, LabelsError, RefusedSeries};
pub use limits::Limits;
