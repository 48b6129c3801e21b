//! The file operations that stored data needs, as traits that are handed in.
//!
//! Only the shape is here. `storage` has the real thing; `testkit` has files that fail, run full and forget at
//! will. What a file holds is durable only after [`WriteFile::sync`], that a file exists only after
//! [`Files::sync_dir`]: until then a power cut may undo any part of it.

use std::fmt;
use std::io;
use std::path::Path;

/// A file system, or something that behaves like one.
pub trait Files: Send + Sync + fmt::Debug {
    /// Makes a directory and what lies above it, durably. One that is there already is left as it is.
    ///
    /// # Errors
    /// Those of the file system.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files and directories in `dir`, sorted. Names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// Those of the file system.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a new file for writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one, and those of the file system.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a file for reading, at its beginning.
    ///
    /// # Errors
    /// Those of the file system.
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;

    /// Shortens a file to `len` bytes, unless it is shorter, and makes all that is left durable.
    ///
    /// # Errors
    /// Those of the file system.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// Removes a file. Whether it stays away after a power cut is known only after [`Self::sync_dir`].
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory. Whether it stays away after a power cut is not said.
    ///
    /// # Errors
    /// Those of the file system; one that is not empty stays.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes durable which files `dir` has.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock file `path`, made if missing, until the returned value is dropped or the process ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody else holds it, this process included, and those of the file
    /// system.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

/// A file that is written from its beginning to its end.
pub trait WriteFile: io::Write + Send + fmt::Debug {
    /// Makes all that was written durable.
    ///
    /// # Errors
    /// Those of the file system. After an error nobody knows which bytes are durable, and a second call that
    /// succeeds does not change that: the file must be given up.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is read.
pub trait ReadFile: io::Read + io::Seek + Send + Sync + fmt::Debug {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on, wherever reading stands; any number of threads may do so.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file is shorter, and those of the file system.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// True when it has no byte.
    ///
    /// # Errors
    /// As [`Self::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A lock that ends when it is dropped.
pub trait FileLock: Send + Sync + fmt::Debug {}
