//! Writing a block.

use std::fmt;
use std::io::Write;

use model::LaneKind;

use super::manifest::Manifest;
use super::order::StreamKey;
use crate::{Error, StreamBuffer};

/// Where the files of a block go. Whoever hands them in buffers, names and syncs them.
#[derive(Debug)]
pub struct BlockSinks<W> {
    /// `samples.parquet`.
    pub samples: W,
    /// `series.parquet`.
    pub series: W,
}

/// Writes the streams of a block, one after the other.
///
/// Memory: the row group under way (some tens of megabytes at most, whatever the block's size), the stream at hand,
/// and per stream of the block some 4 bytes per label for `series.parquet`, which is written last.
pub struct BlockWriter<W: Write + Send> {
    sinks: BlockSinks<W>,
}

impl<W: Write + Send> BlockWriter<W> {
    /// A block without any stream.
    ///
    /// # Errors
    /// Those of the sinks.
    pub fn new(sinks: BlockSinks<W>) -> Result<Self, Error> {
        Ok(Self { sinks })
    }

    /// Adds a stream: all its samples in the time range of the block. `lanes` are the names of the lanes of
    /// `samples`, parallel to them, each once, in any order: the writer sorts them. Lanes without a sample are
    /// left out, and so is a stream of such lanes.
    ///
    /// # Errors
    /// [`Error::Unblockable`] when there are native histograms among the samples: their window must stay where it
    /// is. [`Error::Io`] and [`Error::Parquet`] otherwise. After an error the block must be given up.
    ///
    /// # Panics
    /// If `key` is not greater than that of the stream before, or the numbers of lanes differ.
    pub fn write_stream(
        &mut self,
        key: StreamKey<'_>,
        lanes: &[LaneKind<'_>],
        samples: &StreamBuffer,
    ) -> Result<(), Error> {
        let _ = (key, lanes, samples);
        unimplemented!("follows")
    }

    /// Writes what is left and gives back the sinks, and the manifest to be stored after they are synced; `None`
    /// when no stream had a sample: then there is no block.
    ///
    /// # Errors
    /// As [`Self::write_stream`].
    pub fn finish(self) -> Result<(BlockSinks<W>, Option<Manifest>), Error> {
        let _ = self.sinks;
        unimplemented!("follows")
    }
}

impl<W: Write + Send> fmt::Debug for BlockWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockWriter").finish_non_exhaustive()
    }
}
