//! Accepting connections: a bound on how many, a time limit on heads, an orderly end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::front::Front;

/// How connections are taken.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Connections at once; more wait in the system's queue. Prometheus' limit.
    pub connections_max: usize,
    /// How long a connection may take for a request's head, idle time before it included.
    pub head_timeout: Duration,
    /// How long requests under way may take to end once the server stops.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            connections_max: 512,
            head_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Bytes hyper reads at once, which also bounds a head.
const READ_BYTES_MAX: usize = 256 << 10;

/// After a failed accept (usually: out of file descriptors), so that it is not tried in a tight loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the other end of an HTTP/2 connection may take to answer a ping.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    config: Config,
    socket: TcpListener,
}

impl Listener {
    /// Binds the socket.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub async fn bind(config: Config) -> io::Result<Self> {
        let socket = TcpListener::bind(config.listen).await?;
        Ok(Self { config, socket })
    }

    /// Where it listens; tells the port when 0 was asked for.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` becomes true or its sender is gone. Then no connection is taken any more, idle ones are
    /// closed, and requests under way have the drain timeout to end.
    pub async fn serve(self, router: Router, stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(self.config.connections_max.max(1)));
        let mut connections = JoinSet::new();
        let mut stopping = pin!(stopped(stop.clone()));
        loop {
            let accepted = tokio::select! {
                () = &mut stopping => break,
                accepted = accept(&self.socket, &slots) => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let (slot, stream) = accepted;
            let connection = connection(stream, router.clone(), self.config.head_timeout, stop.clone());
            connections.spawn(async move {
                connection.await;
                drop(slot);
            });
        }
        drop(self.socket);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.config.drain_timeout, drained)
            .await
            .is_err()
        {
            tracing::warn!("requests were still under way after the drain timeout and are cut off");
        }
    }
}

/// Waits for a slot, then for a connection to put into it.
async fn accept(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (tokio::sync::OwnedSemaphorePermit, TcpStream) {
    let slot = Arc::clone(slots).acquire_owned().await;
    let slot = slot.expect("the semaphore is never closed");
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return (slot, stream),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Whose connection a request came through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves one connection to its end.
async fn connection(stream: TcpStream, router: Router, head_timeout: Duration, stop: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(READ_BYTES_MAX);
    // Senders of gRPC keep a connection for days; one whose machine has vanished must not keep its slot.
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(head_timeout))
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let front = Front::new(stream);
    let undecided = front.undecided();
    let router = TowerToHyperService::new(router);
    // A layer would be put around every route, for every connection.
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        router.call(request)
    });
    let mut serving = pin!(builder.serve_connection(TokioIo::new(front), service));
    let silent = async {
        tokio::time::sleep(head_timeout).await;
        if !undecided.is_so() {
            std::future::pending::<()>().await;
        }
    };
    let served = tokio::select! {
        served = &mut serving => served,
        () = silent => return,
        () = stopped(stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error, "connection ended with an error");
    }
}
