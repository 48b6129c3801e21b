//! What a query says beside its result.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use promql::Location;
use promql::annotation::{Annotation, Level};
use promql::ast::Span;

/// Warnings and infos of one query. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Annotations(Arc<Mutex<BTreeMap<String, (Annotation, Span)>>>);

/// How many warnings and how many infos are shown.
const SHOWN_MAX: usize = 10;

impl Annotations {
    /// Adds one; the same one again is merged into the first and shown where the later one stands in the query.
    pub(crate) fn add(&self, annotation: Annotation, span: Span) {
        let mut all = self.0.lock();
        match all.entry(annotation.key()) {
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

    /// The texts of all warnings and of all infos, with positions in `query`, in a fixed order.
    pub(crate) fn texts(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let all = self.0.lock();
        let of_level = |level: Level, what: &str| {
            let texts = all.values().filter(|(annotation, _)| annotation.level() == level);
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
}
