//! The life of blocks: how they come into being, are found, merged and removed.
//!
//! What is inside one block is the business of [`crate::block`]. Read in this order: `objects` for where bytes
//! are kept, `file_store` for how in a data directory; `state` for what is said about blocks, `record` and `catalog` for how that is kept
//! (`docs/format/catalog.md`); `plan` and `retention` decide, as pure functions.
//!
//! Invariants:
//! - A block counts from the moment a catalog record that names it is durable, and until one is that does not.
//! - Nothing is removed that the newest durable record names; what no record names is removed at the next start.
//! - Numbers of blocks and of catalog records are never used twice.

pub(crate) mod catalog;
pub(crate) mod compact;
mod file_store;
pub(crate) mod files;
pub(crate) mod live;
pub(crate) mod merge;
pub(crate) mod objects;
pub(crate) mod plan;
mod record;
pub(crate) mod retention;
pub(crate) mod state;
#[cfg(test)]
mod tests;

pub(crate) use catalog::read_catalog;
pub use live::{BlockCacheConfig, BlocksReport};
pub use state::{BlockEntry, BlockId, Deletion, StoredMatcher, Watermark};
