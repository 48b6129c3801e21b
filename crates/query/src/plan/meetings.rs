//! Which series of two vectors meet.
//!
//! Series meet if they agree in the labels of the matching, their *match group*. Where `fill` asks for it, a side gets a
//! *stand-in* for each match group of the other side: a series with the labels of the match group that has the given value
//! at the steps at which no series of its side has any. Behind those steps nothing else knows of `fill`.
//!
//! Of a match group only one series of the one side may have a value at a time. Unless the result takes labels from it, it
//! does not matter which, so that all of them are *united* to one: there are not more pairs than series.

use promql::ast::{Cardinality, VectorMatching};

use super::vector::without_names;
use crate::QueryError;
use crate::exec::vector_binary::{Messages, Pair, Pairing, StandIns};
use crate::labels::{Groups, SeriesTable};
use crate::memory::Ledger;

/// All pairs of series in the same match group.
pub(super) struct Meetings {
    /// Two parallel lists, by series of the many side.
    many: Vec<u32>,
    one: Vec<u32>,
    /// The match group of each series of the many side.
    many_groups: Vec<u32>,
    /// Both sides, stand-ins last.
    many_side: Side,
    one_side: Side,
}

/// One side of an operation.
struct Side {
    table: SeriesTable,
    /// The series in each match group, without stand-ins.
    members: Vec<Vec<u32>>,
    stand_ins: Option<StandIns>,
    /// The match group of each stand-in.
    stand_in_groups: Vec<u32>,
    /// The series that take the place of several members of their match groups, behind the stand-ins.
    unions: Vec<Vec<u32>>,
}

impl Side {
    fn new(table: &SeriesTable, ids: &[u32], n_groups: usize) -> Self {
        let mut members = vec![Vec::new(); n_groups];
        for (series_idx, &group) in (0..).zip(ids) {
            members[group as usize].push(series_idx);
        }
        Self {
            table: table.clone(),
            members,
            stand_ins: None,
            stand_in_groups: Vec::new(),
            unions: Vec::new(),
        }
    }

    /// Those of a match group that others meet: its members, or what they are united to.
    fn partners(&mut self, group: usize, is_united: bool) -> Vec<u32> {
        let members = &self.members[group];
        if !is_united || members.len() < 2 {
            return members.clone();
        }
        self.unions.push(members.clone());
        vec![position(self.table.n_series() + self.unions.len() - 1)]
    }

    /// Adds a stand-in for every match group of `other`.
    fn fill(
        &mut self,
        value: f64,
        other: &SeriesTable,
        other_members: &[Vec<u32>],
        matching: &VectorMatching,
    ) {
        let first = (0..).zip(other_members);
        let (groups, first): (Vec<u32>, Vec<u32>) = first
            .filter_map(|(group, members)| Some((group, *members.first()?)))
            .unzip();
        let stand_ins = match_labels(&other.take(first, false), matching);
        self.stand_ins = Some(StandIns {
            value,
            members: groups
                .iter()
                .map(|&group| self.members[group as usize].clone())
                .collect(),
        });
        self.table = self.table.concat(&stand_ins);
        self.stand_in_groups = groups;
    }

    /// Number of series that are no stand-ins.
    fn n_own(&self) -> usize {
        self.table.n_series() - self.stand_in_groups.len()
    }

    /// The match group and the position of each stand-in.
    fn stand_ins(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let first = position(self.n_own());
        self.stand_in_groups.iter().copied().zip(first..)
    }
}

