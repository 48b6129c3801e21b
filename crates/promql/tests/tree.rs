//! The trees of some queries, node by node, with their positions.

use model::{MatchOp, Matcher};
use promql::ast::{
    AggregateOp, At, BinaryOp, Cardinality, DurationKind, Expr, ExprKind, Extended, ValueType, VectorSelector,
};
use promql::{ParseOptions, QueryTiming, parse, parse_selector};

fn tree(query: &str) -> Expr {
    parse(query, &ParseOptions::ALL).unwrap()
}

fn selector(expr: &Expr) -> &VectorSelector {
    match &expr.kind {
        ExprKind::Selector(selector) => selector,
        ExprKind::Range(matrix) => &matrix.selector,
        other => panic!("no selector: {other:?}"),
    }
}

#[test]
fn a_selector_keeps_its_matchers_in_order_and_its_name() {
    let expr = tree("up{a=\"b\", c!~'d'}");
    let expected = [
        Matcher::equal("__name__", "up"),
        Matcher::equal("a", "b"),
        Matcher::new(MatchOp::NotRegex, "c", "d").unwrap(),
    ];
    assert_eq!(selector(&expr).matchers, expected);
    assert_eq!(selector(&expr).name.as_deref(), Some("up"));
    let quoted = tree("{a=\"b\", 'x.y'}");
    assert_eq!(selector(&quoted).name, None);
    assert_eq!(selector(&quoted).matchers[1], Matcher::equal("__name__", "x.y"));
    assert_eq!(selector(&tree("{__name__=\"up\"}")).name, None);
}

#[test]
fn every_node_knows_where_it_stands() {
    let query = "1 + sum by (x) (rate(a{b=\"c\"}[5m] offset -1h)) / -(b)";
    let expr = tree(query);
    let ExprKind::Binary(sum) = &expr.kind else {
        panic!()
    };
    let ExprKind::Binary(quotient) = &sum.right.kind else {
        panic!()
    };
    let ExprKind::Aggregate(aggregate) = &quotient.left.kind else {
        panic!()
    };
    let ExprKind::Call(rate) = &aggregate.expr.kind else {
        panic!()
    };
    let ExprKind::Range(matrix) = &rate.arguments[0].kind else {
        panic!()
    };
    let ExprKind::Negate(parenthesis) = &quotient.right.kind else {
        panic!()
    };
    let offset = matrix.selector.shift.offset.as_ref().unwrap();
    for (span, written) in [
        (expr.span, query),
        (sum.left.span, "1"),
        (quotient.left.span, "sum by (x) (rate(a{b=\"c\"}[5m] offset -1h))"),
        (aggregate.expr.span, "rate(a{b=\"c\"}[5m] offset -1h)"),
        (rate.arguments[0].span, "a{b=\"c\"}[5m] offset -1h"),
        (matrix.selector_span, "a{b=\"c\"}"),
        (matrix.range.span, "5m"),
        (offset.span, "-1h"),
        (quotient.right.span, "-(b)"),
        (parenthesis.span, "(b)"),
    ] {
        assert_eq!(span.of(query), written);
    }
}

#[test]
fn matching_is_settled_by_the_types_of_the_operands() {
    let matching = |query: &str| match tree(query).kind {
        ExprKind::Binary(binary) => binary.matching,
        other => panic!("{other:?}"),
    };
    assert_eq!(matching("a + 1"), None);
    assert_eq!(matching("1 + on() 1"), None);
    let cardinality = |query: &str| matching(query).unwrap().cardinality;
    assert_eq!(cardinality("a + b"), Cardinality::OneToOne);
    assert_eq!(cardinality("a and on(x) b"), Cardinality::ManyToMany);
    assert_eq!(cardinality("a + on(x) group_left b"), Cardinality::ManyToOne);
    assert_eq!(
        cardinality("a + ignoring(x) group_right(y) b"),
        Cardinality::OneToMany
    );
    let both = matching("a + ignoring(x) group_right(y) fill(2) b").unwrap();
    assert_eq!(
        (both.on, both.labels, both.include),
        (false, vec!["x".into()], vec!["y".into()])
    );
    assert_eq!((both.fill_left, both.fill_right), (Some(2.0), Some(2.0)));
}

#[test]
fn operators_bind_as_prometheus_says() {
    let top = |query: &str| match tree(query).kind {
        ExprKind::Binary(binary) => (binary.op, binary.left.to_string(), binary.right.to_string()),
        other => panic!("{other:?}"),
    };
    let check = |query: &str, op: BinaryOp, left: &str, right: &str| {
        assert_eq!(top(query), (op, left.to_owned(), right.to_owned()), "{query}");
    };
    check("a ^ b ^ c", BinaryOp::Pow, "a", "b ^ c");
    check("a - b - c", BinaryOp::Sub, "a - b", "c");
    check("-a * b", BinaryOp::Mul, "-a", "b");
    check("2 ^ -a * b", BinaryOp::Mul, "2 ^ -a", "b");
    check("a atan2 b + c", BinaryOp::Add, "a atan2 b", "c");
    check("a + b </ c", BinaryOp::TrimUpper, "a + b", "c");
    check("a and b or c unless d", BinaryOp::Or, "a and b", "c unless d");
    check("a offset 5m ^ 2", BinaryOp::Pow, "a offset 5m", "2");
    assert!(matches!(tree("-a ^ b").kind, ExprKind::Negate(_)));
    assert!(matches!(tree("-1 ^ 2").kind, ExprKind::Negate(_)));
    assert!(matches!(tree("+a").kind, ExprKind::Plus(_)));
    assert_eq!(tree("- - 1").kind, ExprKind::Number(1.0));
}

