//! `/api/v1/status/ha`: who is elected of each pair of replicas.

use axum::extract::State;
use axum::response::Response;
use model::TimestampMs;
use serde_json::{Value, json};

use crate::app::{App, IfReady};
use crate::ha::PairStatus;
use crate::json;
use crate::reply::{Reply, success};
use crate::status_api::rfc_3339;

/// All pairs with their replicas, and what was left out.
pub(crate) async fn status(State(app): State<App>, ready: IfReady, reply: Reply) -> Response {
    let tracker = ready.ingest.ha();
    let pairs = tracker.map(|tracker| tracker.pairs()).unwrap_or_default();
    let totals = tracker.map(|tracker| tracker.totals()).unwrap_or_default();
    let failover_ms = tracker.map_or(0, |tracker| tracker.failover_ms());
    let now_ms = app.clock.now_ms();
    let data = json!({
        "enabled": tracker.is_some(),
        "failoverTimeoutSeconds": failover_ms as f64 / 1e3,
        "droppedRequests": totals.dropped_requests,
        "droppedSamples": totals.dropped_samples,
        "pairs": pairs.iter().map(|pair| pair_json(pair, now_ms)).collect::<Vec<_>>(),
    });
    reply.text(
        json::CONTENT_TYPE,
        success(|json| json.push_str(&data.to_string())),
    )
}

fn pair_json(pair: &PairStatus, now_ms: TimestampMs) -> Value {
    let labels: serde_json::Map<String, Value> = pair
        .name
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let replicas = pair.replicas.iter().map(|(replica, heard_ms)| {
        json!({
            "name": replica,
            "elected": *replica == pair.elected,
            "lastReceived": rfc_3339(*heard_ms),
            "silentSeconds": now_ms.saturating_sub(*heard_ms).max(0) as f64 / 1e3,
        })
    });
    json!({
        "labels": labels,
        "shard": pair.name.shard,
        "replicaLabel": pair.name.replica_label,
        "elected": pair.elected,
        "electedAt": rfc_3339(pair.elected_at_ms),
        "failovers": pair.n_failovers,
        "replicas": replicas.collect::<Vec<_>>(),
    })
}
