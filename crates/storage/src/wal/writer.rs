//! The writing end of the log: frames into segments, synced group by group.
//!
//! A group becomes part of the log with [`WalWriter::commit`]: what was pushed before is written, synced, and from
//! then on *acknowledged*. Whatever fails before, the whole segment is given up ([`WalWriter::abandon`]): after a
//! failed write its end is unknown, after a failed sync nothing unsynced in it can be trusted. The next segment's
//! header says how far the one before counts, so that leftovers of a failed group never come back.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use model::{Files, SampleBatch, WriteFile};

use super::counters::WalCounters;
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameRole, Place};
use super::record::Payload;
use super::segment::{SegmentEnd, SegmentHeader, segment_path};
use crate::Error;

/// Bytes collected before they are handed to the file.
const BUFFER_BYTES: usize = 1 << 20;

/// A segment holds at least this many times what restating the catalog at its beginning takes.
const RESTATEMENT_SHARE: u64 = 8;

/// Where the log goes on after a recovery.
#[derive(Debug)]
pub(crate) struct WalEnd {
    /// Number of the next segment.
    pub(crate) next_number: u64,
    /// The last segment there is, and how far it counts from now on.
    pub(crate) last: Option<SegmentEnd>,
    /// Samples that stand behind that end and must be written again.
    pub(crate) carried: Vec<SampleBatch>,
    /// What to take for `last` should that fail.
    pub(crate) uncut: Option<SegmentEnd>,
}

/// Writes segments, one at a time.
#[derive(Debug)]
pub(crate) struct WalWriter {
    files: Arc<dyn Files>,
    dir: PathBuf,
    segment_bytes: u64,
    next_number: u64,
    last: Option<SegmentEnd>,
    segment: Option<OpenSegment>,
    counters: Arc<WalCounters>,
}

#[derive(Debug)]
struct OpenSegment {
    number: u64,
    path: PathBuf,
    file: Box<dyn WriteFile>,
    /// Bytes the file has taken.
    written: u64,
    buffer: Vec<u8>,
    /// Where the last committed group ends; 0 before the first one.
    acknowledged: u64,
    /// Where the last synced group ends; 0 before the first one.
    synced: u64,
    /// True until the first record of a group is pushed.
    begins_group: bool,
    /// The next segment is begun when this one has grown so long.
    full_at: u64,
}

impl WalWriter {
    /// A writer that goes on after `end`. No file is made before there is something to write.
    pub(crate) fn new(
        files: Arc<dyn Files>,
        dir: PathBuf,
        segment_bytes: u64,
        end: &WalEnd,
        counters: Arc<WalCounters>,
    ) -> Self {
        Self {
            files,
            dir,
            segment_bytes,
            next_number: end.next_number,
            last: end.last,
            segment: None,
            counters,
        }
    }

    /// Takes another end for that of the last segment. For a log that has begun no segment yet.
    pub(crate) fn go_on_after(&mut self, last: SegmentEnd) {
        self.last = Some(last);
    }

    /// True when the next group must begin a segment: there is none, or it is full.
    pub(crate) fn needs_segment(&self) -> bool {
        self.segment
            .as_ref()
            .is_none_or(|segment| segment.acknowledged >= segment.full_at)
    }

    /// The segment being written, or the next one if there is none.
    pub(crate) fn segment_number(&self) -> u64 {
        let current = self.segment.as_ref().map(|segment| segment.number);
        current.unwrap_or(self.next_number)
    }

    /// Ends the current segment, so that the next group begins another; its number is returned.
    ///
    /// # Errors
    /// [`Error::Io`]; the segment must then be abandoned.
    pub(crate) fn finish_segment(&mut self) -> Result<u64, Error> {
        self.sync()?;
        self.end_segment();
        Ok(self.next_number)
    }

