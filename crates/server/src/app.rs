//! What the handlers share, and the two lives of a server: before its store is open, and after.
//!
//! A server listens from its first moment, so that probes get an answer while the log is replayed. Until
//! [`Server::open`] everything that needs the store is answered with 503, as Prometheus does it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{Clock, Labels, TimestampMs};
use query::Engine;
use storage::Store;
use tokio::runtime::Handle;

use crate::ingest::{self, Admission, Buffers, Ingest};
use crate::metrics::Metrics;
use crate::router;

/// Settings of the HTTP interface.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Added to the series of `/federate` that lack them.
    pub external_labels: Labels,
    /// What `/api/v1/status/config` says, as YAML.
    pub config_yaml: String,
    /// What `/api/v1/status/flags` says.
    pub flags: BTreeMap<String, String>,
    /// What `/api/v1/status/buildinfo` says.
    pub build: BuildInfo,
    /// What `/api/v1/status/runtimeinfo` says of the process.
    pub process: ProcessInfo,
    /// How samples are taken in.
    pub ingest: ingest::Config,
    /// Whether `/api/v1/admin/tsdb` does anything.
    pub admin_api: bool,
}

/// Which program this is.
#[derive(Debug, Clone, Default)]
pub struct BuildInfo {
    /// The version, as semver.
    pub version: String,
    /// The commit, if known.
    pub revision: String,
}

/// The process as it was started.
#[derive(Debug, Clone, Default)]
pub struct ProcessInfo {
    /// When.
    pub started_ms: TimestampMs,
    /// In which folder.
    pub working_dir: String,
    /// On which machine.
    pub hostname: String,
    /// Processors it may use.
    pub n_cpus: usize,
    /// How long samples are kept: `15d`.
    pub retention: String,
}

/// A server without a socket: routes, state, and the threads that take samples in.
#[derive(Debug, Clone)]
pub struct Server {
    app: App,
}

/// What the store's recovery leaves to the server.
#[derive(Debug)]
pub struct Opened {
    /// Takes the samples.
    pub store: Arc<Store>,
    /// Answers the queries.
    pub engine: Engine,
    /// Damage found in the log at start-up, as a number of places.
    pub n_damaged: usize,
}

impl Server {
    /// A server whose store is not open yet.
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            clock,
            metrics: Metrics::default(),
            admission: Arc::new(Admission::new(&config.ingest)),
            buffers: Arc::default(),
            opened: OnceLock::new(),
            stopping: AtomicBool::new(false),
            config,
        };
        Self {
            app: App(Arc::new(shared)),
        }
    }

    /// From now on everything is answered.
    ///
    /// # Errors
    /// The system gives no threads.
    ///
    /// # Panics
    /// When called twice.
    pub fn open(&self, opened: Opened) -> io::Result<()> {
        let ingest = Ingest::start(&self.app.config.ingest, &opened.store, &self.app.clock)?;
        let ready = Ready {
            work: opened.engine.handle(),
            opened,
            ingest,
        };
        assert!(self.app.opened.set(ready).is_ok(), "a server is opened once");
        Ok(())
    }

    /// Tells probes that the server is about to end. Requests are still answered.
    pub fn announce_stop(&self) {
        self.app.stopping.store(true, Ordering::Relaxed);
    }

    /// All routes.
    pub fn router(&self) -> Router {
        router::router(self.app.clone())
    }

    /// The routes of a port for OTLP, over HTTP and over gRPC.
    pub fn otlp_router(&self) -> Router {
        router::otlp_router(self.app.clone())
    }
}

/// The state of all handlers.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

/// See [`App`].
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) admission: Arc<Admission>,
    pub(crate) buffers: Arc<Buffers>,
    opened: OnceLock<Ready>,
    stopping: AtomicBool,
}

/// What is there once the store is open.
pub(crate) struct Ready {
    pub(crate) opened: Opened,
    pub(crate) ingest: Ingest,
    /// Threads for work that is too much for those of the sockets.
    work: Handle,
}

impl App {
    /// What is there once the store is open.
    pub(crate) fn ready(&self) -> Option<&Ready> {
        self.opened.get()
    }

    /// Threads for work that is too much for those of the sockets.
    pub(crate) fn work(&self) -> Handle {
        self.ready()
            .map_or_else(Handle::current, |ready| ready.work.clone())
    }

    /// 503 while the store is not open, as Prometheus says it.
    pub(crate) fn not_ready(&self) -> Response {
        let stopping = if self.is_stopping() { "true" } else { "false" };
        let headers = [
            (header::RETRY_AFTER, "1"),
            (HeaderName::from_static("x-prometheus-stopping"), stopping),
        ];
        (StatusCode::SERVICE_UNAVAILABLE, headers, "Service Unavailable").into_response()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("ready", &self.ready().is_some())
            .finish_non_exhaustive()
    }
}

/// A handler that takes this is called only when the store is open.
pub(crate) struct IfReady(App);

impl Deref for IfReady {
    type Target = Ready;

    fn deref(&self) -> &Ready {
        self.0.ready().expect("checked when the request was taken")
    }
}

impl FromRequestParts<App> for IfReady {
    type Rejection = Response;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, Response> {
        if app.ready().is_none() {
            return Err(app.not_ready());
        }
        Ok(Self(app.clone()))
    }
}
