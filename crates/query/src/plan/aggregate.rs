//! Aggregations. Those that fold value by value are fused with a leaf below them.

use datafusion_execution::memory_pool::MemoryReservation;
use hashbrown::HashMap;
use model::METRIC_NAME;
use promql::annotation::Annotation;
use promql::ast::{Aggregate, AggregateOp, Expr, ExprKind, Grouping, Span};
use promql::kernel::aggregate::{Extreme, count_values_label};
use promql::kernel::labels::is_label_name;
use promql::kernel::parameter::{Parameters, kept_count};

use super::vector::Marked;
use super::{Frame, Planner, Vector};
use crate::QueryError;
use crate::exec::aggregate::{Aggregation, GroupIds};
use crate::exec::best_k::{Choice, KeepSome};
use crate::exec::collect::{collect, reserve};
use crate::exec::constant::Constant;
use crate::exec::map::{Map, Mapping};
use crate::exec::notes::NoteSink;
use crate::exec::quantile::Quantile;
use crate::exec::scan_aggregate::ScanAggregate;
use crate::labels::column::DictionaryBuilder;
use crate::labels::{Column, Groups, SeriesTable};
use crate::rows::{ABSENT, Rows, is_absent};

impl Planner {
    /// Plans an aggregation.
    pub(crate) async fn aggregate(
        &self,
        aggregate: &Aggregate,
        span: Span,
        frame: &Frame,
    ) -> Result<Vector, QueryError> {
        match aggregate.op {
            AggregateOp::Topk => {
                self.keep_some(aggregate, Choice::Best(Extreme::Largest), span, frame)
                    .await
            }
            AggregateOp::Bottomk => {
                self.keep_some(aggregate, Choice::Best(Extreme::Smallest), span, frame)
                    .await
            }
            AggregateOp::Limitk => self.keep_some(aggregate, Choice::First, span, frame).await,
            AggregateOp::LimitRatio => self.limit_ratio(aggregate, frame).await,
            AggregateOp::CountValues => self.count_values(aggregate, frame).await,
            AggregateOp::Quantile => self.quantile(aggregate, frame).await,
            AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Count
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Group
            | AggregateOp::Stddev
            | AggregateOp::Stdvar => self.fold(aggregate, frame).await,
        }
    }

    async fn fold(&self, aggregate: &Aggregate, frame: &Frame) -> Result<Vector, QueryError> {
        // A leaf that does not depend on the step is better read once and repeated.
        let is_once = frame.steps.n_steps > 1 && super::frame::is_step_invariant(&aggregate.expr);
        if !is_once && let Some(leaf) = self.leaf(&aggregate.expr, frame).await? {
            let n_series = leaf.table.n_series();
            if n_series > 0 && leaf.table.duplicates().is_none() {
                let grouped = Grouped::of(&leaf.table, &leaf.marked, &aggregate.grouping);
                let n_parts = Self::n_parts(n_series, frame);
                let n_workers = self.n_workers();
                let notes = self.notes_of_input(aggregate, &leaf.table);
                return Ok(grouped.into_vector(|groups| {
                    ScanAggregate::plan(
                        leaf.leaf,
                        aggregate.op,
                        (groups, notes),
                        &frame.schema,
                        (n_parts, n_workers),
                    )
                }));
            }
            let vector = self.scan(leaf, frame);
            return Ok(self.fold_vector(aggregate, vector, frame));
        }
        let vector = self.vector(&aggregate.expr, frame).await?;
        Ok(self.fold_vector(aggregate, vector, frame))
    }

    /// Takes notes on the series that are aggregated.
    fn notes_of_input(&self, aggregate: &Aggregate, table: &SeriesTable) -> NoteSink {
        NoteSink::new(&self.annotations, aggregate.expr.span, table)
    }

    fn fold_vector(&self, aggregate: &Aggregate, vector: Vector, frame: &Frame) -> Vector {
        if vector.is_empty() {
            return Vector::empty(frame);
        }
        let notes = self.notes_of_input(aggregate, &vector.table);
        let grouped = Grouped::of(&vector.table, &vector.marked, &aggregate.grouping);
        let (n_workers, n_steps) = (self.n_workers(), frame.steps.n_steps);
        grouped.into_vector(|groups| {
            Aggregation::plan(
                vector.plan,
                aggregate.op,
                (groups, notes),
                n_workers,
                n_steps,
                &frame.schema,
            )
        })
    }

