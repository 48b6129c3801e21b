//! Native histograms of a real Envoy: a real Prometheus scrapes them and writes them to Meshtide, and both answer alike.
//!
//! `.ci/run` installs Envoy. `MESHTIDE_OTLP_PYTHON` names a Python with `tests/otlp/requirements.txt`.

#![expect(clippy::print_stdout, reason = "a test says what it compared")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use meshtide_tests::clock::now_ms;
use meshtide_tests::compare::RELATIVE_TOLERANCE;
use meshtide_tests::diff::case::{Case, Evaluation, Wording};
use meshtide_tests::diff::comparison::difference_within;
use meshtide_tests::diff::reply::{HISTOGRAM, Reply};
use meshtide_tests::envoy::Envoy;
use meshtide_tests::http::Client;
use meshtide_tests::peers;
use meshtide_tests::process::{Server, free_port};

/// How long requests take, milliseconds, phase by phase: ever more buckets are used, of which Envoy shows 20 at most, so
/// that it makes them wider.
const PHASES_MS: [&[u64]; 3] = [
    &[20, 21, 22],
    &[3, 8, 20, 30, 45, 60],
    &[0, 1, 7, 25, 90, 200, 450, 1_100],
];
/// The same after Envoy was started anew, with narrow buckets again.
const PHASE_AFTER_RESTART_MS: &[u64] = &[5, 6];
/// How long each of them lasts.
const PHASE: Duration = Duration::from_secs(5);
/// From the first request until rates are compared. Prometheus 3.5 extrapolates those of native histograms back beyond
/// where they were zero, see `docs/promql.md`. Behind this, the first histogram of a window of 5 s has more than a quarter
/// of what comes to it within the window, so that zero is more than a second, a scrape, away.
const UNTIL_STEADY_MS: i64 = 9_000;

/// Answered as stored, to the last bit.
const STORED: &[&str] = &[
    r#"{__name__=~"envoy_.*"}"#,
    "histogram_count(envoy_http_downstream_rq_time)",
    "histogram_sum(envoy_cluster_upstream_rq_time)",
    "histogram_sum(envoy_cluster_upstream_cx_length_ms)",
    "last_over_time(envoy_http_downstream_rq_time[7s])",
    "count_over_time(envoy_http_downstream_rq_time[7s])",
    "resets(envoy_http_downstream_rq_time[10s])",
    "changes(envoy_http_downstream_rq_time[10s])",
    "envoy_http_downstream_rq_time offset 3500ms",
    // What has no observation: nothing, or NaN.
    r#"histogram_quantile(0.9, envoy_cluster_upstream_cx_length_ms{envoy_cluster_name="idle"})"#,
    r#"rate(envoy_cluster_upstream_cx_length_ms{envoy_cluster_name="idle"}[5s])"#,
];

/// Computed. Of the admin page's requests some histograms have observations in the bucket around zero only, whose ends
/// Prometheus 3.5 takes from empty buckets beside it, see `docs/promql.md`.
///
/// Quantiles of rates are at ranks that no bucket ends at. There the last digit of an extrapolation decides which of two
/// buckets is meant, and Prometheus 3.5 extrapolates otherwise.
const COMPUTED: &[&str] = &[
    r#"histogram_quantile(0.9, envoy_http_downstream_rq_time{envoy_http_conn_manager_prefix!="admin"})"#,
    r#"histogram_fraction(0, 25, envoy_http_downstream_rq_time{envoy_http_conn_manager_prefix!="admin"})"#,
    "histogram_fraction(5, 25, envoy_http_downstream_rq_time)",
    "histogram_avg(envoy_http_downstream_rq_time)",
    "histogram_stddev(envoy_cluster_upstream_rq_time)",
    "sum(envoy_http_downstream_rq_time)",
    "sum by (job) (envoy_cluster_upstream_cx_connect_ms)",
    "sum_over_time(envoy_http_downstream_rq_time[5s])",
    "avg_over_time(envoy_http_downstream_rq_time[5s])",
    // Of windows with changes of layout, the first observation and the restart in them.
    "histogram_quantile(0.9137, rate(envoy_http_downstream_rq_time[10s]))",
    "histogram_quantile(0.5039, increase(envoy_cluster_upstream_rq_time[4s]))",
    "histogram_fraction(10, 50, rate(envoy_http_downstream_rq_time[10s]))",
    "histogram_avg(rate(envoy_http_downstream_rq_time[10s]))",
    "irate(envoy_http_downstream_rq_time[10s])",
    "delta(envoy_http_downstream_rq_time[5s])",
    "histogram_avg(rate(envoy_http_downstream_rq_time[8s:500ms]))",
];

