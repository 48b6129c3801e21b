//! Series in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::CounterResetHint;
use model::{FloatHistogram, Labels, Matcher, is_stale_nan};
use promql::kernel::native::FloatOrHistogram;
use promql::script::{Load, Point, nhcb_series};

/// A value, and when its counter began, 0 if that is not known.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) value: FloatOrHistogram,
    pub(crate) start_ms: i64,
}

/// Samples of one series in order of time, staleness markers included.
pub(crate) type Samples = BTreeMap<i64, Sample>;

#[derive(Debug, Default)]
pub(crate) struct Store {
    series: BTreeMap<Labels, Samples>,
}

impl Store {
    pub(crate) fn load(&mut self, load: &Load) {
        let mut lines = load.series.clone();
        if load.with_nhcb {
            lines.extend(nhcb_series(&load.series).unwrap());
        }
        for line in lines {
            let samples = self.series.entry(line.labels).or_default();
            let offsets = line.start_offsets_ms.into_iter().chain(std::iter::repeat(None));
            for (step, (point, offset_ms)) in (0..).zip(line.points.into_iter().zip(offsets)) {
                let value = match point {
                    Point::Gap => continue,
                    Point::Float(value) => FloatOrHistogram::Float(value),
                    Point::Histogram { value, .. } => FloatOrHistogram::Histogram(stored(&value, samples)),
                };
                let at_ms = step * load.step_ms;
                let start_ms = offset_ms.map_or(0, |offset_ms| at_ms + offset_ms);
                samples.insert(at_ms, Sample { value, start_ms });
            }
        }
    }

    pub(crate) fn select(&self, matchers: &[Matcher]) -> Vec<(&Labels, &Samples)> {
        let is_match = |labels: &Labels| {
            matchers
                .iter()
                .all(|matcher| matcher.matches(labels.get(matcher.name())))
        };
        self.series
            .iter()
            .filter(|(labels, _)| is_match(labels))
            .collect()
    }
}

/// With the hint that Prometheus' store gives it.
fn stored(histogram: &Arc<FloatHistogram>, before: &Samples) -> Arc<FloatHistogram> {
    let previous = before
        .last_key_value()
        .and_then(|(_, sample)| sample.value.histogram());
    let mut stored = FloatHistogram::clone(histogram);
    stored.counter_reset_hint = CounterResetHint::as_stored(histogram, previous);
    Arc::new(stored)
}

pub(crate) fn is_stale(value: &FloatOrHistogram) -> bool {
    match value {
        FloatOrHistogram::Float(value) => is_stale_nan(*value),
        FloatOrHistogram::Histogram(histogram) => histogram.is_stale(),
    }
}
