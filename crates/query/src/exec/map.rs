//! One value in, at most one out, at the same step of the same series: functions of single values, operators between a
//! vector and a scalar, unary minus, `timestamp()`.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use model::FloatHistogram;
use promql::ast::BinaryOp;
use promql::kernel::instant::InstantFunction;
use promql::kernel::math::{arithmetic, comparison};
use promql::kernel::native::arithmetic::negate;
use promql::kernel::native::{FloatOrHistogram, Notes, binary as native};

use super::notes::{LastNotes, OperatorNotes};
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_mapped};
use crate::QueryError;
use crate::batch::RowBuffer;
use crate::rows::{ABSENT, Rows, RowsBuilder, is_absent};

/// What becomes of a value. Parameters are of each step, or one for all steps.
#[derive(Debug)]
pub(crate) enum Mapping {
    /// A function of one value.
    Function(Vec<InstantFunction>),
    /// Floats as they are, without histograms.
    Floats,
    /// `-v`.
    Negate,
    /// The number of the step's time instead of the value: `timestamp()`.
    Replace(Vec<f64>),
    /// Values of some series only: `limit_ratio`.
    Sample {
        /// Where each series stands, from 0 to 1.
        offsets: Arc<[f64]>,
        /// Up to where series are kept; negative: from 1 + ratio on.
        ratios: Arc<[f64]>,
    },
    /// An operator between the value and a scalar.
    Scalar {
        /// Arithmetic or comparison.
        op: BinaryOp,
        /// The scalar.
        scalar: Arc<[f64]>,
        /// The scalar stands on the left.
        scalar_is_left: bool,
        /// A comparison gives 0 or 1 instead of filtering.
        return_bool: bool,
        /// Takes what there is to say.
        notes: OperatorNotes,
    },
    /// A number out of each histogram; floats are left out.
    Statistic(fn(&FloatHistogram) -> f64),
}

/// Applies a [`Mapping`] to all values.
#[derive(Debug)]
pub(crate) struct Map {
    mapping: Arc<Mapping>,
}

impl Map {
    /// A node that applies `mapping` to `input`.
    pub(crate) fn plan(input: Plan, mapping: Mapping, schema: &SchemaRef) -> Plan {
        let node = Self {
            mapping: Arc::new(mapping),
        };
        OperatorExec::like_input(node, vec![input], schema)
    }
}

impl Operator for Map {
    const NAME: &'static str = "MapExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.mapping {
            Mapping::Scalar { op, .. } => write!(f, "{op} scalar"),
            Mapping::Negate => f.write_str("negate"),
            Mapping::Floats => f.write_str("floats"),
            Mapping::Function(functions) => write!(f, "{:?}", functions.first()),
            Mapping::Replace(_) => f.write_str("replace"),
            Mapping::Sample { .. } => f.write_str("sample"),
            Mapping::Statistic(_) => f.write_str("statistic of histograms"),
        }
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let mapping = Arc::clone(&self.mapping);
        let schema = Arc::clone(&run.schema);
        stream_mapped(&run, move |batch| {
            let rows = Rows::of(batch)?;
            let mut builder = RowsBuilder::new(rows.n_steps(), rows.series.len());
            let mut mapped = RowBuffer::new(rows.n_steps());
            let mut notes = LastNotes::default();
            for (series_idx, row) in rows.iter() {
                mapping.apply(series_idx, row.values, &mut mapped.values);
                mapped.histograms.clear();
                for cell in row.histograms {
                    let (step, mut noted) = (cell.step as usize, Notes::default());
                    let value = mapping.of_histogram(series_idx, step, &cell.value, &mut noted);
                    value.into_iter().for_each(|value| mapped.push(step, value));
                    notes.note(step, series_idx, noted);
                }
                if mapping.refuses_floats() {
                    notes.note_floats(series_idx, row);
                }
                builder.push(series_idx, mapped.as_row());
            }
            if let Mapping::Scalar { notes: sink, .. } = &*mapping {
                sink.take(notes);
            }
            builder.finish(&schema)
        })
    }
}

