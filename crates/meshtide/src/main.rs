//! The `meshtide` command: arguments, configuration, runtimes, signals.
//!
//! The only place that reads the wall clock, the environment and true randomness. Exit codes: 0 done, 1 failed,
//! 2 wrong usage.
#![deny(unsafe_code)]

mod allocator;
mod clock;
mod config;
mod demo;
mod failure;
mod inspect;
mod promqltest;
mod serve;
mod service;
mod signals;
mod simulate;
mod sql;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use clock::SystemClock;
use tracing_subscriber::EnvFilter;

/// The metrics store that a service mesh deserves.
///
/// Takes Prometheus remote write, keeps every acknowledged sample on disk, answers PromQL for Grafana and Kiali,
/// and serves /federate to whatever collects downstream.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
First steps:
  meshtide demo                             a simulated mesh in a fresh server, with queries to try
  meshtide sql 'SHOW TABLES' --url http://127.0.0.1:9090
                                            the same data in SQL; `meshtide sql --help` has more
  meshtide serve --data-dir ./data          a server; then, in prometheus.yml:

      remote_write:
        - url: http://127.0.0.1:9090/api/v1/write

Log lines go to stderr; RUST_LOG=debug shows more of them.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::ServeArguments),
    /// Run a server with a simulated bookinfo mesh in it, and print what to try
    Demo(demo::DemoArguments),
    /// Send a synthetic Istio mesh by remote write, to this or any other server
    Simulate(simulate::Plan),
    /// Tell what a data directory holds, and whether it is sound
    Inspect(inspect::InspectArguments),
    /// Ask a server or a data directory in SQL
    Sql(sql::Arguments),
    /// Run Prometheus' test scripts against this store and engine
    Promqltest(promqltest::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The stores that scripts and statements run on have nothing to tell that somebody wants to read.
    let level = match &arguments.command {
        Command::Promqltest(_) | Command::Sql(_) => "warn",
        _ => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
    match run(arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failure::report(&error),
    }
}

/// Runs a command; false when it has done its work and the outcome is a failure.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments)?,
        Command::Demo(arguments) => demo::run(&arguments)?,
        Command::Simulate(plan) => serve::runtime()?.block_on(async {
            let stop = async { drop(signals::stop().await) };
            simulate::run(&plan, &SystemClock, stop, || {}).await.map(drop)
        })?,
        Command::Inspect(arguments) => return inspect::run(&arguments),
        Command::Sql(arguments) => serve::runtime()?.block_on(sql::run(&arguments))?,
        Command::Promqltest(arguments) => {
            return serve::runtime()?.block_on(promqltest::run(&arguments));
        }
    }
    Ok(true)
}
