//! The query set: what consoles of a mesh ask, over the HTTP API.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use meshtide_tests::http::Client;
use meshtide_tests::process::Server;

/// One query of the set.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Short name for the table.
    pub name: &'static str,
    /// PromQL.
    pub text: &'static str,
    /// 1 for an instant query; otherwise a range query of so many steps of 15 s that end now.
    pub n_steps: u32,
    /// The most that one run may take, if there is a requirement.
    pub budget: Option<Duration>,
}

/// What one query cost.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Which query.
    pub name: &'static str,
    /// Fastest run.
    pub min: Duration,
    /// Middle run.
    pub median: Duration,
    /// CPU time of the server per run, milliseconds.
    pub cpu_ms: f64,
    /// Number of series in the reply.
    pub n_series: usize,
    /// Sum of all finite values of the reply: equal data gives equal sums, up to rounding.
    pub checksum: f64,
    /// The requirement.
    pub budget: Option<Duration>,
}

const fn ms(milliseconds: u64) -> Option<Duration> {
    Some(Duration::from_millis(milliseconds))
}

const fn instant(name: &'static str, text: &'static str) -> Query {
    Query {
        name,
        text,
        n_steps: 1,
        budget: None,
    }
}

const fn range(name: &'static str, text: &'static str) -> Query {
    Query {
        name,
        text,
        n_steps: 61,
        budget: None,
    }
}

const P99_BY_WORKLOAD: &str = "histogram_quantile(0.99, sum by (le, destination_workload) \
     (rate(istio_request_duration_milliseconds_bucket{reporter=\"source\"}[5m])))";

/// The set: 20 queries in the shapes of Kiali's graph, Istio's dashboards and plain exploration.
pub const QUERIES: [Query; 20] = [
    Query {
        budget: ms(25),
        ..instant("p99 by workload", P99_BY_WORKLOAD)
    },
    Query {
        budget: ms(80),
        ..range("p99 by workload, 61 steps", P99_BY_WORKLOAD)
    },
    Query {
        budget: ms(10),
        ..instant("count all istio series", "count({__name__=~\"istio_.*\"})")
    },
    Query {
        budget: ms(1),
        ..instant(
            "one series",
            "topk(1, istio_requests_total{reporter=\"source\",destination_service_name=\"cart-0\"})",
        )
    },
    instant("total rate", "sum(rate(istio_requests_total[5m]))"),
    range("total rate, 61 steps", "sum(rate(istio_requests_total[5m]))"),
    range(
        "rate by service",
        "sum by (destination_service_name) (rate(istio_requests_total{reporter=\"destination\"}[1m]))",
    ),
    instant(
        "error ratio",
        "sum(rate(istio_requests_total{reporter=\"source\",response_code=~\"5.*\"}[5m])) / \
         sum(rate(istio_requests_total{reporter=\"source\"}[5m]))",
    ),
    range(
        "error ratio by service, 61 steps",
        "sum by (destination_service_name) (rate(istio_requests_total{reporter=\"source\",response_code!~\"2..\"}[5m])) / \
         sum by (destination_service_name) (rate(istio_requests_total{reporter=\"source\"}[5m]))",
    ),
    instant(
        "kiali graph",
        "round(sum(rate(istio_requests_total{reporter=\"source\",source_workload_namespace=\"team-01\"} [60s])) by \
         (source_cluster,source_workload_namespace,source_workload,source_canonical_service,\
         source_canonical_revision,destination_cluster,destination_service_namespace,destination_service,\
         destination_service_name,destination_workload_namespace,destination_workload,\
         destination_canonical_service,destination_canonical_revision,request_protocol,response_code,\
         grpc_response_status,response_flags) > 0,0.001)",
    ),
    instant(
        "kiali response time",
        "round(histogram_quantile(0.95, sum(rate(istio_request_duration_milliseconds_bucket{reporter=\"destination\",\
         destination_workload_namespace=\"team-01\"}[60s])) by (le,source_workload_namespace,source_workload,\
         destination_service_name,destination_workload)) > 0,0.001)",
    ),
    instant(
        "kiali health",
        "rate(istio_requests_total{destination_service_namespace=\"team-01\"}[5m]) > 0",
    ),
    instant(
        "topk services",
        "topk(10, sum by (destination_service_name) (rate(istio_requests_total[5m])))",
    ),
    range(
        "mean duration, 61 steps",
        "sum by (destination_workload) (rate(istio_request_duration_milliseconds_sum[5m])) / \
         sum by (destination_workload) (rate(istio_request_duration_milliseconds_count[5m]))",
    ),
    range(
        "p50 of one service, 61 steps",
        "histogram_quantile(0.5, sum by (le) (irate(istio_request_duration_milliseconds_bucket{\
         destination_service_name=\"cart-0\"}[1m])))",
    ),
    instant(
        "bytes by workload",
        "sum by (source_workload) (increase(istio_response_bytes_sum[10m]))",
    ),
    instant(
        "max rate of a pod",
        "max by (pod) (rate(istio_requests_total[5m]))",
    ),
    instant("pods by regex", "count(istio_requests_total{pod=~\"cart-.*\"})"),
    instant(
        "series by name",
        "count by (__name__) ({__name__=~\"istio_request.*\"})",
    ),
    range(
        "average over time",
        "avg by (reporter) (avg_over_time(istio_requests_total[2m]))",
    ),
];

/// Runs one query `n_runs` times after a warm-up.
///
/// # Errors
/// If the server does not answer it with success.
pub fn run(server: &Server, query: &Query, end_s: f64, n_runs: usize) -> Result<Timing> {
    let client = server.client();
    let reply = ask(&client, query, end_s).with_context(|| query.name.to_owned())?;
    let (n_series, checksum) = summarize(&reply);
    let cpu_before = server.usage()?.cpu_seconds;
    let mut durations = Vec::with_capacity(n_runs);
    for _ in 0..n_runs {
        let begin = Instant::now();
        ask(&client, query, end_s)?;
        durations.push(begin.elapsed());
    }
    let cpu_seconds = server.usage()?.cpu_seconds - cpu_before;
    durations.sort_unstable();
    Ok(Timing {
        name: query.name,
        min: durations[0],
        median: durations[n_runs / 2],
        cpu_ms: cpu_seconds * 1_000.0 / n_runs as f64,
        n_series,
        checksum,
        budget: query.budget,
    })
}

/// Asks once; gives the body of the reply.
///
/// # Errors
/// If the server does not answer with success.
pub fn ask(client: &Client, query: &Query, end_s: f64) -> Result<Vec<u8>> {
    let end = end_s.to_string();
    let start = (end_s - f64::from(query.n_steps - 1) * 15.0).to_string();
    let answer = if query.n_steps == 1 {
        client.post_form(
            "/api/v1/query",
            &[("query", query.text), ("time", &end), ("nocache", "1")],
        )?
    } else {
        let fields = [
            ("query", query.text),
            ("start", &start),
            ("end", &end),
            ("step", "15"),
            ("nocache", "1"),
        ];
        client.post_form("/api/v1/query_range", &fields)?
    };
    anyhow::ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(answer.body)
}

fn summarize(body: &[u8]) -> (usize, f64) {
    let reply: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let series = reply["data"]["result"].as_array().cloned().unwrap_or_default();
    let mut sum = 0.0;
    for one in &series {
        let values = one["values"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![one["value"].clone()]);
        let numbers = values
            .iter()
            .filter_map(|pair| pair[1].as_str()?.parse::<f64>().ok());
        sum += numbers.filter(|number| number.is_finite()).sum::<f64>();
    }
    (series.len(), sum)
}
