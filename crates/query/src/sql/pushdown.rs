//! From conditions to what the store understands: matchers, a range of time, and the rest.
//!
//! A condition on nothing but series columns is tested once per series instead of once per sample, whatever it says.
//! If it is also one that a matcher can express, the store does not even list the series that fail it. Matchers only
//! have to let through what passes: the condition itself is tested afterwards in any case.

use arrow_schema::TimeUnit;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator, TableProviderFilterPushDown};
use model::{MatchOp, Matcher, TimeRange};

use super::columns::{SeriesColumn, TableColumn};

/// The columns of a table by name.
pub(crate) type Columns<'a> = &'a [(String, TableColumn)];

/// What the filters of a scan ask of the store.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// Series that fail one of them fail the filters.
    pub(crate) matchers: Vec<Matcher>,
    /// Samples outside fail the filters.
    pub(crate) range: TimeRange,
    /// To be tested on each series.
    pub(crate) of_series: Vec<Expr>,
}

/// How much of one filter a scan takes over.
pub(crate) fn support(columns: Columns<'_>, filter: &Expr) -> TableProviderFilterPushDown {
    if is_of_series(columns, filter) || time_range(columns, filter).is_some() {
        TableProviderFilterPushDown::Exact
    } else {
        TableProviderFilterPushDown::Unsupported
    }
}

/// What these filters, all of which hold, ask of the store.
pub(crate) fn push(columns: Columns<'_>, filters: &[Expr]) -> Pushed {
    let mut pushed = Pushed {
        matchers: Vec::new(),
        range: TimeRange::ALL,
        of_series: Vec::new(),
    };
    for filter in filters {
        if let Some(range) = time_range(columns, filter) {
            pushed.range = intersection(pushed.range, range);
        } else if is_of_series(columns, filter) {
            pushed.matchers.extend(matcher(columns, filter));
            pushed.of_series.push(filter.clone());
        }
    }
    pushed
}

fn intersection(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange {
        start_ms: one.start_ms.max(other.start_ms),
        end_ms: one.end_ms.min(other.end_ms),
    }
}

fn column<'a>(columns: Columns<'a>, name: &str) -> Option<&'a TableColumn> {
    let named = columns.iter().find(|(other, _)| other == name);
    named.map(|(_, column)| column)
}

/// True when the outcome depends on the series alone.
fn is_of_series(columns: Columns<'_>, filter: &Expr) -> bool {
    if filter.is_volatile() {
        return false;
    }
    let mut n_columns = 0;
    let mut fits = true;
    let walked = filter.apply(|expr| {
        match expr {
            Expr::Column(reference) => {
                n_columns += 1;
                fits &= column(columns, &reference.name).is_some_and(|column| column.of_series().is_some());
            }
            Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::Placeholder(_) => fits = false,
            _ => {}
        }
        Ok(if fits {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    walked.is_ok() && fits && n_columns > 0
}

/// The times that a comparison of the timestamp with a constant lets through, exactly.
fn time_range(columns: Columns<'_>, filter: &Expr) -> Option<TimeRange> {
    let is_time = |expr: &Expr| match expr {
        Expr::Column(reference) => column(columns, &reference.name) == Some(&TableColumn::Timestamp),
        _ => false,
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if is_time(left) {
                compared(*op, nanoseconds(right)?)
            } else if is_time(right) {
                compared(op.swap()?, nanoseconds(left)?)
            } else {
                None
            }
        }
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) if is_time(expr) => {
            let low = compared(Operator::GtEq, nanoseconds(low)?)?;
            let high = compared(Operator::LtEq, nanoseconds(high)?)?;
            Some(intersection(low, high))
        }
        _ => None,
    }
}

const NANOSECONDS_PER_MS: i128 = 1_000_000;

/// The milliseconds that compare so with a time in nanoseconds.
fn compared(op: Operator, nanoseconds: i128) -> Option<TimeRange> {
    let floor = nanoseconds.div_euclid(NANOSECONDS_PER_MS);
    let is_whole = nanoseconds.rem_euclid(NANOSECONDS_PER_MS) == 0;
    // The last millisecond before it.
    let before = if is_whole { floor - 1 } else { floor };
    let ms = |ms: i128| i64::try_from(ms).unwrap_or(if ms < 0 { i64::MIN } else { i64::MAX });
    let (start_ms, end_ms) = match op {
        Operator::Gt => (ms(floor), i64::MAX),
        Operator::GtEq => (ms(before), i64::MAX),
        Operator::Lt => (i64::MIN, ms(before)),
        Operator::LtEq => (i64::MIN, ms(floor)),
        Operator::Eq if is_whole => (ms(before), ms(floor)),
        Operator::Eq => (i64::MAX, i64::MIN),
        _ => return None,
    };
    Some(TimeRange { start_ms, end_ms })
}

/// A constant point in time.
fn nanoseconds(expr: &Expr) -> Option<i128> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    let (value, unit) = match value {
        ScalarValue::TimestampSecond(value, _) => (*value, TimeUnit::Second),
        ScalarValue::TimestampMillisecond(value, _) => (*value, TimeUnit::Millisecond),
        ScalarValue::TimestampMicrosecond(value, _) => (*value, TimeUnit::Microsecond),
        ScalarValue::TimestampNanosecond(value, _) => (*value, TimeUnit::Nanosecond),
        _ => return None,
    };
    let factor = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    Some(i128::from(value?) * factor)
}

/// A label, and whether the expression is NULL instead of empty when a series lacks it.
struct LabelRef<'a> {
    name: &'a str,
    nullable: bool,
}

