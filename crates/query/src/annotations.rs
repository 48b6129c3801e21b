//! What a query says beside its result.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TimestampMs;
use parking_lot::Mutex;
use promql::Location;
use promql::annotation::{Annotation, Level};
use promql::ast::Span;
use storage::Selection;

/// Warnings and infos of one query. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Annotations(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    all: BTreeMap<String, (Annotation, Span)>,
    /// Of places where only what is said of the last series counts: that series, and what is said of it.
    last: BTreeMap<(u32, u32, TimestampMs), (u32, Vec<Annotation>)>,
    /// What was read, which may have something to say of itself.
    selections: Vec<Arc<dyn Selection>>,
}

/// How many warnings and how many infos are shown.
const SHOWN_MAX: usize = 10;

impl Annotations {
    /// Adds one; the same one again is merged into the first and shown where the later one stands in the query.
    pub(crate) fn add(&self, annotation: Annotation, span: Span) {
        self.0.lock().add(annotation, span);
    }

    /// Adds what is said of a series at a place: an operation and a step. Only that of the last series is shown.
    pub(crate) fn add_last(
        &self,
        (span, time_ms): (Span, TimestampMs),
        series_idx: u32,
        annotations: Vec<Annotation>,
    ) {
        let mut state = self.0.lock();
        let place = state.last.entry((span.start, span.end, time_ms)).or_default();
        if place.1.is_empty() || place.0 <= series_idx {
            *place = (series_idx, annotations);
        }
    }

    /// Adds, in the end, what the store says of a selection.
    pub(crate) fn watch(&self, selection: &Arc<dyn Selection>) {
        self.0.lock().selections.push(Arc::clone(selection));
    }

    /// What the store says of what was read, sorted.
    pub(crate) fn of_store(&self) -> Vec<String> {
        let selections = std::mem::take(&mut self.0.lock().selections);
        let mut texts: Vec<String> = selections
            .iter()
            .flat_map(|selection| selection.warnings())
            .collect();
        texts.sort_unstable();
        texts.dedup();
        texts.truncate(SHOWN_MAX);
        texts
    }

    /// The texts of all warnings and of all infos, with positions in `query`, in a fixed order.
    pub(crate) fn texts(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let mut state = self.0.lock();
        for ((start, end, _), (_, annotations)) in std::mem::take(&mut state.last) {
            for annotation in annotations {
                state.add(annotation, Span { start, end });
            }
        }
        state.texts(query)
    }
}

impl State {
    fn add(&mut self, annotation: Annotation, span: Span) {
        match self.all.entry(annotation.key()) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert((annotation, span));
            }
            std::collections::btree_map::Entry::Occupied(mut first) => {
                let (merged, place) = first.get_mut();
                merged.merge(&annotation);
                // By place, not by time: parts of a query run in any order.
                *place = if span.start > place.start { span } else { *place };
            }
        }
    }

    fn texts(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let of_level = |level: Level, what: &str| {
            let texts = self
                .all
                .values()
                .filter(|(annotation, _)| annotation.level() == level);
            let texts =
                texts.map(|(annotation, span)| format!("{annotation} ({})", Location::of(query, span.start)));
            let mut texts: Vec<String> = texts.collect();
            if texts.len() > SHOWN_MAX {
                let n_more = texts.len() - SHOWN_MAX;
                texts.truncate(SHOWN_MAX);
                texts.push(format!("{n_more} more {what} annotations omitted"));
            }
            texts
        };
        (of_level(Level::Warning, "warning"), of_level(Level::Info, "info"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_annotation_is_shown_once_and_many_are_cut() {
        let annotations = Annotations::default();
        for number in 0..24 {
            let metric = format!("m{:02}", number / 2);
            annotations.add(
                Annotation::PossibleNonCounter { metric },
                Span {
                    start: 1 + number % 2,
                    end: 3,
                },
            );
        }
        let (warnings, infos) = annotations.texts("a\nb");
        assert!(warnings.is_empty());
        assert_eq!(infos.len(), 11);
        assert!(infos[0].ends_with(": \"m00\" (2:1)"), "{}", infos[0]);
        assert_eq!(infos[10], "2 more info annotations omitted");
    }

    #[test]
    fn of_a_place_only_the_last_series_is_heard() {
        let annotations = Annotations::default();
        let span = Span { start: 0, end: 1 };
        let of = |left| {
            vec![Annotation::IncompatibleTypes {
                left,
                operator: "+",
                right: "float",
            }]
        };
        annotations.add_last((span, 0), 7, of("histogram"));
        annotations.add_last((span, 0), 3, of("float"));
        let (_, infos) = annotations.texts("x");
        assert_eq!(infos.len(), 1);
        assert!(infos[0].contains("histogram + float"), "{}", infos[0]);

        annotations.add_last((span, 1), 3, of("float"));
        assert_eq!(annotations.texts("x").1.len(), 2);
    }
}
