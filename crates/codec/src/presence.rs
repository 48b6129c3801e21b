//! Which rows of a column hold a value.

/// The rows of a column that hold a value; the others are absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence<'a> {
    /// All rows.
    All,
    /// Those whose bit is set: row `r` is bit `r % 64` of word `r / 64`. Missing words count as zero.
    Rows(&'a [u64]),
}

impl Presence<'_> {
    /// True when row `row` holds a value.
    #[must_use]
    pub fn contains(&self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Rows(words) => words
                .get(row / 64)
                .is_some_and(|word| word >> (row % 64) & 1 == 1),
        }
    }

    /// How many of the first `n_rows` rows hold a value.
    #[must_use]
    pub fn count(&self, n_rows: usize) -> usize {
        match self {
            Self::All => n_rows,
            Self::Rows(words) => {
                let whole = words
                    .iter()
                    .take(n_rows / 64)
                    .map(|word| word.count_ones() as usize);
                let partial = words
                    .get(n_rows / 64)
                    .map_or(0, |word| word & !(u64::MAX << (n_rows % 64)));
                whole.sum::<usize>() + partial.count_ones() as usize
            }
        }
    }
}

/// Appends one bit per row, lowest first, in whole bytes.
pub(crate) fn push_bitmap(presence: Presence<'_>, n_rows: usize, bytes: &mut Vec<u8>) {
    for first_row in (0..n_rows).step_by(8) {
        let rows = first_row..n_rows.min(first_row + 8);
        let byte = rows.fold(0, |byte, row| {
            byte | u8::from(presence.contains(row)) << (row - first_row)
        });
        bytes.push(byte);
    }
}

/// The rows of a bitmap that [`push_bitmap`] wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bitmap<'a> {
    pub(crate) bytes: &'a [u8],
}

impl Bitmap<'_> {
    pub(crate) fn contains(&self, row: usize) -> bool {
        self.bytes
            .get(row / 8)
            .is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }

    /// How many rows before `row` hold a value.
    pub(crate) fn rank(&self, row: usize) -> usize {
        let whole = self
            .bytes
            .iter()
            .take(row / 8)
            .map(|byte| byte.count_ones() as usize);
        let partial = self
            .bytes
            .get(row / 8)
            .map_or(0, |byte| byte & !(u8::MAX << (row % 8)));
        whole.sum::<usize>() + partial.count_ones() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bitmap_says_what_the_words_said(words in prop::collection::vec(any::<u64>(), 0..4), n_rows in 0_usize..200) {
            let presence = Presence::Rows(&words);
            let mut bytes = Vec::new();
            push_bitmap(presence, n_rows, &mut bytes);
            prop_assert_eq!(bytes.len(), n_rows.div_ceil(8));
            let bitmap = Bitmap { bytes: &bytes };
            for row in 0..n_rows {
                prop_assert_eq!(bitmap.contains(row), presence.contains(row));
                prop_assert_eq!(bitmap.rank(row), presence.count(row));
            }
            prop_assert!(!bitmap.contains(n_rows));
            prop_assert_eq!(bitmap.rank(n_rows), presence.count(n_rows));
        }
    }
}
