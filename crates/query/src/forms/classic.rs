//! Native histograms as classic ones.
//!
//! The buckets are those of the coarsest resolution that a series has in the range, and end where one that holds anything
//! begins or ends: no other bound says more. Their counts are exact; what a quantile makes of them is not, because classic
//! buckets are interpolated linearly.

use std::sync::Arc;

use hashbrown::HashMap;
use model::histogram::Schema;
use model::number::push_exposition_float;
use model::{FloatHistogram, Labels, Matcher, TimeRange, TimestampMs, is_stale_nan, stale_nan};
use promql::kernel::native::sample_weight;
use storage::{Error, LaneBuffer, Selection, Source, StreamBuffer};

use super::converted::{Conversion, Converted};
use super::keyed::entities;
use super::{Budget, Question};
use crate::QueryError;
use crate::exec::leaf::buffer_bytes;

/// What of a classic histogram is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClassicPart {
    /// `x_bucket`
    Buckets,
    /// `x_count`
    Count,
    /// `x_sum`
    Sum,
}

impl ClassicPart {
    /// The name of the histogram whose part has this name.
    pub(super) fn split(name: &str) -> Option<(&str, Self)> {
        let suffixes = [
            ("_bucket", Self::Buckets),
            ("_count", Self::Count),
            ("_sum", Self::Sum),
        ];
        let mut bases = suffixes.into_iter().filter_map(|(suffix, part)| {
            let base = name.strip_suffix(suffix)?;
            (!base.is_empty()).then_some((base, part))
        });
        bases.next()
    }
}

/// How native histograms become classic ones.
#[derive(Debug)]
struct Natives {
    part: ClassicPart,
    /// By stream.
    layouts: Vec<Layout>,
    /// The streams stored in the form that is asked for, which count where they have samples: the one for each stream.
    stored: Arc<dyn Selection>,
    counterparts: Vec<Option<usize>>,
}

/// The buckets of one stream.
#[derive(Debug, Default)]
struct Layout {
    /// The coarsest exponential one.
    schema: Option<Schema>,
    bounds: Vec<f64>,
    texts: Vec<Arc<str>>,
}

/// What is asked for of the native histograms `base`.
pub(super) fn select(
    source: &dyn Source,
    question: &Question<'_>,
    (base, part): (&str, ClassicPart),
    range: TimeRange,
    budget: Budget<'_>,
) -> Result<Option<Arc<dyn Selection>>, QueryError> {
    // Only buckets have an `le`.
    let asks_for_bound = question.bounds.iter().any(|bound| !bound.matches_empty());
    if part != ClassicPart::Buckets && asks_for_bound {
        return Ok(None);
    }
    let inner = source.select(&question.renamed(Matcher::equal(model::METRIC_NAME, base)), range)?;
    let mut buffer = StreamBuffer::default();
    let mut n_bytes_max = 0;
    let (mut origins, mut layouts) = (Vec::new(), Vec::new());
    for origin in 0..inner.streams().len() {
        budget.limits.check()?;
        inner.read(origin, range, &mut buffer)?;
        let n_samples = n_samples(&buffer);
        budget.limits.add_samples(n_samples, 0, n_samples)?;
        let n_bytes = buffer_bytes(&buffer);
        budget.ledger.try_add(n_bytes.saturating_sub(n_bytes_max))?;
        n_bytes_max = n_bytes_max.max(n_bytes);
        if let Some(layout) = Layout::of(&buffer, part, &question.bounds) {
            budget
                .ledger
                .try_add_values::<(f64, [u64; 5])>(layout.bounds.len())?;
            origins.push(origin);
            layouts.push(layout);
        }
    }
    if origins.is_empty() {
        return Ok(None);
    }
    let stored = source.select(
        &question.renamed(Matcher::equal(model::METRIC_NAME, question.name)),
        range,
    )?;
    let known: HashMap<Labels, usize> = entities(&*stored).into_iter().zip(0..).collect();
    let own = entities(&*inner);
    let natives = Natives {
        part,
        layouts,
        counterparts: origins
            .iter()
            .map(|origin| known.get(&own[*origin]).copied())
            .collect(),
        stored,
    };
    let converted = Converted::new(inner, question.name, origins, natives);
    Ok(converted.map(|converted| Arc::new(converted) as Arc<dyn Selection>))
}

/// As many as a query that asks for them as they are would count.
fn n_samples(buffer: &StreamBuffer) -> u64 {
    let of_lane = |lane: &LaneBuffer| {
        let n_floats = lane.values.len() - lane.absent_rows.len() - lane.histograms.len();
        let histograms = lane.histograms.iter();
        n_floats
            + histograms
                .map(|(_, histogram)| sample_weight(histogram))
                .sum::<usize>()
    };
    buffer.lanes().iter().map(of_lane).sum::<usize>() as u64
}

