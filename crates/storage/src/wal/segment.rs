//! Segments: the files of the log.
//!
//! ```text
//!  0  8  "MTIDEWAL"
//!  8  2  format version, 6
//! 10  6  zero
//! 16  8  number of this segment
//! 24  8  number of the segment before it, 0 if there is none
//! 32  8  where that one ends: what stands behind was never acknowledged
//! 40  4  zero
//! 44  4  CRC-32C of bytes 0 to 44
//! 48     frames
//! ```
//! Integers are little-endian. Magic, version and checksum stand at these places in every version. Version 1 is the
//! same without extended sample records, notes, exemplars and cuts, version 2 without notes, exemplars and cuts, version
//! 3 without exemplars and cuts, version 4 without cuts.

use std::path::{Path, PathBuf};

use codec::checksum::crc32c;

use super::bytes::{u16_at, u32_at, u64_at};

/// Bytes before the first frame.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 48;

/// The version that is written; it and all before it are read.
pub(crate) const FORMAT_VERSION: u16 = 6;

const MAGIC: &[u8; 8] = b"MTIDEWAL";
const CHECKED_BYTES: usize = 44;

/// The beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Its number; segments are read in ascending order.
    pub(crate) number: u64,
    /// The segment before it.
    pub(crate) previous: Option<SegmentEnd>,
}

/// How far a segment counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    /// Number of the segment, not 0.
    pub(crate) number: u64,
    /// Offset behind its last acknowledged frame.
    pub(crate) end: u64,
}

/// Why a segment's header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Damaged, or none at all.
    Damaged(&'static str),
    /// Intact, of a version not known here.
    Version(u16),
}

impl SegmentHeader {
    /// Its bytes.
    pub(crate) fn to_bytes(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let (previous, end) = self.previous.map_or((0, 0), |end| (end.number, end.end));
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let (checked, crc) = bytes.split_at_mut(CHECKED_BYTES);
        let numbers = [self.number, previous, end].map(u64::to_le_bytes);
        let fields = MAGIC
            .iter()
            .chain(&FORMAT_VERSION.to_le_bytes())
            .chain(&[0; 6])
            .chain(numbers.iter().flatten())
            .copied()
            .collect::<Vec<u8>>();
        for (slot, byte) in checked.iter_mut().zip(fields) {
            *slot = byte;
        }
        crc.copy_from_slice(&crc32c(checked).to_le_bytes());
        bytes
    }

    /// Reads the header of the segment that should have this number.
    pub(crate) fn from_bytes(bytes: &[u8], number: u64) -> Result<Self, BadHeader> {
        let damaged = BadHeader::Damaged;
        let checked = bytes
            .get(..CHECKED_BYTES)
            .ok_or(damaged("the header is cut off"))?;
        if !checked.starts_with(MAGIC) {
            return Err(damaged("this is no segment of the log"));
        }
        if u32_at(bytes, CHECKED_BYTES) != Some(crc32c(checked)) {
            return Err(damaged("the checksum of the header does not fit"));
        }
        let short = || damaged("the header is cut off");
        let version = u16_at(bytes, 8).ok_or_else(short)?;
        if !(1..=FORMAT_VERSION).contains(&version) {
            return Err(BadHeader::Version(version));
        }
        if u64_at(bytes, 16) != Some(number) {
            return Err(damaged("the header is that of another segment"));
        }
        let previous = u64_at(bytes, 24).ok_or_else(short)?;
        let end = u64_at(bytes, 32).ok_or_else(short)?;
        let previous = (previous != 0).then_some(SegmentEnd {
            number: previous,
            end,
        });
        Ok(Self { number, previous })
    }
}

/// The path of a segment.
pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.wal"))
}

/// The number in a segment's file name; none for other files.
pub(crate) fn segment_number(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".wal")?;
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| is_number && *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        number: 7,
        previous: Some(SegmentEnd {
            number: 5,
            end: 1 << 40,
        }),
    };

    #[test]
    fn a_header_is_read_back() {
        for previous in [HEADER.previous, None] {
            let header = SegmentHeader { previous, ..HEADER };
            assert_eq!(SegmentHeader::from_bytes(&header.to_bytes(), 7), Ok(header));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = HEADER.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = SegmentHeader::from_bytes(&flipped, 7);
            assert!(matches!(read, Err(BadHeader::Damaged(_))), "bit {bit}: {read:?}");
        }
        for len in 0..bytes.len() {
            assert!(
                SegmentHeader::from_bytes(&bytes[..len], 7).is_err(),
                "{len} bytes"
            );
        }
        assert!(
            SegmentHeader::from_bytes(&bytes, 8).is_err(),
            "a file with another name"
        );
    }

    #[test]
    fn an_intact_header_of_another_version_is_told_apart() {
        let in_version = |version: u8| {
            let mut bytes = HEADER.to_bytes();
            bytes[8] = version;
            let crc = crc32c(&bytes[..44]);
            bytes[44..].copy_from_slice(&crc.to_le_bytes());
            SegmentHeader::from_bytes(&bytes, 7)
        };
        assert_eq!(in_version(1), Ok(HEADER));
        assert_eq!(in_version(2), Ok(HEADER));
        assert_eq!(in_version(3), Ok(HEADER));
        assert_eq!(in_version(4), Ok(HEADER));
        assert_eq!(in_version(0), Err(BadHeader::Version(0)));
        assert_eq!(in_version(5), Ok(HEADER));
        assert_eq!(in_version(6), Ok(HEADER));
        assert_eq!(in_version(7), Err(BadHeader::Version(7)));
    }

    #[test]
    fn only_segment_names_have_numbers() {
        assert_eq!(segment_path(Path::new("d"), 12), Path::new("d/00000012.wal"));
        assert_eq!(segment_number("00000012.wal"), Some(12));
        assert_eq!(segment_number("123456789.wal"), Some(123_456_789));
        for name in [
            "00000000.wal",
            "12.wal",
            "+0000012.wal",
            "00000012.wal.bak",
            "lock",
        ] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }
}
