//! What a block holds, in a small JSON file: the last thing written and the first thing read.
//!
//! Its own checksum is a member of it, over everything else in a fixed spelling, so that it can be told from a
//! damaged one without anything outside.

use std::path::Path;

use model::TimestampMs;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The version that is written. Older ones stay readable; newer ones are refused.
pub const BLOCK_VERSION: u16 = 4;

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`BLOCK_VERSION`] of the program that wrote it.
    pub version: u16,
    /// Timestamp of the oldest sample.
    pub first_ms: TimestampMs,
    /// Timestamp of the newest sample.
    pub last_ms: TimestampMs,
    /// Samples that are numbers: rows of `samples.parquet`.
    pub n_samples: u64,
    /// Samples that are native histograms.
    pub n_histograms: u64,
    /// Series: rows of `series.parquet`.
    pub n_series: u64,
    /// Streams: runs of rows of `series.parquet`.
    pub n_streams: u64,
    /// Distinct entities.
    pub n_entities: u64,
    /// The names of all labels, sorted, `__name__` included.
    pub label_names: Vec<String>,
    /// `samples.parquet`.
    pub samples: FileSummary,
    /// `series.parquet`.
    pub series: FileSummary,
    /// `histograms.parquet`, which is there only if there are native histograms. Version 1 had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histograms: Option<FileSummary>,
}

/// One file of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSummary {
    /// Its length.
    pub n_bytes: u64,
    /// CRC-32C of all of it.
    pub crc32c: u32,
    /// How many bytes at its end are its footer: page indexes, metadata, tail.
    pub footer_bytes: u64,
    /// CRC-32C of the footer.
    pub footer_crc32c: u32,
    /// Where its pages are looked up. Not there in `series.parquet`, and before version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_table: Option<PageTableSummary>,
}

/// The table of pages in a file: sections, then their directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageTableSummary {
    /// Where the sections begin.
    pub offset: u64,
    /// How many bytes they have together.
    pub sections_bytes: u64,
    /// How many bytes the directory has, which follows.
    pub directory_bytes: u64,
    /// CRC-32C of the directory.
    pub directory_crc32c: u32,
}

/// The manifest as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    block: Manifest,
    /// CRC-32C of `block` without white space, members in their order.
    crc32c: u32,
}

/// Only what tells whether the rest can be read.
#[derive(Deserialize)]
struct Versioned {
    block: Version,
}

#[derive(Deserialize)]
struct Version {
    version: u16,
}

impl Manifest {
    /// The contents of `manifest.json`.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "nothing in it can fail: there are only numbers and texts"
    )]
    pub fn to_json(&self) -> Vec<u8> {
        let sealed = Sealed {
            crc32c: self.checksum(),
            block: self.clone(),
        };
        let mut json = serde_json::to_vec_pretty(&sealed).expect("numbers and texts are JSON");
        json.push(b'\n');
        json
    }

    /// The manifest that `json`, the contents of the file `path`, holds.
    ///
    /// # Errors
    /// [`Error::UnknownVersion`], and [`Error::Damaged`] for what [`Self::to_json`] has not written.
    pub fn parse(path: &Path, json: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: String| Error::Damaged {
            path: path.to_owned(),
            offset: 0,
            reason,
        };
        let versioned: Versioned =
            serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if versioned.block.version > BLOCK_VERSION {
            return Err(Error::UnknownVersion {
                path: path.to_owned(),
                found: versioned.block.version,
                known: BLOCK_VERSION,
            });
        }
        let sealed: Sealed = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        if sealed.block.checksum() != sealed.crc32c {
            return Err(damaged("the checksum is not that of the content".to_owned()));
        }
        Ok(sealed.block)
    }

    /// Bytes of the block's files, this one left out.
    #[must_use]
    pub fn n_bytes(&self) -> u64 {
        let histograms = self.histograms.map_or(0, |histograms| histograms.n_bytes);
        self.samples.n_bytes + self.series.n_bytes + histograms
    }

    #[expect(
        clippy::expect_used,
        reason = "nothing in it can fail: there are only numbers and texts"
    )]
    fn checksum(&self) -> u32 {
        let json = serde_json::to_vec(self).expect("numbers and texts are JSON");
        codec::checksum::crc32c(&json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = FileSummary {
            n_bytes: 1_000,
            crc32c: 7,
            footer_bytes: 100,
            footer_crc32c: 9,
            page_table: Some(PageTableSummary {
                offset: 800,
                sections_bytes: 90,
                directory_bytes: 10,
                directory_crc32c: 11,
            }),
        };
        Manifest {
            version: BLOCK_VERSION,
            first_ms: -5,
            last_ms: 7_200_000,
            n_samples: 3,
            n_histograms: 4,
            n_series: 2,
            n_streams: 1,
            n_entities: 1,
            label_names: vec!["__name__".to_owned(), "jöb \"x\"".to_owned()],
            samples: file,
            series: file,
            histograms: Some(file),
        }
    }

    #[test]
    fn a_manifest_comes_back() {
        let floats = Manifest {
            n_histograms: 0,
            histograms: None,
            ..manifest()
        };
        for manifest in [manifest(), floats] {
            let json = manifest.to_json();
            assert_eq!(Manifest::parse(Path::new("m"), &json).unwrap(), manifest);
        }
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_changes_nothing() {
        let json = manifest().to_json();
        for bit in 0..json.len() * 8 {
            let mut damaged = json.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(found) = Manifest::parse(Path::new("m"), &damaged) {
                assert_eq!(found, manifest(), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_newer_version_says_so() {
        let newer = Manifest {
            version: BLOCK_VERSION + 1,
            ..manifest()
        };
        let error = Manifest::parse(Path::new("m"), &newer.to_json()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::UnknownVersion {
                    found: 5,
                    known: 4,
                    ..
                }
            ),
            "{error}"
        );
    }
}
