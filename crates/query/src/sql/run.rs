//! Running statements: admission, limits, the task that computes.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::memory_pool::MemoryPool;
use datafusion_execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion_physical_plan::execute_stream;
use futures::StreamExt;
use storage::Source;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::catalog::Tables;
use super::error::{of_execution, parse_error};
use super::options::{SqlOptions, SqlRequest};
use super::result::SqlResult;
use super::session::SessionTemplate;
use super::usage::Usage;
use crate::QueryError;
use crate::context::{CancelFlag, Limits};
use crate::exec::collect::StopOnDrop;
use crate::memory::QueryPool;

/// Batches that wait for the reader.
const BATCHES_AHEAD: usize = 2;

/// What all statements share.
#[derive(Debug)]
pub(crate) struct Sql {
    options: SqlOptions,
    source: Arc<dyn Source>,
    template: SessionTemplate,
    /// Without files to spill to.
    environment: RuntimeEnv,
    slots: Arc<Semaphore>,
}

/// Where a running statement puts what it has.
struct Outlet {
    schema: oneshot::Sender<Result<SchemaRef, QueryError>>,
    batches: mpsc::Sender<Result<RecordBatch, QueryError>>,
}

impl Sql {
    /// Over `source`, on `n_threads`, with memory out of `pool`.
    ///
    /// # Errors
    /// [`QueryError::Internal`]: never in practice.
    pub(crate) fn new(
        options: SqlOptions,
        source: Arc<dyn Source>,
        pool: Arc<dyn MemoryPool>,
        n_threads: usize,
    ) -> Result<Self, QueryError> {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(pool)
            .with_disk_manager_builder(disk)
            .build()?;
        Ok(Self {
            slots: Arc::new(Semaphore::new(options.max_concurrent.max(1))),
            template: SessionTemplate::new(n_threads),
            options,
            source,
            environment,
        })
    }

    /// Starts a statement on `runtime` and waits until its columns are known.
    ///
    /// # Errors
    /// All variants of [`QueryError`].
    pub(crate) async fn start(
        self: &Arc<Self>,
        request: SqlRequest,
        timeout: Duration,
        runtime: &Handle,
    ) -> Result<SqlResult, QueryError> {
        let actual = request.text.len();
        let limit = self.options.text_bytes_max;
        if actual > limit {
            return Err(parse_error(format!(
                "the statement has {actual} bytes; {limit} are allowed"
            )));
        }
        let limits = Limits::new(Instant::now(), timeout, u64::MAX);
        let usage = Usage::new(limits.clone());
        let cancel = CancelFlag::new(&limits);
        let (schema_sender, schema) = oneshot::channel();
        let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
        let outlet = Outlet {
            schema: schema_sender,
            batches: sender,
        };
        let work = Arc::clone(self).run(request, timeout, usage.clone(), outlet);
        let task = StopOnDrop(runtime.spawn(work));
        match schema.await {
            Ok(schema) => Ok(SqlResult::new(schema?, batches, usage, task, cancel)),
            // It ended before the columns were known, and says why in place of rows.
            Err(_) => match batches.recv().await {
                Some(Err(error)) => Err(error),
                _ => Err(QueryError::internal("the statement stopped while it was planned")),
            },
        }
    }

    async fn run(self: Arc<Self>, request: SqlRequest, timeout: Duration, usage: Usage, outlet: Outlet) {
        let deadline = tokio::time::Instant::now() + timeout;
        let Outlet { schema, batches } = outlet;
        let planned = within(deadline, timeout, "query queue", async {
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            slot.map_err(|_| QueryError::Canceled)
        });
        let slot = match planned.await {
            Ok(slot) => slot,
            Err(error) => return drop(schema.send(Err(error))),
        };
        let sender = batches.clone();
        let work = async { self.answer(request, usage, schema, sender).await };
        let outcome = within(deadline, timeout, "expression evaluation", work).await;
        drop(slot);
        if let Err(error) = outcome {
            // A reader that is gone does not want to know.
            drop(batches.send(Err(error)).await);
        }
    }

    /// Plans and runs; an error before the columns are known goes where they would have gone.
    async fn answer(
        &self,
        request: SqlRequest,
        usage: Usage,
        schema: oneshot::Sender<Result<SchemaRef, QueryError>>,
        batches: mpsc::Sender<Result<RecordBatch, QueryError>>,
    ) -> Result<(), QueryError> {
        let pool = QueryPool::limited(
            Arc::clone(&self.environment.memory_pool),
            self.options.memory_bytes,
        );
        let environment = RuntimeEnv {
            memory_pool: pool,
            ..self.environment.clone()
        };
        let tables = Tables {
            source: Arc::clone(&self.source),
            usage: usage.clone(),
        };
        let planning = self.template.plan(
            &request.text,
            request.now_ms,
            tables,
            environment,
            self.options.memory_bytes,
        );
        let planned = match planning.await {
            Ok(planned) => planned,
            Err(error) => {
                drop(schema.send(Err(error)));
                return Ok(());
            }
        };
        drop(schema.send(Ok(planned.plan.schema())));
        let mut stream = execute_stream(planned.plan, planned.task).map_err(of_execution)?;
        let mut n_rows = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(of_execution)?;
            usage.check()?;
            n_rows += batch.num_rows();
            if n_rows > self.options.result_rows_max {
                return Err(QueryError::ResultTooLarge {
                    what: "rows",
                    limit: self.options.result_rows_max as u64,
                });
            }
            if batch.num_rows() > 0 && batches.send(Ok(batch)).await.is_err() {
                return Err(QueryError::Canceled);
            }
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }
}

async fn within<T>(
    deadline: tokio::time::Instant,
    limit: Duration,
    stage: &'static str,
    work: impl Future<Output = Result<T, QueryError>>,
) -> Result<T, QueryError> {
    match tokio::time::timeout_at(deadline, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(QueryError::Timeout { stage, limit }),
    }
}
