//! Which segments there are and how far each counts.
//!
//! Every segment names the one before it and where that ends. What lies behind that end, and every segment between
//! the two, belongs to groups that failed and were never acknowledged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::Files;

use super::report::Damage;
use super::segment::{
    BadHeader, FORMAT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader, segment_number, segment_path,
};
use crate::Error;

/// A segment file as found.
#[derive(Debug, Clone)]
pub(crate) struct SegmentFile {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    /// Bytes in it.
    pub(crate) len: u64,
    pub(crate) header: Result<SegmentHeader, BadHeader>,
}

/// A segment to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChainedSegment {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    /// Its frames count up to here.
    pub(crate) end: u64,
    /// What is wrong with its header.
    pub(crate) header_damage: Option<Damage>,
}

/// The segments of a log in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) segments: Vec<ChainedSegment>,
    /// Highest number of any file, counting or not.
    pub(crate) number_max: u64,
    /// What is wrong with the files as a whole.
    pub(crate) damaged: Vec<Damage>,
}

/// Looks at the segment files in `dir`.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn list_segments(files: &dyn Files, dir: &Path) -> Result<Vec<SegmentFile>, Error> {
    let names = files.list(dir).map_err(|error| Error::io("list", dir, error))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| {
            let path = segment_path(dir, number);
            let (len, header) = read_header(files, &path, number)?;
            Ok(SegmentFile {
                number,
                path,
                len,
                header,
            })
        })
        .collect()
}

fn read_header(
    files: &dyn Files,
    path: &Path,
    number: u64,
) -> Result<(u64, Result<SegmentHeader, BadHeader>), Error> {
    use std::io::Read;
    let file = files.open(path).map_err(|error| Error::io("open", path, error))?;
    let len = file.len().map_err(|error| Error::io("read", path, error))?;
    let mut bytes = Vec::new();
    file.take(SEGMENT_HEADER_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io("read", path, error))?;
    Ok((len, SegmentHeader::from_bytes(&bytes, number)))
}

/// Decides what is to be read.
///
/// # Errors
/// [`Error::UnknownVersion`].
pub(crate) fn chain(files: &[SegmentFile]) -> Result<Chain, Error> {
    let mut chain = Chain {
        number_max: files.last().map_or(0, |file| file.number),
        ..Chain::default()
    };
    let mut ends: BTreeMap<u64, u64> = BTreeMap::new();
    for file in files {
        match &file.header {
            Ok(header) => {
                if let Some(previous) = header.previous {
                    ends.insert(previous.number, previous.end);
                    // Segments between the two belong to groups that failed.
                    let between = files.iter().map(|file| file.number);
                    let between =
                        between.filter(|number| (previous.number + 1..file.number).contains(number));
                    ends.extend(between.map(|number| (number, 0)));
                }
            }
            Err(BadHeader::Version(found)) => {
                return Err(Error::UnknownVersion {
                    path: file.path.clone(),
                    found: *found,
                    known: FORMAT_VERSION,
                });
            }
            Err(BadHeader::Damaged(_)) => {}
        }
    }
    for file in files {
        let end = ends.get(&file.number).copied();
        if end != Some(0) {
            chain.add(file, end);
        }
    }
    chain.add_missing(files, &ends);
    Ok(chain)
}

impl Chain {
    fn add(&mut self, file: &SegmentFile, end: Option<u64>) {
        let damage = |offset: u64, bytes: u64, reason: &str| Damage {
            path: file.path.clone(),
            offset,
            bytes,
            reason: reason.to_owned(),
        };
        if let Some(missing) = end.and_then(|end| end.checked_sub(file.len))
            && missing > 0
        {
            let damage = damage(file.len, missing, "the end of the file is missing");
            self.damaged.push(damage);
        }
        let header_bytes = file.len.min(SEGMENT_HEADER_BYTES as u64);
        self.segments.push(ChainedSegment {
            number: file.number,
            path: file.path.clone(),
            end: end.unwrap_or(file.len).min(file.len),
            header_damage: match &file.header {
                Err(BadHeader::Damaged(reason)) => Some(damage(0, header_bytes, reason)),
                Err(BadHeader::Version(_)) | Ok(_) => None,
            },
        });
    }

