//! Frames: how a record lies in a segment.
//!
//! ```text
//!  0  4  marker, F7 'M' 'T' 'R'
//!  4  4  payload length in bytes, a multiple of 8, at most 16 MiB
//!  8  1  kind of record
//!  9  1  flags: bit 0 = a copy of a record that stands before the samples of its group,
//!                  bit 1 = the first record of a group
//! 10  2  zero
//! 12  4  CRC-32C of the payload
//! 16  4  zero
//! 20  4  CRC-32C of the segment number (8), the frame's offset in it (8) and bytes 0 to 20 of this header
//! 24     payload
//! ```
//! Integers are little-endian. The header's checksum covers the place where the frame was written, so bytes that
//! look like a frame but stand elsewhere (label text that imitates one, blocks of an older file) are none. Frames
//! begin at multiples of 8.

use codec::checksum::{crc32c, crc32c_append};

use super::bytes::{u16_at, u32_at};

/// Bytes before the payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;

/// Bytes a payload may have.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Frames begin at multiples of this.
pub(crate) const FRAME_ALIGNMENT: usize = 8;

const MARKER: [u8; 4] = [0xf7, b'M', b'T', b'R'];
const CHECKED_BYTES: usize = 20;
const COPY_FLAG: u8 = 1;
const GROUP_FLAG: u8 = 2;

/// Where a frame stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the segment.
    pub(crate) segment: u64,
    /// Offset in it.
    pub(crate) offset: u64,
}

/// What a frame is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameRole {
    /// The first one.
    First,
    /// One of those behind it.
    Other,
    /// A repeated definition, needed only if the original is damaged.
    Copy,
}

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Kind of record.
    pub(crate) kind: u8,
    /// Its part in its group.
    pub(crate) role: FrameRole,
    /// Bytes of the payload.
    pub(crate) payload_len: usize,
    payload_crc: u32,
}

impl FrameHeader {
    /// The header of a payload.
    ///
    /// # Panics
    /// If the payload is too long or its length is no multiple of 8.
    pub(crate) fn of(kind: u8, role: FrameRole, payload: &[u8]) -> Self {
        assert!(
            payload.len() <= PAYLOAD_BYTES_MAX && payload.len().is_multiple_of(FRAME_ALIGNMENT),
            "a payload of {} bytes cannot be written",
            payload.len()
        );
        Self {
            kind,
            role,
            payload_len: payload.len(),
            payload_crc: crc32c(payload),
        }
    }

    /// Its bytes at one place.
    pub(crate) fn to_bytes(self, place: Place) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        let (checked, crc) = bytes.split_at_mut(CHECKED_BYTES);
        let mut fields = checked.iter_mut();
        let mut put = |field: &[u8]| {
            for (byte, slot) in field.iter().zip(fields.by_ref()) {
                *slot = *byte;
            }
        };
        put(&MARKER);
        put(&u32::try_from(self.payload_len).unwrap_or(u32::MAX).to_le_bytes());
        put(&[self.kind, self.role.flags(), 0, 0]);
        put(&self.payload_crc.to_le_bytes());
        crc.copy_from_slice(&header_crc(checked, place).to_le_bytes());
        bytes
    }

    /// Reads a header that stands at `place`; none if there is no intact one.
    pub(crate) fn from_bytes(bytes: &[u8], place: Place) -> Option<Self> {
        let checked = bytes.get(..CHECKED_BYTES)?;
        if !checked.starts_with(&MARKER) || u32_at(bytes, 20)? != header_crc(checked, place) {
            return None;
        }
        let payload_len = u32_at(bytes, 4)? as usize;
        let is_known = payload_len <= PAYLOAD_BYTES_MAX
            && payload_len.is_multiple_of(FRAME_ALIGNMENT)
            && u16_at(bytes, 10)? == 0
            && u32_at(bytes, 16)? == 0;
        is_known.then_some(Self {
            kind: *bytes.get(8)?,
            role: FrameRole::from_flags(*bytes.get(9)?)?,
            payload_len,
            payload_crc: u32_at(bytes, 12)?,
        })
    }

    /// True when these bytes may begin a header: a quick look for those who search.
    pub(crate) fn may_begin(bytes: &[u8]) -> bool {
        bytes.starts_with(&MARKER)
    }

    /// True when this is the payload the header was made for.
    pub(crate) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.payload_len && crc32c(payload) == self.payload_crc
    }
}

impl FrameRole {
    fn flags(self) -> u8 {
        match self {
            Self::First => GROUP_FLAG,
            Self::Other => 0,
            Self::Copy => COPY_FLAG,
        }
    }

    fn from_flags(flags: u8) -> Option<Self> {
        match flags {
            GROUP_FLAG => Some(Self::First),
            0 => Some(Self::Other),
            COPY_FLAG => Some(Self::Copy),
            _ => None,
        }
    }
}

fn header_crc(checked: &[u8], place: Place) -> u32 {
    let crc = crc32c(&place.segment.to_le_bytes());
    crc32c_append(crc32c_append(crc, &place.offset.to_le_bytes()), checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        segment: 3,
        offset: 4_096,
    };

    #[test]
    fn a_header_is_read_back_at_its_place_only() {
        for role in [FrameRole::First, FrameRole::Other, FrameRole::Copy] {
            let header = FrameHeader::of(5, role, b"12345678");
            assert_eq!(
                FrameHeader::from_bytes(&header.to_bytes(PLACE), PLACE),
                Some(header)
            );
        }
        let header = FrameHeader::of(5, FrameRole::First, b"12345678");
        let bytes = header.to_bytes(PLACE);
        assert!(header.fits(b"12345678") && !header.fits(b"12345679"));
        let elsewhere = [
            Place { segment: 4, ..PLACE },
            Place {
                offset: 4_104,
                ..PLACE
            },
        ];
        for place in elsewhere {
            assert_eq!(FrameHeader::from_bytes(&bytes, place), None);
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_found() {
        let bytes = FrameHeader::of(5, FrameRole::Other, &[7; 64]).to_bytes(PLACE);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::from_bytes(&flipped, PLACE), None, "bit {bit}");
        }
        assert_eq!(FrameHeader::from_bytes(&bytes[..23], PLACE), None);
    }
}
