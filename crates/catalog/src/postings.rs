//! Which entities have a label value.

use roaring::{MultiOps, RoaringBitmap};

/// The rows of the entities that have one (label, value). Values that a single entity has, such as pod addresses,
/// are the most numerous and take no bitmap.
#[derive(Debug)]
pub(crate) enum Postings {
    None,
    One(u32),
    Many(Box<RoaringBitmap>),
}

impl Postings {
    /// Adds a row that is not in.
    pub(crate) fn insert(&mut self, row: u32) {
        match self {
            Self::None => *self = Self::One(row),
            Self::One(first) => *self = Self::Many(Box::new(RoaringBitmap::from_iter([*first, row]))),
            Self::Many(rows) => {
                rows.insert(row);
            }
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Many(rows) => bitmap_bytes(rows),
        }
    }
}

/// All rows of several postings.
pub(crate) fn union<'a>(postings: impl Iterator<Item = &'a Postings>) -> RoaringBitmap {
    let mut singles = Vec::new();
    let mut bitmaps = Vec::new();
    for posting in postings {
        match posting {
            Postings::None => {}
            Postings::One(row) => singles.push(*row),
            Postings::Many(rows) => bitmaps.push(&**rows),
        }
    }
    let rows = match bitmaps.as_slice() {
        [] => RoaringBitmap::new(),
        [only] => RoaringBitmap::clone(only),
        [..] => bitmaps.union(),
    };
    if singles.is_empty() {
        return rows;
    }
    // Codes of one label exclude each other, so that no row stands twice; in order, appending is cheap.
    singles.sort_unstable();
    rows | RoaringBitmap::from_sorted_iter(singles).unwrap_or_default()
}

/// What a bitmap takes, from its kinds of containers.
pub(crate) fn bitmap_bytes(rows: &RoaringBitmap) -> usize {
    const CONTAINER_BYTES: u64 = 40;
    const BITSET_BYTES: u64 = 8_192;
    let statistics = rows.statistics();
    let bytes = size_of::<RoaringBitmap>() as u64
        + u64::from(statistics.n_containers) * CONTAINER_BYTES
        // The library counts four bytes per element of an array, which has two, and the bits of a bitset.
        + statistics.n_bytes_array_containers / 2
        + u64::from(statistics.n_bitset_containers) * BITSET_BYTES
        + statistics.n_bytes_run_containers;
    bytes as usize
}
