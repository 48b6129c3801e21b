//! Differences of neighbouring buckets, taken from bytes and added up.
//!
//! Two ways: byte by byte, which works for differences of a byte or two and does not branch ([`each_byte`]), and difference
//! by difference, which works for all ([`walk`]). Of a hundred buckets the first takes three quarters of the time of the
//! second, of a dozen more.

/// The sum of that many buckets, all of which are below 2^44; nothing if the bytes are anything else.
pub(super) fn sum_of_buckets(bytes: &[u8], n_buckets: usize) -> Option<u64> {
    if bytes.is_empty() {
        return (n_buckets == 0).then_some(0);
    }
    let (mut sum, mut any, mut n_ends) = (0_u64, 0, 0_usize);
    let is_short = may_be_short(bytes, n_buckets)
        && each_byte(bytes, |count, ends| {
            any |= count;
            sum = sum.wrapping_add(count & ends);
            n_ends = n_ends.wrapping_sub(ends as usize);
        });
    if !is_short {
        (sum, any, n_ends) = (0, 0, n_buckets);
        let rest = walk(bytes, n_buckets, |count| {
            sum = sum.wrapping_add(count);
            any |= count;
        })?;
        if !rest.is_empty() {
            return None;
        }
    }
    // From below 2^44 no difference of 64 bits leads around to below 2^44 again, so that one that fell below zero shows.
    (n_ends == n_buckets && any < 1 << 44).then_some(sum)
}

/// Fills all buckets; gives the bytes behind theirs. Nothing if the bytes end before or a varint is longer than 64 bits.
pub(super) fn unpack_buckets<'a>(bytes: &'a [u8], buckets: &mut [u64]) -> Option<&'a [u8]> {
    let mut n_ends = 0_usize;
    let is_short = may_be_short(bytes, buckets.len())
        && each_byte(bytes, |count, ends| {
            // What is written before a difference ends is overwritten.
            if let Some(bucket) = buckets.get_mut(n_ends) {
                *bucket = count;
            }
            n_ends = n_ends.wrapping_sub(ends as usize);
        });
    if is_short && n_ends == buckets.len() {
        return Some(&[]);
    }
    let mut slots = buckets.iter_mut();
    walk(bytes, slots.len(), |count| {
        if let Some(slot) = slots.next() {
            *slot = count;
        }
    })
}

/// From so many buckets on, [`each_byte`] is quicker than [`walk`].
const BUCKETS_MIN: usize = 64;

/// False if [`walk`] is what to do: there are few buckets, or so many bytes that some differences need three and more.
fn may_be_short(bytes: &[u8], n_buckets: usize) -> bool {
    n_buckets >= BUCKETS_MIN && bytes.len() <= 2 * n_buckets
}

/// Bytes that are looked at together.
const LANES: usize = 32;

/// What some bytes say, each as the byte behind another.
struct Lanes {
    /// The difference that ends with it; 0 if none does.
    differences: [i16; LANES],
    /// All bits set if one does.
    ends: [i16; LANES],
    /// The top bit is set if one goes on behind its second byte.
    long: u8,
}

impl Lanes {
    #[inline(always)]
    fn read(&mut self, before: &[u8; LANES], bytes: &[u8; LANES]) {
        let mut long = 0;
        for lane in 0..LANES {
            let (before, byte) = (before[lane], bytes[lane]);
            long |= before & byte;
            let (before, byte) = (u16::from(before), u16::from(byte));
            let is_second = (before >> 7).wrapping_neg();
            let zigzag = byte & !is_second | (byte << 7 | before & 0x7f) & is_second;
            let ends = (byte >> 7).wrapping_sub(1);
            self.ends[lane] = ends.cast_signed();
            self.differences[lane] = (((zigzag >> 1) ^ (zigzag & 1).wrapping_neg()) & ends).cast_signed();
        }
        self.long |= long;
    }
}

