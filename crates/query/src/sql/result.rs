//! What a statement gives, batch by batch.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use tokio::sync::mpsc;

use super::usage::{SqlStats, Usage};
use crate::QueryError;
use crate::context::CancelFlag;
use crate::exec::collect::StopOnDrop;

/// The rows of a statement that is still running. Dropping it stops the statement.
#[derive(Debug)]
pub struct SqlResult {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, QueryError>>,
    usage: Usage,
    task: StopOnDrop<()>,
    is_over: bool,
    _cancel: CancelFlag,
}

impl SqlResult {
    pub(crate) fn new(
        schema: SchemaRef,
        batches: mpsc::Receiver<Result<RecordBatch, QueryError>>,
        usage: Usage,
        task: StopOnDrop<()>,
        cancel: CancelFlag,
    ) -> Self {
        Self {
            schema,
            batches,
            usage,
            task,
            is_over: false,
            _cancel: cancel,
        }
    }

    /// The columns of every batch.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next batch of rows; none after the last. Nothing comes after an error.
    ///
    /// # Errors
    /// All variants of [`QueryError`].
    pub async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        if self.is_over {
            return None;
        }
        let next = self.batches.recv().await;
        self.is_over = !matches!(next, Some(Ok(_)));
        if next.is_none()
            && let Err(error) = (&mut self.task.0).await
        {
            // What was given so far is not all of it.
            return Some(Err(QueryError::internal(format!(
                "the statement stopped: {error}"
            ))));
        }
        next
    }

    /// What the store says of what was read: that samples may be missing. Complete after the last row.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.usage.warnings()
    }

    /// What has been read so far.
    #[must_use]
    pub fn stats(&self) -> SqlStats {
        self.usage.stats()
    }
}
