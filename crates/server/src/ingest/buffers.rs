//! Bodies on their way in, and memory for those that come in pieces, used again.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Buffers that wait for the next request. At most [`N_KEPT_MAX`] of at most [`KEPT_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

const N_KEPT_MAX: usize = 16;

/// A request of two thousand mesh samples has 50 to 300 kB.
const KEPT_BYTES_MAX: usize = 512 << 10;

/// The body of one request. One that comes in a single piece, as most do, stays where the socket was read into, and holds
/// that buffer, of 256 KiB at most; the pieces of another are put together, and the memory for that goes back when the
/// body is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    /// The only piece so far.
    piece: Bytes,
    /// All pieces, once there are more.
    pieces: Vec<u8>,
    /// How many bytes there should be room for.
    announced: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// An empty body of which `announced` bytes are expected.
    pub(crate) fn body(self: &Arc<Self>, announced: usize) -> Body {
        Body {
            piece: Bytes::new(),
            pieces: Vec::new(),
            announced,
            home: Arc::clone(self),
        }
    }
}

impl Body {
    /// Adds the next piece.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.piece = piece;
            return;
        }
        if self.pieces.is_empty() {
            self.pieces = self.home.0.lock().pop().unwrap_or_default();
            self.pieces
                .reserve(self.announced.max(self.piece.len() + piece.len()));
            self.pieces.extend_from_slice(&std::mem::take(&mut self.piece));
        }
        self.pieces.extend_from_slice(&piece);
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.pieces.is_empty() {
            &self.piece
        } else {
            &self.pieces
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.pieces);
        if bytes.capacity() > KEPT_BYTES_MAX || bytes.capacity() == 0 {
            return;
        }
        bytes.clear();
        let mut kept = self.home.0.lock();
        if kept.len() < N_KEPT_MAX {
            kept.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of two pieces.
    fn in_pieces(buffers: &Arc<Buffers>, announced: usize) -> Body {
        let mut body = buffers.body(announced);
        body.push(Bytes::from_static(b"ab"));
        body.push(Bytes::from_static(b"c"));
        body
    }

    #[test]
    fn a_body_is_all_of_its_pieces_and_one_alone_is_not_copied() {
        let buffers = Arc::new(Buffers::default());
        let pieces = [b"ab".as_slice(), b"", b"cde", b"f"].map(Bytes::from_static);
        let mut body = buffers.body(2);
        assert!(body.is_empty());
        for n_pieces in 0..pieces.len() {
            body.push(pieces[n_pieces].clone());
            assert_eq!(body[..], pieces[..=n_pieces].concat());
            assert_eq!(body.as_ptr() == pieces[0].as_ptr(), n_pieces == 0);
        }
    }

    #[test]
    fn small_buffers_come_back_empty_and_large_ones_do_not() {
        let buffers = Arc::new(Buffers::default());
        drop(in_pieces(&buffers, 1_000));
        assert_eq!(buffers.0.lock().len(), 1);
        let body = in_pieces(&buffers, 0);
        assert!(body[..] == *b"abc" && body.pieces.capacity() >= 1_000);
        drop(body);
        buffers.0.lock().clear();
        drop(in_pieces(&buffers, KEPT_BYTES_MAX + 1));
        assert_eq!(buffers.0.lock().len(), 0);
        let many: Vec<Body> = (0..2 * N_KEPT_MAX).map(|_| in_pieces(&buffers, 10)).collect();
        drop(many);
        assert_eq!(buffers.0.lock().len(), N_KEPT_MAX);
    }
}
