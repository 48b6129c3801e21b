//! Memory for bodies, used again.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::Mutex;

/// Buffers that wait for the next request. At most [`N_KEPT_MAX`] of at most [`KEPT_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

const N_KEPT_MAX: usize = 16;

/// A request of two thousand mesh samples has 50 to 300 kB.
const KEPT_BYTES_MAX: usize = 512 << 10;

/// The body of one request; its memory goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// An empty body with room for `n_bytes`.
    pub(crate) fn body(self: &Arc<Self>, n_bytes: usize) -> Body {
        let mut bytes = self.0.lock().pop().unwrap_or_default();
        bytes.reserve(n_bytes);
        Body {
            bytes,
            home: Arc::clone(self),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
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

impl Deref for Body {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Body {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_come_back_empty_and_large_ones_do_not() {
        let buffers = Arc::new(Buffers::default());
        let mut body = buffers.body(1_000);
        body.extend_from_slice(b"abc");
        drop(body);
        let body = buffers.body(0);
        assert!(body.is_empty() && body.capacity() >= 1_000);
        drop(body);
        drop(buffers.body(KEPT_BYTES_MAX + 1));
        assert_eq!(buffers.0.lock().len(), 0);
        let many: Vec<Body> = (0..2 * N_KEPT_MAX).map(|_| buffers.body(10)).collect();
        drop(many);
        assert_eq!(buffers.0.lock().len(), N_KEPT_MAX);
    }
}
