//! Named objects: what blocks and the block catalog are made of.
//!
//! An object is written once, as a whole or from its beginning to its end, and is durable when the call that ends it
//! returns: the file and the directory that names it are synced. It is never changed, appended to or renamed
//! afterwards, only read and deleted. Putting refuses a name that exists; that is the one thing on which two writers
//! can agree, on a local disk as on S3. Listing is for start-up and inspection only.
//!
//! Names are relative paths with `/`: `blocks/7/samples.parquet`.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Files, ReadFile, WriteFile};

use crate::Error;

/// A place that keeps objects.
pub(crate) trait Objects: Send + Sync + fmt::Debug {
    /// Begins a new object. It counts only once [`ObjectWriter::finish`] has succeeded; dropped before, it is
    /// removed if possible, and whatever is left of it must be deleted by somebody who lists.
    ///
    /// # Errors
    /// [`Error::Io`], with [`io::ErrorKind::AlreadyExists`] if there is an object of this name.
    fn create(&self, name: &str) -> Result<Box<dyn ObjectWriter>, Error>;

    /// Opens an object for reading by range.
    ///
    /// # Errors
    /// [`Error::Io`], with [`io::ErrorKind::NotFound`] if there is none.
    fn open(&self, name: &str) -> Result<Object, Error>;

    /// The names directly under a prefix that ends with `/`, without it, sorted; a name that has more below it
    /// stands for all of that. Nothing if there is nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn list(&self, prefix: &str) -> Result<Vec<String>, Error>;

    /// Deletes objects under one prefix that ends with `/`, durably; those that do not exist count as deleted.
    ///
    /// # Errors
    /// [`Error::Io`]; some may be deleted then.
    fn delete(&self, prefix: &str, names: &[&str]) -> Result<(), Error>;

    /// Where an object would be, for people.
    fn describe(&self, name: &str) -> PathBuf;
}

/// A new object on its way.
pub(crate) trait ObjectWriter: Write + Send + fmt::Debug {
    /// Makes it durable.
    ///
    /// # Errors
    /// [`Error::Io`]; the object does not count then.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

impl dyn Objects + '_ {
    /// Makes a whole object, durably.
    ///
    /// # Errors
    /// As [`Objects::create`] and [`ObjectWriter::finish`].
    pub(crate) fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut writer = self.create(name)?;
        writer
            .write_all(bytes)
            .map_err(|error| Error::io("write", &self.describe(name), error))?;
        writer.finish()
    }

    /// A whole object.
    ///
    /// # Errors
    /// As [`Objects::open`].
    pub(crate) fn get(&self, name: &str) -> Result<Vec<u8>, Error> {
        let object = self.open(name)?;
        let failed = |error| Error::io("read", &object.path, error);
        let len = usize::try_from(object.len().map_err(failed)?)
            .map_err(|error| failed(io::Error::other(error)))?;
        let mut bytes = vec![0; len];
        object.read_exact_at(&mut bytes, 0).map_err(failed)?;
        Ok(bytes)
    }
}

/// An object that is read.
#[derive(Debug)]
pub(crate) struct Object {
    file: Box<dyn ReadFile>,
    path: PathBuf,
}

