//! What can be merged.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use catalog::LaneName;
use hashbrown::HashMap;
use model::{Labels, TimestampMs};

use crate::Selection;

/// What tells the streams of a selection from those of others.
pub trait SelectionKeys: Send + Sync + fmt::Debug {
    /// What names the streams.
    fn stream_keys(&self) -> StreamKeys;

    /// The labels of an entity, by [`PartStream::entity`].
    fn entity_labels(&self, entity: u32) -> Labels;
}

/// One place with samples, and what was selected there.
#[derive(Debug)]
pub struct Part {
    /// The series.
    pub selection: Arc<dyn Selection>,
    /// What tells them apart.
    pub keys: Arc<dyn SelectionKeys>,
    /// No sample is older.
    pub first_ms: TimestampMs,
    /// No sample is newer.
    pub last_ms: TimestampMs,
}

impl Part {
    /// A selection that knows its own keys.
    pub fn new<S: Selection + SelectionKeys + 'static>(
        selection: S,
        first_ms: TimestampMs,
        last_ms: TimestampMs,
    ) -> Self {
        let selection = Arc::new(selection);
        Self {
            selection: Arc::clone(&selection) as Arc<dyn Selection>,
            keys: selection,
            first_ms,
            last_ms,
        }
    }
}

/// What names the streams of a selection.
#[derive(Debug, Default)]
pub struct StreamKeys {
    /// In the order of the selection.
    pub streams: Vec<PartStream>,
    /// Base metric names.
    pub bases: Vec<Arc<str>>,
    /// Lists of lanes.
    pub lanes: Vec<Arc<[LaneName]>>,
}

/// What names one stream.
#[derive(Debug, Clone, Copy)]
pub struct PartStream {
    /// Position in [`StreamKeys::bases`].
    pub base: u32,
    /// The part's number of the entity.
    pub entity: u32,
    /// What stands for the entity's labels everywhere.
    pub identity: u128,
    /// Position in [`StreamKeys::lanes`].
    pub lanes: u32,
}

/// Lists of lanes, each kept once; streams mostly have the list of the one before.
#[derive(Debug)]
pub struct LaneLists<K> {
    known: HashMap<Vec<K>, u32>,
    last: Vec<K>,
    last_idx: Option<u32>,
    lists: Vec<Arc<[LaneName]>>,
}

impl<K: Clone + Eq + Hash> Default for LaneLists<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Eq + Hash> LaneLists<K> {
    /// No list.
    #[must_use]
    pub fn new() -> Self {
        Self {
            known: HashMap::new(),
            last: Vec::new(),
            last_idx: None,
            lists: Vec::new(),
        }
    }

    /// The position of a list, made of `names` if it is new.
    pub fn position(&mut self, list: &[K], names: impl FnOnce() -> Vec<LaneName>) -> u32 {
        if let Some(last_idx) = self.last_idx
            && self.last == list
        {
            return last_idx;
        }
        let lists = &mut self.lists;
        let position = *self.known.entry(list.to_vec()).or_insert_with(|| {
            lists.push(Arc::from(names()));
            lists.len() as u32 - 1
        });
        self.last = list.to_vec();
        self.last_idx = Some(position);
        position
    }

    /// The lists, by position.
    #[must_use]
    pub fn finish(self) -> Vec<Arc<[LaneName]>> {
        self.lists
    }
}
