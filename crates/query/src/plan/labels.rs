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
use crate::result::Text;

impl Planner {
    pub(crate) async fn label_replace(&self, call: &Call, frame: &Frame) -> Result<Vector, QueryError> {
        self.check_destination(call)?;
        let [destination, replacement, source, regex] = [1, 2, 3, 4].map(|position| text(call, position));
        let texts = [destination?, replacement?, source?, regex?];
        let replace = LabelReplace::new(texts[0], texts[1], texts[2], texts[3]).map_err(label_error)?;
        let vector = self.vector(argument(call, 0)?, frame).await?;
        let (column, is_changed) = self.replaced(&vector.table, &replace, texts[1])?;
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
        let column = self.joined(&vector.table, &join)?;
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

impl Planner {
    /// The new column, and which series matched. The regex runs once per distinct value.
    fn replaced(
        &self,
        table: &SeriesTable,
        replace: &LabelReplace,
        replacement: &str,
    ) -> Result<(Column, Vec<bool>), QueryError> {
        let source = table.column(&replace.source);
        let destination = table.column(&replace.destination);
        let n_references = replacement.matches('$').count();
        let mut dictionary = DictionaryBuilder::with_values(&destination.values);
        let mut results: Vec<Option<Option<u32>>> = vec![None; source.values.len()];
        let mut is_changed = Vec::with_capacity(table.n_series());
        let mut codes = Vec::with_capacity(table.n_series());
        for (&source_code, &old_code) in source.codes.iter().zip(&destination.codes) {
            let result = &mut results[source_code as usize];
            if result.is_none() {
                let value = &source.values[source_code as usize];
                self.note_text(replacement.len() + n_references.saturating_mul(value.len()))?;
                *result = Some(replace.apply(value).map(|value| dictionary.code(&value.into())));
            }
            let new_code = result.flatten();
            is_changed.push(new_code.is_some());
            codes.push(new_code.unwrap_or(old_code));
        }
        let column = Column {
            codes,
            values: dictionary.finish(),
        };
        Ok((column, is_changed))
    }

    fn joined(&self, table: &SeriesTable, join: &LabelJoin) -> Result<Column, QueryError> {
        let sources: Vec<Arc<Column>> = join.sources.iter().map(|name| table.column(name)).collect();
        let mut dictionary = DictionaryBuilder::new();
        let mut codes = Vec::with_capacity(table.n_series());
        let mut last = None;
        for series_idx in 0..table.n_series() {
            let own = sources.iter().map(|column| column.codes[series_idx]);
            // Neighbours are lanes of one stream and mostly agree.
            if last.is_some_and(|last: usize| own.eq(sources.iter().map(|column| column.codes[last]))) {
                codes.push(codes[series_idx - 1]);
                continue;
            }
            last = Some(series_idx);
            let values = sources.iter().map(|column| &**column.value(series_idx));
            self.note_text(values.clone().map(str::len).sum())?;
            codes.push(dictionary.code(&join.apply(values).into()));
        }
        Ok(Column {
            codes,
            values: dictionary.finish(),
        })
    }

    /// Notes a text that is about to be made and may stay: others may be made of it, and so on.
    fn note_text(&self, n_bytes: usize) -> Result<(), QueryError> {
        self.ledger.try_add(n_bytes + size_of::<(Text, Text)>())
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
