//! What there is to say about results, as a set of bits.

use crate::annotation::{Annotation, HistogramOperation};

/// Something to tell the user beside a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Note {
    /// A window holds floats and histograms.
    MixedWindow,
    /// A group holds floats and histograms.
    MixedGroup,
    /// Exponential and custom buckets in one window or group.
    MixedSchemas,
    /// A rate of a gauge.
    NotCounter,
    /// A delta of a counter.
    NotGauge,
    /// Histograms left out of a window of floats.
    IgnoredInWindow,
    /// Opposite hints met in an addition.
    CollisionInAddition,
    /// Opposite hints met in a subtraction.
    CollisionInSubtraction,
    /// Opposite hints met in an aggregation.
    CollisionInAggregation,
    /// Different custom bounds met in an addition.
    BoundsInAddition,
    /// Different custom bounds met in a subtraction.
    BoundsInSubtraction,
    /// Different custom bounds met in an aggregation.
    BoundsInAggregation,
    /// A quantile lies among NaN observations.
    NanQuantile,
    /// A quantile is too high because of NaN observations.
    SkewedQuantile,
    /// A fraction leaves out NaN observations.
    NanFraction,
    /// A start time lies before the previous sample.
    StartOverlap,
    /// Exponential and custom buckets on the two sides of an operator.
    IncompatibleLayout,
    /// The operator does not go with a float on both sides.
    FloatFloat,
    /// The operator does not go with a float and a histogram.
    FloatHistogram,
    /// The operator does not go with a histogram and a float.
    HistogramFloat,
    /// The operator does not go with a histogram on both sides.
    HistogramHistogram,
}

impl Note {
    const ALL: [Self; 21] = [
        Self::MixedWindow,
        Self::MixedGroup,
        Self::MixedSchemas,
        Self::NotCounter,
        Self::NotGauge,
        Self::IgnoredInWindow,
        Self::CollisionInAddition,
        Self::CollisionInSubtraction,
        Self::CollisionInAggregation,
        Self::BoundsInAddition,
        Self::BoundsInSubtraction,
        Self::BoundsInAggregation,
        Self::NanQuantile,
        Self::SkewedQuantile,
        Self::NanFraction,
        Self::StartOverlap,
        Self::IncompatibleLayout,
        Self::FloatFloat,
        Self::FloatHistogram,
        Self::HistogramFloat,
        Self::HistogramHistogram,
    ];

    fn bit(self) -> u32 {
        1 << self as u8
    }

    /// Two different hints came together.
    pub(super) fn collision_in(operation: HistogramOperation) -> Self {
        match operation {
            HistogramOperation::Addition => Self::CollisionInAddition,
            HistogramOperation::Subtraction => Self::CollisionInSubtraction,
            HistogramOperation::Aggregation => Self::CollisionInAggregation,
        }
    }

    /// Different custom bounds came together.
    pub(super) fn bounds_in(operation: HistogramOperation) -> Self {
        match operation {
            HistogramOperation::Addition => Self::BoundsInAddition,
            HistogramOperation::Subtraction => Self::BoundsInSubtraction,
            HistogramOperation::Aggregation => Self::BoundsInAggregation,
        }
    }
}

/// A set of [`Note`]s. Collected over many windows or elements, it becomes annotations once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notes {
    bits: u32,
    /// How often [`Note::StartOverlap`] was added: its text says so.
    n_overlaps: u32,
}

/// What annotations name beside what happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// The metric's name, empty if it has been dropped.
    pub metric: &'a str,
    /// The operator, empty if there is none.
    pub operator: &'static str,
}

impl Notes {
    /// True when there is nothing to say.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// True when the note was added.
    #[must_use]
    pub fn contains(self, note: Note) -> bool {
        self.bits & note.bit() != 0
    }

    /// Adds a note.
    pub fn add(&mut self, note: Note) {
        self.bits |= note.bit();
        self.n_overlaps += u32::from(note == Note::StartOverlap);
    }

