//! Matchers on entities: from values to codes, from codes to rows.
//!
//! Nothing here looks at the strings of a row. A matcher becomes a set of dictionary codes (listed when its values
//! are known, otherwise scanned once and cached), and that a set of rows to keep within or to stay without: the
//! rows of absent labels are in no postings, so that a matcher which lets "" through is stated by what it refuses.

use std::sync::Arc;

use hashbrown::HashMap;
use model::Matcher;
use roaring::RoaringBitmap;

use crate::Catalog;
use crate::entities::{EntityLabel, LabelId};
use crate::postings::Postings;
use crate::regex_cache::{self, CodeSet, Subject};

/// Rows of the entity table.
#[derive(Debug, Clone)]
pub(crate) enum RowSet {
    All,
    Some(RoaringBitmap),
}

/// The values of one label that a matcher picks, as codes.
#[derive(Debug)]
pub(crate) struct PickedCodes {
    pattern: Pattern,
    is_negative: bool,
}

#[derive(Debug)]
enum Pattern {
    /// Sorted.
    Listed(Vec<u32>),
    Scanned(Arc<CodeSet>),
}

/// What a matcher demands of a row.
enum Condition<'a> {
    Within(Rows<'a>),
    Without(Rows<'a>),
}

/// Rows that need not be copied to be intersected.
enum Rows<'a> {
    One(u32),
    Borrowed(&'a RoaringBitmap),
    Owned(RoaringBitmap),
}

/// Dictionaries up to this size are scanned without a thought.
pub(crate) const SMALL_DICTIONARY: usize = 1_024;

impl Catalog {
    /// The entities that all matchers pick. The labels are the entities' own: `le` means theirs.
    pub(crate) fn entity_rows(&self, matchers: &[&Matcher]) -> RowSet {
        let mut conditions = Vec::with_capacity(matchers.len());
        let mut deferred = Vec::new();
        for matcher in matchers {
            if matcher.matches_everything() {
                continue;
            }
            match self.entities.label_id(matcher.name(), &self.secret) {
                None if matcher.matches_empty() => {}
                None => return RowSet::Some(RoaringBitmap::new()),
                Some(id) if self.is_costly(id, matcher) => deferred.push((id, *matcher)),
                Some(id) => conditions.push(self.condition(id, matcher)),
            }
        }
        let mut rows = combine(conditions, self.entities.n_rows());
        for (id, matcher) in deferred {
            let label = self.entities.label(id);
            rows = match rows {
                // With few rows left it is cheaper to test their values than the whole dictionary.
                RowSet::Some(rows) if rows.len() < label.dictionary.len() as u64 / 2 => {
                    RowSet::Some(tested_rows(&rows, label, matcher))
                }
                rows => rows.narrowed(self.condition(id, matcher), self.entities.n_rows()),
            };
        }
        rows
    }

    /// The codes of one label's dictionary that a matcher picks.
    pub(crate) fn picked_codes(&self, id: LabelId, matcher: &Matcher) -> PickedCodes {
        let dictionary = &self.entities.label(id).dictionary;
        let pattern = match matcher.set_values() {
            Some(values) => {
                let codes = values
                    .iter()
                    .filter_map(|value| dictionary.get(value, &self.secret));
                let mut codes: Vec<u32> = codes.collect();
                codes.sort_unstable();
                Pattern::Listed(codes)
            }
            None => Pattern::Scanned(regex_cache::matching_codes(
                &self.regexes,
                Subject::Label(id),
                matcher,
                dictionary.len(),
                |code| matcher.matches(dictionary.value(code)) != matcher.is_negative(),
            )),
        };
        PickedCodes {
            pattern,
            is_negative: matcher.is_negative(),
        }
    }

    /// True when a regex would have to run over many values first.
    pub(crate) fn is_costly(&self, id: LabelId, matcher: &Matcher) -> bool {
        let n_codes = self.entities.label(id).dictionary.len();
        matcher.set_values().is_none()
            && n_codes > SMALL_DICTIONARY
            && regex_cache::n_untested(&self.regexes, Subject::Label(id), matcher, n_codes) > SMALL_DICTIONARY
    }

    fn condition(&self, id: LabelId, matcher: &Matcher) -> Condition<'_> {
        let label = self.entities.label(id);
        let picked = self.picked_codes(id, matcher);
        if picked.contains(0) {
            Condition::Without(picked.rows(label, false))
        } else {
            Condition::Within(picked.rows(label, true))
        }
    }
}

impl RowSet {
    fn narrowed(self, condition: Condition<'_>, n_entities: u32) -> Self {
        let rows = match (self, condition) {
            (Self::All, Condition::Within(rows)) => rows.into_owned(),
            (Self::Some(all), Condition::Within(rows)) => rows.intersect(all),
            (rows, Condition::Without(Rows::Owned(refused))) if refused.is_empty() => return rows,
            (rows, Condition::Without(refused)) => refused.subtract_from(rows.into_bitmap(n_entities)),
        };
        Self::Some(rows)
    }

