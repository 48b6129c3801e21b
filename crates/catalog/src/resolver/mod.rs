//! The resolver: raw label bytes → series, without looking into them.
//!
//! A sender repeats the same 1 kB of labels with every sample. [`Resolver::key`] hashes those bytes as they came,
//! and the map says which series they name, so known labels are never parsed again. Ingest threads read it all the
//! time; it is written when a series, or a new spelling of a known one, comes up.
//!
//! - **Identity.** Two byte strings with equal keys are the same series to the store. 116 bits of the keyed hash
//!   are compared: among ten million keys the chance of a single mistake is 10⁻²¹, and nobody without the secret
//!   can raise it.
//! - **Spellings.** The same labels in another order are another key of the same series. So that a client which
//!   shuffles its labels cannot fill the memory, a shard that holds more than its part of
//!   `6 × series + 65,536` keys is emptied; its keys come back one by one, each at the price of one miss.
//! - **Order.** A batch whose keys come in the order in which they came first is found without a search. So what a
//!   request brings is inserted in one go ([`Resolver::insert_batch`]): threads that insert keys one by one would mix
//!   theirs, and half of all look-ups would search.
//! - **Size.** At most 31.25 bytes per key.
//! - **Locks.** 16 shards, one reader-writer lock each, held for one lookup ([`Resolver::get`]) or for all shards
//!   during a batch ([`Resolver::get_batch`]); for writing, one at a time for its keys of one request. No code of
//!   others runs under a lock.

mod table;

use std::sync::atomic::{AtomicUsize, Ordering};

use model::SeriesRef;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::hash::HashSecret;
use table::{Cursor, Table};

/// The keyed hash of a series' label bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(pub u128);

/// A concurrent map from [`SeriesKey`] to [`SeriesRef`].
#[derive(Debug)]
pub struct Resolver {
    secret: HashSecret,
    shards: [Shard; N_SHARDS],
    n_series: AtomicUsize,
}

const N_SHARDS: usize = 16;

/// How many keys ahead of a search by hash memory of the index is asked for, and of what it points to.
const INDEX_AHEAD: usize = 16;
const ENTRY_AHEAD: usize = 8;

/// After so many keys in their order it is not asked for any more, until one is not where it is looked for.
const ORDERLY: usize = 4;

/// Keys that may always be held, whatever the number of series.
const FREE_KEYS: usize = 65_536;

/// Keys per series beyond [`FREE_KEYS`]: one for each wire format and replica of its sender, and one while a sender
/// changes its spelling.
const KEYS_PER_SERIES: usize = 6;

/// On its own pair of cache lines, so that readers of two shards do not disturb each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(RwLock<Table>);

impl Resolver {
    /// An empty resolver.
    #[must_use]
    pub fn new(secret: HashSecret) -> Self {
        Self {
            secret,
            shards: Default::default(),
            n_series: AtomicUsize::new(0),
        }
    }

    /// The key of a series' labels as they came. Equal bytes must mean equal labels: a caller with another encoding
    /// than remote write 1.0's label messages (which never begin with a 0 byte) puts a tag of its own before it.
    #[must_use]
    pub fn key(&self, label_bytes: &[u8]) -> SeriesKey {
        SeriesKey(self.secret.identity(label_bytes))
    }

    /// The series of one key, if known.
    #[must_use]
    pub fn get(&self, key: SeriesKey) -> Option<SeriesRef> {
        self.shard(key).0.read().get(key)
    }

