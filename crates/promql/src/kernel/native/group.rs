//! `sum` and `avg` of groups that may hold floats, histograms or, to no avail, both.

use model::FloatHistogram;
use model::histogram::CounterResetHint;

use super::arithmetic::{Combined, MixedSchemas};
use super::compensated::Compensated;
use super::mean::HistogramMean;
use super::notes::{Note, Notes};
use super::value::FloatOrHistogram;
use crate::annotation::HistogramOperation;
use crate::kernel::sum::{KahanSum, Mean};

/// Which total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Totaling {
    /// `sum`, `sum_over_time`.
    Sum,
    /// `avg`, `avg_over_time`.
    Mean,
}

/// A running total of histograms, and what it saw of their hints.
#[derive(Debug, Clone)]
pub(super) struct HistogramTotal {
    total: Total,
    reset_seen: bool,
    not_reset_seen: bool,
}

#[derive(Debug, Clone)]
enum Total {
    Sum(Compensated),
    Mean(HistogramMean),
}

impl HistogramTotal {
    pub(super) fn new(totaling: Totaling, first: &FloatHistogram) -> Self {
        let mut total = Self {
            total: match totaling {
                Totaling::Sum => Total::Sum(Compensated::new(first.clone())),
                Totaling::Mean => Total::Mean(HistogramMean::new(first.clone())),
            },
            reset_seen: false,
            not_reset_seen: false,
        };
        total.see(first);
        total
    }

    fn see(&mut self, histogram: &FloatHistogram) {
        self.reset_seen |= histogram.counter_reset_hint == CounterResetHint::Reset;
        self.not_reset_seen |= histogram.counter_reset_hint == CounterResetHint::NotReset;
    }

    pub(super) fn add(&mut self, histogram: &FloatHistogram) -> Result<Combined, MixedSchemas> {
        self.see(histogram);
        match &mut self.total {
            Total::Sum(sum) => sum.add(histogram),
            Total::Mean(mean) => mean.add(histogram),
        }
    }

    fn merge(&mut self, other: Self) -> Result<Combined, MixedSchemas> {
        self.reset_seen |= other.reset_seen;
        self.not_reset_seen |= other.not_reset_seen;
        match (&mut self.total, other.total) {
            (Total::Sum(sum), Total::Sum(other)) => sum.merge(&other),
            (Total::Mean(mean), Total::Mean(other)) => mean.merge(other),
            _ => unreachable!("the groups of one aggregation have one kind of total"),
        }
    }

    /// The total, not compacted. Notes hints that contradict each other, wherever they stood.
    pub(super) fn finish(self, notes: &mut Notes) -> FloatHistogram {
        notes.add_if(
            self.reset_seen && self.not_reset_seen,
            Note::collision_in(HistogramOperation::Aggregation),
        );
        match self.total {
            Total::Sum(sum) => sum.finish(),
            Total::Mean(mean) => mean.finish(),
        }
    }
}

/// One group of `sum` or `avg` at one step. The order of additions matters for the last bits and for what is noted.
#[derive(Debug, Clone)]
pub struct MixedGroup {
    totaling: Totaling,
    floats: Option<FloatTotal>,
    /// Only if the first element was a histogram: otherwise there will be no result anyway.
    histograms: Option<HistogramTotal>,
    has_histogram: bool,
    /// Exponential and custom buckets met. Nothing is looked at after that.
    is_spoilt: bool,
}

#[derive(Debug, Clone)]
enum FloatTotal {
    Sum(KahanSum),
    Mean(Mean),
}

impl MixedGroup {
    /// A group without elements.
    #[must_use]
    pub fn new(totaling: Totaling) -> Self {
        Self {
            totaling,
            floats: None,
            histograms: None,
            has_histogram: false,
            is_spoilt: false,
        }
    }

    /// Adds a float.
    pub fn add_float(&mut self, value: f64) {
        if self.is_spoilt {
            return;
        }
        let totaling = self.totaling;
        let total = self.floats.get_or_insert_with(|| match totaling {
            Totaling::Sum => FloatTotal::Sum(KahanSum::default()),
            Totaling::Mean => FloatTotal::Mean(Mean::default()),
        });
        match total {
            FloatTotal::Sum(sum) => sum.add(value),
            FloatTotal::Mean(mean) => mean.add(value),
        }
    }

