//! Which rows of a page have a value: definition levels of 0 and 1, as runs.
//!
//! Parquet's hybrid of runs and bit-packed groups, of which only runs are written: a row without a value among
//! thousands with one is what happens, and takes four bytes.

use std::ops::Range;

use codec::varint;

use super::PageError;

/// Alternating runs of rows with and without a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::block) struct Runs {
    /// None is empty, neighbours differ.
    runs: Vec<Run>,
    n_rows: usize,
    n_present: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first_row: usize,
    /// Rows before it that have a value.
    n_present_before: usize,
    is_present: bool,
}

/// A part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::block) struct RunPart {
    pub(in crate::block) rows: Range<usize>,
    pub(in crate::block) is_present: bool,
    /// How many rows of its kind are before it.
    pub(in crate::block) n_alike_before: usize,
}

impl Runs {
    pub(in crate::block) fn clear(&mut self) {
        self.runs.clear();
        self.n_rows = 0;
        self.n_present = 0;
    }

    /// Adds rows.
    pub(in crate::block) fn push(&mut self, n_rows: usize, is_present: bool) {
        if n_rows == 0 {
            return;
        }
        if self.runs.last().is_none_or(|run| run.is_present != is_present) {
            self.runs.push(Run {
                first_row: self.n_rows,
                n_present_before: self.n_present,
                is_present,
            });
        }
        self.n_rows += n_rows;
        self.n_present += if is_present { n_rows } else { 0 };
    }

    pub(in crate::block) fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub(in crate::block) fn n_present(&self) -> usize {
        self.n_present
    }

    /// The parts of runs that lie within `rows`, in order.
    pub(in crate::block) fn within(&self, rows: Range<usize>) -> impl Iterator<Item = RunPart> {
        let first = self.runs.partition_point(|run| run.first_row <= rows.start);
        let runs = self.runs.get(first.saturating_sub(1)..).unwrap_or(&[]);
        let ends = runs.iter().skip(1).map(|run| run.first_row).chain([self.n_rows]);
        let end = rows.end;
        let parts = runs.iter().zip(ends).map_while(move |(run, run_end)| {
            let part = rows.start.max(run.first_row)..end.min(run_end);
            let alike = if run.is_present {
                run.n_present_before
            } else {
                run.first_row - run.n_present_before
            };
            (run.first_row < end).then(|| RunPart {
                n_alike_before: alike + (part.start - run.first_row),
                is_present: run.is_present,
                rows: part,
            })
        });
        parts.filter(|part| !part.rows.is_empty())
    }

    /// `(rows, has a value)` in order.
    pub(in crate::block) fn iter(&self) -> impl Iterator<Item = (usize, bool)> {
        self.within(0..self.n_rows)
            .map(|part| (part.rows.len(), part.is_present))
    }

    /// Bytes it has asked of the allocator.
    pub(in crate::block) fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    /// True when the rows of one are those without a value of the other.
    #[cfg(test)]
    pub(in crate::block) fn complements(&self, other: &Self) -> bool {
        let inverted = other.iter().map(|(n_rows, is_present)| (n_rows, !is_present));
        self.iter().eq(inverted)
    }

    /// Appends them as they stand in a page.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        for (n_rows, is_present) in self.iter() {
            varint::push_u64(bytes, (n_rows as u64) << 1);
            bytes.push(u8::from(is_present));
        }
    }

    /// Replaces what it held by the runs of a page of `n_rows`.
    pub(super) fn decode(&mut self, mut bytes: &[u8], n_rows: usize) -> Result<(), PageError> {
        const INVALID: PageError = PageError::Invalid("run of rows");
        self.clear();
        while !bytes.is_empty() {
            let (header, rest) = varint::read_u64(bytes).map_err(|_| INVALID)?;
            let is_run = header & 1 == 0;
            let n_run = usize::try_from(header >> 1)
                .ok()
                .filter(|_| is_run)
                .ok_or(INVALID)?;
            let (kind, rest) = rest.split_first().ok_or(INVALID)?;
            bytes = rest;
            if *kind > 1 || n_run == 0 || n_run > n_rows - self.n_rows {
                return Err(INVALID);
            }
            self.push(n_run, *kind == 1);
        }
        if self.n_rows == n_rows {
            Ok(())
        } else {
            Err(INVALID)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_survive(runs in proptest::collection::vec((0..1_000_usize, any::<bool>()), 0..20)) {
            let mut written = Runs::default();
            for (n_rows, is_present) in runs {
                written.push(n_rows, is_present);
            }
            let mut bytes = Vec::new();
            written.encode(&mut bytes);
            let mut read = Runs::default();
            read.decode(&bytes, written.n_rows()).unwrap();
            prop_assert_eq!(&read, &written);
            prop_assert!(read.decode(&bytes, written.n_rows() + 1).is_err());
        }

        #[test]
        fn parts_are_those_of_the_rows(kinds in proptest::collection::vec(any::<bool>(), 0..40), start in 0..40_usize, len in 0..40_usize) {
            let mut runs = Runs::default();
            kinds.iter().for_each(|kind| runs.push(1, *kind));
            let start = start.min(kinds.len());
            let end = (start + len).min(kinds.len());
            let mut row = start;
            for part in runs.within(start..end) {
                prop_assert_eq!(part.rows.start, row);
                prop_assert!(kinds[part.rows.clone()].iter().all(|kind| *kind == part.is_present));
                let alike = kinds[..row].iter().filter(|kind| **kind == part.is_present);
                prop_assert_eq!(alike.count(), part.n_alike_before);
                row = part.rows.end;
            }
            prop_assert_eq!(row, end);
        }

        #[test]
        fn any_bytes_are_runs_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..20), n_rows in 0..1_000_usize) {
            let mut runs = Runs::default();
            if runs.decode(&bytes, n_rows).is_ok() {
                prop_assert_eq!(runs.n_rows(), n_rows);
            }
        }
    }
}
