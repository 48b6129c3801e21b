//! The files of a block as objects: how they are named, written, opened and removed.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::objects::{Object, ObjectWriter, Objects};
use super::state::{BlockEntry, BlockId};
use crate::Error;
use crate::block::{Block, BlockFiles, BlockSinks, BlockWriter, Manifest, RangeRead};

/// Where the folders of blocks are.
pub(crate) const BLOCKS_PREFIX: &str = "blocks/";

const SAMPLES: &str = "samples.parquet";
const SERIES: &str = "series.parquet";
const HISTOGRAMS: &str = "histograms.parquet";
const MANIFEST: &str = "manifest.json";

/// Bytes collected before they are handed to a file.
const BUFFER_BYTES: usize = 256 << 10;

/// A file of a block on its way. It comes into being with its first byte.
#[derive(Debug)]
pub(crate) struct Sink {
    objects: Arc<dyn Objects>,
    name: String,
    writer: Option<BufWriter<Box<dyn ObjectWriter>>>,
}

impl Sink {
    fn new(objects: &Arc<dyn Objects>, id: BlockId, name: &str) -> Self {
        Self {
            objects: Arc::clone(objects),
            name: name_of(id, name),
            writer: None,
        }
    }

    /// Makes it durable, if there is a byte.
    fn finish(self) -> Result<(), Error> {
        let Some(writer) = self.writer else {
            return Ok(());
        };
        let path = self.objects.describe(&self.name);
        let inner = writer
            .into_inner()
            .map_err(|error| Error::io("write", &path, error.into_error()))?;
        inner.finish()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let object = self.objects.create(&self.name).map_err(into_io)?;
                none.insert(BufWriter::with_capacity(BUFFER_BYTES, object))
            }
        };
        writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

/// What the disk said.
fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io { source, .. } => source,
        error => io::Error::other(error),
    }
}

/// A block being written. Dropped before it is finished, nothing is left of it.
#[derive(Debug)]
pub(crate) struct NewBlock {
    objects: Arc<dyn Objects>,
    id: BlockId,
    writer: BlockWriter<Sink>,
}

impl NewBlock {
    /// Begins the files of a block whose number was never used.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn begin(objects: &Arc<dyn Objects>, id: BlockId) -> Result<Self, Error> {
        let sinks = BlockSinks {
            samples: Sink::new(objects, id, SAMPLES),
            series: Sink::new(objects, id, SERIES),
            histograms: Sink::new(objects, id, HISTOGRAMS),
        };
        Ok(Self {
            objects: Arc::clone(objects),
            id,
            writer: BlockWriter::new(sinks)?,
        })
    }

    /// What takes its streams.
    pub(crate) fn writer(&mut self) -> &mut BlockWriter<Sink> {
        &mut self.writer
    }

    /// Makes it durable: the files, then the manifest. None if nothing was written; then there is no block.
    ///
    /// # Errors
    /// [`Error::Io`]; the block does not count then.
    pub(crate) fn finish(self) -> Result<Option<BlockEntry>, Error> {
        let Self { objects, id, writer } = self;
        let (sinks, manifest) = writer.finish()?;
        let Some(manifest) = manifest else {
            return Ok(None);
        };
        for sink in [sinks.samples, sinks.series, sinks.histograms] {
            sink.finish()?;
        }
        let json = manifest.to_json();
        objects.put_new(&name_of(id, MANIFEST), &json)?;
        Ok(Some(BlockEntry {
            id,
            oldest_source: id,
            newest_source: id,
            level: 0,
            first_ms: manifest.first_ms,
            last_ms: manifest.last_ms,
            n_series: manifest.n_series,
            n_samples: manifest.n_samples + manifest.n_histograms,
            bytes: manifest.n_bytes() + json.len() as u64,
            deletions_done: 0,
        }))
    }
}

/// What a block says of itself.
///
/// # Errors
/// As [`open_block`].
pub(crate) fn read_manifest(objects: &dyn Objects, id: BlockId) -> Result<Manifest, Error> {
    let name = name_of(id, MANIFEST);
    Manifest::parse(&objects.describe(&name), &objects.get(&name)?)
}

/// Opens a block.
///
/// # Errors
/// [`Error::Damaged`] if it is not what it should be, [`Error::UnknownVersion`], [`Error::Io`].
pub(crate) fn open_block(objects: &dyn Objects, id: BlockId) -> Result<Block, Error> {
    let manifest = read_manifest(objects, id)?;
    let file = |name| -> Result<Arc<dyn RangeRead>, Error> {
        Ok(Arc::new(BlockFile::open(objects, &name_of(id, name))?))
    };
    let files = BlockFiles {
        samples: file(SAMPLES)?,
        series: file(SERIES)?,
        histograms: manifest.histograms.map(|_| file(HISTOGRAMS)).transpose()?,
    };
    Block::open(manifest, files)
}

/// Removes the files of a block; those that are not there count as removed. The manifest goes last, so that a folder
/// with one is always whole or about to go.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn remove_block(objects: &dyn Objects, id: BlockId) -> Result<(), Error> {
    objects.delete(
        &format!("{BLOCKS_PREFIX}{}/", id.0),
        &[SAMPLES, SERIES, HISTOGRAMS, MANIFEST],
    )
}

/// The blocks that have a folder.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn list_blocks(objects: &dyn Objects) -> Result<Vec<BlockId>, Error> {
    let names = objects.list(BLOCKS_PREFIX)?;
    let mut ids: Vec<BlockId> = names
        .iter()
        .filter_map(|name| Some(BlockId(name.parse().ok()?)))
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Where the folder of a block is.
pub(crate) fn block_path(objects: &dyn Objects, id: BlockId) -> PathBuf {
    objects.describe(&format!("{BLOCKS_PREFIX}{}", id.0))
}

fn name_of(id: BlockId, file: &str) -> String {
    format!("{BLOCKS_PREFIX}{}/{file}", id.0)
}

/// A file of a block.
#[derive(Debug)]
struct BlockFile {
    object: Object,
    path: PathBuf,
    len: u64,
}

impl BlockFile {
    fn open(objects: &dyn Objects, name: &str) -> Result<Self, Error> {
        let object = objects.open(name)?;
        let path = objects.describe(name);
        let len = object.len().map_err(|error| Error::io("read", &path, error))?;
        Ok(Self { object, path, len })
    }
}

impl RangeRead for BlockFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, n_bytes: usize) -> io::Result<Bytes> {
        let is_within = offset
            .checked_add(n_bytes as u64)
            .is_some_and(|end| end <= self.len);
        if !is_within {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; n_bytes];
        self.object.read_exact_at(&mut bytes, offset)?;
        Ok(Bytes::from(bytes))
    }
}