impl Mapping {
    fn apply(&self, series_idx: u32, row: &[f64], mapped: &mut [f64]) {
        match self {
            Self::Function(functions) => each(row, mapped, |step, value| {
                of_step(functions, step).evaluate(value).unwrap_or(ABSENT)
            }),
            Self::Negate => each(row, mapped, |_, value| -value),
            Self::Floats => mapped.copy_from_slice(row),
            Self::Replace(values) => each(row, mapped, |step, _| of_step(values, step)),
            Self::Sample { offsets, ratios } => each(row, mapped, |step, value| {
                if is_sampled(offsets[series_idx as usize], of_step(ratios, step)) {
                    value
                } else {
                    ABSENT
                }
            }),
            Self::Statistic(_) => mapped.fill(ABSENT),
            Self::Scalar {
                op,
                scalar,
                scalar_is_left,
                return_bool,
                ..
            } => each(row, mapped, |step, value| {
                let scalar = of_step(scalar, step);
                let (left, right) = if *scalar_is_left {
                    (scalar, value)
                } else {
                    (value, scalar)
                };
                // Whichever side it stands on, a filter keeps the vector's value.
                binary(*op, left, right, value, *return_bool)
            }),
        }
    }

    /// True for operators that go with histograms alone.
    fn refuses_floats(&self) -> bool {
        matches!(
            self,
            Self::Scalar {
                op: BinaryOp::TrimLower | BinaryOp::TrimUpper,
                ..
            }
        )
    }

    /// What becomes of a histogram at a step, if anything.
    fn of_histogram(
        &self,
        series_idx: u32,
        step: usize,
        histogram: &Arc<FloatHistogram>,
        noted: &mut Notes,
    ) -> Option<FloatOrHistogram> {
        match self {
            // These know floats alone.
            Self::Function(_) | Self::Floats => None,
            Self::Negate => {
                let mut negated = FloatHistogram::clone(histogram);
                negate(&mut negated);
                Some(negated.into())
            }
            Self::Replace(values) => Some(of_step(values, step).into()),
            Self::Sample { offsets, ratios } => {
                let is_kept = is_sampled(offsets[series_idx as usize], of_step(ratios, step));
                is_kept.then(|| FloatOrHistogram::Histogram(Arc::clone(histogram)))
            }
            Self::Statistic(statistic) => Some(statistic(histogram).into()),
            Self::Scalar {
                op,
                scalar,
                scalar_is_left,
                return_bool,
                ..
            } => {
                let scalar = FloatOrHistogram::Float(of_step(scalar, step));
                let histogram = FloatOrHistogram::Histogram(Arc::clone(histogram));
                let (left, right) = if *scalar_is_left {
                    (&scalar, &histogram)
                } else {
                    (&histogram, &scalar)
                };
                outcome_value(native::evaluate(*op, left, right, noted)?, *return_bool)
            }
        }
    }
}

/// True if `limit_ratio` keeps a series that stands at `offset`.
fn is_sampled(offset: f64, ratio: f64) -> bool {
    if ratio < 0.0 {
        offset >= 1.0 + ratio
    } else {
        offset < ratio
    }
}

/// The value that an operator's outcome comes to, if any.
pub(crate) fn outcome_value(outcome: native::Outcome, return_bool: bool) -> Option<FloatOrHistogram> {
    if return_bool {
        return Some(f64::from(u8::from(outcome.holds)).into());
    }
    outcome.holds.then_some(outcome.value)
}

/// The result of arithmetic or of a comparison; `kept` is what a comparison that holds gives without `bool`.
#[inline]
pub(crate) fn binary(op: BinaryOp, left: f64, right: f64, kept: f64, return_bool: bool) -> f64 {
    match (arithmetic(op, left, right), comparison(op, left, right)) {
        (Some(result), _) => result,
        (None, Some(holds)) if return_bool => f64::from(u8::from(holds)),
        (None, Some(true)) => kept,
        _ => ABSENT,
    }
}

#[inline]
fn each(row: &[f64], mapped: &mut [f64], change: impl Fn(usize, f64) -> f64) {
    for (step, (&value, mapped)) in row.iter().zip(mapped).enumerate() {
        *mapped = if is_absent(value) {
            ABSENT
        } else {
            change(step, value)
        };
    }
}

/// The parameter of a step, of a list that has one per step or one for all.
pub(crate) fn of_step<T: Copy>(parameters: &[T], step: usize) -> T {
    match parameters {
        [only] => *only,
        _ => parameters[step],
    }
}