impl Meetings {
    /// The meetings of `many` and `one`.
    ///
    /// # Errors
    /// [`QueryError::Memory`]: all of one side may meet all of the other.
    pub(super) fn of(
        many: &SeriesTable,
        one: &SeriesTable,
        matching: &VectorMatching,
        ledger: &Ledger,
    ) -> Result<Self, QueryError> {
        ledger.try_add_values::<[u64; 6]>(many.n_series() + one.n_series())?;
        let n_many = many.n_series();
        let groups = many.concat(one).group(&matching.labels, !matching.on);
        let (many_ids, one_ids) = groups.ids.split_at(n_many);
        let mut many_side = Side::new(many, many_ids, groups.n_groups());
        let mut one_side = Side::new(one, one_ids, groups.n_groups());
        // Whichever side is left, `fill_left` is for the many side.
        if let Some(value) = matching.fill_left {
            many_side.fill(value, one, &one_side.members, matching);
        }
        if let Some(value) = matching.fill_right {
            one_side.fill(value, many, &many_side.members, matching);
        }
        let is_united = matching.include.is_empty();
        ledger.try_add_values::<[u64; PAIR_WORDS]>(n_pairs(&many_side, &one_side, is_united))?;
        let mut meetings = Self {
            many: Vec::new(),
            one: Vec::new(),
            many_groups: many_ids
                .iter()
                .chain(&many_side.stand_in_groups)
                .copied()
                .collect(),
            many_side,
            one_side,
        };
        meetings.pair_up(n_many, is_united);
        Ok(meetings)
    }

    fn pair_up(&mut self, n_many: usize, is_united: bool) {
        let groups = 0..self.one_side.members.len();
        let partners: Vec<Vec<u32>> = groups
            .map(|group| self.one_side.partners(group, is_united))
            .collect();
        let mut stand_in_of_group = vec![None; self.one_side.members.len()];
        for (group, one_idx) in self.one_side.stand_ins() {
            stand_in_of_group[group as usize] = Some(one_idx);
        }
        for (many_idx, &group) in (0..).zip(&self.many_groups) {
            let is_stand_in = many_idx as usize >= n_many;
            let group = group as usize;
            let stand_in = stand_in_of_group[group].filter(|_| !is_stand_in);
            for &one_idx in partners[group].iter().chain(&stand_in) {
                self.many.push(many_idx);
                self.one.push(one_idx);
            }
        }
    }

    /// The series of the results and how they come about.
    pub(super) fn pairing(self, matching: &VectorMatching, drops_names: bool) -> (SeriesTable, Pairing) {
        let results = self.results(matching, drops_names);
        self.into_pairing(matching, &results)
    }

    /// The labels of the result of each pair; equal ones become one series.
    fn results(&self, matching: &VectorMatching, drops_names: bool) -> SeriesTable {
        // Stand-ins may be called like others.
        let is_distinct = self.many_side.stand_ins.is_none() && self.many.is_sorted_by(|a, b| a < b);
        let mut table = self.many_side.table.take(self.many.clone(), is_distinct);
        if drops_names {
            table = without_names(&table);
        }
        if matching.cardinality == Cardinality::OneToOne {
            table = if matching.on {
                table.keep(&matching.labels)
            } else {
                table.remove(&matching.labels)
            };
        }
        if !matching.include.is_empty() {
            let ones = self.one_side.table.take(self.one.clone(), false);
            for label in &matching.include {
                table = table.set(label, (*ones.column(label)).clone());
            }
        }
        table
    }