    /// True when no entity is in the set for sure.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Some(rows) if rows.is_empty())
    }

    pub(crate) fn contains(&self, row: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some(rows) => rows.contains(row),
        }
    }

    fn into_bitmap(self, n_entities: u32) -> RoaringBitmap {
        match self {
            Self::All => {
                let mut rows = RoaringBitmap::new();
                rows.insert_range(0..n_entities);
                rows
            }
            Self::Some(rows) => rows,
        }
    }
}

/// The rows that fulfil all conditions, the strictest first.
fn combine(mut conditions: Vec<Condition<'_>>, n_entities: u32) -> RowSet {
    conditions.sort_by_key(|condition| match condition {
        Condition::Within(rows) => rows.len(),
        Condition::Without(_) => u64::MAX,
    });
    let mut rows = RowSet::All;
    for condition in conditions {
        rows = rows.narrowed(condition, n_entities);
        if rows.is_empty() {
            break;
        }
    }
    rows
}

/// Those of `rows` whose value the matcher picks, each distinct value tested once.
fn tested_rows(rows: &RoaringBitmap, label: &EntityLabel, matcher: &Matcher) -> RoaringBitmap {
    let mut verdicts: HashMap<u32, bool> = HashMap::new();
    let mut codes = label.column.cursor();
    let is_picked = |row: &u32| {
        let code = codes.get(*row);
        *verdicts
            .entry(code)
            .or_insert_with(|| matcher.matches(label.dictionary.value(code)))
    };
    rows.iter().filter(is_picked).collect()
}

impl PickedCodes {
    /// True when the value of this code is picked; 0 is the absent label.
    pub(crate) fn contains(&self, code: u32) -> bool {
        self.pattern.contains(code) != self.is_negative
    }

    /// The rows that have the label with a value that is picked, or with one that is not.
    fn rows<'a>(&self, label: &'a EntityLabel, is_picked: bool) -> Rows<'a> {
        let in_pattern = is_picked != self.is_negative;
        let n_values = label.dictionary.len() - 1;
        let n_in_pattern = self.pattern.n_values();
        let n_wanted = if in_pattern {
            n_in_pattern
        } else {
            n_values - n_in_pattern
        };
        if n_wanted == n_values {
            return Rows::Borrowed(&label.present);
        }
        if n_wanted <= n_values / 2 {
            return self.pattern.rows(label, in_pattern);
        }
        // Fewer values are left out than wanted. Codes that only lanes use have no rows and do not disturb.
        let others = self.pattern.rows(label, !in_pattern);
        Rows::Owned(others.subtract_from(label.present.clone()))
    }
}

impl Pattern {
    fn contains(&self, code: u32) -> bool {
        match self {
            Self::Listed(codes) => codes.binary_search(&code).is_ok(),
            Self::Scanned(codes) => codes.contains(code),
        }
    }

    /// How many non-empty values match.
    fn n_values(&self) -> usize {
        let n_codes = match self {
            Self::Listed(codes) => codes.len(),
            Self::Scanned(codes) => codes.len(),
        };
        n_codes - usize::from(self.contains(0))
    }

    /// The rows with a value that matches, or with one that does not.
    fn rows<'a>(&self, label: &'a EntityLabel, is_match: bool) -> Rows<'a> {
        match (self, is_match) {
            (Self::Listed(codes), true) => match codes.as_slice() {
                [] => Rows::Owned(RoaringBitmap::new()),
                [code] => Rows::of_postings(label.rows_of(*code)),
                [..] => Rows::Owned(label.rows_of_any(codes.iter().copied())),
            },
            _ => {
                let codes =
                    (1..label.dictionary.len() as u32).filter(|code| self.contains(*code) == is_match);
                Rows::Owned(label.rows_of_any(codes))
            }
        }
    }
}

impl<'a> Rows<'a> {
    fn of_postings(postings: &'a Postings) -> Self {
        match postings {
            Postings::None => Self::Owned(RoaringBitmap::new()),
            Postings::One(row) => Self::One(*row),
            Postings::Many(rows) => Self::Borrowed(rows),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Borrowed(rows) => rows.len(),
            Self::Owned(rows) => rows.len(),
        }
    }

    fn into_owned(self) -> RoaringBitmap {
        match self {
            Self::One(row) => RoaringBitmap::from_iter([row]),
            Self::Borrowed(rows) => rows.clone(),
            Self::Owned(rows) => rows,
        }
    }

    fn intersect(self, mut all: RoaringBitmap) -> RoaringBitmap {
        match self {
            Self::One(row) => return all.contains(row).then_some(row).into_iter().collect(),
            Self::Borrowed(rows) => all &= rows,
            Self::Owned(rows) => all &= rows,
        }
        all
    }

    fn subtract_from(self, mut all: RoaringBitmap) -> RoaringBitmap {
        match self {
            Self::One(row) => {
                all.remove(row);
            }
            Self::Borrowed(rows) => all -= rows,
            Self::Owned(rows) => all -= rows,
        }
        all
    }
}