/// Computed from windows of 5 s that no start nor restart is near to.
const RATES: &[&str] = &[
    "rate(envoy_http_downstream_rq_time[5s])",
    "increase(envoy_cluster_upstream_rq_time[5s])",
    "rate(envoy_cluster_upstream_rq_time[5s] @ end())",
    "histogram_count(rate(envoy_http_downstream_rq_time[5s]))",
    "histogram_sum(increase(envoy_http_downstream_rq_time[5s]))",
    "sum by (envoy_http_conn_manager_prefix) (rate(envoy_http_downstream_rq_time[5s]))",
    "sum(rate(envoy_http_downstream_rq_time[5s]))",
    "avg(rate(envoy_http_downstream_rq_time[5s]))",
    "histogram_quantile(0.9137, sum(rate(envoy_http_downstream_rq_time[5s])))",
    "histogram_quantile(0.9871, sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_time[5s])))",
    r#"rate(envoy_http_downstream_rq_time{envoy_http_conn_manager_prefix="front"}[5s]) + on(job) rate(envoy_cluster_upstream_rq_time[5s])"#,
];

/// When what happened, milliseconds since the epoch.
struct Timeline {
    /// All is scraped, nothing is observed.
    start_ms: i64,
    /// Where rates are compared.
    steady_ms: (i64, i64),
    /// Envoy was started anew and has routed something.
    end_ms: i64,
}

/// A query and how near the answers have to be, relative to the larger value.
struct Check {
    case: Case,
    tolerance: f64,
}

