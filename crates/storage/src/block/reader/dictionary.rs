//! The distinct values of one label of a block.

use std::sync::Arc;

use hashbrown::HashMap;
use model::Matcher;

/// Values by code; code 0 is the empty one, the absent label.
#[derive(Debug)]
pub(super) struct Dictionary {
    values: Vec<Arc<str>>,
}

/// Makes a dictionary of values that come in any order.
#[derive(Debug)]
pub(super) struct DictionaryBuilder {
    dictionary: Dictionary,
    codes: HashMap<Arc<str>, u32>,
}

/// Which codes a matcher picks.
pub(super) type PickedCodes = Vec<bool>;

impl Dictionary {
    /// The value of a code, empty if there is none.
    pub(super) fn value(&self, code: u32) -> &str {
        self.values.get(code as usize).map_or("", |value| value)
    }

    /// The values by code, the empty one first.
    pub(super) fn values(&self) -> &[Arc<str>] {
        &self.values
    }

    /// The codes of the values that all of `matchers` pick.
    pub(super) fn picked(&self, matchers: &[&Matcher]) -> PickedCodes {
        let picks = |value: &Arc<str>| matchers.iter().all(|matcher| matcher.matches(value));
        self.values.iter().map(picks).collect()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        const ARC_BYTES: usize = 16;
        let text: usize = self.values.iter().map(|value| ARC_BYTES + value.len()).sum();
        text + self.values.capacity() * size_of::<Arc<str>>()
    }
}

impl DictionaryBuilder {
    pub(super) fn new() -> Self {
        let empty: Arc<str> = Arc::from("");
        Self {
            codes: HashMap::from_iter([(Arc::clone(&empty), 0)]),
            dictionary: Dictionary { values: vec![empty] },
        }
    }

    /// The code of a value.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "4 G distinct texts do not fit into memory"
    )]
    pub(super) fn code(&mut self, value: &str) -> u32 {
        if let Some(code) = self.codes.get(value) {
            return *code;
        }
        let (value, code) = (Arc::<str>::from(value), self.dictionary.values.len() as u32);
        self.dictionary.values.push(Arc::clone(&value));
        self.codes.insert(value, code);
        code
    }

    pub(super) fn value(&self, code: u32) -> &str {
        self.dictionary.value(code)
    }

    pub(super) fn finish(mut self) -> Dictionary {
        self.dictionary.values.shrink_to_fit();
        self.dictionary
    }
}
