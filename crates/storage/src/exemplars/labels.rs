//! Labels of exemplars, in one piece of memory.

use std::fmt;

/// Characters that names and values of one exemplar may have together: OpenMetrics' limit.
pub const LABEL_CHARACTERS_MAX: usize = 128;

/// Names and values, sorted by name; none of them twice, no value empty. At most [`LABEL_CHARACTERS_MAX`] characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ExemplarLabels(
    /// Each text behind its length, two bytes.
    Box<[u8]>,
);

/// Why these are no labels of an exemplar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExemplarLabelError {
    /// There is too much text.
    #[error("the labels of an exemplar have more than {LABEL_CHARACTERS_MAX} characters")]
    TooLong,
    /// One name stands twice.
    #[error("an exemplar has the label {name:?} twice")]
    Duplicate {
        /// The name.
        name: String,
    },
}

impl ExemplarLabels {
    /// The labels of these pairs, in any order. Pairs with an empty value are left out.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ExemplarLabelError> {
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let mut pairs: Vec<(&str, &str)> = pairs.collect();
        let texts = pairs.iter().flat_map(|(name, value)| [name, value]);
        let n_characters: usize = texts.map(|text| text.chars().count()).sum();
        if n_characters > LABEL_CHARACTERS_MAX {
            return Err(ExemplarLabelError::TooLong);
        }
        pairs.sort_unstable();
        let mut bytes = Vec::new();
        let mut last = None;
        for (name, value) in pairs {
            if last.replace(name) == Some(name) {
                let name = name.to_owned();
                return Err(ExemplarLabelError::Duplicate { name });
            }
            for text in [name, value] {
                // A character has at most four bytes.
                bytes.extend((text.len() as u16).to_le_bytes());
                bytes.extend(text.as_bytes());
            }
        }
        Ok(Self(bytes.into_boxed_slice()))
    }

    /// Pairs of name and value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || Some((take_text(&mut rest)?, take_text(&mut rest)?)))
    }

    /// Bytes of memory beside the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.len()
    }
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, behind) = rest.split_first_chunk()?;
    let (text, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *rest = behind;
    std::str::from_utf8(text).ok()
}

impl fmt::Debug for ExemplarLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_too_long_or_twice_is_refused() {
        let long = "\u{e4}".repeat(LABEL_CHARACTERS_MAX - 1);
        assert!(ExemplarLabels::from_pairs([("a", long.as_str())]).is_ok());
        assert_eq!(
            ExemplarLabels::from_pairs([("ab", long.as_str())]),
            Err(ExemplarLabelError::TooLong)
        );
        let twice = ExemplarLabels::from_pairs([("a", "1"), ("b", "1"), ("a", "2")]);
        assert!(matches!(twice, Err(ExemplarLabelError::Duplicate { name }) if name == "a"));
        assert_eq!(
            ExemplarLabels::from_pairs([("a", "")]),
            Ok(ExemplarLabels::default())
        );
    }

    proptest! {
        #[test]
        fn labels_are_read_back_sorted(labels: std::collections::BTreeMap<String, String>) {
            let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            if let Ok(held) = ExemplarLabels::from_pairs(pairs.clone().rev()) {
                let expected = pairs.filter(|(_, value)| !value.is_empty());
                prop_assert_eq!(held.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
        }
    }
}
