//! LZ4 frames of columns: a packer that knows where elements begin.
//!
//! What repeats in a column are elements, so a repetition is looked for where an element begins and nowhere between,
//! which is a fraction of the places a packer of text looks at. An element that does not repeat may still begin with
//! the bytes of the one before it: those that a float of a small integer has are mostly zeros.
//!
//! ```text
//! frame: 04 22 4d 18 | 60 = blocks stand alone, no checksums | size of blocks: 40, 50, 60, 70 | checksum of both
//!        per block: length, bit 31 = not packed: 4 | bytes
//!        0: 4
//! ```
//! Any reader of LZ4 frames unpacks it. Limits: blocks of 4 MiB at most, of which repetitions reach back 65,535 bytes.
//!
//! Sources: LZ4 frame format 1.6, LZ4 block format.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "the writing side: places are its own, and lengths those of a block"
)]

/// Packs columns; keeps its working memory from column to column.
#[derive(Debug)]
pub struct FramePacker {
    /// For the hash of a word the place where it was seen last, plus `base` of that time.
    places: Box<[u32; N_PLACES]>,
    /// Places below it are those of earlier blocks.
    base: u32,
    packed: Vec<u8>,
}

const N_PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 12;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// Size of blocks, and the second byte and the checksum of the header that go with it.
const BLOCK_SIZES: [(usize, [u8; 2]); 4] = [
    (64 << 10, [0x40, 0x82]),
    (256 << 10, [0x50, 0xfb]),
    (1 << 20, [0x60, 0x51]),
    (BLOCK_BYTES_MAX, [0x70, 0x73]),
];
const BLOCK_BYTES_MAX: usize = 4 << 20;
const NOT_PACKED: u32 = 1 << 31;

/// Bytes of one look.
const WORD_BYTES: usize = 8;

/// A repetition is no shorter.
const MATCH_BYTES_MIN: usize = 4;

/// It does not reach further back.
const DISTANCE_MAX: usize = 0xffff;

/// It begins no nearer to the end of a block.
const MATCH_END_MARGIN: usize = 12;

/// The last bytes of a block stand for themselves.
const LITERALS_MIN: usize = 5;

/// Lengths from here on have bytes of their own.
const LONG: usize = 15;

/// So many looks in vain make the steps longer by one element.
const PATIENCE: usize = 64;

/// Bytes of the buffer behind what is written, so that short pieces can be copied as whole words.
const SLACK_BYTES: usize = 16;

/// A larger buffer is given back.
const PACKED_BYTES_KEPT_MAX: usize = 1 << 20;

impl Default for FramePacker {
    fn default() -> Self {
        Self {
            places: Box::new([0; N_PLACES]),
            base: 1,
            packed: Vec::new(),
        }
    }
}

impl FramePacker {
    /// Appends to `out` a frame of `column`, whose elements have `width` bytes each.
    ///
    /// # Panics
    /// If `width` is 0.
    pub fn push_frame(&mut self, column: &[u8], width: usize, out: &mut Vec<u8>) {
        assert!(width > 0, "elements have a width");
        let is_enough = |(block_bytes, _): &&(usize, [u8; 2])| column.len() <= *block_bytes;
        let found = BLOCK_SIZES.iter().find(is_enough).or(BLOCK_SIZES.last());
        let Some((block_bytes, [descriptor, checksum])) = found else {
            return;
        };
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0x60, *descriptor, *checksum]);
        for block in column.chunks(*block_bytes) {
            let n_packed = self.pack(block, width);
            let (length, bytes) = match self.packed.get(..n_packed) {
                Some(packed) if n_packed < block.len() => (length_word(n_packed), packed),
                _ => (length_word(block.len()) | NOT_PACKED, block),
            };
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out.extend_from_slice(&[0; 4]);
        if self.packed.len() > PACKED_BYTES_KEPT_MAX {
            self.packed = Vec::new();
        }
    }

    /// Leaves a block packed at the front of the buffer; returns how many bytes it has there.
    fn pack(&mut self, block: &[u8], width: usize) -> usize {
        // 4 MiB at most, as `push_frame` cuts it.
        let n_bytes = length_word(block.len());
        if self.base > u32::MAX - n_bytes {
            self.places.fill(0);
            self.base = 1;
        }
        let n_bytes_max = block.len() + block.len() / 255 + SLACK_BYTES + 2 * WORD_BYTES;
        if self.packed.len() < n_bytes_max {
            self.packed.resize(n_bytes_max, 0);
        }
        let mut writer = SequenceWriter {
            block,
            n_written: 0,
            packed: &mut self.packed,
            end: 0,
        };
        find_matches(block, width, &mut self.places, self.base, &mut writer);
        writer.finish();
        let end = writer.end;
        self.base += n_bytes;
        end
    }
}

fn length_word(n_bytes: usize) -> u32 {
    u32::try_from(n_bytes).expect("a block has 4 MiB at most")
}

