//! One query from text to result.

use std::sync::Arc;
use std::time::Instant;

use promql::ast::{Expr, ExprKind, ValueType};
use promql::kernel::window::StepTimes;
use promql::{ParseOptions, QueryTiming};

use crate::QueryError;
use crate::annotations::Annotations;
use crate::assemble::Assembly;
use crate::context::Limits;
use crate::engine::Shared;
use crate::exec::collect::collect;
use crate::exec::operator::Plan;
use crate::exec::tally::StepCounts;
use crate::explain::{Explained, Explaining, is_explaining};
use crate::labels::{LabelSets, SeriesTable};
use crate::memory::QueryPool;
use crate::options::{EngineOptions, QueryRequest, QueryTimes};
use crate::plan::{Frame, Planner, Vector};
use crate::points::{Part, Points};
use crate::result::{QueryResult, QueryStats, SeriesSet, Value};

/// Parses, plans, runs and assembles.
pub(crate) async fn query(
    shared: Arc<Shared>,
    request: QueryRequest,
    limits: Limits,
) -> Result<QueryResult, QueryError> {
    let begun = Instant::now();
    let expr = parse(&request.text, &shared.options)?;
    check_type(&expr, request.times)?;
    let steps = steps_of(request.times)?;
    let is_instant = matches!(request.times, QueryTimes::Instant { .. });
    let pool = QueryPool::new(Arc::clone(&shared.environment.memory_pool));
    let mut config = shared.config.clone();
    if request.explain {
        config = config.with_extension(Arc::new(Explaining));
    }
    let planner = Planner {
        text: request.text.as_str().into(),
        task: pool.task(&shared.environment, &config),
        ledger: pool.ledger(),
        step_counts: request.per_step_stats.then(|| StepCounts::new(steps.n_steps)),
        annotations: Annotations::default(),
        lookback_ms: request.lookback_ms.unwrap_or(shared.options.lookback_ms),
        start_ms: steps.first_ms,
        end_ms: match request.times {
            QueryTimes::Instant { time_ms } => time_ms,
            QueryTimes::Range { end_ms, .. } => end_ms,
        },
        timing: timing_of(request.times),
        shared,
        limits,
    };
    let mut running = Running {
        planner,
        pool,
        is_instant,
        frame: Frame::new(steps),
        limit: request.limit.unwrap_or(usize::MAX),
        begun,
        stats: QueryStats::default(),
        is_truncated: false,
        explained: None,
    };
    let value = running.value(&expr).await?;
    Ok(running.finish(value, &request.text))
}

/// The tree of a query.
pub(crate) fn parse(text: &str, options: &EngineOptions) -> Result<Expr, QueryError> {
    let parse_options = if options.experimental {
        ParseOptions::ALL
    } else {
        ParseOptions::default()
    };
    promql::parse(text, &parse_options).map_err(|error| QueryError::Parse {
        message: error.to_string(),
    })
}

/// A range query gives a number or a vector at each step, nothing else.
fn check_type(expr: &Expr, times: QueryTimes) -> Result<(), QueryError> {
    let value_type = expr.value_type();
    let fits = matches!(value_type, ValueType::Scalar | ValueType::Vector);
    if fits || matches!(times, QueryTimes::Instant { .. }) {
        return Ok(());
    }
    Err(QueryError::Parse {
        message: format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            value_type.as_str()
        ),
    })
}

fn steps_of(times: QueryTimes) -> Result<StepTimes, QueryError> {
    let steps = match times {
        QueryTimes::Instant { time_ms } => return Ok(StepTimes::instant(time_ms)),
        QueryTimes::Range {
            start_ms,
            end_ms,
            step_ms,
        } => crate::plan::steps_between(start_ms, end_ms, step_ms),
    };
    if steps.step_ms <= 0 || i32::try_from(steps.n_steps).is_err() {
        return Err(QueryError::execution("the step does not fit the range"));
    }
    Ok(steps)
}

fn timing_of(times: QueryTimes) -> QueryTiming {
    match times {
        QueryTimes::Instant { .. } => QueryTiming::default(),
        QueryTimes::Range {
            start_ms,
            end_ms,
            step_ms,
        } => QueryTiming {
            step_ms,
            range_ms: end_ms.saturating_sub(start_ms),
        },
    }
}

/// A query being answered.
struct Running {
    planner: Planner,
    pool: Arc<QueryPool>,
    is_instant: bool,
    frame: Frame,
    limit: usize,
    begun: Instant,
    stats: QueryStats,
    is_truncated: bool,
    /// What the operators did; shown only if asked for.
    explained: Option<Explained>,
}