    /// Ends the current segment and begins the next one. The caller pushes the restated catalog and says
    /// [`Self::restated`] before anything else.
    pub(crate) fn begin_segment(&mut self) -> Result<(), Error> {
        if self.segment.is_some() {
            self.sync()?;
        }
        self.end_segment();
        let number = self.next_number;
        self.next_number += 1;
        let path = segment_path(&self.dir, number);
        let header = SegmentHeader {
            number,
            previous: self.last,
        };
        let file = self.files.create(&path);
        self.segment = Some(OpenSegment {
            number,
            file: file.map_err(|error| self.failed("create", &path, error))?,
            path,
            written: 0,
            buffer: header.to_bytes().to_vec(),
            acknowledged: 0,
            synced: 0,
            begins_group: true,
            full_at: self.segment_bytes,
        });
        self.counters.segments.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The restated catalog is pushed; the segment grows to a multiple of it if that is large.
    pub(crate) fn restated(&mut self) {
        if let Some(segment) = &mut self.segment {
            segment.full_at = self.segment_bytes.max(RESTATEMENT_SHARE * segment.end());
        }
    }

    /// Adds a record to the group.
    ///
    /// # Errors
    /// [`Error::Io`]; the segment must then be abandoned.
    pub(crate) fn push(&mut self, payload: &Payload, is_copy: bool) -> Result<(), Error> {
        let Some(segment) = &mut self.segment else {
            return Err(Error::Closed);
        };
        let role = match std::mem::replace(&mut segment.begins_group, false) {
            true => FrameRole::First,
            false if is_copy => FrameRole::Copy,
            false => FrameRole::Other,
        };
        let header = FrameHeader::of(payload.kind() as u8, role, payload.bytes());
        let place = Place {
            segment: segment.number,
            offset: segment.end(),
        };
        segment.buffer.reserve(FRAME_HEADER_BYTES + payload.bytes().len());
        segment.buffer.extend_from_slice(&header.to_bytes(place));
        segment.buffer.extend_from_slice(payload.bytes());
        if segment.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(())
    }

    /// Writes the group, syncs it if asked to, and acknowledges it.
    ///
    /// # Errors
    /// [`Error::Io`]; the segment must then be abandoned.
    pub(crate) fn commit(&mut self, with_sync: bool) -> Result<(), Error> {
        self.write_buffer()?;
        if with_sync {
            self.sync()?;
        }
        if let Some(segment) = &mut self.segment {
            segment.acknowledged = segment.written;
            segment.begins_group = true;
        }
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes durable what is written, if it is not.
    ///
    /// # Errors
    /// [`Error::Io`]; the segment must then be abandoned.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        if segment.synced == segment.written {
            return Ok(());
        }
        let begin = Instant::now();
        if let Err(error) = segment.file.sync() {
            let path = segment.path.clone();
            return Err(self.failed("sync", &path, error));
        }
        if segment.synced == 0
            && let Err(error) = self.files.sync_dir(&self.dir)
        {
            let dir = self.dir.clone();
            return Err(self.failed("sync", &dir, error));
        }
        segment.synced = segment.written;
        let elapsed_ns = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.counters.sync_ns.fetch_add(elapsed_ns, Ordering::Relaxed);
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Gives up the current segment after an error. Its acknowledged part stays; the rest is cut off if that is
    /// possible, and does not count in any case.
    pub(crate) fn abandon(&mut self) {
        let Some(segment) = &self.segment else {
            return;
        };
        let (path, acknowledged) = (segment.path.clone(), segment.acknowledged);
        self.end_segment();
        let tidied = if acknowledged == 0 {
            self.files.remove(&path)
        } else {
            self.files.truncate(&path, acknowledged)
        };
        if let Err(error) = tidied {
            tracing::warn!(path = %path.display(), %error, "cannot tidy an abandoned segment of the log");
        }
    }

    /// Closes the current segment; from here on it is the one before the next.
    fn end_segment(&mut self) {
        if let Some(segment) = self.segment.take()
            && segment.acknowledged > 0
        {
            self.last = Some(SegmentEnd {
                number: segment.number,
                end: segment.acknowledged,
            });
        }
    }

    fn write_buffer(&mut self) -> Result<(), Error> {
        let Some(segment) = &mut self.segment else {
            return Ok(());
        };
        let buffer = std::mem::take(&mut segment.buffer);
        if let Err(error) = segment.file.write_all(&buffer) {
            let path = segment.path.clone();
            return Err(self.failed("write", &path, error));
        }
        segment.written += buffer.len() as u64;
        self.counters
            .written_bytes
            .fetch_add(buffer.len() as u64, Ordering::Relaxed);
        segment.buffer = buffer;
        segment.buffer.clear();
        segment.buffer.shrink_to(BUFFER_BYTES);
        Ok(())
    }

    fn failed(&self, action: &'static str, path: &Path, error: std::io::Error) -> Error {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        Error::io(action, path, error)
    }
}

impl OpenSegment {
    /// Where the next frame begins.
    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }
}
