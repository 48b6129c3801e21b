//! Arithmetic and comparison between two vectors. Which series meet is planned; what can only be known step by step is
//! checked here: that not two series of one match group have a value at the same time.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_execution::TaskContext;
use promql::ast::BinaryOp;
use promql::kernel::native::{FloatOrHistogram, Notes, binary as native};

use super::collect::{Dense, drain, reserve};
use super::map::{binary, outcome_value};
use super::merge_duplicates::same_labelset;
use super::notes::{LastNotes, OperatorNotes};
use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run, stream_after};
use crate::QueryError;
use crate::batch::Row;
use crate::labels::SeriesTable;
use crate::rows::{ABSENT, is_absent};

/// Which series of the two sides meet. The *many* side is the one `group_left` or `group_right` names, the left one
/// without; the other is the *one* side.
#[derive(Debug)]
pub(crate) struct Pairing {
    /// The many side is the right one.
    pub(crate) many_is_right: bool,
    /// Number of series on the many side.
    pub(crate) n_many: usize,
    /// Number of series on the one side.
    pub(crate) n_one: usize,
    /// Stand-ins of the many side; the first is series `n_many`.
    pub(crate) many_stand_ins: Option<StandIns>,
    /// Stand-ins of the one side; the first is series `n_one`.
    pub(crate) one_stand_ins: Option<StandIns>,
    /// Series of the one side of which never two have a value at the same step, as one; the first comes behind the last
    /// stand-in.
    pub(crate) one_unions: Vec<Vec<u32>>,
    /// All series that may meet, by series of the many side.
    pub(crate) pairs: Vec<Pair>,
    /// Match groups with several series on the one side: never two of them at the same step.
    pub(crate) rivals: Vec<Vec<u32>>,
    /// Number of claims that more than one pair may make.
    pub(crate) n_claims: usize,
    /// Number of result series.
    pub(crate) n_results: usize,
    /// For messages.
    pub(crate) messages: Messages,
}

/// Series that stand in for others, at the steps at which none of those has a value: `fill`.
#[derive(Debug)]
pub(crate) struct StandIns {
    /// The value of them all.
    pub(crate) value: f64,
    /// Those for which each of them stands in.
    pub(crate) members: Vec<Vec<u32>>,
}

/// Two series that may meet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    /// On the many side.
    pub(crate) many: u32,
    /// On the one side.
    pub(crate) one: u32,
    /// The series of the result.
    pub(crate) result: u32,
    /// What only one pair may have at a step: a match group if the matching is one-to-one, else a result within it.
    /// [`Pair::UNCONTESTED`] if no other pair can.
    pub(crate) claim: u32,
}

impl Pair {
    /// No claim.
    pub(crate) const UNCONTESTED: u32 = u32::MAX;
}

/// What error messages need to say.
#[derive(Debug)]
pub(crate) struct Messages {
    /// The series of the one side.
    pub(crate) one: SeriesTable,
    /// The same with the labels of the match group only.
    pub(crate) match_groups: SeriesTable,
    /// One-to-one, without `group_left` or `group_right`.
    pub(crate) is_one_to_one: bool,
}

/// An operator between two vectors.
#[derive(Debug)]
pub(crate) struct VectorBinary {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    op: BinaryOp,
    return_bool: bool,
    pairing: Pairing,
    notes: OperatorNotes,
    n_steps: usize,
}

impl Pairing {
    /// There is a value for what is missing on one side or the other.
    fn is_filled(&self) -> bool {
        self.many_stand_ins.is_some() || self.one_stand_ins.is_some()
    }

    /// Series of the one side are compared with each other: always with a fill, else only if there is something to match.
    fn has_rivalry(&self) -> bool {
        !self.rivals.is_empty() && (self.is_filled() || self.n_many > 0)
    }
}

impl StandIns {
    /// Fills the rows of the stand-ins, which are those from `first` on.
    fn fill(&self, side: &mut Dense, first: usize) {
        let mut filled = Vec::new();
        for (stand_in, members) in (first..).zip(&self.members) {
            filled.clear();
            filled.resize(side.row(stand_in).values.len(), self.value);
            for &member in members {
                let row = side.row(member as usize);
                for (filled, &value) in filled.iter_mut().zip(row.values) {
                    if !is_absent(value) {
                        *filled = ABSENT;
                    }
                }
                for histogram in row.histograms {
                    filled[histogram.step as usize] = ABSENT;
                }
            }
            side.floats_mut(stand_in).copy_from_slice(&filled);
        }
    }
}

