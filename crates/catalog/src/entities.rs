//! The entity table: one row per label set, one dictionary-coded column per label name.

use std::sync::Arc;

use hashbrown::HashTable;
use model::{BUCKET_LABEL, EntityId, Labels};
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::column::CodeColumn;
use crate::dictionary::Dictionary;
use crate::hash::HashSecret;
use crate::order::{LabelOrder, Ranks};
use crate::postings::{self, Postings};

/// The position of a label name in [`EntityTable::labels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LabelId(pub(crate) u32);

/// All entities.
#[derive(Debug)]
pub(crate) struct EntityTable {
    labels: Vec<EntityLabel>,
    label_ids: HashTable<u32>,
    ids: HashTable<EntitySlot>,
    /// By row; any key in rows that are no entity.
    keys: Vec<EntityKey>,
    /// Ids below that which stand for nothing and may be given out.
    free: Vec<u32>,
    /// Rows that are an entity, the one without labels included.
    used: RoaringBitmap,
    order: Mutex<LabelOrder>,
}

/// One label name: its values, which row has which, and the other way round.
#[derive(Debug)]
pub(crate) struct EntityLabel {
    pub(crate) name: Arc<str>,
    pub(crate) dictionary: Dictionary,
    pub(crate) column: CodeColumn,
    /// The rows that have the label at all.
    pub(crate) present: RoaringBitmap,
    /// By code. Shorter than the dictionary where that has values only lanes use.
    postings: Vec<Postings>,
}

/// The keyed hash of a label set, which stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntityKey([u64; 2]);

#[derive(Debug)]
struct EntitySlot {
    key: EntityKey,
    id: EntityId,
}

impl EntityTable {
    /// An empty table. Its first label is `le`, whose dictionary the lanes share.
    pub(crate) fn new(secret: &HashSecret) -> Self {
        let mut table = Self {
            labels: Vec::new(),
            label_ids: HashTable::new(),
            ids: HashTable::new(),
            keys: Vec::new(),
            free: Vec::new(),
            used: RoaringBitmap::new(),
            order: Mutex::default(),
        };
        let first = table.intern_label(BUCKET_LABEL, secret);
        debug_assert_eq!(first, Self::BUCKET_LABEL_ID, "the first label is le");
        table
    }

    /// The label `le`.
    pub(crate) const BUCKET_LABEL_ID: LabelId = LabelId(0);

    /// The entity of a label set, if there is one.
    pub(crate) fn find(&self, key: EntityKey) -> Option<EntityId> {
        self.ids
            .find(key.0[0], |slot| slot.key == key)
            .map(|slot| slot.id)
    }

