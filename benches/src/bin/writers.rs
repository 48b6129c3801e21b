//! `cargo run --release --bin writers`: what a sample costs by protocol, and what a native histogram costs.
//!
//! A fresh server for each: the series of the mesh as floats by remote write 1.0 and 2.0, and a native histogram in place
//! of each combination of labels by both. The server's CPU time is what the system says; requests are encoded before.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Parser;
use mesh::remote_write::Version;
use meshtide_benches::ingest::{Load, Requests};
use meshtide_benches::target::{Kind, Target};
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
    /// Series of native histograms.
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
#[derive(Clone, Copy)]
enum Content {
    Floats,
    Natives,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.tiny {
        (arguments.combinations, arguments.natives, arguments.scrapes) = (40, 40, 5);
    }
    let runs = [
        ("floats, remote write 1.0", Content::Floats, Version::V1),
        ("floats, remote write 2.0", Content::Floats, Version::V2),
        (
            "native histograms, remote write 1.0",
            Content::Natives,
            Version::V1,
        ),
        (
            "native histograms, remote write 2.0",
            Content::Natives,
            Version::V2,
        ),
    ];
    println!(
        "| CPU-seconds per million | all | known series | per new series | samples per second by the clock |"
    );
    println!("|---|---|---|---|---|");
    for (name, content, version) in runs {
        if name.contains(&arguments.only) {
            run(name, content, version, &arguments)?;
        }
    }
    Ok(())
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
        Content::Floats => Requests::encode(&load),
        Content::Natives => {
            load.n_combinations = arguments.natives;
            Requests::encode_natives(&load)
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

#[expect(
    clippy::disallowed_methods,
    reason = "the load ends now, as that of a real scraper does"
)]
fn now_ms() -> Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
    )?)
}
