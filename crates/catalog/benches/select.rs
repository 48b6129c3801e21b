//! Matchers to series and their labels.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod population;

use std::hint::black_box;

use catalog::Catalog;
use criterion::{Criterion, criterion_group, criterion_main};
use model::{MatchOp, Matcher};

fn regex(name: &str, value: &str) -> Matcher {
    Matcher::new(MatchOp::Regex, name, value).expect("a good expression")
}

/// Selections by what they are for.
fn selectors(catalog: &Catalog) -> Vec<(&'static str, Vec<Matcher>)> {
    let middle = population::entity_series(population::n_entities() / 2);
    let one = [
        "__name__",
        "le",
        "pod",
        "reporter",
        "response_code",
        "destination_workload",
        "source_workload",
    ];
    let one = one.map(|name| Matcher::equal(name, middle[5].get(name)));
    assert!(catalog.select(&one).n_series() >= 1);
    let buckets = "istio_request_duration_milliseconds_bucket";
    vec![
        ("everything named istio_.*", vec![regex("__name__", "istio_.*")]),
        ("one series", one.into()),
        (
            "buckets of the source",
            vec![
                Matcher::equal("__name__", buckets),
                Matcher::equal("reporter", "source"),
            ],
        ),
        (
            "one bound of all",
            vec![Matcher::equal("__name__", buckets), Matcher::equal("le", "+Inf")],
        ),
        (
            "errors of a namespace",
            vec![
                Matcher::equal("__name__", "istio_requests_total"),
                regex("response_code", "5.*"),
                Matcher::equal("destination_service_namespace", "team-3"),
                Matcher::new(MatchOp::NotEqual, "source_workload", "unknown").expect("no regex"),
            ],
        ),
        (
            "pods by regex",
            vec![
                Matcher::equal("__name__", "istio_requests_total"),
                regex("pod", "workload-1.*-v1-.*"),
            ],
        ),
    ]
}

fn bench(criterion: &mut Criterion) {
    let catalog = population::catalog();
    let mut group = criterion.benchmark_group("select");
    for (purpose, matchers) in selectors(&catalog) {
        println!("{purpose}: checksum {}", catalog.select(&matchers).n_series());
        group.bench_function(purpose, |b| {
            b.iter(|| catalog.select(black_box(&matchers)).n_series());
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("label_column");
    let buckets = catalog.select(&[Matcher::equal(
        "__name__",
        "istio_request_duration_milliseconds_bucket",
    )]);
    let everything = catalog.select(&[]);
    for (picked, selection) in [("buckets", &buckets), ("everything", &everything)] {
        println!(
            "{picked}: {} series, {} streams",
            selection.n_series(),
            selection.streams().len()
        );
        for name in ["pod", "grpc_response_status", "le", "__name__"] {
            let n_values = catalog.label_column(selection, name).values.len();
            println!("{name}: checksum {n_values}");
            group.bench_function(format!("{name} of {picked}"), |b| {
                b.iter(|| catalog.label_column(black_box(selection), name).codes.len());
            });
        }
        group.bench_function(format!("label names of {picked}"), |b| {
            b.iter(|| catalog.selected_label_names(black_box(selection)).len());
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
