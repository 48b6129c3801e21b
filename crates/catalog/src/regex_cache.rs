//! Which values of a label a regular expression matches, remembered.
//!
//! Dashboards ask the same few expressions all the time. A result stays right as long as the dictionary only grows;
//! the codes that were added since are tested when the expression is next asked for. The cache holds at most
//! [`SETS_MAX`] results and [`BYTES_MAX`] bytes and is emptied when it would hold more.

use std::sync::Arc;

use hashbrown::HashMap;
use model::Matcher;
use parking_lot::Mutex;

use crate::entities::LabelId;

/// What an expression is tested against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// The dictionary of a label.
    Label(LabelId),
    /// The full metric names, by [`crate::streams::NameCode`].
    MetricNames,
}

/// The codes below `n_tested` that match a pattern, negation left aside.
#[derive(Debug, Clone, Default)]
pub(crate) struct CodeSet {
    words: Vec<u64>,
    n_tested: usize,
    n_matching: usize,
}

#[derive(Debug, Default)]
pub(crate) struct RegexCache {
    sets: HashMap<(Subject, String), Arc<CodeSet>>,
    n_bytes: usize,
}

const SETS_MAX: usize = 4_096;
const BYTES_MAX: usize = 16 << 20;

/// The codes below `n_codes` whose value the pattern of a regex matcher matches; `matches` tells it of one code.
pub(crate) fn matching_codes(
    cache: &Mutex<RegexCache>,
    subject: Subject,
    matcher: &Matcher,
    n_codes: usize,
    matches: impl FnMut(u32) -> bool,
) -> Arc<CodeSet> {
    let key = (subject, matcher.value().to_owned());
    let known = cache.lock().sets.get(&key).cloned();
    if let Some(set) = &known
        && set.n_tested == n_codes
    {
        return Arc::clone(set);
    }
    // The expression runs outside the lock: it may be slow, and a second run of it does no harm.
    let mut set = known.map(Arc::unwrap_or_clone).unwrap_or_default();
    set.extend(n_codes, matches);
    let set = Arc::new(set);
    cache.lock().insert(key, Arc::clone(&set));
    set
}

/// How many codes of a subject [`matching_codes`] would have to test.
pub(crate) fn n_untested(
    cache: &Mutex<RegexCache>,
    subject: Subject,
    matcher: &Matcher,
    n_codes: usize,
) -> usize {
    let key = (subject, matcher.value().to_owned());
    let n_tested = cache.lock().sets.get(&key).map_or(0, |set| set.n_tested);
    n_codes - n_tested
}

impl CodeSet {
    pub(crate) fn contains(&self, code: u32) -> bool {
        let word = self.words.get(code as usize / 64).copied().unwrap_or(0);
        word & (1 << (code % 64)) != 0
    }

    /// Number of codes in the set.
    pub(crate) fn len(&self) -> usize {
        self.n_matching
    }

    fn extend(&mut self, n_codes: usize, mut matches: impl FnMut(u32) -> bool) {
        self.words.resize(n_codes.div_ceil(64), 0);
        for code in self.n_tested..n_codes {
            if matches(code as u32) {
                self.words[code / 64] |= 1 << (code % 64);
                self.n_matching += 1;
            }
        }
        self.n_tested = n_codes;
    }

    fn heap_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>() + size_of::<Self>()
    }
}

impl RegexCache {
    fn insert(&mut self, key: (Subject, String), set: Arc<CodeSet>) {
        let n_bytes = entry_bytes(&key, &set);
        if self.sets.len() >= SETS_MAX || self.n_bytes + n_bytes > BYTES_MAX {
            self.sets.clear();
            self.n_bytes = 0;
        }
        if n_bytes > BYTES_MAX {
            return;
        }
        self.n_bytes += n_bytes;
        if let Some(old) = self.sets.get(&key) {
            self.n_bytes -= entry_bytes(&key, old);
        }
        self.sets.insert(key, set);
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.n_bytes
    }
}

fn entry_bytes(key: &(Subject, String), set: &CodeSet) -> usize {
    key.1.len() + set.heap_bytes()
}
