//! The `meshtide` command.
#![forbid(unsafe_code)]

mod clock;
mod promqltest;
mod simulate;

use anyhow::Result;
use clap::{Parser, Subcommand};
use clock::SystemClock;

/// The metrics store that a service mesh deserves.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a synthetic Istio mesh by remote write, to this or any other server
    Simulate(simulate::Plan),
    /// Run Prometheus' test scripts against this store and engine
    Promqltest(promqltest::Arguments),
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match Arguments::parse().command {
        Command::Simulate(plan) => {
            let stop = async { drop(tokio::signal::ctrl_c().await) };
            simulate::run(&plan, &SystemClock, stop).await?;
        }
        Command::Promqltest(arguments) => {
            if !promqltest::run(&arguments).await? {
                std::process::exit(1);
            }
        }
    }
    Ok(())
}
