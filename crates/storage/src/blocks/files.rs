//! The files of a block as objects: how they are named, written, opened and removed.

use std::io::{self, Write};
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

/// A file of a block on its way. It comes into being if there is a byte.
#[derive(Debug)]
pub(crate) struct Sink {
    writer: ObjectWriter,
    is_empty: bool,
}

impl Sink {
    fn new(objects: &Objects, id: BlockId, name: &str) -> Self {
        Self {
            writer: objects.create(&name_of(id, name)),
            is_empty: true,
        }
    }

    /// Makes it durable, if there is a byte.
    fn finish(self) -> Result<(), Error> {
        if self.is_empty {
            return Ok(());
        }
        self.writer.finish()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_empty &= bytes.is_empty();
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A block being written. Dropped before it is finished, nothing is left of it.
#[derive(Debug)]
pub(crate) struct NewBlock {
    objects: Arc<Objects>,
    id: BlockId,
    writer: BlockWriter<Sink>,
}

impl NewBlock {
    /// Begins the files of a block whose number was never used.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn begin(objects: &Arc<Objects>, id: BlockId) -> Result<Self, Error> {
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
pub(crate) fn read_manifest(objects: &Objects, id: BlockId) -> Result<Manifest, Error> {
    let name = name_of(id, MANIFEST);
    Manifest::parse(&objects.describe(&name), &objects.get(&name)?)
}

/// Opens a block.
///
/// # Errors
/// [`Error::Damaged`] if it is not what it should be, [`Error::UnknownVersion`], [`Error::Io`].
pub(crate) fn open_block(objects: &Objects, id: BlockId) -> Result<Block, Error> {
    let manifest = read_manifest(objects, id)?;
    let file =
        |name| -> Result<Arc<dyn RangeRead>, Error> { Ok(Arc::new(objects.open(&name_of(id, name))?)) };
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
pub(crate) fn remove_block(objects: &Objects, id: BlockId) -> Result<(), Error> {
    objects.delete(
        &format!("{BLOCKS_PREFIX}{}/", id.0),
        &[SAMPLES, SERIES, HISTOGRAMS, MANIFEST],
    )
}

/// The blocks that have a folder.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn list_blocks(objects: &Objects) -> Result<Vec<BlockId>, Error> {
    let names = objects.list(BLOCKS_PREFIX)?;
    let mut ids: Vec<BlockId> = names
        .iter()
        .filter_map(|name| Some(BlockId(name.parse().ok()?)))
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Where the folder of a block is.
pub(crate) fn block_path(objects: &Objects, id: BlockId) -> PathBuf {
    objects.describe(&format!("{BLOCKS_PREFIX}{}", id.0))
}

fn name_of(id: BlockId, file: &str) -> String {
    format!("{BLOCKS_PREFIX}{}/{file}", id.0)
}

impl RangeRead for Object {
    fn path(&self) -> &Path {
        self.path()
    }

    fn len(&self) -> u64 {
        self.len()
    }

    fn read_at(&self, offset: u64, n_bytes: usize) -> io::Result<Bytes> {
        self.read_at(offset, n_bytes)
    }
}