/// Tells `writer` of the repetitions in a block.
fn find_matches(
    block: &[u8],
    width: usize,
    places: &mut [u32; N_PLACES],
    base: u32,
    writer: &mut SequenceWriter<'_, '_>,
) {
    let Some(last_start) = block.len().checked_sub(MATCH_END_MARGIN) else {
        return;
    };
    let matches_end = block.len() - LITERALS_MIN;
    let (mut at, mut n_vain) = (0, 0);
    while at <= last_start {
        let word = word_at(block, at);
        let seen = std::mem::replace(&mut places[place_of(word, width)], base + at as u32);
        // Below the base it is of another block, and no place here is as far away as that makes it.
        let seen = seen.checked_sub(base).map_or(usize::MAX, |seen| seen as usize);
        let is_near = seen < at && at - seen <= DISTANCE_MAX;
        let mut found = (width, 0);
        if is_near {
            found = (at - seen, n_same(block, seen, at, matches_end));
        }
        if found.1 < MATCH_BYTES_MIN && at >= width {
            found = (width, n_same(block, at - width, at, matches_end));
        }
        let (distance, n_same) = found;
        if n_same < MATCH_BYTES_MIN {
            n_vain += 1;
            at += width * (1 + n_vain / PATIENCE);
            continue;
        }
        n_vain = 0;
        writer.push(at, distance, n_same);
        at = (at + n_same).next_multiple_of(width);
    }
}

/// How many bytes at `at` and behind it are those at `seen`, up to `end` of the block.
fn n_same(block: &[u8], seen: usize, at: usize, end: usize) -> usize {
    let mut n_same = 0;
    while at + n_same + WORD_BYTES <= end {
        let difference = word_at(block, seen + n_same) ^ word_at(block, at + n_same);
        if difference != 0 {
            return n_same + difference.trailing_zeros() as usize / 8;
        }
        n_same += WORD_BYTES;
    }
    while at + n_same < end && block[seen + n_same] == block[at + n_same] {
        n_same += 1;
    }
    n_same
}

/// Eight bytes that are there.
#[inline]
fn word_at(block: &[u8], at: usize) -> u64 {
    let bytes = block[at..].first_chunk::<WORD_BYTES>();
    u64::from_le_bytes(*bytes.expect("a look ends within the block"))
}

/// Where a word is remembered: the upper bits of its product with the golden ratio. Of bytes, five at a time are looked
/// for: repetitions among them are shorter.
#[inline]
fn place_of(word: u64, width: usize) -> usize {
    let looked_for = if width == 1 { word << 24 } else { word };
    (looked_for.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PLACE_BITS)) as usize
}

/// Writes sequences: bytes that stand for themselves, then a repetition.
struct SequenceWriter<'a, 'b> {
    block: &'a [u8],
    /// Bytes of the block that are written.
    n_written: usize,
    packed: &'b mut [u8],
    /// Where the next sequence begins.
    end: usize,
}

impl SequenceWriter<'_, '_> {
    /// The bytes up to `at`, and behind them `n_same` bytes that stand `distance` bytes before, too.
    fn push(&mut self, at: usize, distance: usize, n_same: usize) {
        let n_literals = at - self.n_written;
        let n_more = n_same - MATCH_BYTES_MIN;
        self.push_byte(n_literals.min(LONG) << 4 | n_more.min(LONG));
        self.push_literals(n_literals);
        self.push_byte(distance & 0xff);
        self.push_byte(distance >> 8);
        self.push_long(n_more);
        self.n_written = at + n_same;
    }

    /// The bytes that are left.
    fn finish(&mut self) {
        let n_literals = self.block.len() - self.n_written;
        self.push_byte(n_literals.min(LONG) << 4);
        self.push_literals(n_literals);
    }

    fn push_literals(&mut self, n_literals: usize) {
        self.push_long(n_literals);
        let (from, to) = (self.n_written, self.end);
        if n_literals <= WORD_BYTES && from + WORD_BYTES <= self.block.len() {
            // What is too much is written over next.
            self.packed[to..to + WORD_BYTES].copy_from_slice(&self.block[from..from + WORD_BYTES]);
        } else {
            self.packed[to..to + n_literals].copy_from_slice(&self.block[from..from + n_literals]);
        }
        self.end += n_literals;
        self.n_written += n_literals;
    }

    /// What of a length does not fit into the first byte of its sequence.
    fn push_long(&mut self, length: usize) {
        let Some(mut left) = length.checked_sub(LONG) else {
            return;
        };
        while left >= 255 {
            self.push_byte(255);
            left -= 255;
        }
        self.push_byte(left);
    }

