//! Named objects: what blocks and the block catalog are made of.
//!
//! They lie in an [`ObjectStore`], of whatever kind: [`FileStore`] is that of a data directory. An object is written
//! once, as a whole or from its beginning to its end, and is durable when the call that ends it returns. It is never
//! changed, appended to or renamed afterwards, only read and deleted. Putting refuses a name that exists; that is the
//! one thing on which two writers can agree, on a local disk as on S3. Listing is for start-up and inspection only.
//!
//! Names are relative paths with `/`: `blocks/7/samples.parquet`. Flushes, merges and scans have threads of their own,
//! so the futures of the store are polled to their end on the thread that asks.

use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::Files;
use object_store::path::Path as Location;
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload,
};

use super::file_store::FileStore;
use crate::Error;
use crate::block::emptied;

/// Bytes of a part of a large object, which are held until they are sent. S3 wants five times as many of all parts but the
/// last.
const PART_BYTES: usize = 1 << 20;

/// A place that keeps objects.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Where people find them.
    root: PathBuf,
}

impl Objects {
    /// The objects of a store, which people know as `root`.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, root: &Path) -> Self {
        Self {
            store,
            root: root.to_owned(),
        }
    }

    /// The objects that are files under `root`, which exists.
    pub(crate) fn of_files(files: &Arc<dyn Files>, root: &Path) -> Self {
        Self::new(Arc::new(FileStore::new(Arc::clone(files), root)), root)
    }

    /// Begins a new object. It counts only once [`ObjectWriter::finish`] has succeeded; dropped before, it is
    /// removed if possible, and whatever is left of it must be deleted by somebody who lists.
    pub(crate) fn create(&self, name: &str) -> ObjectWriter {
        ObjectWriter {
            store: Arc::clone(&self.store),
            location: Location::from(name),
            path: self.describe(name),
            part: Vec::new(),
            upload: None,
        }
    }

    /// Makes a whole object, durably.
    ///
    /// # Errors
    /// [`Error::Io`], with [`io::ErrorKind::AlreadyExists`] if there is an object of this name.
    pub(crate) fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut writer = self.create(name);
        writer.part.extend(bytes);
        writer.finish()
    }

    /// Opens an object for reading by range.
    ///
    /// # Errors
    /// [`Error::Io`], with [`io::ErrorKind::NotFound`] if there is none.
    pub(crate) fn open(&self, name: &str) -> Result<Object, Error> {
        let (location, path) = (Location::from(name), self.describe(name));
        let meta =
            wait(self.store.head(&location)).map_err(|error| Error::io("open", &path, into_io(error)))?;
        Ok(Object {
            store: Arc::clone(&self.store),
            len: meta.size,
            location,
            path,
        })
    }

    /// A whole object.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn get(&self, name: &str) -> Result<Bytes, Error> {
        let location = Location::from(name);
        let read = wait(async { self.store.get(&location).await?.bytes().await });
        read.map_err(|error| Error::io("read", &self.describe(name), into_io(error)))
    }

    /// The names directly under a prefix that ends with `/`, without it, sorted; a name that has more below it
    /// stands for all of that. Nothing if there is nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let found = wait(self.store.list_with_delimiter(Some(&Location::from(prefix))));
        let found = found.map_err(|error| Error::io("list", &self.describe(prefix), into_io(error)))?;
        let objects = found.objects.iter().map(|object| &object.location);
        let names = found.common_prefixes.iter().chain(objects);
        let mut names: Vec<String> = names
            .filter_map(|location| Some(location.filename()?.to_owned()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Deletes objects under one prefix that ends with `/`, durably; those that do not exist count as deleted.
    ///
    /// # Errors
    /// [`Error::Io`]; some may be deleted then.
    pub(crate) fn delete(&self, prefix: &str, names: &[&str]) -> Result<(), Error> {
        let locations: Vec<_> = names
            .iter()
            .map(|name| Ok(Location::from(format!("{prefix}{name}"))))
            .collect();
        let deleted = self.store.delete_stream(stream::iter(locations).boxed());
        let is_missing = |error: &object_store::Error| matches!(error, object_store::Error::NotFound { .. });
        let failed = deleted
            .try_filter(|_| std::future::ready(false))
            .filter_map(|result| {
                let failed = result.err().filter(|error| !is_missing(error));
                std::future::ready(failed)
            });
        let failures: Vec<object_store::Error> = wait(failed.collect());
        match failures.into_iter().next() {
            Some(error) => Err(Error::io("remove", &self.describe(prefix), into_io(error))),
            None => Ok(()),
        }
    }

    /// Where an object would be, for people.
    pub(crate) fn describe(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// An object that is read.
#[derive(Debug)]
pub(crate) struct Object {
    store: Arc<dyn ObjectStore>,
    location: Location,
    path: PathBuf,
    len: u64,
}

impl Object {
    /// What errors call it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The `n_bytes` from `offset` on.
    pub(crate) fn read_at(&self, offset: u64, n_bytes: usize) -> io::Result<Bytes> {
        let end = offset.checked_add(n_bytes as u64).filter(|end| *end <= self.len);
        let Some(end) = end else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if n_bytes == 0 {
            return Ok(Bytes::new());
        }
        let bytes = wait(self.store.get_range(&self.location, offset..end)).map_err(into_io)?;
        if bytes.len() != n_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }
}

/// A new object on its way. What is small is put as a whole in the end; of what is large, parts are sent on.
#[derive(Debug)]
pub(crate) struct ObjectWriter {
    store: Arc<dyn ObjectStore>,
    location: Location,
    path: PathBuf,
    part: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl ObjectWriter {
    /// Makes it durable.
    ///
    /// # Errors
    /// [`Error::Io`], with [`io::ErrorKind::AlreadyExists`] if there is an object of this name; the object does not
    /// count then.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let finished = match &self.upload {
            None => self.put(),
            Some(_) => self.send_part().and_then(|()| self.complete()),
        };
        finished.map_err(|error| Error::io("write", &self.path, into_io(error)))
    }

    fn put(&mut self) -> object_store::Result<()> {
        let whole = PutPayload::from(std::mem::take(&mut self.part));
        let options = PutOptions::from(PutMode::Create);
        wait(self.store.put_opts(&self.location, whole, options)).map(drop)
    }

    /// Sends on what was gathered.
    fn send_part(&mut self) -> object_store::Result<()> {
        let part = Bytes::from(std::mem::take(&mut self.part));
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let begun = self
                    .store
                    .put_multipart_opts(&self.location, PutMultipartOptions::default());
                none.insert(wait(begun)?)
            }
        };
        if !part.is_empty() {
            wait(upload.put_part(PutPayload::from(part.clone())))?;
        }
        self.part = emptied(part);
        Ok(())
    }

    fn complete(&mut self) -> object_store::Result<()> {
        if let Some(upload) = &mut self.upload {
            wait(upload.complete())?;
        }
        self.upload = None;
        Ok(())
    }
}

