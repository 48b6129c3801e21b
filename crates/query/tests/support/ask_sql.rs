//! Asking in SQL, with results as text.

use std::sync::Arc;

use arrow_cast::display::{ArrayFormatter, FormatOptions};
use query::sql::{SqlRequest, SqlStats};
use query::{Engine, EngineOptions, QueryError};

use super::memory::MemorySource;
use super::mesh::{N_SCRAPES, SCRAPE_MS, small_mesh};

/// The newest sample.
pub(crate) const END_MS: i64 = (N_SCRAPES - 1) * SCRAPE_MS;

pub(crate) fn open(source: MemorySource) -> Engine {
    Engine::new(Arc::new(source), EngineOptions::default()).unwrap()
}

pub(crate) fn mesh() -> Engine {
    open(small_mesh("bookinfo"))
}

pub(crate) fn request(text: &str) -> SqlRequest {
    SqlRequest {
        text: text.to_owned(),
        now_ms: END_MS,
        timeout: None,
    }
}

/// All rows as text, NULL as `NULL`, and what was read for them.
pub(crate) async fn try_ask(engine: &Engine, text: &str) -> Result<(Vec<Vec<String>>, SqlStats), QueryError> {
    let mut result = engine.sql(request(text)).await?;
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    while let Some(batch) = result.next().await {
        let batch = batch?;
        let columns = batch.columns().iter();
        let columns: Vec<ArrayFormatter<'_>> = columns
            .map(|column| ArrayFormatter::try_new(&**column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(
                columns
                    .iter()
                    .map(|column| column.value(row).to_string())
                    .collect(),
            );
        }
    }
    Ok((rows, result.stats()))
}

pub(crate) async fn ask(engine: &Engine, text: &str) -> Vec<Vec<String>> {
    match try_ask(engine, text).await {
        Ok((rows, _)) => rows,
        Err(error) => panic!("{text}: {error}"),
    }
}

pub(crate) async fn stats(engine: &Engine, text: &str) -> SqlStats {
    match try_ask(engine, text).await {
        Ok((_, stats)) => stats,
        Err(error) => panic!("{text}: {error}"),
    }
}

pub(crate) async fn refused(engine: &Engine, text: &str) -> String {
    match try_ask(engine, text).await {
        Err(QueryError::Parse { message }) => message,
        other => panic!("{text}: {other:?}"),
    }
}

/// The only value of the only row.
pub(crate) async fn one(engine: &Engine, text: &str) -> String {
    let rows = ask(engine, text).await;
    assert!(rows.len() == 1 && rows[0].len() == 1, "{text}: {rows:?}");
    rows[0][0].clone()
}