    #[inline]
    fn push_byte(&mut self, byte: usize) {
        self.packed[self.end] = byte as u8;
        self.end += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a frame unpacks to, by the letter of the format.
    fn unpacked(frame: &[u8]) -> Vec<u8> {
        assert_eq!(frame[..4], MAGIC);
        let known = BLOCK_SIZES.iter().find(|(_, header)| frame[5..7] == *header);
        let (block_bytes, _) = known.unwrap();
        let mut bytes = Vec::new();
        let mut rest = &frame[7..];
        loop {
            let (length, behind) = rest.split_first_chunk::<4>().unwrap();
            let length = u32::from_le_bytes(*length);
            if length == 0 {
                assert!(behind.is_empty());
                return bytes;
            }
            let (block, behind) = behind.split_at((length & !NOT_PACKED) as usize);
            rest = behind;
            let n_before = bytes.len();
            if length & NOT_PACKED == 0 {
                bytes.extend(unpacked_block(block));
            } else {
                bytes.extend_from_slice(block);
            }
            assert!(bytes.len() - n_before <= *block_bytes);
        }
    }

    fn unpacked_block(block: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = block.iter().copied();
        let long = |rest: &mut dyn Iterator<Item = u8>, length: usize| {
            let mut length = length;
            if length == LONG {
                loop {
                    let more = rest.next().unwrap();
                    length += usize::from(more);
                    if more < 255 {
                        break;
                    }
                }
            }
            length
        };
        let mut last_match_start = 0;
        loop {
            let token = usize::from(rest.next().unwrap());
            let n_literals = long(&mut rest, token >> 4);
            bytes.extend(rest.by_ref().take(n_literals));
            let Some(low) = rest.next() else {
                // As decoders expect it.
                if last_match_start > 0 {
                    assert!(n_literals >= LITERALS_MIN && last_match_start + MATCH_END_MARGIN <= bytes.len());
                }
                return bytes;
            };
            let distance = usize::from(low) | usize::from(rest.next().unwrap()) << 8;
            let n_same = long(&mut rest, token & 15) + MATCH_BYTES_MIN;
            last_match_start = bytes.len();
            for _ in 0..n_same {
                bytes.push(bytes[bytes.len() - distance]);
            }
        }
    }

    fn packed(packer: &mut FramePacker, column: &[u8], width: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        packer.push_frame(column, width, &mut frame);
        assert_eq!(unpacked(&frame), column);
        frame
    }

    fn bytes_of(values: impl IntoIterator<Item = f64>) -> Vec<u8> {
        values.into_iter().flat_map(f64::to_le_bytes).collect()
    }

    #[test]
    fn what_repeats_takes_next_to_nothing() {
        let mut packer = FramePacker::default();
        assert!(packed(&mut packer, &vec![0; 16_000], 8).len() < 100);
        let lanes: Vec<u8> = (0..2_000).flat_map(|row: u16| (row % 22).to_le_bytes()).collect();
        assert!(packed(&mut packer, &lanes, 2).len() < 100);
        let buckets = bytes_of((0..2_000).map(|row| f64::from(row / 11)));
        assert!(packed(&mut packer, &buckets, 8).len() < 2_000);
    }

    #[test]
    fn floats_of_small_integers_share_their_zeros() {
        let counters = bytes_of((0..2_000_u32).map(|row| f64::from(row * 7_919 % 60_013)));
        let n_bytes = packed(&mut FramePacker::default(), &counters, 8).len();
        assert!(n_bytes < counters.len() * 9 / 10, "{n_bytes}");
    }

    #[test]
    fn what_does_not_repeat_stays_as_it_is() {
        let mut state = 1_u64;
        let noise = (0..100_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        });
        let noise: Vec<u8> = noise.collect();
        for n_bytes in [1, 12, 13, 70_000, 100_000] {
            let frame = packed(&mut FramePacker::default(), &noise[..n_bytes], 1);
            assert_eq!(frame.len(), 7 + 4 + n_bytes + 4);
        }
    }

    #[test]
    fn every_size_of_blocks_is_read_back() {
        let mut packer = FramePacker::default();
        for n_bytes in [0, 1, 64 << 10, (64 << 10) + 1, (256 << 10) + 1, (4 << 20) + 5] {
            let column: Vec<u8> = (0..n_bytes / 4 + 1)
                .flat_map(|row: usize| (row / 3).to_le_bytes()[..4].to_vec())
                .take(n_bytes)
                .collect();
            packed(&mut packer, &column, 4);
        }
        assert!(packer.packed.len() <= PACKED_BYTES_KEPT_MAX);
    }

    #[test]
    fn places_begin_anew_before_they_overflow() {
        let mut packer = FramePacker::default();
        let column = bytes_of((0..500).map(|row| f64::from(row % 17)));
        packed(&mut packer, &column, 8);
        packer.base = u32::MAX - 5_000;
        for _ in 0..3 {
            packed(&mut packer, &column, 8);
        }
        assert!(packer.base < 20_000);
    }

    proptest! {
        #[test]
        fn columns_are_read_back(
            pieces in proptest::collection::vec((0..20_u64, 1..40_usize, any::<bool>()), 0..60),
            width in prop::sample::select(vec![1, 2, 3, 4, 8]),
            cut in 0..8_usize,
        ) {
            let mut column = Vec::new();
            for (seed, n_elements, is_run) in pieces {
                for element in 0..n_elements as u64 {
                    let value = if is_run { seed } else { seed.wrapping_mul(element + 0x9e37_79b9) };
                    column.extend_from_slice(&value.to_le_bytes()[..width]);
                }
            }
            column.truncate(column.len().saturating_sub(cut));
            let mut packer = FramePacker::default();
            packed(&mut packer, &column, width);
            packed(&mut packer, &column, width);
        }
    }
}
