//! Making pages.

use std::fmt;
use std::io;

use super::header::{Encoding, PageHeader};
use super::levels::Runs;
use super::lists::Lists;
use super::{delta, floats};

/// zstd's level for samples: the higher ones take several times as long for two percent (`docs/format/block.md`).
pub(in crate::block) const SAMPLES_LEVEL: i32 = 3;

/// For native histograms: 13 percent less in three times the time, and there are few of them.
pub(in crate::block) const HISTOGRAMS_LEVEL: i32 = 9;

/// Makes pages, and keeps its memory for the next one.
pub(in crate::block) struct PageEncoder {
    compressor: zstd::bulk::Compressor<'static>,
    values: Vec<u8>,
    other_values: Vec<u8>,
    stored: Vec<u8>,
    other_stored: Vec<u8>,
    levels: Vec<u8>,
}

/// Which rows of a page have which values.
#[derive(Debug, Clone, Copy)]
pub(in crate::block) enum Levels<'a> {
    /// Each row has one.
    All,
    /// Some rows have one.
    Some(&'a Runs),
    /// Each row has a list.
    Lists(&'a Lists),
}

/// What a page became.
#[derive(Debug, Clone, Copy)]
pub(in crate::block) struct EncodedPage {
    /// With its header.
    pub(in crate::block) n_bytes: usize,
    /// With its header, before compression.
    pub(in crate::block) uncompressed_bytes: usize,
    pub(in crate::block) n_rows: usize,
    /// Values, and what is missing of them.
    pub(in crate::block) n_entries: usize,
    pub(in crate::block) n_nulls: usize,
    pub(in crate::block) encoding: Encoding,
}

impl PageEncoder {
    /// One that compresses at this level of zstd.
    pub(in crate::block) fn new(level: i32) -> io::Result<Self> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(level)?,
            values: Vec::new(),
            other_values: Vec::new(),
            stored: Vec::new(),
            other_stored: Vec::new(),
            levels: Vec::new(),
        })
    }

    /// Appends a page of integers to `bytes`.
    pub(in crate::block) fn push_integers(
        &mut self,
        values: &[i64],
        levels: Levels<'_>,
        bytes: &mut Vec<u8>,
    ) -> io::Result<EncodedPage> {
        self.values.clear();
        let encoding = if values.is_empty() {
            // Other readers take no header of integers for nothing at all.
            Encoding::Plain
        } else {
            delta::encode(values, &mut self.values);
            Encoding::Delta
        };
        compress(&mut self.compressor, &self.values, &mut self.stored)?;
        self.finish(values.len(), levels, encoding, bytes)
    }

    /// Appends a page of floats to `bytes`, in the encoding that makes it smaller.
    pub(in crate::block) fn push_floats(
        &mut self,
        values: &[f64],
        levels: Levels<'_>,
        bytes: &mut Vec<u8>,
    ) -> io::Result<EncodedPage> {
        self.values.clear();
        floats::encode_plain(values, &mut self.values);
        compress(&mut self.compressor, &self.values, &mut self.stored)?;
        let mut encoding = Encoding::Plain;
        if !values.is_empty() {
            self.other_values.clear();
            floats::encode_split(values, &mut self.other_values);
            compress(&mut self.compressor, &self.other_values, &mut self.other_stored)?;
            if self.other_stored.len() < self.stored.len() {
                std::mem::swap(&mut self.values, &mut self.other_values);
                std::mem::swap(&mut self.stored, &mut self.other_stored);
                encoding = Encoding::Split;
            }
        }
        self.finish(values.len(), levels, encoding, bytes)
    }

    fn finish(
        &mut self,
        n_values: usize,
        levels: Levels<'_>,
        encoding: Encoding,
        bytes: &mut Vec<u8>,
    ) -> io::Result<EncodedPage> {
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        self.levels.clear();
        let (mut n_rows, mut n_entries, mut n_repetition) = (n_values, n_values, 0);
        match levels {
            Levels::All => {}
            Levels::Some(runs) => {
                assert_eq!(runs.n_present(), n_values, "each present row has a value");
                (n_rows, n_entries) = (runs.n_rows(), runs.n_rows());
                runs.encode(&mut self.levels);
            }
            Levels::Lists(lists) => {
                assert_eq!(lists.n_values(), n_values, "the lists hold the values");
                (n_rows, n_entries) = (lists.n_rows(), lists.n_entries());
                n_repetition = lists.encode(&mut self.levels);
            }
        }
        let is_compressed = self.stored.len() < self.values.len();
        let stored = if is_compressed { &self.stored } else { &self.values };
        let header = PageHeader {
            uncompressed_bytes: u32::try_from(self.levels.len() + self.values.len()).map_err(too_large)?,
            stored_bytes: u32::try_from(self.levels.len() + stored.len()).map_err(too_large)?,
            n_rows: u32::try_from(n_rows).map_err(too_large)?,
            n_entries: u32::try_from(n_entries).map_err(too_large)?,
            n_nulls: u32::try_from(n_entries - n_values).map_err(too_large)?,
            encoding,
            level_bytes: u32::try_from(self.levels.len() - n_repetition).map_err(too_large)?,
            repetition_bytes: u32::try_from(n_repetition).map_err(too_large)?,
            is_compressed,
        };
        let start = bytes.len();
        header.encode(bytes);
        let header_bytes = bytes.len() - start;
        bytes.extend(&self.levels);
        bytes.extend(stored);
        Ok(EncodedPage {
            n_bytes: bytes.len() - start,
            uncompressed_bytes: header_bytes + self.levels.len() + self.values.len(),
            n_rows,
            n_entries,
            n_nulls: n_entries - n_values,
            encoding,
        })
    }
}

fn compress(
    compressor: &mut zstd::bulk::Compressor<'static>,
    values: &[u8],
    stored: &mut Vec<u8>,
) -> io::Result<()> {
    stored.clear();
    stored.reserve(zstd::zstd_safe::compress_bound(values.len()));
    compressor.compress_to_buffer(values, stored)?;
    Ok(())
}

impl fmt::Debug for PageEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageEncoder").finish_non_exhaustive()
    }
}
