//! The catalog: which series exist, how a request's label bytes find theirs, and which ones matchers pick.
//!
//! Everything is in memory. Read in this order: [`Catalog`] (`catalog.rs`) registers series and gives out ids,
//! which [`Definition`]s carry to the write-ahead log and back; `entities.rs` and `streams.rs` are its two tables;
//! `matching.rs` turns matchers into codes and rows and `select.rs` those into a [`CatalogSelection`],
//! in the order that `order.rs` keeps;
//! `labels.rs` reads the labels of a selection. [`Resolver`] stands apart: it maps raw label bytes to series
//! without locking the catalog.
//!
//! Invariants:
//! - Ids are dense and given in order. The same definitions in the same order give the same ids.
//! - Every lane belongs to a stream and every stream to an entity; the series is exactly the text from which
//!   [`model::SeriesName::split`] makes that lane.
//! - Nothing is removed yet. When it will be, a stream leaves its metric's map and its entity leaves the postings;
//!   both are single entries, and no id needs to move.
//!
//! Only this crate knows roaring bitmaps. It does no IO and takes no locks but those of its regex cache and its order.
#![forbid(unsafe_code)]

mod catalog;
mod column;
mod definition;
mod dictionary;
mod entities;
mod error;
mod hash;
mod labels;
mod limits;
mod matching;
mod order;
mod postings;
mod regex_cache;
mod resolver;
mod select;
mod selection;
mod statistics;
mod streams;

pub use catalog::{Catalog, Registered};
pub use definition::{Definition, LaneName};
pub use error::CatalogError;
pub use hash::{HASH_SECRET_BYTES, HashSecret};
pub use labels::SelectedName;
pub use limits::CatalogLimits;
pub use resolver::{Resolver, SeriesKey};
pub use selection::{CatalogSelection, SelectedLanes, StreamSelection};
pub use statistics::CatalogStatistics;
