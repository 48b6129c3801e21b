//! What a log holds beside series and samples: the newest word on everything that has a name.

use std::collections::BTreeMap;

use model::MetricMetadata;

use super::notes::Note;

/// Metadata and notes, by name.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// What metrics say about themselves.
    pub(crate) metadata: BTreeMap<String, MetricMetadata>,
    /// What other parts of the program want to find again.
    pub(crate) notes: BTreeMap<String, String>,
}

impl Remembered {
    /// Takes newer metadata.
    pub(crate) fn put_metadata(&mut self, metadata: &[MetricMetadata]) {
        let named = metadata
            .iter()
            .map(|metric| (metric.metric_name.clone(), metric.clone()));
        self.metadata.extend(named);
    }

    /// Takes newer notes; an empty one is no note.
    pub(crate) fn put_notes(&mut self, notes: &[Note]) {
        for (name, text) in notes {
            if text.is_empty() {
                self.notes.remove(name);
            } else {
                self.notes.insert(name.clone(), text.clone());
            }
        }
    }
}
