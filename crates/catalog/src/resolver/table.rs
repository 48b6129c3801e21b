//! One shard of the resolver: its keys in the order in which they came, and an index by hash.
//!
//! A sender sends its series in the same order again and again. So a key is looked for behind the one that was found
//! last, where it mostly is: then the search costs a look at memory that is at hand already, while a search by hash
//! waits for two places anywhere.
//!
//! The index is an open-addressing table of positions, probed linearly from a home position that the key's lowest 32
//! bits scale to. Both grow by a quarter, the index when it is four fifths full, in place of the usual doubling: memory
//! is the budget here.

use model::{LaneIdx, SeriesRef, StreamId};

use super::SeriesKey;

#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    /// A position plus 1, or 0. There always is a free one, unless there is no index at all.
    index: Vec<u32>,
}

/// A key and its series.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: [u32; 3],
    stream: u32,
    tag: u16,
    lane: u16,
}

/// Where the next key of a batch is looked for first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor(usize);

const INDEX_MIN: usize = 64;

/// How many entries ahead of the cursor memory is asked for.
const CURSOR_AHEAD: usize = 4;

impl Table {
    pub(super) fn get(&self, key: SeriesKey) -> Option<SeriesRef> {
        self.position(key).map(|position| self.entries[position].series())
    }

    /// As [`Self::get`], looked for at the cursor first, which then points behind it. True if it was there.
    #[inline]
    pub(super) fn get_next(&self, key: SeriesKey, cursor: &mut Cursor) -> (Option<SeriesRef>, bool) {
        if let Some(entry) = self.entries.get(cursor.0)
            && entry.has(key)
        {
            cursor.0 += 1;
            if let Some(ahead) = self.entries.get(cursor.0 + CURSOR_AHEAD) {
                codec::prefetch(std::ptr::from_ref(ahead).addr());
            }
            return (Some(entry.series()), true);
        }
        let position = self.position(key);
        if let Some(position) = position {
            cursor.0 = position + 1;
        }
        (position.map(|position| self.entries[position].series()), false)
    }

    /// Asks for the memory in which the search by hash begins.
    #[inline]
    pub(super) fn prefetch_index(&self, key: SeriesKey) {
        if let Some(place) = self.index.get(home(key.0 as u32, self.index.len())) {
            codec::prefetch(std::ptr::from_ref(place).addr());
        }
    }

    /// Asks for the memory in which it goes on, once the memory of the index is there.
    #[inline]
    pub(super) fn prefetch_entry(&self, key: SeriesKey) {
        if let Some(place) = self.index.get(home(key.0 as u32, self.index.len()))
            && let Some(entry) = self.entries.get((*place as usize).wrapping_sub(1))
        {
            codec::prefetch(std::ptr::from_ref(entry).addr());
        }
    }

    pub(super) fn insert(&mut self, key: SeriesKey, series: SeriesRef) {
        if let Some(position) = self.position(key) {
            self.entries[position] = Entry::new(key, series);
            return;
        }
        self.push(Entry::new(key, series));
    }

    /// Keeps the keys of some series, in a table of their size.
    pub(super) fn retain(&mut self, keep: impl Fn(SeriesRef) -> bool) {
        let mut kept = Self::default();
        for entry in self.entries.iter().filter(|entry| keep(entry.series())) {
            kept.push(*entry);
        }
        *self = kept;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.index.capacity() * size_of::<u32>()
    }

    fn position(&self, key: SeriesKey) -> Option<usize> {
        let mut place = home(key.0 as u32, self.index.len());
        loop {
            // Out of range only when there is no index at all: the place wraps below.
            let position = (*self.index.get(place)? as usize).checked_sub(1)?;
            if self.entries[position].has(key) {
                return Some(position);
            }
            place += 1;
            if place == self.index.len() {
                place = 0;
            }
        }
    }

    /// Adds a key that is not there.
    fn push(&mut self, entry: Entry) {
        if (self.len() + 1) * 5 > self.index.len() * 4 {
            self.grow_index();
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries
                .reserve_exact((self.entries.len() / 4).max(INDEX_MIN / 4));
        }
        self.entries.push(entry);
        note(&mut self.index, entry.key[0], self.entries.len());
    }

    fn grow_index(&mut self) {
        let n_places = (self.index.len() + self.index.len() / 4).max(INDEX_MIN);
        self.index = vec![0; n_places];
        for (entry, number) in self.entries.iter().zip(1..) {
            note(&mut self.index, entry.key[0], number);
        }
    }
}

impl Entry {
    fn new(key: SeriesKey, series: SeriesRef) -> Self {
        Self {
            key: words(key),
            stream: series.stream.0,
            tag: tag(key),
            lane: series.lane.0,
        }
    }

    #[inline]
    fn has(&self, key: SeriesKey) -> bool {
        self.key == words(key) && self.tag == tag(key)
    }

    fn series(&self) -> SeriesRef {
        SeriesRef {
            stream: StreamId(self.stream),
            lane: LaneIdx(self.lane),
        }
    }
}

#[inline]
fn words(key: SeriesKey) -> [u32; 3] {
    [key.0 as u32, (key.0 >> 32) as u32, (key.0 >> 64) as u32]
}

#[inline]
fn tag(key: SeriesKey) -> u16 {
    (key.0 >> 96) as u16
}

/// Where the search for a key begins: its lowest word, scaled to the number of places.
fn home(word: u32, n_places: usize) -> usize {
    ((u64::from(word) * n_places as u64) >> 32) as usize
}

/// Notes the number of an entry in the first free place from its home on. There must be a free one.
///
/// # Panics
/// If it is the 2^32nd.
fn note(index: &mut [u32], word: u32, number: usize) {
    let mut place = home(word, index.len());
    while index[place] != 0 {
        place = (place + 1) % index.len();
    }
    index[place] = u32::try_from(number).expect("a shard has fewer than 2^32 keys");
}