    async fn quantile(&self, aggregate: &Aggregate, frame: &Frame) -> Result<Vector, QueryError> {
        let parameter = parameter(aggregate)?;
        let phi = self.scalar(parameter, frame).await?;
        for phi in Parameters::of(&phi).invalid_quantiles() {
            let span = parameter.unparenthesized().span;
            self.annotations.add(Annotation::InvalidQuantile(phi), span);
        }
        let vector = self.vector(&aggregate.expr, frame).await?;
        if vector.is_empty() {
            return Ok(vector);
        }
        let grouped = Grouped::of(&vector.table, &vector.marked, &aggregate.grouping);
        Ok(Vector {
            plan: Quantile::plan(
                vector.plan,
                phi,
                &grouped.groups,
                self.notes_of_input(aggregate, &vector.table),
                frame.steps.n_steps,
                &frame.schema,
            ),
            table: grouped.table,
            marked: grouped.marked,
        })
    }

    async fn keep_some(
        &self,
        aggregate: &Aggregate,
        choice: Choice,
        span: Span,
        frame: &Frame,
    ) -> Result<Vector, QueryError> {
        let parameters = self.scalar(parameter(aggregate)?, frame).await?;
        let vector = self.vector(&aggregate.expr, frame).await?;
        let keeps_any = Parameters::of(&parameters)
            .keeps_any()
            .map_err(|error| QueryError::execution(error.to_string()))?;
        let k = if keeps_any {
            parameters
                .iter()
                .map(|&parameter| kept_count(parameter))
                .collect()
        } else {
            vec![0]
        };
        if vector.is_empty() {
            return Ok(vector);
        }
        let groups = vector
            .table
            .group(&aggregate.grouping.labels, aggregate.grouping.without);
        let n_steps = frame.steps.n_steps;
        let notes = NoteSink::new(&self.annotations, span, &vector.table);
        Ok(vector.map_plan(|plan| KeepSome::plan(plan, (choice, notes), k, &groups, n_steps, &frame.schema)))
    }

    /// A fixed share of all series, whatever their group: which ones follows from their labels.
    async fn limit_ratio(&self, aggregate: &Aggregate, frame: &Frame) -> Result<Vector, QueryError> {
        let parameter = parameter(aggregate)?;
        let ratios = self.scalar(parameter, frame).await?;
        let vector = self.vector(&aggregate.expr, frame).await?;
        let all = Parameters::of(&ratios);
        if all.has_nan() {
            return Err(QueryError::execution("Ratio value is NaN"));
        }
        let span = parameter.unparenthesized().span;
        for (ratio, capped) in [(all.greatest(), 1.0), (all.least(), -1.0)] {
            if ratio / capped > 1.0 {
                self.annotations
                    .add(Annotation::InvalidRatio { ratio, capped }, span);
            }
        }
        let mapping = Mapping::Sample {
            offsets: vector.table.sampling_offsets().into(),
            ratios: ratios.iter().map(|ratio| ratio.clamp(-1.0, 1.0)).collect(),
        };
        Ok(vector.map_plan(|plan| Map::plan(plan, mapping, &frame.schema)))
    }

    /// The labels of the result are values of the input, so it is evaluated now.
    async fn count_values(&self, aggregate: &Aggregate, frame: &Frame) -> Result<Vector, QueryError> {
        let ExprKind::String(label) = &parameter(aggregate)?.unparenthesized().kind else {
            return Err(QueryError::internal("the parameter of count_values is a text"));
        };
        if let Some(quoted) = self.no_utf8(parameter(aggregate)?) {
            return Err(QueryError::execution(format!("invalid label name {quoted}")));
        }
        if !is_label_name(label) {
            return Err(QueryError::execution(format!("invalid label name {label:?}")));
        }
        let vector = self.vector(&aggregate.expr, frame).await?;
        if vector.is_empty() {
            return Ok(vector);
        }
        let counts = self.counts_by_value(&vector).await?;
        let values = Column {
            codes: counts.codes,
            values: counts.dictionary.finish(),
        };
        let labelled = vector.table.take(counts.series, false).set(label, values);
        self.ledger.check()?;
        let mut grouping = aggregate.grouping.clone();
        if !grouping.without {
            grouping.labels.push(label.clone());
        }
        let grouped = Grouped::of(&labelled, &Marked::Nothing, &grouping);
        let n_steps = frame.steps.n_steps;
        let n_values = grouped.groups.n_groups().saturating_mul(n_steps);
        self.ledger.try_add_values::<[f64; 2]>(n_values)?;
        let mut values = vec![ABSENT; n_values];
        for (&group, &step) in grouped.groups.ids.iter().zip(&counts.steps) {
            let count = &mut values[group as usize * n_steps + step as usize];
            *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
        }
        Ok(Vector {
            plan: Constant::rows(values.into(), n_steps, &frame.schema),
            table: grouped.table,
            marked: Marked::Nothing,
        })
    }

