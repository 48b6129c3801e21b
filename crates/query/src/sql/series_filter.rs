//! Conditions on series: tested once per series, before any of its samples is read.
//!
//! Besides the conditions of the statement there may be one that a join makes while it runs, from the keys it has
//! seen on its other side. It is looked at again for every chunk of series, so that what is known by then counts.

use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_array::cast::AsArray;
use arrow_schema::SchemaRef;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;

use super::columns::{LoadedColumns, SeriesColumn, TableColumn, positional_schema};
use crate::QueryError;

/// Conditions of which all have to hold.
#[derive(Debug, Clone)]
pub(crate) struct SeriesFilter {
    /// What the conditions look at.
    columns: Vec<SeriesColumn>,
    /// Of [`Self::columns`], by position.
    schema: SchemaRef,
    /// Over [`Self::schema`].
    conditions: Vec<Arc<dyn PhysicalExpr>>,
}

impl SeriesFilter {
    /// The conditions over columns of a table, of which they use only such of series.
    pub(crate) fn new(
        table: &[TableColumn],
        conditions: Vec<Arc<dyn PhysicalExpr>>,
    ) -> DataFusionResult<Self> {
        let empty = Self {
            columns: Vec::new(),
            schema: positional_schema(&[]),
            conditions: Vec::new(),
        };
        conditions
            .into_iter()
            .try_fold(empty, |filter, condition| filter.and(table, condition))
    }

    /// One condition more.
    pub(crate) fn and(
        mut self,
        table: &[TableColumn],
        condition: Arc<dyn PhysicalExpr>,
    ) -> DataFusionResult<Self> {
        let moved = condition.transform_down(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let kind = table.get(column.index()).and_then(TableColumn::of_series);
            let Some(kind) = kind else {
                return Err(QueryError::internal("a condition on series looks at samples").into());
            };
            let position = self.position(kind);
            Ok(Transformed::yes(Arc::new(Column::new(
                &position.to_string(),
                position,
            ))))
        })?;
        self.conditions.push(moved.data);
        self.schema = positional_schema(&self.columns);
        Ok(self)
    }

    fn position(&mut self, column: &SeriesColumn) -> usize {
        let known = self.columns.iter().position(|known| known == column);
        known.unwrap_or_else(|| {
            self.columns.push(column.clone());
            self.columns.len() - 1
        })
    }

    /// True when a condition could be tested on series of such a table.
    pub(crate) fn takes(table: &[TableColumn], condition: &Arc<dyn PhysicalExpr>) -> bool {
        let columns = collect_columns(condition);
        let is_of_series = |column: &Column| {
            table
                .get(column.index())
                .is_some_and(|kind| kind.of_series().is_some())
        };
        !columns.is_empty() && columns.iter().all(is_of_series)
    }

    /// What the conditions look at; to be loaded for [`Self::test`].
    pub(crate) fn columns(&self) -> &[SeriesColumn] {
        &self.columns
    }

    /// True when there is nothing to test.
    pub(crate) fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The conditions.
    pub(crate) fn conditions(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.conditions
    }

    /// Whether the conditions hold, for each of these series. What they look at begins with the column at `first`.
    ///
    /// # Errors
    /// An expression that fails on some value.
    pub(crate) fn test(
        &self,
        columns: &LoadedColumns,
        first: usize,
        series: &[u32],
    ) -> DataFusionResult<Vec<bool>> {
        let mut kept = vec![true; series.len()];
        if self.is_empty() {
            return Ok(kept);
        }
        let batch = columns.batch(first, &self.schema, series)?;
        for condition in &self.conditions {
            let outcome = condition.evaluate(&batch)?.into_array(series.len())?;
            let outcome: &BooleanArray = outcome.as_boolean();
            for (kept, outcome) in kept.iter_mut().zip(outcome) {
                *kept &= outcome == Some(true);
            }
        }
        Ok(kept)
    }
}
