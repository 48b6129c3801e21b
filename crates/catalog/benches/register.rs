//! New series: the whole population into an empty catalog, by labels and by replayed definitions.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod population;

use std::time::{Duration, Instant};

use catalog::{Catalog, CatalogLimits, Definition, HashSecret};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn empty() -> Catalog {
    Catalog::new(CatalogLimits::default(), HashSecret::from_seed(1))
}

/// Registers everything, counting only the time inside the catalog.
fn register_all() -> (Duration, usize) {
    let mut catalog = empty();
    let mut spent = Duration::ZERO;
    let mut n_definitions = 0;
    for entity in 0..population::n_entities() {
        let series = population::entity_series(entity);
        let start = Instant::now();
        for labels in &series {
            n_definitions += catalog.register(labels).expect("within the limits").created.len();
        }
        spent += start.elapsed();
    }
    (spent, n_definitions)
}

fn report(catalog: &Catalog) {
    let statistics = catalog.statistics();
    println!("{statistics:?}");
    println!(
        "catalog: {:.1} bytes per series, the resolver apart",
        statistics.heap_bytes as f64 / statistics.n_series as f64
    );
}

fn bench(criterion: &mut Criterion) {
    let catalog = population::catalog();
    report(&catalog);
    let definitions: Vec<Definition> = catalog.definitions().collect();
    println!("checksum {}", definitions.len());

    let mut group = criterion.benchmark_group("register");
    group.sample_size(10);
    group.throughput(Throughput::Elements(catalog.n_series() as u64));
    group.bench_function("new series", |b| {
        b.iter_custom(|n_times| {
            let runs = (0..n_times).map(|_| register_all());
            runs.map(|(spent, n_definitions)| {
                assert_eq!(n_definitions, definitions.len());
                spent
            })
            .sum()
        });
    });
    group.bench_function("replay", |b| {
        b.iter(|| {
            let mut catalog = empty();
            for definition in &definitions {
                catalog.apply(definition).expect("in order");
            }
            catalog.n_series()
        });
    });
    group.throughput(Throughput::Elements(population::SERIES_PER_ENTITY as u64));
    let known = population::entity_series(population::n_entities() / 2);
    group.bench_function("find known series", |b| {
        b.iter(|| {
            known
                .iter()
                .filter(|labels| catalog.find(labels).is_some())
                .count()
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
