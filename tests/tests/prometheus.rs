//! A real Prometheus scrapes, writes to Meshtide, and both must answer alike; a second one reads `/federate`.

#![expect(clippy::print_stdout, reason = "a test says what it compared")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meshtide_tests::clock::now_s;
use meshtide_tests::compare::difference;
use meshtide_tests::exposition::Exposition;
use meshtide_tests::http::Client;
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use serde_json::Value;

/// How long the scraped data gets: all windows of up to a minute are full.
const SCRAPED: Duration = Duration::from_secs(75);

/// One query of the corpora.
struct Query {
    text: String,
    is_range: bool,
}

#[test]
#[ignore = "needs a real Prometheus: MESHTIDE_PROMETHEUS, MESHTIDE_PROMETHEUS_2"]
fn meshtide_answers_every_console_query_as_the_prometheus_that_wrote_to_it() -> Result<()> {
    let (Some(prometheus), Some(older), Some(shared)) = (
        peers::peer("MESHTIDE_PROMETHEUS"),
        peers::peer("MESHTIDE_PROMETHEUS_2"),
        peers::shared(),
    ) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let exposition = Exposition::serve(&exposition_files(&shared))?;
    let [first, second, third] = ["one", "two", "three"].map(|name| start_meshtide(folder.path(), name));
    let (first, second, third) = (first?, second?, third?);
    let writes = [
        (&first, "prometheus.WriteRequest"),
        (&second, "io.prometheus.write.v2.Request"),
    ];
    let oracle = start_prometheus(
        &prometheus,
        folder.path(),
        "writer",
        &(exposition.scrape_config() + &remote_write(&writes)),
    )?;
    let old_writer = start_old_writer(&older, folder.path(), &exposition, &third)?;
    let reader = start_prometheus(&prometheus, folder.path(), "reader", &federate_config(&first))?;
    std::thread::sleep(SCRAPED);

    let end_s = settled_time(&oracle, &[&first, &second])?;
    let queries = corpus(&shared)?;
    assert!(
        queries.len() > 400,
        "only {} queries in the corpora",
        queries.len()
    );
    let mut differences = Vec::new();
    let mut n_with_data = 0;
    for query in &queries {
        let expected = ask(&oracle.client(), query, end_s)?;
        n_with_data += usize::from(
            expected["result"]
                .as_array()
                .is_some_and(|result| !result.is_empty()),
        );
        for (name, server) in [("1.0", &first), ("2.0", &second)] {
            let found = match ask(&server.client(), query, end_s) {
                Ok(actual) => difference(&expected, &actual),
                Err(error) => Some(format!("{error:#}")),
            };
            differences.extend(found.map(|what| format!("remote write {name}: {}\n    {what}", query.text)));
        }
    }
    println!(
        "{} queries compared, {n_with_data} of them with a non-empty answer",
        queries.len()
    );
    // Many queries are about TCP, ambient mode and containers, which the scraped pods do not have: they must be
    // empty on both sides.
    assert!(
        n_with_data >= 150,
        "the data does not fit the queries: only {n_with_data} have an answer"
    );
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );

    check_raw_samples(&oracle, "30s", &first, end_s)?;
    check_raw_samples(&oracle, "30s", &second, end_s)?;
    // Windows were closed on the left before Prometheus 3.
    check_raw_samples(&old_writer, "29999ms", &third, end_s)?;
    check_federation(&first, &reader, end_s)
}

fn exposition_files(shared: &Path) -> Vec<PathBuf> {
    let names = [
        "envoy-1.40.0_stats_prometheus.txt",
        "datakit_istio_stats_prometheus.txt",
    ];
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sidecar.txt");
    names
        .iter()
        .map(|name| shared.join("samples").join(name))
        .chain([own])
        .collect()
}

