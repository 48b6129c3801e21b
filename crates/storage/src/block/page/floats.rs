//! Floats: `PLAIN`, eight bytes each, or `BYTE_STREAM_SPLIT`, their first bytes, then their second ones, and so on.

use super::PageError;

const BYTES: usize = size_of::<f64>();

pub(super) fn encode_plain(values: &[f64], bytes: &mut Vec<u8>) {
    for value in values {
        bytes.extend(value.to_bits().to_le_bytes());
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "the writing side; a float has eight bytes"
)]
pub(super) fn encode_split(values: &[f64], bytes: &mut Vec<u8>) {
    for byte_idx in 0..BYTES {
        bytes.extend(values.iter().map(|value| value.to_bits().to_le_bytes()[byte_idx]));
    }
}

/// The floats from `start` on of a page, as many as `values` has places.
pub(super) fn decode_plain(bytes: &[u8], start: usize, values: &mut [f64]) -> Result<(), PageError> {
    let (floats, _) = bytes.as_chunks::<BYTES>();
    let floats = floats.get(start..).and_then(|floats| floats.get(..values.len()));
    for (value, float) in values.iter_mut().zip(floats.ok_or(TOO_FEW)?) {
        *value = f64::from_bits(u64::from_le_bytes(*float));
    }
    Ok(())
}

/// As [`decode_plain`], of a page of `n_values`.
pub(super) fn decode_split(
    bytes: &[u8],
    n_values: usize,
    start: usize,
    values: &mut [f64],
) -> Result<(), PageError> {
    let mut planes = [&[] as &[u8]; BYTES];
    for (byte_idx, plane) in planes.iter_mut().enumerate() {
        let first = byte_idx * n_values + start;
        let found = bytes.get(first..).and_then(|rest| rest.get(..values.len()));
        *plane = found
            .filter(|_| start + values.len() <= n_values)
            .ok_or(TOO_FEW)?;
    }
    for (value_idx, value) in values.iter_mut().enumerate() {
        let float = planes.map(|plane| plane.get(value_idx).copied().unwrap_or(0));
        *value = f64::from_bits(u64::from_le_bytes(float));
    }
    Ok(())
}

const TOO_FEW: PageError = PageError::Truncated("floats");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bits_survive_both_encodings() {
        let bits = [
            0,
            1 << 63,
            0x7ff0_0000_0000_0002,
            0x7ff8_0000_0000_0001,
            0xfff0 << 48,
            0x4009_21fb_5444_2d18,
        ];
        let values = bits.map(f64::from_bits);
        let (mut plain, mut split) = (Vec::new(), Vec::new());
        encode_plain(&values, &mut plain);
        encode_split(&values, &mut split);
        for start in 0..=bits.len() {
            for end in start..=bits.len() {
                let mut decoded = vec![0.0; end - start];
                decode_plain(&plain, start, &mut decoded).unwrap();
                assert!(
                    decoded
                        .iter()
                        .map(|value| value.to_bits())
                        .eq(bits[start..end].iter().copied())
                );
                decoded.fill(0.0);
                decode_split(&split, bits.len(), start, &mut decoded).unwrap();
                assert!(
                    decoded
                        .iter()
                        .map(|value| value.to_bits())
                        .eq(bits[start..end].iter().copied())
                );
            }
        }
        assert!(decode_plain(&plain, 1, &mut [0.0; 6]).is_err());
        assert!(decode_split(&split, bits.len(), 1, &mut [0.0; 6]).is_err());
        assert!(decode_split(&split[1..], bits.len(), 0, &mut [0.0; 6]).is_err());
    }
}
