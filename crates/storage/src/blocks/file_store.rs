//! An object store of files: what `object_store` asks for, over [`model::Files`].
//!
//! The one that comes with `object_store` (0.13) syncs neither files nor folders and writes to the real file system
//! only. Here an object is durable, with the folder that names it, when the call that makes it returns; and every
//! operation is one of the files that are handed in, which tests cut off or let fail one by one.
//!
//! Objects are written once: putting over one, copying and renaming are refused. Futures are ready when they are made:
//! whoever polls them does the work.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use model::{Files, ReadFile, WriteFile};
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
};

/// What errors call it.
const NAME: &str = "files";

type Result<T> = object_store::Result<T>;

/// Objects as files under one folder, which exists.
#[derive(Debug, Clone)]
pub(crate) struct FileStore {
    files: Arc<dyn Files>,
    root: PathBuf,
}

impl FileStore {
    /// The objects under `root`.
    pub(crate) fn new(files: Arc<dyn Files>, root: &Path) -> Self {
        Self {
            files,
            root: root.to_owned(),
        }
    }

    fn path(&self, location: &Location) -> PathBuf {
        self.root.join(location.as_ref())
    }

    /// Begins a file that must not exist.
    fn begin(&self, location: &Location) -> Result<NewFile> {
        let path = self.path(location);
        let dir = path.parent().unwrap_or(&self.root).to_owned();
        let begun = self
            .files
            .create_dir(&dir)
            .and_then(|()| self.files.create(&path));
        Ok(NewFile {
            files: Arc::clone(&self.files),
            file: begun.map_err(|error| told(location, error))?,
            location: location.clone(),
            path,
            dir,
            is_finished: false,
        })
    }

    /// Opens a file, with what is said of the object that it is.
    fn open(&self, location: &Location) -> Result<(Box<dyn ReadFile>, ObjectMeta)> {
        let opened = self.files.open(&self.path(location)).and_then(|file| {
            let size = file.len()?;
            Ok((file, size))
        });
        let (file, size) = opened.map_err(|error| told(location, error))?;
        let meta = ObjectMeta {
            location: location.clone(),
            // Files do not tell; nobody asks.
            last_modified: Default::default(),
            size,
            e_tag: None,
            version: None,
        };
        Ok((file, meta))
    }

    fn read(&self, location: &Location, options: &GetOptions) -> Result<GetResult> {
        let (file, meta) = self.open(location)?;
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).map_err(|error| generic(error.into()))?,
            None => 0..meta.size,
        };
        let length = if options.head { 0 } else { range.end - range.start };
        let length = usize::try_from(length).map_err(|error| generic(error.into()))?;
        let mut bytes = vec![0; length];
        if length > 0 {
            file.read_exact_at(&mut bytes, range.start)
                .map_err(|error| told(location, error))?;
        }
        let read = stream::once(std::future::ready(Ok(Bytes::from(bytes))));
        Ok(GetResult {
            payload: GetResultPayload::Stream(read.boxed()),
            meta,
            range,
            attributes: Default::default(),
        })
    }

    /// Removes files, then syncs the folders that had them and removes those that are empty. What was not there counts
    /// as removed.
    fn remove(&self, locations: Vec<Result<Location>>) -> Vec<Result<Location>> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        let mut removed = Vec::with_capacity(locations.len());
        for location in locations {
            let result = location.and_then(|location| {
                let path = self.path(&location);
                match self.files.remove(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(told(&location, error));
                    }
                    Ok(()) | Err(_) => {}
                }
                dirs.extend(path.parent().map(Path::to_owned));
                Ok(location)
            });
            let has_failed = result.is_err();
            removed.push(result);
            if has_failed {
                return removed;
            }
        }
        dirs.dedup();
        for dir in dirs {
            match self.files.sync_dir(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    removed.push(Err(generic(error.into())));
                }
                Ok(()) | Err(_) => {}
            }
            // A folder is only there because of its objects; one that is not empty stays.
            if dir != self.root {
                drop(self.files.remove_dir(&dir));
            }
        }
        removed
    }

    /// What is directly under a prefix: objects and folders.
    fn children(&self, prefix: Option<&Location>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let mut found = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
        };
        let names = match self.files.list(&self.path(&prefix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| told(&prefix, error))?,
        };
        for name in names {
            let child = prefix.clone().join(name);
            if self.files.list(&self.path(&child)).is_ok() {
                found.common_prefixes.push(child);
            } else {
                let (_, meta) = self.open(&child)?;
                found.objects.push(meta);
            }
        }
        Ok(found)
    }

    /// All objects under a prefix.
    fn descendants(&self, prefix: Option<&Location>) -> Result<Vec<ObjectMeta>> {
        let mut found = self.children(prefix)?;
        for folder in found.common_prefixes {
            found.objects.extend(self.descendants(Some(&folder))?);
        }
        Ok(found.objects)
    }
}

