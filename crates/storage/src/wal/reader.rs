//! The reading end of the log: the frames of one segment.
//!
//! Reads on through damage. A frame whose header is intact and whose payload is not is skipped as a whole. Where no
//! intact header stands, the next place that has one is looked for; headers are sealed with their place, so nothing
//! inside a payload can be taken for one. Memory: one frame and a read-ahead of 1 MiB.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use model::{Files, ReadFile};

use super::frame::{FRAME_ALIGNMENT, FRAME_HEADER_BYTES, FrameHeader, FrameRole, Place};
use super::report::Damage;
use super::segment::SEGMENT_HEADER_BYTES;
use crate::Error;

const READ_BYTES: usize = 1 << 20;

/// The frames of one segment, in order.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    file: Box<dyn ReadFile>,
    path: PathBuf,
    number: u64,
    /// Nothing is read from here on.
    end: u64,
    /// Where the next frame should begin.
    position: u64,
    /// Bytes of the file from `window_start` on.
    window: Vec<u8>,
    window_start: u64,
}

/// What stands in a segment.
#[derive(Debug)]
pub(crate) enum Found {
    /// An intact frame.
    Frame {
        /// Where it begins.
        offset: u64,
        /// Kind of record.
        kind: u8,
        /// Its part in its group.
        role: FrameRole,
        /// Its content; empty if it was not wanted.
        payload: Vec<u8>,
    },
    /// Something else.
    Damage(Damage),
}

impl SegmentReader {
    /// Opens a segment whose frames count up to `end`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn open(files: &dyn Files, path: &Path, number: u64, end: u64) -> Result<Self, Error> {
        let file = files.open(path).map_err(|error| Error::io("open", path, error))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            number,
            end,
            position: SEGMENT_HEADER_BYTES as u64,
            window: Vec::new(),
            window_start: 0,
        })
    }

    /// Where the next frame should begin: behind everything that was found.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next thing found; none at the end. Payloads that are not `wanted` are stepped over unread, so damage in
    /// them goes unnoticed.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    pub(crate) fn next(&mut self, wanted: impl FnOnce(&FrameHeader) -> bool) -> Result<Option<Found>, Error> {
        if self.position >= self.end {
            return Ok(None);
        }
        let offset = self.position;
        let place = Place {
            segment: self.number,
            offset,
        };
        let Some(header) = FrameHeader::from_bytes(self.peek(FRAME_HEADER_BYTES)?, place) else {
            return self.skip_to_next_header().map(Some);
        };
        let frame_len = FRAME_HEADER_BYTES + header.payload_len;
        let frame_end = offset + frame_len as u64;
        let is_wanted = wanted(&header);
        if frame_end > self.end {
            return Ok(Some(self.skip_to(self.end, "the record is cut off")));
        }
        let mut payload = Vec::new();
        if is_wanted {
            let frame = self.peek(frame_len)?;
            payload.extend_from_slice(frame.get(FRAME_HEADER_BYTES..).unwrap_or_default());
            if !header.fits(&payload) {
                let reason = "the checksum of the record does not fit";
                return Ok(Some(self.skip_to(frame_end, reason)));
            }
        }
        self.position = frame_end;
        Ok(Some(Found::Frame {
            offset,
            kind: header.kind,
            role: header.role,
            payload,
        }))
    }

    /// Looks for the next place with an intact header, else goes to the end.
    fn skip_to_next_header(&mut self) -> Result<Found, Error> {
        let from = self.position;
        let mut offset = from;
        loop {
            offset += FRAME_ALIGNMENT as u64;
            if offset >= self.end {
                break;
            }
            self.position = offset;
            let place = Place {
                segment: self.number,
                offset,
            };
            let bytes = self.peek(FRAME_HEADER_BYTES)?;
            if FrameHeader::may_begin(bytes) && FrameHeader::from_bytes(bytes, place).is_some() {
                break;
            }
        }
        self.position = from;
        Ok(self.skip_to(offset.min(self.end), "no intact record begins here"))
    }

    fn skip_to(&mut self, offset: u64, reason: &str) -> Found {
        let damage = Damage {
            path: self.path.clone(),
            offset: self.position,
            bytes: offset - self.position,
            reason: reason.to_owned(),
        };
        self.position = offset;
        Found::Damage(damage)
    }

    /// The bytes from the position on: `n_bytes`, or fewer at the end.
    fn peek(&mut self, n_bytes: usize) -> Result<&[u8], Error> {
        let n_bytes = n_bytes.min(usize::try_from(self.end - self.position).unwrap_or(usize::MAX));
        let window_end = self.window_start + self.window.len() as u64;
        if self.position < self.window_start || self.position + n_bytes as u64 > window_end {
            self.fill(n_bytes)?;
        }
        let start = usize::try_from(self.position - self.window_start).unwrap_or(usize::MAX);
        let bytes = self.window.get(start..).unwrap_or_default();
        Ok(bytes.get(..n_bytes).unwrap_or(bytes))
    }

    /// Moves the window so that it begins at the position and holds `n_bytes` and some more.
    fn fill(&mut self, n_bytes: usize) -> Result<(), Error> {
        let failed = |error| Error::io("read", &self.path, error);
        let window_end = self.window_start + self.window.len() as u64;
        if (self.window_start..window_end).contains(&self.position) {
            let n_passed = usize::try_from(self.position - self.window_start).unwrap_or(usize::MAX);
            self.window.drain(..n_passed.min(self.window.len()));
        } else {
            self.window.clear();
            self.file.seek(SeekFrom::Start(self.position)).map_err(failed)?;
        }
        self.window_start = self.position;
        let room = self.end - self.position;
        let n_wanted = (n_bytes.max(READ_BYTES) as u64).min(room) - self.window.len() as u64;
        let mut rest = (&mut self.file).take(n_wanted);
        rest.read_to_end(&mut self.window).map_err(failed)?;
        Ok(())
    }
}
