//! Damage to bytes, for tests of everything that reads foreign or stored ones.

use crate::Chance;

/// Bytes that decoders stumble over more often than over others.
const ODD_BYTES: [u8; 8] = [0x00, 0x01, 0x0a, 0x22, 0x5c, 0x7f, 0x80, 0xff];

/// A varint of 64 bits, a length no message has.
const HUGE_VARINT: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

/// Damages `bytes` at one to four places: flips a bit, puts another byte, takes out, doubles or moves a piece, puts
/// in something odd, cuts the end off.
pub fn mutate(bytes: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        mutate_once(bytes, chance);
    }
}

fn mutate_once(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let at = chance.index(bytes.len() + 1);
    let end = (at + chance.index(16)).min(bytes.len());
    let odd = ODD_BYTES[chance.index(ODD_BYTES.len())];
    match chance.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
        1 if at < bytes.len() => bytes[at] = odd,
        2 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
        3 => drop(bytes.drain(at..end)),
        4 => bytes.insert(at, odd),
        5 => drop(bytes.splice(at..at, HUGE_VARINT)),
        6 => {
            let piece = bytes[at..end].to_vec();
            let target = chance.index(bytes.len() + 1);
            drop(bytes.splice(target..target, piece));
        }
        7 => {
            let piece: Vec<u8> = bytes.drain(at..end).collect();
            let target = chance.index(bytes.len() + 1);
            drop(bytes.splice(target..target, piece));
        }
        _ => bytes.truncate(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_follows_from_the_seed_and_is_real() {
        let original: Vec<u8> = (0..100).collect();
        let damaged = |seed| {
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut Chance::from_seed(seed));
            bytes
        };
        assert_eq!(damaged(3), damaged(3));
        let n_changed = (0..1_000).filter(|seed| damaged(*seed) != original).count();
        assert!(n_changed > 950, "{n_changed}");
    }

    #[test]
    fn even_nothing_can_be_damaged() {
        for seed in 0..1_000 {
            mutate(&mut Vec::new(), &mut Chance::from_seed(seed));
        }
    }
}
