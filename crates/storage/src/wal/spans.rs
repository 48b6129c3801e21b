//! How new the samples of each segment are, to know which segments nobody needs any more.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Files, StreamId, TimestampMs};
use parking_lot::Mutex;

use super::segment::segment_path;
use crate::Error;
use crate::blocks::Watermark;

/// The segments there are, each with its newest sample; the earliest time for one without samples.
#[derive(Debug, Default)]
pub(crate) struct SegmentSpans(Mutex<BTreeMap<u64, TimestampMs>>);

impl SegmentSpans {
    /// Notes a segment with samples up to a time.
    pub(crate) fn note(&self, segment: u64, newest_ms: TimestampMs) {
        let mut spans = self.0.lock();
        let held = spans.entry(segment).or_insert(TimestampMs::MIN);
        *held = newest_ms.max(*held);
    }

    /// The first segment; none if there is none.
    pub(crate) fn first(&self) -> Option<u64> {
        self.0.lock().keys().next().copied()
    }

    /// True when [`Self::trim`] would remove a segment.
    pub(crate) fn may_trim(&self, flushed: &[Watermark]) -> bool {
        let first = self.first_span();
        first.is_some_and(|(number, newest_ms)| is_flushed(flushed, number, newest_ms))
    }

    fn first_span(&self) -> Option<(u64, TimestampMs)> {
        let spans = self.0.lock();
        spans
            .first_key_value()
            .map(|(number, newest_ms)| (*number, *newest_ms))
    }

    /// Removes segments from the front as long as all of their samples are in blocks. Each removal is durable before
    /// the next one, so that no gap is ever left.
    ///
    /// # Errors
    /// [`Error::Io`]; what was not removed is tried again next time.
    pub(crate) fn trim(&self, files: &dyn Files, dir: &Path, flushed: &[Watermark]) -> Result<usize, Error> {
        let mut n_removed = 0;
        loop {
            let Some((number, newest_ms)) = self.first_span() else {
                return Ok(n_removed);
            };
            if !is_flushed(flushed, number, newest_ms) {
                return Ok(n_removed);
            }
            let path = segment_path(dir, number);
            match files.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, error));
                }
                Ok(()) | Err(_) => {}
            }
            files
                .sync_dir(dir)
                .map_err(|error| Error::io("sync", dir, error))?;
            self.0.lock().remove(&number);
            n_removed += 1;
        }
    }
}

/// True when all samples of a segment are in blocks.
fn is_flushed(flushed: &[Watermark], number: u64, newest_ms: TimestampMs) -> bool {
    // What streams left out of a flush have is only in the log, and nobody knows where: then nothing goes. The next flush
    // that goes as far leaves none out.
    flushed.iter().all(|mark| mark.except.is_empty())
        && flushed
            .iter()
            .any(|mark| mark.covers(number, StreamId(0), newest_ms))
}