    fn into_pairing(self, matching: &VectorMatching, results: &SeriesTable) -> (SeriesTable, Pairing) {
        let is_one_to_one = matching.cardinality == Cardinality::OneToOne;
        let duplicates = results.duplicates();
        let result_of = |pair: usize| {
            duplicates
                .as_ref()
                .map_or_else(|| position(pair), |groups| groups.ids[pair])
        };
        let (claims, n_claims) = self.claims(is_one_to_one, duplicates.as_ref());
        let pairs = self.many.iter().zip(&self.one).enumerate();
        let pairs = pairs.map(|(pair, (&many, &one))| Pair {
            many,
            one,
            result: result_of(pair),
            claim: claims[pair],
        });
        let pairs = pairs.collect();
        let mut rivals = self.one_side.members.clone();
        rivals.retain(|members| members.len() > 1);
        let (many_side, one_side) = (self.many_side, self.one_side);
        let pairing = Pairing {
            many_is_right: matching.cardinality == Cardinality::OneToMany,
            n_many: many_side.n_own(),
            n_one: one_side.n_own(),
            pairs,
            rivals,
            n_claims,
            n_results: duplicates.as_ref().map_or(results.n_series(), Groups::n_groups),
            many_stand_ins: many_side.stand_ins,
            one_stand_ins: one_side.stand_ins,
            one_unions: one_side.unions,
            messages: Messages {
                match_groups: match_labels(&one_side.table, matching),
                one: one_side.table,
                is_one_to_one,
            },
        };
        let table = match duplicates {
            Some(groups) => results.take(groups.first, true),
            None => results.clone(),
        };
        (table, pairing)
    }

    /// What each pair claims, and how many claims there are: at each step, one pair of a match group if the matching is
    /// one-to-one, else one pair of a match group for each result.
    fn claims(&self, is_one_to_one: bool, duplicates: Option<&Groups>) -> (Vec<u32>, usize) {
        let uncontested = || (vec![Pair::UNCONTESTED; self.many.len()], 0);
        let key = |pair: usize| {
            let group = self.many_groups[self.many[pair] as usize];
            (
                group,
                if is_one_to_one {
                    0
                } else {
                    duplicates.map_or(position(pair), |groups| groups.ids[pair])
                },
            )
        };
        // Without equal results, several pairs can only claim the same in a one-to-one matching.
        if !is_one_to_one && duplicates.is_none() {
            return uncontested();
        }
        let mut claimants: hashbrown::HashMap<(u32, u32), (u32, bool, u32)> = hashbrown::HashMap::new();
        for (pair, &many) in self.many.iter().enumerate() {
            let entry = claimants.entry(key(pair)).or_insert((many, false, 0));
            // The pairs of one series of the many side cannot be rivals: the one side is unique at each step.
            entry.1 |= entry.0 != many;
        }
        let mut n_claims = 0;
        let mut claims = Vec::with_capacity(self.many.len());
        let mut numbers: hashbrown::HashMap<(u32, u32), u32> = hashbrown::HashMap::new();
        for pair in 0..self.many.len() {
            let key = key(pair);
            let is_contested = claimants.get(&key).is_some_and(|entry| entry.1);
            claims.push(if is_contested {
                *numbers.entry(key).or_insert_with(|| {
                    n_claims += 1;
                    n_claims - 1
                })
            } else {
                Pair::UNCONTESTED
            });
        }
        (claims, n_claims as usize)
    }
}

/// What a pair takes: its place in the lists of both sides, the series of its result, its claim.
const PAIR_WORDS: usize = 8;

/// How many pairs there are going to be at most.
fn n_pairs(many_side: &Side, one_side: &Side, is_united: bool) -> usize {
    let n_partners = |members: &Vec<u32>| if is_united { 1 } else { members.len() };
    let groups = many_side.members.iter().zip(&one_side.members);
    let n_own: usize = groups.fold(0, |n_pairs, (many, one)| {
        n_pairs.saturating_add(many.len().saturating_mul(n_partners(one) + 1))
    });
    let n_stand_ins = many_side.stand_in_groups.iter();
    n_stand_ins.fold(n_own, |n_pairs, &group| {
        n_pairs.saturating_add(n_partners(&one_side.members[group as usize]))
    })
}

/// The labels of the match group of each series.
fn match_labels(table: &SeriesTable, matching: &VectorMatching) -> SeriesTable {
    if matching.on {
        return table.keep(&matching.labels);
    }
    let mut removed = matching.labels.clone();
    removed.push(model::METRIC_NAME.to_owned());
    table.remove(&removed)
}

fn position(pair: usize) -> u32 {
    u32::try_from(pair).expect("pairs are counted in 32 bits")
}
