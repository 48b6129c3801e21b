//! `meshtide promqltest FILE…`: runs Prometheus' test scripts against the real store and engine.
//!
//! Every eval is asked as the script says; then, as Prometheus' own runner does, an instant query is asked again with
//! its time fixed by `@` at other times, and as the middle of a range query: [`variants`]. [`compare`] knows when two
//! answers are equal, [`world`] holds the store of one script.

mod compare;
mod variants;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use promql::script::{CommandKind, parse_script};

use world::World;

/// The arguments of `meshtide promqltest`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Script files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Say which evals failed, and how
    #[arg(long, short)]
    verbose: bool,
}

/// Evals that passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
}

/// Runs all files; prints a line per file and a last one `N passed, M failed`. False when anything failed.
///
/// # Errors
/// If a file cannot be read or is no script.
#[expect(clippy::print_stdout, reason = "the tally is what the command is for")]
pub(crate) async fn run(arguments: &Arguments) -> Result<bool> {
    let mut total = Tally::default();
    for file in &arguments.files {
        let tally = run_file(file, arguments.verbose).await?;
        println!(
            "{}: {} passed, {} failed",
            file.display(),
            tally.passed,
            tally.failed
        );
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(total.failed == 0)
}

#[expect(clippy::print_stdout, reason = "the failures are what the user asked for")]
async fn run_file(file: &Path, verbose: bool) -> Result<Tally> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let script = parse_script(&text).with_context(|| format!("{} is no test script", file.display()))?;
    let mut world = World::new()?;
    let mut tally = Tally::default();
    for command in script {
        match command.kind {
            CommandKind::Clear => world = World::new()?,
            CommandKind::Load(load) => world.load(&load).with_context(|| at(file, command.line))?,
            CommandKind::Eval(eval) => match variants::check(&world, &eval).await {
                Ok(()) => tally.passed += 1,
                Err(reason) => {
                    tally.failed += 1;
                    if verbose {
                        println!("{}: {}\n    {reason:#}", at(file, command.line), eval.query);
                    }
                }
            },
        }
    }
    Ok(tally)
}

fn at(file: &Path, line: usize) -> String {
    format!("{}:{line}", file.display())
}
