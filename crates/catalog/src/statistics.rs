//! How much of everything there is.

use std::sync::Arc;

use crate::Catalog;
use crate::streams::Part;

/// Sizes of a catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CatalogStatistics {
    /// Prometheus series.
    pub n_series: usize,
    /// Label sets.
    pub n_entities: usize,
    /// Label sets times base metric names.
    pub n_streams: usize,
    /// Distinct pairs of label name and value, metric names included.
    pub n_label_pairs: usize,
    /// Bytes allocated, estimated to about a tenth.
    pub heap_bytes: usize,
}

impl Catalog {
    /// Sizes of everything. Walks over all dictionaries and streams: milliseconds for a million series.
    #[must_use]
    pub fn statistics(&self) -> CatalogStatistics {
        let labels = self.entities.labels().iter();
        let n_values: usize = labels.map(|label| label.dictionary.len() - 1).sum();
        CatalogStatistics {
            n_series: self.n_series(),
            n_entities: self.entities.len() as usize,
            n_streams: self.streams.n_streams(),
            n_label_pairs: n_values + self.series_by_metric().count(),
            heap_bytes: self.heap_bytes(),
        }
    }

    /// Number of series.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.streams.n_series() as usize
    }

    /// Full metric names with their numbers of series, by base name. A name stands twice when it is both the bucket
    /// metric of a histogram and a metric without `le`.
    pub fn series_by_metric(&self) -> impl Iterator<Item = (Arc<str>, usize)> {
        self.streams.metrics_by_name().flat_map(|(_, metric)| {
            let parts = Part::ALL.into_iter().zip(metric.n_series);
            let parts = parts.filter(|(_, n_series)| *n_series > 0);
            parts.map(|(part, n_series)| {
                let name = Arc::from(format!("{}{}", metric.base, part.suffix()));
                (name, n_series as usize)
            })
        })
    }

    /// Label names with their numbers of distinct values, `__name__` left out, in order of first appearance.
    pub fn values_by_label(&self) -> impl Iterator<Item = (Arc<str>, usize)> {
        let labels = self.entities.labels().iter();
        labels.map(|label| (Arc::clone(&label.name), label.dictionary.len() - 1))
    }

    /// Bytes allocated, estimated to about a tenth.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.entities.heap_bytes() + self.streams.heap_bytes() + self.regexes.lock().heap_bytes()
    }
}
