//! One label of all entities: a code per row, 0 for absent.
//!
//! A label that many entities have is a plain array (4 bytes per row, up to the last row that has it). One that few
//! have is a list of rows and codes (8 bytes per entry), so that hundreds of rare labels over a million entities
//! stay small. The form changes at a density of a quarter upwards and a twelfth downwards; the distance between
//! the two keeps the cost of changing, per entry, constant.

/// The codes of one label by entity row.
#[derive(Debug)]
pub(crate) enum CodeColumn {
    /// `codes[row]`; rows past the end are absent.
    Dense { codes: Vec<u32>, n_present: usize },
    /// Parallel: ascending rows, and their codes, none of them 0.
    Sparse { rows: Vec<u32>, codes: Vec<u32> },
}

/// Rows per entry from which on a column turns dense, if it has fewer.
const DENSE_BELOW: usize = 4;

/// Rows per entry from which on a dense column turns sparse.
const SPARSE_ABOVE: usize = 12;

impl CodeColumn {
    pub(crate) fn new() -> Self {
        Self::Sparse {
            rows: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// Sets the code of a row that has none. Rows mostly come in ascending order; then it is cheap.
    pub(crate) fn set(&mut self, row: u32, code: u32) {
        debug_assert!(code != 0, "absent labels are left out");
        self.choose_form(self.n_rows().max(row as usize + 1));
        match self {
            Self::Dense { codes, n_present } => {
                if codes.len() <= row as usize {
                    codes.resize(row as usize, 0);
                    codes.push(code);
                } else {
                    codes[row as usize] = code;
                }
                *n_present += 1;
            }
            Self::Sparse { rows, codes } => {
                let position = rows.partition_point(|held| *held < row);
                rows.insert(position, row);
                codes.insert(position, code);
            }
        }
    }

    /// One more than the last row that has a code.
    fn n_rows(&self) -> usize {
        match self {
            Self::Dense { codes, .. } => codes.len(),
            Self::Sparse { rows, .. } => rows.last().map_or(0, |last| *last as usize + 1),
        }
    }

    /// The code of one row.
    pub(crate) fn get(&self, row: u32) -> u32 {
        match self {
            Self::Dense { codes, .. } => codes.get(row as usize).copied().unwrap_or(0),
            Self::Sparse { rows, codes } => rows.binary_search(&row).map_or(0, |position| codes[position]),
        }
    }

    /// All rows that have a code, ascending, with it.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, u32)> {
        let (dense, rows, sparse): (&[u32], &[u32], &[u32]) = match self {
            Self::Dense { codes, .. } => (codes, &[], &[]),
            Self::Sparse { rows, codes } => (&[], rows, codes),
        };
        let dense = (0..).zip(dense.iter().copied()).filter(|(_, code)| *code != 0);
        dense.chain(rows.iter().copied().zip(sparse.iter().copied()))
    }

    /// A reader that is fast when rows are asked for in mostly ascending order.
    pub(crate) fn cursor(&self) -> CodeCursor<'_> {
        CodeCursor {
            column: self,
            position: 0,
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let n_words = match self {
            Self::Dense { codes, .. } => codes.capacity(),
            Self::Sparse { rows, codes } => rows.capacity() + codes.capacity(),
        };
        n_words * size_of::<u32>()
    }

    /// Takes the form that suits one entry more, in a column of `n_rows`.
    fn choose_form(&mut self, n_rows: usize) {
        match self {
            Self::Dense { codes, n_present } if n_rows > SPARSE_ABOVE * (*n_present + 1) => {
                let present = codes.iter().enumerate().filter(|(_, code)| **code != 0);
                let (rows, codes) = present.map(|(row, code)| (row as u32, *code)).unzip();
                *self = Self::Sparse { rows, codes };
            }
            Self::Sparse { rows, codes } if n_rows < DENSE_BELOW * (rows.len() + 1) => {
                let mut dense = vec![0; rows.last().map_or(0, |last| *last as usize + 1)];
                for (row, code) in rows.iter().zip(codes.iter()) {
                    dense[*row as usize] = *code;
                }
                *self = Self::Dense {
                    codes: dense,
                    n_present: rows.len(),
                };
            }
            Self::Dense { .. } | Self::Sparse { .. } => {}
        }
    }
}

/// Reads a column row by row.
#[derive(Debug)]
pub(crate) struct CodeCursor<'a> {
    column: &'a CodeColumn,
    /// In a sparse column: all entries before it belong to smaller rows than the last one asked for.
    position: usize,
}

impl CodeCursor<'_> {
    pub(crate) fn get(&mut self, row: u32) -> u32 {
        match self.column {
            CodeColumn::Dense { codes, .. } => codes.get(row as usize).copied().unwrap_or(0),
            CodeColumn::Sparse { rows, codes } => {
                if self.position > 0 && rows[self.position - 1] >= row {
                    self.position = 0;
                }
                self.position += lower_bound_from_start(&rows[self.position..], row);
                match rows.get(self.position) {
                    Some(&found) if found == row => codes[self.position],
                    _ => 0,
                }
            }
        }
    }
}

/// How many of the ascending `rows` are smaller than `row`; logarithmic in the answer, not in the length.
fn lower_bound_from_start(rows: &[u32], row: u32) -> usize {
    let mut end = 1;
    while rows.get(end - 1).is_some_and(|last| *last < row) {
        end *= 2;
    }
    let start = end / 2;
    let end = end.min(rows.len());
    start + rows[start..end].partition_point(|candidate| *candidate < row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rare_label_costs_by_entry_and_a_common_one_by_row() {
        let mut column = CodeColumn::new();
        for row in 0..1_000 {
            column.set(row, 1);
        }
        assert!(matches!(column, CodeColumn::Dense { .. }));
        for row in (10_000..1_000_000).step_by(5_000) {
            column.set(row, 2);
        }
        assert!(matches!(column, CodeColumn::Sparse { .. }));
        assert!(column.heap_bytes() < 20_000, "{}", column.heap_bytes());
    }

    proptest! {
        #[test]
        fn both_forms_hold_what_was_pushed(
            runs in proptest::collection::vec((0u32..40, 1u32..30), 0..20),
            asked in proptest::collection::vec(0u32..2_000, 0..50),
        ) {
            let (mut column, mut shuffled) = (CodeColumn::new(), CodeColumn::new());
            let mut expected = std::collections::BTreeMap::new();
            let mut row = 0;
            for (gap, len) in runs {
                row += gap;
                for _ in 0..len {
                    column.set(row, row + 7);
                    expected.insert(row, row + 7);
                    row += 1;
                }
            }
            for row in expected.keys().filter(|row| *row % 3 != 0).chain(expected.keys().filter(|row| *row % 3 == 0)) {
                shuffled.set(*row, row + 7);
            }
            let mut cursor = column.cursor();
            for row in (0..row + 5).chain(asked) {
                let code = expected.get(&row).copied().unwrap_or(0);
                prop_assert_eq!(column.get(row), code);
                prop_assert_eq!(shuffled.get(row), code);
                prop_assert_eq!(cursor.get(row), code);
            }
        }
    }
}
