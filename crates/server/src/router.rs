//! Which path leads where, and what is done around every request.

use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

use crate::app::App;
use crate::metrics::{Handler, metrics_page};
use crate::{
    admin_api, cors, exemplars_api, federate, ha_api, health, later, otlp_api, query_api, series_api,
    sql_api, status_api, targets_api, tree_api, write_api,
};

/// All routes.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .merge(api())
        .route("/federate", get(federate::federate).head(method_not_allowed))
        .route("/metrics", get(metrics_page))
        .route("/", get(welcome))
        .merge(probes(""))
        // Kiali puts this path behind a URL that may end in a slash.
        .merge(probes("/"))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(cors::allow_every_origin))
        .layer(from_fn_with_state(app.clone(), counted))
        .with_state(app)
}

/// The routes of a port for OTLP. HTTP and gRPC are taken on each, because the two are easily confused.
pub(crate) fn otlp_router(app: App) -> Router {
    Router::new()
        .merge(otlp())
        .merge(probes(""))
        .fallback(otlp_api::grpc::no_such_call)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), counted))
        .with_state(app)
}

fn otlp() -> Router<App> {
    Router::new()
        .route("/api/v1/otlp/v1/metrics", post(otlp_api::http::metrics))
        .route("/v1/metrics", post(otlp_api::http::metrics))
        .route(otlp_api::grpc::EXPORT_PATH, post(otlp_api::grpc::export))
}

fn probes(prefix: &str) -> Router<App> {
    Router::new()
        .route(&format!("{prefix}/-/healthy"), get(health::healthy))
        .route(&format!("{prefix}/-/ready"), get(health::ready))
}

fn api() -> Router<App> {
    let mut api = Router::new()
        .route("/api/v1/write", post(write_api::write))
        .merge(otlp())
        .route("/api/v1/query", get(query_api::instant).post(query_api::instant))
        .route(
            "/api/v1/query_range",
            get(query_api::range).post(query_api::range),
        )
        .route("/api/v1/sql", post(sql_api::sql))
        .route(
            "/api/v1/query_exemplars",
            get(exemplars_api::exemplars).post(exemplars_api::exemplars),
        )
        .route(
            "/api/v1/format_query",
            get(tree_api::format_query).post(tree_api::format_query),
        )
        .route(
            "/api/v1/parse_query",
            get(tree_api::parse_query).post(tree_api::parse_query),
        )
        .route("/api/v1/series", get(series_api::series).post(series_api::series))
        .route(
            "/api/v1/labels",
            get(series_api::label_names).post(series_api::label_names),
        )
        .route("/api/v1/label/{name}/values", get(series_api::label_values))
        .route("/api/v1/metadata", get(status_api::metadata))
        .route("/api/v1/targets/metadata", get(targets_api::metadata))
        .route("/api/v1/rules", get(later::rules))
        .route("/api/v1/alerts", get(later::alerts))
        .route("/api/v1/status/buildinfo", get(status_api::build_info))
        .route("/api/v1/status/runtimeinfo", get(status_api::runtime_info))
        .route("/api/v1/status/config", get(status_api::config))
        .route("/api/v1/status/flags", get(status_api::flags))
        .route("/api/v1/status/ha", get(ha_api::status))
        .route(
            "/api/v1/admin/tsdb/{action}",
            post(admin_api::act).put(admin_api::act),
        );
    for path in later::PATHS {
        api = api.route(path, any(later::not_implemented));
    }
    api
}

/// For people who open the address in a browser.
async fn welcome() -> &'static str {
    "Meshtide, a metrics store for service meshes. There is no user interface here; point one at this address:\n\n\
     Grafana     a data source of type Prometheus with this URL\n\
     Kiali       external_services.prometheus.url\n\
     Prometheus  remote_write: [{url: <this>/api/v1/write}]\n\
     OTLP        endpoint: <this>/api/v1/otlp, or the ports 4317 (gRPC) and 4318 (HTTP)\n\
     Collectors  GET /federate?match[]={__name__=~\"istio_.*\"}\n\
     By hand     /api/v1/query?query=up   /api/v1/label/__name__/values   /metrics   /-/ready\n\
     SQL         curl <this>/api/v1/sql -d 'SHOW TABLES'\n"
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

async fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").into_response()
}

/// Counts the request and its time.
async fn counted(State(app): State<App>, request: Request, next: Next) -> Response {
    let handler = Handler::of_path(request.uri().path());
    let start = Instant::now();
    let response = next.run(request).await;
    app.metrics
        .http
        .count(handler, response.status(), start.elapsed());
    response
}
