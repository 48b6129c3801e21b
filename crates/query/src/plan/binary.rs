//! Binary operators: which series of two vectors meet.

use promql::ast::{Binary, BinaryOp, Cardinality, ValueType, VectorMatching};

use super::vector::{Marked, without_names};
use super::{Frame, Planner, Vector, unsupported};
use crate::QueryError;
use crate::exec::map::{Map, Mapping};
use crate::exec::merge_duplicates::Overlap;
use crate::exec::set_operation::{SetOperation, Signatures};
use crate::exec::vector_binary::{Messages, Pair, Pairing, VectorBinary};
use crate::labels::{Groups, SeriesTable};

impl Planner {
    /// Plans an operation that gives a vector.
    pub(crate) async fn binary(&self, operation: &Binary, frame: &Frame) -> Result<Vector, QueryError> {
        if matches!(operation.op, BinaryOp::TrimLower | BinaryOp::TrimUpper) {
            return Err(unsupported("trimming native histograms"));
        }
        let is_scalar = |side: &promql::ast::Expr| side.value_type() == ValueType::Scalar;
        if is_scalar(&operation.left) || is_scalar(&operation.right) {
            return self
                .with_scalar(operation, is_scalar(&operation.left), frame)
                .await;
        }
        let left = self.vector(&operation.left, frame).await?;
        let right = self.vector(&operation.right, frame).await?;
        let default = VectorMatching::default();
        let matching = operation.matching.as_ref().unwrap_or(&default);
        if operation.op.is_set() {
            return Ok(set_operation(operation.op, matching, left, right, frame));
        }
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return Err(unsupported("fill"));
        }
        Ok(self.between_vectors(operation, matching, left, right, frame))
    }

    async fn with_scalar(
        &self,
        operation: &Binary,
        scalar_is_left: bool,
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
        };
        let vector = self.vector(vector, frame).await?;
        let vector = vector.map_plan(|plan| Map::plan(plan, mapping, &frame.schema));
        if operation.op.is_comparison() && !operation.return_bool {
            return Ok(vector);
        }
        Ok(self.drop_names(vector, Overlap::OtherSteps, frame))
    }

    fn between_vectors(
        &self,
        operation: &Binary,
        matching: &VectorMatching,
        left: Vector,
        right: Vector,
        frame: &Frame,
    ) -> Vector {
        let many_is_right = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if many_is_right {
            (&right.table, &left.table)
        } else {
            (&left.table, &right.table)
        };
        let meetings = Meetings::of(many, one, matching);
        // Arithmetic changes what a value means, so the name goes whatever the engine's options are.
        let is_delayed = self.shared.options.delayed_name_removal;
        let drops_names = !operation.op.is_comparison() || (operation.return_bool && !is_delayed);
        let results = meetings.results(many, one, matching, drops_names);
        let (table, pairing) = meetings.into_pairing(many, one, matching, &results);
        let is_marked = operation.return_bool && is_delayed;
        Vector {
            plan: VectorBinary::plan(
                (left.plan, right.plan),
                (operation.op, operation.return_bool),
                pairing,
                frame.steps.n_steps,
                &frame.schema,
            ),
            table,
            marked: if is_marked {
                Marked::Everything
            } else {
                Marked::Nothing
            },
        }
    }
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

/// All pairs of series in the same match group.
struct Meetings {
    /// Two parallel lists, by series of the many side.
    many: Vec<u32>,
    one: Vec<u32>,
    /// The match group of each series of the many side.
    many_groups: Vec<u32>,
    /// The series of the one side in each match group.
    one_members: Vec<Vec<u32>>,
}

impl Meetings {
    fn of(many: &SeriesTable, one: &SeriesTable, matching: &VectorMatching) -> Self {
        let n_many = many.n_series();
        let groups = many.concat(one).group(&matching.labels, !matching.on);
        let mut one_members = vec![Vec::new(); groups.n_groups()];
        for (series_idx, &group) in (0..).zip(&groups.ids[n_many..]) {
            one_members[group as usize].push(series_idx);
        }
        let mut meetings = Self {
            many: Vec::new(),
            one: Vec::new(),
            many_groups: groups.ids[..n_many].to_vec(),
            one_members,
        };
        for (many_idx, &group) in (0..).zip(&groups.ids[..n_many]) {
            for &one_idx in &meetings.one_members[group as usize] {
                meetings.many.push(many_idx);
                meetings.one.push(one_idx);
            }
        }
        meetings
    }

