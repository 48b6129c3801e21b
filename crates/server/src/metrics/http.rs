//! Requests by handler: how many, how they ended, how long they took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use model::MetricType;

use super::Counter;
use super::text::Page;
use crate::otlp_api::grpc::EXPORT_PATH;

/// Groups of routes. A closed set: a path that is none of them is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handler {
    Write,
    Query,
    QueryRange,
    Sql,
    Series,
    Labels,
    LabelValues,
    Federate,
    Status,
    Health,
    Metrics,
    Other,
}

const HANDLERS: [(Handler, &str); 12] = [
    (Handler::Write, "write"),
    (Handler::Query, "query"),
    (Handler::QueryRange, "query_range"),
    (Handler::Sql, "sql"),
    (Handler::Series, "series"),
    (Handler::Labels, "labels"),
    (Handler::LabelValues, "label_values"),
    (Handler::Federate, "federate"),
    (Handler::Status, "status"),
    (Handler::Health, "health"),
    (Handler::Metrics, "metrics"),
    (Handler::Other, "other"),
];

const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of the latency buckets in seconds, the last one, infinity, left out.
const BOUNDS_SECONDS: [f64; 9] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

/// Counters of all handlers.
#[derive(Debug, Default)]
pub(crate) struct HttpMetrics([HandlerMetrics; HANDLERS.len()]);

#[derive(Debug, Default)]
struct HandlerMetrics {
    by_status: [Counter; STATUS_CLASSES.len()],
    /// Not cumulative; the last one is infinity.
    buckets: [Counter; BOUNDS_SECONDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Handler {
    pub(crate) fn of_path(path: &str) -> Self {
        let Some(api) = path.strip_prefix("/api/v1/") else {
            return match path {
                "/v1/metrics" | EXPORT_PATH => Self::Write,
                "/federate" => Self::Federate,
                "/metrics" => Self::Metrics,
                _ if path.trim_start_matches('/').starts_with("-/") => Self::Health,
                _ => Self::Other,
            };
        };
        match api {
            "write" | "otlp/v1/metrics" => Self::Write,
            "query" => Self::Query,
            "query_range" => Self::QueryRange,
            "sql" => Self::Sql,
            "series" => Self::Series,
            "labels" => Self::Labels,
            _ if api.starts_with("label/") => Self::LabelValues,
            _ if api.starts_with("status/") => Self::Status,
            _ => Self::Other,
        }
    }
}

impl HttpMetrics {
    /// Counts one answer. The time runs to its head: a large body is written later.
    pub(crate) fn count(&self, handler: Handler, status: StatusCode, took: Duration) {
        let metrics = &self.0[handler as usize];
        let class = usize::from(status.as_u16() / 100).clamp(1, STATUS_CLASSES.len());
        metrics.by_status[class - 1].add(1);
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        metrics.buckets[bucket.unwrap_or(BOUNDS_SECONDS.len())].add(1);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        metrics.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn write(&self, page: &mut Page) {
        let name = "meshtide_http_requests_total";
        page.counter(name, "Requests answered, by group of routes and class of status.");
        for (handler, handler_name) in HANDLERS {
            for (class, counter) in STATUS_CLASSES.iter().zip(&self.0[handler as usize].by_status) {
                if counter.get() > 0 {
                    let labels = [("handler", handler_name), ("status", class)];
                    page.sample(name, &labels, counter.get() as f64);
                }
            }
        }
        let name = "meshtide_http_request_duration_seconds";
        page.family(
            name,
            MetricType::Histogram,
            "Time from a request's head to that of its answer.",
        );
        for (handler, handler_name) in HANDLERS {
            self.0[handler as usize].write_histogram(page, name, handler_name);
        }
    }
}

impl HandlerMetrics {
    fn write_histogram(&self, page: &mut Page, name: &str, handler: &str) {
        let mut n_requests = 0;
        let bounds = BOUNDS_SECONDS.iter().map(f64::to_string);
        for (bound, bucket) in bounds.chain(["+Inf".into()]).zip(&self.buckets) {
            n_requests += bucket.get();
            let labels = [("handler", handler), ("le", bound.as_str())];
            page.sample(&format!("{name}_bucket"), &labels, n_requests as f64);
        }
        let seconds = self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        page.sample(&format!("{name}_sum"), &[("handler", handler)], seconds);
        page.sample(
            &format!("{name}_count"),
            &[("handler", handler)],
            n_requests as f64,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_agree_with_the_list() {
        for (position, (handler, _)) in HANDLERS.into_iter().enumerate() {
            assert_eq!(handler as usize, position);
        }
    }

    #[test]
    fn every_path_belongs_to_a_group() {
        for (path, handler) in [
            ("/api/v1/write", Handler::Write),
            ("/v1/metrics", Handler::Write),
            (EXPORT_PATH, Handler::Write),
            ("/api/v1/query", Handler::Query),
            ("/api/v1/query_range", Handler::QueryRange),
            ("/api/v1/label/job/values", Handler::LabelValues),
            ("/api/v1/status/buildinfo", Handler::Status),
            ("/-/ready", Handler::Health),
            ("//-/healthy", Handler::Health),
            ("/federate", Handler::Federate),
            ("/api/v1/nope", Handler::Other),
            ("/", Handler::Other),
        ] {
            assert_eq!(Handler::of_path(path), handler, "{path}");
        }
    }

    #[test]
    fn buckets_are_cumulative() {
        let metrics = HttpMetrics::default();
        for ms in [0, 3, 3, 20_000, 100_000] {
            metrics.count(Handler::Write, StatusCode::NO_CONTENT, Duration::from_millis(ms));
        }
        let mut page = Page::default();
        metrics.write(&mut page);
        for line in [
            r#"meshtide_http_requests_total{handler="write",status="2xx"} 5"#,
            r#"meshtide_http_request_duration_seconds_bucket{handler="write",le="0.001"} 1"#,
            r#"meshtide_http_request_duration_seconds_bucket{handler="write",le="0.005"} 3"#,
            r#"meshtide_http_request_duration_seconds_bucket{handler="write",le="60"} 4"#,
            r#"meshtide_http_request_duration_seconds_bucket{handler="write",le="+Inf"} 5"#,
            r#"meshtide_http_request_duration_seconds_sum{handler="write"} 120.006"#,
            r#"meshtide_http_request_duration_seconds_count{handler="write"} 5"#,
        ] {
            assert!(page.0.lines().any(|found| found == line), "{line}\n{}", page.0);
        }
    }
}
