//! Queries of an engine in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use query::{Engine, EngineOptions, QueryRequest, QueryResult, Value};
use storage::Store;
use tokio::runtime::Runtime;

use crate::usage::cpu_time;

/// Asks one query after the other.
#[derive(Debug)]
pub struct Asker {
    engine: Engine,
    runtime: Runtime,
}

/// An answer, and what it took.
#[derive(Debug)]
pub struct Answer {
    /// What was answered.
    pub result: QueryResult,
    /// By the clock.
    pub elapsed: Duration,
    /// Of all threads.
    pub cpu: Duration,
}

impl Asker {
    /// One that asks `store`, with so many threads and without a limit of samples.
    ///
    /// # Errors
    /// If there are no threads.
    pub fn new(store: &Arc<Store>, threads: usize) -> Result<Self> {
        let options = EngineOptions {
            threads,
            max_samples: u64::MAX,
            ..EngineOptions::default()
        };
        let store: Arc<Store> = Arc::clone(store);
        Ok(Self {
            engine: Engine::new(store, options)?,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?,
        })
    }

    /// Asks once.
    ///
    /// # Errors
    /// Those of the query.
    pub fn ask(&self, request: &QueryRequest) -> Result<Answer> {
        let (begun, cpu_before) = (Instant::now(), cpu_time());
        let result = self.runtime.block_on(self.engine.query(request.clone()))?;
        Ok(Answer {
            result,
            elapsed: begun.elapsed(),
            cpu: cpu_time() - cpu_before,
        })
    }
}

/// Number of series, and the sum of their finite values.
#[must_use]
pub fn checksum(result: &QueryResult) -> String {
    match &result.value {
        Value::Vector(series) | Value::Matrix(series) => {
            let points = (0..series.n_series()).flat_map(|idx| series.points(idx));
            let sum: f64 = points
                .map(|(_, value)| value)
                .filter(|value| value.is_finite())
                .sum();
            format!("{} series, sum {sum:.9e}", series.n_series())
        }
        other => format!("{other:?}"),
    }
}

/// In milliseconds.
#[must_use]
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