impl VectorBinary {
    /// A node that applies `op` where series of `left` and `right` meet.
    pub(crate) fn plan(
        (left, right): (Plan, Plan),
        (op, return_bool): (BinaryOp, bool),
        (pairing, notes): (Pairing, OperatorNotes),
        n_steps: usize,
        schema: &SchemaRef,
    ) -> Plan {
        let inner = Inner {
            op,
            return_bool,
            pairing,
            notes,
            n_steps,
        };
        OperatorExec::single(
            Self {
                inner: Arc::new(inner),
            },
            vec![left, right],
            schema,
        )
    }
}

impl Operator for VectorBinary {
    const NAME: &'static str = "VectorBinaryExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pairing { pairs, n_results, .. } = &self.inner.pairing;
        write!(
            f,
            "{} of {} pairs into {n_results} series",
            self.inner.op,
            pairs.len()
        )
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let (left, right) = (Arc::clone(&run.inputs[0]), Arc::clone(&run.inputs[1]));
        let inner = Arc::clone(&self.inner);
        let (schema, task) = (Arc::clone(&run.schema), run.task);
        Ok(stream_after(async move {
            let results = inner.evaluate(&left, &right, &task).await?;
            Ok(results.into_batches(schema))
        }))
    }
}

/// Why two pairs cannot both have a result at a step, in the order in which they are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Conflict {
    MultipleMatches,
    SameLabels,
}

impl Inner {
    /// Evaluates the left side, then the right one, and computes the results.
    async fn evaluate(
        &self,
        left: &Plan,
        right: &Plan,
        task: &Arc<TaskContext>,
    ) -> Result<Dense, QueryError> {
        if self.pairing.pairs.is_empty() && !self.pairing.has_rivalry() {
            // Nothing can come of it, but either side may have something to say.
            drain(left, task).await?;
            drain(right, task).await?;
            return Dense::absent(0, self.n_steps, task);
        }
        let pairing = &self.pairing;
        let many = (pairing.n_many, pairing.many_stand_ins.as_ref(), &[][..]);
        let one = (
            pairing.n_one,
            pairing.one_stand_ins.as_ref(),
            pairing.one_unions.as_slice(),
        );
        let (of_left, of_right) = if self.pairing.many_is_right {
            (one, many)
        } else {
            (many, one)
        };
        let left = self.side(left, of_left, task).await?;
        let right = self.side(right, of_right, task).await?;
        let (many, one) = if self.pairing.many_is_right {
            (right, left)
        } else {
            (left, right)
        };
        self.compute(&many, &one, task)
    }

    /// The values of one side, stand-ins and unions included.
    async fn side(
        &self,
        plan: &Plan,
        (n_own, stand_ins, unions): (usize, Option<&StandIns>, &[Vec<u32>]),
        task: &Arc<TaskContext>,
    ) -> Result<Dense, QueryError> {
        let n_stand_ins = stand_ins.map_or(0, |stand_ins| stand_ins.members.len());
        let n_rows = n_own + n_stand_ins + unions.len();
        let mut side = Dense::of_plan(plan, n_rows, self.n_steps, task).await?;
        if let Some(stand_ins) = stand_ins {
            stand_ins.fill(&mut side, n_own);
        }
        for (union, members) in (n_own + n_stand_ins..).zip(unions) {
            side.unite(members, union)?;
        }
        Ok(side)
    }

    /// The first step at which two series of one match group on the one side have a value, and those two; steps at which
    /// nothing can match anyway do not count.
    fn first_rivals(&self, many: &Dense, one: &Dense) -> Option<(usize, [u32; 2])> {
        if self.pairing.rivals.is_empty() {
            return None;
        }
        (0..self.n_steps).find_map(|step| {
            let is_filled = self.pairing.is_filled();
            if !is_filled && !(0..many.n_series()).any(|series_idx| many.row(series_idx).is_present(step)) {
                return None;
            }
            self.pairing.rivals.iter().find_map(|rivals| {
                let mut present = rivals
                    .iter()
                    .filter(|&&series_idx| one.row(series_idx as usize).is_present(step));
                Some((step, [*present.next()?, *present.next()?]))
            })
        })
    }

