//! Aggregations and binary operators.

use std::collections::BTreeMap;

use model::{Labels, METRIC_NAME};
use promql::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Cardinality};
use promql::kernel::math::scalar_binary;
use promql::kernel::native::{FloatOrHistogram, MixedGroup, Notes, Totaling, binary};

use crate::evaluation::{Around, Evaluation, Result, Series, Unsupported, Value, pairs, without_name};

impl Evaluation<'_> {
    pub(crate) fn aggregate(
        &mut self,
        aggregate: &Aggregate,
        at_ms: i64,
        around: Around,
    ) -> Result<Vec<Series>> {
        let totaling = match aggregate.op {
            AggregateOp::Sum => Some(Totaling::Sum),
            AggregateOp::Avg => Some(Totaling::Mean),
            AggregateOp::Count | AggregateOp::Group => None,
            _ => return Err(Unsupported),
        };
        let mut groups: BTreeMap<Labels, (f64, MixedGroup)> = BTreeMap::new();
        for (labels, value) in self.vector(&aggregate.expr, at_ms, around)? {
            let without = aggregate.grouping.without;
            let key = pairs(&labels).filter(|(name, _)| {
                aggregate.grouping.labels.contains(name) != without && !(without && name == METRIC_NAME)
            });
            let key = Labels::from_pairs(key).unwrap();
            let new = || (0.0, MixedGroup::new(totaling.unwrap_or(Totaling::Sum)));
            let (n, group) = groups.entry(key).or_insert_with(new);
            *n += 1.0;
            let mut notes = Notes::default();
            match value {
                FloatOrHistogram::Float(value) => group.add_float(value),
                FloatOrHistogram::Histogram(histogram) => group.add_histogram(&histogram, &mut notes),
            }
            if totaling.is_some() {
                self.note(notes, labels.get(METRIC_NAME), "");
            }
        }
        let mut found = Vec::new();
        for (labels, (n, group)) in groups {
            let result = match aggregate.op {
                AggregateOp::Count => Some(n.into()),
                AggregateOp::Group => Some(1.0.into()),
                _ => {
                    let mut notes = Notes::default();
                    let total = group.finish(&mut notes);
                    self.note(notes, "", "");
                    total
                }
            };
            found.extend(result.map(|result| (labels, result)));
        }
        Ok(found)
    }

    pub(crate) fn binary(&mut self, operation: &Binary, at_ms: i64, around: Around) -> Result<Value> {
        let is_trim = matches!(operation.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        let inside = Around {
            buckets: around.buckets || is_trim,
            ..around
        };
        let left = self.expr(&operation.left, at_ms, inside)?;
        let right = self.expr(&operation.right, at_ms, inside)?;
        match (left, right) {
            (Value::Scalar(left), Value::Scalar(right)) => match scalar_binary(operation.op, left, right) {
                Some(value) => Ok(Value::Scalar(value)),
                None => Err(Unsupported),
            },
            (Value::Vector(left), Value::Scalar(right)) => self.with_scalar(operation, left, right, false),
            (Value::Scalar(left), Value::Vector(right)) => self.with_scalar(operation, right, left, true),
            (Value::Vector(left), Value::Vector(right)) => self.with_vector(operation, &left, &right),
        }
    }

    fn with_scalar(
        &mut self,
        operation: &Binary,
        vector: Vec<Series>,
        scalar: f64,
        is_left: bool,
    ) -> Result<Value> {
        let mut found = Vec::new();
        for (labels, value) in vector {
            let scalar = FloatOrHistogram::Float(scalar);
            let (left, right) = if is_left {
                (&scalar, &value)
            } else {
                (&value, &scalar)
            };
            let mut notes = Notes::default();
            let outcome = binary::evaluate(operation.op, left, right, &mut notes);
            self.note(notes, "", operation.op.as_str());
            let Some(mut outcome) = outcome else {
                continue;
            };
            if operation.op.is_comparison() && is_left {
                outcome.value = value;
            }
            found.extend(finish(operation, &labels, outcome));
        }
        Ok(Value::Vector(found))
    }

    fn with_vector(&mut self, operation: &Binary, left: &[Series], right: &[Series]) -> Result<Value> {
        let Some(matching) = &operation.matching else {
            return Err(Unsupported);
        };
        let is_in = |name: &str| matching.labels.iter().any(|label| label == name);
        let signature = |labels: &Labels| {
            let kept = pairs(labels)
                .filter(|(name, _)| is_in(name) == matching.on && (matching.on || name != METRIC_NAME));
            Labels::from_pairs(kept).unwrap()
        };
        let matches = |labels: &Labels, others: &[Series]| {
            let key = signature(labels);
            others.iter().position(|(other, _)| signature(other) == key)
        };
        if operation.op.is_set() {
            let keep_matched = operation.op == BinaryOp::And;
            let mut found: Vec<Series> = left.to_vec();
            if operation.op == BinaryOp::Or {
                found.extend(
                    right
                        .iter()
                        .filter(|(labels, _)| matches(labels, left).is_none())
                        .cloned(),
                );
            } else {
                found.retain(|(labels, _)| matches(labels, right).is_some() == keep_matched);
            }
            return Ok(Value::Vector(found));
        }
        if matching.cardinality != Cardinality::OneToOne
            || matching.fill_left.is_some()
            || matching.fill_right.is_some()
        {
            return Err(Unsupported);
        }
        let mut found = Vec::new();
        for (labels, value) in left {
            let Some(position) = matches(labels, right) else {
                continue;
            };
            let mut notes = Notes::default();
            let outcome = binary::evaluate(operation.op, value, &right[position].1, &mut notes);
            self.note(notes, "", operation.op.as_str());
            let kept = pairs(labels).filter(|(name, _)| is_in(name) == matching.on);
            let labels = Labels::from_pairs(kept).unwrap();
            found.extend(outcome.and_then(|outcome| finish(operation, &labels, outcome)));
        }
        Ok(Value::Vector(found))
    }
}

/// The element of a result, if there is one.
fn finish(operation: &Binary, labels: &Labels, outcome: binary::Outcome) -> Option<Series> {
    if operation.return_bool {
        return Some((without_name(labels), f64::from(u8::from(outcome.holds)).into()));
    }
    let keeps_name =
        operation.op.is_comparison() || matches!(operation.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
    let labels = if keeps_name {
        labels.clone()
    } else {
        without_name(labels)
    };
    outcome.holds.then_some((labels, outcome.value))
}
