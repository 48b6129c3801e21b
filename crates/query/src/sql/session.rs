//! From a text to a plan.

use std::sync::Arc;

use arrow_array::temporal_conversions::timestamp_ms_to_datetime;
use datafusion::common::TableReference;
use datafusion::execution::context::SQLOptions as Permissions;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{SessionStateDefaults, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::runtime_env::RuntimeEnv;
use model::TimestampMs;

use super::catalog::{CATALOG, PUBLIC, TABLES, Tables};
use super::columns::TIME_ZONE;
use super::error::{of_planning, parse_error};
use super::functions::scalar_functions;
use super::statement;
use super::watch::watched;
use crate::QueryError;

/// What is the same for all statements: functions, rules, settings. Made once, because that takes a millisecond.
#[derive(Debug, Clone)]
pub(crate) struct SessionTemplate(SessionState);

/// A statement that is ready to run.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) task: Arc<TaskContext>,
}

impl SessionTemplate {
    /// For statements that run on `n_threads`.
    pub(crate) fn new(n_threads: usize) -> Self {
        let mut config = SessionConfig::new()
            .with_target_partitions(n_threads.max(1))
            .with_default_catalog_and_schema(CATALOG, PUBLIC)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true);
        let options = config.options_mut();
        // Metrics and labels are told apart by case.
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.collect_spans = true;
        options.execution.time_zone = Some(TIME_ZONE.to_owned());
        let table_functions = SessionStateDefaults::default_table_functions().into_iter();
        // Neither file formats nor table factories: statements read what is stored here and nothing else.
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_scalar_functions(scalar_functions())
            .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
            .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .with_table_functions(
                table_functions
                    .map(|function| (function.name().to_owned(), function))
                    .collect(),
            )
            .build();
        Self(state)
    }

    /// Plans one statement, which may hold so many bytes.
    ///
    /// # Errors
    /// [`QueryError::Parse`] and what planning may run into.
    pub(crate) async fn plan(
        &self,
        text: &str,
        now_ms: TimestampMs,
        tables: Tables,
        environment: RuntimeEnv,
        memory_bytes: usize,
    ) -> Result<Planned, QueryError> {
        let statement = statement::parse(text)?;
        let mut state = SessionStateBuilder::new_from_existing(self.0.clone())
            .with_catalog_list(Arc::new(tables.clone()))
            .with_runtime_env(Arc::new(environment))
            .build();
        let options = Arc::clone(state.config_options());
        let properties = state.execution_props_mut();
        properties.mark_start_execution(options);
        let now = timestamp_ms_to_datetime(now_ms)
            .ok_or_else(|| QueryError::execution(format!("{now_ms} ms is no time")))?;
        properties.query_execution_start_time = Some(now.and_utc());
        check_tables(&state, &statement, &tables)?;
        let plan = state.statement_to_plan(statement).await.map_err(of_planning)?;
        let permissions = Permissions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        permissions.verify_plan(&plan).map_err(of_planning)?;
        let plan = state.create_physical_plan(&plan).await.map_err(of_planning)?;
        Ok(Planned {
            plan: watched(plan, &tables.usage, memory_bytes).map_err(of_planning)?,
            task: Arc::new(TaskContext::from(&state)),
        })
    }
}

/// A table that does not exist is told with what may have been meant.
fn check_tables(state: &SessionState, statement: &Statement, tables: &Tables) -> Result<(), QueryError> {
    let named = state.resolve_table_references(statement).map_err(of_planning)?;
    let bare = named.iter().filter_map(|reference| match reference {
        TableReference::Bare { table } => Some(&**table),
        _ => None,
    });
    let is_function = |name: &str| state.table_functions().contains_key(name);
    let unknown: Vec<&str> = bare
        .filter(|name| !TABLES.contains(name) && !is_function(name))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let metrics = tables.metric_names()?;
    for name in unknown {
        if metrics.binary_search_by(|metric| (**metric).cmp(name)).is_err() {
            return Err(unknown_table(name, &metrics));
        }
    }
    Ok(())
}

/// Names that are shown to somebody who mistyped one.
const SUGGESTIONS_MAX: usize = 5;

fn unknown_table(name: &str, metrics: &[Arc<str>]) -> QueryError {
    let lower = name.to_lowercase();
    let is_near = |metric: &&Arc<str>| {
        let metric = metric.to_lowercase();
        metric.contains(&lower) || lower.contains(&metric) || distance(&metric, &lower) <= 2
    };
    let mut near: Vec<&str> = metrics.iter().filter(is_near).map(|metric| &**metric).collect();
    near.sort_by_key(|metric| distance(&metric.to_lowercase(), &lower));
    near.truncate(SUGGESTIONS_MAX);
    let hint = if near.is_empty() {
        "SHOW TABLES lists all".to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    parse_error(format!("there is no table or metric {name:?}; {hint}"))
}

/// How many characters have to be put in, left out or changed. Long names are not compared.
fn distance(one: &str, other: &str) -> usize {
    if one.len().abs_diff(other.len()) > 8 || one.len() > 200 {
        return usize::MAX;
    }
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (position, char) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = position + 1;
        for (idx, expected) in other.iter().enumerate() {
            let changed = diagonal + usize::from(*expected != char);
            diagonal = row[idx + 1];
            row[idx + 1] = changed.min(diagonal + 1).min(row[idx] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        let metrics: Vec<Arc<str>> = ["istio_requests_total", "istio_x_bucket", "up"]
            .map(Arc::from)
            .to_vec();
        let told = |name: &str| unknown_table(name, &metrics).to_string();
        assert!(told("istio_request_total").contains("did you mean istio_requests_total?"));
        assert!(told("istio_x").contains("did you mean istio_x_bucket?"));
        assert!(told("qqqqqqq").contains("SHOW TABLES"));
        assert_eq!(
            (distance("abc", "abc"), distance("abc", "axc"), distance("", "ab")),
            (0, 1, 2)
        );
    }
}
