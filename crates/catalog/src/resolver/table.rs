//! One shard of the resolver: an open-addressing table of 20-byte slots.
//!
//! Slots are probed linearly from a home position that the key's lowest 32 bits scale to. The table grows by a
//! quarter when it is four fifths full, in place of the usual doubling: memory is the budget here, and growing
//! costs only four moves per key over its life.

use model::{LaneIdx, SeriesRef, StreamId};

use super::SeriesKey;

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    len: usize,
}

/// A key and its series. A tag of 0 marks a free slot; the tags of keys are odd.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    key: [u32; 3],
    stream: u32,
    tag: u16,
    lane: u16,
}

const SLOTS_MIN: usize = 64;

impl Table {
    pub(super) fn get(&self, key: SeriesKey) -> Option<SeriesRef> {
        let wanted = Slot::of_key(key);
        let mut position = home(wanted.key[0], self.slots.len());
        loop {
            // Out of range only when there is no slot at all: the position wraps below.
            let slot = self.slots.get(position)?;
            if slot.tag == wanted.tag && slot.key == wanted.key {
                return Some(slot.series());
            }
            if slot.tag == 0 {
                return None;
            }
            position += 1;
            if position == self.slots.len() {
                position = 0;
            }
        }
    }

    /// Asks for the memory in which the search for a key begins.
    #[inline]
    pub(super) fn prefetch(&self, key: SeriesKey) {
        if let Some(slot) = self.slots.get(home(key.0 as u32, self.slots.len())) {
            codec::prefetch(std::ptr::from_ref(slot).addr());
        }
    }

    pub(super) fn insert(&mut self, key: SeriesKey, series: SeriesRef) {
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        let mut slot = Slot::of_key(key);
        slot.stream = series.stream.0;
        slot.lane = series.lane.0;
        self.len += usize::from(place(&mut self.slots, slot));
    }

    /// Keeps the keys of some series, in a table of their size.
    pub(super) fn retain(&mut self, keep: impl Fn(SeriesRef) -> bool) {
        let mut kept = Self::default();
        for slot in self
            .slots
            .iter()
            .filter(|slot| slot.tag != 0 && keep(slot.series()))
        {
            if (kept.len + 1) * 5 > kept.slots.len() * 4 {
                kept.grow();
            }
            kept.len += usize::from(place(&mut kept.slots, *slot));
        }
        *self = kept;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    fn grow(&mut self) {
        let n_slots = (self.slots.len() + self.slots.len() / 4).max(SLOTS_MIN);
        let mut slots = vec![Slot::default(); n_slots];
        for &slot in self.slots.iter().filter(|slot| slot.tag != 0) {
            place(&mut slots, slot);
        }
        self.slots = slots;
    }
}

impl Slot {
    /// The slot of a key whose series is still to be filled in.
    fn of_key(key: SeriesKey) -> Self {
        Self {
            key: [key.0 as u32, (key.0 >> 32) as u32, (key.0 >> 64) as u32],
            tag: (key.0 >> 96) as u16 | 1,
            ..Self::default()
        }
    }

    fn series(&self) -> SeriesRef {
        SeriesRef {
            stream: StreamId(self.stream),
            lane: LaneIdx(self.lane),
        }
    }
}

/// Where the search for a key begins: its lowest word, scaled to the number of slots.
fn home(word: u32, n_slots: usize) -> usize {
    ((u64::from(word) * n_slots as u64) >> 32) as usize
}

/// Puts `slot` in its place; false when its key was there already. There must be a free slot.
fn place(slots: &mut [Slot], slot: Slot) -> bool {
    let mut position = home(slot.key[0], slots.len());
    loop {
        let present = &mut slots[position];
        let is_new = present.tag == 0;
        if is_new || (present.tag == slot.tag && present.key == slot.key) {
            *present = slot;
            return is_new;
        }
        position = (position + 1) % slots.len();
    }
}
