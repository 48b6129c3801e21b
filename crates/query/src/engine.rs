//! The engine: admission, its own threads, time limits.
//!
//! A query begins in the caller's task and ends there if it is a matter of some hundred microseconds; all others move
//! to a runtime of the engine ([`crate::context`]). A caller awaits an answer and may go away, which stops the query at
//! the next stream or batch. At most `max_concurrent` queries run, others wait their turn.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use datafusion_execution::config::SessionConfig;
use datafusion_execution::memory_pool::GreedyMemoryPool;
use datafusion_execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use model::{Matcher, TimeRange};
use promql::ast::Expr;
use storage::Source;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;

use crate::context::{CancelFlag, Limits};
use crate::exec::collect::StopOnDrop;
use crate::memory::{Ledger, QueryPool};
use crate::metadata;
use crate::options::{EngineOptions, QueryRequest};
use crate::result::{NewestSamples, QueryResult};
use crate::run;
use crate::sql::{Sql, SqlRequest, SqlResult};
use crate::threads;
use crate::{LabelSets, QueryError};

/// Stack of a thread. Only what is touched is ever taken.
const STACK_BYTES: usize = 32 << 20;

/// Answers queries over one source.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    sql: Arc<Sql>,
    slots: Arc<Semaphore>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// What every query needs.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What is stored.
    pub(crate) source: Arc<dyn Source>,
    pub(crate) options: EngineOptions,
    /// Carries the memory pool of all queries.
    pub(crate) environment: Arc<RuntimeEnv>,
    pub(crate) config: SessionConfig,
}

impl Shared {
    /// What is written about the memory of a question that is no query.
    fn ledger(&self) -> Ledger {
        QueryPool::new(Arc::clone(&self.environment.memory_pool)).ledger()
    }
}

