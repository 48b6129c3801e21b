//! Our own scripts, in the language of Prometheus', with the engine's default settings. To add a case, add a line.

mod support;

use query::EngineOptions;

#[test]
fn every_line_of_our_scripts_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let mut n_scripts = 0;
    let mut failures = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let options = EngineOptions {
            threads: 2,
            ..EngineOptions::default()
        };
        let report = support::runner::run(&std::fs::read_to_string(&path).unwrap(), &options);
        assert!(
            report.n_passed + report.failures.len() > 0,
            "{} is empty",
            path.display()
        );
        for (line, reason) in &report.failures {
            failures += &format!("{}:{line}: {reason}\n", path.display());
        }
        n_scripts += 1;
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(n_scripts >= 7, "only {n_scripts} scripts found");
}
