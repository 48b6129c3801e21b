//! Snappy block format with a cap, as remote write compresses its bodies.
//!
//! A body starts with the length it claims to have when decompressed. That number is checked twice before any
//! memory is spent: against the cap, and against what the body's own size allows at best. So a bomb of a few
//! bytes costs nothing, and a real one at most the cap.

use snap::raw::{Decoder, decompress_len};

/// The densest element of the format is a copy of 64 bytes written in 3.
const BYTES_OUT_PER_BYTE_IN_MAX: usize = 22;

/// Why a body is not decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnappyError {
    /// The decompressed body would be larger than allowed.
    #[error("decompressed body of {declared_bytes} bytes is larger than {limit_bytes}")]
    TooLarge {
        /// What the body claims.
        declared_bytes: usize,
        /// What is allowed.
        limit_bytes: usize,
    },
    /// The body is not valid snappy.
    #[error("corrupt snappy body: {reason}")]
    Corrupt {
        /// What is wrong with it.
        reason: String,
    },
}

/// The decompressed `body`, which lies at the front of `buffer`.
///
/// `buffer` is grown to what the body needs and never shrunk; only what it grows by is zeroed, so reuse it from
/// request to request. Its content beyond the returned slice is left over from earlier calls.
///
/// # Errors
/// [`SnappyError::TooLarge`] before anything is allocated, [`SnappyError::Corrupt`] for everything else.
pub fn decompress<'b>(
    body: &[u8],
    limit_bytes: usize,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], SnappyError> {
    let declared_bytes = decompress_len(body).map_err(|error| corrupt(&error))?;
    if declared_bytes > limit_bytes {
        return Err(SnappyError::TooLarge {
            declared_bytes,
            limit_bytes,
        });
    }
    if declared_bytes / BYTES_OUT_PER_BYTE_IN_MAX > body.len() {
        return Err(SnappyError::Corrupt {
            reason: format!(
                "{} bytes cannot hold the {declared_bytes} it declares",
                body.len()
            ),
        });
    }
    if buffer.len() < declared_bytes {
        buffer.resize(declared_bytes, 0);
    }
    let output = buffer.get_mut(..declared_bytes).unwrap_or_default();
    let n_bytes = Decoder::new()
        .decompress(body, output)
        .map_err(|error| corrupt(&error))?;
    Ok(output.get(..n_bytes).unwrap_or_default())
}

fn corrupt(error: &snap::Error) -> SnappyError {
    SnappyError::Corrupt {
        reason: error.to_string(),
    }
}

/// Compresses bodies; keeps its working memory from call to call.
#[derive(Debug)]
pub struct Compressor {
    encoder: snap::raw::Encoder,
}

impl Default for Compressor {
    fn default() -> Self {
        Self {
            encoder: snap::raw::Encoder::new(),
        }
    }
}

impl Compressor {
    /// The compressed `body`, which lies at the front of `buffer`. `buffer` is grown as needed, never shrunk.
    ///
    /// # Errors
    /// [`SnappyError::TooLarge`] when `body` has 4 GiB or more, which the format cannot express.
    pub fn compress<'b>(&mut self, body: &[u8], buffer: &'b mut Vec<u8>) -> Result<&'b [u8], SnappyError> {
        let too_large = || SnappyError::TooLarge {
            declared_bytes: body.len(),
            limit_bytes: u32::MAX as usize,
        };
        let n_bytes_max = snap::raw::max_compress_len(body.len());
        if n_bytes_max == 0 {
            return Err(too_large());
        }
        if buffer.len() < n_bytes_max {
            buffer.resize(n_bytes_max, 0);
        }
        let n_bytes = self.encoder.compress(body, buffer).map_err(|_| too_large())?;
        Ok(buffer.get(..n_bytes).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 20;

    fn compressed(body: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        Compressor::default()
            .compress(body, &mut buffer)
            .unwrap()
            .to_vec()
    }

    #[test]
    fn a_declared_length_above_the_cap_is_refused_before_allocating() {
        let body = compressed(&vec![7; LIMIT + 1]);
        let mut buffer = Vec::new();
        let refused = decompress(&body, LIMIT, &mut buffer).unwrap_err();
        assert_eq!(
            refused,
            SnappyError::TooLarge {
                declared_bytes: LIMIT + 1,
                limit_bytes: LIMIT
            }
        );
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn a_few_bytes_that_declare_much_cost_no_memory() {
        let mut body = vec![0x80, 0x80, 0x40]; // declares 1 MiB
        body.extend([0; 16]);
        let mut buffer = Vec::new();
        let refused = decompress(&body, LIMIT, &mut buffer).unwrap_err();
        assert!(matches!(refused, SnappyError::Corrupt { .. }), "{refused}");
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn the_densest_real_body_passes() {
        let body = vec![1; LIMIT];
        let mut buffer = Vec::new();
        assert_eq!(decompress(&compressed(&body), LIMIT, &mut buffer), Ok(&body[..]));
    }

    #[test]
    fn every_truncation_is_corrupt() {
        let body = compressed(&(0..2000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        for end in 0..body.len() {
            let mut buffer = Vec::new();
            let result = decompress(&body[..end], LIMIT, &mut buffer);
            assert!(matches!(result, Err(SnappyError::Corrupt { .. })), "cut at {end}");
        }
    }

    #[test]
    fn a_used_buffer_shows_nothing_of_its_past() {
        let mut buffer = Vec::new();
        decompress(&compressed(&[9; 500]), LIMIT, &mut buffer).unwrap();
        assert_eq!(
            decompress(&compressed(b"short"), LIMIT, &mut buffer).unwrap(),
            b"short"
        );
        assert_eq!(buffer.len(), 500);
    }

    proptest! {
        #[test]
        fn bodies_come_back(body in prop::collection::vec(0_u8..4, 0..5000)) {
            let mut buffer = Vec::new();
            prop_assert_eq!(decompress(&compressed(&body), LIMIT, &mut buffer).unwrap(), &body[..]);
        }

        #[test]
        fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut buffer = Vec::new();
            if let Ok(output) = decompress(&body, LIMIT, &mut buffer) {
                prop_assert!(output.len() <= LIMIT);
            }
        }
    }
}
