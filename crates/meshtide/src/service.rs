//! A running server: socket, store, query engine, from start to orderly end.

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
use crate::config::Settings;

/// A server that answers everything.
#[derive(Debug)]
pub(crate) struct Service {
    local_addr: SocketAddr,
    server: Server,
    store: Arc<Store>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Service {
    /// Listens, replays the log of `data_dir` and then answers everything. Probes are answered meanwhile.
    ///
    /// # Errors
    /// The port is taken, or the data directory cannot be opened.
    pub(crate) async fn start(settings: &Settings, data_dir: &Path) -> Result<Self> {
        let listener = Listener::bind(settings.listener())
            .await
            .with_context(|| format!("cannot listen on {}", settings.http.listen))?;
        let local_addr = listener.local_addr()?;
        tracing::info!("listening on http://{local_addr}");
        let server = Server::new(settings.server(data_dir, process_info())?, Arc::new(SystemClock));
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(listener.serve(server.router(), stopped));
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
        self.serving.await.context("the server panicked")?;
        let store = self.store;
        tokio::task::spawn_blocking(move || store.close())
            .await
            .context("closing the store panicked")??;
        tracing::info!("stopped");
        Ok(())
    }
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
