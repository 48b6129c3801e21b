//! Which statements are answered: one question at a time, and nothing that would change anything.
//!
//! A closed list of what is allowed, so that a statement which a later parser learns is refused until somebody has
//! thought about it. The plan is checked a second time when it exists, because a query can hold an `INSERT`.

use datafusion::common::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::error::{of_planning, parse_error};
use crate::QueryError;

/// Nesting of one statement. The parser itself refuses more.
const NESTING_MAX: usize = 100;

/// Operators of one statement. Each may make the tree one level deeper, and not all that walks the tree is safe from
/// running out of stack. Lists (`IN (…)`, `VALUES`, columns) do not count.
const OPERATORS_MAX: usize = 500;

/// The statement of a text.
///
/// # Errors
/// [`QueryError::Parse`]: it is none, there are several, or it is no question.
pub(crate) fn parse(text: &str) -> Result<Statement, QueryError> {
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| of_planning(DataFusionError::from(ParserError::from(error))))?;
    if let Some(excess) = tokens
        .iter()
        .filter(|token| is_operator(&token.token))
        .nth(OPERATORS_MAX)
    {
        return Err(too_long(excess));
    }
    let parsed = DFParserBuilder::new(tokens)
        .with_recursion_limit(NESTING_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(of_planning)?;
    let Some(statement) = statements.pop_front() else {
        return Err(parse_error("there is no statement; try SELECT … or SHOW TABLES"));
    };
    if !statements.is_empty() {
        return Err(parse_error("only one statement at a time is answered"));
    }
    if !is_question(&statement) {
        return Err(refusal(&statement));
    }
    Ok(statement)
}

/// True for whatever can be repeated so that the tree becomes deeper.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::IN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::MINUS
                | Keyword::JOIN
                | Keyword::APPLY
                | Keyword::PIVOT
                | Keyword::UNPIVOT
                | Keyword::WITH
                | Keyword::DIV
                | Keyword::XOR
        ),
        Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::Number(..)
        | Token::Char(_)
        | Token::Whitespace(_)
        | Token::SemiColon
        | Token::EOF
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_) => false,
        _ => true,
    }
}

fn too_long(token: &TokenWithSpan) -> QueryError {
    let start = token.span.start;
    parse_error(format!(
        "{}:{}: a statement may have {OPERATORS_MAX} operators; IN (…) takes a list of any length",
        start.line, start.column
    ))
}

fn is_question(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            **statement,
            SqlStatement::Query(_)
                | SqlStatement::ExplainTable { .. }
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
        ),
        Statement::Explain(explain) => is_question(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

fn refusal(statement: &Statement) -> QueryError {
    let text = statement.to_string();
    let verb = text.split_whitespace().next().unwrap_or_default().to_uppercase();
    parse_error(format!(
        "{verb} is refused: SQL is read-only here; SELECT, WITH, VALUES, EXPLAIN, DESCRIBE, SHOW TABLES and SHOW \
         COLUMNS are answered"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match parse(text) {
            Err(QueryError::Parse { message }) => message,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn questions_are_taken() {
        for text in [
            "SELECT 1",
            "select * from samples;",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "VALUES (1)",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "DESCRIBE samples",
            "SHOW TABLES",
            "SHOW COLUMNS FROM samples",
            "(SELECT 1) UNION ALL (SELECT 2)",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_would_change_something_is_refused_by_name() {
        for text in [
            "INSERT INTO samples VALUES (1)",
            "UPDATE samples SET value = 1",
            "DELETE FROM samples",
            "TRUNCATE TABLE samples",
            "CREATE TABLE a AS SELECT 1",
            "CREATE VIEW a AS SELECT 1",
            "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE FUNCTION f() RETURNS INT RETURN 1",
            "DROP TABLE samples",
            "ALTER TABLE samples ADD COLUMN a INT",
            "COPY samples TO '/tmp/a.csv'",
            "COPY (SELECT 1) TO '/tmp/a.csv'",
            "SET datafusion.execution.batch_size = 1",
            "RESET datafusion.execution.batch_size",
            "PREPARE a AS SELECT 1",
            "EXECUTE a",
            "BEGIN",
            "EXPLAIN INSERT INTO samples VALUES (1)",
            "EXPLAIN ANALYZE COPY samples TO '/tmp/a.csv'",
        ] {
            assert!(refused(text).contains("read-only"), "{text}");
        }
        assert!(refused("drop table samples").starts_with("DROP is refused"));
    }

    #[test]
    fn there_is_exactly_one_statement() {
        assert!(refused("").contains("no statement"));
        assert!(refused("-- nothing").contains("no statement"));
        assert!(refused("SELECT 1; SELECT 2").contains("one statement"));
        assert!(refused("SELECT 1; DROP TABLE a").contains("one statement"));
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let misplaced = refused("SELECT *\n  FROM a b c");
        assert!(misplaced.starts_with("2:12: "), "{misplaced}");
        assert!(refused("SELECT 'a").starts_with("1:"), "{}", refused("SELECT 'a"));
        let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert_eq!(refused(&deep), "the statement is nested too deeply");
        let long = format!("SELECT {}", vec!["1"; 502].join("+"));
        assert!(
            refused(&long).starts_with("1:1009: a statement may have 500 operators"),
            "{}",
            refused(&long)
        );
        let list = format!("SELECT 1 IN ({})", vec!["1"; 5_000].join(", "));
        assert!(parse(&list).is_ok());
    }
}