    /// Tells of segments that are named but not there, unless they are older than all others: those were trimmed.
    fn add_missing(&mut self, files: &[SegmentFile], ends: &BTreeMap<u64, u64>) {
        let Some((first, dir)) = files
            .first()
            .and_then(|file| Some((file.number, file.path.parent()?)))
        else {
            return;
        };
        for (number, end) in ends.range(first..) {
            if files.iter().all(|file| file.number != *number) {
                self.damaged.push(Damage {
                    path: segment_path(dir, *number),
                    offset: 0,
                    bytes: *end,
                    reason: "the file is missing".to_owned(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::segment::SegmentEnd;

    fn file(number: u64, len: u64, previous: Option<(u64, u64)>) -> SegmentFile {
        SegmentFile {
            number,
            path: segment_path(Path::new("wal"), number),
            len,
            header: Ok(SegmentHeader {
                number,
                previous: previous.map(|(number, end)| SegmentEnd { number, end }),
            }),
        }
    }

    fn damaged(number: u64, len: u64) -> SegmentFile {
        SegmentFile {
            header: Err(BadHeader::Damaged("bad")),
            ..file(number, len, None)
        }
    }

    /// Numbers and ends of what is read, and places of damage.
    fn check(files: &[SegmentFile], segments: &[(u64, u64)], damage: &[(&str, u64)]) {
        let chain = chain(files).unwrap();
        let read: Vec<_> = chain
            .segments
            .iter()
            .map(|segment| (segment.number, segment.end))
            .collect();
        assert_eq!(read, segments);
        let told: Vec<_> = chain
            .damaged
            .iter()
            .map(|damage| (damage.path.file_name().unwrap().to_str().unwrap(), damage.offset))
            .collect();
        assert_eq!(told, damage);
    }

    #[test]
    fn a_segment_counts_up_to_where_the_next_one_says() {
        let files = [
            file(1, 500, None),
            file(2, 900, Some((1, 400))),
            file(3, 70, Some((2, 900))),
        ];
        check(&files, &[(1, 400), (2, 900), (3, 70)], &[]);
    }

    #[test]
    fn segments_of_failed_groups_do_not_count() {
        let files = [
            file(1, 500, None),
            damaged(2, 10),
            file(3, 100, Some((1, 500))),
            file(4, 100, Some((1, 500))),
        ];
        check(&files, &[(1, 500), (4, 100)], &[]);
    }

    #[test]
    fn what_is_missing_is_told() {
        let files = [
            file(2, 300, Some((1, 400))),
            file(5, 100, Some((3, 200))),
            file(6, 100, Some((5, 160))),
        ];
        check(
            &files,
            &[(2, 300), (5, 100), (6, 100)],
            &[("00000005.wal", 100), ("00000003.wal", 0)],
        );
    }

    #[test]
    fn a_damaged_header_hides_no_frames() {
        let files = [damaged(1, 800), file(2, 100, Some((1, 700)))];
        check(&files, &[(1, 700), (2, 100)], &[]);
        let damage = chain(&files).unwrap().segments[0].header_damage.clone().unwrap();
        assert_eq!((damage.offset, damage.bytes), (0, 48));
        check(&[damaged(1, 20)], &[(1, 20)], &[]);
        check(&[], &[], &[]);
    }

    #[test]
    fn a_newer_version_is_an_error() {
        let mut newer = file(1, 100, None);
        newer.header = Err(BadHeader::Version(9));
        let error = chain(&[newer]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "wal/00000001.wal has format version 9; this program reads versions up to 6"
        );
    }
}
