//! As much of the protobuf wire format as remote write needs.
//!
//! Source: the protobuf encoding reference. Groups (wire types 3 and 4) are refused: no schema here has them,
//! and skipping them would need a stack.

#[cfg(test)]
pub(crate) mod raw;
mod reader;
mod schema;
pub(crate) mod writer;

pub(crate) use reader::{Reader, WireType};
pub(crate) use schema::{Field, Kind, Schema, validate};
