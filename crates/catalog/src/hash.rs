//! The keyed hash of everything that comes from outside.
//!
//! Identity by hash is only sound when nobody can aim for a collision, so every hash here depends on a random
//! secret that never leaves the process. Nothing that is stored depends on it.

use std::fmt;

use xxhash_rust::xxh3::{xxh3_64_with_secret, xxh3_128_with_secret};

use crate::entities::EntityKey;

/// Bytes of a [`HashSecret`].
pub const HASH_SECRET_BYTES: usize = 192;

/// The key of all hashes of a process.
#[derive(Clone)]
pub struct HashSecret([u8; HASH_SECRET_BYTES]);

impl HashSecret {
    /// The secret made of these bytes, which the caller takes from the system's random source.
    #[must_use]
    pub fn new(bytes: [u8; HASH_SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// A secret spread from 64 bits: for tests and simulations, where a run must repeat. Anybody who knows the
    /// seed can build collisions.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut bytes = [0; HASH_SECRET_BYTES];
        let mut state = seed;
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&split_mix(&mut state).to_le_bytes());
        }
        Self(bytes)
    }

    /// 128 bits that stand for a label set, given as pairs sorted by name, as long as the process lives.
    #[must_use]
    pub fn label_set<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> u128 {
        EntityKey::new(labels, self).bits()
    }

    /// 128 bits, enough to stand for the hashed bytes themselves.
    pub(crate) fn identity(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_secret(bytes, &self.0)
    }

    /// 64 bits, for hash tables that compare what they find.
    pub(crate) fn bucket(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_secret(bytes, &self.0)
    }
}

/// Hides the bytes: they must not reach a log.
impl fmt::Debug for HashSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashSecret(..)")
    }
}

/// The next number of the SplitMix64 sequence (Steele, Lea, Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_secrets_give_other_hashes() {
        let (one, two) = (HashSecret::from_seed(1), HashSecret::from_seed(2));
        for len in [0, 1, 5, 12, 30, 200, 1_000] {
            let bytes = vec![7; len];
            assert_eq!(one.identity(&bytes), HashSecret::from_seed(1).identity(&bytes));
            assert_ne!(one.identity(&bytes), two.identity(&bytes), "{len} bytes");
            assert_ne!(one.bucket(&bytes), two.bucket(&bytes), "{len} bytes");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{:?}", HashSecret::from_seed(1)), "HashSecret(..)");
    }
}
