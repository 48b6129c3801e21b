//! Files that are only looked at.
//!
//! Opening a store tidies up behind a crash: what was cut off half-way is removed. Here that is left for the server
//! to do; nothing is ever written after it, so it makes no difference to what is read. Only the lock is taken for
//! real, because a server that starts meanwhile would change files under the reader.

use std::io;
use std::path::Path;

use model::{FileLock, Files, ReadFile, WriteFile};
use storage::LocalFiles;

/// The local disk without a way to change it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReadOnlyFiles;

impl Files for ReadOnlyFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no data directory of a server here",
        ))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        LocalFiles.list(dir)
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn WriteFile>> {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the data directory is open for reading only",
        ))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        LocalFiles.open(path)
    }

    fn truncate(&self, _: &Path, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        LocalFiles.lock(path)
    }
}
