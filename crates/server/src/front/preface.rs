//! Whether a connection has said yet which HTTP it speaks.
//!
//! hyper waits without a time limit for the bytes that tell HTTP/1 from HTTP/2; its limit on heads begins after
//! that. A connection that stays silent, or stops inside the preface of HTTP/2, has to be closed from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What every HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Compares the first bytes of a connection with the preface.
#[derive(Debug)]
pub(super) struct Preface {
    /// How many bytes agree; only counted while it is undecided.
    n_equal: usize,
    decided: Arc<AtomicBool>,
}

/// See [`super::Front::undecided`].
#[derive(Debug)]
pub(crate) struct Undecided(Arc<AtomicBool>);

impl Default for Preface {
    fn default() -> Self {
        Self {
            n_equal: 0,
            decided: Arc::new(AtomicBool::new(false)),
        }
    }
}

impl Preface {
    pub(super) fn note(&mut self, bytes: &[u8]) {
        let expected = PREFACE.get(self.n_equal..).unwrap_or_default();
        if expected.is_empty() {
            return;
        }
        if bytes.len() < expected.len() && expected.starts_with(bytes) {
            self.n_equal += bytes.len();
            return;
        }
        self.n_equal = PREFACE.len();
        self.decided.store(true, Ordering::Relaxed);
    }

    pub(super) fn undecided(&self) -> Undecided {
        Undecided(Arc::clone(&self.decided))
    }
}

impl Undecided {
    /// True until the first byte that is not of the preface, or the whole preface, has come.
    pub(crate) fn is_so(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_decided_by_the_first_other_byte_or_by_the_last() {
        let check = |pieces: &[&[u8]], is_undecided: bool| {
            let mut preface = Preface::default();
            for piece in pieces {
                preface.note(piece);
            }
            assert_eq!(preface.undecided().is_so(), is_undecided, "{pieces:?}");
        };
        check(&[], true);
        check(&[b"P", b"R", b"I *"], true);
        check(&[b"G"], false);
        check(&[b"P", b"O"], false);
        check(&[b"POST / HTTP/1.1\r\n\r\n"], false);
        check(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"], true);
        check(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", b"\n"], false);
        check(&[PREFACE, b"more"], false);
    }
}
