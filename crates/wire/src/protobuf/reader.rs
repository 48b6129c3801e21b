//! A cursor over one message.

use crate::error::DecodeError;

/// How a field's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

/// By the low three bits of a tag. Looked up, not matched: the matches of callers would be threaded through a jump that
/// cannot be foreseen.
static WIRE_TYPES: [Option<WireType>; 8] = [
    Some(WireType::Varint),
    Some(WireType::Fixed64),
    Some(WireType::Bytes),
    None,
    None,
    Some(WireType::Fixed32),
    None,
    None,
];

/// A cursor over the fields of one message. Knows where in the whole body it stands, for error texts.
///
/// The methods are small and always inlined, and errors are made without taking the cursor's address: so it lives
/// in registers, which is half of the walk's speed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Offset in the body of the end of `rest`.
    end: usize,
}

/// The largest field number the format allows.
const FIELD_NUMBER_MAX: u32 = (1 << 29) - 1;

impl<'a> Reader<'a> {
    /// Reads `bytes`, which start at `base` of the body.
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8], base: usize) -> Self {
        Self {
            rest: bytes,
            end: base + bytes.len(),
        }
    }

    /// What has not been read yet.
    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Position in the whole body, in bytes.
    #[inline(always)]
    pub(crate) fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    #[inline(always)]
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error at the place where the cursor stands.
    #[inline(always)]
    pub(crate) fn error(&self, what: &'static str) -> DecodeError {
        DecodeError {
            offset: self.offset(),
            what,
        }
    }

    /// Jumps over fields that start with the byte `tag` and are shorter than 128 bytes.
    ///
    /// This is the inner loop of remote write 1.0, where 32 labels stand before each sample: one load, one
    /// compare and one addition per label. Anything unusual stops it and is left to [`Self::field`].
    #[inline(always)]
    pub(crate) fn skip_short(&mut self, tag: u8) {
        let mut rest = self.rest;
        while let [found, length @ 0..0x80, tail @ ..] = rest
            && *found == tag
            && let Some(next) = tail.get(usize::from(*length)..)
        {
            rest = next;
        }
        self.rest = rest;
    }

    /// True if the next field begins with this tag of one byte, which is then read. For fields that mostly come first:
    /// whatever else stands there is left to [`Self::field`].
    #[inline(always)]
    pub(crate) fn takes(&mut self, tag: u8) -> bool {
        match self.rest {
            [found, tail @ ..] if *found == tag => {
                self.rest = tail;
                true
            }
            _ => false,
        }
    }

    /// The number and wire type of the next field; `None` at the end of the message.
    #[inline(always)]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, WireType)>, DecodeError> {
        if self.is_at_end() {
            return Ok(None);
        }
        let offset = self.offset();
        let tag = self.varint()?;
        let Some(Some(wire_type)) = WIRE_TYPES.get((tag & 7) as usize) else {
            return Err(DecodeError {
                offset,
                what: match tag & 7 {
                    3 | 4 => "group (wire type 3 or 4)",
                    _ => "unknown wire type",
                },
            });
        };
        let wire_type = *wire_type;
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..=FIELD_NUMBER_MAX) => Ok(Some((number, wire_type))),
            _ => Err(DecodeError {
                offset,
                what: "field number out of range",
            }),
        }
    }

    /// A varint of up to 64 bits.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.rest {
            [byte, tail @ ..] if *byte < 0x80 => {
                self.rest = tail;
                Ok(u64::from(*byte))
            }
            [low, high, tail @ ..] if *high < 0x80 => {
                self.rest = tail;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.varint_of_many_bytes(),
        }
    }

    #[inline(always)]
    fn varint_of_many_bytes(&mut self) -> Result<u64, DecodeError> {
        let (value, n_bytes) = long_varint(self.rest);
        match self.rest.get(n_bytes..) {
            Some(tail) if n_bytes > 0 => {
                self.rest = tail;
                Ok(value)
            }
            _ if self.rest.len() < 10 => Err(self.error("truncated varint")),
            _ => Err(self.error("varint longer than 64 bits")),
        }
    }

    /// Eight bytes, little endian.
    #[inline(always)]
    pub(crate) fn fixed64(&mut self) -> Result<u64, DecodeError> {
        match self.rest.split_first_chunk::<8>() {
            Some((chunk, tail)) => {
                self.rest = tail;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Err(self.error("truncated 64-bit value")),
        }
    }

    /// All that is left as words of eight bytes, little endian.
    #[inline(always)]
    pub(crate) fn fixed64s(self) -> Result<impl ExactSizeIterator<Item = u64> + use<'a>, DecodeError> {
        match self.rest.as_chunks::<8>() {
            (words, []) => Ok(words.iter().map(|word| u64::from_le_bytes(*word))),
            (words, _) => Err(DecodeError {
                offset: self.offset() + size_of_val(words),
                what: "truncated 64-bit value",
            }),
        }
    }

    /// A length and that many bytes.
    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let offset = self.offset();
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(length) {
            Some((content, tail)) => {
                self.rest = tail;
                Ok(content)
            }
            None => Err(DecodeError {
                offset,
                what: "length beyond the end of the message",
            }),
        }
    }

    /// A length and that many bytes, to be read as a message.
    #[inline(always)]
    pub(crate) fn message(&mut self) -> Result<Self, DecodeError> {
        let content = self.bytes()?;
        Ok(Self::new(content, self.offset() - content.len()))
    }

    /// Jumps over the value of a field.
    #[inline(always)]
    pub(crate) fn skip(&mut self, wire_type: WireType) -> Result<(), DecodeError> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.fixed64().map(drop),
            WireType::Bytes => self.bytes().map(drop),
            WireType::Fixed32 => match self.rest.get(4..) {
                Some(tail) => {
                    self.rest = tail;
                    Ok(())
                }
                None => Err(self.error("truncated 32-bit value")),
            },
        }
    }
}

/// The varint that `rest` starts with and its length; a length of 0 or beyond `rest` when it does not end in time.
///
/// Up to eight bytes are taken in one go: the length is the place of the first byte without the high bit, and the
/// groups of 7 bits are moved together pair by pair.
#[inline(always)]
fn long_varint(rest: &[u8]) -> (u64, usize) {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let word = match (
        rest.first_chunk::<8>(),
        rest.first_chunk::<4>(),
        rest.last_chunk::<4>(),
    ) {
        (Some(chunk), ..) => u64::from_le_bytes(*chunk),
        // Four to seven bytes, which is how a timestamp ends its sample: two loads that overlap.
        (None, Some(first), Some(last)) => {
            let shift = 8 * (rest.len() - 4);
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << shift
        }
        _ => return bytewise_varint(rest),
    };
    let ends = !word & HIGH_BITS;
    if ends == 0 {
        return bytewise_varint(rest);
    }
    // All bits up to and with the high bit of the last byte.
    let sevens = word & (ends ^ (ends - 1)) & !HIGH_BITS;
    let pairs = (sevens & 0x007f_007f_007f_007f) | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    let value = (fours & 0x0000_0000_0fff_ffff) | (fours & 0x0fff_ffff_0000_0000) >> 4;
    (value, (ends.trailing_zeros() as usize + 1) / 8)
}

#[cold]
fn bytewise_varint(rest: &[u8]) -> (u64, usize) {
    let mut value = 0_u64;
    for (idx, &byte) in rest.iter().take(10).enumerate() {
        if idx == 9 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * idx);
        if byte < 0x80 {
            return (value, idx + 1);
        }
    }
    (0, 0)
}
