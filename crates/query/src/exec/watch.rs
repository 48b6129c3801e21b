//! Looks at the rows that a function of a range gives, for what there is to say about them: annotations that Prometheus
//! only makes where a series has a value.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use promql::annotation::Annotation;
use promql::ast::Span;
use promql::kernel::quantile::is_invalid_quantile;

use super::map::of_step;
use crate::annotations::Annotations;
use crate::labels::Column;
use crate::rows::is_absent;

/// Adds an annotation once a row has a value that it concerns.
#[derive(Debug)]
pub(crate) struct Watch {
    concern: Concern,
    /// By code of the metric name, or by position of the parameter: true once noted, or if there is nothing to say.
    noted: Vec<AtomicBool>,
    annotations: Annotations,
    span: Span,
}

#[derive(Debug)]
enum Concern {
    /// A rate of metrics that may be no counters, by their names.
    NonCounters(Arc<Column>),
    /// φ of each step, or one for all.
    InvalidQuantiles(Arc<[f64]>),
}

impl Watch {
    /// Adds an info for every metric name that does not look like a counter's and has a value; `None` if there is no
    /// such name.
    pub(crate) fn non_counters(names: Arc<Column>, annotations: &Annotations, span: Span) -> Option<Self> {
        let is_fine = names
            .values
            .iter()
            .map(|name| Annotation::for_rate_of(name).is_none());
        Self::new(is_fine.collect(), Concern::NonCounters(names), annotations, span)
    }

    /// Adds a warning for every φ that is none and is asked of a window with samples; `None` if there is no such φ.
    pub(crate) fn invalid_quantiles(phi: Arc<[f64]>, annotations: &Annotations, span: Span) -> Option<Self> {
        let is_fine = phi.iter().map(|&phi| !is_invalid_quantile(phi));
        Self::new(
            is_fine.collect(),
            Concern::InvalidQuantiles(phi),
            annotations,
            span,
        )
    }

    fn new(is_fine: Vec<bool>, concern: Concern, annotations: &Annotations, span: Span) -> Option<Self> {
        if is_fine.iter().all(|is_fine| *is_fine) {
            return None;
        }
        Some(Self {
            concern,
            noted: is_fine.into_iter().map(AtomicBool::new).collect(),
            annotations: annotations.clone(),
            span,
        })
    }

    /// Looks at the row of a series.
    pub(crate) fn note(&self, series_idx: u32, row: &[f64]) {
        match &self.concern {
            Concern::NonCounters(names) => {
                let is_noted = &self.noted[names.codes[series_idx as usize] as usize];
                if is_noted.load(Ordering::Relaxed) || row.iter().all(|&value| is_absent(value)) {
                    return;
                }
                is_noted.store(true, Ordering::Relaxed);
                if let Some(annotation) = Annotation::for_rate_of(names.value(series_idx as usize)) {
                    self.annotations.add(annotation, self.span);
                }
            }
            Concern::InvalidQuantiles(phi) => {
                for (step, _) in row.iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
                    let is_noted = &self.noted[step.min(self.noted.len() - 1)];
                    if !is_noted.swap(true, Ordering::Relaxed) {
                        self.annotations
                            .add(Annotation::InvalidQuantile(of_step(phi, step)), self.span);
                    }
                }
            }
        }
    }
}
