//! Files on the local disk.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use model::{FileLock, Files, ReadFile, WriteFile};

/// The file system of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalFiles;

/// A file on the local disk. As a lock, it is freed when the file is closed.
#[derive(Debug)]
struct LocalFile(File);

impl Files for LocalFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = dir
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
            .collect();
        std::fs::create_dir_all(dir)?;
        // A new directory is an entry of the one above it.
        for above in missing.iter().filter_map(|made| made.parent()) {
            let above = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                above
            };
            self.sync_dir(above)?;
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(LocalFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(LocalFile(File::open(path)?)))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() > len {
            file.set_len(len)?;
        }
        file.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(LocalFile(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Write for LocalFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl WriteFile for LocalFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Read for LocalFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for LocalFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

impl ReadFile for LocalFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

impl FileLock for LocalFile {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_once_truncated_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        LocalFiles.create_dir(&below).unwrap();
        LocalFiles.create_dir(&below).unwrap();
        let path = below.join("f");
        let mut file = LocalFiles.create(&path).unwrap();
        file.write_all(b"hello").unwrap();
        file.sync().unwrap();
        assert!(LocalFiles.create(&path).is_err());
        LocalFiles.truncate(&path, 9).unwrap();
        assert_eq!(LocalFiles.open(&path).unwrap().len().unwrap(), 5);
        LocalFiles.truncate(&path, 2).unwrap();
        let mut left = String::new();
        LocalFiles.open(&path).unwrap().read_to_string(&mut left).unwrap();
        assert_eq!(left, "he");
        let mut one = [0];
        let file = LocalFiles.open(&path).unwrap();
        file.read_exact_at(&mut one, 1).unwrap();
        assert_eq!(one, *b"e");
        assert!(file.read_exact_at(&mut one, 2).is_err());
        assert_eq!(LocalFiles.list(&below).unwrap(), ["f"]);
        LocalFiles.remove(&path).unwrap();
        LocalFiles.sync_dir(&below).unwrap();
        assert!(LocalFiles.list(&below).unwrap().is_empty());
        LocalFiles.remove_dir(&below).unwrap();
        assert!(LocalFiles.list(&below).is_err());
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = LocalFiles.lock(&path).unwrap();
        let error = LocalFiles.lock(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        LocalFiles.lock(&path).unwrap();
    }
}
