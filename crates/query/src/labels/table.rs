//! The known series of a plan node.
//!
//! A table answers "which value of this label has which series" and makes a column only when somebody asks for it:
//! `count({__name__=~"istio_.*"})` over 333,392 series never makes one. Tables are immutable and cheap to clone;
//! each operation gives a view on the table it was called on. What columns and groups take is written into the ledger
//! of the query.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;
use model::METRIC_NAME;
use parking_lot::Mutex;
use storage::Selection;

use super::{Column, Groups};
use crate::memory::Ledger;
use crate::result::Text;

/// The known series of a plan node, by position.
#[derive(Clone)]
pub(crate) struct SeriesTable(Arc<Inner>);

struct Inner {
    n_series: usize,
    origin: Origin,
    /// True promises that no two series have the same labels. False: not known.
    distinct: bool,
    /// None for tables of at most one series.
    ledger: Option<Ledger>,
    columns: Mutex<HashMap<Text, Arc<Column>>>,
}

enum Origin {
    /// The series have no label at all.
    Unlabelled,
    Selection {
        selection: Arc<dyn Selection>,
        metric_name: Option<Text>,
    },
    /// Some series of another table, in any order.
    Taken { base: SeriesTable, rows: Vec<u32> },
    /// Only these labels.
    Kept { base: SeriesTable, names: Vec<Text> },
    /// All but these labels.
    Removed { base: SeriesTable, names: Vec<Text> },
    /// One label replaced; its column is in the cache from the start.
    Set { base: SeriesTable, name: Text },
    /// The series of one table and then those of another.
    Concat(SeriesTable, SeriesTable),
}

impl SeriesTable {
    /// The series of a selection, which are distinct. `metric_name` is given if they are known to have only one.
    pub(crate) fn of_selection(
        selection: Arc<dyn Selection>,
        metric_name: Option<&str>,
        ledger: &Ledger,
    ) -> Self {
        let n_series = selection.n_series();
        let origin = Origin::Selection {
            selection,
            metric_name: metric_name.map(Text::from),
        };
        Self::new(n_series, origin, true, Some(ledger.clone()))
    }

    /// No series.
    pub(crate) fn empty() -> Self {
        Self::new(0, Origin::Unlabelled, true, None)
    }

    /// One series without labels.
    pub(crate) fn unlabelled() -> Self {
        Self::new(1, Origin::Unlabelled, true, None)
    }

    fn new(n_series: usize, origin: Origin, distinct: bool, ledger: Option<Ledger>) -> Self {
        Self(Arc::new(Inner {
            n_series,
            origin,
            distinct: distinct || n_series < 2,
            ledger,
            columns: Mutex::new(HashMap::new()),
        }))
    }

    /// A table that is made of this one.
    fn derived(&self, n_series: usize, origin: Origin, distinct: bool) -> Self {
        Self::new(n_series, origin, distinct, self.0.ledger.clone())
    }

    fn note_bytes(&self, bytes: usize) {
        if let Some(ledger) = &self.0.ledger {
            ledger.add(bytes);
        }
    }

    /// Number of series.
    pub(crate) fn n_series(&self) -> usize {
        self.0.n_series
    }

    /// The series at `rows`, in that order. `distinct` promises that their label sets are.
    pub(crate) fn take(&self, rows: Vec<u32>, distinct: bool) -> Self {
        let origin = Origin::Taken {
            base: self.clone(),
            rows,
        };
        let n_series = match &origin {
            Origin::Taken { rows, .. } => rows.len(),
            _ => unreachable!("just made"),
        };
        self.note_bytes(n_series * size_of::<u32>());
        self.derived(n_series, origin, distinct)
    }

    /// With these labels only.
    pub(crate) fn keep(&self, names: &[impl AsRef<str>]) -> Self {
        let origin = Origin::Kept {
            base: self.clone(),
            names: texts(names),
        };
        self.derived(self.n_series(), origin, false)
    }

    /// Without these labels.
    pub(crate) fn remove(&self, names: &[impl AsRef<str>]) -> Self {
        let names = texts(names);
        // A label with one value for all does not tell series apart.
        let distinct = self.0.distinct && names.iter().all(|name| self.is_constant(name));
        let origin = Origin::Removed {
            base: self.clone(),
            names,
        };
        self.derived(self.n_series(), origin, distinct)
    }

    /// The same with the promise that no two series have the same labels.
    pub(crate) fn assume_distinct(&self) -> Self {
        if self.0.distinct {
            return self.clone();
        }
        let origin = Origin::Removed {
            base: self.clone(),
            names: Vec::new(),
        };
        self.derived(self.n_series(), origin, true)
    }

    /// True when all series have the same value of the label or all lack it.
    fn is_constant(&self, name: &str) -> bool {
        match &self.0.origin {
            Origin::Unlabelled => true,
            Origin::Selection {
                metric_name: Some(_), ..
            } if name == METRIC_NAME => true,
            _ => self.column(name).is_constant(),
        }
    }

    /// With one label set anew.
    ///
    /// # Panics
    /// If the column has another number of series.
    pub(crate) fn set(&self, name: &str, column: Column) -> Self {
        assert_eq!(
            column.codes.len(),
            self.n_series(),
            "a column has one code per series"
        );
        let name: Text = name.into();
        let origin = Origin::Set {
            base: self.clone(),
            name: Arc::clone(&name),
        };
        self.note_bytes(column.bytes());
        let table = self.derived(self.n_series(), origin, false);
        table.0.columns.lock().insert(name, Arc::new(column));
        table
    }

