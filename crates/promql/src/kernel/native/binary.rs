//! Binary operators between two elements, floats or histograms.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::CounterResetHint;

use super::arithmetic::{Combined, MixedSchemas, add, divide, multiply, subtract};
use super::notes::{Note, Notes};
use super::trim::{Kept, trim};
use super::value::FloatOrHistogram;
use crate::annotation::HistogramOperation;
use crate::ast::BinaryOp;
use crate::kernel::math::{arithmetic, comparison};

/// What an operator makes of a pair of elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The result; of a comparison the left element.
    pub value: FloatOrHistogram,
    /// False if a comparison does not hold: the element is filtered away, or 0 with `bool`.
    pub holds: bool,
}

impl Outcome {
    fn of(value: impl Into<FloatOrHistogram>) -> Option<Self> {
        Some(Self {
            value: value.into(),
            holds: true,
        })
    }
}

/// The outcome of an operator; `None` if it does not go with these elements, and then there is no element, not even with
/// `bool`. Set operators have no outcome either.
///
/// Notes are about the operator. Contradicting counter reset hints are noted and leave nothing of the element.
#[must_use]
pub fn evaluate(
    op: BinaryOp,
    left: &FloatOrHistogram,
    right: &FloatOrHistogram,
    notes: &mut Notes,
) -> Option<Outcome> {
    use FloatOrHistogram::{Float, Histogram};
    if matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) {
        return None;
    }
    let (outcome, refused) = match (left, right) {
        (Float(left), Float(right)) => (of_floats(op, *left, *right), Note::FloatFloat),
        (Float(left), Histogram(right)) => {
            let scaled = (op == BinaryOp::Mul).then(|| changed(right, |right| multiply(right, *left)));
            (scaled.and_then(Outcome::of), Note::FloatHistogram)
        }
        (Histogram(left), Float(right)) => (by_float(op, left, *right), Note::HistogramFloat),
        (Histogram(left), Histogram(right)) => match of_histograms(op, left, right, notes) {
            Ok(outcome) => (outcome, Note::HistogramHistogram),
            Err(Noted) => return None,
        },
    };
    notes.add_if(outcome.is_none(), refused);
    outcome
}

fn of_floats(op: BinaryOp, left: f64, right: f64) -> Option<Outcome> {
    if let Some(holds) = comparison(op, left, right) {
        return Some(Outcome {
            value: left.into(),
            holds,
        });
    }
    Outcome::of(arithmetic(op, left, right)?)
}

fn by_float(op: BinaryOp, left: &Arc<FloatHistogram>, right: f64) -> Option<Outcome> {
    Outcome::of(match op {
        BinaryOp::Mul => changed(left, |left| multiply(left, right)),
        BinaryOp::Div => changed(left, |left| divide(left, right)),
        BinaryOp::TrimUpper => trimmed(left, right, Kept::Below),
        BinaryOp::TrimLower => trimmed(left, right, Kept::Above),
        _ => return None,
    })
}

/// What is wrong has been noted.
struct Noted;

fn of_histograms(
    op: BinaryOp,
    left: &Arc<FloatHistogram>,
    right: &FloatHistogram,
    notes: &mut Notes,
) -> Result<Option<Outcome>, Noted> {
    let is_equal = || left.is_same_data(right);
    let compared = |holds: bool| Outcome {
        value: FloatOrHistogram::Histogram(Arc::clone(left)),
        holds,
    };
    let mut result = FloatHistogram::clone(left);
    let (combined, operation) = match op {
        BinaryOp::Equal => return Ok(Some(compared(is_equal()))),
        BinaryOp::NotEqual => return Ok(Some(compared(!is_equal()))),
        BinaryOp::Add => (add(&mut result, right), HistogramOperation::Addition),
        BinaryOp::Sub => {
            let combined = subtract(&mut result, right);
            result.counter_reset_hint = CounterResetHint::Gauge;
            (combined, HistogramOperation::Subtraction)
        }
        _ => return Ok(None),
    };
    match combined {
        Ok(Combined {
            hints_collide: true, ..
        }) => {
            notes.add(Note::collision_in(operation));
            Err(Noted)
        }
        Ok(combined) => {
            combined.note_bounds(operation, notes);
            result.compact(0);
            Ok(Outcome::of(result))
        }
        Err(MixedSchemas) => {
            notes.add(Note::IncompatibleLayout);
            Err(Noted)
        }
    }
}

fn changed(histogram: &FloatHistogram, change: impl FnOnce(&mut FloatHistogram)) -> FloatHistogram {
    let mut changed = histogram.clone();
    change(&mut changed);
    changed.compact(0);
    changed
}

fn trimmed(histogram: &FloatHistogram, limit: f64, kept: Kept) -> FloatHistogram {
    let mut trimmed = histogram.clone();
    trim(&mut trimmed, limit, kept);
    trimmed
}
