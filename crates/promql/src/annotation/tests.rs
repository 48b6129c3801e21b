use super::*;

#[track_caller]
fn check(annotation: &Annotation, expected: &str) {
    assert_eq!(annotation.to_string(), expected);
}

#[test]
fn warnings_have_the_texts_of_prometheus() {
    let metric = || "series".to_owned();
    check(
        &Annotation::InvalidQuantile(f64::NAN),
        "PromQL warning: quantile value should be between 0 and 1, got NaN",
    );
    check(
        &Annotation::InvalidRatio {
            ratio: -1.1,
            capped: -1.0,
        },
        "PromQL warning: ratio value should be between -1 and 1, got -1.1, capping to -1",
    );
    check(
        &Annotation::BadBucketLabel {
            metric: metric(),
            value: "Hello World".to_owned(),
        },
        "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"Hello World\" \
         for metric name \"series\"",
    );
    check(
        &Annotation::BadBucketLabel {
            metric: String::new(),
            value: String::new(),
        },
        "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\"",
    );
    check(
        &Annotation::MixedClassicNative { metric: metric() },
        "PromQL warning: vector contains a mix of classic and native histograms for metric name \"series\"",
    );
    check(
        &Annotation::CounterResetCollision(HistogramOperation::Aggregation),
        "PromQL warning: conflicting counter resets during histogram aggregation",
    );
}

#[test]
fn infos_have_the_texts_of_prometheus() {
    check(
        &Annotation::for_rate_of("go_\"goroutines\"").unwrap(),
        "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
         \"go_\\\"goroutines\\\"\"",
    );
    check(
        &Annotation::IncompatibleTypes {
            left: "float",
            operator: "+",
            right: "histogram",
        },
        "PromQL info: incompatible sample types encountered for binary operator \"+\": float + histogram",
    );
    check(
        &Annotation::HistogramIgnoredInAggregation { aggregation: "topk" },
        "PromQL info: ignored histogram in topk aggregation",
    );
    assert!(
        ["", "x_total", "x_sum", "x_count", "x_bucket"]
            .iter()
            .all(|name| Annotation::for_rate_of(name).is_none())
    );
}

#[test]
fn repairs_are_summed_up_in_one_annotation() {
    let repair = |lowest_bound: f64, highest_bound: f64, largest_drop: f64| Repair {
        lowest_bound,
        highest_bound,
        largest_drop,
    };
    let mut first = Annotation::forced_monotonicity("", 60_000, repair(1.0, 100.0, 10.0));
    let second = Annotation::forced_monotonicity("", 3_000_999, repair(0.25, f64::INFINITY, 1234.0));
    assert_eq!(first.key(), second.key());
    first.merge(&second);
    let head = "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
                https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
    assert_eq!(first.key(), head);
    check(
        &first,
        &format!(
            "{head}, from buckets 0.25 to +Inf, with a max diff of 1.2e+03, over 2 samples \
             from 1970-01-01T00:01:00Z to 1970-01-01T00:50:00Z"
        ),
    );
}
