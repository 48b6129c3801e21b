//! Label sets that leave the crate.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Column, SeriesTable};
use crate::memory::Ledger;
use crate::result::Text;

/// The label sets of a list of series, as columns.
#[derive(Debug, Default)]
pub struct LabelSets {
    n_series: usize,
    /// Sorted by name; a column has `n_series` codes.
    columns: Vec<(Text, Arc<Column>)>,
    /// For what it takes, if that is not reserved elsewhere.
    ledger: Option<Ledger>,
}

impl LabelSets {
    /// All labels of a table's series.
    pub(crate) fn of_table(table: &SeriesTable) -> Self {
        let columns = table.label_names().into_iter().map(|name| {
            let column = table.column(&name);
            (name, column)
        });
        Self {
            n_series: table.n_series(),
            columns: columns.filter(|(_, column)| !column.is_absent()).collect(),
            ledger: None,
        }
    }

    /// The same, with the ledger that knows what it takes.
    pub(crate) fn held_in(self, ledger: &Ledger) -> Self {
        Self {
            ledger: Some(ledger.clone()),
            ..self
        }
    }

    /// Number of series.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.n_series
    }

    /// The labels of one series, sorted by name.
    ///
    /// # Panics
    /// If `series_idx` is not below [`Self::n_series`].
    pub fn labels(&self, series_idx: usize) -> impl Iterator<Item = (&str, &str)> {
        assert!(
            series_idx < self.n_series,
            "series {series_idx} of {}",
            self.n_series
        );
        self.columns.iter().filter_map(move |(name, column)| {
            let code = column.codes[series_idx];
            (code != 0).then(|| (&**name, &*column.values[code as usize]))
        })
    }

    /// Bytes of the codes; texts are shared with the store.
    pub(crate) fn bytes(&self) -> usize {
        self.n_series * self.columns.len() * size_of::<u32>()
    }

    /// Prometheus' order of label sets: pair by pair, name before value, the shorter set first when it is a prefix.
    pub(crate) fn compare(&self, a: usize, b: usize) -> Ordering {
        for (position, (_, column)) in self.columns.iter().enumerate() {
            let (code_a, code_b) = (column.codes[a], column.codes[b]);
            if code_a == code_b {
                continue;
            }
            // Who lacks the label goes on with a later name, which is larger, or has ended, which is smaller.
            let ends = |series_idx: usize| {
                let rest = &self.columns[position + 1..];
                rest.iter().all(|(_, column)| column.codes[series_idx] == 0)
            };
            return match (code_a, code_b) {
                (0, _) if ends(a) => Ordering::Less,
                (0, _) => Ordering::Greater,
                (_, 0) if ends(b) => Ordering::Greater,
                (_, 0) => Ordering::Less,
                _ => column.values[code_a as usize].cmp(&column.values[code_b as usize]),
            };
        }
        Ordering::Equal
    }

    /// Positions of the series in Prometheus' order of label sets; series with equal labels keep their order.
    pub(crate) fn sorted_order(&self) -> Vec<u32> {
        let n_series = u32::try_from(self.n_series).expect("fewer than 2^32 series");
        let mut order: Vec<u32> = (0..n_series).collect();
        order.sort_by(|&a, &b| self.compare(a as usize, b as usize));
        order
    }

    /// The label sets at `rows`, in that order.
    pub(crate) fn take(&self, rows: &[u32]) -> Self {
        let columns = self.columns.iter();
        Self {
            n_series: rows.len(),
            columns: columns
                .map(|(name, column)| (Arc::clone(name), Arc::new(column.take(rows))))
                .collect(),
            ledger: self.ledger.clone(),
        }
    }
}
