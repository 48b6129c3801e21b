//! Two real Prometheus servers as a pair of replicas, with no configuration here: one is killed and comes back.

#![expect(clippy::print_stdout, reason = "a test says what it saw")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use serde_json::Value;

const N_TARGETS: usize = 3;

/// The servers and where they live.
struct World<'a> {
    folder: &'a Path,
    prometheus: &'a Path,
    targets: SocketAddr,
    meshtide: Server,
}

#[test]
#[ignore = "needs a real Prometheus: MESHTIDE_PROMETHEUS"]
fn one_of_two_replicas_is_killed_and_comes_back_and_nothing_is_counted_twice() -> Result<()> {
    let Some(prometheus) = peers::peer("MESHTIDE_PROMETHEUS") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let mut world = World {
        folder: folder.path(),
        prometheus: &prometheus,
        targets: serve_ticks()?,
        meshtide: start_meshtide(folder.path(), None)?,
    };
    let mut first = world.start_replica(0, "prometheus.WriteRequest")?;
    world.wait(20, "a replica is elected", |world| world.elected(0))?;
    let second = world.start_replica(1, "io.prometheus.write.v2.Request")?;
    world.wait(30, "both are heard of", World::knows_both)?;
    // The windows below reach back behind the switch.
    world.watch(20)?;
    ensure!(
        world.elected(0)?,
        "the second replica was elected beside a living one"
    );

    first.kill()?;
    let killed = Instant::now();
    world.wait(60, "the second replica takes over", |world| world.elected(1))?;
    let took_over = killed.elapsed();
    println!("the second replica took over after {took_over:.1?}");
    ensure!(
        took_over > Duration::from_secs(20),
        "it did so too early: {took_over:?}"
    );
    world.watch(5)?;

    first = world.start_replica(0, "prometheus.WriteRequest")?;
    world.watch(10)?;
    ensure!(
        world.elected(1)?,
        "the first replica came back and was elected again"
    );
    let port = world.meshtide.port();
    world.meshtide.kill()?;
    world.meshtide = start_meshtide(folder.path(), Some(port))?;
    ensure!(world.elected(1)?, "the election was forgotten in a restart");
    world.watch(10)?;
    ensure!(world.elected(1)?, "a restart has changed the election");

    world.check_counter(&second)?;
    let (status, metrics) = (world.status()?, world.meshtide.client().get("/metrics")?.text());
    ensure!(
        status["pairs"].as_array().is_some_and(|pairs| pairs.len() == 1),
        "{status}"
    );
    ensure!(
        metrics.contains("meshtide_ha_failovers_total 0"),
        "a fail-over after the restart"
    );
    ensure!(
        !metrics.contains("meshtide_ha_dropped_samples_total 0\n"),
        "nothing was left out"
    );
    for replica in [&first, &second] {
        let log = replica.log_text();
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("non-recoverable"))
            .collect();
        ensure!(lines.is_empty(), "a sender was refused: {lines:?}");
    }
    Ok(())
}

/// Serves targets whose counter is the milliseconds since it began.
fn serve_ticks() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listen for scrapes")?;
    let address = listener.local_addr()?;
    let begin = Instant::now();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let body = format!(
                "# TYPE ticks_total counter\nticks_total {}\n",
                begin.elapsed().as_millis()
            );
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close";
            // A scraper that has gone away misses nothing.
            drop(write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}"));
        }
    });
    Ok(address)
}