    fn duplicate(&self, rivals: [u32; 2]) -> QueryError {
        let messages = &self.pairing.messages;
        let side = if self.pairing.many_is_right {
            "left"
        } else {
            "right"
        };
        let mut series = rivals.map(|series_idx| messages.one.display(series_idx as usize));
        series.sort_unstable();
        let [first_text, second_text] = series;
        let group = messages.match_groups.display(rivals[0] as usize);
        QueryError::execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
             [{first_text}, {second_text}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    /// The results. Where several things are wrong, that of the earliest step is said, as Prometheus does, which goes
    /// step by step.
    fn compute(&self, many: &Dense, one: &Dense, task: &TaskContext) -> Result<Dense, QueryError> {
        let mut results = Dense::absent(self.pairing.n_results, self.n_steps, task)?;
        let n_claimed = self.pairing.n_claims.saturating_mul(self.n_steps);
        let room = reserve(task, "claims of pairs");
        room.try_grow(n_claimed)?;
        let mut claimed = vec![false; n_claimed];
        let rivals = self.first_rivals(many, one);
        let mut first_conflict: Option<(usize, Conflict)> = None;
        let mut notes = LastNotes::default();
        for pair in &self.pairing.pairs {
            let rows = (many.row(pair.many as usize), one.row(pair.one as usize));
            let claims = match pair.claim {
                Pair::UNCONTESTED => &mut [],
                claim => &mut claimed[claim as usize * self.n_steps..][..self.n_steps],
            };
            let has_floats_only = rows.0.histograms.is_empty() && rows.1.histograms.is_empty();
            let conflict = if has_floats_only && !results.has_histograms() && !self.refuses_floats() {
                let result = results.floats_mut(pair.result as usize);
                self.put_floats((rows.0.values, rows.1.values), claims, result)
            } else {
                self.put_elements(pair, rows, claims, &mut results, &mut notes)?
            };
            if let Err(found) = conflict {
                first_conflict = Some(first_conflict.map_or(found, |first| first.min(found)));
            }
        }
        self.notes.take(notes);
        match (rivals, first_conflict) {
            (Some((step, rivals)), conflict) if conflict.is_none_or(|(other, _)| step <= other) => {
                Err(self.duplicate(rivals))
            }
            (_, Some((_, Conflict::MultipleMatches))) => Err(self.multiple_matches()),
            (_, Some((_, Conflict::SameLabels))) => Err(same_labelset()),
            _ => Ok(results),
        }
    }

    /// True for operators that go with histograms alone.
    fn refuses_floats(&self) -> bool {
        matches!(self.op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
    }

    /// Computes the values of a pair of series of floats, up to the first conflict. `claims` has one per step or none.
    fn put_floats(
        &self,
        (many, one): (&[f64], &[f64]),
        claims: &mut [bool],
        result: &mut [f64],
    ) -> Result<(), (usize, Conflict)> {
        for (step, result) in result.iter_mut().enumerate() {
            let (many, one) = (many[step], one[step]);
            if is_absent(many) || is_absent(one) {
                continue;
            }
            self.put(many, one, claims.get_mut(step), result)
                .map_err(|conflict| (step, conflict))?;
        }
        Ok(())
    }

    /// Computes the values of a pair of series that may have histograms, up to the first conflict.
    fn put_elements(
        &self,
        pair: &Pair,
        (many, one): (Row<'_>, Row<'_>),
        claims: &mut [bool],
        results: &mut Dense,
        notes: &mut LastNotes,
    ) -> Result<Result<(), (usize, Conflict)>, QueryError> {
        for step in 0..self.n_steps {
            let (Some(many), Some(one)) = (many.element(step), one.element(step)) else {
                continue;
            };
            if let Some(claim) = claims.get_mut(step)
                && std::mem::replace(claim, true)
            {
                return Ok(Err((step, Conflict::MultipleMatches)));
            }
            let (left, right) = if self.pairing.many_is_right {
                (&one, &many)
            } else {
                (&many, &one)
            };
            let mut noted = Notes::default();
            let outcome = native::evaluate(self.op, left, right, &mut noted);
            notes.note(step, pair.many, noted);
            let value = outcome.and_then(|outcome| outcome_value(outcome, self.return_bool));
            let result_idx = pair.result as usize;
            if value.is_some() && results.row(result_idx).is_present(step) {
                return Ok(Err((step, Conflict::SameLabels)));
            }
            match value {
                Some(FloatOrHistogram::Float(value)) => results.floats_mut(result_idx)[step] = value,
                Some(FloatOrHistogram::Histogram(value)) => {
                    results.put_histogram(result_idx, step, value)?;
                }
                None => {}
            }
        }
        Ok(Ok(()))
    }

    /// Computes one value, if nothing else claims its place.
    #[inline]
    fn put(&self, many: f64, one: f64, claim: Option<&mut bool>, result: &mut f64) -> Result<(), Conflict> {
        if claim.is_some_and(|claim| std::mem::replace(claim, true)) {
            return Err(Conflict::MultipleMatches);
        }
        let (left, right) = if self.pairing.many_is_right {
            (one, many)
        } else {
            (many, one)
        };
        let value = binary(self.op, left, right, left, self.return_bool);
        if is_absent(value) {
            return Ok(());
        }
        if !is_absent(*result) {
            return Err(Conflict::SameLabels);
        }
        *result = value;
        Ok(())
    }

    fn multiple_matches(&self) -> QueryError {
        QueryError::execution(if self.pairing.messages.is_one_to_one {
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        } else {
            "multiple matches for labels: grouping labels must ensure unique matches"
        })
    }
}
