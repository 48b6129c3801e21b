//! What can go wrong in the store.

use std::path::{Path, PathBuf};

use arrow_schema::ArrowError;
use catalog::CatalogError;

use model::StreamId;

/// An error of the store, by whose fault it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request: a series has no metric name, or would exceed a limit of the catalog.
    #[error("the series cannot be registered")]
    Series(#[from] CatalogError),
    /// The environment: a file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb: "write", "sync", "open".
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The environment: another process, or another store of this one, has the directory open.
    #[error("the data directory {} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Stored data is damaged.
    #[error("damaged data in {} at byte {offset}: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Stored data is of a version that this program does not know, written by a newer one.
    #[error("{} has format version {found}; this program reads versions up to {known}", path.display())]
    UnknownVersion {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The newest version this program reads.
        known: u16,
    },
    /// Our bug, or bad memory: a page of the head does not decode.
    #[error("a page of stream {} in the head does not decode", stream.0)]
    DamagedPage {
        /// Whose page.
        stream: StreamId,
        /// What is wrong with it.
        #[source]
        source: codec::Error,
    },
    /// A limit: the write queue is full. Try again later.
    #[error("the write queue is full ({queued_samples} samples wait to be written)")]
    Overloaded {
        /// How many samples wait.
        queued_samples: usize,
    },
    /// A limit: there is too much of something.
    #[error("too many {what}: the limit is {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// The environment: the log could not be written a moment ago, and is not tried for this. Try again later.
    #[error("the log cannot be written at present")]
    Unwritable,
    /// Our bug: Arrow refuses to encode a record.
    #[error("a record of the log cannot be encoded")]
    Encode(#[from] ArrowError),
    /// Our bug: Parquet refuses to encode what a block is to hold.
    #[error("the block {} cannot be encoded", path.display())]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A limit: a block cannot hold what it is to hold. The samples must stay where they are.
    #[error("a block cannot hold {what}")]
    Unblockable {
        /// What it cannot hold.
        what: &'static str,
    },
    /// The store is shutting down or its writer has ended; nothing more is accepted.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// The same error for another request of a group that failed.
    pub(crate) fn repeat(&self) -> Self {
        match self {
            Self::Io { action, path, source } => Self::io(
                action,
                path,
                std::io::Error::new(source.kind(), source.to_string()),
            ),
            Self::Encode(error) => Self::Encode(ArrowError::IpcError(error.to_string())),
            Self::Closed => Self::Closed,
            _ => Self::Unwritable,
        }
    }
}
