//! A sink that counts and checks what goes through it; buffers that are filled again.

use std::io::{self, Write};

use bytes::Bytes;
use codec::checksum::crc32c_append;

use super::super::manifest::FileSummary;

/// Hands on what is written, with checksums of all of it and of its footer.
#[derive(Debug)]
pub(super) struct CheckedSink<W> {
    inner: W,
    n_bytes: u64,
    crc32c: u32,
    /// Length and checksum since [`Self::begin_footer`].
    footer: (u64, u32),
}

impl<W: Write> CheckedSink<W> {
    pub(super) fn new(inner: W) -> Self {
        Self {
            inner,
            n_bytes: 0,
            crc32c: 0,
            footer: (0, 0),
        }
    }

    /// What is written from here on is the footer.
    pub(super) fn begin_footer(&mut self) {
        self.footer = (0, 0);
    }

    /// The sink, and what went into it.
    pub(super) fn into_parts(self) -> (W, FileSummary) {
        let (footer_bytes, footer_crc32c) = self.footer;
        let summary = FileSummary {
            n_bytes: self.n_bytes,
            crc32c: self.crc32c,
            footer_bytes,
            footer_crc32c,
            page_table: None,
        };
        (self.inner, summary)
    }
}

impl<W: Write> Write for CheckedSink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_written = self.inner.write(bytes)?;
        let written = bytes.get(..n_written).unwrap_or(bytes);
        self.n_bytes += n_written as u64;
        self.crc32c = crc32c_append(self.crc32c, written);
        self.footer.0 += n_written as u64;
        self.footer.1 = crc32c_append(self.footer.1, written);
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The buffer of what was written, to be filled again, if nobody else has it: one that grows anew for each part leaves
/// twice as much behind, which an allocator keeps for a while.
pub(crate) fn emptied(written: Bytes) -> Vec<u8> {
    let mut buffer = written.try_into_mut().map(Vec::from).unwrap_or_default();
    buffer.clear();
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_nobody_else_has_is_filled_again() {
        let mut buffer = Vec::with_capacity(100);
        buffer.extend(b"written");
        let written = Bytes::from(buffer);
        drop(written.clone());
        let buffer = emptied(written);
        assert_eq!((buffer.len(), buffer.capacity()), (0, 100));
        let written = Bytes::from(vec![1; 100]);
        let _held = written.clone();
        assert_eq!(emptied(written).capacity(), 0);
    }
}
