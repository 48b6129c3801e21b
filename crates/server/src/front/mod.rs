//! The front of every connection: makes request targets fit for hyper.
//!
//! Go clients send a query string as it was typed: `GET /federate?match[]={job=~"a|b"} HTTP/1.1`. Prometheus
//! answers that; the `http` crate refuses the quotes and hyper answers 400 before any handler runs. [`Front`]
//! lies between the socket and hyper and percent-encodes the refused bytes of request targets, nothing else.
//!
//! Invariants:
//! - A request whose target holds only bytes that RFC 3986 allows passes bit for bit.
//! - Headers and bodies pass bit for bit, always. They are read by the caller straight into its own buffer and
//!   only looked at there: a body costs one subtraction per read. Bytes are copied only from the first rewritten
//!   byte of a read up to its end.
//! - The scanner follows message boundaries as hyper does. Where a message is framed in a way on which two
//!   readers could disagree, it stops rewriting for the rest of the connection and hyper decides alone.
//!
//! Limits: state is a few hundred bytes per connection, plus at most three times one read while rewritten bytes
//! wait to be taken. The lengths of lines and heads are bounded by hyper. HTTP/2 passes untouched: its requests
//! have no request line.

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::string_slice
)]

mod preface;
mod scanner;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use preface::Preface;
use scanner::Scanner;

pub(crate) use preface::Undecided;

/// A connection whose request targets are percent-encoded as they are read.
#[derive(Debug)]
pub struct Front<S> {
    inner: S,
    preface: Preface,
    scanner: Scanner,
    /// Rewritten bytes that did not fit into the caller's buffer.
    pending: Vec<u8>,
    /// How many of them have been taken.
    n_taken: usize,
}

/// A larger buffer of rewritten bytes is given back once it is empty.
const PENDING_KEPT_BYTES_MAX: usize = 16 << 10;

impl<S> Front<S> {
    /// The front of a fresh connection.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            preface: Preface::default(),
            scanner: Scanner::default(),
            pending: Vec::new(),
            n_taken: 0,
        }
    }

    /// Tells whether so far nothing has come but a part of the HTTP/2 preface, or nothing at all.
    pub(crate) fn undecided(&self) -> Undecided {
        self.preface.undecided()
    }

    /// Moves pending bytes to the caller; true when there were any.
    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let waiting = self.pending.get(self.n_taken..).unwrap_or_default();
        if waiting.is_empty() {
            return false;
        }
        let n_bytes = waiting.len().min(buf.remaining());
        buf.put_slice(waiting.get(..n_bytes).unwrap_or_default());
        self.n_taken += n_bytes;
        if self.n_taken == self.pending.len() {
            self.n_taken = 0;
            self.pending.clear();
            self.pending.shrink_to(PENDING_KEPT_BYTES_MAX);
        }
        true
    }

    /// Looks at what was read behind `n_before`. From the first byte that has to be encoded on, everything goes
    /// through `pending`, because it grows.
    fn rewrite(&mut self, buf: &mut ReadBuf<'_>, n_before: usize) {
        let fresh = buf.filled().get(n_before..).unwrap_or_default();
        self.preface.note(fresh);
        let Some(first) = self.scanner.next_refused(fresh) else {
            return;
        };
        let mut rest = fresh.get(first..).unwrap_or_default();
        while let [refused, behind @ ..] = rest {
            push_encoded(&mut self.pending, *refused);
            let n_clean = self.scanner.next_refused(behind).unwrap_or(behind.len());
            let (clean, next) = behind.split_at(n_clean);
            self.pending.extend_from_slice(clean);
            rest = next;
        }
        buf.set_filled(n_before + first);
        self.hand_out(buf);
    }
}

fn push_encoded(bytes: &mut Vec<u8>, byte: u8) {
    bytes.extend_from_slice(format!("%{byte:02X}").as_bytes());
}

impl<S: AsyncRead + Unpin> AsyncRead for Front<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.hand_out(buf) {
            return Poll::Ready(Ok(()));
        }
        let n_before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.rewrite(buf, n_before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Front<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