    /// The labels of the result of each pair; equal ones become one series.
    fn results(
        &self,
        many: &SeriesTable,
        one: &SeriesTable,
        matching: &VectorMatching,
        drops_names: bool,
    ) -> SeriesTable {
        let mut table = many.take(self.many.clone(), self.many.is_sorted_by(|a, b| a < b));
        if drops_names {
            table = without_names(&table);
        }
        if matching.cardinality == Cardinality::OneToOne {
            table = if matching.on {
                table.keep(&matching.labels)
            } else {
                table.remove(&matching.labels)
            };
        }
        if !matching.include.is_empty() {
            let ones = one.take(self.one.clone(), false);
            for label in &matching.include {
                table = table.set(label, (*ones.column(label)).clone());
            }
        }
        table
    }

    fn into_pairing(
        self,
        many: &SeriesTable,
        one: &SeriesTable,
        matching: &VectorMatching,
        results: &SeriesTable,
    ) -> (SeriesTable, Pairing) {
        let is_one_to_one = matching.cardinality == Cardinality::OneToOne;
        let duplicates = results.duplicates();
        let result_of = |pair: usize| {
            duplicates
                .as_ref()
                .map_or_else(|| position(pair), |groups| groups.ids[pair])
        };
        let (claims, n_claims) = self.claims(is_one_to_one, duplicates.as_ref());
        let pairs = self.many.iter().zip(&self.one).enumerate();
        let pairs = pairs.map(|(pair, (&many, &one))| Pair {
            many,
            one,
            result: result_of(pair),
            claim: claims[pair],
        });
        let match_groups = if matching.on {
            one.keep(&matching.labels)
        } else {
            let mut removed = matching.labels.clone();
            removed.push(model::METRIC_NAME.to_owned());
            one.remove(&removed)
        };
        let pairing = Pairing {
            many_is_right: matching.cardinality == Cardinality::OneToMany,
            n_many: many.n_series(),
            n_one: one.n_series(),
            pairs: pairs.collect(),
            rivals: self
                .one_members
                .iter()
                .filter(|members| members.len() > 1)
                .cloned()
                .collect(),
            n_claims,
            n_results: duplicates.as_ref().map_or(results.n_series(), Groups::n_groups),
            messages: Messages {
                one: one.clone(),
                match_groups,
                is_one_to_one,
            },
        };
        let table = match duplicates {
            Some(groups) => results.take(groups.first, true),
            None => results.clone(),
        };
        (table, pairing)
    }

    /// What each pair claims, and how many claims there are: at each step, one pair of a match group if the matching is
    /// one-to-one, else one pair of a match group for each result.
    fn claims(&self, is_one_to_one: bool, duplicates: Option<&Groups>) -> (Vec<u32>, usize) {
        let uncontested = || (vec![Pair::UNCONTESTED; self.many.len()], 0);
        let key = |pair: usize| {
            let group = self.many_groups[self.many[pair] as usize];
            (
                group,
                if is_one_to_one {
                    0
                } else {
                    duplicates.map_or(position(pair), |groups| groups.ids[pair])
                },
            )
        };
        // Without equal results, several pairs can only claim the same in a one-to-one matching.
        if !is_one_to_one && duplicates.is_none() {
            return uncontested();
        }
        let mut claimants: hashbrown::HashMap<(u32, u32), (u32, bool, u32)> = hashbrown::HashMap::new();
        for (pair, &many) in self.many.iter().enumerate() {
            let entry = claimants.entry(key(pair)).or_insert((many, false, 0));
            // The pairs of one series of the many side cannot be rivals: the one side is unique at each step.
            entry.1 |= entry.0 != many;
        }
        let mut n_claims = 0;
        let mut claims = Vec::with_capacity(self.many.len());
        let mut numbers: hashbrown::HashMap<(u32, u32), u32> = hashbrown::HashMap::new();
        for pair in 0..self.many.len() {
            let key = key(pair);
            let is_contested = claimants.get(&key).is_some_and(|entry| entry.1);
            claims.push(if is_contested {
                *numbers.entry(key).or_insert_with(|| {
                    n_claims += 1;
                    n_claims - 1
                })
            } else {
                Pair::UNCONTESTED
            });
        }
        (claims, n_claims as usize)
    }
}

fn position(pair: usize) -> u32 {
    u32::try_from(pair).expect("pairs are counted in 32 bits")
}
