//! `/api/v1/format_query` and `/api/v1/parse_query`: a query laid out, and its tree as JSON.
//!
//! The tree is that of Prometheus' API, key by key, in the order of the alphabet.
//!
//! Source: Prometheus 3.14 `web/api/v1/translate_ast.go`.

use model::number::push_plain_float;
use model::{MatchOp, Matcher};
use promql::ast::{
    Aggregate, At, Binary, Call, Cardinality, DurationExpr, DurationKind, Expr, ExprKind, Extended, Shift,
    ValueType, VectorMatching, VectorSelector,
};
use serde_json::{Value, json};

use crate::app::IfReady;
use crate::json;
use crate::params::Params;
use crate::reply::{ApiResult, Reply, success};

/// The query, laid out.
pub(crate) async fn format_query(ready: IfReady, reply: Reply, params: Params) -> ApiResult {
    let text = params.get("query").to_owned();
    let written = ready.opened.engine.inspect(text, |expr, text| {
        let pretty = promql::pretty(expr, text);
        success(|json| json::push_string(json, &pretty))
    });
    Ok(reply.text(json::CONTENT_TYPE, written.await?))
}

/// The tree of the query.
pub(crate) async fn parse_query(ready: IfReady, reply: Reply, params: Params) -> ApiResult {
    let text = params.get("query").to_owned();
    let written = ready.opened.engine.inspect(text, |expr, text| {
        let tree = Tree { text }.expr(expr).to_string();
        success(|json| json.push_str(&tree))
    });
    Ok(reply.text(json::CONTENT_TYPE, written.await?))
}

struct Tree<'a> {
    /// What was parsed, which alone says whether a number was written as a duration.
    text: &'a str,
}