impl Running {
    async fn value(&mut self, expr: &Expr) -> Result<Value, QueryError> {
        match expr.value_type() {
            ValueType::Scalar => self.scalar(expr).await,
            ValueType::String => match &expr.unparenthesized().kind {
                ExprKind::String(text) => Ok(Value::String {
                    timestamp_ms: self.frame.steps.first_ms,
                    text: text.clone(),
                }),
                _ => Err(QueryError::internal("a text that is no literal")),
            },
            ValueType::Vector => {
                let frame = self.frame.clone();
                let vector = self.planner.vector(expr, &frame).await?;
                let is_instant = self.is_instant;
                let series = self.series_of(vector, &frame, !is_instant).await?;
                Ok(if is_instant {
                    Value::Vector(series)
                } else {
                    Value::Matrix(series)
                })
            }
            ValueType::Matrix => self.matrix(expr).await.map(Value::Matrix),
        }
    }

    async fn scalar(&mut self, expr: &Expr) -> Result<Value, QueryError> {
        let values = self.planner.scalar_per_step(expr, &self.frame).await?;
        self.stats.eval_time = self.begun.elapsed();
        if let ([value], true) = (&*values, self.is_instant) {
            return Ok(Value::Scalar {
                timestamp_ms: self.frame.steps.first_ms,
                value: *value,
            });
        }
        Ok(Value::Matrix(SeriesSet {
            labels: LabelSets::of_table(&SeriesTable::unlabelled()),
            points: Points::Stepped {
                steps: self.frame.steps,
                parts: vec![Part {
                    values: values.to_vec().into(),
                    histograms: None,
                }],
                rows: vec![(0, 0)],
            },
            _reservations: Vec::new(),
        }))
    }

    /// A range vector as it is; only an instant query may ask for it.
    async fn matrix(&mut self, expr: &Expr) -> Result<SeriesSet, QueryError> {
        match &expr.unparenthesized().kind {
            ExprKind::Subquery(subquery) => {
                let frame = self.planner.whole_subquery_frame(subquery, &self.frame)?;
                let vector = self.planner.vector(&subquery.expr, &frame).await?;
                self.series_of(vector, &frame, true).await
            }
            ExprKind::Range(range) => {
                let (selection, plan) = self.planner.samples(range, &self.frame).await?;
                self.stats.prepare_time = self.begun.elapsed();
                let collected = collect(&plan, &self.planner.task).await?;
                self.stats.eval_time = self.begun.elapsed() - self.stats.prepare_time;
                self.explain(&plan);
                let table = SeriesTable::of_selection(selection, None, &self.planner.ledger);
                let assembly = Assembly::new(&table, true, self.limit, &self.planner.task);
                let assembled = assembly.raw(&collected.batches)?;
                self.is_truncated = assembled.is_truncated;
                Ok(assembled.series)
            }
            _ => Err(QueryError::internal("an expression that is no range vector")),
        }
    }

    /// Runs a planned vector and assembles its series, sorted by labels or in the order they come.
    async fn series_of(
        &mut self,
        vector: Vector,
        frame: &Frame,
        is_sorted: bool,
    ) -> Result<SeriesSet, QueryError> {
        let vector = Planner::finish_names(vector, frame);
        self.stats.prepare_time = self.begun.elapsed();
        let collected = collect(&vector.plan, &self.planner.task).await?;
        self.stats.eval_time = self.begun.elapsed() - self.stats.prepare_time;
        self.explain(&vector.plan);
        let begun = Instant::now();
        let assembly = Assembly::new(&vector.table, is_sorted, self.limit, &self.planner.task);
        let assembled = assembly.stepped(collected, frame.steps)?;
        self.stats.sort_time = begun.elapsed();
        self.is_truncated = assembled.is_truncated;
        Ok(assembled.series)
    }

    fn explain(&mut self, plan: &Plan) {
        if is_explaining(&self.planner.task) {
            self.explained = Some(plan.explain());
        }
    }

    fn finish(self, value: Value, text: &str) -> QueryResult {
        let (mut warnings, infos) = self.planner.annotations.texts(text);
        warnings.extend(self.planner.annotations.of_store());
        if self.is_truncated {
            warnings.push("results truncated due to limit".to_owned());
        }
        let limits = &self.planner.limits;
        let stats = QueryStats {
            samples_read: limits.samples_read(),
            samples_queryable: limits.samples_queryable(),
            per_step: self.planner.step_counts.as_ref().map(|counts| {
                let counts = counts.totals().into_iter();
                let steps = self.frame.steps.iter().zip(counts);
                steps
                    .map(|(time_ms, (seen, read))| (time_ms, seen, read))
                    .collect()
            }),
            peak_bytes: self.pool.peak_bytes(),
            queue_time: limits.queue_time(),
            ..self.stats
        };
        QueryResult {
            value,
            warnings,
            infos,
            stats,
            explained: self.explained,
        }
    }
}