impl Object {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Objects as files under one directory.
#[derive(Debug, Clone)]
pub(crate) struct FileObjects {
    files: Arc<dyn Files>,
    root: PathBuf,
}

impl FileObjects {
    /// The objects under `root`, which exists.
    pub(crate) fn new(files: Arc<dyn Files>, root: &Path) -> Self {
        Self {
            files,
            root: root.to_owned(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn dir_of(&self, path: &Path) -> PathBuf {
        path.parent().unwrap_or(&self.root).to_owned()
    }
}

impl Objects for FileObjects {
    fn create(&self, name: &str) -> Result<Box<dyn ObjectWriter>, Error> {
        let path = self.path(name);
        let dir = self.dir_of(&path);
        self.files
            .create_dir(&dir)
            .map_err(|error| Error::io("create", &dir, error))?;
        let file = self
            .files
            .create(&path)
            .map_err(|error| Error::io("create", &path, error))?;
        Ok(Box::new(FileWriter {
            files: Arc::clone(&self.files),
            file,
            path,
            dir,
            is_finished: false,
        }))
    }

    fn open(&self, name: &str) -> Result<Object, Error> {
        let path = self.path(name);
        let file = self
            .files
            .open(&path)
            .map_err(|error| Error::io("open", &path, error))?;
        Ok(Object { file, path })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let dir = self.path(prefix);
        match self.files.list(&dir) {
            Ok(names) => Ok(names),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io("list", &dir, error)),
        }
    }

    fn delete(&self, prefix: &str, names: &[&str]) -> Result<(), Error> {
        let dir = self.path(prefix);
        for name in names {
            let path = dir.join(name);
            match self.files.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        match self.files.sync_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("sync", &dir, error));
            }
            Ok(()) | Err(_) => {}
        }
        // A directory is only there because of its objects; one that is not empty stays.
        drop(self.files.remove_dir(&dir));
        Ok(())
    }

    fn describe(&self, name: &str) -> PathBuf {
        self.path(name)
    }
}

/// A file on its way to being an object.
#[derive(Debug)]
struct FileWriter {
    files: Arc<dyn Files>,
    file: Box<dyn WriteFile>,
    path: PathBuf,
    dir: PathBuf,
    is_finished: bool,
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl ObjectWriter for FileWriter {
    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.file
            .flush()
            .and_then(|()| self.file.sync())
            .map_err(|error| Error::io("sync", &self.path, error))?;
        self.files
            .sync_dir(&self.dir)
            .map_err(|error| Error::io("sync", &self.dir, error))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            // Room on a full disk comes back at once; should it fail, the next start deletes what nobody refers to.
            drop(self.files.remove(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Fault, FaultyFiles};

    fn objects(files: &FaultyFiles) -> Arc<dyn Objects> {
        let process: Arc<dyn Files> = Arc::new(files.process());
        process.create_dir(Path::new("/data")).unwrap();
        Arc::new(FileObjects::new(process, Path::new("/data")))
    }

    #[test]
    fn a_finished_object_survives_and_a_name_is_given_once() {
        let files = FaultyFiles::new(1);
        let before = objects(&files);
        before.put_new("a/1/x", b"hello").unwrap();
        let taken = before.put_new("a/1/x", b"other").unwrap_err();
        assert!(matches!(taken, Error::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists));
        files.crash();
        let after = objects(&files);
        assert_eq!(after.get("a/1/x").unwrap(), b"hello");
        let mut part = [0; 2];
        let object = after.open("a/1/x").unwrap();
        object.read_exact_at(&mut part, 3).unwrap();
        assert_eq!((&part, object.len().unwrap()), (b"lo", 5));
        assert_eq!(after.list("a/").unwrap(), ["1"]);
        assert!(after.list("b/").unwrap().is_empty());
    }

    #[test]
    fn an_object_that_is_not_finished_is_not_there() {
        let files = FaultyFiles::new(1);
        let objects = objects(&files);
        let mut writer = objects.create("a/x").unwrap();
        writer.write_all(b"half").unwrap();
        drop(writer);
        assert!(objects.list("a/").unwrap().is_empty());
        files.fail_at(files.n_operations() + 2, Fault::Io);
        assert!(objects.put_new("a/y", b"1").is_err(), "the sync fails");
        assert!(objects.list("a/").unwrap().is_empty());
    }

    #[test]
    fn what_is_deleted_stays_away_and_deleting_again_is_no_error() {
        let files = FaultyFiles::new(1);
        let before = objects(&files);
        for name in ["b/1/x", "b/1/y", "b/2/x"] {
            before.put_new(name, b"1").unwrap();
        }
        for _ in 0..2 {
            before.delete("b/1/", &["x", "y", "z"]).unwrap();
        }
        files.crash();
        assert_eq!(objects(&files).list("b/").unwrap(), ["2"]);
    }
}
