//! Page encodings, checksums and varints: the only place that knows bit layouts.
//!
//! Read in this order: [`page`] is what others use, timestamps and columns in one buffer; [`mod@column`] encodes the
//! values of one column; the modules below it map floats to integers (`scale`), integers to deltas (`deltas`) and deltas
//! to bits ([`bits`], which blocks use as well). [`lz4`] packs the columns of the log; [`mod@patch`]
//! turns bytes into similar ones.
//!
//! Every decoder takes any bytes: what does not fit is an [`Error`], never a panic, and memory stays bounded by
//! [`page::ROWS_MAX`]. A page carries no checksum: who stores one adds it ([`checksum`]).
#![deny(unsafe_code)]
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::string_slice
)]

pub mod bits;
pub mod checks;
pub mod checksum;
pub mod column;
mod deltas;
mod error;
pub mod lz4;
pub mod page;
pub mod patch;
pub mod prefetch;
pub mod presence;
mod scale;
pub mod varint;

pub use column::ColumnReader;
pub use error::Error;
pub use lz4::FramePacker;
pub use page::{PageReader, PageWriter};
pub use patch::{apply_patch, push_patch};
pub use prefetch::prefetch;
pub use presence::Presence;
