//! Text to tree: a query as Istio's dashboards send it, one with 100 kB of regex, and a long chain.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use promql::{ParseOptions, parse};

const DASHBOARD: &str = "histogram_quantile(0.99, sum by (le, destination_workload) \
    (irate(istio_request_duration_milliseconds_bucket{reporter=~\"source|waypoint\",connection_security_policy=\"mutual_tls\",\
    destination_workload=~\"reviews-v1|reviews-v2|reviews-v3\",destination_workload_namespace=\"bookinfo\"}[1m0s]))) / 1000 or \
    histogram_quantile(0.99, sum(irate(istio_request_duration_seconds_bucket{reporter=\"destination\"}[1m])) by (le))";

fn long_regex() -> String {
    let names: Vec<String> = (0..5_000).map(|n| format!("reviews-v{n}-7f4d8c")).collect();
    format!(
        "sum(rate(istio_requests_total{{pod=~\"{}\"}}[5m]))",
        names.join("|")
    )
}

fn parsing(criterion: &mut Criterion) {
    let options = ParseOptions::default();
    let regex = long_regex();
    let chain = vec!["sum(rate(istio_requests_total{app=\"a\"}[5m]))"; 400].join(" or ");
    for (name, query) in [
        ("dashboard", DASHBOARD),
        ("regex_100kb", &regex),
        ("chain_of_400", &chain),
    ] {
        let checksum = parse(query, &options).map(|expr| expr.to_string().len());
        assert!(checksum.is_ok(), "{name} does not parse");
        criterion.bench_function(&format!("parse/{name}"), |bencher| {
            bencher.iter(|| parse(black_box(query), &options));
        });
    }
    let expr = parse(DASHBOARD, &options);
    criterion.bench_function("print/dashboard", |bencher| {
        bencher.iter(|| black_box(&expr).as_ref().map(ToString::to_string));
    });
}

criterion_group!(benches, parsing);
criterion_main!(benches);
