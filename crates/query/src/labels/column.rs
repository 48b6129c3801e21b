//! One label of many series.

use std::sync::Arc;

use hashbrown::HashMap;
use model::LabelColumn;

use crate::result::Text;

/// A [`LabelColumn`] whose dictionary is shared between columns that were made from each other.
///
/// As there: code 0 is the empty string (absent), every other value is non-empty and occurs once, so equal codes
/// mean equal values within one dictionary.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// One code per series.
    pub(crate) codes: Vec<u32>,
    /// The distinct values; not every one needs to be used.
    pub(crate) values: Arc<Vec<Text>>,
}

/// Builds a dictionary: value to code.
#[derive(Debug)]
pub(crate) struct DictionaryBuilder {
    values: Vec<Text>,
    codes: HashMap<Text, u32>,
}

impl Column {
    /// A column of `n_series` series that all lack the label.
    pub(crate) fn absent(n_series: usize) -> Self {
        LabelColumn::absent(n_series).into()
    }

    /// A column of `n_series` series that all have this value.
    pub(crate) fn constant(n_series: usize, value: &Text) -> Self {
        let mut dictionary = DictionaryBuilder::new();
        let code = dictionary.code(value);
        Self {
            codes: vec![code; n_series],
            values: dictionary.finish(),
        }
    }

    /// The value of one series; empty when it lacks the label.
    pub(crate) fn value(&self, series_idx: usize) -> &Text {
        &self.values[self.codes[series_idx] as usize]
    }

    /// Bytes of the codes and of the list of values; texts are shared with the store, and so may the list be.
    pub(crate) fn bytes(&self) -> usize {
        let values = match Arc::strong_count(&self.values) {
            1 => self.values.len() * size_of::<Text>(),
            _ => 0,
        };
        self.codes.len() * size_of::<u32>() + values
    }

    /// True when no series has the label.
    pub(crate) fn is_absent(&self) -> bool {
        self.codes.iter().all(|&code| code == 0)
    }

    /// True when all series have the same value or all lack it.
    pub(crate) fn is_constant(&self) -> bool {
        self.codes.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// The column of the series at `rows`.
    pub(crate) fn take(&self, rows: &[u32]) -> Self {
        Self {
            codes: rows.iter().map(|&row| self.codes[row as usize]).collect(),
            values: Arc::clone(&self.values),
        }
    }

    /// This column followed by another one, in one dictionary.
    pub(crate) fn concat(&self, other: &Self) -> Self {
        let mut codes = Vec::with_capacity(self.codes.len() + other.codes.len());
        codes.extend_from_slice(&self.codes);
        if Arc::ptr_eq(&self.values, &other.values) {
            codes.extend_from_slice(&other.codes);
            return Self {
                codes,
                values: Arc::clone(&self.values),
            };
        }
        let mut dictionary = DictionaryBuilder::with_values(&self.values);
        let mut new_codes: Vec<Option<u32>> = vec![None; other.values.len()];
        codes.extend(other.codes.iter().map(|&code| {
            *new_codes[code as usize].get_or_insert_with(|| dictionary.code(&other.values[code as usize]))
        }));
        Self {
            codes,
            values: dictionary.finish(),
        }
    }
}

impl From<LabelColumn> for Column {
    fn from(column: LabelColumn) -> Self {
        Self {
            codes: column.codes,
            values: Arc::new(column.values),
        }
    }
}

impl DictionaryBuilder {
    /// A dictionary of the empty string only.
    pub(crate) fn new() -> Self {
        Self::with_values(&[Text::from("")])
    }

    /// A dictionary that begins with these values, which keep their codes.
    pub(crate) fn with_values(values: &[Text]) -> Self {
        let codes = values
            .iter()
            .zip(0..)
            .map(|(value, code)| (Arc::clone(value), code));
        Self {
            values: values.to_vec(),
            codes: codes.collect(),
        }
    }

    /// The code of a value, a new one if need be.
    pub(crate) fn code(&mut self, value: &Text) -> u32 {
        if let Some(&code) = self.codes.get(value) {
            return code;
        }
        let code = u32::try_from(self.values.len()).expect("fewer than 2^32 label values");
        self.values.push(Arc::clone(value));
        self.codes.insert(Arc::clone(value), code);
        code
    }

    /// The values by code.
    pub(crate) fn finish(self) -> Arc<Vec<Text>> {
        Arc::new(self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[&str]) -> Column {
        let mut dictionary = DictionaryBuilder::new();
        let codes = values
            .iter()
            .map(|&value| dictionary.code(&value.into()))
            .collect();
        Column {
            codes,
            values: dictionary.finish(),
        }
    }

    fn texts(column: &Column) -> Vec<&str> {
        (0..column.codes.len()).map(|idx| &**column.value(idx)).collect()
    }

    #[test]
    fn concatenation_keeps_equal_values_equal() {
        let both = column(&["a", "", "b"]).concat(&column(&["b", "c", "", "a"]));
        assert_eq!(texts(&both), ["a", "", "b", "b", "c", "", "a"]);
        assert_eq!(both.codes[0], both.codes[6]);
        assert_eq!(both.codes[1], 0);
        assert_eq!(both.codes[5], 0);
    }
}
