//! What can go wrong in the store.

use std::path::PathBuf;

/// An error of the store, by whose fault it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// A limit: the write queue is full. Try again later.
    #[error("the write queue is full ({queued_samples} samples wait to be written)")]
    Overloaded {
        /// How many samples wait.
        queued_samples: usize,
    },
    /// A limit of the catalog, such as its number of streams.
    #[error("too many {what}: the limit is {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// The store is shutting down or its writer has failed; nothing more is accepted.
    #[error("the store is closed")]
    Closed,
}
