//! Where the bytes of a block come from: a local file, memory, later an object store.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// A file that is read in ranges, by any number of threads at once.
pub trait RangeRead: Send + Sync + fmt::Debug {
    /// What errors call it; nothing is opened by it.
    fn path(&self) -> &Path;

    /// Its length in bytes, which never changes.
    fn len(&self) -> u64;

    /// True when it has no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `n_bytes` from `offset` on: all of them or an error.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends within them, and those of the environment.
    fn read_at(&self, offset: u64, n_bytes: usize) -> io::Result<Bytes>;
}

/// A file in memory.
#[derive(Debug, Clone)]
pub struct MemoryFile {
    path: PathBuf,
    bytes: Bytes,
}

impl MemoryFile {
    /// A file of these bytes; `path` is only its name in errors.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, bytes: impl Into<Bytes>) -> Self {
        Self {
            path: path.into(),
            bytes: bytes.into(),
        }
    }
}

impl RangeRead for MemoryFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, n_bytes: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(n_bytes)?));
        match range {
            Some(range) if range.end <= self.bytes.len() => Ok(self.bytes.slice(range)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_past_the_end_is_an_error() {
        let file = MemoryFile::new("f", &b"abcd"[..]);
        assert_eq!(file.read_at(1, 3).unwrap(), "bcd");
        for (offset, n_bytes) in [(1, 4), (5, 0), (u64::MAX, 1), (0, usize::MAX)] {
            let error = file.read_at(offset, n_bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
