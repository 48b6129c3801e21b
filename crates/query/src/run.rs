//! One query from text to result.

use std::sync::Arc;

use crate::QueryError;
use crate::context::Limits;
use crate::engine::Shared;
use crate::options::QueryRequest;
use crate::result::QueryResult;

/// Parses, plans, runs and assembles.
pub(crate) async fn query(
    shared: Arc<Shared>,
    request: QueryRequest,
    limits: Limits,
) -> Result<QueryResult, QueryError> {
    limits.check()?;
    Err(QueryError::execution(format!(
        "evaluation of {} is not supported yet (source {:?}, {} samples)",
        request.text,
        shared.source,
        limits.samples_read()
    )))
}
