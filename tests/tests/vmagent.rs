//! vmagent as a second writer: what it sends to Meshtide and to a Prometheus at the same time is the same in both.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use meshtide_tests::clock::now_s;
use meshtide_tests::compare::difference;
use meshtide_tests::exposition::Exposition;
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use serde_json::Value;

/// How long vmagent scrapes, once a second.
const SCRAPED: Duration = Duration::from_secs(20);

#[test]
#[ignore = "needs vmagent and a real Prometheus: MESHTIDE_VMAGENT, MESHTIDE_PROMETHEUS"]
fn what_vmagent_writes_is_what_a_prometheus_gets_from_it() -> Result<()> {
    let (Some(vmagent), Some(prometheus)) = (
        peers::peer("MESHTIDE_VMAGENT"),
        peers::peer("MESHTIDE_PROMETHEUS"),
    ) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let sidecar = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sidecar.txt");
    let exposition = Exposition::serve(&[sidecar])?;
    let meshtide = start(
        &peers::meshtide(),
        folder.path(),
        "meshtide",
        &["serve", "--data-dir={dir}", "--http-listen=127.0.0.1:{port}"],
    )?;
    std::fs::write(folder.path().join("empty.yml"), "")?;
    let empty = format!("--config.file={}", folder.path().join("empty.yml").display());
    let oracle = start(
        &prometheus,
        folder.path(),
        "oracle",
        &[
            &empty,
            "--storage.tsdb.path={dir}",
            "--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
        ],
    )?;
    let config = folder.path().join("scrape.yml");
    let yaml = format!("global: {{scrape_interval: 1s}}\n{}", exposition.scrape_config());
    std::fs::write(&config, yaml)?;
    let mut arguments = vec![
        format!("-promscrape.config={}", config.display()),
        "-httpListenAddr=127.0.0.1:{port}".to_owned(),
        "-remoteWrite.tmpDataPath={dir}".to_owned(),
        "-remoteWrite.flushInterval=1s".to_owned(),
    ];
    arguments
        .extend([&meshtide, &oracle].map(|server| format!("-remoteWrite.url={}/api/v1/write", server.url())));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let writer = start(&vmagent, folder.path(), "vmagent", &arguments)?;
    std::thread::sleep(SCRAPED);
    let end_s = now_s()?.floor() - 5.0;
    let query = "{__name__=~\".+\"}[10s]";
    let expected = ask(&oracle, query, end_s)?;
    let n_series = expected["result"].as_array().map_or(0, Vec::len);
    ensure!(n_series > 500, "only {n_series} series: {}", writer.log_text());
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(what) = difference(&expected, &ask(&meshtide, query, end_s)?) {
        ensure!(Instant::now() < deadline, "raw samples differ: {what}");
        std::thread::sleep(Duration::from_millis(300));
    }
    println!("{n_series} series of vmagent compared sample by sample");
    Ok(())
}

/// Starts a process; `{dir}` stands for a folder of its own.
fn start(program: &Path, folder: &Path, name: &str, arguments: &[&str]) -> Result<Server> {
    let dir = folder.join(name).display().to_string();
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| argument.replace("{dir}", &dir))
        .collect();
    Server::start(program, &arguments, &folder.join(format!("{name}.log")))
}

fn ask(server: &Server, query: &str, end_s: f64) -> Result<Value> {
    let time = end_s.to_string();
    server
        .client()
        .api("/api/v1/query", &[("query", query), ("time", &time)])
}