#[test]
fn modifiers_reach_the_selector_they_follow() {
    let expr = tree("rate(a[5m] smoothed @ 1.5 offset 1h)");
    let ExprKind::Call(rate) = &expr.kind else {
        panic!()
    };
    let selector = selector(&rate.arguments[0]);
    assert_eq!(selector.extended, Some(Extended::Smoothed));
    assert_eq!(selector.shift.at, Some(At::Timestamp(1500)));
    let offset = selector.shift.offset.as_ref().unwrap();
    assert_eq!(offset.kind, DurationKind::Literal(3600.0));
    let ExprKind::Subquery(subquery) = tree("a[1h:] @ end()").kind else {
        panic!()
    };
    assert_eq!((subquery.step, subquery.shift.at), (None, Some(At::End)));
}

#[test]
fn aggregations_take_their_grouping_from_either_side() {
    for query in ["topk by (x, \"y z\") (1, a)", "topk(1, a) by (x, 'y z',)"] {
        let ExprKind::Aggregate(aggregate) = tree(query).kind else {
            panic!()
        };
        assert_eq!(aggregate.op, AggregateOp::Topk);
        assert_eq!(aggregate.grouping.labels, ["x", "y z"]);
        assert_eq!(aggregate.parameter.unwrap().kind, ExprKind::Number(1.0));
    }
}

#[test]
fn types_follow_from_the_parts() {
    let check = |query: &str, expected: ValueType| assert_eq!(tree(query).value_type(), expected, "{query}");
    check("-(1 + 2)", ValueType::Scalar);
    check("1 + a", ValueType::Vector);
    check("'a'", ValueType::String);
    check("a[5m]", ValueType::Matrix);
    check("(a)[5m:]", ValueType::Matrix);
    check("scalar(a)", ValueType::Scalar);
    check("topk(1, a)", ValueType::Vector);
}

#[test]
fn durations_are_computed_when_the_step_is_known() {
    let timing = QueryTiming {
        step_ms: 15_000,
        range_ms: 3_600_000,
    };
    let value = |duration: &str| match tree(&format!("a[{duration}]")).kind {
        ExprKind::Range(matrix) => matrix
            .range
            .evaluate_positive_ms(timing)
            .map_err(|error| error.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(value("5m"), Ok(300_000));
    assert_eq!(value("1.001"), Ok(1001));
    assert_eq!(value("1 + 2 * 3 ^ 2 % 5"), Ok(1000 + 2 * 9 % 5 * 1000));
    assert_eq!(value("step() * 4"), Ok(60_000));
    assert_eq!(value("range() / 60"), Ok(60_000));
    assert_eq!(value("min_of(step(), 1m)"), Ok(15_000));
    assert_eq!(value("max_of(-step(), 1m - 30s)"), Ok(30_000));
    assert_eq!(value("-5m + 6m"), Ok(60_000));
    assert_eq!(
        value("1m - 60"),
        Err("2:9: duration must be greater than 0".to_owned())
    );
    assert_eq!(
        value("1 / (step() - 15)"),
        Err("2:19: division by zero".to_owned())
    );
    assert_eq!(value("1 % (step() - 15)"), Err("2:19: modulo by zero".to_owned()));
    assert_eq!(
        value("10 ^ 300 * 10 ^ 300"),
        Err("2:21: duration is NaN or infinite".to_owned())
    );
    assert_eq!(value("10 ^ 10"), Err("2:9: duration is out of range".to_owned()));
    let ExprKind::Selector(selector) = tree("a offset -step()").kind else {
        panic!()
    };
    assert_eq!(selector.shift.offset.unwrap().evaluate_ms(timing), Ok(-15_000));
}

#[test]
fn match_parameters_are_selectors_and_nothing_more() {
    let matchers = parse_selector("up{job=~'a|b'}").unwrap();
    assert_eq!(matchers.len(), 2);
    assert_eq!(parse_selector("{}").unwrap(), []);
    assert_eq!(parse_selector("sum").unwrap().len(), 1);
    let check = |text: &str, expected: &str| {
        assert_eq!(parse_selector(text).unwrap_err().to_string(), expected, "{text}");
    };
    check("", "unknown position: parse error: unexpected end of input");
    check("up[5m]", "1:3: parse error: unexpected \"[\"");
    check("up offset 5m", "1:4: parse error: unexpected <offset>");
    check("sum(up)", "1:4: parse error: unexpected \"(\"");
    check("1", "1:1: parse error: unexpected number \"1\"");
    check(
        "{a}",
        "1:3: parse error: unexpected \"}\" in label matching, expected label matching operator",
    );
}