fn start_meshtide(folder: &Path, port: Option<u16>) -> Result<Server> {
    let arguments = [
        "serve".to_owned(),
        format!("--data-dir={}", folder.join("data").display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
    ];
    let (program, log) = (peers::meshtide(), folder.join("meshtide.log"));
    match port {
        Some(port) => Server::start_at(port, &program, &arguments, &log),
        None => Server::start(&program, &arguments, &log),
    }
}

impl World<'_> {
    /// A Prometheus with the labels that Prometheus Operator gives it. It finds its data again.
    fn start_replica(&self, ordinal: usize, message: &str) -> Result<Server> {
        let name = format!("prometheus-k8s-{ordinal}");
        let mut yaml = format!(
            "global:\n  scrape_interval: 1s\n  external_labels:\n    prometheus: monitoring/k8s\n    \
             prometheus_replica: {name}\nremote_write:\n  - url: {}/api/v1/write\n    protobuf_message: {message}\n    \
             queue_config: {{batch_send_deadline: 1s}}\nscrape_configs:\n  - job_name: ticks\n    static_configs:\n",
            self.meshtide.url()
        );
        for target in 0..N_TARGETS {
            let labels = format!("{{target: '{target}'}}");
            yaml += &format!("      - {{targets: ['{}'], labels: {labels}}}\n", self.targets);
        }
        let file = self.folder.join(format!("{name}.yml"));
        std::fs::write(&file, yaml)?;
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", self.folder.join(&name).display()),
            "--web.listen-address=127.0.0.1:{port}".to_owned(),
        ];
        Server::start(
            self.prometheus,
            &arguments,
            &self.folder.join(format!("{name}.log")),
        )
    }

    fn status(&self) -> Result<Value> {
        let answer = self.meshtide.client().get("/api/v1/status/ha")?;
        Ok(answer.json()?["data"].clone())
    }

    fn elected(&self, ordinal: usize) -> Result<bool> {
        Ok(self.status()?["pairs"][0]["elected"] == format!("prometheus-k8s-{ordinal}"))
    }

    fn knows_both(&self) -> Result<bool> {
        let status = self.status()?;
        Ok(status["pairs"][0]["replicas"]
            .as_array()
            .is_some_and(|all| all.len() == 2))
    }

    /// Waits for something, and sees to it that nothing doubles meanwhile.
    fn wait(&self, seconds: u64, what: &str, is_so: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !is_so(self)? {
            ensure!(
                Instant::now() < deadline,
                "not within {seconds} s: {what}: {}",
                self.status()?
            );
            self.check_count()?;
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn watch(&self, seconds: u64) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            self.check_count()?;
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn check_count(&self) -> Result<()> {
        let found = number(&self.meshtide, "count(up)")?;
        let limit = N_TARGETS as f64;
        ensure!(
            found.is_none_or(|n_up| n_up <= limit),
            "count(up) is {found:?} with {N_TARGETS} targets"
        );
        Ok(())
    }

    /// The counter over the switch: as the clock says it, and as the replica saw it that was there all the time.
    fn check_counter(&self, witness: &Server) -> Result<()> {
        for target in 0..N_TARGETS {
            let selector = format!("ticks_total{{target=\"{target}\"}}");
            let resets = number(&self.meshtide, &format!("resets({selector}[5m])"))?;
            ensure!(resets == Some(0.0), "{resets:?} resets of target {target}");
            // From when the first replica was alive until now.
            let query = format!("increase({selector}[70s])");
            let found = number(&self.meshtide, &query)?.context("no increase")?;
            let seen = number(witness, &query)?.context("no increase at the replica")?;
            println!("target {target}: {found} ms in 70 s, {seen} ms by the replica that lived");
            ensure!(
                (found - 70_000.0).abs() < 1_500.0 && (found - seen).abs() < 1_500.0,
                "an increase of {found} ms in 70 s, {seen} by the replica that lived"
            );
        }
        Ok(())
    }
}

/// The only value of an answer.
fn number(server: &Server, query: &str) -> Result<Option<f64>> {
    let data = server.client().api("/api/v1/query", &[("query", query)])?;
    let values = data["result"].as_array().context("a vector")?;
    ensure!(values.len() <= 1, "{query}: {data}");
    let Some(value) = values.first() else {
        return Ok(None);
    };
    Ok(Some(value["value"][1].as_str().context("a value")?.parse()?))
}
