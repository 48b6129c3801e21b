//! `cargo run --release --bin writers`: what a sample costs by protocol, and what a native histogram costs.
//!
//! A fresh server for each: all series of the mesh as floats by remote write 1.0 and 2.0; and one series of each
//! combination of labels, as a float, as native histograms that Envoy makes, in front of services with little and with much
//! traffic, and as those of a client library. All but the first differ in nothing but the sample. The server's CPU time is
//! what the system says; requests are encoded before.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::fmt;

use anyhow::Result;
use clap::Parser;
use mesh::remote_write::Version;
use meshtide_benches::ingest::{Load, Requests};
use meshtide_benches::natives::Sender;
use meshtide_benches::target::{Kind, Target};
use meshtide_tests::clock::now_ms;
use meshtide_tests::peers;

/// Measures CPU-seconds per million samples by protocol and kind.
#[derive(Debug, Parser)]
struct Arguments {
    /// A few seconds on a small mesh: shows that the bench works, measures nothing.
    #[arg(long)]
    tiny: bool,
    /// Label combinations of 67 series each.
    #[arg(long, default_value_t = 4_976)]
    combinations: usize,
    /// Combinations of which one series is sent.
    #[arg(long, default_value_t = 20_000)]
    natives: usize,
    /// Scrapes of every series.
    #[arg(long, default_value_t = 60)]
    scrapes: usize,
    /// Connections that write at the same time.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Only runs whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// All series of the mesh.
    Mesh,
    /// One series of each combination of labels: a float, or native histograms of a sender.
    OneEach(Option<Sender>),
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.tiny {
        (arguments.combinations, arguments.natives, arguments.scrapes) = (40, 40, 5);
    }
    println!(
        "| CPU-seconds per million | all | known series | per new series | samples per second by the clock |"
    );
    println!("|---|---|---|---|---|");
    for content in [
        Content::Mesh,
        Content::OneEach(None),
        Content::OneEach(Some(Sender::Envoy)),
        Content::OneEach(Some(Sender::BusyEnvoy)),
        Content::OneEach(Some(Sender::Client)),
    ] {
        for version in [Version::V1, Version::V2] {
            let name = format!("{content}, remote write {version}");
            if name.contains(&arguments.only) {
                run(&name, content, version, &arguments)?;
            }
        }
    }
    Ok(())
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mesh => "floats of the mesh",
            Self::OneEach(None) => "one float of each combination",
            Self::OneEach(Some(Sender::Envoy)) => "native histograms of Envoy",
            Self::OneEach(Some(Sender::BusyEnvoy)) => "native histograms of a busy Envoy",
            Self::OneEach(Some(Sender::Client)) => "native histograms of clients",
        })
    }
}

fn run(name: &str, content: Content, version: Version, arguments: &Arguments) -> Result<()> {
    let mut load = Load {
        n_combinations: arguments.combinations,
        n_scrapes: arguments.scrapes,
        version,
        n_connections: arguments.connections,
        end_ms: now_ms()?,
    };
    let requests = match content {
        Content::Mesh => Requests::encode(&load),
        Content::OneEach(natives_of) => {
            load.n_combinations = arguments.natives;
            Requests::encode_one_each(&load, natives_of)
        }
    };
    let target = Target {
        kind: Kind::Meshtide,
        program: peers::meshtide(),
    };
    let folder = tempfile::tempdir()?;
    let mut server = target.start(folder.path())?;
    let outcome = requests.send(&server, &load)?;
    server.terminate()?;
    println!(
        "| {name}: {} series, {} samples | {:.3} | {:.3} | {:.1} µs | {:.0} |",
        requests.n_series,
        outcome.n_samples,
        outcome.cpu_seconds_per_million(),
        outcome.known_cpu_seconds_per_million(requests.n_series),
        outcome.new_series_us(requests.n_series),
        outcome.n_samples as f64 / outcome.wall.as_secs_f64(),
    );
    Ok(())
}
