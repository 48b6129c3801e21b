//! `/api/v1/targets/metadata`: which target has which metric, and what is said about it.
//!
//! Targets are not scraped here; those of the senders are known by their `up`. A metric belongs to a target when it has
//! a series with the target's `job` and `instance`.
//!
//! Source: Prometheus `web/api/v1`, `targetMetadata`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use model::{Labels, METRIC_NAME, Matcher, MetricMetadata, TimeRange};
use storage::{Source, Store};

use crate::app::{App, IfReady};
use crate::error::{ApiError, ErrorKind};
use crate::json;
use crate::params::Params;
use crate::reply::{ApiResult, Reply, success};
use crate::status_api::number;

/// A target is one that was scraped within this time: Prometheus' lookback.
const LOOKBACK_MS: i64 = 300_000;

/// What the series of a family may end in.
const SUFFIXES: [&str; 6] = ["", "_bucket", "_sum", "_count", "_total", "_info"];

/// What is asked for.
struct Question {
    range: TimeRange,
    /// The target's labels have to fit them.
    matchers: Vec<Matcher>,
    /// One metric; all of them when empty.
    metric: String,
    limit: usize,
}

/// A metric of a target.
struct Found {
    target: Arc<Labels>,
    metadata: MetricMetadata,
}

/// The metrics of all targets, or of some.
pub(crate) async fn metadata(
    State(app): State<App>,
    ready: IfReady,
    reply: Reply,
    params: Params,
) -> ApiResult {
    let limit = number(&params, "limit")?;
    let selector = params.get("match_target");
    let matchers = if selector.is_empty() {
        Vec::new()
    } else {
        promql::parse_selector(selector).map_err(|error| ApiError::parameter("match_target", error))?
    };
    let question = Question {
        range: TimeRange::ending_at(app.clock.now_ms(), LOOKBACK_MS),
        matchers,
        metric: params.get("metric").to_owned(),
        limit: limit.unwrap_or(usize::MAX),
    };
    let is_one_metric = !question.metric.is_empty();
    let store = Arc::clone(&ready.opened.store);
    let answer = tokio::task::spawn_blocking(move || question.answer(&store));
    let failed = |error: String| ApiError::new(ErrorKind::Internal, error);
    let found = answer.await.map_err(|error| failed(error.to_string()))?;
    let found = found.map_err(|error| failed(error.to_string()))?;
    if found.is_empty() {
        return Err(ApiError::new(ErrorKind::NotFound, "specified metadata not found"));
    }
    let text = success(|json| push_all(json, &found, is_one_metric));
    Ok(reply.text(json::CONTENT_TYPE, text))
}

impl Question {
    fn answer(&self, store: &Store) -> Result<Vec<Found>, storage::Error> {
        let targets = self.targets(store)?;
        let mut all = store.metadata();
        all.retain(|one| self.metric.is_empty() || one.metric_name == self.metric);
        let mut found = Vec::new();
        for metadata in all {
            let places = self.places_of(store, &metadata.metric_name)?;
            for target in &targets {
                if found.len() >= self.limit {
                    return Ok(found);
                }
                let place = (Arc::from(target.get("job")), Arc::from(target.get("instance")));
                if places.contains(&place) {
                    found.push(Found {
                        target: Arc::clone(target),
                        metadata: metadata.clone(),
                    });
                }
            }
        }
        Ok(found)
    }

    /// The labels of all `up`, without the name, that fit.
    fn targets(&self, store: &Store) -> Result<Vec<Arc<Labels>>, storage::Error> {
        let up = store.select(&[Matcher::equal(METRIC_NAME, "up")], self.range)?;
        let names = up.label_names();
        let names: Vec<_> = names.iter().filter(|name| ***name != *METRIC_NAME).collect();
        let columns: Vec<_> = names.iter().map(|name| up.label_column(name)).collect();
        let mut targets = BTreeSet::new();
        for series_idx in 0..up.n_series() {
            let values = columns.iter().map(|column| column.value(series_idx));
            let pairs = names.iter().map(|name| &***name).zip(values);
            let fits = |labels: &Labels| {
                let mut matchers = self.matchers.iter();
                matchers.all(|matcher| matcher.matches(labels.get(matcher.name())))
            };
            if let Ok(labels) = Labels::from_pairs(pairs)
                && fits(&labels)
            {
                targets.insert(Arc::new(labels));
            }
        }
        Ok(targets.into_iter().collect())
    }

    /// `job` and `instance` of all series of a family.
    fn places_of(&self, store: &Store, family: &str) -> Result<BTreeSet<Place>, storage::Error> {
        let mut places = BTreeSet::new();
        for suffix in SUFFIXES {
            let name = Matcher::equal(METRIC_NAME, format!("{family}{suffix}"));
            let series = store.select(&[name], self.range)?;
            let (jobs, instances) = (series.label_column("job"), series.label_column("instance"));
            let codes: BTreeSet<(u32, u32)> = jobs
                .codes
                .iter()
                .copied()
                .zip(instances.codes.iter().copied())
                .collect();
            places.extend(codes.into_iter().map(|(job, instance)| {
                let job = Arc::clone(&jobs.values[job as usize]);
                (job, Arc::clone(&instances.values[instance as usize]))
            }));
        }
        Ok(places)
    }
}

/// `job` and `instance`.
type Place = (Arc<str>, Arc<str>);

fn push_all(json: &mut String, found: &[Found], is_one_metric: bool) {
    json.push('[');
    for (position, Found { target, metadata }) in found.iter().enumerate() {
        json.push_str(if position > 0 {
            r#",{"target":"#
        } else {
            r#"{"target":"#
        });
        json::push_labels(json, target.iter());
        let fields = [
            ("metric", metadata.metric_name.as_str()),
            ("type", metadata.metric_type.as_str()),
            ("help", metadata.help.as_str()),
            ("unit", metadata.unit.as_str()),
        ];
        // As in Prometheus, what was asked for is not repeated.
        for (name, value) in &fields[usize::from(is_one_metric)..] {
            json.push(',');
            json::push_string(json, name);
            json.push(':');
            json::push_string(json, value);
        }
        json.push('}');
    }
    json.push(']');
}
