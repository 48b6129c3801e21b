//! Reading a block.

use std::ops::Range;
use std::sync::Arc;

use model::{LabelColumn, Labels, LaneKind, Matcher, TimeRange};

use super::manifest::Manifest;
use super::range_read::RangeRead;
use crate::{Error, Selection, Source, StreamBuffer};

/// The files of a block.
#[derive(Debug, Clone)]
pub struct BlockFiles {
    /// `samples.parquet`.
    pub samples: Arc<dyn RangeRead>,
    /// `series.parquet`.
    pub series: Arc<dyn RangeRead>,
}

/// An open block: its manifest and its files. Small; nothing is decoded yet.
#[derive(Debug)]
pub struct Block {
    manifest: Manifest,
    files: BlockFiles,
}

/// The decoded table of series of a block, with the places of its pages: what is worth caching.
///
/// Streams are numbered in the order of the block.
#[derive(Debug)]
pub struct BlockCatalog {}

/// Answers queries from one block. Its selections keep the block's files open.
#[derive(Debug)]
pub struct BlockSource {
    block: Arc<Block>,
    catalog: Arc<BlockCatalog>,
}

impl Block {
    /// A block of these files. Reads nothing but their lengths.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a length is not that of the manifest.
    pub fn open(manifest: Manifest, files: BlockFiles) -> Result<Self, Error> {
        Ok(Self { manifest, files })
    }

    /// What it holds.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Decodes the table of series. Takes about 1 µs per stream and a read of `series.parquet` and of the footer of
    /// `samples.parquet`: to be kept by the caller, which counts its [`BlockCatalog::heap_bytes`].
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub fn load_catalog(&self) -> Result<BlockCatalog, Error> {
        let _ = &self.files;
        unimplemented!("follows")
    }

    /// Reads every byte: checksums, counts, and that rows are sorted as the format says.
    ///
    /// # Errors
    /// The first thing that is wrong, as [`Error::Damaged`]; [`Error::Io`].
    pub fn verify(&self) -> Result<(), Error> {
        unimplemented!("follows")
    }

    /// Reads the samples of one stream in `range` (left-open) into `buffer`, replacing what it held: all lanes, in
    /// the order of [`BlockCatalog::lane`]. How compaction reads.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    ///
    /// # Panics
    /// If there is no such stream, or the catalog is another block's.
    pub fn read_stream(
        &self,
        catalog: &BlockCatalog,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut StreamBuffer,
    ) -> Result<(), Error> {
        let _ = (catalog, stream_idx, range, buffer);
        unimplemented!("follows")
    }
}

impl BlockCatalog {
    /// Number of streams.
    #[must_use]
    pub fn n_streams(&self) -> usize {
        unimplemented!("follows")
    }

    /// The base metric name of a stream.
    ///
    /// # Panics
    /// If there is no such stream; so do the following.
    #[must_use]
    pub fn base(&self, stream_idx: usize) -> &str {
        let _ = stream_idx;
        unimplemented!("follows")
    }

    /// The labels of a stream's entity; puts them together, so not for every comparison.
    #[must_use]
    pub fn entity(&self, stream_idx: usize) -> Labels {
        let _ = stream_idx;
        unimplemented!("follows")
    }

    /// Positions of a stream's series in the block: one per lane.
    #[must_use]
    pub fn series(&self, stream_idx: usize) -> Range<usize> {
        let _ = stream_idx;
        unimplemented!("follows")
    }

    /// The lane that a series is, by its position in the block.
    #[must_use]
    pub fn lane(&self, series_idx: usize) -> LaneKind<'_> {
        let _ = series_idx;
        unimplemented!("follows")
    }

    /// How many samples a series has.
    #[must_use]
    pub fn n_samples(&self, series_idx: usize) -> u64 {
        let _ = series_idx;
        unimplemented!("follows")
    }

    /// One label of all series.
    #[must_use]
    pub fn label_column(&self, name: &str) -> LabelColumn {
        let _ = name;
        unimplemented!("follows")
    }

    /// Bytes it has asked of the allocator.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        unimplemented!("follows")
    }
}

impl BlockSource {
    /// Queries over `block`, whose catalog is `catalog`.
    #[must_use]
    pub fn new(block: Arc<Block>, catalog: Arc<BlockCatalog>) -> Self {
        Self { block, catalog }
    }
}

impl Source for BlockSource {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Arc<dyn Selection>, Error> {
        let _ = (matchers, range, &self.block, &self.catalog);
        unimplemented!("follows")
    }

    fn label_names(&self) -> Result<Vec<Arc<str>>, Error> {
        unimplemented!("follows")
    }

    fn label_values(&self, name: &str) -> Result<Vec<Arc<str>>, Error> {
        let _ = name;
        unimplemented!("follows")
    }
}
