//! `cargo run --release --bin promql-diff`: random data and random queries, the same to Meshtide
//! and to a real Prometheus 3.5.3; every difference is shown, made as small as can be.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use meshtide_tests::clock::now_ms;
use meshtide_tests::diff::metric::Repertoire;
use meshtide_tests::diff::run::{Outcome, Plan, aligned_end_ms, run};
use meshtide_tests::diff::servers::Program;
use meshtide_tests::peers;

/// Compares the answers of Meshtide with those of a real Prometheus to random queries over random data.
#[derive(Debug, Parser)]
struct Arguments {
    /// Data and queries follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Native histograms among the data, and info() among the queries.
    #[arg(long)]
    natives: bool,
    /// How many queries.
    #[arg(long, default_value_t = 1_000)]
    queries: u64,
    /// Number of the first query.
    #[arg(long, default_value_t = 0)]
    start_at: u64,
    /// When the data ends, seconds since the epoch; some hours ago if not given. Printed, for another run of the same.
    #[arg(long)]
    end_time: Option<i64>,
    /// How many differences are made small; the others are shown as they are.
    #[arg(long, default_value_t = 3)]
    shrink: usize,
    /// The Prometheus to compare with.
    #[arg(long, env = "MESHTIDE_PROMETHEUS")]
    prometheus: PathBuf,
    /// The Meshtide to test; the one beside this program if not given.
    #[arg(long, env = "MESHTIDE_BIN")]
    meshtide: Option<PathBuf>,
    /// Test a second Prometheus instead of Meshtide: there must be no difference.
    #[arg(long)]
    self_test: bool,
    /// Alter one of this many replies; the last line then says how many alterations were noticed.
    #[arg(long)]
    perturb_one_in: Option<u64>,
    /// Show also the differences that are justified.
    #[arg(long)]
    show_justified: bool,
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let end_ms = match arguments.end_time {
        Some(seconds) => seconds * 1_000,
        None => aligned_end_ms(now_ms()?),
    };
    println!("seed {}, data until {}", arguments.seed, end_ms / 1_000);
    let actual = if arguments.self_test {
        Program::Prometheus(arguments.prometheus.clone())
    } else {
        Program::Meshtide(arguments.meshtide.unwrap_or_else(peers::meshtide))
    };
    let plan = Plan {
        expected: Program::Prometheus(arguments.prometheus),
        actual,
        seed: arguments.seed,
        start_at: arguments.start_at,
        n_queries: arguments.queries,
        repertoire: if arguments.natives {
            Repertoire::Natives
        } else {
            Repertoire::Floats
        },
        end_ms,
        n_shrunk: arguments.shrink,
        perturb_one_in: arguments.perturb_one_in,
        shows_justified: arguments.show_justified,
    };
    let outcome = run(&plan, &mut |line| println!("{line}"))?;
    print_summary(&outcome);
    let noticed_all = outcome.n_perturbed_found == outcome.n_perturbed;
    Ok(if outcome.differences.is_empty() && noticed_all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn print_summary(outcome: &Outcome) {
    for (name, n_times) in &outcome.justified {
        println!("justified, {n_times} times: {name}");
    }
    if outcome.n_perturbed > 0 {
        println!(
            "{} replies altered, {} of them noticed",
            outcome.n_perturbed, outcome.n_perturbed_found
        );
    }
    println!(
        "{} queries, {} differences",
        outcome.n_queries,
        outcome.differences.len()
    );
}
