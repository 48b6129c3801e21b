//! A running server: sockets, store, query engine, from start to orderly end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use catalog::{HASH_SECRET_BYTES, HashSecret};
use model::{Clock, Files};
use query::Engine;
use rand::TryRng;
use rand::rngs::SysRng;
use server::{Listener, Opened, ProcessInfo, Server};
use storage::{LocalFiles, RecoveryProgress, RecoveryReport, Store, StoreConfig, Surroundings};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::SystemClock;
use crate::config::{Listen, Settings};

/// A server that answers everything.
#[derive(Debug)]
pub(crate) struct Service {
    local_addr: SocketAddr,
    server: Server,
    store: Arc<Store>,
    stop: watch::Sender<bool>,
    /// One per port.
    serving: Vec<JoinHandle<()>>,
}

impl Service {
    /// Listens, replays the log of `data_dir` and then answers everything. Probes are answered meanwhile.
    ///
    /// # Errors
    /// The port is taken, or the data directory cannot be opened.
    pub(crate) async fn start(settings: &Settings, data_dir: &Path) -> Result<Self> {
        let listener = bind(settings, settings.http.listen, "HTTP").await?;
        let otlp_listeners = bind_otlp(settings).await?;
        let local_addr = listener.local_addr()?;
        let server = Server::new(settings.server(data_dir, process_info())?, Arc::new(SystemClock));
        let (stop, stopped) = watch::channel(false);
        let mut serving = vec![tokio::spawn(listener.serve(server.router(), stopped.clone()))];
        for listener in otlp_listeners {
            serving.push(tokio::spawn(
                listener.serve(server.otlp_router(), stopped.clone()),
            ));
        }
        let (store, report) = open_store(settings.store(), data_dir, Arc::new(LocalFiles)).await?;
        let source = Arc::clone(&store);
        server.open(Opened {
            engine: Engine::new(source, settings.engine())?,
            store: Arc::clone(&store),
            n_damaged: report.damaged.len(),
        })?;
        tracing::info!("ready");
        Ok(Self {
            local_addr,
            server,
            store,
            stop,
            serving,
        })
    }

    /// Where it listens.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Lets requests under way end, then closes the store.
    ///
    /// # Errors
    /// The last sync of the log failed.
    pub(crate) async fn stop(self) -> Result<()> {
        tracing::info!("ending requests under way, then closing the store");
        self.server.announce_stop();
        self.stop.send_replace(true);
        for serving in self.serving {
            serving.await.context("the server panicked")?;
        }
        let store = self.store;
        tokio::task::spawn_blocking(move || store.close())
            .await
            .context("closing the store panicked")??;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Binds one port and says where it is, which tells the port when 0 was asked for.
async fn bind(settings: &Settings, listen: SocketAddr, what: &str) -> Result<Listener> {
    let bound = Listener::bind(settings.listener(listen)).await;
    let listener = bound.with_context(|| format!("cannot listen on {listen} for {what}"))?;
    tracing::info!("listening on http://{} for {what}", listener.local_addr()?);
    Ok(listener)
}

/// Binds the ports of OTLP. One that stands at its default and is taken is left out: it belongs to another server on
/// this machine, and nobody has asked for it here.
async fn bind_otlp(settings: &Settings) -> Result<Vec<Listener>> {
    let defaults = Settings::default().otlp;
    let mut listeners = Vec::new();
    for (listen, default, what) in [
        (settings.otlp.grpc_listen, defaults.grpc_listen, "OTLP over gRPC"),
        (settings.otlp.http_listen, defaults.http_listen, "OTLP over HTTP"),
    ] {
        let Listen::At(address) = listen else {
            continue;
        };
        match bind(settings, address, what).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if listen == default => tracing::warn!("{error:#}; going without"),
            Err(error) => return Err(error),
        }
    }
    Ok(listeners)
}

fn process_info() -> ProcessInfo {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let working_dir = std::env::current_dir().unwrap_or_default();
    ProcessInfo {
        started_ms: SystemClock.now_ms(),
        working_dir: working_dir.display().to_string(),
        hostname: hostname.trim().to_owned(),
        ..ProcessInfo::default()
    }
}

/// Opens the store of a data directory, on threads that may wait.
///
/// # Errors
/// The data directory cannot be opened.
pub(crate) async fn open_store(
    config: StoreConfig,
    data_dir: &Path,
    files: Arc<dyn Files>,
) -> Result<(Arc<Store>, RecoveryReport)> {
    let mut secret = [0; HASH_SECRET_BYTES];
    SysRng
        .try_fill_bytes(&mut secret)
        .context("the system gives no random bytes")?;
    let surroundings = Surroundings {
        clock: Arc::new(SystemClock),
        files,
        secret: HashSecret::new(secret),
        release_memory: crate::allocator::release_memory,
    };
    let data_dir = data_dir.to_owned();
    let opening = tokio::task::spawn_blocking(move || {
        let mut progress = ProgressLog::default();
        let opened = Store::open(&data_dir, config, surroundings, &mut |state| {
            progress.note(state);
        });
        opened.with_context(|| format!("cannot open the data directory {}", data_dir.display()))
    });
    opening.await.context("opening the store panicked")?
}

/// Logs how far a recovery is, now and then.
#[derive(Debug, Default)]
struct ProgressLog {
    last: Option<Instant>,
}

const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

impl ProgressLog {
    fn note(&mut self, state: RecoveryProgress) {
        let now = Instant::now();
        let last = *self.last.get_or_insert(now);
        if now - last >= PROGRESS_INTERVAL {
            self.last = Some(now);
            let percent = state.bytes.saturating_mul(100) / state.total_bytes.max(1);
            tracing::info!("replaying the log: {percent} %, {} samples", state.samples);
        }
    }
}