impl Layout {
    /// The buckets of what a stream holds that the matchers of `le` pick; `None` if there is no histogram, or none of its
    /// buckets is picked.
    fn of(buffer: &StreamBuffer, part: ClassicPart, matchers: &[Matcher]) -> Option<Self> {
        let histograms = buffer.lanes().first().map(|lane| &lane.histograms)?;
        if histograms.is_empty() {
            return None;
        }
        if part != ClassicPart::Buckets {
            return Some(Self::default());
        }
        let exponential = histograms.iter().filter(|(_, histogram)| !histogram.is_custom());
        let schema = exponential
            .map(|(_, histogram)| histogram.schema)
            .min_by_key(|schema| schema.number());
        let mut bounds = vec![f64::INFINITY];
        for (_, histogram) in histograms {
            bounds.extend(histogram.custom_bounds.iter());
            if !histogram.is_custom() {
                let coarse = coarse(histogram, schema);
                let held = coarse.buckets().filter(|bucket| bucket.count != 0.0);
                // Zero has one sign.
                bounds.extend(held.flat_map(|bucket| [bucket.lower + 0.0, bucket.upper + 0.0]));
            }
            if bounds.len() > 4096 {
                tidy(&mut bounds);
            }
        }
        tidy(&mut bounds);
        let with_texts = bounds.into_iter().map(|bound| (bound, text_of(bound)));
        let (bounds, texts): (Vec<f64>, Vec<Arc<str>>) = with_texts
            .filter(|(_, text)| matchers.iter().all(|matcher| matcher.matches(text)))
            .unzip();
        let layout = Self {
            schema,
            bounds,
            texts,
        };
        (!layout.bounds.is_empty()).then_some(layout)
    }
}

/// Sorts, each once.
fn tidy(bounds: &mut Vec<f64>) {
    bounds.sort_unstable_by(f64::total_cmp);
    bounds.dedup();
    bounds.retain(|bound| *bound != f64::NEG_INFINITY);
}

/// A bound as Prometheus writes it: always with a point or an exponent.
fn text_of(bound: f64) -> Arc<str> {
    let mut text = String::new();
    push_exposition_float(&mut text, bound);
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        text.push_str(".0");
    }
    Arc::from(text)
}

fn coarse(histogram: &FloatHistogram, schema: Option<Schema>) -> FloatHistogram {
    let mut coarse = histogram.clone();
    if let Some(schema) = schema {
        coarse.reduce_to(schema);
    }
    coarse
}

impl Conversion for Natives {
    fn bounds(&self, stream_idx: usize) -> &[Arc<str>] {
        &self.layouts[stream_idx].texts
    }

    fn convert(
        &self,
        stream_idx: usize,
        range: TimeRange,
        stored: &StreamBuffer,
        made: &mut StreamBuffer,
    ) -> Result<(), Error> {
        let layout = &self.layouts[stream_idx];
        let taken_ms = self.taken_times(stream_idx, range)?;
        let Some(origin) = stored.lanes().first() else {
            return Ok(());
        };
        let mut histograms = origin.histograms.iter().peekable();
        let (timestamps_ms, lanes) = made.parts_mut();
        for (row, timestamp_ms) in stored.timestamps_ms.iter().enumerate() {
            let histogram = histograms.next_if(|(own, _)| *own as usize == row);
            let is_absent = origin.absent_rows.binary_search(&(row as u32)).is_ok();
            let is_stale = histogram.is_none() && !is_absent && is_stale_nan(origin.values[row]);
            if (histogram.is_none() && !is_stale) || taken_ms.binary_search(timestamp_ms).is_ok() {
                continue;
            }
            timestamps_ms.push(*timestamp_ms);
            let values = match (histogram, self.part) {
                (None, _) => vec![stale_nan(); lanes.len()],
                (Some((_, histogram)), ClassicPart::Count) => vec![histogram.count],
                (Some((_, histogram)), ClassicPart::Sum) => vec![histogram.sum],
                (Some((_, histogram)), ClassicPart::Buckets) => counts(histogram, layout),
            };
            for (lane, value) in lanes.iter_mut().zip(values) {
                lane.values.push(value);
                lane.may_be_nan |= value.is_nan();
                lane.starts_ms.extend(origin.starts_ms.get(row));
            }
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Natives {
    /// When the stream has samples in the form that is asked for, ascending.
    fn taken_times(&self, stream_idx: usize, range: TimeRange) -> Result<Vec<TimestampMs>, Error> {
        let Some(counterpart) = self.counterparts[stream_idx] else {
            return Ok(Vec::new());
        };
        let mut buffer = StreamBuffer::default();
        self.stored.read(counterpart, range, &mut buffer)?;
        let has_sample = |row: &usize| {
            buffer.lanes().iter().any(|lane| {
                let is_absent = lane.absent_rows.binary_search(&(*row as u32)).is_ok();
                !is_absent && !is_stale_nan(lane.values[*row])
            })
        };
        let rows = (0..buffer.timestamps_ms.len()).filter(has_sample);
        Ok(rows.map(|row| buffer.timestamps_ms[row]).collect())
    }
}

/// The observations up to each bound.
fn counts(histogram: &FloatHistogram, layout: &Layout) -> Vec<f64> {
    let coarse = coarse(histogram, layout.schema);
    let mut buckets = coarse.buckets().peekable();
    let mut below = 0.0;
    let up_to = |bound: &f64| {
        while let Some(bucket) = buckets.next_if(|bucket| bucket.upper <= *bound) {
            below += bucket.count;
        }
        if *bound == f64::INFINITY {
            histogram.count
        } else {
            below
        }
    };
    layout.bounds.iter().map(up_to).collect()
}
