//! Blocks: the samples of a time range as Parquet files that anyone can read.
//!
//! A block is three files: `samples.parquet` (one row per sample), `series.parquet` (one row per series) and
//! `manifest.json` ([`Manifest`]: version, checksums, counts). This module owns what is inside them and nothing
//! around them: it writes to sinks and reads from [`RangeRead`]s that are handed in, knows no file names, and syncs
//! nothing. `docs/format/block.md` is the format, column by column, with the measurements behind the encodings.
//!
//! Read in this order: [`order`] says how rows are sorted; [`manifest`] and [`range_read`] are what a block is seen
//! as from outside; [`BlockWriter`] makes one; [`Block`] opens one, [`BlockCatalog`] is its decoded table of series,
//! [`BlockSource`] answers queries from it.
//!
//! Invariants:
//! - Streams ascend by base metric name, then by entity ([`model::Labels`] order), lanes of a stream by
//!   [`model::LaneKind::compare`], rows of a lane strictly by timestamp. The rows of a stream are contiguous.
//! - Every value survives bit for bit: whole numbers stand in `value_int`, everything else in `value_float`.
//! - Every byte that is read was checked against a checksum first, so that damage is an error that says where.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::cast_possible_truncation,
        clippy::string_slice
    )
)]

pub(crate) mod checks;
mod decimals;
pub mod manifest;
pub mod order;
mod page;
mod page_table;
pub mod range_read;
pub mod reader;
mod schema;
#[cfg(test)]
pub(crate) mod testing;
pub mod writer;

pub use manifest::{FileSummary, Manifest, PageTableSummary};
pub use order::StreamKey;
pub use range_read::{MemoryFile, RangeRead};
pub(crate) use reader::DecodedPages;
pub use reader::{Block, BlockCatalog, BlockFiles, BlockSource, BlockStream, PageCache, PageCacheStats};
pub(crate) use writer::emptied;
pub use writer::{BlockSinks, BlockWriter};