fn start_meshtide(folder: &Path, name: &str) -> Result<Server> {
    let data = folder.join(name);
    let arguments = [
        "serve".to_owned(),
        format!("--data-dir={}", data.display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
    ];
    Server::start(
        &peers::meshtide(),
        &arguments,
        &folder.join(format!("{name}.log")),
    )
}

fn start_prometheus(program: &Path, folder: &Path, name: &str, config: &str) -> Result<Server> {
    let file = folder.join(format!("{name}.yml"));
    std::fs::write(&file, format!("global:\n  scrape_interval: 1s\n{config}"))?;
    let arguments = [
        format!("--config.file={}", file.display()),
        format!(
            "--storage.tsdb.path={}",
            folder.join(format!("{name}-data")).display()
        ),
        "--web.listen-address=127.0.0.1:{port}".to_owned(),
    ];
    Server::start(program, &arguments, &folder.join(format!("{name}.log")))
}

/// The older Prometheus writes to a Meshtide of its own, and is compared with that one sample by sample.
fn start_old_writer(
    program: &Path,
    folder: &Path,
    exposition: &Exposition,
    server: &Server,
) -> Result<Server> {
    let remote = format!("remote_write:\n  - url: {}/api/v1/write\n", server.url());
    start_prometheus(
        program,
        folder,
        "old-writer",
        &(exposition.scrape_config() + &remote),
    )
}

fn remote_write(servers: &[(&Server, &str)]) -> String {
    let mut yaml = String::from("remote_write:\n");
    for (server, message) in servers {
        yaml += &format!(
            "  - url: {}/api/v1/write\n    protobuf_message: {message}\n    queue_config: {{batch_send_deadline: 1s}}\n    \
             metadata_config: {{send_interval: 5s}}\n",
            server.url()
        );
    }
    yaml
}

fn federate_config(server: &Server) -> String {
    format!(
        "scrape_configs:\n  - job_name: federate\n    honor_labels: true\n    metrics_path: /federate\n    params:\n      \
         'match[]': ['{{__name__=~\"istio_.*\"}}', '{{job=~\"federate|kubernetes-pods\"}}']\n    static_configs: \
         [{{targets: ['127.0.0.1:{}']}}]\n",
        server.port()
    )
}

/// A time a few seconds ago up to which both servers have everything.
fn settled_time(oracle: &Server, servers: &[&Server]) -> Result<f64> {
    let end_s = now_s()?.floor() - 3.0;
    let query = Query {
        text: "count_over_time(up[1m])".to_owned(),
        is_range: false,
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let expected = ask(&oracle.client(), &query, end_s)?;
    ensure!(
        expected["result"]
            .as_array()
            .is_some_and(|series| series.len() > 5),
        "nothing was scraped: {expected}"
    );
    for server in servers {
        while let Some(what) = difference(&expected, &ask(&server.client(), &query, end_s)?) {
            ensure!(Instant::now() < deadline, "the data does not arrive: {what}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    Ok(end_s)
}

fn ask(client: &Client, query: &Query, end_s: f64) -> Result<Value> {
    let (start, end) = ((end_s - 60.0).to_string(), end_s.to_string());
    if query.is_range {
        let fields = [
            ("query", query.text.as_str()),
            ("start", &start),
            ("end", &end),
            ("step", "5"),
        ];
        return client.api("/api/v1/query_range", &fields);
    }
    client.api("/api/v1/query", &[("query", &query.text), ("time", &end)])
}

/// The queries that Kiali and Istio's dashboards send.
fn corpus(shared: &Path) -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    let mut seen = BTreeSet::new();
    for file in ["kiali.jsonl", "istio_dashboards.jsonl"] {
        let path = shared.join("conformance/queries").join(file);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for line in text.lines() {
            let entry: Value = serde_json::from_str(line)?;
            let is_range = entry["kind"] == "range";
            for field in ["query", "expr", "expr_wire"] {
                let Some(query) = entry[field]
                    .as_str()
                    .filter(|query| !query.is_empty() && !query.contains('$'))
                else {
                    continue;
                };
                if matches!(entry["kind"].as_str(), Some("range" | "instant" | "query_result"))
                    && seen.insert((query.to_owned(), is_range))
                {
                    queries.push(Query {
                        text: query.to_owned(),
                        is_range,
                    });
                }
            }
        }
    }
    Ok(queries)
}

/// Every sample of the last half minute, as stored: same series, same timestamps, same values.
fn check_raw_samples(oracle: &Server, oracle_range: &str, server: &Server, end_s: f64) -> Result<()> {
    let query = |range: &str| Query {
        text: format!("{{__name__=~\".+\"}}[{range}]"),
        is_range: false,
    };
    let expected = ask(&oracle.client(), &query(oracle_range), end_s)?;
    let actual = ask(&server.client(), &query("30s"), end_s)?;
    let n_series = expected["result"].as_array().map_or(0, Vec::len);
    ensure!(n_series > 1_000, "only {n_series} series were scraped");
    match difference(&expected, &actual) {
        None => Ok(()),
        Some(what) => anyhow::bail!("raw samples differ: {what}"),
    }
}

/// What the reader scraped from `/federate` is what Meshtide has: every sample of the reader exists there with the
/// same timestamp and value.
fn check_federation(server: &Server, reader: &Server, end_s: f64) -> Result<()> {
    let query = Query {
        text: "{__name__=~\"istio_.*\"}[20s]".to_owned(),
        is_range: false,
    };
    let wide = Query {
        text: "{__name__=~\"istio_.*\"}[2m]".to_owned(),
        is_range: false,
    };
    let (federated, stored) = (
        ask(&reader.client(), &query, end_s)?,
        ask(&server.client(), &wide, end_s)?,
    );
    let key = |one: &Value| {
        let labels: std::collections::BTreeMap<String, String> = one["metric"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        format!("{labels:?}")
    };
    let list = |data: &Value| data["result"].as_array().cloned().unwrap_or_default();
    let stored: std::collections::BTreeMap<String, Value> = list(&stored)
        .into_iter()
        .map(|one| (key(&one), one["values"].clone()))
        .collect();
    let federated = list(&federated);
    ensure!(
        federated.len() > 1_000,
        "the reader has only {} series",
        federated.len()
    );
    for one in &federated {
        let samples = stored
            .get(&key(one))
            .with_context(|| format!("{} was federated from nowhere", key(one)))?;
        let known: BTreeSet<String> = samples
            .as_array()
            .into_iter()
            .flatten()
            .map(Value::to_string)
            .collect();
        for sample in one["values"].as_array().into_iter().flatten() {
            ensure!(
                known.contains(&sample.to_string()),
                "{}: {sample} is not what is stored: {known:?}",
                key(one)
            );
        }
    }
    println!("{} federated series hold stored samples only", federated.len());
    Ok(())
}