    /// Adds a histogram. The notes are about the series it is from.
    pub fn add_histogram(&mut self, histogram: &FloatHistogram, notes: &mut Notes) {
        if self.is_spoilt {
            return;
        }
        let is_first = !self.has_histogram && self.floats.is_none();
        self.has_histogram = true;
        if is_first {
            self.histograms = Some(HistogramTotal::new(self.totaling, histogram));
        } else if let Some(total) = &mut self.histograms {
            match total.add(histogram) {
                Ok(combined) => combined.note_bounds(HistogramOperation::Aggregation, notes),
                Err(MixedSchemas) => {
                    notes.add(Note::MixedSchemas);
                    self.is_spoilt = true;
                }
            }
        }
    }

    /// Adds the elements of another part of the group, which come after those of this one.
    ///
    /// # Panics
    /// If they are groups of different totals.
    pub fn merge(&mut self, other: Self, notes: &mut Notes) {
        assert_eq!(self.totaling, other.totaling, "parts of one group");
        if self.is_spoilt {
            return;
        }
        let is_first = !self.has_histogram && self.floats.is_none();
        if is_first {
            *self = other;
            return;
        }
        self.is_spoilt = other.is_spoilt;
        self.has_histogram |= other.has_histogram;
        match (&mut self.floats, other.floats) {
            (Some(FloatTotal::Sum(sum)), Some(FloatTotal::Sum(other))) => sum.merge(&other),
            (Some(FloatTotal::Mean(mean)), Some(FloatTotal::Mean(other))) => mean.merge(&other),
            (floats, others) => *floats = floats.take().or(others),
        }
        if let (Some(total), Some(other)) = (&mut self.histograms, other.histograms) {
            match total.merge(other) {
                Ok(combined) => combined.note_bounds(HistogramOperation::Aggregation, notes),
                Err(MixedSchemas) => {
                    notes.add(Note::MixedSchemas);
                    self.is_spoilt = true;
                }
            }
        }
    }

