//! `meshtide serve`: one data directory behind one port, until a signal comes.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::runtime::Runtime;

use crate::config::{Listen, Settings, Span, WalSync};
use crate::failure::usage;
use crate::service::Service;
use crate::signals;

/// Threads of the sockets. They wait, copy and answer what takes microseconds; what computes has threads of its own.
const SOCKET_THREADS: usize = 2;

/// Stack of a thread, for queries that nest. Only what is touched is ever taken.
const STACK_BYTES: usize = 8 << 20;

/// The arguments of `meshtide serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArguments {
    /// Where the data lies; made if it is missing. One server per directory
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Where to listen for HTTP: remote write, queries, /federate, probes [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS:PORT")]
    http_listen: Option<SocketAddr>,

    /// Where to listen for OTLP over gRPC, or off [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDRESS:PORT")]
    otlp_grpc_listen: Option<Listen>,

    /// Where to listen for OTLP over HTTP, or off [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDRESS:PORT")]
    otlp_http_listen: Option<Listen>,

    /// A YAML file of settings; config/meshtide.yaml explains every one. Flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// How long samples are kept; older ones are refused [default: 15d]
    #[arg(long, value_name = "DURATION")]
    retention: Option<Span>,

    /// Let /api/v1/admin/tsdb flush, delete and clean
    #[arg(long)]
    enable_admin_api: bool,

    /// When the write-ahead log is synced to disk [default: always]
    #[arg(long, value_enum)]
    wal_sync: Option<WalSync>,
}

impl ServeArguments {
    /// The file's settings with the flags over them.
    fn settings(&self) -> Result<Settings> {
        let mut settings = match &self.config {
            Some(path) => Settings::read(path)?,
            None => Settings::default(),
        };
        if let Some(listen) = self.http_listen {
            settings.http.listen = listen;
        }
        if let Some(listen) = self.otlp_grpc_listen {
            settings.otlp.grpc_listen = listen;
        }
        if let Some(listen) = self.otlp_http_listen {
            settings.otlp.http_listen = listen;
        }
        if let Some(retention) = self.retention {
            settings.storage.retention = retention;
        }
        settings.http.admin_api |= self.enable_admin_api;
        if let Some(wal_sync) = self.wal_sync {
            settings.storage.wal_sync = wal_sync;
        }
        settings.check()?;
        Ok(settings)
    }
}

/// Serves until a signal comes.
///
/// # Errors
/// The settings are wrong, the port is taken, or the data directory cannot be opened.
pub(crate) fn run(arguments: &ServeArguments) -> Result<()> {
    let settings = arguments.settings().map_err(|error| usage(&error))?;
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let service = tokio::select! {
            service = Service::start(&settings, &arguments.data_dir) => service?,
            stopped = signals::stop() => return stopped,
        };
        signals::stop().await?;
        stop(service).await
    });
    // A replay that was interrupted would be waited for otherwise.
    runtime.shutdown_background();
    result
}

/// Stops in order; a second signal stops at once.
///
/// # Errors
/// The last sync of the log failed, or a second signal came.
pub(crate) async fn stop(service: Service) -> Result<()> {
    tokio::select! {
        stopped = service.stop() => stopped,
        _ = signals::stop() => bail!("stopped by a second signal, with requests under way"),
    }
}

/// The runtime of the sockets.
///
/// # Errors
/// The system gives no threads.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SOCKET_THREADS)
        .thread_stack_size(STACK_BYTES)
        .thread_name("sockets")
        .enable_all()
        .build()
        .context("cannot start threads")
}
