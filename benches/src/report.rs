//! Tables for people, in Markdown.

use std::time::Duration;

use crate::ingest::{Load, Outcome, Requests};
use crate::interference::Interference;
use crate::queries::Timing;

/// What a restart cost.
#[derive(Debug, Clone, Copy)]
pub struct Restart {
    /// From the start of the process to the first 200 of `/-/ready`.
    pub ready: Duration,
    /// CPU time until then, seconds.
    pub cpu_seconds: f64,
    /// Resident memory when ready, bytes.
    pub rss_bytes: u64,
    /// The most that was resident until then, bytes.
    pub rss_peak_bytes: u64,
}

/// The table of ingest figures, one column per server.
#[must_use]
pub fn ingest(load: &Load, requests: &Requests, columns: &[(&str, &Outcome, u64)]) -> String {
    let mut text = format!(
        "{} series x {} scrapes, remote write {}, {} connections\n\n",
        requests.n_series, load.n_scrapes, load.version, load.n_connections
    );
    let names = columns.iter().map(|(name, ..)| *name);
    text.push_str(&row("ingest", names.clone().map(str::to_owned)));
    text.push_str(&row("---", names.map(|_| "---".to_owned())));
    let mut line = |name: &str, cell: &dyn Fn(&Outcome, u64) -> String| {
        text.push_str(&row(
            name,
            columns.iter().map(|(_, outcome, disk)| cell(outcome, *disk)),
        ));
    };
    line("CPU-s per million samples, whole run", &|outcome, _| {
        format!("{:.3}", outcome.cpu_seconds_per_million())
    });
    line("CPU-s per million samples, known series", &|outcome, _| {
        format!("{:.3}", outcome.known_cpu_seconds_per_million(requests.n_series))
    });
    line("CPU per new series, µs", &|outcome, _| {
        format!("{:.2}", outcome.new_series_us(requests.n_series))
    });
    line("resident after it, MB", &|outcome, _| {
        megabytes(outcome.after_all.rss_bytes)
    });
    line("resident at most, MB", &|outcome, _| {
        megabytes(outcome.after_all.rss_peak_bytes)
    });
    line("ack p50 / p99 / max, ms", &|outcome, _| {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| milliseconds(outcome.latency(share)));
        format!("{p50} / {p99} / {max}")
    });
    line("samples per second, by the clock", &|outcome, _| {
        format!("{:.0}", outcome.n_samples as f64 / outcome.wall.as_secs_f64())
    });
    line("data directory, MB", &|_, disk| megabytes(disk));
    text
}

/// The table of query figures: one row per query, columns per server.
#[must_use]
pub fn queries(columns: &[(&str, &[Timing])]) -> String {
    let mut text = row(
        "query: median ms (CPU ms)",
        columns.iter().map(|(name, _)| (*name).to_owned()),
    );
    text.push_str(&row("---", columns.iter().map(|_| "---".to_owned())));
    let n_queries = columns.first().map_or(0, |(_, timings)| timings.len());
    for query_idx in 0..n_queries {
        let name = columns[0].1[query_idx].name;
        let cells = columns.iter().map(|(_, timings)| {
            let timing = &timings[query_idx];
            let over = timing.budget.is_some_and(|budget| timing.median > budget);
            let mark = if over { " (over its budget)" } else { "" };
            let (median, cpu_ms) = (milliseconds(timing.median), timing.cpu_ms);
            format!(
                "{median} ({cpu_ms:.1}); {} series, sum {:.9e}{mark}",
                timing.n_series, timing.checksum
            )
        });
        text.push_str(&row(name, cells));
    }
    // On a busy machine the fastest run says more about the server, the median more about the machine.
    push_means(&mut text, columns, "medians", |timing| timing.median);
    push_means(&mut text, columns, "fastest runs", |timing| timing.min);
    text.push_str(&row(
        "CPU of all, ms; ours to theirs",
        columns.iter().map(|(_, timings)| {
            let cpu_ms = |timings: &[Timing]| timings.iter().map(|timing| timing.cpu_ms).sum::<f64>();
            let (theirs, ours) = (cpu_ms(timings), cpu_ms(columns[0].1));
            format!("{theirs:.0}; {:.3}", ours / theirs)
        }),
    ));
    text.push_str(&row(
        "queries slower than ours",
        columns.iter().map(|(_, timings)| {
            let pairs = timings.iter().zip(columns[0].1);
            let n_slower = pairs.filter(|(theirs, ours)| theirs.median > ours.median).count();
            format!("{n_slower} of {}", timings.len())
        }),
    ));
    text
}

/// A row: the geometric mean over all queries, and what the first column's is of each.
fn push_means(
    text: &mut String,
    columns: &[(&str, &[Timing])],
    of_what: &str,
    duration: impl Fn(&Timing) -> Duration,
) {
    let means = columns.iter().map(|(_, timings)| {
        let logs: f64 = timings
            .iter()
            .map(|timing| duration(timing).as_secs_f64().ln())
            .sum();
        (logs / timings.len() as f64).exp() * 1e3
    });
    let means: Vec<f64> = means.collect();
    let ours = means.first().copied().unwrap_or_default();
    let cells = means.iter().map(|mean| format!("{mean:.2}; {:.3}", ours / mean));
    text.push_str(&row(
        &format!("geometric mean of {of_what}, ms; ours to theirs"),
        cells,
    ));
}

/// The table of acknowledgements beside queries, one row per server.
#[must_use]
pub fn interference(rows: &[(&str, &Interference)]) -> String {
    let mut text = row(
        "acknowledged within, ms",
        [
            "p50 idle",
            "p99 idle",
            "p50 busy",
            "p99 busy",
            "p99 busy / idle",
            "queries meanwhile",
        ]
        .map(str::to_owned)
        .into_iter(),
    );
    text.push_str(&row("---", std::iter::repeat_n("---".to_owned(), 6)));
    for (name, measured) in rows {
        let [idle_p50, busy_p50] = measured.latency(0.5);
        let [idle_p99, busy_p99] = measured.latency(0.99);
        let ratio = busy_p99.as_secs_f64() / idle_p99.as_secs_f64();
        let durations = [idle_p50, idle_p99, busy_p50, busy_p99].map(milliseconds);
        let others = [format!("{ratio:.2}"), measured.n_queries.to_string()];
        text.push_str(&row(name, durations.into_iter().chain(others)));
    }
    text
}

/// The lines about a restart.
#[must_use]
pub fn restart(restart: &Restart) -> String {
    format!(
        "restart: ready after {} ms, {:.2} CPU-s, resident {} MB, at most {} MB ({:.2} x)\n",
        milliseconds(restart.ready),
        restart.cpu_seconds,
        megabytes(restart.rss_bytes),
        megabytes(restart.rss_peak_bytes),
        restart.rss_peak_bytes as f64 / restart.rss_bytes as f64,
    )
}

fn row(name: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("| {name} | {} |\n", cells.join(" | "))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}
