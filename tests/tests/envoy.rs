//! OTLP from real Envoys: what they send is what a Prometheus scrapes from them, and two never share a series.
//!
//! `.ci/run` installs Envoy. `MESHTIDE_OTLP_PYTHON` names a Python with `tests/otlp/requirements.txt`.

#![expect(clippy::print_stdout, reason = "a test says what it compared")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meshtide_tests::clock::now_s;
use meshtide_tests::envoy::Envoy;
use meshtide_tests::http::Client;
use meshtide_tests::otlp::OtlpServer;
use meshtide_tests::peers;
use meshtide_tests::process::{Server, free_port};

/// How long Envoy gets requests: some reports and some scrapes.
const TRAFFIC: Duration = Duration::from_secs(12);

#[test]
#[ignore = "needs Envoy and a real Prometheus: MESHTIDE_OTLP_PYTHON, MESHTIDE_PROMETHEUS"]
fn what_an_envoy_sends_is_what_a_prometheus_scrapes_from_it() -> Result<()> {
    let (Some(python), Some(prometheus)) = (
        peers::peer("MESHTIDE_OTLP_PYTHON"),
        peers::peer("MESHTIDE_PROMETHEUS"),
    ) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let over_grpc = OtlpServer::start(folder.path(), "grpc", &[])?;
    let over_http = OtlpServer::start(folder.path(), "http", &[])?;
    let front = free_port()?;
    let envoy = start_envoy(&python, folder.path(), front, [&over_grpc, &over_http], &[])?;
    let oracle = start_prometheus(&prometheus, folder.path(), envoy.port())?;
    send_traffic(&[front], TRAFFIC)?;
    let time_s = now_s()? - 1.5;
    for (name, meshtide) in [("gRPC", &over_grpc), ("HTTP", &over_http)] {
        compare(&oracle, meshtide, time_s).with_context(|| format!("over {name}"))?;
        ensure!(
            meshtide.value("count(count by (instance) ({__name__=~\"envoy_.*\"}))")? == "1",
            "one Envoy is one instance"
        );
        let page = meshtide.server.client().get("/metrics")?.text();
        ensure!(page.contains("meshtide_otlp_rejected_points_total 0"), "{page}");
    }
    Ok(())
}

/// Gets an Envoy to route a request every 50 milliseconds.
fn send_traffic(fronts: &[u16], how_long: Duration) -> Result<()> {
    let clients = fronts
        .iter()
        .map(|front| Client::new(&format!("http://127.0.0.1:{front}")));
    let clients: Vec<Client> = clients.collect();
    let end = Instant::now() + how_long;
    while Instant::now() < end {
        for client in &clients {
            ensure!(client.get("/-/healthy")?.status == 200, "Envoy does not route");
            drop(client.get("/nowhere")?);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What one server says it rejected.
fn n_rejected(server: &OtlpServer) -> Result<u64> {
    let page = server.server.client().get("/metrics")?.text();
    let name = "meshtide_otlp_rejected_points_total ";
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    Ok(value.context("no such counter")?.parse()?)
}

#[test]
#[ignore = "needs Envoy: MESHTIDE_OTLP_PYTHON"]
fn o2_two_envoys_of_one_configuration_never_share_a_series() -> Result<()> {
    let Some(python) = peers::peer("MESHTIDE_OTLP_PYTHON") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let servers = ["grpc", "http"].map(|name| OtlpServer::start(folder.path(), name, &[]));
    let [over_grpc, over_http] = servers;
    let (over_grpc, over_http) = (over_grpc?, over_http?);
    let fronts = [free_port()?, free_port()?, free_port()?];
    let start = |front: u16, more: &[&str]| {
        start_envoy(&python, folder.path(), front, [&over_grpc, &over_http], more)
    };
    let earlier = start(fronts[0], &[])?;
    // Another address of this machine: what a pod of its own would have.
    let _other = start(fronts[1], &["--local-address-ip-version", "v6"])?;
    send_traffic(&fronts[..2], Duration::from_secs(6))?;
    for (name, server) in [("gRPC", &over_grpc), ("HTTP", &over_http)] {
        let per_stat = "count by (__name__, envoy_cluster_name) (envoy_cluster_upstream_rq_total)";
        let n_instances = server.value(&format!("max({per_stat}) == min({per_stat})"))?;
        ensure!(n_instances == "2", "over {name} a stat has {n_instances} series");
        ensure!(n_rejected(server)? == 0, "over {name}");
    }

    // A third one shares the address of the first one, which cannot be told from it any more.
    let _later = start(fronts[2], &[])?;
    send_traffic(&fronts, Duration::from_secs(6))?;
    for (name, server) in [("gRPC", &over_grpc), ("HTTP", &over_http)] {
        let n_rejected = n_rejected(server)?;
        ensure!(n_rejected > 300, "over {name} {n_rejected} points were rejected");
        let n_instances = server.value("count(count by (instance) (envoy_server_live))")?;
        ensure!(n_instances == "2", "over {name}");
        // Seconds since the start of a process: the later one's.
        let youngest = server.value("min(envoy_server_uptime)")?;
        ensure!(
            youngest.parse::<f64>()? < 12.0,
            "over {name} the earlier one was taken: {youngest}"
        );
    }
    drop(earlier);
    Ok(())
}

/// Starts an Envoy that reports to two servers and routes what comes in at the port `front`.
fn start_envoy(
    python: &Path,
    folder: &Path,
    front: u16,
    [over_grpc, over_http]: [&OtlpServer; 2],
    more: &[&str],
) -> Result<Server> {
    let mut config = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("otlp/envoy.yaml"))?;
    for (place, port) in [
        ("{front}", front),
        ("{grpc}", over_grpc.grpc),
        ("{http}", over_http.http),
        ("{backend}", over_grpc.server.port()),
    ] {
        config = config.replace(place, &port.to_string());
    }
    let envoy = Envoy {
        python,
        config,
        more,
        log: &folder.join(format!("envoy-{front}.log")),
    };
    envoy.start()
}

fn start_prometheus(program: &Path, folder: &Path, envoy: u16) -> Result<Server> {
    let file = folder.join("prometheus.yml");
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: envoy\n    metrics_path: /stats/prometheus\n    \
         params: {{usedonly: ['']}}\n    static_configs: [{{targets: ['127.0.0.1:{envoy}']}}]\n"
    );
    std::fs::write(&file, config)?;
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", folder.join("oracle").display()),
        "--web.listen-address=127.0.0.1:{port}".to_owned(),
    ];
    Server::start(program, &arguments, &folder.join("oracle.log"))
}

