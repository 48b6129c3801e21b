//! How many values each row of a column of lists has: repetition and definition levels of 0 and 1, as runs.
//!
//! A list of `n` values is `n` entries, of which the first has repetition level 0 and the others 1, all with definition
//! level 1. An empty list is one entry with both levels 0 and without a value. Neither lists nor values are ever null.

use std::ops::Range;

use super::PageError;
use super::levels::Runs;

/// The lengths of lists, by row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::block) struct Lists {
    /// Where the values of each row end.
    ends: Vec<u32>,
    n_empty: usize,
}

impl Lists {
    pub(in crate::block) fn clear(&mut self) {
        self.ends.clear();
        self.n_empty = 0;
    }

    /// Adds a row with so many values.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a page has less than 2^32 values: its writer and its reader see to that"
    )]
    pub(in crate::block) fn push(&mut self, n_values: usize) {
        self.n_empty += usize::from(n_values == 0);
        self.ends.push((self.n_values() + n_values) as u32);
    }

    pub(in crate::block) fn n_rows(&self) -> usize {
        self.ends.len()
    }

    pub(in crate::block) fn n_values(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    /// Entries of the page: values, and one for each empty list.
    pub(in crate::block) fn n_entries(&self) -> usize {
        self.n_values() + self.n_empty
    }

    /// The positions of the values of one row.
    pub(in crate::block) fn values_of(&self, row: usize) -> Range<usize> {
        let end = |row: usize| self.ends.get(row).map_or(0, |end| *end as usize);
        row.checked_sub(1).map_or(0, end)..end(row)
    }

    /// Bytes it has asked of the allocator.
    pub(in crate::block) fn heap_bytes(&self) -> usize {
        self.ends.capacity() * size_of::<u32>()
    }

    /// Appends the levels, and returns how many bytes are repetition levels; those of definition follow.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> usize {
        let (mut repetition, mut definition) = (Runs::default(), Runs::default());
        for row in 0..self.n_rows() {
            let n_values = self.values_of(row).len();
            repetition.push(1, false);
            repetition.push(n_values.saturating_sub(1), true);
            definition.push(n_values.max(1), n_values > 0);
        }
        let start = bytes.len();
        repetition.encode(bytes);
        let n_repetition = bytes.len() - start;
        definition.encode(bytes);
        n_repetition
    }

    /// The lists of a page of `n_rows` and `n_entries`.
    pub(super) fn decode(
        repetition: &[u8],
        definition: &[u8],
        n_entries: usize,
        n_rows: usize,
    ) -> Result<Self, PageError> {
        const INVALID: PageError = PageError::Invalid("lists");
        let (mut repeated, mut defined) = (Runs::default(), Runs::default());
        repeated.decode(repetition, n_entries)?;
        defined.decode(definition, n_entries)?;
        if n_entries - repeated.n_present() != n_rows {
            return Err(INVALID);
        }
        let mut lists = Self::default();
        lists.ends.reserve_exact(n_rows);
        let mut parts = repeated.iter().peekable();
        let mut entry = 0;
        while let Some((n_first, is_repeated)) = parts.next() {
            if is_repeated {
                return Err(INVALID);
            }
            // Of a run of first entries all but the last are lists of one entry.
            let n_more = parts
                .next_if(|(_, is_repeated)| *is_repeated)
                .map_or(0, |(n_more, _)| n_more);
            let lone = std::iter::repeat_n(1, n_first - 1);
            for n_list in lone.chain([1 + n_more]) {
                lists.push_checked(&defined, entry..entry + n_list)?;
                entry += n_list;
            }
        }
        Ok(lists)
    }

    /// Adds the row of these entries.
    fn push_checked(&mut self, defined: &Runs, entries: Range<usize>) -> Result<(), PageError> {
        let n_list = entries.len();
        let mut parts = defined.within(entries);
        match (parts.next(), parts.next()) {
            (Some(part), None) if part.is_present => self.push(n_list),
            (Some(_), None) if n_list == 1 => self.push(0),
            _ => return Err(PageError::Invalid("lists")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lists(lengths: &[usize]) -> Lists {
        let mut lists = Lists::default();
        lengths.iter().for_each(|length| lists.push(*length));
        lists
    }

    #[test]
    fn a_long_list_takes_a_few_bytes() {
        let mut bytes = Vec::new();
        let n_repetition = lists(&[20_000]).encode(&mut bytes);
        assert_eq!((n_repetition, bytes.len()), (6, 10));
    }

    proptest! {
        #[test]
        fn lengths_survive(lengths in proptest::collection::vec(prop_oneof![Just(0), Just(1), 0..300_usize], 0..30)) {
            let written = lists(&lengths);
            let mut bytes = Vec::new();
            let n_repetition = written.encode(&mut bytes);
            let (repetition, definition) = bytes.split_at(n_repetition);
            let read = Lists::decode(repetition, definition, written.n_entries(), lengths.len()).unwrap();
            prop_assert_eq!(&read, &written);
            for (row, length) in lengths.iter().enumerate() {
                prop_assert_eq!(read.values_of(row).len(), *length);
            }
            prop_assert!(Lists::decode(repetition, definition, written.n_entries(), lengths.len() + 1).is_err());
        }

        #[test]
        fn any_bytes_are_lists_or_an_error(
            repetition in proptest::collection::vec(any::<u8>(), 0..12),
            definition in proptest::collection::vec(any::<u8>(), 0..12),
            n_entries in 0..200_usize,
            n_rows in 0..50_usize,
        ) {
            if let Ok(lists) = Lists::decode(&repetition, &definition, n_entries, n_rows) {
                prop_assert_eq!((lists.n_rows(), lists.n_entries()), (n_rows, n_entries));
            }
        }
    }
}
