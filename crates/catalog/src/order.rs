//! The order of entities by their labels, and of lanes by their kind.
//!
//! A selection is in this order whatever the ids are, so that it is the same before and after a restart, and the same
//! in the head and in blocks: whatever adds floats one after the other gives the same bits then.
//!
//! Both orders are brought up to date when somebody asks after something new has come: a new entity costs some
//! comparisons of a few labels each, and one pass over the ranks of all.

use std::cmp::Ordering;
use std::sync::Arc;

use model::{EntityId, LaneKind};

use crate::dictionary::Dictionary;
use crate::entities::EntityLabel;
use crate::streams::LaneCode;

/// Entities by their labels, and lanes by their kind.
#[derive(Debug, Default)]
pub(crate) struct LabelOrder {
    /// All entities but [`Self::pending`].
    sorted: Vec<EntityId>,
    ranks: Ranks,
    /// Entities that have come since.
    pending: Vec<EntityId>,
}

/// Positions in the order. Entities and lanes that came later have none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranks {
    /// By row; anything in rows that are no entity.
    entities: Arc<[u32]>,
    /// By code of `le`: how its bucket compares with other buckets.
    bounds: Arc<[u32]>,
}

impl Ranks {
    /// How an entity compares with others.
    pub(crate) fn of_entity(&self, id: EntityId) -> u32 {
        self.entities[id.0 as usize]
    }

    /// How a lane compares with others of its stream.
    pub(crate) fn of_lane(&self, lane: LaneCode) -> u64 {
        let bound = lane.le_code().map_or(0, |code| self.bounds[code as usize]);
        (lane.part() as u64) << 32 | u64::from(bound)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.entities) + size_of_val(&*self.bounds)
    }
}

impl LabelOrder {
    /// An entity has come.
    pub(crate) fn note(&mut self, id: EntityId) {
        self.pending.push(id);
    }

    /// How many have come since [`Self::ranks`] was asked for.
    pub(crate) fn n_pending(&self) -> usize {
        self.pending.len()
    }

    /// The ranks of all entities, whose labels are `labels`, of which there are `n_rows`, and of all buckets.
    pub(crate) fn ranks(&mut self, labels: &[EntityLabel], bounds: &Dictionary, n_rows: u32) -> Ranks {
        if !self.pending.is_empty() {
            self.sort_in(labels, n_rows);
            let mut ranks = vec![0; n_rows as usize];
            for (rank, id) in (0..).zip(&self.sorted) {
                ranks[id.0 as usize] = rank;
            }
            self.ranks.entities = ranks.into();
        }
        if self.ranks.bounds.len() != bounds.len() {
            self.ranks.bounds = bound_ranks(bounds);
        }
        self.ranks.clone()
    }

    fn sort_in(&mut self, labels: &[EntityLabel], n_rows: u32) {
        let mut by_name: Vec<&EntityLabel> = labels.iter().collect();
        by_name.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut pending = std::mem::take(&mut self.pending);
        if pending.len() > self.sorted.len() / MANY_PENDING {
            self.sorted.append(&mut pending);
            sort_all(&by_name, &mut self.sorted, n_rows);
            return;
        }
        pending.sort_unstable_by(|a, b| compare(&by_name, *a, *b));
        let mut merged = Vec::with_capacity(self.sorted.len() + pending.len());
        let mut rest = &self.sorted[..];
        for id in pending {
            let n_before = rest.partition_point(|held| compare(&by_name, *held, id) == Ordering::Less);
            let (before, after) = rest.split_at(n_before);
            merged.extend_from_slice(before);
            merged.push(id);
            rest = after;
        }
        merged.extend_from_slice(rest);
        self.sorted = merged;
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        (self.sorted.capacity() + self.pending.capacity()) * size_of::<EntityId>() + self.ranks.heap_bytes()
    }
}

/// When more than one entity in so many is new, all are sorted anew.
const MANY_PENDING: usize = 16;

/// Sorts entities by lists of their labels, which are put together label by label: of hundreds of labels that few have
/// most are never looked at.
fn sort_all(by_name: &[&EntityLabel], ids: &mut [EntityId], n_rows: u32) {
    let mut starts = vec![0_u32; n_rows as usize + 1];
    for (row, _) in by_name.iter().flat_map(|label| label.column.entries()) {
        starts[row as usize + 1] += 1;
    }
    for row in 0..n_rows as usize {
        starts[row + 1] += starts[row];
    }
    let mut ends = starts.clone();
    let mut pairs = vec![(0_u32, 0_u32); starts[n_rows as usize] as usize];
    for (position, label) in (0..).zip(by_name) {
        for (row, code) in label.column.entries() {
            let end = &mut ends[row as usize];
            pairs[*end as usize] = (position, code);
            *end += 1;
        }
    }
    let own = |id: EntityId| &pairs[starts[id.0 as usize] as usize..starts[id.0 as usize + 1] as usize];
    ids.sort_unstable_by(|a, b| {
        let (a, b) = (own(*a), own(*b));
        let differing = a.iter().zip(b).find(|(a, b)| a != b);
        differing.map_or(a.len().cmp(&b.len()), |(a, b)| {
            let value = |(position, code): (u32, u32)| by_name[position as usize].dictionary.value(code);
            a.0.cmp(&b.0).then_with(|| value(*a).cmp(value(*b)))
        })
    });
}

/// Compares two entities as [`model::Labels`] do: as lists of names and values, of labels that come by name.
fn compare(by_name: &[&EntityLabel], a: EntityId, b: EntityId) -> Ordering {
    for (position, label) in by_name.iter().enumerate() {
        let (code_a, code_b) = (label.column.get(a.0), label.column.get(b.0));
        if code_a == code_b {
            continue;
        }
        if code_a != 0 && code_b != 0 {
            return label.dictionary.value(code_a).cmp(label.dictionary.value(code_b));
        }
        // Where one has this label the other has a later one, which is greater, or nothing at all, which is less.
        let lacking = if code_a == 0 { a } else { b };
        let mut later = by_name[position + 1..].iter();
        let of_lacking = if later.any(|label| label.column.get(lacking.0) != 0) {
            Ordering::Greater
        } else {
            Ordering::Less
        };
        return if code_a == 0 {
            of_lacking
        } else {
            of_lacking.reverse()
        };
    }
    Ordering::Equal
}

fn bound_ranks(bounds: &Dictionary) -> Arc<[u32]> {
    let mut codes: Vec<usize> = (0..bounds.len()).collect();
    let kind = |code: usize| LaneKind::Bucket(&bounds.values()[code]);
    codes.sort_by(|a, b| kind(*a).compare(&kind(*b)));
    let mut ranks = vec![0; codes.len()];
    for (rank, code) in (0..).zip(codes) {
        ranks[code] = rank;
    }
    ranks.into()
}
