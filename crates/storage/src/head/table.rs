//! The streams by id.
//!
//! Ids are dense, so a stream is found by position: segments of [`SEGMENT_LEN`] streams hang in a directory of
//! two levels and come into being with the first of their streams. Nothing moves and nothing is ever removed, so
//! looking up takes no lock, and a stray id costs one segment and one directory page, about 80 kB.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{LaneIdx, StreamId};
use parking_lot::{Mutex, MutexGuard};

use super::stream::Stream;

const SEGMENT_LEN: usize = 1 << 10;
const DIRECTORY_LEN: usize = 1 << 10;
const ROOT_LEN: usize = 1 << 12;

/// A stream in its place: one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Slot {
    stream: Mutex<Stream>,
    /// Where the values of the newest row are; a hint that may be out of date.
    newest_values: AtomicUsize,
}

impl Slot {
    pub(super) fn lock(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock()
    }

    /// Asks for the memory that a sample of `lane` will touch if it belongs to the newest row, as nearly all do.
    /// Without a lock, so that many of these are under way at a time: a lock waits for the access before it.
    #[inline]
    pub(super) fn prefetch(&self, lane: LaneIdx) {
        let first_value = self.newest_values.load(Ordering::Relaxed);
        codec::prefetch(first_value);
        codec::prefetch(first_value.wrapping_add(usize::from(lane.0) * size_of::<f64>()));
    }

    /// Asks for the memory in which the newest row begins.
    #[inline]
    pub(super) fn prefetch_row(&self) {
        // The bits and the time of the row stand before its values; for few lanes that is the same cache line or the
        // one before.
        let first_value = self.newest_values.load(Ordering::Relaxed);
        codec::prefetch(first_value.wrapping_sub(2 * size_of::<f64>()));
    }

    /// As [`Self::prefetch`] for what lies apart from rows. Unless a reader has the stream, which costs less than waiting.
    #[inline]
    pub(super) fn prefetch_extras(&self, lane: LaneIdx, depth: usize) {
        if let Some(stream) = self.stream.try_lock() {
            stream.prefetch_extras(lane.0, depth);
        }
    }

    /// Notes where the newest row is, for the next [`Self::prefetch`].
    #[inline]
    pub(super) fn note_newest_row(&self, stream: &Stream) {
        self.newest_values
            .store(stream.raw.newest_values_address(), Ordering::Relaxed);
    }
}

type Segment = Box<[Slot]>;
type Directory = Box<[OnceLock<Segment>]>;

/// All streams of a head.
#[derive(Debug)]
pub(super) struct StreamTable {
    root: Box<[OnceLock<Directory>]>,
}

impl StreamTable {
    pub(super) fn new() -> Self {
        Self {
            root: (0..ROOT_LEN).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The stream, unless no stream of its segment was ever made.
    pub(super) fn get(&self, stream: StreamId) -> Option<&Slot> {
        let place = Place::of(stream);
        let segment = self.root[place.root].get()?[place.directory].get()?;
        Some(&segment[place.segment])
    }

    /// Asks for the memory of a stream.
    #[inline]
    pub(super) fn prefetch(&self, stream: StreamId) {
        if let Some(slot) = self.get(stream) {
            codec::prefetch(std::ptr::from_ref(slot).addr());
        }
    }

    /// The stream, and the bytes that had to be allocated to have it.
    pub(super) fn get_or_make(&self, stream: StreamId) -> (&Slot, usize) {
        if let Some(found) = self.get(stream) {
            return (found, 0);
        }
        let place = Place::of(stream);
        let mut n_bytes = 0;
        let directory = self.root[place.root].get_or_init(|| {
            n_bytes += DIRECTORY_LEN * size_of::<OnceLock<Segment>>();
            (0..DIRECTORY_LEN).map(|_| OnceLock::new()).collect()
        });
        let segment = directory[place.directory].get_or_init(|| {
            n_bytes += SEGMENT_LEN * size_of::<Slot>();
            (0..SEGMENT_LEN).map(|_| Slot::default()).collect()
        });
        (&segment[place.segment], n_bytes)
    }

    /// The first stream at or after `first` that has a place.
    pub(super) fn next(&self, first: StreamId) -> Option<(StreamId, &Slot)> {
        let place = Place::of(first);
        if let Some(segment) = self.root[place.root]
            .get()
            .and_then(|directory| directory[place.directory].get())
        {
            return Some((first, &segment[place.segment]));
        }
        let mut segments = (first.0 as usize / SEGMENT_LEN + 1)..ROOT_LEN * DIRECTORY_LEN;
        while let Some(segment_idx) = segments.next() {
            let (root, directory) = (segment_idx / DIRECTORY_LEN, segment_idx % DIRECTORY_LEN);
            let Some(found) = self.root[root].get() else {
                // Nothing of this directory: on to the next one.
                segments = (root + 1) * DIRECTORY_LEN..ROOT_LEN * DIRECTORY_LEN;
                continue;
            };
            if let Some(segment) = found[directory].get() {
                return Some((StreamId((segment_idx * SEGMENT_LEN) as u32), &segment[0]));
            }
        }
        None
    }

    /// Bytes of the root.
    pub(super) fn root_bytes(&self) -> usize {
        size_of_val(&*self.root)
    }
}

/// Where a stream is, by level.
struct Place {
    root: usize,
    directory: usize,
    segment: usize,
}

impl Place {
    fn of(stream: StreamId) -> Self {
        let stream_idx = stream.0 as usize;
        Self {
            root: stream_idx / (SEGMENT_LEN * DIRECTORY_LEN),
            directory: stream_idx / SEGMENT_LEN % DIRECTORY_LEN,
            segment: stream_idx % SEGMENT_LEN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_one_cache_line() {
        assert_eq!(size_of::<Slot>(), 64);
    }

    #[test]
    fn every_id_has_its_own_place() {
        let table = StreamTable::new();
        let ids = [0, 1, 1023, 1024, 1 << 20, u32::MAX - 1, u32::MAX].map(StreamId);
        for (position, id) in ids.into_iter().enumerate() {
            let (stream, _) = table.get_or_make(id);
            assert!(stream.lock().is_empty());
            stream.lock().newest_ms = position as i64;
        }
        for (position, id) in ids.into_iter().enumerate() {
            assert_eq!(table.get(id).unwrap().lock().newest_ms, position as i64);
            assert_eq!(table.get_or_make(id).1, 0);
        }
        assert!(table.get(StreamId(1 << 30)).is_none());
        assert_eq!(table.next(StreamId(1024)).unwrap().0, StreamId(1024));
        assert_eq!(table.next(StreamId(2048)).unwrap().0, StreamId(1 << 20));
        assert_eq!(
            table.next(StreamId(1 << 21)).unwrap().0,
            StreamId(u32::MAX - 1023)
        );
    }
}
