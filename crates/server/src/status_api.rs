//! What the server says about itself: `/status/*` and `/metadata`.

use std::fmt::Write;

use axum::extract::State;
use axum::response::Response;
use model::{MetricMetadata, TimestampMs};

use crate::app::{App, IfReady};
use crate::error::ApiError;
use crate::json;
use crate::params::Params;
use crate::process;
use crate::reply::{ApiResult, Reply, success};

/// Version and revision. No `features` and no `application`: Grafana would take the server for a Mimir.
pub(crate) async fn build_info(State(app): State<App>, reply: Reply) -> Response {
    let build = &app.config.build;
    let fields = [
        ("version", build.version.as_str()),
        ("revision", build.revision.as_str()),
        ("branch", ""),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", ""),
    ];
    reply.text(
        json::CONTENT_TYPE,
        success(|json| json::push_labels(json, fields.into_iter())),
    )
}

/// The process. Kiali checks the type of every field and reads `storageRetention`.
pub(crate) async fn runtime_info(State(app): State<App>, reply: Reply) -> Response {
    let process = &app.config.process;
    let n_damaged = app.ready().map_or(0, |ready| ready.opened.n_damaged);
    let text = success(|json| {
        json.push('{');
        for (name, value) in [
            ("startTime", rfc_3339(process.started_ms)),
            ("CWD", process.working_dir.clone()),
            ("hostname", process.hostname.clone()),
            ("serverTime", rfc_3339(app.clock.now_ms())),
            ("lastConfigTime", rfc_3339(process.started_ms)),
            ("GOGC", String::new()),
            ("GODEBUG", String::new()),
            ("storageRetention", process.retention.clone()),
        ] {
            json::push_string(json, name);
            json.push(':');
            json::push_string(json, &value);
            json.push(',');
        }
        write!(
            json,
            r#""reloadConfigSuccess":true,"corruptionCount":{n_damaged},"goroutineCount":{},"GOMAXPROCS":{}}}"#,
            process::Usage::read().n_threads,
            process.n_cpus,
        )
        .expect("writing to a String cannot fail");
    });
    reply.text(json::CONTENT_TYPE, text)
}

pub(crate) fn rfc_3339(timestamp_ms: TimestampMs) -> String {
    jiff::Timestamp::from_millisecond(timestamp_ms)
        .unwrap_or_default()
        .to_string()
}

/// The configuration as YAML. Kiali reads `global.scrape_interval` from it.
pub(crate) async fn config(State(app): State<App>, reply: Reply) -> Response {
    let yaml = [("yaml", app.config.config_yaml.as_str())];
    reply.text(
        json::CONTENT_TYPE,
        success(|json| json::push_labels(json, yaml.into_iter())),
    )
}

/// The settings, by the names that Prometheus' flags have.
pub(crate) async fn flags(State(app): State<App>, reply: Reply) -> Response {
    let flags = app.config.flags.iter();
    let text = success(|json| {
        json::push_labels(json, flags.map(|(name, value)| (name.as_str(), value.as_str())));
    });
    reply.text(json::CONTENT_TYPE, text)
}

/// What senders said about their metrics.
pub(crate) async fn metadata(ready: IfReady, reply: Reply, params: Params) -> ApiResult {
    let limit = number(&params, "limit")?;
    // The store keeps one word per metric, which any limit lets through.
    number(&params, "limit_per_metric")?;
    let metric = params.get("metric");
    let mut all = ready.opened.store.metadata();
    all.retain(|one| metric.is_empty() || one.metric_name == metric);
    all.truncate(limit.unwrap_or(usize::MAX));
    let text = success(|json| push_metadata(json, &all));
    Ok(reply.text(json::CONTENT_TYPE, text))
}

/// A number that may be left out; a negative one is none.
pub(crate) fn number(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    let text = params.get(name);
    match text.parse::<i64>() {
        Ok(number) => Ok(usize::try_from(number).ok()),
        Err(_) if text.is_empty() => Ok(None),
        Err(_) => Err(ApiError::bad_data(format!("{name} must be a number"))),
    }
}

fn push_metadata(json: &mut String, all: &[MetricMetadata]) {
    json.push('{');
    for (position, one) in all.iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        json::push_string(json, &one.metric_name);
        json.push_str(":[");
        let fields = [
            ("type", one.metric_type.as_str()),
            ("help", one.help.as_str()),
            ("unit", one.unit.as_str()),
        ];
        json::push_labels(json, fields.into_iter());
        json.push(']');
    }
    json.push('}');
}
