//! OTLP from real SDKs, of Python and JavaScript, and through Rotel: what they say is what a query finds.
//!
//! `.ci/run` installs the senders. `MESHTIDE_OTLP_PYTHON` names a Python with `tests/otlp/requirements.txt`,
//! `MESHTIDE_OTLP_NODE_PATH` the folder `node_modules` of `tests/otlp/package.json`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meshtide_tests::clock::now_s;
use meshtide_tests::http::Client;
use meshtide_tests::otlp::OtlpServer;
use meshtide_tests::peers;
use meshtide_tests::process::{Server, free_port};

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
    let meshtide = OtlpServer::start(folder.path(), "one", &[])?;
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
    let meshtide = OtlpServer::start(folder.path(), "one", &[])?;
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
    let meshtide = OtlpServer::start(folder.path(), "one", &more)?;
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
    let meshtide = OtlpServer::start(folder.path(), "one", &[])?;
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
    let meshtide = OtlpServer::start(folder.path(), "one", &[])?;
    let (grpc, http) = (free_port()?, free_port()?);
    let log = std::fs::File::create(folder.path().join("rotel.log"))?;
    let mut rotel = Command::new(peers::packaged(&python, "rotel-agent")?)
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

#[test]
#[ignore = "starts real processes"]
fn o6_a_server_killed_right_after_the_answer_has_lost_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut expected = 0;
    for round in 0..3 {
        let mut meshtide = OtlpServer::start(folder.path(), "one", &[])?;
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
    let meshtide = OtlpServer::start(folder.path(), "one", &[])?;
    ensure!(meshtide.value("sum(last_over_time(durable[1h]))")? == expected.to_string());
    Ok(())
}

#[test]
#[ignore = "starts real processes"]
fn a_chosen_port_has_to_be_free_and_the_default_ones_may_be_taken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = OtlpServer::start(folder.path(), "one", &[])?;
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
