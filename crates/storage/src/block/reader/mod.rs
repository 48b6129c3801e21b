//! Reading a block.
//!
//! [`Block`] holds the files; `table` finds pages, in older blocks with the help of `footer`; `load` decodes `series.parquet` into a
//! [`BlockCatalog`], `select` evaluates matchers on it, `read` decodes the rows of a stream, `newest` the last ones
//! of it; `histograms` decodes native histograms, `mixed` puts them among the rows of floats; `pages` fetches pages
//! through a [`PageCache`], `fetched` and `decoded` keep the last ones of a reader; `verify` reads everything.

mod cache;
mod catalog;
mod changes;
mod decoded;
mod dictionary;
mod fetched;
mod footer;
mod histograms;
mod limits;
mod load;
mod mixed;
mod newest;
mod pages;
mod read;
mod select;
mod source;
mod table;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use cache::{PageCache, PageCacheStats};
pub use catalog::{BlockCatalog, BlockStream};
pub(crate) use decoded::DecodedPages;
pub use source::BlockSource;

use super::manifest::{FileSummary, Manifest};
use super::range_read::RangeRead;
use crate::Error;

/// The files of a block.
#[derive(Debug, Clone)]
pub struct BlockFiles {
    /// `samples.parquet`.
    pub samples: Arc<dyn RangeRead>,
    /// `series.parquet`.
    pub series: Arc<dyn RangeRead>,
    /// `histograms.parquet`, if the manifest names it.
    pub histograms: Option<Arc<dyn RangeRead>>,
}

/// An open block: its manifest and its files. Small; nothing is decoded yet.
#[derive(Debug)]
pub struct Block {
    manifest: Manifest,
    files: BlockFiles,
    /// Tells its pages from those of other blocks in a cache.
    cache_key: u64,
}

/// Never the same in the life of a process, so that a cache outlives any block.
static NEXT_CACHE_KEY: AtomicU64 = AtomicU64::new(0);

impl Block {
    /// A block of these files. Reads nothing but their lengths.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a length is not that of the manifest.
    pub fn open(manifest: Manifest, files: BlockFiles) -> Result<Self, Error> {
        check_length(&*files.samples, manifest.samples)?;
        check_length(&*files.series, manifest.series)?;
        match (&files.histograms, manifest.histograms) {
            (Some(file), Some(summary)) => check_length(&**file, summary)?,
            (None, None) => {}
            (None, Some(_)) | (Some(_), None) => {
                let what = "histograms.parquet is not there, or nothing names it";
                return Err(damaged(&*files.series, 0, what));
            }
        }
        Ok(Self {
            manifest,
            files,
            cache_key: NEXT_CACHE_KEY.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// What it holds.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// `histograms.parquet`, if there is one.
    fn histograms(&self) -> Option<(&dyn RangeRead, FileSummary)> {
        self.files.histograms.as_deref().zip(self.manifest.histograms)
    }

    fn samples_damaged(&self, offset: u64, reason: impl fmt::Display) -> Error {
        damaged(&*self.files.samples, offset, reason)
    }

    fn series_damaged(&self, reason: impl fmt::Display) -> Error {
        damaged(&*self.files.series, 0, reason)
    }
}

fn check_length(file: &dyn RangeRead, summary: FileSummary) -> Result<(), Error> {
    let (found, expected) = (file.len(), summary.n_bytes);
    if found == expected {
        return Ok(());
    }
    let reason = format!("the file has {found} bytes, not {expected}");
    Err(damaged(file, found.min(expected), reason))
}

fn damaged(file: &dyn RangeRead, offset: u64, reason: impl fmt::Display) -> Error {
    Error::Damaged {
        path: file.path().to_owned(),
        offset,
        reason: reason.to_string(),
    }
}

fn read_error(file: &dyn RangeRead, source: std::io::Error) -> Error {
    Error::io("read", file.path(), source)
}

#[cfg(test)]
mod tests;
