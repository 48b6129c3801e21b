//! Making pages.

use std::fmt;
use std::io;

use super::header::{Encoding, PageHeader};
use super::levels::Runs;
use super::{delta, floats};

/// zstd's level: the higher ones take several times as long for two percent (`docs/format/block.md`).
const COMPRESSION_LEVEL: i32 = 3;

/// Makes pages, and keeps its memory for the next one.
pub(in crate::block) struct PageEncoder {
    compressor: zstd::bulk::Compressor<'static>,
    values: Vec<u8>,
    other_values: Vec<u8>,
    stored: Vec<u8>,
    other_stored: Vec<u8>,
    levels: Vec<u8>,
}

/// What a page became.
#[derive(Debug, Clone, Copy)]
pub(in crate::block) struct EncodedPage {
    /// With its header.
    pub(in crate::block) n_bytes: usize,
    /// With its header, before compression.
    pub(in crate::block) uncompressed_bytes: usize,
    pub(in crate::block) encoding: Encoding,
}

impl PageEncoder {
    pub(in crate::block) fn new() -> io::Result<Self> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?,
            values: Vec::new(),
            other_values: Vec::new(),
            stored: Vec::new(),
            other_stored: Vec::new(),
            levels: Vec::new(),
        })
    }

    /// Appends a page of integers to `bytes`: `runs` says which rows have one, all if it is `None`.
    pub(in crate::block) fn push_integers(
        &mut self,
        values: &[i64],
        runs: Option<&Runs>,
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
        self.finish(values.len(), runs, encoding, bytes)
    }

    /// Appends a page of floats to `bytes`, in the encoding that makes it smaller.
    pub(in crate::block) fn push_floats(
        &mut self,
        values: &[f64],
        runs: Option<&Runs>,
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
        self.finish(values.len(), runs, encoding, bytes)
    }

    fn finish(
        &mut self,
        n_values: usize,
        runs: Option<&Runs>,
        encoding: Encoding,
        bytes: &mut Vec<u8>,
    ) -> io::Result<EncodedPage> {
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        self.levels.clear();
        let n_rows = runs.map_or(n_values, Runs::n_rows);
        if let Some(runs) = runs {
            assert_eq!(runs.n_present(), n_values, "each present row has a value");
            runs.encode(&mut self.levels);
        }
        let is_compressed = self.stored.len() < self.values.len();
        let stored = if is_compressed { &self.stored } else { &self.values };
        let header = PageHeader {
            uncompressed_bytes: u32::try_from(self.levels.len() + self.values.len()).map_err(too_large)?,
            stored_bytes: u32::try_from(self.levels.len() + stored.len()).map_err(too_large)?,
            n_rows: u32::try_from(n_rows).map_err(too_large)?,
            n_nulls: u32::try_from(n_rows - n_values).map_err(too_large)?,
            encoding,
            level_bytes: u32::try_from(self.levels.len()).map_err(too_large)?,
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