impl Tree<'_> {
    fn expr(&self, expr: &Expr) -> Value {
        match &expr.kind {
            ExprKind::Number(value) => json!({ "type": "numberLiteral", "val": plain(*value) }),
            ExprKind::String(text) => json!({ "type": "stringLiteral", "val": text }),
            ExprKind::Paren(inner) => json!({ "type": "parenExpr", "expr": self.expr(inner) }),
            ExprKind::Negate(inner) => json!({ "type": "unaryExpr", "op": "-", "expr": self.expr(inner) }),
            ExprKind::Plus(inner) => json!({ "type": "unaryExpr", "op": "+", "expr": self.expr(inner) }),
            ExprKind::Selector(selector) => {
                let mut node = self.selector(selector);
                node["type"] = json!("vectorSelector");
                node
            }
            ExprKind::Range(range) => {
                let mut node = self.selector(&range.selector);
                node["type"] = json!("matrixSelector");
                self.set_duration(&mut node, "range", Some(&range.range));
                node
            }
            ExprKind::Subquery(subquery) => {
                let mut node = json!({ "type": "subquery", "expr": self.expr(&subquery.expr) });
                self.set_shift(&mut node, &subquery.shift);
                self.set_duration(&mut node, "range", Some(&subquery.range));
                self.set_duration(&mut node, "step", subquery.step.as_ref());
                node
            }
            ExprKind::Call(call) => self.call(call),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate),
            ExprKind::Binary(binary) => self.binary(binary),
        }
    }

    fn selector(&self, selector: &VectorSelector) -> Value {
        // The name in front of the braces is a matcher behind all others.
        let n_names = usize::from(selector.name.is_some() && !selector.matchers.is_empty());
        let (names, others) = selector.matchers.split_at(n_names);
        let matchers: Vec<Value> = others.iter().chain(names).map(matcher).collect();
        let mut node = json!({
            "name": selector.name.as_deref().unwrap_or_default(),
            "matchers": matchers,
            "anchored": selector.extended == Some(Extended::Anchored),
            "smoothed": selector.extended == Some(Extended::Smoothed),
        });
        self.set_shift(&mut node, &selector.shift);
        node
    }

    fn set_shift(&self, node: &mut Value, shift: &Shift) {
        self.set_duration(node, "offset", shift.offset.as_ref());
        node["timestamp"] = match shift.at {
            Some(At::Timestamp(ms)) => json!(ms),
            _ => Value::Null,
        };
        node["startOrEnd"] = match shift.at {
            Some(At::Start) => json!("start"),
            Some(At::End) => json!("end"),
            _ => Value::Null,
        };
    }

    /// A duration in milliseconds, or as an expression if it is not plain.
    fn set_duration(&self, node: &mut Value, name: &str, duration: Option<&DurationExpr>) {
        let (ms, expr) = match duration {
            None => (0, Value::Null),
            Some(duration) => match duration.kind {
                // Go has nanoseconds.
                DurationKind::Literal(seconds) => ((seconds * 1e9).round() as i64 / 1_000_000, Value::Null),
                _ => (0, self.duration(duration)),
            },
        };
        node[name] = json!(ms);
        node[format!("{name}Expr")] = expr;
    }

    fn duration(&self, duration: &DurationExpr) -> Value {
        let node = |op: &str, left: Value, right: Value| json!({ "type": "durationExpr", "op": op, "lhs": left, "rhs": right, "wrapped": false });
        match &duration.kind {
            DurationKind::Literal(seconds) => json!({
                "type": "numberLiteral",
                "val": plain(*seconds),
                "duration": promql::is_duration_text(duration.span.of(self.text)),
            }),
            DurationKind::Step => node("step", Value::Null, Value::Null),
            DurationKind::Range => node("range", Value::Null, Value::Null),
            DurationKind::MinOf(left, right) => node("min_of", self.duration(left), self.duration(right)),
            DurationKind::MaxOf(left, right) => node("max_of", self.duration(left), self.duration(right)),
            DurationKind::Negate(inner) => node("-", Value::Null, self.duration(inner)),
            DurationKind::Binary(op, left, right) => {
                node(op.as_str(), self.duration(left), self.duration(right))
            }
            DurationKind::Paren(inner) => {
                // A number in parentheses counts as one with a sign.
                let mut wrapped = match inner.kind {
                    DurationKind::Literal(_) => node("+", Value::Null, self.duration(inner)),
                    _ => self.duration(inner),
                };
                wrapped["wrapped"] = json!(true);
                wrapped
            }
        }
    }

    fn call(&self, call: &Call) -> Value {
        let function = call.function;
        let types: Vec<&str> = function.arguments.iter().copied().map(type_word).collect();
        let arguments: Vec<Value> = call
            .arguments
            .iter()
            .map(|argument| self.expr(argument))
            .collect();
        json!({
            "type": "call",
            "func": {
                "name": function.name,
                "argTypes": types,
                "variadic": function.variadic,
                "returnType": type_word(function.returns),
            },
            "args": arguments,
        })
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Value {
        json!({
            "type": "aggregation",
            "op": aggregate.op.as_str(),
            "expr": self.expr(&aggregate.expr),
            "param": aggregate.parameter.as_deref().map(|parameter| self.expr(parameter)),
            "grouping": aggregate.grouping.labels,
            "without": aggregate.grouping.without,
        })
    }

    fn binary(&self, binary: &Binary) -> Value {
        json!({
            "type": "binaryExpr",
            "op": binary.op.as_str(),
            "lhs": self.expr(&binary.left),
            "rhs": self.expr(&binary.right),
            "matching": binary.matching.as_ref().map(matching),
            "bool": binary.return_bool,
        })
    }
}

fn matching(matching: &VectorMatching) -> Value {
    json!({
        "card": match matching.cardinality {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        },
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": { "lhs": matching.fill_left, "rhs": matching.fill_right },
    })
}

fn matcher(matcher: &Matcher) -> Value {
    let op = match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    json!({ "name": matcher.name(), "value": matcher.value(), "type": op })
}

fn type_word(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}

fn plain(value: f64) -> String {
    let mut text = String::new();
    push_plain_float(&mut text, value);
    text
}
