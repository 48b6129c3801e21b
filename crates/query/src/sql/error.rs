//! What DataFusion says, told to the person who wrote the query.
//!
//! Positions are `line:column`, both counted from 1, before the message: `1:8: column 'x' not found`.

use datafusion::common::{DataFusionError, Diagnostic};
use datafusion::sql::sqlparser::parser::ParserError;

use crate::QueryError;

/// An error of reading or planning a statement. Nearly all are the fault of its text.
pub(crate) fn of_planning(error: DataFusionError) -> QueryError {
    if let Some(diagnostic) = error.diagnostic() {
        return parse_error(told(diagnostic));
    }
    match error {
        DataFusionError::SQL(parser, _) => parse_error(positioned(&parser)),
        DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => parse_error(message),
        DataFusionError::SchemaError(error, _) => parse_error(error.to_string()),
        // Nothing has been read yet: a constant that cannot be computed.
        DataFusionError::ArrowError(error, _) => parse_error(error.to_string()),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => of_planning(*inner),
        DataFusionError::Collection(errors) => errors
            .into_iter()
            .next()
            .map_or_else(|| QueryError::internal("no error"), of_planning),
        other => of_execution(other),
    }
}

/// An error of running a plan.
pub(crate) fn of_execution(error: DataFusionError) -> QueryError {
    match error {
        DataFusionError::Shared(inner) => of_shared(&inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => of_execution(*inner),
        DataFusionError::Collection(errors) => errors
            .into_iter()
            .next()
            .map_or_else(|| QueryError::internal("no error"), of_execution),
        DataFusionError::ArrowError(error, _) => QueryError::execution(error.to_string()),
        DataFusionError::Execution(message) | DataFusionError::NotImplemented(message) => {
            QueryError::execution(message)
        }
        other => QueryError::from(other),
    }
}

/// An error that several readers of one result share, and so cannot be taken.
fn of_shared(error: &DataFusionError) -> QueryError {
    match error {
        DataFusionError::Shared(inner) => of_shared(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => of_shared(inner),
        DataFusionError::ResourcesExhausted(message) => QueryError::Memory {
            message: message.clone(),
        },
        DataFusionError::External(inner) => match inner.downcast_ref::<QueryError>() {
            Some(QueryError::Canceled) => QueryError::Canceled,
            Some(QueryError::Timeout { stage, limit }) => QueryError::Timeout { stage, limit: *limit },
            _ => QueryError::execution(inner.to_string()),
        },
        other => QueryError::execution(other.strip_backtrace()),
    }
}

pub(crate) fn parse_error(message: impl Into<String>) -> QueryError {
    QueryError::Parse {
        message: message.into(),
    }
}

/// The parser puts the position at the end: `Expected: …, found: … at Line: 1, Column: 8`.
fn positioned(error: &ParserError) -> String {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => return "the statement is nested too deeply".to_owned(),
    };
    let Some((message, position)) = text.rsplit_once(" at Line: ") else {
        return text.clone();
    };
    match position.split_once(", Column: ") {
        Some((line, column)) => format!("{line}:{column}: {message}"),
        None => text.clone(),
    }
}

fn told(diagnostic: &Diagnostic) -> String {
    let mut text = match diagnostic.span {
        Some(span) => format!("{}:{}: ", span.start.line, span.start.column),
        None => String::new(),
    };
    text.push_str(&diagnostic.message);
    let helps = diagnostic.helps.iter().map(|help| &help.message);
    for more in diagnostic.notes.iter().map(|note| &note.message).chain(helps) {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_comes_first() {
        let parser =
            ParserError::ParserError("Expected: an expression, found: EOF at Line: 2, Column: 8".into());
        assert_eq!(positioned(&parser), "2:8: Expected: an expression, found: EOF");
        let placeless = ParserError::ParserError("something".into());
        assert_eq!(positioned(&placeless), "something");
    }

    #[test]
    fn our_own_errors_come_out_of_any_wrapping() {
        let own = || DataFusionError::from(QueryError::Canceled);
        let shared = DataFusionError::Shared(std::sync::Arc::new(own()));
        assert!(matches!(of_execution(shared), QueryError::Canceled));
        assert!(matches!(
            of_execution(own().context("in a join")),
            QueryError::Canceled
        ));
        let memory = DataFusionError::ResourcesExhausted("much".into()).context("in a sort");
        assert!(matches!(of_planning(memory), QueryError::Memory { .. }));
    }
}
