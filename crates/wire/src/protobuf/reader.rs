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

/// A cursor over the fields of one message. Knows where in the whole body it stands, for error texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Offset of `bytes` in the body.
    base: usize,
}

/// The largest field number the format allows.
const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

impl<'a> Reader<'a> {
    /// Reads `bytes`, which start at `base` of the body.
    pub(crate) fn new(bytes: &'a [u8], base: usize) -> Self {
        Self {
            bytes,
            position: 0,
            base,
        }
    }

    /// Position in this message, in bytes.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Position in the whole body, in bytes.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.base + self.position
    }

    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.position >= self.bytes.len()
    }

    /// An error at the place where the cursor stands.
    #[cold]
    pub(crate) fn error(&self, what: &'static str) -> DecodeError {
        DecodeError {
            offset: self.offset(),
            what,
        }
    }

    /// Jumps over fields that start with the byte `tag` and are shorter than 128 bytes, and returns how many.
    ///
    /// This is the inner loop of remote write 1.0, where 32 labels stand before each sample: one load, one
    /// compare and one addition per label. Anything unusual stops it and is left to [`Self::field`].
    #[inline]
    pub(crate) fn skip_short(&mut self, tag: u8) -> usize {
        let mut n_fields = 0;
        let mut position = self.position;
        while let Some(&[found, length]) = self.bytes.get(position..).and_then(<[u8]>::first_chunk::<2>)
            && found == tag
            && length < 0x80
        {
            let next = position + 2 + usize::from(length);
            if next > self.bytes.len() {
                break;
            }
            position = next;
            n_fields += 1;
        }
        self.position = position;
        n_fields
    }

    /// The number and wire type of the next field; `None` at the end of the message.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, WireType)>, DecodeError> {
        if self.is_at_end() {
            return Ok(None);
        }
        let start = *self;
        let tag = self.varint()?;
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            5 => WireType::Fixed32,
            3 | 4 => return Err(start.error("group (wire type 3 or 4)")),
            _ => return Err(start.error("unknown wire type")),
        };
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..) if tag >> 3 <= FIELD_NUMBER_MAX => Ok(Some((number, wire_type))),
            _ => Err(start.error("field number out of range")),
        }
    }

    /// A varint of up to 64 bits.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.bytes.get(self.position) {
            Some(&byte) if byte < 0x80 => {
                self.position += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let mut value = 0_u64;
        for (idx, &byte) in rest.iter().take(10).enumerate() {
            if idx == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * idx);
            if byte < 0x80 {
                self.position += idx + 1;
                return Ok(value);
            }
        }
        if rest.len() < 10 {
            Err(self.error("truncated varint"))
        } else {
            Err(self.error("varint longer than 64 bits"))
        }
    }

    /// Eight bytes, little endian.
    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, DecodeError> {
        let chunk = self.bytes.get(self.position..).and_then(<[u8]>::first_chunk::<8>);
        match chunk {
            Some(chunk) => {
                self.position += 8;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Err(self.error("truncated 64-bit value")),
        }
    }

    /// A length and that many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = *self;
        let length = self.varint()?;
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let content = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        match content {
            Some(content) => {
                self.position += content.len();
                Ok(content)
            }
            None => Err(start.error("length beyond the end of the message")),
        }
    }

    /// A length and that many bytes, to be read as a message.
    #[inline]
    pub(crate) fn message(&mut self) -> Result<Self, DecodeError> {
        let content = self.bytes()?;
        Ok(Self::new(content, self.offset() - content.len()))
    }

    /// The whole of this message, from its first byte.
    pub(crate) fn whole(&self) -> &'a [u8] {
        self.bytes
    }

    /// Jumps over the value of a field.
    #[inline]
    pub(crate) fn skip(&mut self, wire_type: WireType) -> Result<(), DecodeError> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.fixed64().map(drop),
            WireType::Bytes => self.bytes().map(drop),
            WireType::Fixed32 if self.bytes.len() - self.position >= 4 => {
                self.position += 4;
                Ok(())
            }
            WireType::Fixed32 => Err(self.error("truncated 32-bit value")),
        }
    }

    /// Passes when `found` is `wanted`; else an error that says `what` at the cursor.
    #[inline]
    pub(crate) fn expect(
        &self,
        found: WireType,
        wanted: WireType,
        what: &'static str,
    ) -> Result<(), DecodeError> {
        if found == wanted {
            Ok(())
        } else {
            Err(self.error(what))
        }
    }
}
