//! The labels of a new series: checked, sorted, and how a refused series is named.

use std::fmt::{self, Write};

use model::METRIC_NAME;

use crate::error::{LabelsError, RefusedSeries};
use crate::limits::Limits;

/// Longest text that names a refused series, in bytes.
const SERIES_TEXT_BYTES_MAX: usize = 512;

/// Longest piece of foreign text inside a reason, in bytes.
const EXCERPT_BYTES_MAX: usize = 64;

/// The labels of one series: sorted by name (bytes), no name twice, no empty name, no empty value, with
/// `__name__`, all of it UTF-8 and within the [`Limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesLabels<'a>(Vec<(&'a str, &'a str)>);

impl<'a> SeriesLabels<'a> {
    /// The label set of these pairs of name and value, in any order. Pairs with an empty value are left out, as
    /// Prometheus does: empty means absent.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn from_pairs(mut pairs: Vec<(&'a str, &'a str)>, limits: &Limits) -> Result<Self, LabelsError> {
        if pairs.len() > limits.labels_per_series {
            return Err(LabelsError::TooManyLabels {
                limit: limits.labels_per_series,
            });
        }
        for (name, value) in &pairs {
            check_sizes(name, value, limits)?;
        }
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.sort_unstable_by_key(|pair| pair.0);
            let twin = pairs.windows(2).find_map(|window| match window {
                [first, second] if first.0 == second.0 => Some(first.0),
                _ => None,
            });
            if let Some(name) = twin {
                return Err(LabelsError::Duplicate {
                    name: name.to_owned(),
                });
            }
        }
        pairs.retain(|(_, value)| !value.is_empty());
        if pairs.binary_search_by_key(&METRIC_NAME, |pair| pair.0).is_err() {
            return Err(LabelsError::MissingMetricName);
        }
        Ok(Self(pairs))
    }

    /// As [`Self::from_pairs`], with an error that names the series.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn checked(pairs: &[(&'a str, &'a str)], limits: &Limits) -> Result<Self, RefusedSeries> {
        Self::from_pairs(pairs.to_vec(), limits).map_err(|reason| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            refuse(reason, pairs)
        })
    }

    /// Pairs of name and value, sorted by name.
    #[must_use]
    pub fn as_slice(&self) -> &[(&'a str, &'a str)] {
        &self.0
    }

    /// The value of `__name__`, never empty.
    #[must_use]
    pub fn metric_name(&self) -> &'a str {
        let position = self.0.binary_search_by_key(&METRIC_NAME, |pair| pair.0);
        position
            .ok()
            .and_then(|idx| self.0.get(idx))
            .map_or("", |pair| pair.1)
    }
}

/// As Prometheus prints a series, cut after 512 bytes.
impl fmt::Display for SeriesLabels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self
            .0
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        f.write_str(&series_text(pairs))
    }
}

fn check_sizes(name: &str, value: &str, limits: &Limits) -> Result<(), LabelsError> {
    if name.is_empty() {
        return Err(LabelsError::EmptyName {
            value: excerpt(value.as_bytes()),
        });
    }
    if name.len() > limits.label_name_bytes {
        return Err(LabelsError::NameTooLong {
            name: excerpt(name.as_bytes()),
            bytes: name.len(),
            limit: limits.label_name_bytes,
        });
    }
    if value.len() > limits.label_value_bytes {
        return Err(LabelsError::ValueTooLong {
            name: name.to_owned(),
            bytes: value.len(),
            limit: limits.label_value_bytes,
        });
    }
    Ok(())
}

/// `bytes` as text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, LabelsError> {
    std::str::from_utf8(bytes).map_err(|_| LabelsError::NotUtf8 { text: excerpt(bytes) })
}

/// A refusal that names the series by whatever of its labels can be read.
pub(super) fn refuse<'a>(
    reason: LabelsError,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> RefusedSeries {
    RefusedSeries {
        series: series_text(pairs),
        reason,
    }
}

/// `name{label="value", …}` of pairs in any state, cut after 512 bytes.
pub(super) fn series_text<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let mut name = String::new();
    let mut rest = String::new();
    for (label, value) in pairs {
        if label == METRIC_NAME.as_bytes() && name.is_empty() {
            name = excerpt(value);
            continue;
        }
        if rest.len() > SERIES_TEXT_BYTES_MAX {
            rest.push_str(", …");
            break;
        }
        let separator = if rest.is_empty() { "" } else { ", " };
        let written = write!(rest, "{separator}{}={:?}", excerpt(label), excerpt(value));
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    if rest.is_empty() && !name.is_empty() {
        name
    } else {
        format!("{name}{{{rest}}}")
    }
}

/// The first bytes of foreign text, readable whatever they are.
fn excerpt(bytes: &[u8]) -> String {
    match bytes.get(..EXCERPT_BYTES_MAX) {
        Some(start) if bytes.len() > EXCERPT_BYTES_MAX => format!("{}…", String::from_utf8_lossy(start)),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
