//! Queries that would take all memory or all time: each ends with an error in Prometheus' words, the server goes on
//! answering, and what they held is free again.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use meshtide_tests::clock::now_ms;
use meshtide_tests::diff::dataset::{Dataset, Series};
use meshtide_tests::http::{Answer, Client};
use meshtide_tests::peers;
use meshtide_tests::process::Server;
use model::Sample;

const N_SERIES: usize = 3_000;
const N_SAMPLES: i64 = 40;
/// What all queries together may hold.
const MEMORY: &str = "24MiB";
/// What the process may grow by: that, twice over for what is counted late, and the allocator's own.
const GROWTH_BYTES_MAX: u64 = 128 << 20;

/// A query, how it is asked, and what must come back.
struct Heavy {
    query: String,
    /// Of a range query that ends with the data: how many steps, how long each.
    steps: Option<(i64, f64)>,
    timeout: &'static str,
    status: u16,
    error_type: &'static str,
}

fn heavy_queries() -> Vec<Heavy> {
    let too_large = |query: &str, steps| Heavy {
        query: query.to_owned(),
        steps,
        timeout: "60s",
        status: 422,
        error_type: "execution",
    };
    // Twice as long at each level.
    let joined = (0..45).fold("load".to_owned(), |inner, _| {
        format!("label_join({inner}, \"pod\", \"\", \"pod\", \"pod\")")
    });
    let replaced = (0..45).fold("load".to_owned(), |inner, _| {
        format!("label_replace({inner}, \"pod\", \"$1$1$1\", \"pod\", \"(.*)\")")
    });
    let many = Some((11_000, 0.05));
    vec![
        too_large("max_over_time(vector(time())[30d:1s])", None),
        too_large("max_over_time(load[365d:1ms])", None),
        too_large("load[1d:1s]", None),
        too_large("count_values(\"value\", load)", Some((600, 1.0))),
        too_large("count_values without (zone) (\"value\", load)", Some((600, 1.0))),
        too_large("load * on() group_left() load", None),
        too_large("load * on(zone) group_left(pod) load", None),
        too_large("load + on(zone) load", many),
        too_large("load", many),
        too_large("load or load * 2", many),
        too_large("load and load", many),
        too_large("quantile(0.5, load)", many),
        too_large("topk(3000, load)", many),
        too_large("stddev by (pod) (load)", many),
        too_large("-load", many),
        too_large(&joined, None),
        too_large(&replaced, None),
        Heavy {
            query: "quantile_over_time(0.5, vector(time())[100000s:1s])".to_owned(),
            steps: Some((11_000, 1.0)),
            timeout: "1s",
            status: 503,
            error_type: "timeout",
        },
    ]
}

#[test]
fn a_query_that_would_take_everything_fails_and_the_next_one_is_answered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path())?;
    let client = server.client();
    let end_ms = now_ms()?;
    for request in data(end_ms).requests() {
        let answer = client.remote_write(&request)?;
        ensure!(answer.status / 100 == 2, "{} {}", answer.status, answer.text());
    }
    light(&client, end_ms)?;
    let before = server.usage()?.rss_bytes;
    for round in 0..2 {
        for heavy in heavy_queries() {
            let answer = ask(&client, &heavy, end_ms)?;
            let json = answer.json().with_context(|| heavy.query.clone())?;
            let about = || {
                let query: String = heavy.query.chars().take(80).collect();
                let text: String = answer.text().chars().take(300).collect();
                format!("round {round}, {query}: {} {text}", answer.status)
            };
            ensure!(answer.status == heavy.status, about());
            ensure!(
                json["status"] == "error" && json["errorType"] == heavy.error_type,
                about()
            );
            ensure!(
                json["error"].as_str().is_some_and(|text| !text.is_empty()),
                about()
            );
            light(&client, end_ms).with_context(about)?;
        }
    }
    let peak = server.usage()?.rss_peak_bytes;
    ensure!(
        peak < before + GROWTH_BYTES_MAX,
        "resident memory grew from {before} to {peak} bytes"
    );
    Ok(())
}

/// A query like any other, with nearly all memory free.
fn light(client: &Client, end_ms: i64) -> Result<()> {
    let time = (end_ms as f64 / 1e3).to_string();
    let fields = [("query", "count(load + 0)"), ("time", time.as_str())];
    let answer = client.post_form("/api/v1/query", &fields)?;
    let expected = format!("\"{N_SERIES}\"");
    ensure!(
        answer.status == 200 && answer.text().contains(&expected),
        "{}",
        answer.text()
    );
    Ok(())
}

fn ask(client: &Client, heavy: &Heavy, end_ms: i64) -> Result<Answer> {
    let end_s = end_ms as f64 / 1e3;
    let end = end_s.to_string();
    let mut fields = vec![("query", heavy.query.as_str()), ("timeout", heavy.timeout)];
    let Some((n_steps, step_s)) = heavy.steps else {
        fields.push(("time", &end));
        return client.post_form("/api/v1/query", &fields);
    };
    let start = (end_s - (n_steps - 1) as f64 * step_s).to_string();
    let step = step_s.to_string();
    fields.extend([("start", start.as_str()), ("end", &end), ("step", &step)]);
    client.post_form("/api/v1/query_range", &fields)
}

/// Gauges whose values are all different.
fn data(end_ms: i64) -> Dataset {
    let series = (0..N_SERIES).map(|series_idx| {
        let (pod, zone) = (format!("pod-{series_idx}"), format!("zone-{}", series_idx % 10));
        let samples = (0..N_SAMPLES).map(|sample_idx| Sample {
            timestamp_ms: end_ms - (N_SAMPLES - sample_idx) * 15_000,
            value: (series_idx as i64 * N_SAMPLES + sample_idx) as f64,
        });
        Series::new("load", &[("pod", &pod), ("zone", &zone)], samples.collect())
    });
    Dataset {
        series: series.collect(),
    }
}

fn start(folder: &Path) -> Result<Server> {
    let config = folder.join("meshtide.yaml");
    std::fs::write(&config, format!("query: {{memory_max: {MEMORY}}}\n"))?;
    let arguments = [
        "serve".to_owned(),
        format!("--config={}", config.display()),
        format!("--data-dir={}", folder.join("data").display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
    ];
    Server::start(&peers::meshtide(), &arguments, &folder.join("log"))
}