/// Series by their labels, without those that tell where they come from.
fn by_labels(client: &Client, query: &str, time_s: f64) -> Result<BTreeMap<String, f64>> {
    let data = client.api(
        "/api/v1/query",
        &[("query", query), ("time", &time_s.to_string())],
    )?;
    let mut found = BTreeMap::new();
    for one in data["result"].as_array().into_iter().flatten() {
        let labels: BTreeMap<&str, String> = one["metric"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !matches!(name.as_str(), "job" | "instance"))
            .map(|(name, value)| {
                (
                    name.as_str(),
                    value_text(name, value.as_str().unwrap_or_default()),
                )
            })
            .collect();
        let value: f64 = one["value"][1].as_str().unwrap_or_default().parse()?;
        let before = found.insert(format!("{labels:?}"), value);
        ensure!(before.is_none(), "two series of {labels:?}");
    }
    Ok(found)
}

/// The value of a label. Prometheus 3 turns the bound that Envoy writes as `1` into `1.0` when it scrapes.
fn value_text(name: &str, value: &str) -> String {
    match value.parse::<f64>() {
        Ok(bound) if name == "le" => bound.to_string(),
        _ => value.to_owned(),
    }
}

/// What says how much is under way at a moment: nobody else may have looked at that one. A report never sees itself, but
/// may see the other one.
fn is_of_the_moment(series: &str) -> bool {
    let is_report = series.contains("\"envoy_cluster_name\": \"otlp_") && series.contains("_active\"");
    is_report || series.contains("_rq_active\"") || series.contains("_bytes_buffered\"")
}

/// Envoy's series with a copy of their name, because functions drop the name itself. A scrape is a request, so the number
/// of requests to the admin page is 1 in every scrape and in no report.
const NAMED: &str = r#"label_replace({__name__=~"envoy_.*",__name__!="envoy_http_downstream_rq_active"}, "name", "$1", "__name__", "(.*)")"#;

/// Every series that Envoy sent has a twin among those that were scraped, with a value that was scraped there around
/// that time; and nothing that was scraped is missing.
fn compare(oracle: &Server, meshtide: &OtlpServer, time_s: f64) -> Result<()> {
    let ask = |function: &str, later_s: f64| {
        let query = format!("{function}({NAMED}[6s:500ms])");
        by_labels(&oracle.client(), &query, time_s + later_s)
    };
    let (lowest, highest) = (ask("min_over_time", 1.5)?, ask("max_over_time", 1.5)?);
    let sent = by_labels(&meshtide.server.client(), &format!("{NAMED} + 0"), time_s)?;
    ensure!(sent.len() > 300, "only {} series were sent", sent.len());
    let mut differences = Vec::new();
    for (series, value) in &sent {
        match (lowest.get(series), highest.get(series)) {
            (Some(low), Some(high)) if (*low..=*high).contains(value) => {}
            (Some(_), Some(_)) if is_of_the_moment(series) => {}
            (Some(low), Some(high)) => {
                differences.push(format!("{series} is {value}, scraped were {low} to {high}"));
            }
            _ => differences.push(format!("{series} was never scraped")),
        }
    }
    let missing = lowest.keys().filter(|series| !sent.contains_key(*series));
    differences.extend(missing.map(|series| format!("{series} was scraped and not sent")));
    let n_still = sent
        .keys()
        .filter(|series| lowest.get(*series) == highest.get(*series))
        .count();
    println!(
        "{} series compared, {n_still} of them stood still and are equal",
        sent.len()
    );
    ensure!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}
