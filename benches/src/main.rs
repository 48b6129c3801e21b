//! `cargo run --release --bin meshtide-benches`: the figures of `docs/performance.md`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use mesh::remote_write::Version;
use meshtide_benches::ingest::{Load, Outcome, Requests};
use meshtide_benches::interference::{self, Interference};
use meshtide_benches::queries::{self, QUERIES, Timing};
use meshtide_benches::report::{self, Restart};
use meshtide_benches::target::{Kind, Target};
use meshtide_tests::clock::now_ms;
use meshtide_tests::peers;

/// Measures ingest, queries, both at once and restart of Meshtide, and of peers if their binaries are given.
#[derive(Debug, Parser)]
struct Arguments {
    /// A few seconds on a small mesh: shows that the benches work, measures nothing.
    #[arg(long)]
    tiny: bool,
    /// Label combinations of 67 series each.
    #[arg(long, default_value_t = 4_976)]
    combinations: usize,
    /// Scrapes of every series.
    #[arg(long, default_value_t = 60)]
    scrapes: usize,
    /// Connections that write at the same time.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Remote write version: 1 or 2.
    #[arg(long, default_value_t = 1)]
    remote_write: u8,
    /// Runs of each query.
    #[arg(long, default_value_t = 11)]
    runs: usize,
    /// A Prometheus binary to compare with.
    #[arg(long)]
    prometheus: Option<PathBuf>,
    /// A VictoriaMetrics binary to compare with.
    #[arg(long)]
    victoria_metrics: Option<PathBuf>,
}

/// Everything measured of one server.
struct Measured {
    name: &'static str,
    ingest: Outcome,
    disk_bytes: u64,
    queries: Vec<Timing>,
    interference: Interference,
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.tiny {
        (arguments.combinations, arguments.scrapes, arguments.runs) = (40, 30, 3);
    }
    let load = Load {
        n_combinations: arguments.combinations,
        n_scrapes: arguments.scrapes,
        version: if arguments.remote_write == 2 {
            Version::V2
        } else {
            Version::V1
        },
        n_connections: arguments.connections,
        end_ms: now_ms()?,
    };
    println!("encoding the load …");
    let requests = Requests::encode(&load);
    let mut measured = Vec::new();
    for target in targets(&arguments) {
        println!("measuring {} …", target.name());
        let folder = tempfile::tempdir()?;
        measured.push(measure(&target, folder.path(), &requests, &load, arguments.runs)?);
        if target.kind == Kind::Meshtide {
            println!("{}", report::restart(&restart(&target, folder.path())?));
        }
        // After each of them, so that one that fails does not take the others' figures with it.
        println!("{}", report(&load, &requests, &measured));
    }
    Ok(())
}

/// All tables of the servers measured so far.
fn report(load: &Load, requests: &Requests, measured: &[Measured]) -> String {
    let ingest: Vec<_> = measured
        .iter()
        .map(|one| (one.name, &one.ingest, one.disk_bytes))
        .collect();
    let timings: Vec<_> = measured
        .iter()
        .map(|one| (one.name, one.queries.as_slice()))
        .collect();
    let interference: Vec<_> = measured.iter().map(|one| (one.name, &one.interference)).collect();
    [
        report::ingest(load, requests, &ingest),
        report::queries(&timings),
        report::interference(&interference),
    ]
    .join("\n")
}

fn targets(arguments: &Arguments) -> Vec<Target> {
    let mut targets = vec![Target {
        kind: Kind::Meshtide,
        program: peers::meshtide(),
    }];
    let peers = [
        (Kind::Prometheus, &arguments.prometheus),
        (Kind::VictoriaMetrics, &arguments.victoria_metrics),
    ];
    for (kind, program) in peers {
        if let Some(program) = program {
            targets.push(Target {
                kind,
                program: program.clone(),
            });
        }
    }
    targets
}

fn measure(
    target: &Target,
    folder: &Path,
    requests: &Requests,
    load: &Load,
    n_runs: usize,
) -> Result<Measured> {
    let mut server = target.start(folder)?;
    let ingest = requests.send(&server, load)?;
    if target.kind == Kind::VictoriaMetrics {
        server.client().get("/internal/force_flush")?;
    }
    let disk_bytes = folder_bytes(&folder.join("data"))?;
    let end_s = load.end_ms as f64 / 1e3;
    let queries = QUERIES
        .iter()
        .map(|query| queries::run(&server, query, end_s, n_runs))
        .collect::<Result<_>>()?;
    let interference = interference::run(&server, requests, load)?;
    server.terminate()?;
    Ok(Measured {
        name: target.name(),
        ingest,
        disk_bytes,
        queries,
        interference,
    })
}

fn restart(target: &Target, folder: &Path) -> Result<Restart> {
    let begin = Instant::now();
    let server = target.start(folder)?;
    let (ready, usage) = (begin.elapsed(), server.usage()?);
    Ok(Restart {
        ready,
        cpu_seconds: usage.cpu_seconds,
        rss_bytes: usage.rss_bytes,
        rss_peak_bytes: usage.rss_peak_bytes,
    })
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let about = entry.metadata()?;
        total += if about.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            about.len()
        };
    }
    Ok(total)
}