/// The label that an expression is.
fn label<'a>(columns: Columns<'a>, expr: &'a Expr) -> Option<LabelRef<'a>> {
    match expr {
        Expr::Column(reference) => match column(columns, &reference.name)?.of_series()? {
            SeriesColumn::Label(name) => Some(LabelRef {
                name,
                nullable: false,
            }),
            SeriesColumn::Id | SeriesColumn::Labels => None,
        },
        // labels['name']
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
            let [Expr::Column(map), key] = call.args.as_slice() else {
                return None;
            };
            let is_map = column(columns, &map.name)?.of_series()? == &SeriesColumn::Labels;
            let name = text(key)?;
            // The map holds no metric name.
            (is_map && name != model::METRIC_NAME).then_some(LabelRef { name, nullable: true })
        }
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// A matcher that lets through every series for which the filter holds.
fn matcher(columns: Columns<'_>, filter: &Expr) -> Option<Matcher> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => any_of(columns, filter),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match label(columns, left) {
            Some(label) => comparison(&label, *op, text(right)?),
            None => comparison(&label(columns, right)?, op.swap()?, text(left)?),
        },
        Expr::InList(InList { expr, list, negated }) => {
            let label = label(columns, expr)?;
            let values: Option<Vec<&str>> = list.iter().map(text).collect();
            one_of(&label, *negated, &values?)
        }
        Expr::Like(Like {
            negated,
            expr,
            pattern,
            escape_char: None,
            case_insensitive: false,
        }) => {
            let label = label(columns, expr)?;
            regex(&label, *negated, &like_regex(text(pattern)?)?)
        }
        Expr::IsNotNull(expr) => {
            let label = label(columns, expr)?;
            let present = label
                .nullable
                .then(|| Matcher::new(MatchOp::NotEqual, label.name, ""));
            present?.ok()
        }
        Expr::IsNull(expr) => {
            let label = label(columns, expr)?;
            label.nullable.then(|| Matcher::equal(label.name, ""))
        }
        _ => None,
    }
}

fn comparison(label: &LabelRef<'_>, op: Operator, value: &str) -> Option<Matcher> {
    let op = match op {
        Operator::Eq => MatchOp::Equal,
        Operator::NotEq => MatchOp::NotEqual,
        Operator::RegexMatch if is_plain_regex(value) => {
            return regex(label, false, &format!(".*(?:{value}).*"));
        }
        Operator::RegexNotMatch if is_plain_regex(value) && !value.contains('.') => {
            return regex(label, true, &format!(".*(?:{value}).*"));
        }
        _ => return None,
    };
    if label.nullable && value.is_empty() {
        return None;
    }
    Matcher::new(op, label.name, value).ok()
}

/// `a = 'x' OR a = 'y' OR …`: what short lists become.
fn any_of(columns: Columns<'_>, filter: &Expr) -> Option<Matcher> {
    let mut name = None;
    let mut nullable = false;
    let mut values = Vec::new();
    let mut rest = vec![filter];
    while let Some(expr) = rest.pop() {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
            return None;
        };
        match op {
            Operator::Or => rest.extend([&**left, &**right]),
            Operator::Eq => {
                let label = label(columns, left)?;
                if name.is_some_and(|name| name != label.name) {
                    return None;
                }
                name = Some(label.name);
                nullable |= label.nullable;
                values.push(text(right)?);
            }
            _ => return None,
        }
    }
    let label = LabelRef {
        name: name?,
        nullable,
    };
    one_of(&label, false, &values)
}

fn one_of(label: &LabelRef<'_>, negated: bool, values: &[&str]) -> Option<Matcher> {
    let escaped: Vec<String> = values.iter().map(|value| regex::escape(value)).collect();
    regex(label, negated, &escaped.join("|"))
}

fn regex(label: &LabelRef<'_>, negated: bool, pattern: &str) -> Option<Matcher> {
    let op = if negated {
        MatchOp::NotRegex
    } else {
        MatchOp::Regex
    };
    // A NULL passes no condition where an absent label may pass the matcher. That is harmless; the other way round
    // would not be, and does not happen: where SQL has a text, so has the matcher.
    Matcher::new(op, label.name, pattern).ok()
}

/// The regular expression that says `LIKE pattern`; none for patterns with escapes.
fn like_regex(pattern: &str) -> Option<String> {
    let mut regex = String::with_capacity(pattern.len() + 8);
    for char in pattern.chars() {
        match char {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' => return None,
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    Some(regex)
}

/// True for patterns that mean the same in both dialects of regular expressions: SQL's are Rust's, PromQL's are Go's.
fn is_plain_regex(pattern: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || " _-.*+|()^$/:,=@".contains(char);
    pattern.chars().all(is_plain)
}