    /// These series followed by those of `other`.
    pub(crate) fn concat(&self, other: &Self) -> Self {
        let n_series = self.n_series() + other.n_series();
        let ledger = self.0.ledger.as_ref().or(other.0.ledger.as_ref()).cloned();
        Self::new(
            n_series,
            Origin::Concat(self.clone(), other.clone()),
            false,
            ledger,
        )
    }

    /// One label of all series.
    pub(crate) fn column(&self, name: &str) -> Arc<Column> {
        if let Some(column) = self.0.columns.lock().get(name) {
            return Arc::clone(column);
        }
        let column = self.make_column(name);
        self.0.columns.lock().insert(name.into(), Arc::clone(&column));
        column
    }

    fn make_column(&self, name: &str) -> Arc<Column> {
        let own = |column: Column| {
            self.note_bytes(column.bytes());
            Arc::new(column)
        };
        let absent = || own(Column::absent(self.n_series()));
        match &self.0.origin {
            Origin::Unlabelled => absent(),
            Origin::Selection {
                selection,
                metric_name,
            } => match metric_name {
                Some(metric_name) if name == METRIC_NAME => {
                    own(Column::constant(self.n_series(), metric_name))
                }
                _ => own(selection.label_column(name).into()),
            },
            Origin::Taken { base, rows } => own(base.column(name).take(rows)),
            Origin::Kept { base, names } if has(names, name) => base.column(name),
            Origin::Removed { base, names } if !has(names, name) => base.column(name),
            Origin::Kept { .. } | Origin::Removed { .. } => absent(),
            Origin::Set { base, .. } => base.column(name),
            Origin::Concat(first, second) => own(first.column(name).concat(&second.column(name))),
        }
    }

    /// The names of labels that series may have, sorted; every other label is absent.
    pub(crate) fn label_names(&self) -> Vec<Text> {
        match &self.0.origin {
            Origin::Unlabelled => Vec::new(),
            Origin::Selection { selection, .. } => selection.label_names(),
            Origin::Taken { base, .. } => base.label_names(),
            Origin::Kept { base, names } => {
                let mut kept = base.label_names();
                kept.retain(|name| has(names, name));
                kept
            }
            Origin::Removed { base, names } => {
                let mut kept = base.label_names();
                kept.retain(|name| !has(names, name));
                kept
            }
            Origin::Set { base, name } => merge_sorted(base.label_names(), vec![Arc::clone(name)]),
            Origin::Concat(first, second) => merge_sorted(first.label_names(), second.label_names()),
        }
    }

    /// Groups of series that agree in the labels `names`, or in all other labels but the metric name.
    pub(crate) fn group(&self, names: &[impl AsRef<str>], without: bool) -> Groups {
        let names: Vec<Text> = if without {
            let mut rest = self.label_names();
            rest.retain(|name| {
                &**name != METRIC_NAME && !names.iter().any(|other| other.as_ref() == &**name)
            });
            rest
        } else {
            texts(names)
        };
        self.group_by_columns(&names)
    }

    /// Groups of series with the same labels.
    pub(crate) fn group_by_all(&self) -> Groups {
        self.group_by_columns(&self.label_names())
    }

    /// Groups of equal label sets, or `None` when all label sets are distinct.
    pub(crate) fn duplicates(&self) -> Option<Groups> {
        if self.0.distinct {
            return None;
        }
        let groups = self.group_by_all();
        (!groups.is_unique()).then_some(groups)
    }

    fn group_by_columns(&self, names: &[Text]) -> Groups {
        let columns: Vec<_> = names.iter().map(|name| self.column(name)).collect();
        self.note_bytes(self.n_series() * size_of::<u32>());
        let groups = Groups::by(self.n_series(), columns.iter().map(|column| &**column));
        // Besides the list of groups, the table that they were found with.
        self.note_bytes(groups.n_groups() * 5 * size_of::<u32>());
        groups
    }

    /// A number from 0 to 1 for each series that follows from its labels and is spread evenly.
    pub(crate) fn sampling_offsets(&self) -> Vec<f64> {
        let names = self.label_names();
        let mut hashes = vec![FNV_START; self.n_series()];
        for name in &names {
            let column = self.column(name);
            for (hash, &code) in hashes.iter_mut().zip(&column.codes) {
                if code != 0 {
                    *hash = fnv(fnv(*hash, name), &column.values[code as usize]);
                }
            }
        }
        let offset = |hash: u64| (mix(hash) >> 11) as f64 / (1_u64 << 53) as f64;
        hashes.into_iter().map(offset).collect()
    }

    /// The labels of one series as Prometheus prints them: `{__name__="up", job="api"}`.
    pub(crate) fn display(&self, series_idx: usize) -> String {
        let pairs = self.label_names().into_iter().map(|name| {
            let value = Arc::clone(self.column(&name).value(series_idx));
            (name, value)
        });
        let pairs: Vec<(Text, Text)> = pairs.filter(|(_, value)| !value.is_empty()).collect();
        promql::label_set(pairs.iter().map(|(name, value)| (&**name, &**value)))
    }
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a of a text and a separator.
fn fnv(hash: u64, text: &str) -> u64 {
    let bytes = text.bytes().chain([0xff]);
    bytes.fold(hash, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Spreads a hash over all bits (the finish of MurmurHash3).
fn mix(mut hash: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

fn texts(names: &[impl AsRef<str>]) -> Vec<Text> {
    names.iter().map(|name| Text::from(name.as_ref())).collect()
}

fn has(names: &[Text], name: &str) -> bool {
    names.iter().any(|other| &**other == name)
}

fn merge_sorted(mut first: Vec<Text>, second: Vec<Text>) -> Vec<Text> {
    first.extend(second);
    first.sort_unstable();
    first.dedup();
    first
}

impl fmt::Debug for SeriesTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesTable")
            .field("n_series", &self.n_series())
            .finish_non_exhaustive()
    }
}