    /// Adds a note if the condition holds.
    pub fn add_if(&mut self, condition: bool, note: Note) {
        if condition {
            self.add(note);
        }
    }

    /// Adds all notes of another set.
    pub fn merge(&mut self, other: Self) {
        self.bits |= other.bits;
        self.n_overlaps = self.n_overlaps.saturating_add(other.n_overlaps);
    }

    /// The notes as annotations.
    #[must_use]
    pub fn annotations(self, about: About<'_>) -> Vec<Annotation> {
        let present = Note::ALL.into_iter().filter(|&note| self.contains(note));
        present.map(|note| self.annotation(note, about)).collect()
    }

    fn annotation(self, note: Note, about: About<'_>) -> Annotation {
        let metric = || about.metric.to_owned();
        let incompatible = |left: &'static str, right: &'static str| Annotation::IncompatibleTypes {
            left,
            operator: about.operator,
            right,
        };
        let collision = Annotation::CounterResetCollision;
        let bounds = Annotation::MismatchedCustomBuckets;
        match note {
            Note::MixedWindow => Annotation::MixedFloatsHistograms { metric: metric() },
            Note::MixedGroup => Annotation::MixedFloatsHistogramsAggregation,
            Note::MixedSchemas => Annotation::MixedExponentialCustom { metric: metric() },
            Note::NotCounter => Annotation::NativeHistogramNotCounter { metric: metric() },
            Note::NotGauge => Annotation::NativeHistogramNotGauge { metric: metric() },
            Note::IgnoredInWindow => Annotation::HistogramIgnoredInMixedRange { metric: metric() },
            Note::CollisionInAddition => collision(HistogramOperation::Addition),
            Note::CollisionInSubtraction => collision(HistogramOperation::Subtraction),
            Note::CollisionInAggregation => collision(HistogramOperation::Aggregation),
            Note::BoundsInAddition => bounds(HistogramOperation::Addition),
            Note::BoundsInSubtraction => bounds(HistogramOperation::Subtraction),
            Note::BoundsInAggregation => bounds(HistogramOperation::Aggregation),
            Note::NanQuantile => Annotation::NanObservationsQuantileNan { metric: metric() },
            Note::SkewedQuantile => Annotation::NanObservationsQuantileSkewed { metric: metric() },
            Note::NanFraction => Annotation::NanObservationsFraction { metric: metric() },
            Note::StartOverlap => Annotation::StartTimeOverlap {
                metric: metric(),
                n_occurrences: self.n_overlaps,
            },
            Note::IncompatibleLayout => Annotation::IncompatibleBucketLayout {
                operator: about.operator.to_owned(),
            },
            Note::FloatFloat => incompatible("float", "float"),
            Note::FloatHistogram => incompatible("float", "histogram"),
            Note::HistogramFloat => incompatible("histogram", "float"),
            Note::HistogramHistogram => incompatible("histogram", "histogram"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_has_a_bit_and_an_annotation_of_its_own() {
        let mut notes = Notes::default();
        assert!(notes.is_empty() && notes.annotations(About::default()).is_empty());
        for note in Note::ALL {
            assert!(!notes.contains(note), "{note:?}");
            notes.add(note);
        }
        let about = About {
            metric: "x",
            operator: "+",
        };
        let mut texts: Vec<_> = notes.annotations(about).iter().map(Annotation::key).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), Note::ALL.len());
    }

    #[test]
    fn overlaps_are_counted_over_all_windows() {
        let mut notes = Notes::default();
        notes.add(Note::StartOverlap);
        let mut all = notes;
        all.merge(notes);
        let about = About {
            metric: "requests",
            operator: "",
        };
        assert_eq!(
            all.annotations(about),
            [Annotation::StartTimeOverlap {
                metric: "requests".to_owned(),
                n_occurrences: 2
            }]
        );
    }
}