    async fn counts_by_value(&self, vector: &Vector) -> Result<Occurrences, QueryError> {
        let mut known: HashMap<u64, u32> = HashMap::new();
        let mut found = Occurrences {
            series: Vec::new(),
            steps: Vec::new(),
            codes: Vec::new(),
            dictionary: DictionaryBuilder::new(),
            text_bytes: 0,
            reservation: reserve(&self.task, "values as labels"),
        };
        for batch in &collect(&vector.plan, &self.task).await?.batches {
            for (series_idx, row) in Rows::of(batch)?.iter() {
                let present = row
                    .values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| !is_absent(**value));
                for (step, value) in present {
                    let code = *known
                        .entry(value.to_bits())
                        .or_insert_with(|| found.code(count_values_label(*value)));
                    found.push(series_idx, step, code);
                }
                for cell in row.histograms {
                    let code = found.code(cell.value.to_string());
                    found.push(series_idx, cell.step as usize, code);
                }
                found.reserve()?;
            }
            self.limits.check()?;
        }
        Ok(found)
    }
}

/// Values as labels, one entry per value of the input.
struct Occurrences {
    series: Vec<u32>,
    steps: Vec<u32>,
    codes: Vec<u32>,
    dictionary: DictionaryBuilder,
    text_bytes: usize,
    reservation: MemoryReservation,
}

impl Occurrences {
    /// The code of a value.
    fn code(&mut self, text: String) -> u32 {
        /// Places in the lists that know a text.
        const ENTRY_BYTES: usize = 128;
        self.text_bytes += text.len() + ENTRY_BYTES;
        self.dictionary.code(&text.into())
    }

    fn push(&mut self, series_idx: u32, step: usize, code: u32) {
        self.series.push(series_idx);
        self.steps
            .push(u32::try_from(step).expect("steps are counted in 32 bits"));
        self.codes.push(code);
    }

    /// Reserves what is held: lists have up to twice the room they need.
    fn reserve(&self) -> Result<(), QueryError> {
        let lists_bytes = 2 * self.series.len() * size_of::<[u32; 3]>();
        Ok(self.reservation.try_resize(lists_bytes + self.text_bytes)?)
    }
}

/// The groups of an aggregation, and the series they become.
struct Grouped {
    groups: Groups,
    table: SeriesTable,
    marked: Marked,
}

impl Grouped {
    fn of(table: &SeriesTable, marked: &Marked, grouping: &Grouping) -> Self {
        let groups = table.group(&grouping.labels, grouping.without);
        let first = table.take(groups.first.clone(), false);
        let result = if grouping.without {
            let mut removed = grouping.labels.clone();
            removed.push(METRIC_NAME.to_owned());
            first.remove(&removed)
        } else {
            first.keep(&grouping.labels)
        };
        Self {
            table: result.assume_distinct(),
            marked: marked.of_groups(&groups.ids, groups.n_groups()),
            groups,
        }
    }

    fn into_vector(self, plan: impl FnOnce(GroupIds) -> crate::exec::operator::Plan) -> Vector {
        Vector {
            plan: plan(self.groups.into()),
            table: self.table,
            marked: self.marked,
        }
    }
}

fn parameter(aggregate: &Aggregate) -> Result<&Expr, QueryError> {
    let missing = || QueryError::internal(format!("{} lacks its parameter", aggregate.op));
    aggregate.parameter.as_deref().ok_or_else(missing)
}
