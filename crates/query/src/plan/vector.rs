//! A planned instant vector, and when its metric names go.
//!
//! Most functions drop the metric name. As a rule it goes at once, and series that then have the same labels are merged
//! or refused. With delayed name removal (an engine option) it is only marked, an outer `by (__name__)` or
//! `label_replace` still sees it, and it goes at the very end.

use std::sync::Arc;

use model::METRIC_NAME;

use super::{Frame, Planner};
use crate::exec::constant::Constant;
use crate::exec::merge_duplicates::{MergeDuplicates, Overlap};
use crate::exec::operator::{Operator, Plan};
use crate::labels::{Column, SeriesTable};
use crate::result::Text;

/// A planned instant vector.
#[derive(Debug)]
pub(crate) struct Vector {
    /// Its series.
    pub(crate) table: SeriesTable,
    /// Gives their values.
    pub(crate) plan: Plan,
    /// Whose names are to be dropped in the end.
    pub(crate) marked: Marked,
}

/// Series whose metric name is marked to be dropped. Always `Nothing` unless name removal is delayed.
#[derive(Debug, Clone)]
pub(crate) enum Marked {
    /// No series.
    Nothing,
    /// All series.
    Everything,
    /// Those where it is true.
    Some(Arc<[bool]>),
}

/// The labels that go with the metric name.
pub(crate) const NAME_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

impl Vector {
    /// A vector without series.
    pub(crate) fn empty(frame: &Frame) -> Self {
        Self {
            table: SeriesTable::empty(),
            plan: Constant::nothing(&frame.schema),
            marked: Marked::Nothing,
        }
    }

    /// One series without labels, with a value per step.
    pub(crate) fn constant(values: Arc<[f64]>, frame: &Frame) -> Self {
        Self {
            table: SeriesTable::unlabelled(),
            plan: Constant::row(values, &frame.schema),
            marked: Marked::Nothing,
        }
    }

    /// True when there is nothing to evaluate: whatever is done with it, nothing comes of it. An operation whose result
    /// has no series may still fail, or have something to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.n_series() == 0 && self.plan.name() == Constant::NAME
    }

    /// The same series with other values.
    pub(crate) fn map_plan(self, change: impl FnOnce(Plan) -> Plan) -> Self {
        if self.is_empty() {
            return self;
        }
        Self {
            plan: change(self.plan),
            ..self
        }
    }

    /// The same values under other labels, series of equal labels put together.
    pub(crate) fn with_table(self, table: &SeriesTable, overlap: Overlap, frame: &Frame) -> Self {
        let Some(groups) = table.duplicates() else {
            // Now that it is known, nobody needs to look again.
            let table = table.assume_distinct();
            return Self { table, ..self };
        };
        let first = groups.first.clone();
        Self {
            table: table.take(first.clone(), true),
            marked: self.marked.take(&first),
            plan: MergeDuplicates::plan(self.plan, groups, overlap, frame.steps.n_steps, &frame.schema),
        }
    }
}

impl Marked {
    /// Whether one series is marked.
    pub(crate) fn is_marked(&self, series_idx: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Some(marks) => marks[series_idx],
        }
    }

    /// The marks of the series at `rows`.
    pub(crate) fn take(&self, rows: &[u32]) -> Self {
        match self {
            Self::Some(marks) => Self::Some(rows.iter().map(|&row| marks[row as usize]).collect()),
            whole => whole.clone(),
        }
    }

    /// The marks of `n_first` series followed by others.
    pub(crate) fn concat(&self, n_first: usize, other: &Self, n_other: usize) -> Self {
        if matches!((self, other), (Self::Nothing, Self::Nothing)) {
            return Self::Nothing;
        }
        let first = (0..n_first).map(|series_idx| self.is_marked(series_idx));
        let second = (0..n_other).map(|series_idx| other.is_marked(series_idx));
        Self::Some(first.chain(second).collect())
    }

    /// A group is marked if one of its series is.
    pub(crate) fn of_groups(&self, ids: &[u32], n_groups: usize) -> Self {
        if matches!(self, Self::Nothing) {
            return Self::Nothing;
        }
        let mut marks = vec![false; n_groups];
        for (series_idx, &group) in ids.iter().enumerate() {
            marks[group as usize] |= self.is_marked(series_idx);
        }
        Self::Some(marks.into())
    }
}

impl Planner {
    /// Drops the metric names, or marks them to be dropped.
    pub(crate) fn drop_names(&self, vector: Vector, overlap: Overlap, frame: &Frame) -> Vector {
        if self.shared.options.delayed_name_removal {
            return Vector {
                marked: Marked::Everything,
                ..vector
            };
        }
        let table = without_names(&vector.table);
        vector.with_table(&table, overlap, frame)
    }

    /// Drops the names that were only marked.
    pub(crate) fn finish_names(vector: Vector, frame: &Frame) -> Vector {
        let table = match &vector.marked {
            Marked::Nothing => return vector,
            Marked::Everything => without_names(&vector.table),
            Marked::Some(marks) => {
                let names = vector.table.label_names();
                let names = names.iter().filter(|name| NAME_LABELS.contains(&&***name));
                names.fold(vector.table.clone(), |table, name| {
                    let column = table.column(name);
                    let codes = column.codes.iter().zip(marks.iter());
                    let codes = codes.map(|(&code, &is_marked)| if is_marked { 0 } else { code });
                    let column = Column {
                        codes: codes.collect(),
                        values: Arc::clone(&column.values),
                    };
                    table.set(name, column)
                })
            }
        };
        Vector {
            marked: Marked::Nothing,
            ..vector
        }
        .with_table(&table, Overlap::OtherSteps, frame)
    }
}

/// The table without metric names and what goes with them.
pub(crate) fn without_names(table: &SeriesTable) -> SeriesTable {
    let present: Vec<Text> = NAME_LABELS.iter().map(|&name| name.into()).collect();
    table.remove(&present)
}
