//! Binary operators.

use promql::ast::{Binary, BinaryOp, Cardinality, Span, ValueType, VectorMatching};

use super::meetings::Meetings;
use super::vector::Marked;
use super::{Frame, Planner, Vector};
use crate::QueryError;
use crate::exec::map::{Map, Mapping};
use crate::exec::merge_duplicates::Overlap;
use crate::exec::notes::OperatorNotes;
use crate::exec::set_operation::{SetOperation, Signatures};
use crate::exec::vector_binary::VectorBinary;

impl Planner {
    /// Plans an operation that gives a vector.
    pub(crate) async fn binary(
        &self,
        operation: &Binary,
        span: Span,
        frame: &Frame,
    ) -> Result<Vector, QueryError> {
        let notes = OperatorNotes::new(&self.annotations, operation.op, span, frame.steps);
        let is_trim = matches!(operation.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        let frame = if is_trim { &frame.with_buckets() } else { frame };
        let is_scalar = |side: &promql::ast::Expr| side.value_type() == ValueType::Scalar;
        if is_scalar(&operation.left) || is_scalar(&operation.right) {
            return self
                .with_scalar(operation, is_scalar(&operation.left), notes, frame)
                .await;
        }
        let left = self.vector(&operation.left, frame).await?;
        let right = self.vector(&operation.right, frame).await?;
        if let Some(nothing_else) = one_side(operation.op, &left, &right) {
            return Ok(match nothing_else {
                Side::Left => left,
                Side::Right => right,
            });
        }
        let default = VectorMatching::default();
        let matching = operation.matching.as_ref().unwrap_or(&default);
        if operation.op.is_set() {
            return Ok(set_operation(operation.op, matching, left, right, frame));
        }
        self.between_vectors(operation, (matching, notes), left, right, frame)
    }

    async fn with_scalar(
        &self,
        operation: &Binary,
        scalar_is_left: bool,
        notes: OperatorNotes,
        frame: &Frame,
    ) -> Result<Vector, QueryError> {
        let (scalar, vector) = if scalar_is_left {
            (&operation.left, &operation.right)
        } else {
            (&operation.right, &operation.left)
        };
        let mapping = Mapping::Scalar {
            op: operation.op,
            scalar: self.scalar(scalar, frame).await?,
            scalar_is_left,
            return_bool: operation.return_bool,
            notes,
        };
        let vector = self.vector(vector, frame).await?;
        let vector = vector.map_plan(|plan| Map::plan(plan, mapping, &frame.schema));
        if keeps_names(operation) {
            return Ok(vector);
        }
        Ok(self.drop_names(vector, Overlap::OtherSteps, frame))
    }

    fn between_vectors(
        &self,
        operation: &Binary,
        (matching, notes): (&VectorMatching, OperatorNotes),
        left: Vector,
        right: Vector,
        frame: &Frame,
    ) -> Result<Vector, QueryError> {
        let many_is_right = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if many_is_right {
            (&right.table, &left.table)
        } else {
            (&left.table, &right.table)
        };
        // Arithmetic changes what a value means, so the name goes whatever the engine's options are.
        let is_delayed = self.shared.options.delayed_name_removal;
        let is_marked = operation.return_bool && is_delayed;
        let drops_names = !(keeps_names(operation) || is_marked);
        let meetings = Meetings::of(many, one, matching, &self.ledger)?;
        let (table, pairing) = meetings.pairing(matching, drops_names);
        Ok(Vector {
            plan: VectorBinary::plan(
                (left.plan, right.plan),
                (operation.op, operation.return_bool),
                (pairing, notes),
                frame.steps.n_steps,
                &frame.schema,
            ),
            table,
            marked: if is_marked {
                Marked::Everything
            } else {
                Marked::Nothing
            },
        })
    }
}

/// A side of an operation.
enum Side {
    Left,
    Right,
}

/// The side that is the whole result because there is nothing on the other. A side that cannot become part of the result
/// but may have something to say has to be evaluated all the same.
fn one_side(op: BinaryOp, left: &Vector, right: &Vector) -> Option<Side> {
    match (left.is_empty(), right.is_empty()) {
        (true, true) => Some(Side::Left),
        (true, false) if op == BinaryOp::Or => Some(Side::Right),
        (false, true) if matches!(op, BinaryOp::Or | BinaryOp::Unless) => Some(Side::Left),
        _ => None,
    }
}

/// A filter or a trim leaves the meaning of a value as it was.
fn keeps_names(operation: &Binary) -> bool {
    let is_trim = matches!(operation.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
    is_trim || (operation.op.is_comparison() && !operation.return_bool)
}

fn set_operation(
    op: BinaryOp,
    matching: &VectorMatching,
    left: Vector,
    right: Vector,
    frame: &Frame,
) -> Vector {
    let (n_left, n_right) = (left.table.n_series(), right.table.n_series());
    let both = left.table.concat(&right.table);
    let groups = both.group(&matching.labels, !matching.on);
    let signatures = Signatures {
        left: groups.ids[..n_left].to_vec(),
        right: groups.ids[n_left..].to_vec(),
        n_signatures: groups.n_groups(),
    };
    let plan = SetOperation::plan(
        (left.plan, right.plan),
        op,
        signatures,
        frame.steps.n_steps,
        &frame.schema,
    );
    if op != BinaryOp::Or {
        return Vector {
            plan,
            table: left.table,
            marked: left.marked,
        };
    }
    let marked = left.marked.concat(n_left, &right.marked, n_right);
    let union = Vector {
        plan,
        table: both.clone(),
        marked,
    };
    union.with_table(&both, Overlap::OtherSteps, frame)
}
