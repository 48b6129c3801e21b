//! The local disk, with a count of what is read.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{FileLock, Files, ReadFile, WriteFile};
use storage::LocalFiles;

/// Bytes read so far.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// How many.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Files that count what is read at a place of them; reading from front to back, as the log is, does not count.
#[derive(Debug)]
pub struct CountedFiles(pub Counter);

#[derive(Debug)]
struct CountedFile(Box<dyn ReadFile>, Counter);

impl Files for CountedFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        LocalFiles.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        LocalFiles.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        LocalFiles.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(CountedFile(LocalFiles.open(path)?, self.0.clone())))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        LocalFiles.truncate(path, len)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalFiles.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        LocalFiles.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        LocalFiles.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        LocalFiles.lock(path)
    }
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for CountedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl ReadFile for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.0.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.0.read_exact_at(buffer, offset)
    }
}