impl Engine {
    /// An engine over `source`, with threads of its own.
    ///
    /// # Errors
    /// [`QueryError::Internal`] when the threads cannot be started.
    pub fn new(source: Arc<dyn Source>, options: EngineOptions) -> Result<Self, QueryError> {
        let threads = options.threads.max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("query")
            // Queries nest: 150 levels, and chains of 500, is what the parser lets through.
            .thread_stack_size(STACK_BYTES)
            .on_thread_start(threads::begin)
            .enable_time()
            .build()
            .map_err(|error| QueryError::internal(format!("cannot start query threads: {error}")))?;
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(options.memory_bytes)))
            .build_arc()?;
        let sql = Sql::new(
            options.sql.clone(),
            Arc::clone(&source),
            Arc::clone(&environment.memory_pool),
            options.threads,
        )?;
        Ok(Self {
            slots: Arc::new(Semaphore::new(options.max_concurrent.max(1))),
            sql: Arc::new(sql),
            shared: Arc::new(Shared {
                source,
                options,
                environment,
                config: SessionConfig::new().with_target_partitions(threads),
            }),
            runtime: Some(runtime),
        })
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.shared.options
    }

    /// The threads queries run on, for writing out what they gave.
    ///
    /// # Panics
    /// Never: the threads live as long as the engine.
    #[must_use]
    pub fn handle(&self) -> Handle {
        let runtime = self.runtime.as_ref().expect("present until drop");
        runtime.handle().clone()
    }

    /// Answers a query. Dropping the future stops it.
    ///
    /// # Errors
    /// All variants of [`QueryError`].
    pub async fn query(&self, request: QueryRequest) -> Result<QueryResult, QueryError> {
        let shared = Arc::clone(&self.shared);
        let timeout = request
            .timeout
            .map_or(shared.options.timeout, |own| own.min(shared.options.timeout));
        if timeout.is_zero() {
            // What cannot be parsed is told first, as everywhere.
            run::parse(&request.text, &shared.options)?;
            return Err(QueryError::Timeout {
                stage: "query execution",
                limit: timeout,
            });
        }
        self.run(timeout, |limits| async move {
            // The caller's thread has an ordinary stack.
            if !is_flat(&request.text) {
                limits.leave_caller().await;
            }
            run::query(shared, request, limits).await
        })
        .await
    }

    /// What `work` makes of a query that is only parsed; it also gets the text.
    ///
    /// # Errors
    /// [`QueryError::Parse`], [`QueryError::Timeout`].
    pub async fn inspect<T: Send + 'static>(
        &self,
        text: String,
        work: impl FnOnce(&Expr, &str) -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        let shared = Arc::clone(&self.shared);
        self.run_away(shared.options.timeout, move |_| {
            run::parse(&text, &shared.options).map(|expr| work(&expr, &text))
        })
        .await
    }

    /// Answers a statement of SQL, batch by batch. Waits until the columns of the answer are known; the rows are
    /// computed while they are taken. Dropping the future or the result stops the statement.
    ///
    /// # Errors
    /// All variants of [`QueryError`].
    pub async fn sql(&self, request: SqlRequest) -> Result<SqlResult, QueryError> {
        let limit = self.shared.options.timeout;
        let timeout = request.timeout.map_or(limit, |own| own.min(limit));
        self.sql.start(request, timeout, &self.handle()).await
    }

    /// The label sets of all series that one of the selectors picks and that may have samples in `range`, without
    /// repeats, at most `limit` of them.
    ///
    /// # Errors
    /// [`QueryError::Storage`], [`QueryError::Timeout`].
    pub async fn series(
        &self,
        selectors: Vec<Vec<Matcher>>,
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<LabelSets, QueryError> {
        let shared = Arc::clone(&self.shared);
        self.run_away(shared.options.timeout, move |_| {
            metadata::series(&*shared.source, &selectors, range, limit, &shared.ledger())
        })
        .await
    }

    /// The names of the labels of all series that one of the selectors picks, sorted; of all series when there is no
    /// selector.
    ///
    /// # Errors
    /// As [`Self::series`].
    pub async fn label_names(
        &self,
        selectors: Vec<Vec<Matcher>>,
        range: TimeRange,
    ) -> Result<Vec<Arc<str>>, QueryError> {
        let shared = Arc::clone(&self.shared);
        self.run_away(shared.options.timeout, move |_| {
            metadata::label_names(&*shared.source, &selectors, range)
        })
        .await
    }

    /// The values of one label of all series that one of the selectors picks, sorted; of all series when there is no
    /// selector.
    ///
    /// # Errors
    /// As [`Self::series`].
    pub async fn label_values(
        &self,
        name: String,
        selectors: Vec<Vec<Matcher>>,
        range: TimeRange,
    ) -> Result<Vec<Arc<str>>, QueryError> {
        let shared = Arc::clone(&self.shared);
        self.run_away(shared.options.timeout, move |_| {
            metadata::label_values(&*shared.source, &name, &selectors, range, &shared.ledger())
        })
        .await
    }

    /// The newest sample in `range` of every series that one of the selectors picks, with its own time, sorted by
    /// metric name and then by labels. Series whose newest sample is a staleness marker are left out.
    ///
    /// # Errors
    /// As [`Self::series`].
    pub async fn newest(
        &self,
        selectors: Vec<Vec<Matcher>>,
        range: TimeRange,
    ) -> Result<NewestSamples, QueryError> {
        let shared = Arc::clone(&self.shared);
        self.run_away(shared.options.timeout, move |limits| {
            metadata::newest(&*shared.source, &selectors, range, limits, &shared.ledger())
        })
        .await
    }

    /// As [`Self::run`], never in the caller's task.
    async fn run_away<T, W>(&self, timeout: Duration, work: W) -> Result<T, QueryError>
    where
        T: Send + 'static,
        W: FnOnce(&Limits) -> Result<T, QueryError> + Send + 'static,
    {
        self.run(timeout, |limits| async move {
            limits.leave_caller().await;
            work(&limits)
        })
        .await
    }

    /// Waits for a slot and runs `work`, both within `timeout`: first in the caller's task, and on the engine's threads
    /// from where it has to wait or leaves.
    async fn run<T, F, W>(&self, timeout: Duration, work: W) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueryError>> + Send + 'static,
        W: FnOnce(Limits) -> F,
    {
        let arrived = Instant::now();
        let slots = Arc::clone(&self.slots);
        let limits = Limits::new(arrived, timeout, self.shared.options.max_samples);
        let cancel = CancelFlag::new(&limits);
        let work = work(limits.clone());
        let started = limits.clone();
        let mut task = Box::pin(async move {
            let Ok(slot) = tokio::time::timeout(timeout, slots.acquire_owned()).await else {
                return Err(QueryError::Timeout {
                    stage: "query queue",
                    limit: timeout,
                });
            };
            let _slot = slot.map_err(|_| QueryError::Canceled)?;
            started.note_start();
            match tokio::time::timeout_at((arrived + timeout).into(), work).await {
                Ok(result) => result,
                Err(_) => Err(QueryError::Timeout {
                    stage: "expression evaluation",
                    limit: timeout,
                }),
            }
        });
        let handle = self.handle();
        let result = match poll_here(&mut task, &handle).await {
            Poll::Ready(result) => result,
            Poll::Pending => {
                limits.note_move();
                let mut task = StopOnDrop(handle.spawn(task));
                let stopped = |error| QueryError::internal(format!("the query stopped: {error}"));
                (&mut task.0).await.unwrap_or_else(|error| Err(stopped(error)))
            }
        };
        drop(cancel);
        result
    }
}

/// Polls `work` once in the calling task; what it starts runs on `runtime`.
async fn poll_here<T>(
    work: &mut Pin<Box<impl Future<Output = Result<T, QueryError>>>>,
    runtime: &Handle,
) -> Poll<Result<T, QueryError>> {
    std::future::poll_fn(|context| {
        let _entered = runtime.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let stopped = || QueryError::internal("the query stopped: task panicked");
        Poll::Ready(polled.unwrap_or_else(|_| Poll::Ready(Err(stopped()))))
    })
    .await
}

/// True for a query that cannot nest deeply: each level takes one of these, or a word between blanks.
fn is_flat(text: &str) -> bool {
    const LEVELS_MAX: usize = 48;
    let may_nest = |byte: &u8| b"([{+-*/%^=!<> \t\n\r".contains(byte);
    text.len() <= 4096 && text.bytes().filter(may_nest).count() <= LEVELS_MAX
}

/// A runtime may not be dropped by waiting for it inside another one.
impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