impl Write for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.extend(bytes);
        if self.part.len() >= PART_BYTES {
            self.send_part().map_err(into_io)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // There is nothing to be seen of an object before it is finished.
        Ok(())
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        if let Some(upload) = &mut self.upload {
            // Should it fail, the next start deletes what nobody refers to.
            drop(wait(upload.abort()));
        }
    }
}

/// Polls a future to its end on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Asleep(Thread);
    impl Wake for Asleep {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Asleep(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

/// What went wrong, as the rest of the crate knows it: by the kinds of errors of files.
fn into_io(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { source, .. } => io::Error::new(io::ErrorKind::NotFound, source),
        object_store::Error::AlreadyExists { source, .. } => {
            io::Error::new(io::ErrorKind::AlreadyExists, source)
        }
        object_store::Error::Generic { source, .. } => source
            .downcast::<io::Error>()
            .map_or_else(io::Error::other, |error| *error),
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Fault, FaultyFiles};

    fn objects(files: &FaultyFiles) -> Objects {
        let process: Arc<dyn Files> = Arc::new(files.process());
        process.create_dir(Path::new("/data")).unwrap();
        Objects::of_files(&process, Path::new("/data"))
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
        assert_eq!(after.get("a/1/x").unwrap(), "hello");
        let object = after.open("a/1/x").unwrap();
        assert_eq!(
            (&object.read_at(3, 2).unwrap()[..], object.len()),
            (&b"lo"[..], 5)
        );
        for (offset, n_bytes) in [(4, 2), (6, 0), (u64::MAX, 1)] {
            let error = object.read_at(offset, n_bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert_eq!(object.read_at(5, 0).unwrap(), "");
        assert_eq!(after.list("a/").unwrap(), ["1"]);
        assert!(after.list("b/").unwrap().is_empty());
    }

    #[test]
    fn an_object_that_is_not_finished_is_not_there() {
        let files = FaultyFiles::new(1);
        let objects = objects(&files);
        let mut writer = objects.create("a/x");
        writer.write_all(&vec![1; PART_BYTES]).unwrap();
        assert_eq!(objects.list("a/").unwrap(), ["x"], "a part was sent");
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
