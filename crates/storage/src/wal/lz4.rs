//! How much an lz4 frame may unpack to, told from its headers.
//!
//! Arrow unpacks a frame to its end before it compares the length with what was claimed, so that 16 MiB of crafted
//! bytes could become four gigabytes. The blocks of a frame have a length that they do not exceed.
//!
//! ```text
//! magic 04 22 4D 18 | flags | size of blocks | content length, if flagged: 8 | checksum
//! per block: length, bit 31 = not compressed: 4 | bytes | checksum, if flagged: 4
//! end: 0: 4 | checksum, if flagged: 4
//! ```
//! Source: LZ4 frame format 1.6.

use super::bytes::u32_at;

const MAGIC: u32 = 0x184d_2204;
const FLAGS_AT: usize = 4;
const BLOCK_SIZE_AT: usize = 5;
const HEADER_BYTES: usize = 7;

const BLOCK_CHECKSUM: u8 = 1 << 4;
const CONTENT_LENGTH: u8 = 1 << 3;
const DICTIONARY: u8 = 1;
const NOT_COMPRESSED: u32 = 1 << 31;

/// No more bytes than this come out of a frame; none if it is no frame.
pub(super) fn unpacked_bytes_max(frame: &[u8]) -> Option<u64> {
    let (flags, block_size) = (*frame.get(FLAGS_AT)?, *frame.get(BLOCK_SIZE_AT)?);
    if u32_at(frame, 0)? != MAGIC || flags & DICTIONARY != 0 {
        return None;
    }
    // 4 to 7: 64 KiB, 256 KiB, 1 MiB, 4 MiB.
    let block_bytes_max = match block_size >> 4 & 7 {
        size @ 4..=7 => 1_u64 << (8 + 2 * size),
        _ => return None,
    };
    let optional = |flag: u8, n_bytes: usize| if flags & flag == 0 { 0 } else { n_bytes };
    let mut position = HEADER_BYTES + optional(CONTENT_LENGTH, 8);
    let mut n_bytes = 0;
    loop {
        let length = u32_at(frame, position)?;
        if length == 0 {
            return Some(n_bytes);
        }
        let stored = (length & !NOT_COMPRESSED) as usize;
        n_bytes += if length & NOT_COMPRESSED == 0 {
            block_bytes_max
        } else {
            stored as u64
        };
        position = position.checked_add(4 + stored + optional(BLOCK_CHECKSUM, 4))?;
    }
}