    /// Looks up many keys: `found[i]` answers `keys[i]`, replacing what `found` held. Returns how many are unknown.
    ///
    /// The locks are taken once for the whole batch, which pays from some dozens of keys on. Where keys come in another
    /// order than before, the memory of later ones is asked for ahead, so that the processor waits for many at once.
    pub fn get_batch(&self, keys: &[SeriesKey], found: &mut Vec<Option<SeriesRef>>) -> usize {
        found.clear();
        let shards: [RwLockReadGuard<'_, Table>; N_SHARDS] =
            std::array::from_fn(|shard_idx| self.shards[shard_idx].0.read());
        let mut cursors = [Cursor::default(); N_SHARDS];
        let mut n_in_order = 0;
        found.extend(keys.iter().enumerate().map(|(position, &key)| {
            if n_in_order < ORDERLY {
                if let Some(&later) = keys.get(position + INDEX_AHEAD) {
                    shards[shard_idx(later)].prefetch_index(later);
                }
                if let Some(&later) = keys.get(position + ENTRY_AHEAD) {
                    shards[shard_idx(later)].prefetch_entry(later);
                }
            }
            let shard_idx = shard_idx(key);
            let (series, is_next) = shards[shard_idx].get_next(key, &mut cursors[shard_idx]);
            n_in_order = if is_next { n_in_order + 1 } else { 0 };
            series
        }));
        drop(shards);
        found.iter().filter(|series| series.is_none()).count()
    }

    /// Remembers what a key means. A known key takes the new meaning.
    pub fn insert(&self, key: SeriesKey, series: SeriesRef) {
        self.insert_batch(&[(key, series)]);
    }

    /// As [`Self::insert`] for many keys, in their order: who else inserts meanwhile does not come between them, so that
    /// a batch with the same keys finds each behind the other.
    pub fn insert_batch(&self, learned: &[(SeriesKey, SeriesRef)]) {
        let n_keys_max = KEYS_PER_SERIES * self.n_series.load(Ordering::Relaxed) + FREE_KEYS;
        for (idx, shard) in self.shards.iter().enumerate() {
            let mut own = learned
                .iter()
                .filter(|(key, _)| shard_idx(*key) == idx)
                .peekable();
            if own.peek().is_none() {
                continue;
            }
            let mut table = shard.0.write();
            for (key, series) in own {
                if table.len() >= n_keys_max / N_SHARDS {
                    *table = Table::default();
                }
                table.insert(*key, *series);
            }
        }
    }

    /// Forgets the keys of series that `keep` does not want.
    pub fn retain(&self, keep: impl Fn(SeriesRef) -> bool) {
        for shard in &self.shards {
            shard.0.write().retain(&keep);
        }
    }

    /// Tells how many series the catalog has, from which the limit on keys follows.
    pub fn set_n_series(&self, n_series: usize) {
        self.n_series.store(n_series, Ordering::Relaxed);
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.read().len()).sum()
    }

    /// True when no key is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated for the keys.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.read().heap_bytes()).sum()
    }

    fn shard(&self, key: SeriesKey) -> &Shard {
        &self.shards[shard_idx(key)]
    }
}

