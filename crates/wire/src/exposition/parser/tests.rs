use super::*;

fn samples(text: &str) -> Vec<SampleLine<'_>> {
    Parser::new(text, Dialect::Text)
        .filter_map(|event| match event.unwrap() {
            Event::Sample(sample) => Some(sample),
            _ => None,
        })
        .collect()
}

fn only(line: &str) -> SampleLine<'_> {
    let mut found = samples(line);
    assert_eq!(found.len(), 1, "{line}");
    found.remove(0)
}

fn error(line: &str) -> &'static str {
    let found: Vec<_> = Parser::new(line, Dialect::Text).collect();
    match found[..] {
        [Err(ParseError { line: 1, what })] => what,
        ref other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_sample_has_name_labels_value_and_time() {
    let sample = only("istio_requests_total{reporter=\"source\",le=\"+Inf\"} 310 1795238213618");
    assert_eq!(sample.metric_name, "istio_requests_total");
    assert_eq!(
        sample.labels,
        [("reporter".into(), "source".into()), ("le".into(), "+Inf".into())]
    );
    assert_eq!(
        (sample.value, sample.timestamp_ms),
        (310.0, Some(1_795_238_213_618))
    );
}

#[test]
fn odd_but_valid_lines_are_read() {
    assert_eq!(only("envoy_server_live{} 1").labels, []);
    assert_eq!(only("up 1").metric_name, "up");
    assert_eq!(
        only("  up\t { a = \"b\" , } \t 1  7 ").labels,
        [("a".into(), "b".into())]
    );
    assert_eq!(only("up 1\r\n").value, 1.0);
    assert_eq!(only("a:b{x=\"\"} .5e3").value, 500.0);
    assert_eq!(only("x +Inf").value, f64::INFINITY);
    assert_eq!(only("x -Inf").value, f64::NEG_INFINITY);
    assert_eq!(only("x{a=\"1\",a=\"2\"} 1").labels.len(), 2);
    assert_eq!(
        only(r#"x{a="\\ \" \n \q # } größe"} 1"#).labels[0].1,
        "\\ \" \n \\q # } größe"
    );
}

#[test]
fn every_nan_becomes_the_one_prometheus_stores() {
    assert_eq!(only("x NaN").value.to_bits(), 0x7ff8_0000_0000_0001);
    assert_eq!(only("x nan").value.to_bits(), 0x7ff8_0000_0000_0001);
}

#[test]
fn names_may_be_quoted() {
    let sample = only("{\"my.metric\",\"http.code\"=\"200\"} 2");
    assert_eq!(sample.metric_name, "my.metric");
    assert_eq!(sample.labels, [("http.code".into(), "200".into())]);
}

#[test]
fn metadata_is_read() {
    let text = "# HELP x_total Says \\\\ and\\nmore.\n# TYPE x_total counter\n#TYPE y untyped \n# UNIT y bytes\n\
                # a comment\n#\n\n# TYPE \"my.metric\" gauge\n# HELP empty\n";
    let events: Vec<_> = Parser::new(text, Dialect::Text).map(Result::unwrap).collect();
    let typed = |name: &'static str, metric_type| Event::Type {
        metric_name: name.into(),
        metric_type,
    };
    assert_eq!(
        events,
        [
            Event::Help {
                metric_name: "x_total".into(),
                help: "Says \\ and\nmore.".into()
            },
            typed("x_total", MetricType::Counter),
            typed("y", MetricType::Unknown),
            Event::Unit {
                metric_name: "y".into(),
                unit: "bytes"
            },
            typed("my.metric", MetricType::Gauge),
            Event::Help {
                metric_name: "empty".into(),
                help: "".into()
            },
        ]
    );
}

#[test]
fn openmetrics_has_seconds_exemplars_and_an_end() {
    let text = "a_bucket{le=\"1\"} 3 1520879607.789 # {trace_id=\"x}y\"} 0.67 1520879607.1\nb 1 # {} 2\n# EOF\nc 1\n";
    let events: Vec<_> = Parser::new(text, Dialect::OpenMetrics)
        .map(Result::unwrap)
        .collect();
    let [Event::Sample(first), Event::Sample(second)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        (first.timestamp_ms, first.has_exemplar),
        (Some(1_520_879_607_789), true)
    );
    assert_eq!((second.timestamp_ms, second.has_exemplar), (None, true));
}

#[test]
fn broken_lines_say_what_is_wrong_and_where() {
    assert_eq!(error("{} 1"), "sample without a metric name");
    assert_eq!(error("x"), "value that is no number");
    assert_eq!(error("x one"), "value that is no number");
    assert_eq!(error("x 1 1.5"), "timestamp that is no time");
    assert_eq!(error("x 1 2 3"), "text after the end of the sample");
    assert_eq!(error("x.y 1"), "character that no name may have without quotes");
    assert_eq!(error("x{a=b} 1"), "text without quotes");
    assert_eq!(error("x{a=\"b} 1"), "quotes without an end");
    assert_eq!(error("x{a=\"b\\"), "quotes without an end");
    assert_eq!(
        error("x{a=\"b\""),
        "labels without a comma between them, or without an end"
    );
    assert_eq!(
        error("x{a=\"b\" c=\"d\"} 1"),
        "labels without a comma between them, or without an end"
    );
    assert_eq!(error("x{=\"b\"} 1"), "label without a name");
    assert_eq!(error("x{\"b\"} 1"), "label without a value");
    assert_eq!(error("x{a} 1"), "label without a value");
    assert_eq!(error("# TYPE x wonderful"), "unknown metric type");
    assert_eq!(error("# TYPE"), "metadata without a metric name");
    assert_eq!(error("# HELP x \\"), "backslash at the end of a text");
    let errors: Vec<_> = Parser::new("good 1\nbad\ngood 1", Dialect::Text)
        .filter_map(Result::err)
        .collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to_string(), "line 2: value that is no number");
}
