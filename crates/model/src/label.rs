//! Label sets.
//!
//! Invariants of [`Labels`]: sorted by name (bytes), no name twice, no empty name, no empty value (an empty
//! value means "absent" everywhere in Prometheus).

use std::fmt;

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";

/// The label that holds the upper bound of a classic-histogram bucket.
pub const BUCKET_LABEL: &str = "le";

/// One name and value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Non-empty UTF-8.
    pub name: String,
    /// Non-empty UTF-8.
    pub value: String,
}

/// A sorted set of labels, as one series has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Vec<Label>);

/// Why a list of names and values is no label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// A label has no name.
    #[error("label with value {value:?} has an empty name")]
    EmptyName {
        /// The value that came with it.
        value: String,
    },
    /// One name stands twice.
    #[error("duplicate label name {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// There is no `__name__`, or it is empty.
    #[error("missing metric name (label \"__name__\")")]
    MissingMetricName,
}

impl Labels {
    /// The label set of these pairs, in any order. Pairs with an empty value are left out.
    ///
    /// # Errors
    /// [`LabelError::EmptyName`] and [`LabelError::Duplicate`].
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let mut labels: Vec<Label> = pairs
            .into_iter()
            .map(|(name, value)| Label {
                name: name.into(),
                value: value.into(),
            })
            .collect();
        labels.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for pair in labels.windows(2) {
            if let [first, second] = pair
                && first.name == second.name
            {
                return Err(LabelError::Duplicate {
                    name: first.name.clone(),
                });
            }
        }
        if let Some(label) = labels.iter().find(|label| label.name.is_empty()) {
            return Err(LabelError::EmptyName {
                value: label.value.clone(),
            });
        }
        labels.retain(|label| !label.value.is_empty());
        Ok(Self(labels))
    }

    /// The value of `name`; empty when absent.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        match self.0.binary_search_by(|label| label.name.as_str().cmp(name)) {
            Ok(idx) => self.0.get(idx).map_or("", |label| label.value.as_str()),
            Err(_) => "",
        }
    }

    /// The value of `__name__`; empty when absent.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// The labels, sorted by name.
    #[must_use]
    pub fn as_slice(&self) -> &[Label] {
        &self.0
    }

    /// Pairs of name and value, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|label| (label.name.as_str(), label.value.as_str()))
    }

    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no label at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `name{a="b", c="d"}`, as Prometheus prints a series.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        f.write_str(name)?;
        if self.len() == 1 && !name.is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        let rest = self.iter().filter(|(label, _)| *label != METRIC_NAME);
        for (position, (label, value)) in rest.enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{label}={value:?}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_empty_values_are_absent() {
        let labels = Labels::from_pairs([("b", "2"), ("a", ""), ("__name__", "up")]).unwrap();
        assert_eq!(
            labels.iter().collect::<Vec<_>>(),
            [("__name__", "up"), ("b", "2")]
        );
        assert_eq!(labels.get("a"), "");
        assert_eq!(labels.to_string(), r#"up{b="2"}"#);
    }

    #[test]
    fn duplicates_and_empty_names_are_refused() {
        let duplicate = Labels::from_pairs([("a", "1"), ("a", "2")]);
        assert_eq!(duplicate, Err(LabelError::Duplicate { name: "a".into() }));
        let empty = Labels::from_pairs([("", "1")]);
        assert_eq!(empty, Err(LabelError::EmptyName { value: "1".into() }));
    }
}
