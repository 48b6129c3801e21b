//! `label_replace` and `label_join`: new labels, same values.

use std::sync::Arc;

use model::METRIC_NAME;
use promql::ast::{Call, Expr, ExprKind};
use promql::kernel::labels::{LabelFunctionError, LabelJoin, LabelReplace};

use super::call::argument;
use super::vector::Marked;
use super::{Frame, Planner, Vector};
use crate::QueryError;
use crate::exec::merge_duplicates::Overlap;
use crate::labels::column::DictionaryBuilder;
use crate::labels::{Column, SeriesTable};

impl Planner {
    pub(crate) async fn label_replace(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        self.check_destination(call)?;
        let [destination, replacement, source, regex] = [1, 2, 3, 4].map(|position| text(call, position));
        let replace = LabelReplace::new(destination?, replacement?, source?, regex?).map_err(label_error)?;
        let vector = self.vector(argument(call, 0)?, frame).await?;
        let (column, is_changed) = replaced(&vector.table, &replace);
        let marked = if replace.destination == METRIC_NAME {
            let keeps_mark =
                |series_idx: usize| !is_changed[series_idx] && vector.marked.is_marked(series_idx);
            unmark(&vector.marked, vector.table.n_series(), keeps_mark)
        } else {
            vector.marked.clone()
        };
        let table = vector.table.set(&replace.destination, column);
        Ok(Vector { marked, ..vector }.with_table(&table, Overlap::OtherSteps, frame))
    }

    pub(crate) async fn label_join(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        self.check_destination(call)?;
        let sources: Result<Vec<&str>, _> = (3..call.arguments.len())
            .map(|position| text(call, position))
            .collect();
        let join = LabelJoin::new(text(call, 1)?, text(call, 2)?, sources?).map_err(label_error)?;
        let vector = self.vector(argument(call, 0)?, frame).await?;
        let column = joined(&vector.table, &join);
        let marked = if join.destination == METRIC_NAME {
            Marked::Nothing
        } else {
            vector.marked.clone()
        };
        let table = vector.table.set(&join.destination, column);
        Ok(Vector { marked, ..vector }.with_table(&table, Overlap::OtherSteps, frame))
    }
}

impl Planner {
    /// A string literal in Go's notation, if the bytes it is written as are no UTF-8.
    pub(crate) fn no_utf8(&self, expr: &Expr) -> Option<String> {
        let span = expr.unparenthesized().span;
        let literal = self.text.get(span.start as usize..span.end as usize)?;
        promql::quoted_if_no_utf8(literal)
    }

    /// Refuses a destination that is no UTF-8.
    fn check_destination(&self, call: &Call) -> Result<(), QueryError> {
        if self.no_utf8(argument(call, 1)?).is_none() {
            return Ok(());
        }
        Err(label_error(LabelFunctionError::BadDestination {
            function: call.function.name,
            name: text(call, 1)?.to_owned(),
        }))
    }
}

fn unmark(marked: &Marked, n_series: usize, keeps_mark: impl Fn(usize) -> bool) -> Marked {
    match marked {
        Marked::Nothing => Marked::Nothing,
        Marked::Everything | Marked::Some(_) => Marked::Some((0..n_series).map(keeps_mark).collect()),
    }
}

/// The new column, and which series matched. The regex runs once per distinct value.
fn replaced(table: &SeriesTable, replace: &LabelReplace) -> (Column, Vec<bool>) {
    let source = table.column(&replace.source);
    let destination = table.column(&replace.destination);
    let mut dictionary = DictionaryBuilder::with_values(&destination.values);
    let mut results: Vec<Option<Option<u32>>> = vec![None; source.values.len()];
    let mut is_changed = Vec::with_capacity(table.n_series());
    let codes = source
        .codes
        .iter()
        .zip(&destination.codes)
        .map(|(&source_code, &old_code)| {
            let new_code = *results[source_code as usize].get_or_insert_with(|| {
                let value = replace.apply(&source.values[source_code as usize]);
                value.map(|value| dictionary.code(&value.into()))
            });
            is_changed.push(new_code.is_some());
            new_code.unwrap_or(old_code)
        });
    let codes = codes.collect();
    let column = Column {
        codes,
        values: dictionary.finish(),
    };
    (column, is_changed)
}

fn joined(table: &SeriesTable, join: &LabelJoin) -> Column {
    let sources: Vec<Arc<Column>> = join.sources.iter().map(|name| table.column(name)).collect();
    let mut dictionary = DictionaryBuilder::new();
    let codes = (0..table.n_series()).map(|series_idx| {
        let values = sources.iter().map(|column| &**column.value(series_idx));
        dictionary.code(&join.apply(values).into())
    });
    let codes = codes.collect();
    Column {
        codes,
        values: dictionary.finish(),
    }
}

/// A string argument; the parser lets nothing but literals through.
pub(crate) fn text(call: &Call, position: usize) -> Result<&str, QueryError> {
    match &argument(call, position)?.unparenthesized().kind {
        ExprKind::String(text) => Ok(text),
        _ => Err(QueryError::internal(format!(
            "argument {position} of {} is no text",
            call.function.name
        ))),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn label_error(error: LabelFunctionError) -> QueryError {
    QueryError::execution(error.to_string())
}