/// The shard of a key: its four highest bits.
fn shard_idx(key: SeriesKey) -> usize {
    (key.0 >> 124) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{LaneIdx, StreamId};

    fn resolver() -> Resolver {
        Resolver::new(HashSecret::from_seed(1))
    }

    fn series(number: u32) -> SeriesRef {
        SeriesRef {
            stream: StreamId(number / 67),
            lane: LaneIdx((number % 67) as u16),
        }
    }

    #[test]
    fn every_key_finds_its_series() {
        let resolver = resolver();
        let keys: Vec<SeriesKey> = (0..50_000u32).map(|n| resolver.key(&n.to_le_bytes())).collect();
        for (number, &key) in keys.iter().enumerate() {
            assert_eq!(resolver.get(key), None);
            resolver.insert(key, series(number as u32));
        }
        let mut found = vec![None; 3];
        let unknown = resolver.key(b"other");
        let asked: Vec<SeriesKey> = keys.iter().copied().chain([unknown]).collect();
        assert_eq!(resolver.get_batch(&asked, &mut found), 1);
        assert_eq!(found.len(), 50_001);
        for (number, &key) in keys.iter().enumerate() {
            assert_eq!(found[number], Some(series(number as u32)));
            assert_eq!(resolver.get(key), found[number]);
        }
        assert_eq!(found[50_000], None);
    }

    #[test]
    fn batches_in_any_order_are_found() {
        let resolver = resolver();
        let keys: Vec<SeriesKey> = (0..3_000u32).map(|n| resolver.key(&n.to_le_bytes())).collect();
        for (number, &key) in keys.iter().enumerate() {
            resolver.insert(key, series(number as u32));
        }
        let mut found = Vec::new();
        // In order, backwards, with steps, with repetitions, with unknown ones among them.
        for step in [1, 2_999, 7, 1_000, 1_501] {
            let order: Vec<usize> = (0..4_000).map(|turn| turn * step % 3_000).collect();
            let unknown = |turn: usize| turn.is_multiple_of(11);
            let asked = order
                .iter()
                .enumerate()
                .map(|(turn, number)| match unknown(turn) {
                    true => resolver.key(&[turn as u8; 9]),
                    false => keys[*number],
                });
            let n_unknown = resolver.get_batch(&asked.collect::<Vec<_>>(), &mut found);
            assert_eq!(n_unknown, 4_000_usize.div_ceil(11));
            for (turn, (number, found)) in order.iter().zip(&found).enumerate() {
                assert_eq!(*found, (!unknown(turn)).then(|| series(*number as u32)));
            }
        }
    }

    #[test]
    fn batches_that_are_inserted_at_the_same_time_are_not_mixed() {
        let resolver = &resolver();
        resolver.set_n_series(200_000);
        let requests: Vec<Vec<(SeriesKey, SeriesRef)>> = (0..200u32)
            .map(|request| {
                let numbers = request * 1_000..(request + 1) * 1_000;
                numbers
                    .map(|n| (resolver.key(&n.to_le_bytes()), series(n)))
                    .collect()
            })
            .collect();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let own = requests.iter().skip(thread).step_by(2);
                scope.spawn(move || own.for_each(|request| resolver.insert_batch(request)));
            }
        });
        for request in &requests {
            let mut cursors = [Cursor::default(); N_SHARDS];
            let searched = request.iter().filter(|(key, series)| {
                let shard_idx = shard_idx(*key);
                let table = resolver.shards[shard_idx].0.read();
                let (found, is_next) = table.get_next(*key, &mut cursors[shard_idx]);
                assert_eq!(found, Some(*series));
                !is_next
            });
            // The first key of each shard, and no other.
            assert!(searched.count() <= N_SHARDS);
        }
    }

    #[test]
    fn a_known_key_takes_a_new_meaning() {
        let resolver = resolver();
        let key = resolver.key(b"x");
        resolver.insert(key, series(1));
        resolver.insert(key, series(2));
        assert_eq!((resolver.get(key), resolver.len()), (Some(series(2)), 1));
    }

    #[test]
    fn keys_of_what_is_let_go_are_forgotten_and_give_their_memory_back() {
        let resolver = resolver();
        for number in 0..50_000u32 {
            resolver.insert(resolver.key(&number.to_le_bytes()), series(number));
        }
        let n_bytes = resolver.heap_bytes();
        resolver.retain(|series| series.stream.0 < 10);
        for number in 0..50_000u32 {
            let expected = (number < 670).then(|| series(number));
            assert_eq!(resolver.get(resolver.key(&number.to_le_bytes())), expected);
        }
        assert!(resolver.heap_bytes() < n_bytes / 10);
    }

    #[test]
    fn spellings_without_end_do_not_fill_the_memory() {
        let resolver = resolver();
        resolver.set_n_series(1_000);
        for spelling in 0..500_000u32 {
            resolver.insert(resolver.key(&spelling.to_le_bytes()), series(1));
            assert_eq!(
                resolver.get(resolver.key(&spelling.to_le_bytes())),
                Some(series(1))
            );
        }
        assert!(resolver.len() <= 6 * 1_000 + 65_536, "{} keys", resolver.len());
    }

    #[test]
    fn keys_that_differ_in_one_bit_are_different() {
        let resolver = resolver();
        let key = resolver.key(b"x");
        resolver.insert(key, series(1));
        let is_kept = |bit: &u32| !(112..124).contains(bit);
        for bit in (0..128).filter(is_kept) {
            assert_eq!(resolver.get(SeriesKey(key.0 ^ (1 << bit))), None, "bit {bit}");
        }
    }

    #[test]
    fn readers_see_only_what_was_written() {
        const N_KEYS: u32 = 20_000;
        let resolver = &resolver();
        let key_of = |number: u32| resolver.key(&number.to_le_bytes());
        std::thread::scope(|scope| {
            for first in [0, 1] {
                let write = move |number| resolver.insert(key_of(number), series(number));
                scope.spawn(move || (first..N_KEYS).step_by(2).for_each(write));
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    let keys: Vec<SeriesKey> = (0..N_KEYS).map(key_of).collect();
                    let mut found = Vec::new();
                    while resolver.get_batch(&keys, &mut found) > 0 {
                        let numbered = (0..N_KEYS).zip(&found);
                        for (number, found) in numbered.filter(|(_, found)| found.is_some()) {
                            assert_eq!(*found, Some(series(number)));
                        }
                    }
                });
            }
        });
        assert_eq!(resolver.len(), N_KEYS as usize);
    }

    #[test]
    fn an_entry_takes_at_most_32_bytes() {
        let resolver = resolver();
        resolver.set_n_series(300_000);
        for number in 0..300_000u32 {
            resolver.insert(resolver.key(&number.to_le_bytes()), series(number));
            if number > 5_000 {
                assert!(resolver.heap_bytes() <= 32 * resolver.len(), "{number}");
            }
        }
    }
}
