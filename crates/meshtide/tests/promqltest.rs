//! The project's own PromQL scripts, and Prometheus' if they are there, run by the real binary.

use std::path::{Path, PathBuf};
use std::process::Command;

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    files.sort();
    files
}

fn run(files: &[PathBuf]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_meshtide"))
        .arg("promqltest")
        .arg("--verbose")
        .args(files)
        .output()
        .expect("the binary starts");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn the_projects_own_scripts_pass() {
    let files = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/promql"));
    assert!(files.len() >= 4);
    let (passed, text) = run(&files);
    assert!(passed, "{text}");
    assert!(text.trim_end().ends_with("passed, 0 failed"), "{text}");
}
