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

    /// Removes segments from the front as long as all of their samples are in blocks. Each removal is durable before
    /// the next one, so that no gap is ever left.
    ///
    /// # Errors
    /// [`Error::Io`]; what was not removed is tried again next time.
    pub(crate) fn trim(&self, files: &dyn Files, dir: &Path, flushed: &[Watermark]) -> Result<usize, Error> {
        // What streams left out of a flush have is only in the log, and nobody knows where: then nothing goes. The next
        // flush that goes as far leaves none out.
        if flushed.iter().any(|mark| !mark.except.is_empty()) {
            return Ok(0);
        }
        let mut n_removed = 0;
        loop {
            let first = self
                .0
                .lock()
                .first_key_value()
                .map(|(number, newest)| (*number, *newest));
            let Some((number, newest_ms)) = first else {
                return Ok(n_removed);
            };
            let is_flushed = |mark: &Watermark| mark.covers(number, StreamId(0), newest_ms);
            if !flushed.iter().any(is_flushed) {
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
