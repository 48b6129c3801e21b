//! `cargo run --release --bin otlp`: what a data point of an Envoy costs.
//!
//! Some Envoys report their statistics every ten seconds by OTLP over HTTP, in the shape of a captured one: one metric
//! per point, one point in thirteen a histogram of 19 bounds, which is 22 series. The server's CPU time is what the
//! system says; encoding and sending is on the other side.
#![expect(clippy::print_stdout, reason = "the report is what the program is for")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use mesh::envoy::Envoy;
use meshtide_benches::target::{Kind, Target};
use meshtide_tests::clock::now_ms;
use meshtide_tests::http::Client;
use meshtide_tests::peers;
use wire::otlp::encoder::Temporality;

/// Measures CPU-seconds per million OTLP data points.
#[derive(Debug, Parser)]
struct Arguments {
    /// A few reports: shows that the bench works, measures nothing.
    #[arg(long)]
    tiny: bool,
    /// Envoys.
    #[arg(long, default_value_t = 100)]
    envoys: usize,
    /// Clusters of each; 26 data points and 68 series per cluster.
    #[arg(long, default_value_t = 50)]
    clusters: usize,
    /// Reports of each Envoy.
    #[arg(long, default_value_t = 40)]
    reports: usize,
    /// Connections that send at the same time.
    #[arg(long, default_value_t = 2)]
    connections: usize,
}

const INTERVAL_MS: u64 = 10_000;

/// One request of an Envoy.
struct Report {
    address: String,
    body: Vec<u8>,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.tiny {
        (arguments.envoys, arguments.clusters, arguments.reports) = (3, 5, 4);
    }
    let target = Target {
        kind: Kind::Meshtide,
        program: peers::meshtide(),
    };
    let folder = tempfile::tempdir()?;
    let mut server = target.start(folder.path())?;
    let end_ms = u64::try_from(now_ms()?)?;
    let start_ms = end_ms - INTERVAL_MS * arguments.reports as u64;
    let mut envoys: Vec<Envoy> = (0..arguments.envoys)
        .map(|_| Envoy::new(arguments.clusters, Temporality::Cumulative, start_ms))
        .collect();
    let n_points: usize = envoys.iter().map(Envoy::n_points).sum();
    let clients: Vec<Client> = (0..arguments.connections).map(|_| server.client()).collect();
    let (mut n_bytes, mut wall) = (0, Duration::ZERO);
    let mut after_first = server.usage()?;
    for round in 0..arguments.reports {
        let time_ms = start_ms + INTERVAL_MS * (round as u64 + 1);
        let reports: Vec<Report> = envoys
            .iter_mut()
            .enumerate()
            .map(|(number, envoy)| report(number, envoy, time_ms))
            .collect();
        n_bytes += reports.iter().map(|report| report.body.len()).sum::<usize>();
        let begin = Instant::now();
        send(&clients, &reports)?;
        wall += begin.elapsed();
        if round == 0 {
            after_first = server.usage()?;
        }
    }
    let after_all = server.usage()?;
    let n_known = n_points * (arguments.reports - 1);
    let n_all = n_points * arguments.reports;
    println!(
        "{} Envoys, {n_points} data points per report, {} reports, {:.0} B per point\n\
         CPU-seconds per million points, known series: {:.3}\n\
         CPU-seconds per million points, all:          {:.3}\n\
         points per second by the clock:               {:.0}\n\
         resident, and at most:                        {} MB, {} MB",
        arguments.envoys,
        arguments.reports,
        n_bytes as f64 / n_all as f64,
        (after_all.cpu_seconds - after_first.cpu_seconds) / (n_known as f64 / 1e6),
        after_all.cpu_seconds / (n_all as f64 / 1e6),
        n_all as f64 / wall.as_secs_f64(),
        after_all.rss_bytes >> 20,
        after_all.rss_peak_bytes >> 20,
    );
    let query = [("query", "count({__name__=~\"envoy_.*\"})")];
    let data = server.client().api("/api/v1/query", &query)?;
    println!("series: {}", data["result"][0]["value"][1]);
    server.terminate()
}

fn report(number: usize, envoy: &mut Envoy, time_ms: u64) -> Report {
    let mut body = Vec::new();
    envoy.report(time_ms, &mut body);
    Report {
        address: format!("10.0.{}.{}", number / 256, number % 256),
        body,
    }
}

/// Every connection takes the next report until none is left. As those of real senders, they are kept.
fn send(clients: &[Client], reports: &[Report]) -> Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let senders: Vec<_> = clients
            .iter()
            .map(|client| {
                scope.spawn(|| -> Result<()> {
                    while let Some(report) = reports.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let headers = [
                            ("content-type", "application/x-protobuf"),
                            ("x-forwarded-for", report.address.as_str()),
                        ];
                        let answer = client.post("/v1/metrics", &headers, &report.body)?;
                        ensure!(
                            answer.status == 200 && answer.body.is_empty(),
                            "{} {}",
                            answer.status,
                            answer.text()
                        );
                    }
                    Ok(())
                })
            })
            .collect();
        for sender in senders {
            sender.join().ok().context("a sender panicked")??;
        }
        Ok(())
    })
}