    /// Adds the row of a label set that has none; it gets a free id.
    pub(crate) fn push<'a>(
        &mut self,
        key: EntityKey,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        secret: &HashSecret,
    ) -> EntityId {
        let id = EntityId(self.free.pop().unwrap_or(self.n_rows()));
        self.put(id, key, labels, secret);
        id
    }

    /// Makes the row of a label set that has none; the id stands for nothing so far.
    pub(crate) fn put<'a>(
        &mut self,
        id: EntityId,
        key: EntityKey,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        secret: &HashSecret,
    ) {
        for (name, value) in labels {
            let label_id = self.intern_label(name, secret);
            self.labels[label_id.0 as usize].push(id.0, value, secret);
        }
        self.reserve_ids(id.0 + 1);
        self.keys[id.0 as usize] = key;
        self.used.insert(id.0);
        self.order.get_mut().note(id);
        self.ids
            .insert_unique(key.0[0], EntitySlot { key, id }, |slot| slot.key.0[0]);
    }

    /// Lets ids that stand for nothing be given out again.
    pub(crate) fn free(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.free.extend(ids);
    }

    /// Ids below this stand for nothing until they are put.
    pub(crate) fn reserve_ids(&mut self, n_ids: u32) {
        let n_ids = self.keys.len().max(n_ids as usize);
        self.keys.resize(n_ids, EntityKey([0; 2]));
    }

    /// True when the id is an entity's.
    pub(crate) fn contains(&self, id: EntityId) -> bool {
        self.used.contains(id.0)
    }

    /// The label of a name, if any series has ever had it.
    pub(crate) fn label_id(&self, name: &str, secret: &HashSecret) -> Option<LabelId> {
        let hash = secret.bucket(name.as_bytes());
        self.label_ids
            .find(hash, |&id| *self.labels[id as usize].name == *name)
            .map(|&id| LabelId(id))
    }

    /// One label.
    pub(crate) fn label(&self, id: LabelId) -> &EntityLabel {
        &self.labels[id.0 as usize]
    }

    /// The label `le`.
    pub(crate) fn bucket_label(&self) -> &EntityLabel {
        self.label(Self::BUCKET_LABEL_ID)
    }

    /// The label `le`, for lanes that bring new values.
    pub(crate) fn bucket_label_mut(&mut self) -> &mut EntityLabel {
        &mut self.labels[Self::BUCKET_LABEL_ID.0 as usize]
    }

    /// All labels, `le` first, the others in order of first appearance.
    pub(crate) fn labels(&self) -> &[EntityLabel] {
        &self.labels
    }

    /// The labels of one entity, in no order.
    pub(crate) fn labels_of(&self, id: EntityId) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.labels.iter().filter_map(move |label| {
            let code = label.column.get(id.0);
            (code != 0).then(|| (&label.name, label.dictionary.value(code)))
        })
    }

    /// How entities and lanes compare with others.
    pub(crate) fn ranks(&self) -> Ranks {
        let bounds = &self.bucket_label().dictionary;
        self.order.lock().ranks(&self.labels, bounds, self.n_rows())
    }

    /// How many entities are new since somebody asked for [`Self::ranks`].
    pub(crate) fn n_unordered(&self) -> usize {
        self.order.lock().n_pending()
    }

    /// Number of rows: one more than the highest id, some may be empty.
    pub(crate) fn n_rows(&self) -> u32 {
        self.keys.len() as u32
    }

    /// Number of entities.
    pub(crate) fn len(&self) -> u32 {
        self.ids.len() as u32
    }

    /// The key of one entity.
    pub(crate) fn key(&self, id: EntityId) -> EntityKey {
        self.keys[id.0 as usize]
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let labels: usize = self.labels.iter().map(EntityLabel::heap_bytes).sum();
        labels
            + self.labels.capacity() * size_of::<EntityLabel>()
            + self.label_ids.allocation_size()
            + self.ids.allocation_size()
            + postings::bitmap_bytes(&self.used)
            + self.order.lock().heap_bytes()
            + self.keys.capacity() * size_of::<EntityKey>()
    }

    fn intern_label(&mut self, name: &str, secret: &HashSecret) -> LabelId {
        if let Some(id) = self.label_id(name, secret) {
            return id;
        }
        let id = self.labels.len() as u32;
        self.labels.push(EntityLabel::new(name));
        let labels = &self.labels;
        let hash_of = |id: &u32| secret.bucket(labels[*id as usize].name.as_bytes());
        self.label_ids.insert_unique(hash_of(&id), id, hash_of);
        LabelId(id)
    }
}

impl EntityLabel {
    fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            dictionary: Dictionary::new(),
            column: CodeColumn::new(),
            present: RoaringBitmap::new(),
            postings: Vec::new(),
        }
    }

    fn push(&mut self, row: u32, value: &str, secret: &HashSecret) {
        let code = self.dictionary.intern(value, secret);
        self.column.set(row, code);
        self.present.insert(row);
        if self.postings.len() <= code as usize {
            self.postings.resize_with(code as usize + 1, || Postings::None);
        }
        self.postings[code as usize].insert(row);
    }

    /// The rows that have the value of one code.
    pub(crate) fn rows_of(&self, code: u32) -> &Postings {
        self.postings.get(code as usize).unwrap_or(&Postings::None)
    }

    /// The rows that have one of the values of these codes.
    pub(crate) fn rows_of_any(&self, codes: impl Iterator<Item = u32>) -> RoaringBitmap {
        postings::union(codes.map(|code| self.rows_of(code)))
    }

    fn heap_bytes(&self) -> usize {
        let postings: usize = self.postings.iter().map(Postings::heap_bytes).sum();
        postings
            + self.postings.capacity() * size_of::<Postings>()
            + self.name.len()
            + self.dictionary.heap_bytes()
            + self.column.heap_bytes()
            + postings::bitmap_bytes(&self.present)
    }
}

impl EntityKey {
    /// The key of a label set given as sorted pairs.
    pub(crate) fn new<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, secret: &HashSecret) -> Self {
        let mut bytes = Vec::with_capacity(KEY_BYTES_USUAL);
        for (name, value) in labels {
            // Lengths before texts keep {a="bc"} and {ab="c"} apart.
            for text in [name, value] {
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        let hash = secret.identity(&bytes);
        Self([hash as u64, (hash >> 64) as u64])
    }

    /// The 128 bits.
    pub(crate) fn bits(self) -> u128 {
        u128::from(self.0[0]) | u128::from(self.0[1]) << 64
    }

    /// The key of a whole label set.
    pub(crate) fn of_labels(labels: &Labels, secret: &HashSecret) -> Self {
        Self::new(labels.iter(), secret)
    }
}

/// Room for the labels of a mesh series.
const KEY_BYTES_USUAL: usize = 2_048;
