//! `meshtide demo`: a server with a fresh directory, and the simulated bookinfo mesh sent into it.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::Args;

use crate::clock::SystemClock;
use crate::config::Settings;
use crate::serve;
use crate::service::Service;
use crate::{signals, simulate};

/// The arguments of `meshtide demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArguments {
    /// Where to listen for HTTP; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9090")]
    http_listen: SocketAddr,
}

/// What to try first: what it answers, and the query.
const QUERIES: [(&str, &str); 3] = [
    (
        "Requests per second, by service",
        r#"sum by (destination_service_name) (rate(istio_requests_total{reporter="destination"}[1m]))"#,
    ),
    (
        "99th percentile of latency in ms, by workload",
        "histogram_quantile(0.99, sum by (le, destination_workload) \
         (rate(istio_request_duration_milliseconds_bucket{reporter=\"source\"}[5m])))",
    ),
    (
        "Share of requests that failed, by version of the caller and the called",
        "sum by (source_canonical_service, destination_canonical_service, destination_version) \
         (rate(istio_requests_total{response_code=~\"5..\"}[5m])) / ignoring (response_code) \
         sum by (source_canonical_service, destination_canonical_service, destination_version) \
         (rate(istio_requests_total[5m]))",
    ),
];

/// Serves a simulated mesh until a signal comes; then everything is removed.
///
/// # Errors
/// The port is taken, or there is no room for temporary files.
pub(crate) fn run(arguments: &DemoArguments) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("meshtide-demo-")
        .tempdir()
        .context("cannot make a temporary directory")?;
    let mut settings = Settings::default();
    settings.http.listen = arguments.http_listen;
    let runtime = serve::runtime()?;
    let result = runtime.block_on(async {
        let service = Service::start(&settings, folder.path()).await?;
        let url = format!("http://{}", service.local_addr());
        tracing::info!("sending half an hour of the past of a simulated bookinfo mesh");
        let plan = simulate::Plan::demo(format!("{url}/api/v1/write"));
        let stop = async { drop(signals::stop().await) };
        let welcome = || print_welcome(&url, &folder.path().display().to_string());
        let simulated = simulate::run(&plan, &SystemClock, stop, welcome).await;
        serve::stop(service).await?;
        simulated.map(drop)
    });
    runtime.shutdown_background();
    result
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print_welcome(url: &str, folder: &str) {
    println!(
        "\nA simulated bookinfo mesh, half an hour of its past and now live, at\n\n  {url}\n\n\
         Grafana: a data source of type Prometheus with that URL.\n\
         Kiali:   external_services.prometheus.url: {url}\n\
         Metrics of the server itself: {url}/metrics\n\n\
         Three queries to try:"
    );
    for (title, query) in QUERIES {
        println!("\n  # {title}\n  curl -s {url}/api/v1/query --data-urlencode 'query={query}'");
    }
    println!("\nCtrl-C ends it and removes {folder}.\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queries_are_valid_and_survive_a_shell() {
        for (_, query) in QUERIES {
            assert!(!query.contains('\''), "{query}");
            promql::parse(query, &promql::ParseOptions::default()).unwrap();
        }
    }
}
