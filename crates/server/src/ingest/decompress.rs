//! Bodies as they were before the sender compressed them.

use std::io::{self, Read};

use wire::snappy;

use super::Failure;

/// How a body is compressed, by the words of `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Identity,
    Gzip,
    /// With zlib's frame, as HTTP means it.
    Deflate,
    Zstd,
    /// One block, as remote write means it, or a stream of frames, as gRPC does: they are told apart.
    Snappy,
}

impl Compression {
    /// All words, for messages.
    pub(crate) const NAMES: &str = "identity, gzip, deflate, zstd, snappy";

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" | "zlib" => Self::Deflate,
            "zstd" => Self::Zstd,
            "snappy" => Self::Snappy,
            _ => return None,
        })
    }
}

/// Fills `out` with the body.
///
/// # Errors
/// [`Failure::TooLarge`] beyond `bytes_max`, found before the memory is spent; [`Failure::Malformed`] when the body is
/// no such stream, or ends within it.
pub(super) fn decompress(
    body: &[u8],
    compression: Compression,
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let too_large = || Failure::TooLarge { limit: bytes_max };
    let read = match compression {
        Compression::Identity if body.len() > bytes_max => return Err(too_large()),
        Compression::Identity => {
            out.extend_from_slice(body);
            return Ok(());
        }
        Compression::Snappy if body.starts_with(SNAPPY_STREAM_START) => {
            read_capped(snap::read::FrameDecoder::new(body), bytes_max, out)
        }
        Compression::Snappy => {
            let opened = snappy::decompress(body, bytes_max, out).map(<[u8]>::len);
            let n_bytes = opened.map_err(|error| match error {
                snappy::SnappyError::TooLarge { .. } => too_large(),
                other => Failure::Malformed(format!("the body cannot be decompressed by snappy: {other}")),
            })?;
            out.truncate(n_bytes);
            return Ok(());
        }
        Compression::Gzip => read_capped(flate2::read::MultiGzDecoder::new(body), bytes_max, out),
        Compression::Deflate => read_capped(flate2::read::ZlibDecoder::new(body), bytes_max, out),
        Compression::Zstd => zstd::Decoder::with_buffer(body).and_then(|mut decoder| {
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            read_capped(decoder, bytes_max, out)
        }),
    };
    match read {
        Ok(true) => Ok(()),
        Ok(false) => Err(too_large()),
        Err(error) => Err(Failure::Malformed(format!(
            "the body cannot be decompressed: {error}"
        ))),
    }
}

/// The chunk that every framed stream of snappy begins with.
const SNAPPY_STREAM_START: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// A stream may ask for a window of 8 MiB, which is what every decoder has to grant.
const WINDOW_LOG_MAX: u32 = 23;

/// Reads to the end; false if there is more than allowed.
fn read_capped(stream: impl Read, bytes_max: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    let n_bytes = stream.take(bytes_max as u64 + 1).read_to_end(out)?;
    Ok(n_bytes <= bytes_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn framed_snappy(body: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(body).unwrap();
        encoder.into_inner().unwrap()
    }

    fn compressed(body: &[u8]) -> [(Compression, Vec<u8>); 5] {
        [
            (Compression::Identity, body.to_vec()),
            (Compression::Gzip, gzip(body)),
            (Compression::Deflate, zlib(body)),
            (Compression::Zstd, zstd::encode_all(body, 3).unwrap()),
            (Compression::Snappy, framed_snappy(body)),
        ]
    }

    #[test]
    fn every_compression_gives_the_body_back_up_to_the_limit() {
        let body = vec![7; 100_000];
        for (compression, bytes) in compressed(&body) {
            let mut out = Vec::new();
            decompress(&bytes, compression, body.len(), &mut out).unwrap();
            assert_eq!(out, body, "{compression:?}");
            let beyond = decompress(&bytes, compression, body.len() - 1, &mut Vec::new());
            assert!(matches!(beyond, Err(Failure::TooLarge { .. })), "{compression:?}");
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        for (compression, bytes) in compressed(&[7; 1_000]).into_iter().skip(1) {
            let cut = &bytes[..bytes.len() - 3];
            let result = decompress(cut, compression, 1 << 20, &mut Vec::new());
            assert!(matches!(result, Err(Failure::Malformed(_))), "{compression:?}");
        }
    }
}
