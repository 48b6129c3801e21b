//! Layouts of native histograms, each kept once: thousands of lanes have the same.

use std::sync::Arc;

use hashbrown::HashSet;
use model::histogram::{HistogramColumns, HistogramLayout};

/// Layouts below this number are never looked through for unused ones.
const PRUNED_MIN: usize = 1_024;

/// The layouts in use.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    known: HashSet<Arc<HistogramLayout>>,
    n_bytes: usize,
    /// How many there were after unused ones were last left out.
    n_pruned: usize,
}

/// The layouts of one batch as others have them, by their places there. Those who compare them mostly see that they are
/// the same without a look at what is in them.
#[derive(Debug, Default)]
pub(super) struct BatchLayouts(Vec<Option<Arc<HistogramLayout>>>);

impl BatchLayouts {
    /// Makes room for the layouts of a batch.
    pub(super) fn begin(&mut self, columns: &HistogramColumns) {
        self.0.resize(columns.layouts().len(), None);
    }

    /// The layout of the histogram at `position`.
    pub(super) fn get(
        &mut self,
        columns: &HistogramColumns,
        position: usize,
        layouts: &mut Layouts,
    ) -> Option<&Arc<HistogramLayout>> {
        let place = columns.layout_idx(position)?.place();
        let layout = columns.layouts().get(place)?;
        let known = self.0.get_mut(place)?;
        Some(known.get_or_insert_with(|| layouts.shared(layout)))
    }

    /// Lets go of them, memory kept.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Layouts {
    /// An equal layout that others have, too.
    pub(super) fn shared(&mut self, layout: &Arc<HistogramLayout>) -> Arc<HistogramLayout> {
        if let Some(known) = self.known.get(&**layout) {
            return Arc::clone(known);
        }
        if self.known.len() >= PRUNED_MIN.max(2 * self.n_pruned) {
            self.prune();
        }
        self.n_bytes += entry_bytes(layout);
        self.known.insert(Arc::clone(layout));
        Arc::clone(layout)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.n_bytes
    }

    fn prune(&mut self) {
        let n_bytes = &mut self.n_bytes;
        self.known.retain(|layout| {
            let is_used = Arc::strong_count(layout) > 1;
            if !is_used {
                *n_bytes -= entry_bytes(layout);
            }
            is_used
        });
        self.n_pruned = self.known.len();
    }
}

fn entry_bytes(layout: &HistogramLayout) -> usize {
    layout.size_bytes() + 3 * size_of::<usize>()
}

#[cfg(test)]
mod tests {
    use model::histogram::{Bounds, CountForm, Span};

    use super::*;

    fn layout(offset: i32) -> Arc<HistogramLayout> {
        let span = Span { offset, length: 1 };
        let made = HistogramLayout::new(CountForm::Integer, Bounds::default(), &[span], &[]);
        Arc::new(made.unwrap())
    }

    #[test]
    fn equal_layouts_are_kept_once_and_unused_ones_go() {
        let mut layouts = Layouts::default();
        let held = layouts.shared(&layout(-1));
        assert!(Arc::ptr_eq(&held, &layouts.shared(&layout(-1))));
        let one_bytes = layouts.heap_bytes();
        for offset in 0..10 * PRUNED_MIN as i32 {
            layouts.shared(&layout(offset));
        }
        assert!(layouts.heap_bytes() <= 2 * PRUNED_MIN * one_bytes);
        assert!(Arc::ptr_eq(&held, &layouts.shared(&layout(-1))));
    }
}
