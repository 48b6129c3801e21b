//! One label of many series.

use std::sync::Arc;

/// The values of one label name for a list of series, dictionary coded.
///
/// `codes[i]` is the position in `values` of the i-th series' value. `values[0]` is always the empty string: the
/// label is absent. Every other value is non-empty and occurs once, so equal codes mean equal values.
#[derive(Debug, Clone)]
pub struct LabelColumn {
    /// One code per series.
    pub codes: Vec<u32>,
    /// The distinct values; not every one needs to be used.
    pub values: Vec<Arc<str>>,
}

impl LabelColumn {
    /// A column of `n_series` series that all lack the label.
    #[must_use]
    pub fn absent(n_series: usize) -> Self {
        Self {
            codes: vec![0; n_series],
            values: vec![Arc::from("")],
        }
    }

    /// The value of one series; empty when it lacks the label.
    ///
    /// # Panics
    /// If `series_idx` is not a position of this column.
    #[must_use]
    pub fn value(&self, series_idx: usize) -> &str {
        &self.values[self.codes[series_idx] as usize]
    }
}
