//! Prometheus' own test scripts, when they lie beside the checkout: `../shared/conformance/promqltest`, or in the folder
//! `$MESHTIDE_SHARED/conformance/promqltest`. With `VERBOSE` set, every query that fails is printed.

mod support;

use std::path::{Path, PathBuf};

use query::EngineOptions;

/// How many queries of each script pass here, where samples lie in memory, without start timestamps. Raise a number when
/// it grows; it must never fall.
const PASSED: [(&str, usize); 21] = [
    ("aggregators.test", 160),
    ("at_modifier.test", 78),
    ("collision.test", 2),
    ("duration_expression.test", 59),
    ("extended_vectors.test", 120),
    ("fill-modifier.test", 46),
    ("functions.test", 431),
    ("histograms.test", 185),
    ("info.test", 52),
    ("limit.test", 37),
    ("literals.test", 25),
    ("name_label_dropping.test", 30),
    ("native_histograms.test", 522),
    ("operators.test", 214),
    ("range_queries.test", 18),
    ("selectors.test", 31),
    ("staleness.test", 17),
    ("start_timestamps.test", 2),
    ("subquery.test", 34),
    ("trig_functions.test", 19),
    ("type_and_unit.test", 58),
];

/// The engine that Prometheus runs its scripts with.
fn options() -> EngineOptions {
    EngineOptions {
        experimental: true,
        delayed_name_removal: true,
        threads: 2,
        ..EngineOptions::default()
    }
}

fn scripts() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("MESHTIDE_SHARED") {
        return Some(Path::new(&folder).join("conformance/promqltest"));
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promqltest");
    beside.is_dir().then_some(beside)
}

#[test]
fn prometheus_scripts_pass_as_far_as_they_ever_did() {
    let Some(folder) = scripts() else {
        return;
    };
    for (name, n_expected) in PASSED {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let report = support::runner::run(&text, &options());
        let (n_passed, n_failed) = (report.n_passed, report.failures.len());
        println!("{name}: {n_passed} passed, {n_failed} failed");
        if std::env::var_os("VERBOSE").is_some() {
            for (line, reason) in &report.failures {
                println!("    line {line}: {reason}");
            }
        }
        assert!(
            n_passed >= n_expected,
            "{name}: {n_passed} passed, there were {n_expected}"
        );
    }
}
