//! From what kernels note to annotations of the query.

use std::collections::BTreeMap;

use model::METRIC_NAME;
use promql::annotation::Annotation;
use promql::ast::{BinaryOp, Span};
use promql::kernel::native::{About, Note, Notes};
use promql::kernel::window::StepTimes;

use crate::annotations::Annotations;
use crate::batch::Row;
use crate::labels::SeriesTable;
use crate::rows::is_absent;

/// Makes annotations of notes. Clones share the annotations.
#[derive(Debug, Clone)]
pub(crate) struct NoteSink {
    annotations: Annotations,
    /// Where the annotations stand.
    span: Span,
    /// The series that notes are about. Their names are only looked up when there is something to note.
    table: SeriesTable,
}

impl NoteSink {
    /// A sink for notes on the series of `table`, which are shown at `span`.
    pub(crate) fn new(annotations: &Annotations, span: Span, table: &SeriesTable) -> Self {
        Self {
            annotations: annotations.clone(),
            span,
            table: table.clone(),
        }
    }

    /// Takes notes on one series.
    #[inline]
    pub(crate) fn of_series(&self, series_idx: u32, notes: Notes) {
        if !notes.is_empty() {
            self.named(notes, &self.metric(series_idx));
        }
    }

    /// Takes notes on no series in particular.
    #[inline]
    pub(crate) fn of_none(&self, notes: Notes) {
        if !notes.is_empty() {
            self.named(notes, "");
        }
    }

    /// Takes an annotation as it is.
    pub(crate) fn add(&self, annotation: Annotation) {
        self.annotations.add(annotation, self.span);
    }

    /// The metric name of a series, empty if it has none.
    pub(crate) fn metric(&self, series_idx: u32) -> String {
        self.table
            .column(METRIC_NAME)
            .value(series_idx as usize)
            .to_string()
    }

    /// Takes notes on a series that goes by this metric name.
    pub(crate) fn named(&self, notes: Notes, metric: &str) {
        let about = About { metric, operator: "" };
        for annotation in notes.annotations(about) {
            self.add(annotation);
        }
    }
}

/// Makes annotations of what a binary operator notes: of each step, the notes on the last series that has any.
#[derive(Debug, Clone)]
pub(crate) struct OperatorNotes {
    annotations: Annotations,
    op: BinaryOp,
    /// Of the whole operation.
    span: Span,
    times: StepTimes,
}

/// Notes on some series at each step.
#[derive(Debug, Default)]
pub(crate) struct LastNotes {
    /// By step, the series that was noted last.
    steps: BTreeMap<usize, (u32, Notes)>,
}

impl OperatorNotes {
    /// Takes notes of `op` at `times`, which are shown at `span`.
    pub(crate) fn new(annotations: &Annotations, op: BinaryOp, span: Span, times: StepTimes) -> Self {
        Self {
            annotations: annotations.clone(),
            op,
            span,
            times,
        }
    }

    /// Takes the notes of some of the series.
    pub(crate) fn take(&self, notes: LastNotes) {
        let about = About {
            metric: "",
            operator: self.op.as_str(),
        };
        for (step, (series_idx, notes)) in notes.steps {
            let place = (self.span, self.times.at(step));
            self.annotations
                .add_last(place, series_idx, notes.annotations(about));
        }
    }
}

impl LastNotes {
    /// Takes notes on a series at a step.
    #[inline]
    pub(crate) fn note(&mut self, step: usize, series_idx: u32, notes: Notes) {
        if notes.is_empty() {
            return;
        }
        let last = self.steps.entry(step).or_insert((series_idx, notes));
        if last.0 <= series_idx {
            *last = (series_idx, notes);
        }
    }

    /// Notes that an operator does not go with the floats of a row.
    pub(crate) fn note_floats(&mut self, series_idx: u32, row: Row<'_>) {
        let mut notes = Notes::default();
        notes.add(Note::FloatFloat);
        for (step, _) in row
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| !is_absent(**value))
        {
            self.note(step, series_idx, notes);
        }
    }
}