    /// The total; `None` without elements and when the elements do not go together, which is noted for the expression
    /// that is aggregated.
    #[must_use]
    pub fn finish(self, notes: &mut Notes) -> Option<FloatOrHistogram> {
        if self.has_histogram && self.floats.is_some() {
            notes.add(Note::MixedGroup);
            return None;
        }
        if self.is_spoilt {
            return None;
        }
        if let Some(total) = self.histograms {
            let mut total = total.finish(notes);
            total.compact(0);
            return Some(total.into());
        }
        Some(FloatOrHistogram::Float(match self.floats? {
            FloatTotal::Sum(sum) => sum.value(),
            FloatTotal::Mean(mean) => mean.value()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, histogram};
    use super::*;

    enum Part {
        F(f64),
        H(&'static str),
    }
    use Part::{F, H};

    fn total(totaling: Totaling, parts: &[Part]) -> (Option<FloatOrHistogram>, Notes) {
        let mut group = MixedGroup::new(totaling);
        let mut notes = Notes::default();
        for part in parts {
            match part {
                F(value) => group.add_float(*value),
                H(text) => group.add_histogram(&histogram(text), &mut notes),
            }
        }
        let total = group.finish(&mut notes);
        (total, notes)
    }

    #[track_caller]
    fn check_total(totaling: Totaling, parts: &[Part], expected: &str, expected_notes: &[Note]) {
        let (total, notes) = total(totaling, parts);
        check(total.unwrap().histogram().unwrap(), expected);
        check_notes(notes, expected_notes);
    }

    #[track_caller]
    fn check_notes(notes: Notes, expected: &[Note]) {
        let mut all = Notes::default();
        expected.iter().for_each(|&note| all.add(note));
        assert_eq!(notes, all);
    }

    const EXPONENTIAL: &str = "sum:4 count:3 buckets:[1 2 1]";
    const CUSTOM: &str = "schema:-53 sum:1 count:1 custom_values:[5 10] buckets:[1]";

    #[test]
    fn totals_of_histograms_are_those_of_their_buckets() {
        let other = "sum:3 count:2 buckets:[1 1 1]";
        check_total(
            Totaling::Sum,
            &[H(EXPONENTIAL), H(other)],
            "sum:7 count:5 buckets:[2 3 2]",
            &[],
        );
        check_total(
            Totaling::Mean,
            &[H(EXPONENTIAL), H(other)],
            "sum:3.5 count:2.5 buckets:[1 1.5 1]",
            &[],
        );
        check_total(Totaling::Mean, &[H(EXPONENTIAL)], EXPONENTIAL, &[]);
    }

    #[test]
    fn large_sums_that_cancel_leave_the_small_ones() {
        // From native_histograms.test, `sum(histogram_sum)`.
        let parts = [
            H("count:25 sum:3.1 z_bucket:4 z_bucket_w:0.001 buckets:[1 2 0 1 1] n_buckets:[2 4 0 0 1 9]"),
            H(
                "count:41 sum:1e100 z_bucket:5 z_bucket_w:0.001 buckets:[1 3 1 2 1 1 1] n_buckets:[0 1 4 2 7 0 0 0 0 5 5 2]",
            ),
            H(
                "count:41 sum:-1e100 z_bucket:5 z_bucket_w:0.001 buckets:[1 3 1 2 1 1 1] n_buckets:[0 1 4 2 7 0 0 0 0 5 5 2]",
            ),
            H(
                "schema:1 count:0 sum:1.3 z_bucket:3 z_bucket_w:0.001 buckets:[2 4 2 3 2 2] n_buckets:[1 2 5 3 8 1 1 1 1 6 3]",
            ),
        ];
        check_total(
            Totaling::Sum,
            &parts,
            "count:107 sum:4.4 z_bucket:17 z_bucket_w:0.001 buckets:[5 14 7 7 3 2 2] \
             n_buckets:[3 13 19 6 17 18 0 0 0 10 10 4]",
            &[],
        );
        check_total(
            Totaling::Mean,
            &parts,
            "count:26.75 sum:1.1 z_bucket:4.25 z_bucket_w:0.001 buckets:[1.25 3.5 1.75 1.75 0.75 0.5 0.5] \
             n_buckets:[0.75 3.25 4.75 1.5 4.25 4.5 0 0 0 2.5 2.5 1]",
            &[],
        );
    }

    #[test]
    fn a_mean_does_not_overflow_with_its_sum() {
        let parts = [
            H("count:1.7976931348623157e+308 sum:5.3"),
            H("count:1e308 sum:1e100"),
            H("count:1e-6 sum:1"),
            H("count:1e-6 sum:-1e100"),
            H("count:1e-6 sum:2"),
            H("count:1e-6"),
            H("count:1e-6"),
        ];
        check_total(Totaling::Sum, &parts, "count:Inf sum:8.3", &[]);
        let expected = "count:3.9967044783747367e+307 sum:1.1857142857142857";
        check_total(Totaling::Mean, &parts, expected, &[]);
    }

    #[test]
    fn kinds_that_do_not_go_together_leave_nothing() {
        let check = |parts: &[Part], expected: &[Note]| {
            for totaling in [Totaling::Sum, Totaling::Mean] {
                let (total, notes) = total(totaling, parts);
                assert_eq!(total, None);
                check_notes(notes, expected);
            }
        };
        check(&[F(1.0), H(EXPONENTIAL)], &[Note::MixedGroup]);
        check(&[H(EXPONENTIAL), F(1.0)], &[Note::MixedGroup]);
        check(&[H(EXPONENTIAL), H(CUSTOM)], &[Note::MixedSchemas]);
        check(
            &[H(EXPONENTIAL), F(1.0), H(CUSTOM)],
            &[Note::MixedSchemas, Note::MixedGroup],
        );
        // After two schemas have met, nothing is looked at; after a float, schemas are not.
        check(&[H(EXPONENTIAL), H(CUSTOM), F(1.0)], &[Note::MixedSchemas]);
        check(&[F(1.0), H(EXPONENTIAL), H(CUSTOM)], &[Note::MixedGroup]);
        check(&[], &[]);
    }

    #[test]
    fn parts_of_a_group_make_the_group() {
        let parts = [
            H("count:25 sum:3.1 z_bucket:4 z_bucket_w:0.001 buckets:[1 2 0 1 1]"),
            H("count:41 sum:1e100 z_bucket:5 z_bucket_w:0.001 buckets:[1 3 1 2 1 1 1] n_buckets:[0 1]"),
            H("schema:1 count:0 sum:1.3 z_bucket:3 z_bucket_w:0.001 buckets:[2 4 2 3 2 2]"),
            H("count:41 sum:-1e100 z_bucket:5 z_bucket_w:0.001 buckets:[1 3 1 2 1 1 1] n_buckets:[0 1]"),
        ];
        let part = |totaling, parts: &[Part]| {
            let mut group = MixedGroup::new(totaling);
            for part in parts {
                match part {
                    F(value) => group.add_float(*value),
                    H(text) => group.add_histogram(&histogram(text), &mut Notes::default()),
                }
            }
            group
        };
        for totaling in [Totaling::Sum, Totaling::Mean] {
            let mut notes = Notes::default();
            let whole = part(totaling, &parts).finish(&mut notes).unwrap();
            for split in 0..=parts.len() {
                let mut merged = part(totaling, &parts[..split]);
                merged.merge(part(totaling, &parts[split..]), &mut notes);
                let merged = merged.finish(&mut notes).unwrap();
                let (merged, whole) = (merged.histogram().unwrap(), whole.histogram().unwrap());
                assert!(merged.is_almost(whole, 1e-12), "{merged} instead of {whole}");
            }
            assert!(notes.is_empty());

            let mut mixed = part(totaling, &parts[..1]);
            mixed.merge(part(totaling, &[F(1.0)]), &mut notes);
            assert_eq!(mixed.finish(&mut notes), None);
            assert!(notes.contains(Note::MixedGroup));

            let mut notes = Notes::default();
            let mut spoilt = part(totaling, &[H(EXPONENTIAL)]);
            spoilt.merge(part(totaling, &[H(CUSTOM)]), &mut notes);
            assert_eq!(spoilt.finish(&mut notes), None);
            assert!(notes.contains(Note::MixedSchemas) && !notes.contains(Note::MixedGroup));
        }
    }

    #[test]
    fn a_mean_of_parts_does_not_overflow_with_its_sum() {
        let large = histogram("count:1.7976931348623157e+308 sum:5.3");
        let mean = |n: usize| {
            let mut group = MixedGroup::new(Totaling::Mean);
            (0..n).for_each(|_| group.add_histogram(&large, &mut Notes::default()));
            group
        };
        let mut merged = mean(1);
        merged.merge(mean(2), &mut Notes::default());
        let merged = merged.finish(&mut Notes::default()).unwrap();
        assert!(merged.histogram().unwrap().is_almost(&large, 1e-12));
    }

    #[test]
    fn groups_of_floats_are_the_sums_they_were() {
        let parts = [F(1.0), F(1e100), F(1.0), F(-1e100)];
        assert_eq!(total(Totaling::Sum, &parts), (Some(2.0.into()), Notes::default()));
        assert_eq!(
            total(Totaling::Mean, &parts),
            (Some(0.5.into()), Notes::default())
        );
    }

    #[test]
    fn hints_that_contradict_each_other_are_noted_wherever_they_stand() {
        let with = [
            "count:1 counter_reset_hint:not_reset",
            "count:1",
            "count:1 counter_reset_hint:reset",
        ];
        let collision = [Note::CollisionInAggregation];
        check_total(
            Totaling::Sum,
            &with.map(H),
            "count:3 counter_reset_hint:unknown",
            &collision,
        );
        check_total(Totaling::Mean, &[H(with[2]), H(with[0])], "count:1", &collision);
        check_total(
            Totaling::Sum,
            &[H(with[2]), H(with[2])],
            "count:2 counter_reset_hint:reset",
            &[],
        );
        check_total(
            Totaling::Sum,
            &[H(with[2]), H("count:1 counter_reset_hint:gauge")],
            "count:2 counter_reset_hint:gauge",
            &[],
        );
    }

    #[test]
    fn differing_custom_bounds_are_reconciled_and_noted() {
        let parts = [
            H(CUSTOM),
            H("schema:-53 sum:1 count:1 custom_values:[5] buckets:[1]"),
            H(CUSTOM),
        ];
        check_total(
            Totaling::Sum,
            &parts,
            "schema:-53 count:3 sum:3 custom_values:[5] buckets:[3]",
            &[Note::BoundsInAggregation],
        );
        check_total(
            Totaling::Mean,
            &parts,
            "schema:-53 count:1 sum:1 custom_values:[5] buckets:[1]",
            &[Note::BoundsInAggregation],
        );
    }
}
