//! The distinct values of one label: string ↔ code.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::hash::HashSecret;

/// A dictionary. Code 0 is the empty string, the absent label; the others are dense, in order of first appearance,
/// and never change.
#[derive(Debug)]
pub(crate) struct Dictionary {
    values: Vec<Arc<str>>,
    codes: HashTable<u32>,
}

impl Dictionary {
    pub(crate) fn new() -> Self {
        Self {
            values: vec![Arc::from("")],
            codes: HashTable::new(),
        }
    }

    /// The code of `value`, if it has one.
    pub(crate) fn get(&self, value: &str, secret: &HashSecret) -> Option<u32> {
        if value.is_empty() {
            return Some(0);
        }
        let hash = secret.bucket(value.as_bytes());
        self.codes
            .find(hash, |&code| *self.values[code as usize] == *value)
            .copied()
    }

    /// The code of `value`, new if need be.
    pub(crate) fn intern(&mut self, value: &str, secret: &HashSecret) -> u32 {
        if let Some(code) = self.get(value, secret) {
            return code;
        }
        let code = self.values.len() as u32;
        self.values.push(Arc::from(value));
        let values = &self.values;
        let hash_of = |code: &u32| secret.bucket(values[*code as usize].as_bytes());
        self.codes.insert_unique(hash_of(&code), code, hash_of);
        code
    }

    /// The string of a code.
    ///
    /// # Panics
    /// If the code is not of this dictionary.
    pub(crate) fn value(&self, code: u32) -> &Arc<str> {
        &self.values[code as usize]
    }

    /// The strings by code, the empty one first.
    pub(crate) fn values(&self) -> &[Arc<str>] {
        &self.values
    }

    /// Number of codes, the one of the empty string included.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let text: usize = self.values.iter().map(|value| ARC_BYTES + value.len()).sum();
        text + self.values.capacity() * size_of::<Arc<str>>() + self.codes.allocation_size()
    }
}

/// The two counters before the text of an `Arc<str>`.
const ARC_BYTES: usize = 16;
