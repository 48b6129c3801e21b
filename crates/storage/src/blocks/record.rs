//! A catalog record: the state as JSON between a line that says what it is and one that seals it.
//!
//! ```text
//! meshtide block catalog 1 17\n      format version, number of the record
//! {"next_block":7,…}\n
//! crc32c 9ae0daaf\n                   of everything before this line
//! ```

use codec::checksum::crc32c;

use super::state::CatalogState;

/// The version that is written, and the only one that is read.
pub(super) const FORMAT_VERSION: u16 = 1;

const TITLE: &str = "meshtide block catalog ";
const SEAL: &str = "crc32c ";

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadRecord {
    /// Damaged or cut off, or none at all.
    Damaged(String),
    /// Intact, of a version not known here.
    Version(u16),
}

/// The bytes of a record.
///
/// # Errors
/// Never in practice: the state has nothing that JSON has not.
pub(super) fn encode(number: u64, state: &CatalogState) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = format!("{TITLE}{FORMAT_VERSION} {number}\n").into_bytes();
    serde_json::to_writer(&mut text, state)?;
    text.push(b'\n');
    let seal = format!("{SEAL}{:08x}\n", crc32c(&text));
    text.extend_from_slice(seal.as_bytes());
    Ok(text)
}

/// Reads the record that should have this number. Takes any bytes.
pub(super) fn decode(bytes: &[u8], number: u64) -> Result<CatalogState, BadRecord> {
    let damaged = |reason: &str| BadRecord::Damaged(reason.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is no text"))?;
    let body_len = text.len().checked_sub(SEAL.len() + 9);
    let (checked, seal) = body_len
        .and_then(|len| text.split_at_checked(len))
        .ok_or_else(|| damaged("it is cut off"))?;
    if seal != format!("{SEAL}{:08x}\n", crc32c(checked.as_bytes())) {
        return Err(damaged("its checksum does not fit"));
    }
    let mut lines = checked.lines();
    let title = lines.next().and_then(|line| line.strip_prefix(TITLE));
    let numbers = title.and_then(|title| title.split_once(' '));
    let (version, found) = numbers.ok_or_else(|| damaged("it is no record of the block catalog"))?;
    let version: u16 = version.parse().map_err(|_| damaged("it has no version"))?;
    if version != FORMAT_VERSION {
        return Err(BadRecord::Version(version));
    }
    if found.parse() != Ok(number) {
        return Err(damaged("it is the record of another number"));
    }
    serde_json::from_str(lines.next().unwrap_or_default())
        .map_err(|error| BadRecord::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::state::entry;
    use super::*;

    fn state() -> CatalogState {
        let mut state = CatalogState::default();
        state.add_blocks([entry(3, -5, 1_700_000_000_000), entry(4, 0, 1)]);
        state.add_deletion(Vec::new(), i64::MIN, i64::MAX);
        state
    }

    #[test]
    fn a_record_is_read_back() {
        let bytes = encode(7, &state()).unwrap();
        assert_eq!(decode(&bytes, 7), Ok(state()));
        assert!(matches!(decode(&bytes, 8), Err(BadRecord::Damaged(_))));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = encode(7, &state()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(decode(&flipped, 7), Err(BadRecord::Damaged(_))),
                "bit {bit}"
            );
        }
        for len in 0..bytes.len() {
            assert!(
                matches!(decode(&bytes[..len], 7), Err(BadRecord::Damaged(_))),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn an_intact_record_of_another_version_is_told_apart() {
        let text = String::from_utf8(encode(7, &state()).unwrap()).unwrap();
        let newer = text.replace("catalog 1 7", "catalog 2 7");
        let body = &newer[..newer.len() - SEAL.len() - 9];
        let sealed = format!("{body}{SEAL}{:08x}\n", crc32c(body.as_bytes()));
        assert_eq!(decode(sealed.as_bytes(), 7), Err(BadRecord::Version(2)));
    }
}
