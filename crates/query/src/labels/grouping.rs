//! Dense group ids from code columns.

use hashbrown::HashMap;

use super::column::Column;

/// A partition of series into groups, numbered in order of their first series.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    /// The group of each series.
    pub(crate) ids: Vec<u32>,
    /// The first series of each group.
    pub(crate) first: Vec<u32>,
}

/// A pair table of at most this many entries per series is used instead of a hash map.
const DIRECT_ENTRIES_PER_SERIES: usize = 4;

impl Groups {
    /// All series in one group; no group when there is no series.
    pub(crate) fn single(n_series: usize) -> Self {
        Self {
            ids: vec![0; n_series],
            first: if n_series > 0 { vec![0] } else { Vec::new() },
        }
    }

    /// Series that agree in every column share a group. All columns have `n_series` codes. Cost: one pass per
    /// column that is not constant.
    pub(crate) fn by<'a>(n_series: usize, columns: impl IntoIterator<Item = &'a Column>) -> Self {
        let mut groups = Self::single(n_series);
        for column in columns {
            if !column.is_constant() {
                groups.refine(column);
            }
            if groups.first.len() == n_series {
                break;
            }
        }
        groups
    }

    /// Number of groups.
    pub(crate) fn n_groups(&self) -> usize {
        self.first.len()
    }

    /// True when each series is alone in its group.
    pub(crate) fn is_unique(&self) -> bool {
        self.first.len() == self.ids.len()
    }

    /// The series of each group, ascending.
    pub(crate) fn members(&self) -> Vec<Vec<u32>> {
        let mut members = vec![Vec::new(); self.n_groups()];
        for (&id, series_idx) in self.ids.iter().zip(0..) {
            members[id as usize].push(series_idx);
        }
        members
    }

    /// Splits the groups by one more column.
    fn refine(&mut self, column: &Column) {
        let n_pairs = self.n_groups().saturating_mul(column.values.len());
        if n_pairs <= self.ids.len().saturating_mul(DIRECT_ENTRIES_PER_SERIES).max(1024) {
            self.refine_direct(column, n_pairs);
        } else {
            self.refine_hashed(column);
        }
    }

    fn refine_direct(&mut self, column: &Column, n_pairs: usize) {
        let n_values = column.values.len();
        let mut new_ids = vec![u32::MAX; n_pairs];
        let mut first = Vec::new();
        for (series_idx, (id, &code)) in (0..).zip(self.ids.iter_mut().zip(&column.codes)) {
            let new_id = &mut new_ids[*id as usize * n_values + code as usize];
            if *new_id == u32::MAX {
                *new_id = next_id(&first);
                first.push(series_idx);
            }
            *id = *new_id;
        }
        self.first = first;
    }

    fn refine_hashed(&mut self, column: &Column) {
        let mut new_ids: HashMap<(u32, u32), u32> = HashMap::with_capacity(self.ids.len() / 4);
        let mut first = Vec::new();
        // Neighbours are lanes of one stream and mostly agree.
        let mut last = None;
        for (series_idx, (id, &code)) in (0..).zip(self.ids.iter_mut().zip(&column.codes)) {
            let pair = (*id, code);
            *id = match last {
                Some((last_pair, last_id)) if last_pair == pair => last_id,
                _ => *new_ids.entry(pair).or_insert_with(|| {
                    let new_id = next_id(&first);
                    first.push(series_idx);
                    new_id
                }),
            };
            last = Some((pair, *id));
        }
        self.first = first;
    }
}

fn next_id(first: &[u32]) -> u32 {
    u32::try_from(first.len()).expect("no more groups than series")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use proptest::prelude::*;

    fn column(codes: Vec<u32>) -> Column {
        let n_values = codes.iter().max().map_or(1, |&max| max as usize + 1);
        let values = (0..n_values)
            .map(|code| {
                if code == 0 {
                    "".into()
                } else {
                    code.to_string().into()
                }
            })
            .collect();
        Column {
            codes,
            values: Arc::new(values),
        }
    }

    #[test]
    fn groups_are_numbered_by_their_first_series() {
        let groups = Groups::by(5, &[column(vec![3, 1, 3, 1, 0])]);
        assert_eq!(groups.ids, [0, 1, 0, 1, 2]);
        assert_eq!(groups.first, [0, 1, 4]);
        assert_eq!(groups.members(), [vec![0, 2], vec![1, 3], vec![4]]);
    }

    #[test]
    fn no_series_means_no_group() {
        assert_eq!(Groups::by(0, &[]).n_groups(), 0);
    }

    proptest! {
        #[test]
        fn series_share_a_group_exactly_when_all_columns_agree(
            rows in proptest::collection::vec((0_u32..4, 0_u32..40_000, 0_u32..3), 0..200)
        ) {
            let columns = [
                column(rows.iter().map(|row| row.0).collect()),
                column(rows.iter().map(|row| row.1).collect()),
                column(rows.iter().map(|row| row.2).collect()),
            ];
            let groups = Groups::by(rows.len(), &columns);
            for (a, row_a) in rows.iter().enumerate() {
                for (b, row_b) in rows.iter().enumerate() {
                    prop_assert_eq!(row_a == row_b, groups.ids[a] == groups.ids[b]);
                }
            }
            for (group, &series_idx) in groups.first.iter().enumerate() {
                prop_assert_eq!(groups.ids[series_idx as usize] as usize, group);
            }
        }
    }
}