#[async_trait]
impl ObjectStore for FileStore {
    async fn put_opts(
        &self,
        location: &Location,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if options.mode != PutMode::Create {
            return Err(refused("putting over an object"));
        }
        let mut file = self.begin(location)?;
        file.write(&payload)?;
        file.finish()
    }

    async fn put_multipart_opts(
        &self,
        location: &Location,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(self.begin(location)?))
    }

    async fn get_opts(&self, location: &Location, options: GetOptions) -> Result<GetResult> {
        self.read(location, &options)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Location>>,
    ) -> BoxStream<'static, Result<Location>> {
        let store = self.clone();
        let removed = async move { stream::iter(store.remove(locations.collect().await)) };
        stream::once(removed).flatten().boxed()
    }

    fn list(&self, prefix: Option<&Location>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.descendants(prefix) {
            Ok(found) => stream::iter(found).map(Ok).boxed(),
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Location>) -> Result<ListResult> {
        self.children(prefix)
    }

    async fn copy_opts(&self, _: &Location, _: &Location, _: CopyOptions) -> Result<()> {
        Err(refused("copying"))
    }
}

impl fmt::Display for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "files under {}", self.root.display())
    }
}

/// A file on its way to being an object. Dropped before it is one, it is removed if possible; whatever is left of it
/// must be deleted by somebody who lists.
#[derive(Debug)]
struct NewFile {
    files: Arc<dyn Files>,
    file: Box<dyn WriteFile>,
    location: Location,
    path: PathBuf,
    dir: PathBuf,
    is_finished: bool,
}

impl NewFile {
    fn write(&mut self, payload: &PutPayload) -> Result<()> {
        for bytes in payload {
            self.file
                .write_all(bytes)
                .map_err(|error| told(&self.location, error))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<PutResult> {
        self.file
            .flush()
            .and_then(|()| self.file.sync())
            .and_then(|()| self.files.sync_dir(&self.dir))
            .map_err(|error| told(&self.location, error))?;
        self.is_finished = true;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }
}

#[async_trait]
impl MultipartUpload for NewFile {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let written = self.write(&payload);
        Box::pin(std::future::ready(written))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.finish()
    }

    async fn abort(&mut self) -> Result<()> {
        self.files
            .remove(&self.path)
            .map_err(|error| told(&self.location, error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // Room on a full disk comes back at once; should it fail, the next start deletes what nobody refers to.
            drop(self.files.remove(&self.path));
        }
    }
}

/// What the disk said of an object, in the words of `object_store`.
fn told(location: &Location, error: io::Error) -> object_store::Error {
    let path = location.to_string();
    match error.kind() {
        io::ErrorKind::NotFound => object_store::Error::NotFound {
            path,
            source: error.into(),
        },
        io::ErrorKind::AlreadyExists => object_store::Error::AlreadyExists {
            path,
            source: error.into(),
        },
        _ => generic(error.into()),
    }
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
    object_store::Error::Generic { store: NAME, source }
}

fn refused(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: NAME.to_owned(),
    }
}