/// Calls `each` for every byte with the sum of the differences that have ended so far, wrapping, and with all bits set if
/// one ends there or else none. False if a difference takes three bytes or more, or the last one does not end: then what
/// was said is of no meaning.
///
/// A byte needs the one before it and nothing else to know what ends there, so that many are looked at in one go.
#[inline(always)]
fn each_byte(bytes: &[u8], mut each: impl FnMut(u64, u64)) -> bool {
    let mut count = 0_u64;
    let mut lanes = Lanes {
        differences: [0; LANES],
        ends: [0; LANES],
        long: 0,
    };
    let mut start = 0;
    while start < bytes.len() {
        let mut add = |difference: i16, ends: i16| {
            count = count.wrapping_add_signed(i64::from(difference));
            each(count, i64::from(ends).cast_unsigned());
        };
        let own = bytes.get(start..).and_then(<[u8]>::first_chunk);
        let before = start.checked_sub(1).and_then(|before| bytes.get(before..));
        let n_bytes = LANES.min(bytes.len() - start);
        if let (Some(own), Some(before)) = (own, before.and_then(<[u8]>::first_chunk)) {
            lanes.read(before, own);
        } else {
            // The first bytes and the last ones.
            let mut padded = [0; LANES + 1];
            let with_before = &bytes[start.saturating_sub(1)..start + n_bytes];
            padded[usize::from(start == 0)..][..with_before.len()].copy_from_slice(with_before);
            if let (Some(before), Some(own)) = (padded.first_chunk(), padded.last_chunk()) {
                lanes.read(before, own);
            }
        }
        if lanes.long & 0x80 != 0 {
            return false;
        }
        for lane in 0..n_bytes {
            add(lanes.differences[lane], lanes.ends[lane]);
        }
        start += LANES;
    }
    bytes.last().is_none_or(|byte| *byte < 0x80)
}

/// The top bits of eight bytes: set on all bytes of a varint but its last.
const TOP_BITS: u64 = 0x8080_8080_8080_8080;

/// Calls `each` with that many counts, of which the bytes begin with the differences; gives the bytes behind them. Counts
/// beyond 64 bits wrap. Nothing if the bytes end before or a varint is longer than 64 bits.
///
/// Differences of neighbours mostly take a byte: eight of those are taken at once. Of eight bytes among which there are
/// longer ones, those that end there are, one top bit that is not set after the other.
#[inline(always)]
pub(super) fn walk(bytes: &[u8], n_buckets: usize, mut each: impl FnMut(u64)) -> Option<&[u8]> {
    let (mut rest, mut n_left) = (bytes, n_buckets);
    let mut count = 0_u64;
    let mut add = |zigzag: u64| {
        count = count.wrapping_add(unzigzag(zigzag));
        each(count);
    };
    while n_left >= 8
        && let Some((chunk, behind)) = rest.split_first_chunk()
    {
        let word = u64::from_le_bytes(*chunk);
        let mut ends = !word & TOP_BITS;
        if ends == TOP_BITS {
            chunk.iter().for_each(|byte| add(u64::from(*byte)));
            (rest, n_left) = (behind, n_left - 8);
            continue;
        }
        if ends == 0 {
            let (zigzag, behind) = read_varint(rest)?;
            add(zigzag);
            (rest, n_left) = (behind, n_left - 1);
            continue;
        }
        n_left -= ends.count_ones() as usize;
        let is_short = !ends & (!ends >> 8) & TOP_BITS == 0;
        let mut start = 0;
        while ends != 0 {
            let end = ends.trailing_zeros() + 1;
            let own = word >> start & u64::MAX >> (64 + start - end);
            add(if is_short {
                own & 0x7f | own >> 1 & 0x3f80
            } else {
                squeezed(own)
            });
            start = end;
            ends &= ends - 1;
        }
        rest = rest.get(start as usize / 8..)?;
    }
    for _ in 0..n_left {
        let (zigzag, behind) = read_varint(rest)?;
        add(zigzag);
        rest = behind;
    }
    Some(rest)
}

/// The varint at the front of the bytes, and what is behind it.
#[inline]
pub(super) fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [byte, rest @ ..] if *byte < 0x80 => Some((u64::from(*byte), rest)),
        [low, high, rest @ ..] if *high < 0x80 => {
            Some((u64::from(*low & 0x7f) | u64::from(*high) << 7, rest))
        }
        _ => read_long_varint(bytes),
    }
}

pub(super) fn read_long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (position, byte) in bytes.iter().enumerate().take(10) {
        if position == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * position);
        if *byte < 0x80 {
            return Some((value, bytes.get(position + 1..)?));
        }
    }
    None
}

/// The value of a varint of up to eight bytes: the gaps of the top bits closed.
#[inline]
fn squeezed(varint: u64) -> u64 {
    let sevens = varint & !TOP_BITS;
    let pairs = sevens & 0x007f_007f_007f_007f | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
}

/// A difference as what is to be added to 64 bits that wrap.
#[inline(always)]
fn unzigzag(zigzag: u64) -> u64 {
    (zigzag >> 1) ^ (zigzag & 1).wrapping_neg()
}