#[test]
#[ignore = "needs Envoy and a real Prometheus: MESHTIDE_OTLP_PYTHON, MESHTIDE_PROMETHEUS"]
fn native_histograms_of_an_envoy_are_answered_as_by_the_prometheus_that_wrote_them() -> Result<()> {
    let (Some(python), Some(prometheus)) = (
        peers::peer("MESHTIDE_OTLP_PYTHON"),
        peers::peer("MESHTIDE_PROMETHEUS"),
    ) else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let mut first = start_meshtide(folder.path(), "one", free_port()?)?;
    let mut second = start_meshtide(folder.path(), "two", free_port()?)?;
    let admin = free_port()?;
    let oracle = start_prometheus(&prometheus, folder.path(), admin, [&first, &second])?;
    let timeline = send_all_traffic(&python, folder.path(), admin, &oracle)?;

    let raw = instant(r#"{__name__=~"envoy_.*"}[1m]"#, timeline.end_ms, 0.0);
    let all = ask(&oracle, &raw.case)?;
    check_data(&all)?;
    for server in [&first, &second] {
        wait_until_arrived(server, &raw, &all)?;
    }
    let mut checks = checks(&timeline);
    checks.push(raw);
    let expected = checks.iter().map(|check| ask(&oracle, &check.case));
    let expected: Vec<Reply> = expected.collect::<Result<_>>()?;
    compare(&checks, &expected, [&first, &second])?;

    first.kill()?;
    first = start_meshtide(folder.path(), "one", first.port())?;
    let answer = second.client().post("/api/v1/admin/tsdb/flush", &[], b"")?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    second.kill()?;
    second = start_meshtide(folder.path(), "two", second.port())?;
    compare(&checks, &expected, [&first, &second]).context("after restarts, from log and blocks")?;
    check_senders(&oracle)
}

/// Starts Envoy, sends it requests until its histograms have changed in every way, and starts it anew.
fn send_all_traffic(python: &Path, folder: &Path, admin: u16, oracle: &Server) -> Result<Timeline> {
    let front = free_port()?;
    let envoy = Envoy {
        python,
        config: envoy_config(front)?,
        more: &[],
        log: &folder.join("envoy.log"),
    };
    let mut running = envoy.start_at(admin)?;
    let start_ms = wait_until_scraped(oracle)?;
    std::thread::sleep(Duration::from_secs(3));
    let begun_ms = now_ms()?;
    for delays_ms in PHASES_MS {
        send_traffic(front, delays_ms)?;
    }
    let steady_ms = (begun_ms + UNTIL_STEADY_MS, now_ms()?);
    running.kill()?;
    // One scrape fails for certain.
    std::thread::sleep(Duration::from_secs(2));
    let _running = envoy.start_at(admin)?;
    send_traffic(front, PHASE_AFTER_RESTART_MS)?;
    let end_ms = now_ms()?;
    // The last scrape until then is stored.
    std::thread::sleep(Duration::from_secs(2));
    Ok(Timeline {
        start_ms,
        steady_ms,
        end_ms,
    })
}

/// Sends requests for as long as a phase lasts: for each delay one after the other, over a connection of its own.
fn send_traffic(front: u16, delays_ms: &[u64]) -> Result<()> {
    let end = Instant::now() + PHASE;
    let send = |delay_ms: u64| {
        let client = Client::new(&format!("http://127.0.0.1:{front}"));
        let delay = delay_ms.to_string();
        while Instant::now() < end {
            let answer = client.post("/", &[("x-envoy-fault-delay-request", &delay)], b"")?;
            ensure!(answer.status == 200, "Envoy does not route: {}", answer.status);
            std::thread::sleep(Duration::from_millis(40));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = delays_ms
            .iter()
            .map(|delay_ms| scope.spawn(|| send(*delay_ms)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a sender returns errors"))
    })
}

/// Waits for the first scrape, which comes some seconds after the start of Prometheus.
fn wait_until_scraped(oracle: &Server) -> Result<i64> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let time_ms = now_ms()?;
        if ask(
            oracle,
            &instant("envoy_http_downstream_rq_time", time_ms, 0.0).case,
        )?
        .has_data()
        {
            return Ok(time_ms);
        }
        ensure!(
            Instant::now() < deadline,
            "no native histogram of Envoy is scraped: {}",
            oracle.log_text()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn wait_until_arrived(server: &Server, raw: &Check, all: &Reply) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(found) = difference_within(&raw.case, raw.tolerance, all, &ask(server, &raw.case)?) {
        ensure!(
            Instant::now() < deadline,
            "the samples do not arrive as they are: {}",
            shortened(&found.what)
        );
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}

/// Sees to it that the comparison is worth its name: there are native histograms, some without an observation, whose
/// buckets become wider, and that begin anew.
fn check_data(all: &Reply) -> Result<()> {
    let (mut n_filled, mut n_empty, mut n_widened, mut n_restarted) = (0, 0, 0, 0);
    for series in &all.series {
        let histograms = series.samples.iter().filter_map(|(_, text)| buckets(text));
        let histograms: Vec<(f64, BTreeSet<String>)> = histograms.collect();
        n_filled += usize::from(histograms.iter().any(|(_, bounds)| !bounds.is_empty()));
        n_empty += usize::from(!histograms.is_empty() && histograms.iter().all(|(count, _)| *count == 0.0));
        for pair in histograms.windows(2) {
            let has_restarted = pair[1].0 < pair[0].0;
            n_restarted += usize::from(has_restarted);
            n_widened += usize::from(!has_restarted && !pair[0].1.is_subset(&pair[1].1));
        }
    }
    println!(
        "{} series; native histograms: {n_filled} with observations, {n_empty} without, {n_widened} became \
         wider, {n_restarted} began anew",
        all.series.len()
    );
    ensure!(
        n_filled >= 8 && n_empty >= 4 && n_widened >= 2 && n_restarted >= 3,
        "the data does not fit the test"
    );
    Ok(())
}

/// Number of observations and bounds of the buckets of a native histogram; `None` for a float.
fn buckets(text: &str) -> Option<(f64, BTreeSet<String>)> {
    let words: Vec<&str> = text.strip_prefix(HISTOGRAM)?.split_whitespace().collect();
    let (totals, buckets) = words.split_at_checked(2)?;
    // A bucket: which of its ends belong to it, both ends, its observations.
    let bounds = buckets.chunks_exact(4).map(|bucket| bucket[1..3].join(" "));
    Some((totals[0].parse().ok()?, bounds.collect()))
}

/// Every query at all seconds of its time and at some instants.
fn checks(timeline: &Timeline) -> Vec<Check> {
    let whole_ms = (timeline.start_ms, timeline.end_ms);
    let kinds = [
        (STORED, whole_ms, 0.0),
        (COMPUTED, whole_ms, RELATIVE_TOLERANCE),
        (RATES, timeline.steady_ms, RELATIVE_TOLERANCE),
    ];
    let mut checks = Vec::new();
    for (queries, (start_ms, end_ms), tolerance) in kinds {
        for query in queries {
            let range = Evaluation::Range {
                start_ms,
                end_ms,
                step_ms: 1_000,
                lookback: None,
            };
            checks.push(check(query, range, tolerance));
            let quarter_ms = (end_ms - start_ms) / 4;
            let times_ms = (1..=4).map(|quarter| start_ms + quarter * quarter_ms);
            checks.extend(times_ms.map(|time_ms| instant(query, time_ms, tolerance)));
        }
    }
    checks
}

fn check(query: &str, evaluation: Evaluation, tolerance: f64) -> Check {
    let case = Case {
        text: query.to_owned(),
        expr: None,
        evaluation,
        wording: Wording::default(),
    };
    Check { case, tolerance }
}

fn instant(query: &str, time_ms: i64, tolerance: f64) -> Check {
    let evaluation = Evaluation::Instant {
        time_ms,
        lookback: None,
    };
    check(query, evaluation, tolerance)
}

/// Asks both servers, of which the first one got remote write 1.0 and the second one 2.0.
fn compare(checks: &[Check], expected: &[Reply], servers: [&Server; 2]) -> Result<()> {
    let mut differences = Vec::new();
    for (check, expected) in checks.iter().zip(expected) {
        ensure!(expected.error.is_empty(), "{}: {}", check.case, expected.error);
        let is_range = matches!(check.case.evaluation, Evaluation::Range { .. });
        ensure!(expected.has_data() || !is_range, "no answer to {}", check.case);
        for (version, server) in ["1.0", "2.0"].iter().zip(servers) {
            let actual = ask(server, &check.case)?;
            let found = difference_within(&check.case, check.tolerance, expected, &actual);
            differences.extend(found.map(|found| {
                let what = shortened(&found.what);
                format!(
                    "remote write {version}: {}\n    {:?}: {what}",
                    check.case, found.aspect
                )
            }));
        }
    }
    println!("{} answers compared, twice", checks.len());
    ensure!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}

fn shortened(text: &str) -> String {
    text.chars().take(1_500).collect()
}

/// Prometheus says that it sent histograms to both and that none was refused.
fn check_senders(oracle: &Server) -> Result<()> {
    let page = oracle.client().get("/metrics")?.text();
    for (name, is_right) in [
        (
            "prometheus_remote_storage_histograms_total{",
            (|count| count > 400.0) as fn(f64) -> bool,
        ),
        ("prometheus_remote_storage_histograms_failed_total{", |count| {
            count == 0.0
        }),
        ("prometheus_remote_storage_samples_failed_total{", |count| {
            count == 0.0
        }),
    ] {
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(name)).collect();
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        let are_right = lines.iter().all(|line| value(line).is_some_and(is_right));
        ensure!(lines.len() == 2 && are_right, "{lines:?}");
    }
    Ok(())
}

fn ask(server: &Server, case: &Case) -> Result<Reply> {
    let (path, fields) = case.request();
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Reply::read(&server.client().post_form(path, &fields)?).with_context(|| case.to_string())
}

/// The configuration of Envoy: requests come in at `front`.
fn envoy_config(front: u16) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/envoy_natives.yaml");
    let mut config = std::fs::read_to_string(file)?;
    for (place, port) in [
        ("{front}", front),
        ("{shop}", free_port()?),
        ("{nobody}", free_port()?),
    ] {
        config = config.replace(place, &port.to_string());
    }
    Ok(config)
}

fn start_meshtide(folder: &Path, name: &str, port: u16) -> Result<Server> {
    let arguments = [
        "serve".to_owned(),
        format!("--data-dir={}", folder.join(name).display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
        "--enable-admin-api".to_owned(),
    ];
    let log = folder.join(format!("{name}.log"));
    Server::start_at(port, &peers::meshtide(), &arguments, &log)
}

/// Starts a Prometheus that scrapes native histograms from the admin page of Envoy and writes them to both servers.
fn start_prometheus(
    program: &Path,
    folder: &Path,
    admin: u16,
    [first, second]: [&Server; 2],
) -> Result<Server> {
    let mut yaml = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: envoy\n    metrics_path: /stats/prometheus\n    \
         params: {{histogram_buckets: [prometheusnative]}}\n    static_configs: [{{targets: ['127.0.0.1:{admin}']}}]\n\
         remote_write:\n"
    );
    for (server, message) in [
        (first, "prometheus.WriteRequest"),
        (second, "io.prometheus.write.v2.Request"),
    ] {
        yaml += &format!(
            "  - url: {}/api/v1/write\n    protobuf_message: {message}\n    send_native_histograms: true\n    \
             queue_config: {{batch_send_deadline: 1s}}\n",
            server.url()
        );
    }
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, yaml)?;
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", folder.join("oracle").display()),
        "--web.listen-address=127.0.0.1:{port}".to_owned(),
        "--enable-feature=native-histograms".to_owned(),
    ];
    Server::start(program, &arguments, &folder.join("oracle.log"))
}
